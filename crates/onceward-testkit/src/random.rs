//! Random numbers that a seed repeats exactly, and the seeds of a suite.

use core::ops::Range;
use std::env;

/// The splitmix64 generator: tiny, and the same on every machine. Not for secrets.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// Every seed is a good one; neighbouring seeds give unrelated numbers.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next of all 2^64 numbers.
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `range`; its start if the range is empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        let size = range.end.saturating_sub(range.start).max(1);
        range.start + self.next_u64() % size // The bias of a modulus is no matter here.
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.within(0..100) < percent
    }

    /// One of `items`; `None` if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.within(0..items.len() as u64) as usize)
    }
}

/// Seeds for a suite of `runs` runs: fixed ones, so that a suite that passed passes again, or
/// the one in the environment's `ONCEWARD_SEED`, to replay a failure.
///
/// # Panics
/// If `ONCEWARD_SEED` is set to something other than a decimal number below 2^64.
#[must_use]
pub fn seeds(runs: u64) -> Range<u64> {
    match env::var("ONCEWARD_SEED") {
        Ok(text) => {
            let seed: u64 = text.parse().expect("ONCEWARD_SEED must be a decimal number");
            seed..seed.saturating_add(1)
        }
        Err(_) => 0..runs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_splitmix64() {
        // The first numbers of the reference implementation for seed 1234567.
        let mut random = SplitMix64::new(1_234_567);
        let first = [random.next_u64(), random.next_u64(), random.next_u64()];
        assert_eq!(
            first,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn bounds_hold() {
        let mut random = SplitMix64::new(1);
        for _ in 0..1_000 {
            assert!((5..8).contains(&random.within(5..8)));
        }
        assert_eq!(random.within(5..5), 5);
        assert_eq!(random.pick::<u8>(&[]), None);
        assert!(!random.chance(0) && random.chance(100));
    }
}
