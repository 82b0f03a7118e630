//! Instants on this process's clock, made from lengths that a peer or a caller names.

use onceward_core::Millis;
use tokio::time::Instant;

/// Longest length that is told apart from a longer one: 400 days, the ceiling of any retention. A
/// longer one, which only a broken peer or caller names, counts as this much, so that no sum of
/// instants overflows.
const LENGTH_MAX: Millis = Millis::from_secs(400 * 24 * 3_600);

/// `start` and `length`, whatever a peer or a caller says that is.
#[must_use]
pub fn after(start: Instant, length: Millis) -> Instant {
    start + length.min(LENGTH_MAX).as_duration()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_length_overflows() {
        let now = Instant::now();
        assert_eq!(after(now, Millis::new(5)) - now, Millis::new(5).as_duration());
        assert_eq!(after(now, Millis::new(u64::MAX)) - now, LENGTH_MAX.as_duration());
    }
}
