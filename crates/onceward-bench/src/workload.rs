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
    /// The key with this number: 36 bytes, the text of a random (version 4) UUID. Takes a few ns,
    /// so that it weighs little in what is measured.
    #[must_use]
    pub fn key(&self, number: u64) -> [u8; 36] {
        let halves = [mix(number ^ self.seed), mix(number.wrapping_add(self.seed).rotate_left(32))];
        let mut digits = [0; 32];
        for (half, digits) in halves.iter().zip(digits.chunks_exact_mut(16)) {
            digits[..8].copy_from_slice(&hex(*half as u32).to_le_bytes());
            digits[8..].copy_from_slice(&hex((*half >> 32) as u32).to_le_bytes());
        }
        digits[12] = b'4';
        digits[16] = b"89ab"[(number & 3) as usize];
        let mut key = [b'-'; 36];
        key[..8].copy_from_slice(&digits[..8]);
        key[9..13].copy_from_slice(&digits[8..12]);
        key[14..18].copy_from_slice(&digits[12..16]);
        key[19..23].copy_from_slice(&digits[16..20]);
        key[24..].copy_from_slice(&digits[20..]);
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

/// The eight hexadecimal digits of `number`, lowest first, as the bytes of one word.
fn hex(number: u32) -> u64 {
    let spread = u64::from(number);
    let spread = (spread | (spread << 16)) & 0x0000_ffff_0000_ffff;
    let spread = (spread | (spread << 8)) & 0x00ff_00ff_00ff_00ff;
    let spread = (spread | (spread << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = ((spread + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    spread + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)
}

/// A bijection of 64-bit numbers that scatters neighbours.
pub(crate) fn mix(mut number: u64) -> u64 {
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
    fn a_key_is_the_text_of_a_random_uuid() {
        assert_eq!(&hex(0x89ab_cdef).to_le_bytes(), b"fedcba98");
        assert_eq!(&hex(0x0123_4567).to_le_bytes(), b"76543210");
        let workload = Workload { entries: 1_000, value_bytes: 8, distance: 0, seed: 7 };
        for number in 0..1_000 {
            let key = workload.key(number);
            for (at, byte) in key.into_iter().enumerate() {
                let fits = match at {
                    8 | 13 | 18 | 23 => byte == b'-',
                    14 => byte == b'4',
                    19 => b"89ab".contains(&byte),
                    _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
                };
                assert!(fits, "{key:?}, byte {at}");
            }
        }
    }

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
