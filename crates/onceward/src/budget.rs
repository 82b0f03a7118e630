//! The memory limit: what is charged, what is set aside, and the headroom (S11).

use std::sync::atomic::Ordering::Relaxed;

use crate::segments::atomic::AtomicU64;
use crate::segments::mutant::{Mutant, mutated};

/// One part in this many of the limit is kept from begins, for results beyond their set-aside.
const HEADROOM_DIVISOR: u64 = 50;

/// Bytes charged against a fixed limit. Lock-free; every figure is advisory except the bounds.
///
/// Invariants: a begin never takes the charge past `room - headroom`, nothing takes it past
/// `room`, except what [`Budget::charge`] is told to charge regardless: what is owed to live
/// entries, and the rests of segments, a few parts in a hundred of a small limit and less of a
/// large one.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    /// What may be charged: the limit without what the storage takes at the start.
    room: u64,
    headroom: u64,
    used: AtomicU64,
    high_water: AtomicU64,
}

impl Budget {
    /// A limit of which `taken` bytes, at most half, are not there to be charged.
    pub(crate) fn new(limit: u64, taken: u64) -> Self {
        let room = limit - taken.min(limit / 2);
        let headroom = room / HEADROOM_DIVISOR;
        Self { limit, room, headroom, used: AtomicU64::new(0), high_water: AtomicU64::new(0) }
    }

    /// Charges `bytes` for a begin, unless that would touch the headroom.
    #[inline]
    pub(crate) fn reserve(&self, bytes: u64) -> bool {
        self.take(bytes, self.room - self.headroom)
    }

    /// Charges `bytes` beyond a set-aside, unless that would pass the limit.
    #[inline]
    pub(crate) fn draw(&self, bytes: u64) -> bool {
        self.take(bytes, self.room)
    }

    /// Charges `bytes` regardless, for what must be remembered and is bounded in number.
    #[inline]
    pub(crate) fn charge(&self, bytes: u64) {
        if bytes > 0 {
            let used = self.used.fetch_add(bytes, Relaxed) + bytes;
            self.note(used);
        }
    }

    #[inline]
    fn note(&self, used: u64) {
        // Mostly a load: the mark is rarely passed.
        if self.high_water.load(Relaxed) < used {
            self.high_water.fetch_max(used, Relaxed);
        }
    }

    #[inline]
    pub(crate) fn release(&self, bytes: u64) {
        if bytes > 0 {
            let before = self.used.fetch_sub(bytes, Relaxed);
            debug_assert!(before >= bytes, "released more than was charged");
        }
    }

    #[inline]
    fn take(&self, bytes: u64, up_to: u64) -> bool {
        if mutated(Mutant::BudgetChecksFirst) {
            let room = self.used() + bytes <= up_to;
            if room {
                self.charge(bytes);
            }
            return room;
        }
        let taken = self.used.fetch_update(Relaxed, Relaxed, |used| {
            used.checked_add(bytes).filter(|&after| after <= up_to)
        });
        if let Ok(before) = taken {
            self.note(before + bytes);
        }
        taken.is_ok()
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    pub(crate) fn high_water(&self) -> u64 {
        self.high_water.load(Relaxed)
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn begins_stop_at_the_headroom_and_completes_at_the_limit_s11() {
        let budget = Budget::new(1_000, 0);
        assert!(budget.reserve(980));
        assert!(!budget.reserve(1), "the headroom is not for begins");
        assert!(budget.draw(20));
        assert!(!budget.draw(1), "nothing passes the limit");
        budget.release(100);
        assert!(budget.reserve(80) && !budget.reserve(1));
        assert_eq!((budget.used(), budget.high_water()), (980, 1_000));
        assert!(!budget.reserve(u64::MAX), "no overflow");
        let beside = Budget::new(1_000, 100);
        assert!(!beside.draw(901) && beside.draw(900), "an index takes its part");
        assert_eq!((beside.limit(), Budget::new(1_000, 900).room), (1_000, 500), "half at most");
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
