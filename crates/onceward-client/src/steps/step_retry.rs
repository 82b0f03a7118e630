//! How often a step is tried, and how long it pauses in between.

use std::time::Duration;

use onceward_claim::Backoff;

/// Tries of a step, or of a compensation, that fails for now ([`StepFailure::retryable`]).
///
/// Pauses double from the first to the longest, each plus up to its own length at random. The
/// lease is renewed meanwhile, and no try starts once ownership is lost. Tries count anew in a
/// successor.
///
/// [`StepFailure::retryable`]: crate::StepFailure::retryable
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StepRetry {
    tries: u32,
    pause_min: Duration,
    pause_max: Duration,
}

impl StepRetry {
    /// Most tries of one step in one run; more are cut to it.
    pub const TRIES_MAX: u32 = 1_000;

    /// Three tries, pauses from 100 ms to 5 s: a step's own.
    pub const STEP: Self = Self::new(3);

    /// Eight tries, pauses from 100 ms to 5 s: a compensation's own. More, for it has no other way
    /// out than to succeed.
    pub const COMPENSATION: Self = Self::new(8);

    /// As many tries in all, at least one, at most [`Self::TRIES_MAX`]; pauses from 100 ms to 5 s.
    #[must_use]
    pub const fn new(tries: u32) -> Self {
        let tries = match tries {
            0 => 1,
            1..=Self::TRIES_MAX => tries,
            _ => Self::TRIES_MAX,
        };
        let (pause_min, pause_max) = (Duration::from_millis(100), Duration::from_secs(5));
        Self { tries, pause_min, pause_max }
    }

    /// Other pauses: the first, and the longest (the first if that is longer), up to an hour.
    #[must_use]
    pub fn pauses(self, first: Duration, longest: Duration) -> Self {
        let hour = Duration::from_secs(3_600);
        let pause_min = first.min(hour);
        Self { pause_min, pause_max: longest.clamp(pause_min, hour), ..self }
    }

    pub(super) const fn tries(self) -> u32 {
        self.tries
    }

    pub(super) fn backoff(self) -> Backoff {
        Backoff::new(self.pause_min, self.pause_max)
    }
}

impl Default for StepRetry {
    /// [`Self::STEP`].
    fn default() -> Self {
        Self::STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_and_pauses_have_their_bounds() {
        for (asked, tries) in [(0, 1), (1, 1), (1_000, 1_000), (u32::MAX, 1_000)] {
            assert_eq!(StepRetry::new(asked).tries(), tries, "{asked}");
        }
        let (short, long) = (Duration::from_secs(1), Duration::MAX);
        let retry = StepRetry::STEP.pauses(long, short);
        assert_eq!(retry.pause_min, Duration::from_secs(3_600));
        assert_eq!(retry.pause_max, retry.pause_min);
    }
}
