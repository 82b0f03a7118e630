//! Which keys and values a run uses.

/// `entries` different keys in UUID form, and one value. Keys are made from their number as they
/// are needed, so that the workload's own memory does not disturb the measurement.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Different keys.
    pub entries: u64,
    /// Bytes of each result's body.
    pub value_bytes: usize,
    /// Begins that lie between a key's begin and its complete.
    pub distance: u64,
    /// Decides keys and orders.
    pub seed: u64,
}

impl Workload {
    /// The key with this number: 36 bytes that look like a random UUID.
    #[must_use]
    pub fn key(&self, number: u64) -> [u8; 36] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let halves = [mix(number ^ self.seed), mix(number.wrapping_add(self.seed).rotate_left(32))];
        let mut digits = halves.iter().flat_map(|half| (0..16).map(move |at| half >> (at * 4)));
        let mut key = [b'-'; 36];
        for (at, byte) in key.iter_mut().enumerate() {
            if !matches!(at, 8 | 13 | 18 | 23) {
                *byte = HEX[(digits.next().unwrap_or(0) & 15) as usize];
            }
        }
        key
    }

    /// The attempt id with this number.
    #[must_use]
    pub fn attempt(&self, number: u64) -> [u8; 16] {
        let mut attempt = [0; 16];
        attempt[..8].copy_from_slice(&mix(number ^ !self.seed).to_le_bytes());
        attempt[8..].copy_from_slice(&number.to_le_bytes());
        attempt
    }

    /// The body stored under the key with this number; differs from every other's.
    #[must_use]
    pub fn value(&self, number: u64) -> Vec<u8> {
        let mut value = vec![b'v'; self.value_bytes];
        let stamp = number.to_le_bytes();
        let size = stamp.len().min(value.len());
        value[..size].copy_from_slice(&stamp[..size]);
        value
    }

    /// A number for each step of a walk that looks random and meets every entry once in `entries`
    /// steps.
    #[must_use]
    pub fn shuffled(&self, step: u64) -> u64 {
        // Cycle-walking over a permutation of the next power of two.
        let bits = 64 - (self.entries.max(2) - 1).leading_zeros();
        let mask = (1_u64 << bits) - 1;
        let mut number = step;
        loop {
            number = permute(number, mask, bits, self.seed);
            if number < self.entries {
                return number;
            }
        }
    }
}

/// A bijection of 64-bit numbers that scatters neighbours.
fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A bijection of the numbers up to `mask`: odd multiplication and xor-shift keep it one.
fn permute(mut number: u64, mask: u64, bits: u32, seed: u64) -> u64 {
    let shift = (bits / 2).max(1);
    for round in 0..3 {
        number = number.wrapping_mul(mix(seed.wrapping_add(round)) | 1) & mask;
        number ^= number >> shift;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_differ_and_a_walk_meets_every_entry_once() {
        for entries in [1, 2, 3, 1_000, 1_024, 1_025] {
            let workload = Workload { entries, value_bytes: 8, distance: 0, seed: 7 };
            let walk: HashSet<u64> = (0..entries).map(|step| workload.shuffled(step)).collect();
            assert_eq!(walk.len() as u64, entries);
            let keys: HashSet<_> = (0..entries).map(|number| workload.key(number)).collect();
            assert_eq!(keys.len() as u64, entries);
        }
    }
}
