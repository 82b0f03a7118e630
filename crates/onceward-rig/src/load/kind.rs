//! What kinds of keys there are: each key's number decides how long its leases and retention are.

use std::time::Duration;

use onceward_testkit::SplitMix64;

use crate::call::Print;

/// How the callers of one key begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Kind {
    pub(crate) lease: Duration,
    pub(crate) retention: Duration,
    pub(crate) in_doubt: bool,
    /// Begins come before the body has been read (S9).
    pub(crate) later: bool,
}

const HOUR: Duration = Duration::from_secs(3_600);

impl Kind {
    pub(crate) fn of(key: u32) -> Self {
        let mut random = SplitMix64::new(u64::from(key) ^ 0x6b69_6e64);
        let usual =
            Self { lease: Duration::from_secs(30), retention: HOUR, in_doubt: false, later: false };
        let short = Duration::from_millis(300);
        match random.within(0..100) {
            // The owner outlives crashes.
            0..40 => usual,
            // Another level of retention, and so another file.
            40..50 => Self { retention: HOUR * 4, ..usual },
            // Owners fall silent, others take over.
            50..68 => Self { lease: short, ..usual },
            68..78 => Self { lease: short, in_doubt: true, ..usual },
            78..88 => Self { lease: Duration::from_millis(500), later: true, ..usual },
            // Files that are rotated and dropped within a run.
            88..95 => Self { lease: short, retention: Duration::from_millis(1_500), ..usual },
            _ => Self { lease: short, retention: Duration::from_secs(6), ..usual },
        }
    }
}

/// The fingerprint of what is usually asked about `key`.
pub(crate) const fn usual_print(key: u32) -> u64 {
    key as u64
}

/// The fingerprint of something else.
pub(crate) const fn other_print(key: u32) -> u64 {
    key as u64 | 1 << 40
}

impl Kind {
    pub(crate) fn print(&self, key: u32) -> Print {
        if self.later { Print::Later } else { Print::Digest(usual_print(key)) }
    }
}
