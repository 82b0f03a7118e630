//! Commits with their facts, and what answers rest on (S4, S14, S21).

use std::sync::atomic::Ordering::Relaxed;

use onceward_core::{BeginOutcome, Fence, Position, Timestamp};

use super::fact::fact_of;
use super::{Effect, Engine, Judged};
use crate::config::Durability;
use crate::journaled::Journaled;
use crate::planted::{Bug, planted};
use crate::storage::{Access, Change, Charge, Hashed, Loaded, Storage, Uncommitted};

impl<S: Storage> Engine<S> {
    /// Commits to what was looked at. Where facts are kept, the change's is kept exactly if the
    /// commit comes about (S4, S14).
    #[inline(always)]
    pub(super) fn commit(
        &self,
        pin: &S::Pin<'_>,
        id: &Hashed<'_>,
        loaded: &Loaded<S::Bytes>,
        access: Access,
        change: Change<'_>,
        now: Timestamp,
    ) -> Result<(), Uncommitted> {
        match &self.journal {
            None => self.storage.commit(pin, id, loaded.version, access, change),
            Some(journal) => self.commit_recorded(journal, pin, id, loaded, access, change, now),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one caller; the parts have no common noun")]
    #[inline(never)]
    fn commit_recorded(
        &self,
        journal: &Journaled,
        pin: &S::Pin<'_>,
        id: &Hashed<'_>,
        loaded: &Loaded<S::Bytes>,
        access: Access,
        change: Change<'_>,
        now: Timestamp,
    ) -> Result<(), Uncommitted> {
        let charge = loaded.entry.as_ref().map_or_else(Charge::default, |entry| entry.charge);
        let fact = (self.level(id) != Durability::Memory)
            .then(|| fact_of(id, loaded.view(), charge, &change, now))
            .flatten();
        let commit = || self.storage.commit(pin, id, loaded.version, access, change);
        match fact {
            None => commit(),
            Some(fact) => {
                journal.record(id.hash, &fact, commit).unwrap_or(Err(Uncommitted::Halted))
            }
        }
    }

    /// How far the journal must be synced before an answer about this identity, judged at `now`,
    /// may be told (S14, S21).
    #[inline]
    pub(crate) fn rests_on(&self, id: &Hashed<'_>, now: Timestamp) -> Position {
        if planted(Bug::AckBeforeSync) {
            return Position(0);
        }
        match &self.journal {
            None => Position(0),
            Some(journal) => journal.rests_on(id.hash, self.level(id), now),
        }
    }

    /// [`Engine::rests_on`] of a begin.
    #[inline]
    pub(crate) fn begin_rests_on(
        &self,
        id: &Hashed<'_>,
        judged: &Judged<BeginOutcome<()>>,
        now: Timestamp,
    ) -> Position {
        match (&self.journal, &judged.outcome) {
            (None, _) | (_, BeginOutcome::InProgress { .. }) => Position(0),
            (_, BeginOutcome::Replay(_)) => self.replay_rests_on(id, now),
            _ if planted(Bug::AckBeforeSync) => Position(0),
            _ if judged.effect == Effect::Repeated && planted(Bug::RepeatedAcquiredBeforeSync) => {
                Position(0)
            }
            // A takeover waits at every level that keeps facts, and so does its repeat: else a
            // crash would give a token that was told to be fenced its key back.
            (Some(journal), BeginOutcome::Acquired(acquired))
                if acquired.attempt_number > 1 && self.level(id) != Durability::Memory =>
            {
                journal.position(id.hash)
            }
            (Some(_), _) => self.rests_on(id, now),
        }
    }

    /// [`Engine::rests_on`] of a replay.
    #[inline]
    pub(crate) fn replay_rests_on(&self, id: &Hashed<'_>, now: Timestamp) -> Position {
        if planted(Bug::ReplayBeforeSync) { Position(0) } else { self.rests_on(id, now) }
    }

    /// How durable the facts about this identity are.
    #[inline]
    pub(crate) fn level(&self, id: &Hashed<'_>) -> Durability {
        let namespace = id.identity.namespace();
        self.namespaces.config(namespace).durability.unwrap_or(self.durability)
    }

    /// Larger than every fence drawn before. 2^62 acquisitions do not happen; the largest fence
    /// stands in for what would follow.
    /// `None` above the journal's ceiling: after a restart it would be given again.
    #[inline]
    pub(super) fn draw_fence(&self) -> Option<Fence> {
        let number = self.fences.fetch_add(1, Relaxed);
        if let Some(journal) = &self.journal {
            journal.log.note_fence(number);
            if number >= journal.log.fence_ceiling() {
                return None;
            }
        }
        Some(Fence::new(number).unwrap_or(Fence::LARGEST))
    }
}
