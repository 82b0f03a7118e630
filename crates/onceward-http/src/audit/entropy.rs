//! How random a key looks. An estimate: it tells `order-17` from a UUID, and no more.

/// How often each byte and each kind of byte occurs.
struct Look {
    size: f64,
    counts: [u8; 256],
    most: u8,
    by_alphabet: f64,
}

impl Look {
    fn at(key: &[u8]) -> Self {
        let (mut counts, mut most) = ([0_u8; 256], 0);
        let (mut digits, mut hex, mut letters) = (0_u32, 0_u32, 0_u32);
        for &byte in key {
            let count = &mut counts[usize::from(byte)];
            *count = count.saturating_add(1); // A key has at most 255 bytes.
            most = most.max(*count);
            match byte {
                b'0'..=b'9' => digits += 1,
                b'a'..=b'f' | b'A'..=b'F' => hex += 1,
                b'g'..=b'z' | b'G'..=b'Z' => letters += 1,
                _ => {}
            }
        }
        let bits_each = match (hex, letters) {
            (0, 0) => std::f64::consts::LOG2_10,
            (_, 0) => 4.0,
            _ => 62_f64.log2(),
        };
        let by_alphabet = f64::from(digits + hex + letters) * bits_each;
        Self { size: key.len() as f64, counts, most, by_alphabet }
    }

    fn bits_if_each_occurred(&self, times: u8) -> f64 {
        (self.size / f64::from(times)).log2()
    }

    fn by_frequency(&self) -> f64 {
        let counts = self.counts.iter().filter(|count| **count > 0);
        counts.map(|count| f64::from(*count) * self.bits_if_each_occurred(*count)).sum()
    }

    /// Never more than [`by_frequency`](Look::by_frequency), for one logarithm instead of many.
    fn by_frequency_at_least(&self) -> f64 {
        self.size * self.bits_if_each_occurred(self.most.max(1))
    }
}

/// Bits of randomness a key has at most, by the look of it: the smaller of what its alphabet
/// allows and what the frequencies of its bytes allow (Shannon).
///
/// A digit counts log2(10), a digit of hexadecimal 4, a letter of a longer alphabet log2(62), and
/// punctuation nothing. A word is taken for random letters, so this errs towards calling a key good.
#[must_use]
pub fn entropy_bits(key: &[u8]) -> u32 {
    let look = Look::at(key);
    look.by_alphabet.min(look.by_frequency()) as u32
}

/// Whether [`entropy_bits`] are fewer than `bits_min`, in a fraction of the time for a good key.
pub(super) fn is_weak(key: &[u8], bits_min: u32) -> bool {
    let (look, bits_min) = (Look::at(key), f64::from(bits_min));
    look.by_alphabet < bits_min
        || (look.by_frequency_at_least() < bits_min && look.by_frequency() < bits_min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use onceward_testkit::{SplitMix64, seeds};

    #[test]
    fn the_short_way_says_the_same() {
        for seed in seeds(1) {
            let mut random = SplitMix64::new(seed);
            let (mut weak, mut good) = (0, 0);
            for case in 0..20_000 {
                let alphabet =
                    &b"0123456789abcdef-ghijklmnopqrstuvwxyzXYZ"[..random.within(1..41) as usize];
                let size = random.within(0..60);
                let key: Vec<u8> = (0..size).map(|_| *random.pick(alphabet).unwrap()).collect();
                for bits_min in [0, 40, 64, 100] {
                    let want = entropy_bits(&key) < bits_min;
                    assert_eq!(is_weak(&key, bits_min), want, "ONCEWARD_SEED={seed}, case {case}");
                    *if want { &mut weak } else { &mut good } += 1;
                }
            }
            assert!(weak > 10_000 && good > 10_000, "{weak} weak, {good} good");
        }
    }
}
