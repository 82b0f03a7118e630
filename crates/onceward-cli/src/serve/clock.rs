//! The clock of `--test-clock`: it moves only when it is told to.

use std::sync::atomic::{AtomicU64, Ordering};

use onceward::{Clock, Millis, Timestamp};

/// Milliseconds since the start of the run.
#[derive(Debug, Default)]
pub(crate) struct ScriptedClock(AtomicU64);

impl ScriptedClock {
    /// Moves the clock; it stops at the largest instant.
    pub(crate) fn advance(&self, by: Millis) -> Timestamp {
        let moved = |now: u64| now.saturating_add(by.get());
        // One thread moves it, so that what it was and what it becomes belong together.
        let now = moved(self.0.load(Ordering::Acquire));
        self.0.store(now, Ordering::Release);
        Timestamp::from_millis(now)
    }
}

impl Clock for ScriptedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Acquire))
    }
}
