//! The one file that reads clocks. Everything below takes `now` as a parameter.

use onceward_core::{Clock, Millis, Timestamp};

#[cfg(target_os = "linux")]
const NANOS_PER_SEC: u64 = 1_000_000_000;
#[cfg(target_os = "linux")]
const NANOS_PER_MILLI: u64 = 1_000_000;

/// The store's clock in production: time since boot, sleep included, so that no change of the
/// wall clock ends anything (S15).
#[derive(Debug)]
pub struct BootClock {
    base: Timestamp,
    started: Reading,
}

impl BootClock {
    /// A clock that starts at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::resuming_at(Timestamp::ZERO)
    }

    /// A clock that goes on from `recorded`, the last instant that an earlier process recorded. Its
    /// milliseconds begin with those since boot: so the two differ by the same number at any time, and
    /// whoever records that number gains nothing of a millisecond with each restart (S15).
    #[must_use]
    pub fn resuming_at(recorded: Timestamp) -> Self {
        Self { base: recorded, started: Reading::now().at_its_millisecond() }
    }

    /// What this clock must not be.
    #[cfg(feature = "planted-bugs")]
    fn by_wall_clock(&self) -> Timestamp {
        static STARTED: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
        let (now, started) = (wall_clock_ms(), *STARTED.get_or_init(wall_clock_ms));
        self.base.after(Millis::new(now.saturating_sub(started)))
    }
}

impl Default for BootClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for BootClock {
    #[inline]
    fn now(&self) -> Timestamp {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::planted(crate::planted::Bug::EarlyEndAfterClockStep) {
            return self.by_wall_clock();
        }
        self.base.after(self.started.elapsed())
    }
}

/// A reading of the boot clock. Taken through libc rather than by a raw system call, so that
/// tools which shift a process's clocks reach it.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Reading {
    /// Nanoseconds since boot, of which 64 bits hold 584 years.
    nanos: u64,
}

#[cfg(target_os = "linux")]
impl Reading {
    #[inline]
    fn now() -> Self {
        let clock = nix::time::ClockId::CLOCK_BOOTTIME;
        // Fails only where the kernel lacks the clock, which none since 2.6.39 does.
        let nanos = clock.now().map_or(0, |now| {
            let seconds = now.tv_sec().cast_unsigned().saturating_mul(NANOS_PER_SEC);
            seconds.saturating_add(now.tv_nsec().cast_unsigned())
        });
        Self { nanos }
    }

    /// When the millisecond began in which it was taken.
    fn at_its_millisecond(self) -> Self {
        Self { nanos: self.nanos - self.nanos % NANOS_PER_MILLI }
    }

    #[inline]
    fn elapsed(&self) -> Millis {
        Millis::new(Self::now().nanos.saturating_sub(self.nanos) / NANOS_PER_MILLI)
    }
}

/// Elsewhere the monotonic clock stands in; it may not count sleep, which keeps keys longer.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
struct Reading(std::time::Instant);

#[cfg(not(target_os = "linux"))]
impl Reading {
    #[expect(clippy::disallowed_methods, reason = "this is the one clock file")]
    #[inline]
    fn now() -> Self {
        Self(std::time::Instant::now())
    }

    /// There is no recorded number to agree with.
    fn at_its_millisecond(self) -> Self {
        self
    }

    #[inline]
    fn elapsed(&self) -> Millis {
        Millis::new(u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// Milliseconds of wall clock since 1970. It ends nothing: it keeps fences growing across
/// restarts without a data directory (S22), and marks the boot epoch.
#[expect(clippy::disallowed_methods, reason = "this is the one clock file")]
pub(crate) fn wall_clock_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_resumes_and_never_goes_back_s15() {
        let clock = BootClock::resuming_at(Timestamp::from_millis(5_000));
        let mut last = Timestamp::from_millis(5_000);
        for _ in 0..1_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
