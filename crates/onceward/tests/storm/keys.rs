//! The keys of a storm, and who is known to own each.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use onceward::{Identity, Millis, Timestamp};

/// Keys that all threads fight for.
pub(crate) const FEW: u64 = 4;
/// Keys in all.
pub(crate) const MANY: u64 = 20_000;

/// By key: the largest fence that is known to have been granted, counted from the first of all,
/// and until when its owner keeps the key from others. One word, so that no lock orders threads
/// that nothing in the store orders; relaxed for the same reason.
pub(crate) struct Owners(Vec<AtomicU64>);

const TIME_BITS: u32 = 32;

impl Owners {
    pub(crate) fn new() -> Self {
        Self((0..MANY).map(|_| AtomicU64::new(0)).collect())
    }

    fn word(fence: u64, until: u64) -> u64 {
        assert!(fence >> (64 - TIME_BITS) == 0 && until >> TIME_BITS == 0, "a storm too long");
        fence << TIME_BITS | until
    }

    /// `fence` was granted at `granted` or before, and keeps others away until `until` at least.
    pub(crate) fn acquire(&self, key: u64, fence: u64, granted: Timestamp, until: Timestamp) {
        let word = Self::word(fence, until.as_millis());
        let before = self.0[key as usize].fetch_max(word, Relaxed);
        let (older, kept_until) = (before >> TIME_BITS, before & ((1 << TIME_BITS) - 1));
        assert!(
            older >= fence || kept_until <= granted.as_millis(),
            "S2, S7: key {key}: {fence} was granted by {granted:?} while {older} had it until {kept_until}"
        );
    }

    /// Its owner is about to let go, or may have been taken over.
    pub(crate) fn release(&self, key: u64, fence: u64) {
        let released = |word: u64| (word >> TIME_BITS == fence).then_some(Self::word(fence, 0));
        let _ = self.0[key as usize].fetch_update(Relaxed, Relaxed, released);
    }
}

/// One key's text: half of them UUIDs and ULIDs, which are stored in another form.
pub(crate) fn text(key: u64) -> String {
    match key % 4 {
        0 => format!("{key:08x}-ac96-774b-bcce-b302099a8057"),
        1 => format!("01ARZ3NDEKTSV4RRFFQ{key:07}"),
        _ => format!("order-{key}"),
    }
}

pub(crate) fn identity(text: &str) -> Identity<'_> {
    Identity::new("orders", b"tenant", text.as_bytes()).expect("valid")
}

/// Whether somebody forgets results of this key: the others keep theirs to the end.
pub(crate) const fn is_forgotten(key: u64) -> bool {
    key % 2 == 1
}

/// The earliest end of something that was granted after `asked`.
pub(crate) fn earliest(asked: Timestamp, left: Millis) -> Timestamp {
    asked.after(left)
}
