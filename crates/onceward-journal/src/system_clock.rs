//! The one file of this crate that reads clocks. Everything else takes `now` as a parameter.

use std::sync::Arc;

use nix::time::ClockId;
use onceward::{BootClock, Clock as _, Millis};

use crate::clock::{ClockReading, ClockRecord, resume};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[cfg(target_os = "linux")]
const SINCE_BOOT: ClockId = ClockId::CLOCK_BOOTTIME;
#[cfg(not(target_os = "linux"))]
const SINCE_BOOT: ClockId = ClockId::CLOCK_MONOTONIC;

/// What the machine's clocks say now. Read through the C library, so that tools which shift a
/// process's clocks reach it.
#[must_use]
pub fn read_clocks() -> ClockReading {
    let boot_id = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
    ClockReading {
        boot_id: boot_id.trim().to_owned(),
        boot_ms: micros(SINCE_BOOT) / 1_000,
        wall_ms: wall_ms(),
    }
}

/// Milliseconds since 1970 by the wall clock: recorded, and ends nothing (S15).
#[must_use]
pub fn wall_ms() -> u64 {
    micros(ClockId::CLOCK_REALTIME) / 1_000
}

/// The store's clock after a restart, and the record of it from now on.
#[must_use]
pub fn resume_clock(record: &ClockRecord, count_downtime: Millis) -> (Arc<BootClock>, ClockRecord) {
    let reading = read_clocks();
    let clock = BootClock::resuming_at(resume(record, &reading, count_downtime));
    // The clock began a little after the reading. Read the other way round, the record lags
    // behind the clock rather than running ahead of it, so a restart ends nothing early. Both count
    // the same milliseconds, so nothing is rounded.
    let store_ms = clock.now().as_millis();
    let record = ClockRecord::of(store_ms, &read_clocks());
    (Arc::new(clock), record)
}

/// Microseconds of a clock that measures how long a sync takes.
pub(crate) fn monotonic_micros() -> u64 {
    micros(ClockId::CLOCK_MONOTONIC)
}

/// Zero where the kernel lacks the clock, and before 1970.
fn micros(clock: ClockId) -> u64 {
    clock.now().map_or(0, |now| {
        let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(now.tv_nsec()).unwrap_or(0);
        seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resumed_clock_counts_the_milliseconds_since_boot_s15() {
        let (_, record) = resume_clock(&ClockRecord::default(), Millis::ZERO);
        for start in 0..20 {
            let (clock, _) = resume_clock(&record, Millis::ZERO);
            let from = read_clocks().boot_ms;
            let (mut least, mut most) = (i64::MIN, i64::MAX);
            // By how much it is ahead of the time since boot, at every part of a few milliseconds.
            while read_clocks().boot_ms < from + 3 {
                let before = read_clocks().boot_ms as i64;
                let store = clock.now().as_millis() as i64;
                let after = read_clocks().boot_ms as i64;
                (least, most) = (least.max(store - after), most.min(store - before));
            }
            assert!(
                least <= most,
                "start {start}: ahead by {most} at one time, {least} at another"
            );
            assert!(least <= record.boot_offset_ms, "start {start}: a restart put it ahead");
        }
    }

    #[test]
    fn a_resumed_clock_goes_on_and_its_record_never_runs_ahead_s15() {
        let record = ClockRecord { store_ms: 5_000, ..ClockRecord::default() };
        let (clock, first) = resume_clock(&record, Millis::ZERO);
        assert!(clock.now().as_millis() >= 5_000);
        assert!(first.store_ms >= 5_000 && first.store_ms <= clock.now().as_millis());
        let boot_ms = read_clocks().boot_ms;
        assert!(boot_ms.saturating_add_signed(first.boot_offset_ms) <= clock.now().as_millis());
    }
}
