//! What a layer counts.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use onceward_core::{BeginOutcome, Certainty, NotKept};

/// What a layer has counted since it was made, over all services it guards. What its policy decides
/// (missing keys, failing open, releases) is in the [`Audit`](onceward_http::Audit).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct LayerStats {
    /// Handlers whose result was stored.
    pub completed: u64,
    /// Of those, results whose body the store does not keep (S12).
    pub not_kept: u64,
    /// Answers that repeat an earlier one.
    pub replayed: u64,
    /// Requests refused because another with their key runs.
    pub in_progress: u64,
    /// Requests refused because the outcome of an earlier one is not known.
    pub in_doubt: u64,
    /// Requests whose key was used for another payload.
    pub mismatched: u64,
    /// Handlers whose key was given back as not done.
    pub abandoned_not_done: u64,
    /// Handlers whose key was left in doubt.
    pub abandoned_in_doubt: u64,
    /// Handlers whose key passed to somebody else before their result was stored (H6).
    pub lost_ownership: u64,
    /// Handlers whose result could not be stored because the store did not answer (H6).
    pub not_stored: u64,
    /// Answers for which nobody waited any more.
    pub hung_up: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    completed: AtomicU64,
    not_kept: AtomicU64,
    replayed: AtomicU64,
    in_progress: AtomicU64,
    in_doubt: AtomicU64,
    mismatched: AtomicU64,
    abandoned_not_done: AtomicU64,
    abandoned_in_doubt: AtomicU64,
    lost_ownership: AtomicU64,
    not_stored: AtomicU64,
    hung_up: AtomicU64,
}

fn add(counter: &AtomicU64) {
    // Nothing rests on their order.
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn completed(&self, not_kept: Option<NotKept>) {
        add(&self.completed);
        if not_kept.is_some() {
            add(&self.not_kept);
        }
    }

    pub(crate) fn answered(&self, answer: &BeginOutcome<Bytes>) {
        match answer {
            BeginOutcome::Replay(_) => add(&self.replayed),
            BeginOutcome::InProgress { .. } => add(&self.in_progress),
            BeginOutcome::InDoubt { .. } => add(&self.in_doubt),
            BeginOutcome::Mismatch => add(&self.mismatched),
            BeginOutcome::Acquired(_)
            | BeginOutcome::NeedFingerprint
            | BeginOutcome::Refused { .. }
            | BeginOutcome::Gone
            | BeginOutcome::Expired { .. } => {}
        }
    }

    pub(crate) fn gave_up(&self, certainty: Certainty) {
        match certainty {
            Certainty::NotDone => add(&self.abandoned_not_done),
            Certainty::InDoubt => add(&self.abandoned_in_doubt),
        }
    }

    pub(crate) fn lost_ownership(&self) {
        add(&self.lost_ownership);
    }

    pub(crate) fn not_stored(&self) {
        add(&self.not_stored);
    }

    pub(crate) fn hung_up(&self) {
        add(&self.hung_up);
    }

    pub(crate) fn read(&self) -> LayerStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LayerStats {
            completed: read(&self.completed),
            not_kept: read(&self.not_kept),
            replayed: read(&self.replayed),
            in_progress: read(&self.in_progress),
            in_doubt: read(&self.in_doubt),
            mismatched: read(&self.mismatched),
            abandoned_not_done: read(&self.abandoned_not_done),
            abandoned_in_doubt: read(&self.abandoned_in_doubt),
            lost_ownership: read(&self.lost_ownership),
            not_stored: read(&self.not_stored),
            hung_up: read(&self.hung_up),
        }
    }
}
