//! What callers ask and never wait for.

use onceward_core::{
    Abandon, AbandonOutcome, Begin, BeginOutcome, CheckpointOutcome, Complete, CompleteOutcome,
    Forget, ForgetOutcome, GetOutcome, Identity, Position, Renew, RenewOutcome, Resolve,
    ResolveOutcome, SaveCheckpoint, Timestamp,
};

use super::{Inner, Store};
use crate::answer::{Answer, StoreError, get_with_bytes};
use crate::planted::{Bug, planted};
use crate::storage::{BATCH, Hashed, Storage as _};

impl Store {
    /// Asks to execute an identity once. Never waits: [`Begin::wait`] is not looked at.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn begin<T>(
        &self,
        identity: Identity<'_>,
        request: &Begin,
        sink: impl FnOnce(BeginOutcome<&[u8]>) -> T,
    ) -> Result<Answer<T>, StoreError> {
        let inner = &*self.inner;
        let (id, now) = (inner.hashed(identity), inner.now());
        inner.begin(&id, request, now, sink)
    }

    /// Begins one after the other, in order, each as [`Store::begin`]. The sink gets the index.
    pub fn begin_many(
        &self,
        requests: &[(Identity<'_>, Begin)],
        mut sink: impl FnMut(usize, Result<Answer<BeginOutcome<&[u8]>>, StoreError>),
    ) {
        for (number, chunk) in requests.chunks(BATCH).enumerate() {
            let ids = self.inner.prefetched(chunk.iter().map(|(identity, _)| *identity));
            // One reading for all: they have all arrived (S15).
            let now = self.inner.now();
            for (at, (id, (_, request))) in ids.iter().zip(chunk).enumerate() {
                let index = number * BATCH + at;
                let tell = |answer: Answer<BeginOutcome<&[u8]>>| sink(index, Ok(answer));
                if let Err(why) = self.inner.begin_apart(id, request, now, usize::MAX, tell) {
                    sink(index, Err(why));
                }
            }
        }
    }

    /// Ends an acquisition with a result. Copies the bytes; never refused for lack of memory.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn complete(
        &self,
        identity: Identity<'_>,
        request: &Complete<'_>,
    ) -> Result<Answer<CompleteOutcome>, StoreError> {
        let inner = &*self.inner;
        let (id, now) = (inner.hashed(identity), inner.now());
        inner.complete(&id, request, now)
    }

    /// Completes one after the other, in order, each as [`Store::complete`].
    pub fn complete_many(
        &self,
        requests: &[(Identity<'_>, Complete<'_>)],
        mut sink: impl FnMut(usize, Result<Answer<CompleteOutcome>, StoreError>),
    ) {
        for (number, chunk) in requests.chunks(BATCH).enumerate() {
            let ids = self.inner.prefetched(chunk.iter().map(|(identity, _)| *identity));
            let now = self.inner.now();
            for (at, (id, (_, request))) in ids.iter().zip(chunk).enumerate() {
                let outcome = self.inner.complete(id, request, now);
                sink(number * BATCH + at, outcome);
            }
        }
    }

    /// Gives an acquisition up.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn abandon(
        &self,
        identity: Identity<'_>,
        request: &Abandon,
    ) -> Result<Answer<AbandonOutcome>, StoreError> {
        let inner = &*self.inner;
        let (id, now) = (inner.hashed(identity), inner.now());
        inner.abandon(&id, request, now)
    }

    /// Starts the lease anew.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn renew(
        &self,
        identity: Identity<'_>,
        request: &Renew,
    ) -> Result<Answer<RenewOutcome>, StoreError> {
        let inner = &*self.inner;
        let (id, now) = (inner.hashed(identity), inner.now());
        inner.renew(&id, request, now)
    }

    /// Leaves bytes for a successor.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn checkpoint(
        &self,
        identity: Identity<'_>,
        request: &SaveCheckpoint<'_>,
    ) -> Result<Answer<CheckpointOutcome>, StoreError> {
        let inner = &*self.inner;
        let (id, now) = (inner.hashed(identity), inner.now());
        inner.checkpoint(&id, request, now)
    }

    /// Looks without acting. Never waits: [`onceward_core::Get::wait`] is not looked at.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn get<T>(
        &self,
        identity: Identity<'_>,
        sink: impl FnOnce(GetOutcome<&[u8]>) -> T,
    ) -> Result<Answer<T>, StoreError> {
        let (id, now) = (self.inner.hashed(identity), self.inner.now());
        let judged = self.inner.judge_get(&id, now)?;
        let value = sink(get_with_bytes(judged.outcome, &judged.held));
        Ok(Answer { value, position: self.inner.engine.rests_on(&id, now) })
    }

    /// Ends a doubt, or an acquisition whose lease has ended.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn resolve(
        &self,
        identity: Identity<'_>,
        request: &Resolve<'_>,
    ) -> Result<Answer<ResolveOutcome>, StoreError> {
        let inner = &*self.inner;
        let (id, now) = (inner.hashed(identity), inner.now());
        inner.resolve(&id, request, now)
    }

    /// Makes an identity absent.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn forget(
        &self,
        identity: Identity<'_>,
        request: &Forget,
    ) -> Result<Answer<ForgetOutcome>, StoreError> {
        let inner = &*self.inner;
        let (id, now) = (inner.hashed(identity), inner.now());
        inner.forget(&id, request, now)
    }
}

/// Each operation on an identity that is hashed, at one instant.
impl Inner {
    #[inline]
    pub(super) fn hashed<'a>(&self, identity: Identity<'a>) -> Hashed<'a> {
        self.engine.storage.hashed(identity)
    }

    /// Fetches what looks at a batch of identities will touch.
    fn prefetched<'a>(&self, identities: impl Iterator<Item = Identity<'a>>) -> Vec<Hashed<'a>> {
        let storage = &self.engine.storage;
        let ids: Vec<_> = identities
            .map(|identity| {
                let id = storage.hashed(identity);
                storage.prefetch_first(&id);
                id
            })
            .collect();
        ids.iter().for_each(|id| storage.prefetch_entry(id));
        ids
    }

    #[inline]
    pub(super) fn complete(
        &self,
        id: &Hashed<'_>,
        request: &Complete<'_>,
        now: Timestamp,
    ) -> Result<Answer<CompleteOutcome>, StoreError> {
        request.check()?;
        let engine = &self.engine;
        let answer = self.act(id, now, |access| engine.complete(id, request, access, now))?;
        let counters = &engine.counters;
        match answer.value {
            CompleteOutcome::Completed { not_kept } => {
                counters.complete_completed.one_more();
                if not_kept.is_some() {
                    counters.complete_not_kept.one_more();
                }
            }
            CompleteOutcome::AlreadyCompleted { .. } => {
                counters.complete_repeated.one_more();
                if planted(Bug::AlreadyCompletedBeforeSync) {
                    return Ok(Answer { position: Position(0), ..answer });
                }
            }
            CompleteOutcome::Conflict => counters.complete_conflict.one_more(),
            CompleteOutcome::Fenced => counters.fenced.one_more(),
            CompleteOutcome::Mismatch
            | CompleteOutcome::NeedFingerprint
            | CompleteOutcome::Gone => {}
        }
        Ok(answer)
    }

    pub(super) fn abandon(
        &self,
        id: &Hashed<'_>,
        request: &Abandon,
        now: Timestamp,
    ) -> Result<Answer<AbandonOutcome>, StoreError> {
        let engine = &self.engine;
        let answer = self.act(id, now, |access| engine.abandon(id, request, access, now))?;
        match answer.value {
            AbandonOutcome::Abandoned => engine.counters.abandoned.one_more(),
            AbandonOutcome::Fenced => engine.counters.fenced.one_more(),
            AbandonOutcome::Conflict | AbandonOutcome::Gone => {}
        }
        Ok(answer)
    }

    pub(super) fn renew(
        &self,
        id: &Hashed<'_>,
        request: &Renew,
        now: Timestamp,
    ) -> Result<Answer<RenewOutcome>, StoreError> {
        request.check(&self.engine.limits)?;
        let engine = &self.engine;
        let answer = self.act(id, now, |access| engine.renew(id, request, access, now))?;
        match answer.value {
            RenewOutcome::Renewed { .. } => engine.counters.renewed.one_more(),
            RenewOutcome::Fenced => engine.counters.fenced.one_more(),
            RenewOutcome::Mismatch | RenewOutcome::Conflict | RenewOutcome::Gone => {}
        }
        Ok(answer)
    }

    fn checkpoint(
        &self,
        id: &Hashed<'_>,
        request: &SaveCheckpoint<'_>,
        now: Timestamp,
    ) -> Result<Answer<CheckpointOutcome>, StoreError> {
        request.check()?;
        let engine = &self.engine;
        let answer = self.act(id, now, |access| engine.checkpoint(id, request, access, now))?;
        match answer.value {
            CheckpointOutcome::Saved { .. } => engine.counters.checkpoints_saved.one_more(),
            CheckpointOutcome::Fenced => engine.counters.fenced.one_more(),
            CheckpointOutcome::Refused { .. }
            | CheckpointOutcome::NeedFingerprint
            | CheckpointOutcome::Conflict
            | CheckpointOutcome::Gone => {}
        }
        Ok(answer)
    }

    fn resolve(
        &self,
        id: &Hashed<'_>,
        request: &Resolve<'_>,
        now: Timestamp,
    ) -> Result<Answer<ResolveOutcome>, StoreError> {
        request.check()?;
        let engine = &self.engine;
        let answer = self.act(id, now, |access| engine.resolve(id, request, access, now))?;
        if answer.value == ResolveOutcome::Resolved {
            engine.counters.resolved.one_more();
        }
        Ok(answer)
    }

    fn forget(
        &self,
        id: &Hashed<'_>,
        request: &Forget,
        now: Timestamp,
    ) -> Result<Answer<ForgetOutcome>, StoreError> {
        let engine = &self.engine;
        let answer = self.act(id, now, |access| engine.forget(id, request, access, now))?;
        if answer.value == ForgetOutcome::Forgotten {
            engine.counters.forgotten.one_more();
        }
        Ok(answer)
    }
}
