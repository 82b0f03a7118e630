//! Where a waiter's answer is put, and who is to be woken for it.

use std::task::{Poll, Waker};

use onceward_core::{Begin, BeginOutcome, GetOutcome, Position};

use crate::answer::StoreError;
use crate::engine::{Effect, Judged};
use crate::segments::atomic::Mutex;
use crate::segments::mutant::{Mutant, mutated};

/// What a waiter asks.
pub(crate) enum Ask {
    Begin(Begin),
    Get,
}

/// What a waiter is told.
pub(crate) enum Reply {
    Begin(Judged<BeginOutcome<()>>),
    Get(Judged<GetOutcome<()>>),
}

impl Reply {
    pub(crate) fn effect(&self) -> Effect {
        match self {
            Self::Begin(judged) => judged.effect,
            Self::Get(judged) => judged.effect,
        }
    }
}

/// A reply, and how far the journal must be synced before it may be told.
pub(crate) type Told = (Reply, Position);

/// One waiter's answer. Shared by its ticket and its queue.
pub(crate) struct Slot(Mutex<State>);

enum State {
    Waiting(Waker),
    Answered(Result<Told, StoreError>),
    Taken,
}

impl Slot {
    pub(crate) fn new(waker: Waker) -> Self {
        Self(Mutex::new(State::Waiting(waker)))
    }

    /// Puts the answer there; whom to wake, if anybody waits.
    pub(crate) fn answer(&self, reply: Result<Told, StoreError>) -> Option<Waker> {
        if mutated(Mutant::WakeBeforeAnswer) {
            if let State::Waiting(waker) = &*self.0.lock() {
                waker.wake_by_ref();
            }
            *self.0.lock() = State::Answered(reply);
            return None;
        }
        match std::mem::replace(&mut *self.0.lock(), State::Answered(reply)) {
            State::Waiting(waker) => Some(waker),
            State::Answered(_) | State::Taken => None,
        }
    }

    /// Takes the answer, once, or leaves `waker` to be called for it.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<Result<Told, StoreError>> {
        // Copied before the lock is taken, and the one before dropped after it is left: they are
        // foreign code.
        let fresh = State::Waiting(waker.clone());
        let mut state = self.0.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            before @ State::Waiting(_) => {
                *state = fresh;
                drop(state);
                drop(before);
                Poll::Pending
            }
            State::Answered(reply) => Poll::Ready(reply),
            // Polled again after its answer was taken: there is none.
            State::Taken => Poll::Ready(Err(StoreError::Unavailable)),
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
