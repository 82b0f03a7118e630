//! Tells the caller of `tick` when something falls due before it meant to come back.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Release};
use std::sync::{Arc, OnceLock};

use onceward_core::Timestamp;

type Hook = Arc<dyn Fn() + Send + Sync>;

/// What the last tick promised, and whom to call when that turns out too late.
///
/// Invariant: an instant announced after a tick began is either seen by that tick, or earlier
/// than what is promised and hence told to the hook. While a tick runs nothing is promised.
pub(crate) struct EarlierDeadline {
    promised_ms: AtomicU64,
    hook: OnceLock<Hook>,
}

impl EarlierDeadline {
    pub(crate) fn new() -> Self {
        Self { promised_ms: AtomicU64::new(u64::MAX), hook: OnceLock::new() }
    }

    pub(crate) fn set_hook(&self, hook: Hook) {
        // The first hook stays: a store has one driver.
        let _ = self.hook.set(hook);
    }

    /// A tick begins: until it ends, everything announced is earlier than what is promised.
    pub(crate) fn rearm(&self) {
        self.promised_ms.store(u64::MAX, Release);
    }

    /// A tick ends, and will be called again at `next`.
    pub(crate) fn promise(&self, next: Option<Timestamp>) {
        let next = next.map_or(u64::MAX, Timestamp::as_millis);
        self.promised_ms.fetch_min(next, AcqRel);
    }

    /// Something falls due at `at`.
    pub(crate) fn announce(&self, at: Timestamp) {
        let at = at.as_millis();
        if self.promised_ms.fetch_min(at, AcqRel) > at
            && let Some(hook) = self.hook.get()
        {
            hook();
        }
    }
}

#[cfg(test)]
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
        deadline.rearm();
        assert_eq!(announce(90), 1, "while a tick runs");
        deadline.promise(Some(Timestamp::from_millis(95)));
        assert_eq!(announce(91), 0, "90 was told and not yet ticked");
    }
}
