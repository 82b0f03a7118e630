//! A second thread's request in the middle of the first's, without a thread: between a decision and
//! its commit, and while a sync is under way.

use std::sync::{Arc, Weak};

use onceward::{Fact, FactLog, Halted, Position, Timestamp};
use parking_lot::Mutex;

use super::desk::Desk;

/// A log that lets another request come first, before it takes a fact.
pub(crate) struct InterruptedLog {
    log: Arc<dyn FactLog>,
    desk: Mutex<Weak<Desk>>,
}

impl InterruptedLog {
    pub(crate) fn new(log: Arc<dyn FactLog>) -> Self {
        Self { log, desk: Mutex::new(Weak::new()) }
    }

    /// Who has requests that may come first.
    pub(crate) fn set_desk(&self, desk: &Arc<Desk>) {
        *self.desk.lock() = Arc::downgrade(desk);
    }
}

impl FactLog for InterruptedLog {
    fn record(
        &self,
        fact: &Fact<'_>,
        commit: &mut dyn FnMut(Position) -> bool,
    ) -> Result<bool, Halted> {
        let desk = self.desk.lock().upgrade();
        if let Some(desk) = desk {
            desk.interrupt();
        }
        self.log.record(fact, commit)
    }

    fn synced(&self) -> Position {
        self.log.synced()
    }

    fn is_late(&self, now: Timestamp) -> bool {
        self.log.is_late(now)
    }

    fn fence_ceiling(&self) -> u64 {
        self.log.fence_ceiling()
    }

    fn note_fence(&self, fence: u64) {
        self.log.note_fence(fence);
    }

    fn want(&self, position: Position) {
        self.log.want(position);
    }

    fn on_synced(&self, hook: Arc<dyn Fn() + Send + Sync>) {
        self.log.on_synced(hook);
    }

    fn halted(&self) -> Option<String> {
        self.log.halted()
    }
}
