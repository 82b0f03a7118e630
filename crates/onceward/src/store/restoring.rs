//! What a journal kept comes back, before the first request (S13).

use std::fmt;

use onceward_core::lifecycle::{Entered, State, View};
use onceward_core::limits::METADATA_NOT_KEPT_BYTES_MAX;
use onceward_core::{AttemptId, Fence, Identity, Millis, ResultRef, Timestamp};

use super::{Inner, Store};
use crate::planted::{Bug, planted};
use crate::restored::{Restored, RestoredState};
use crate::storage::{Access, Change, Charge, Hashed, Storage, Uncommitted};

/// What was kept does not fit: nothing that lives is dropped (S7), so the store must not start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RestoreError {
    /// The memory limit, or the index.
    NoRoom {
        /// Bytes in use when it was reached.
        used_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The identity is there already: each comes back once.
    Present,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom { used_bytes, limit_bytes } => write!(
                f,
                "what the journal keeps does not fit: {used_bytes} of {limit_bytes} bytes are in use, and no live key is dropped; raise memory_bytes, or max_entries if it is set"
            ),
            Self::Present => f.write_str("an identity came back from the journal twice: report it"),
        }
    }
}

impl std::error::Error for RestoreError {}

impl Store {
    /// Takes in one identity, as it is known after a restart. Its retention goes on; a lease of its
    /// own is armed by [`Store::arm_restored`]. May be called from several threads.
    ///
    /// # Errors
    /// [`RestoreError`]: the store must not start.
    pub fn restore(&self, restored: &Restored<'_>) -> Result<(), RestoreError> {
        let (inner, now) = (&*self.inner, self.now());
        if restored.expires_at <= now {
            return Ok(());
        }
        let id = inner.hashed(restored.identity);
        inner.restore(&id, restored, now)?;
        if matches!(restored.state, RestoredState::Reserved) {
            inner.to_arm.lock().push(restored.identity.to_owned());
        }
        Ok(())
    }

    /// Remembers an attempt that ended before the restart (S3).
    pub fn restore_ended(&self, identity: Identity<'_>, attempt: AttemptId, ended_at: Timestamp) {
        let (inner, now) = (&*self.inner, self.now());
        let until = ended_at.after(inner.engine.limits.attempt_memory);
        if until > now {
            inner.engine.storage.remember_ended(&inner.hashed(identity), attempt, until, now);
        }
    }

    /// Arms the leases of what came back RESERVED, for the longest that each has been: the store is
    /// ready from now on (S13). Work may be under way still, wherever its owner is.
    pub fn arm_restored(&self) {
        let (inner, now) = (&*self.inner, self.now());
        if planted(Bug::LeaseNotRearmed) {
            return;
        }
        for identity in std::mem::take(&mut *inner.to_arm.lock()) {
            inner.arm(&inner.hashed(identity.as_ref()), now);
        }
    }

    /// No fence at or below this one is given from now on (S4).
    pub fn raise_fences(&self, above: Fence) {
        self.inner.engine.fences.fetch_max(above.get() + 1, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Inner {
    fn restore(
        &self,
        id: &Hashed<'_>,
        restored: &Restored<'_>,
        now: Timestamp,
    ) -> Result<(), RestoreError> {
        let engine = &self.engine;
        let quota = engine.namespaces.enter_again(id.identity.namespace());
        let view = View {
            version: 0,
            state: State::Reserved {
                lease_until: if planted(Bug::LeaseNotRearmed) {
                    restored.acquired_at.after(restored.lease).min(restored.expires_at)
                } else {
                    now.after(restored.lease).min(restored.expires_at)
                },
                policy: restored.policy,
            },
            fence: restored.fence,
            attempt_id: restored.attempt_id,
            attempt_number: restored.attempt_number,
            doubt_number: restored.doubt_number,
            fingerprint: restored.fingerprint,
            acquired_at: restored.acquired_at,
            expires_at: restored.expires_at,
            checkpoint_ordinal: 0,
            longest_lease: restored.lease,
        };
        let (ordinal, checkpoint) = restored.checkpoint;
        let result = match restored.state {
            RestoredState::Completed { result, .. } => size_of_result(&result),
            RestoredState::Reserved | RestoredState::InDoubt { .. } => restored.set_aside.result,
        };
        let charge = Charge {
            entry: engine.storage.entry_bytes(id, restored.fingerprint),
            result: result.max(METADATA_NOT_KEPT_BYTES_MAX as u64),
            checkpoint: restored.set_aside.checkpoint.max(checkpoint.len() as u64),
        };
        if !engine.budget.reserve(charge.total()) {
            engine.namespaces.leave(quota);
            return Err(self.no_room());
        }
        let inserted = match restored.state {
            RestoredState::Completed { at, result, digest } => {
                let state = State::Completed { completed_at: at, not_kept: result.not_kept() };
                let view = View { state, longest_lease: Millis::ZERO, ..view };
                let (stored, room) = (&result, charge.total());
                let change = Change::InsertCompleted { view: &view, stored, digest, room, quota };
                self.change(id, now, change)
            }
            RestoredState::Reserved | RestoredState::InDoubt { .. } => {
                self.change(id, now, Change::Insert { view: &view, charge, quota })
            }
        };
        if inserted.is_err() {
            engine.budget.release(charge.total());
            engine.namespaces.leave(quota);
            return inserted;
        }
        let view = View { checkpoint_ordinal: ordinal, ..view };
        let is_completed = matches!(restored.state, RestoredState::Completed { .. });
        if ordinal > 0 && !is_completed {
            let change = Change::Checkpoint { view: &view, bytes: checkpoint, charge };
            self.change(id, now, change)?;
        }
        match restored.state {
            RestoredState::Reserved | RestoredState::Completed { .. } => Ok(()),
            RestoredState::InDoubt { since } => {
                let state = State::InDoubt { since, entered: Entered::ByAbandonment };
                self.change(id, now, Change::Update { view: &View { state, ..view } })
            }
        }
    }

    /// Commits to what stands: nobody else knows this identity yet.
    fn change(
        &self,
        id: &Hashed<'_>,
        now: Timestamp,
        change: Change<'_>,
    ) -> Result<(), RestoreError> {
        let storage = &self.engine.storage;
        loop {
            let pin = storage.pin();
            let loaded = storage.load(&pin, id, None, now);
            let inserts = matches!(change, Change::Insert { .. } | Change::InsertCompleted { .. });
            if inserts && loaded.entry.is_some() {
                return Err(RestoreError::Present);
            }
            match storage.commit(&pin, id, loaded.version, Access::Exclusive, change) {
                Ok(()) => return Ok(()),
                // Absence is a version that identities share: another thread restored one beside.
                Err(Uncommitted::Stale) => {}
                Err(Uncommitted::Halted) => return Err(RestoreError::Present),
                Err(Uncommitted::NoRoom) => return Err(self.no_room()),
            }
        }
    }

    fn no_room(&self) -> RestoreError {
        let budget = &self.engine.budget;
        RestoreError::NoRoom { used_bytes: budget.used(), limit_bytes: budget.limit() }
    }

    fn arm(&self, id: &Hashed<'_>, now: Timestamp) {
        let storage = &self.engine.storage;
        let pin = storage.pin();
        let loaded = storage.load(&pin, id, None, now);
        let Some(View { state: State::Reserved { policy, .. }, .. }) = loaded.view() else {
            return;
        };
        let Some(view) = loaded.view() else { return };
        let lease_until = now.after(view.longest_lease).min(view.expires_at);
        let view = View { state: State::Reserved { lease_until, policy: *policy }, ..*view };
        let change = Change::Update { view: &view };
        // Whoever came first owns it again, or has ended it: there is nothing to arm.
        let _ = storage.commit(&pin, id, loaded.version, Access::Exclusive, change);
    }
}

fn size_of_result(result: &ResultRef<'_>) -> u64 {
    (result.metadata.len() + result.body.kept().map_or(0, |body| body.len())) as u64
}
