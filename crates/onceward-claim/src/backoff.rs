//! Pauses between attempts: exponential, with jitter, so that clients do not return in step.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// An endless series of pauses: each about twice the one before, up to a bound, plus up to its
/// own length at random.
#[derive(Debug)]
pub struct Backoff {
    pauses: ExponentialBackoff,
    longest: Duration,
}

impl Backoff {
    /// A series from its shortest pause on, up to its longest, before jitter.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(min)
            .with_max_delay(max)
            .without_max_times()
            .with_jitter()
            .build();
        Self { pauses, longest: max }
    }

    /// The next pause.
    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends, so there is nothing to unwrap"
    )]
    pub fn next(&mut self) -> Duration {
        self.pauses.next().unwrap_or(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let (min, max) = (Duration::from_millis(10), Duration::from_millis(80));
        let mut backoff = Backoff::new(min, max);
        for round in 0..100 {
            let pause = backoff.next();
            let base = (min * 2_u32.pow(round.min(3))).min(max);
            assert!(base <= pause && pause <= 2 * base, "round {round}: {pause:?}");
        }
    }
}
