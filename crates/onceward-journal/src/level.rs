//! Retention levels: acquisitions of similar retention share a file, which is dropped as a whole.
//!
//! The bound. A file of level `n` takes batches for 2^n / 32 ms at most, and lives to the latest
//! end of any retention in it. A retention of level `n` is shorter than 2^(n+1) ms, so every byte
//! is gone 2^(n+1) + 2^n / 32 ms after it was written: within 2.04 times its own retention and, in
//! the mean over all retentions, 1.5 times; within 32.6 s for retentions below 2^14 ms.

use onceward::Millis;

/// Retentions below 2^14 ms count as of this level.
const LEVEL_MIN: u8 = 14;
/// Longer ones than 2^34 ms, which is half a year, count as of the level 33. No limit allows them.
const LEVEL_MAX: u8 = 33;
/// How many levels there are.
pub(crate) const LEVELS: usize = (LEVEL_MAX - LEVEL_MIN + 1) as usize;

/// A power of two of retentions, in milliseconds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Level(u8);

impl Level {
    /// The level of a retention.
    #[inline]
    pub(crate) fn of(retention: Millis) -> Self {
        let log = retention.get().checked_ilog2().unwrap_or(0) as u8;
        Self(log.clamp(LEVEL_MIN, LEVEL_MAX))
    }

    /// The level with that number, as a file states it; what no journal writes counts as the
    /// nearest.
    pub(crate) fn numbered(number: u8) -> Self {
        Self(number.clamp(LEVEL_MIN, LEVEL_MAX))
    }

    /// Every level, in order.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (LEVEL_MIN..=LEVEL_MAX).map(Self)
    }

    /// As files state it.
    pub(crate) const fn number(self) -> u8 {
        self.0
    }

    /// Its place among all.
    #[inline]
    pub(crate) const fn place(self) -> usize {
        (self.0 - LEVEL_MIN) as usize
    }

    /// How long a file of this level takes batches.
    pub(crate) const fn open_for(self) -> Millis {
        Millis::new((1 << self.0) / 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_power_of_two_of_milliseconds() {
        for (retention, number, place) in [
            (0, 14, 0),
            (1, 14, 0),
            ((1 << 15) - 1, 14, 0),
            (1 << 15, 15, 1),
            (86_400_000, 26, 12),
            (30 * 86_400_000, 31, 17),
            (u64::MAX, 33, 19),
        ] {
            let level = Level::of(Millis::new(retention));
            assert_eq!((level.number(), level.place()), (number, place), "{retention} ms");
            assert_eq!(Level::numbered(number), level);
        }
        let places: Vec<_> = Level::all().map(Level::place).collect();
        assert_eq!(places, (0..LEVELS).collect::<Vec<_>>());
        assert_eq!(Level::of(Millis::new(86_400_000)).open_for(), Millis::new(2_097_152));
    }
}
