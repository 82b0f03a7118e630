//! What a change leaves to do once the waits' lock is left.

use std::task::Waker;

use onceward_core::Timestamp;

use crate::deadline::EarlierDeadline;

/// Whom to wake, and what falls due. Both may run foreign code, so neither happens under a lock.
#[derive(Default)]
#[must_use]
pub(super) struct Aftermath {
    wakers: Vec<Waker>,
    earliest: Option<Timestamp>,
}

impl Aftermath {
    pub(super) fn wakes(&mut self, waker: Option<Waker>) {
        self.wakers.extend(waker);
    }

    pub(super) fn falls_due(&mut self, at: Option<Timestamp>) {
        self.earliest = self.earliest.into_iter().chain(at).min();
    }

    /// Tells everybody.
    pub(super) fn tell(self, earlier: &EarlierDeadline) {
        if let Some(at) = self.earliest {
            earlier.announce(at);
        }
        self.wake();
    }

    /// Tells those who wait. For a tick, which says itself when it wants to be called again.
    pub(super) fn wake(self) {
        self.wakers.into_iter().for_each(Waker::wake);
    }
}
