//! What a server did between start and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a server did between start and end.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Connections served.
    pub connections: u64,
    /// Connections turned away because there were too many.
    pub connections_refused: u64,
    /// Connections cut because they still held replies at the end of the grace period.
    pub connections_cut: u64,
    /// Requests received, HELLO and refused ones included, CANCEL not.
    pub requests: u64,
    /// Requests whose reply was handed to the operating system.
    pub answered: u64,
    /// Requests whose connection ended before their reply had left for certain.
    pub unanswered: u64,
}

/// The figures of all connections.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) connections: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
    pub(crate) connections_cut: AtomicU64,
    requests: AtomicU64,
    answered: AtomicU64,
    unanswered: AtomicU64,
}

impl Totals {
    pub(crate) fn report(&self) -> Report {
        Report {
            connections: self.connections.load(Relaxed),
            connections_refused: self.connections_refused.load(Relaxed),
            connections_cut: self.connections_cut.load(Relaxed),
            requests: self.requests.load(Relaxed),
            answered: self.answered.load(Relaxed),
            unanswered: self.unanswered.load(Relaxed),
        }
    }
}

/// The figures of one connection; added to the totals when it ends, so that requests share no
/// counter.
#[derive(Debug)]
pub(crate) struct Tally {
    totals: Arc<Totals>,
    requests: u64,
    answered: u64,
}

impl Tally {
    pub(crate) fn new(totals: Arc<Totals>) -> Self {
        Self { totals, requests: 0, answered: 0 }
    }

    pub(crate) fn request(&mut self) {
        self.requests += 1;
    }

    pub(crate) fn answered(&mut self, replies: u64) {
        self.answered += replies;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.totals.requests.fetch_add(self.requests, Relaxed);
        self.totals.answered.fetch_add(self.answered, Relaxed);
        self.totals.unanswered.fetch_add(self.requests - self.answered, Relaxed);
    }
}
