//! What a store with a journal adds to one without: facts are recorded with their commits, and
//! every answer knows how far the journal must be synced before it may be told (S14, S21).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use onceward_core::{Position, Timestamp};

use crate::config::Durability;
use crate::facts::{Fact, FactLog, Halted};

/// Places for positions. Identities that share one wait for each other's facts while these are
/// unsynced: a few per thousand among as many as are ever unsynced at once.
const PLACES: usize = 1 << 16;

/// The journal, and by hash the position of the latest fact.
///
/// Invariant: whoever has seen a change reads a position here that covers its fact, for it is noted
/// before the commit, which is an exchange that whoever sees the change has acquired.
pub(crate) struct Journaled {
    pub(crate) log: Arc<dyn FactLog>,
    positions: Box<[AtomicU64]>,
}

impl Journaled {
    pub(crate) fn new(log: Arc<dyn FactLog>) -> Self {
        Self { log, positions: (0..PLACES).map(|_| AtomicU64::new(0)).collect() }
    }

    fn place(&self, hash: u64) -> &AtomicU64 {
        &self.positions[hash as usize % PLACES]
    }

    /// Commits, and keeps the fact exactly if the commit came about. Gives what it came to.
    pub(crate) fn record<E>(
        &self,
        hash: u64,
        fact: &Fact<'_>,
        commit: impl FnOnce() -> Result<(), E>,
    ) -> Result<Result<(), E>, Halted> {
        let mut commit = Some(commit);
        let mut came_to = None;
        self.log.record(fact, &mut |position| {
            // Rather too far for a commit that then loses.
            self.place(hash).fetch_max(position.0, Relaxed);
            came_to = commit.take().map(|commit| commit());
            matches!(came_to, Some(Ok(())))
        })?;
        came_to.ok_or(Halted)
    }

    /// How far the journal must be synced before an answer about this identity may be told, which
    /// was judged at `now` and before this call.
    #[inline]
    pub(crate) fn rests_on(&self, hash: u64, level: Durability, now: Timestamp) -> Position {
        let waits = match level {
            Durability::Memory => false,
            Durability::Interval => self.log.is_late(now),
            Durability::Always => true,
        };
        if waits { self.position(hash) } else { Position(0) }
    }

    /// The position of the latest fact about this identity.
    pub(crate) fn position(&self, hash: u64) -> Position {
        Position(self.place(hash).load(Relaxed))
    }
}
