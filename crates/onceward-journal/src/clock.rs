//! How the store's clock goes on after a restart (S15), as a pure function.

use onceward::{Millis, Timestamp};
use serde::{Deserialize, Serialize};

/// What is recorded of the store's clock.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ClockRecord {
    /// Of the boot that `boot_offset_ms` speaks of; empty where boots have no names.
    pub boot_id: String,
    /// The store's time less the time since boot.
    pub boot_offset_ms: i64,
    /// The store's time when it was last recorded.
    pub store_ms: u64,
    /// The wall clock then: counts downtime, and ends nothing.
    pub wall_ms: u64,
}

/// What the machine's clocks say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClockReading {
    /// Empty if it cannot be read: then no two boots are the same.
    pub boot_id: String,
    /// Milliseconds since boot, sleep included.
    pub boot_ms: u64,
    /// Milliseconds since 1970 by the wall clock.
    pub wall_ms: u64,
}

impl ClockRecord {
    /// The record of a clock that says `store_ms` at `reading`.
    #[must_use]
    pub fn of(store_ms: u64, reading: &ClockReading) -> Self {
        let boot_offset_ms = i64::try_from(i128::from(store_ms) - i128::from(reading.boot_ms));
        Self {
            boot_id: reading.boot_id.clone(),
            boot_offset_ms: boot_offset_ms.unwrap_or(i64::MAX),
            store_ms,
            wall_ms: reading.wall_ms,
        }
    }
}

/// The store's time at `reading`, if the latest record is `record`.
///
/// Within one boot the time since then has passed, whatever the process did. After another boot
/// only what the wall clock says has passed counts, up to `count_downtime`: it may have been set,
/// so by default nothing counts, and keys are kept longer. Never earlier than recorded.
#[must_use]
pub fn resume(record: &ClockRecord, reading: &ClockReading, count_downtime: Millis) -> Timestamp {
    let same_boot = !record.boot_id.is_empty() && record.boot_id == reading.boot_id;
    let resumed = if same_boot {
        reading.boot_ms.saturating_add_signed(record.boot_offset_ms)
    } else {
        let passed = reading.wall_ms.saturating_sub(record.wall_ms);
        record.store_ms.saturating_add(passed.min(count_downtime.get()))
    };
    Timestamp::from_millis(resumed.max(record.store_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(boot_id: &str, boot_ms: u64, wall_ms: u64) -> ClockReading {
        ClockReading { boot_id: boot_id.into(), boot_ms, wall_ms }
    }

    #[test]
    fn the_clock_goes_on_as_s15_says() {
        const HOURS: u64 = 3_600_000;
        let record = ClockRecord {
            boot_id: "a".into(),
            boot_offset_ms: -1_000,
            store_ms: 500,
            wall_ms: 100 * HOURS,
        };
        #[rustfmt::skip]
        let cases = [
            ("same boot: all of boot time counts",        reading("a", 9_000, 100 * HOURS), 0, 8_000),
            ("same boot, wall clock 49 h ahead: as well", reading("a", 9_000, 149 * HOURS), HOURS, 8_000),
            ("same boot, wall clock 49 h back: as well",  reading("a", 9_000, 51 * HOURS), HOURS, 8_000),
            ("same boot, a boot clock that lies: never back", reading("a", 1_200, 0), 0, 500),
            ("boot time below the offset: never back",    reading("a", 3, 0), 0, 500),
            ("a reboot: downtime does not count",         reading("b", 9_000, 149 * HOURS), 0, 500),
            ("a reboot: it counts as far as told",        reading("b", 9_000, 149 * HOURS), HOURS, 500 + HOURS),
            ("a reboot: no more than passed",             reading("b", 9_000, 100 * HOURS + 7), HOURS, 507),
            ("a reboot and a wall clock set back: none",  reading("b", 9_000, 51 * HOURS), HOURS, 500),
            ("boots without names are never the same",    reading("", 9_000, 100 * HOURS), 0, 500),
        ];
        for (why, reading, count_downtime, want) in cases {
            let got = resume(&record, &reading, Millis::new(count_downtime));
            assert_eq!(got.as_millis(), want, "{why}");
        }
        let nameless = ClockRecord { boot_id: String::new(), ..record };
        let got = resume(&nameless, &reading("", 9_000, 0), Millis::ZERO);
        assert_eq!(got.as_millis(), 500, "two boots without a name are not one");
    }

    #[test]
    fn a_record_resumes_where_it_was_made_s15() {
        for (store_ms, boot_ms) in [(0, 0), (5, 1_000_000), (1_000_000, 5), (u64::MAX, 0)] {
            let reading = reading("a", boot_ms, 0);
            let record = ClockRecord::of(store_ms, &reading);
            assert_eq!(resume(&record, &reading, Millis::ZERO).as_millis(), store_ms);
        }
    }
}
