//! What one connection knows of the journal.

use std::sync::Arc;
use std::task::Waker;

use onceward_core::Position;

use crate::sync_bell::SyncBell;

/// What one connection knows of the journal, and has asked of it.
pub(crate) struct SyncWatch {
    bell: Arc<SyncBell>,
    /// The sync of this has been asked for.
    wanted: Position,
    /// What was synced when last looked.
    seen: Position,
    /// The bell's turn in which the task is called; 0 before the first.
    turn: u64,
}

impl SyncWatch {
    pub(crate) const fn new(bell: Arc<SyncBell>) -> Self {
        Self { bell, wanted: Position(0), seen: Position(0), turn: 0 }
    }

    /// How far the journal is synced.
    pub(crate) fn synced(&mut self) -> Position {
        self.seen = self.bell.log.synced();
        self.seen
    }

    /// Asks for a sync up to here, once.
    pub(crate) fn want(&mut self, position: Position) {
        if self.wanted < position {
            self.wanted = position;
            self.bell.log.want(position);
        }
    }

    /// Why a fact was not kept just now.
    pub(crate) fn why_halted(&self) -> Option<String> {
        self.bell.log.halted()
    }

    /// Why facts are not kept at present, if that is so.
    pub(crate) fn halted(&self) -> Option<String> {
        if self.bell.is_halted() { self.bell.log.halted() } else { None }
    }

    /// Has the task called when the journal has synced, stops or goes on. False if any has
    /// happened since [`SyncWatch::synced`], so that it must look again.
    pub(crate) fn listen(&mut self, task: &Waker) -> bool {
        self.turn = self.bell.listen(task, self.turn);
        self.bell.log.synced() == self.seen && self.halted().is_none()
    }
}
