//! The machine's time: it passes only when the simulation says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use onceward::{Clock, Millis, Timestamp};
use onceward_journal::ClockReading;

/// Where the wall clock stands at first: in 2027, in milliseconds since 1970.
const WALL_AT_FIRST_MS: u64 = 1_800_000_000_000;

/// True time since the simulation began, the time since boot, and what the wall clock shows.
#[derive(Debug)]
pub(crate) struct Time {
    now_us: AtomicU64,
    booted_at_us: AtomicU64,
    boots: AtomicU64,
    /// Less true time, as a number that may have wrapped.
    wall_ahead_ms: AtomicU64,
}

impl Default for Time {
    fn default() -> Self {
        Self {
            now_us: AtomicU64::new(0),
            booted_at_us: AtomicU64::new(0),
            boots: AtomicU64::new(1),
            wall_ahead_ms: AtomicU64::new(WALL_AT_FIRST_MS),
        }
    }
}

impl Time {
    /// Microseconds since the simulation began.
    pub(crate) fn now_us(&self) -> u64 {
        self.now_us.load(Relaxed)
    }

    /// Time passes up to `now_us`.
    pub(crate) fn pass(&self, now_us: u64) {
        self.now_us.fetch_max(now_us, Relaxed);
    }

    /// The machine is booted again.
    pub(crate) fn boot(&self) {
        self.booted_at_us.store(self.now_us(), Relaxed);
        self.boots.fetch_add(1, Relaxed);
    }

    /// Somebody sets the wall clock.
    pub(crate) fn step_wall(&self, by_ms: i64) {
        self.wall_ahead_ms.fetch_add(by_ms.cast_unsigned(), Relaxed);
    }

    fn boot_ms(&self) -> u64 {
        (self.now_us() - self.booted_at_us.load(Relaxed)) / 1_000
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        self.wall_ahead_ms.load(Relaxed).wrapping_add(self.now_us() / 1_000)
    }

    /// What the machine's clocks say.
    pub(crate) fn read(&self) -> ClockReading {
        ClockReading {
            boot_id: format!("boot {}", self.boots.load(Relaxed)),
            boot_ms: self.boot_ms(),
            wall_ms: self.wall_ms(),
        }
    }
}

/// The store's clock within one life, as the daemon's goes on from where it was resumed (S15).
#[derive(Debug)]
pub(crate) struct StoreClock {
    time: Arc<Time>,
    base: Timestamp,
    started_us: u64,
}

impl StoreClock {
    pub(crate) fn resuming_at(base: Timestamp, time: &Arc<Time>) -> Self {
        Self { time: Arc::clone(time), base, started_us: time.now_us() }
    }

    /// The first microsecond at which it shows `instant`, or later.
    pub(crate) fn when(&self, instant: Timestamp) -> u64 {
        let ms = instant.since(self.base).get();
        self.started_us.saturating_add(ms.saturating_mul(1_000))
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        self.base.after(Millis::new((self.time.now_us() - self.started_us) / 1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boots_and_steps_of_the_wall_clock_are_what_the_machine_shows_of_time() {
        let time = Arc::new(Time::default());
        time.pass(5_000_000);
        let before = time.read();
        assert_eq!((before.boot_ms, before.wall_ms), (5_000, WALL_AT_FIRST_MS + 5_000));
        time.step_wall(-49 * 3_600_000);
        assert_eq!(time.wall_ms(), WALL_AT_FIRST_MS + 5_000 - 49 * 3_600_000);
        time.boot();
        time.pass(5_001_999);
        let after = time.read();
        assert_eq!(after.boot_ms, 1);
        assert_ne!(after.boot_id, before.boot_id);
    }

    #[test]
    fn a_stores_clock_says_when_it_will_show_an_instant() {
        let time = Arc::new(Time::default());
        time.pass(1_500);
        let clock = StoreClock::resuming_at(Timestamp::from_millis(70), &time);
        let wanted = Timestamp::from_millis(75);
        time.pass(clock.when(wanted) - 1);
        assert_eq!(clock.now().as_millis(), 74);
        time.pass(clock.when(wanted));
        assert_eq!(clock.now(), wanted);
        assert_eq!(clock.when(Timestamp::ZERO), 1_500);
    }
}
