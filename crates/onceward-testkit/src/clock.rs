//! A clock that moves only when a test says so.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use onceward_core::{Clock, Millis, Timestamp};

/// Store time under the test's control. Share it by `Arc`; every method may be called from any
/// thread. Like the product's clock it never goes back (S15).
#[derive(Debug)]
pub struct ManualClock {
    now_ms: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `start_ms` milliseconds.
    #[must_use]
    pub const fn new(start_ms: u64) -> Self {
        Self { now_ms: AtomicU64::new(start_ms) }
    }

    /// Moves forward by `length`, from wherever other threads have moved it to, and returns the
    /// new instant. Stops at [`Timestamp::MAX`].
    pub fn advance(&self, length: Millis) -> Timestamp {
        let later = |now: u64| Some(now.saturating_add(length.get()));
        let before = match self.now_ms.fetch_update(Ordering::SeqCst, Ordering::SeqCst, later) {
            Ok(before) | Err(before) => before,
        };
        Timestamp::from_millis(before).after(length)
    }

    /// Moves to `instant`; standing still is allowed.
    ///
    /// # Errors
    /// [`ClockWouldGoBack`] if the clock is past `instant` already; it then stays where it is.
    pub fn set(&self, instant: Timestamp) -> Result<(), ClockWouldGoBack> {
        let wanted = instant.as_millis();
        let forward = |now: u64| (now <= wanted).then_some(wanted);
        match self.now_ms.fetch_update(Ordering::SeqCst, Ordering::SeqCst, forward) {
            Ok(_) => Ok(()),
            Err(now) => Err(ClockWouldGoBack { now: Timestamp::from_millis(now), wanted: instant }),
        }
    }

    /// Where the clock stands.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms.load(Ordering::SeqCst))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Self::now(self)
    }
}

/// A test asked for an instant that has passed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockWouldGoBack {
    /// Where the clock stands.
    pub now: Timestamp,
    /// Where it was to go.
    pub wanted: Timestamp,
}

impl fmt::Display for ClockWouldGoBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (now, wanted) = (self.now.as_millis(), self.wanted.as_millis());
        write!(f, "clock stands at {now} ms and cannot go back to {wanted} ms")
    }
}

impl core::error::Error for ClockWouldGoBack {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_by_hand_and_never_back_s15() {
        let clock = ManualClock::new(10);
        assert_eq!(clock.now(), Timestamp::from_millis(10));
        assert_eq!(clock.advance(Millis::new(5)), Timestamp::from_millis(15));
        assert_eq!(clock.set(Timestamp::from_millis(15)), Ok(()), "standing still");
        assert_eq!(clock.set(Timestamp::from_millis(20)), Ok(()));
        let back = clock.set(Timestamp::from_millis(19)).unwrap_err();
        assert_eq!(back.to_string(), "clock stands at 20 ms and cannot go back to 19 ms");
        assert_eq!(clock.now(), Timestamp::from_millis(20), "a refused move changes nothing");
        assert_eq!(clock.advance(Millis::new(u64::MAX)), Timestamp::MAX, "no overflow");
        let shared: &dyn Clock = &clock;
        assert_eq!(shared.now(), Timestamp::MAX);
    }
}
