//! Tells the caller of `tick` when something falls due before it meant to come back.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use onceward_core::Timestamp;
use parking_lot::RwLock;

use crate::segments::atomic::{AtomicBool, AtomicU64, fence, fence_after_exchange};
use crate::segments::mutant::{Mutant, mutated};

type Hook = Arc<dyn Fn() + Send + Sync>;

/// What the last tick promised, and whom to call when that turns out too late.
///
/// Invariant: an instant is announced once what is due then can be seen by a tick; so it is seen by
/// a tick that begins later, or returned by the tick that runs, or earlier than what was promised
/// and hence told to the hook. While a tick runs nobody is told: its driver is busy, and would only
/// tick once more.
///
/// Ordering: an announcement is, in this order, what falls due made visible, a fence, and a look
/// at what was promised. A tick is the promise taken back, a fence, and a look at what is due. So
/// of two that overlap at least one sees the other: an announcer that still finds an instant
/// promised no later than its own may leave it at that, for the tick that takes that promise back
/// finds what is due. `ticking` and what is gathered are a pair of the same kind.
pub(crate) struct EarlierDeadline {
    promised_ms: AtomicU64,
    ticking: AtomicBool,
    hook: RwLock<Option<Hook>>,
}

impl EarlierDeadline {
    pub(crate) fn new() -> Self {
        Self {
            promised_ms: AtomicU64::new(u64::MAX),
            ticking: AtomicBool::new(false),
            hook: RwLock::new(None),
        }
    }

    pub(crate) fn set_hook(&self, hook: Hook) {
        *self.hook.write() = Some(hook);
    }

    /// A tick begins: what is announced from here on is gathered for [`EarlierDeadline::promise`].
    pub(crate) fn gather(&self) {
        self.ticking.store(true, Release);
        // A swap, not a store: whoever announced before it has been seen to have done so.
        self.promised_ms.swap(u64::MAX, AcqRel);
        if !mutated(Mutant::GatherUnfenced) {
            fence(SeqCst);
        }
    }

    /// A tick ends, and found `next` to be due next. When to tick again, with what was gathered.
    pub(crate) fn promise(&self, next: Option<Timestamp>) -> Option<Timestamp> {
        // First this, so that whoever announces after the line below tells the hook.
        self.ticking.store(false, Release);
        fence(SeqCst);
        let next = next.map_or(u64::MAX, Timestamp::as_millis);
        let next = self.promised_ms.fetch_min(next, AcqRel).min(next);
        (next != u64::MAX).then_some(Timestamp::from_millis(next))
    }

    /// Something falls due at `at`. Mostly something earlier is promised already, and this is a
    /// look at a line that all threads share.
    pub(crate) fn announce(&self, at: Timestamp) {
        if !mutated(Mutant::AnnounceUnfenced) {
            fence(SeqCst);
        }
        self.announce_fenced(at);
    }

    /// [`EarlierDeadline::announce`] of what was made visible by an atomic read-modify-write.
    #[inline]
    pub(crate) fn announce_exchanged(&self, at: Timestamp) {
        if !mutated(Mutant::AnnounceUnfenced) {
            fence_after_exchange();
        }
        self.announce_fenced(at);
    }

    #[inline]
    fn announce_fenced(&self, at: Timestamp) {
        let at = at.as_millis();
        if self.promised_ms.load(Relaxed) <= at {
            return;
        }
        let before = self.promised_ms.fetch_min(at, AcqRel);
        fence(SeqCst);
        if before > at && !self.ticking.load(Acquire) {
            // Called without the lock: it is foreign code.
            let hook = self.hook.read().clone();
            if let Some(hook) = hook {
                hook();
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[test]
    fn only_what_is_earlier_is_told_s21() {
        let deadline = EarlierDeadline::new();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        deadline.set_hook(Arc::new(move || {
            counted.fetch_add(1, SeqCst);
        }));
        let announce = |at| {
            let before = calls.load(SeqCst);
            deadline.announce(Timestamp::from_millis(at));
            calls.load(SeqCst) - before
        };
        assert_eq!(announce(100), 1, "nothing was promised");
        assert_eq!(announce(100), 0, "already told");
        assert_eq!(announce(50), 1);
        deadline.gather();
        assert_eq!(announce(90), 0, "a tick runs");
        let at = |millis| Some(Timestamp::from_millis(millis));
        assert_eq!(deadline.promise(at(95)), at(90), "its driver is told at its end");
        assert_eq!(announce(91), 0, "later than what was promised");
        assert_eq!(announce(89), 1);
        deadline.gather();
        assert_eq!(deadline.promise(None), None, "nothing is due by itself");
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
