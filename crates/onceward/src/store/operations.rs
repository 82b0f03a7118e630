//! What callers ask and never wait for.

use onceward_core::{
    Abandon, AbandonOutcome, Begin, BeginOutcome, CheckpointOutcome, Complete, CompleteOutcome,
    Forget, ForgetOutcome, GetOutcome, Identity, Renew, RenewOutcome, Resolve, ResolveOutcome,
    SaveCheckpoint,
};

use super::Store;
use crate::answer::{Answer, StoreError, get_with_bytes, with_bytes};
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
        let judged = self.inner.begin(identity, request)?;
        Ok(Answer::at_memory(sink(with_bytes(judged.outcome, &judged.held))))
    }

    /// Begins one after the other, in order, each as [`Store::begin`]. The sink gets the index.
    pub fn begin_many(
        &self,
        requests: &[(Identity<'_>, Begin)],
        mut sink: impl FnMut(usize, Result<Answer<BeginOutcome<&[u8]>>, StoreError>),
    ) {
        for (number, batch) in requests.chunks(BATCH).enumerate() {
            let ids = self.inner.prefetched(batch.iter().map(|(identity, _)| *identity));
            // One reading for all: they have all arrived (S15).
            let now = self.inner.clock.now();
            for (at, (id, (_, request))) in ids.iter().zip(batch).enumerate() {
                let judged = self.inner.begin_hashed(id, request, now);
                let answer = judged
                    .as_ref()
                    .map_err(|why| *why)
                    .map(|judged| Answer::at_memory(with_bytes(judged.outcome, &judged.held)));
                sink(number * BATCH + at, answer);
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
        self.complete_hashed(&self.inner.engine.storage.hashed(identity), request)
    }

    #[inline]
    fn complete_hashed(
        &self,
        id: &Hashed<'_>,
        request: &Complete<'_>,
    ) -> Result<Answer<CompleteOutcome>, StoreError> {
        request.check()?;
        let outcome = self
            .inner
            .act_hashed(id, |engine, id, access, now| engine.complete(id, request, access, now))?;
        let counters = &self.inner.engine.counters;
        match outcome {
            CompleteOutcome::Completed { not_kept } => {
                counters.complete_completed.one_more();
                if not_kept.is_some() {
                    counters.complete_not_kept.one_more();
                }
            }
            CompleteOutcome::AlreadyCompleted { .. } => counters.complete_repeated.one_more(),
            CompleteOutcome::Conflict => counters.complete_conflict.one_more(),
            CompleteOutcome::Fenced => counters.fenced.one_more(),
            CompleteOutcome::Mismatch
            | CompleteOutcome::NeedFingerprint
            | CompleteOutcome::Gone => {}
        }
        Ok(Answer::at_memory(outcome))
    }

    /// Completes one after the other, in order, each as [`Store::complete`].
    pub fn complete_many(
        &self,
        requests: &[(Identity<'_>, Complete<'_>)],
        mut sink: impl FnMut(usize, Result<Answer<CompleteOutcome>, StoreError>),
    ) {
        for (number, batch) in requests.chunks(BATCH).enumerate() {
            let ids = self.inner.prefetched(batch.iter().map(|(identity, _)| *identity));
            for (at, (id, (_, request))) in ids.iter().zip(batch).enumerate() {
                sink(number * BATCH + at, self.complete_hashed(id, request));
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
        let outcome = self
            .inner
            .act(identity, |engine, id, access, now| engine.abandon(id, request, access, now))?;
        let counters = &self.inner.engine.counters;
        match outcome {
            AbandonOutcome::Abandoned => counters.abandoned.one_more(),
            AbandonOutcome::Fenced => counters.fenced.one_more(),
            AbandonOutcome::Conflict | AbandonOutcome::Gone => {}
        }
        Ok(Answer::at_memory(outcome))
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
        request.check(&self.inner.engine.limits)?;
        let outcome = self
            .inner
            .act(identity, |engine, id, access, now| engine.renew(id, request, access, now))?;
        let counters = &self.inner.engine.counters;
        match outcome {
            RenewOutcome::Renewed { .. } => counters.renewed.one_more(),
            RenewOutcome::Fenced => counters.fenced.one_more(),
            RenewOutcome::Mismatch | RenewOutcome::Conflict | RenewOutcome::Gone => {}
        }
        Ok(Answer::at_memory(outcome))
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
        request.check()?;
        let outcome = self
            .inner
            .act(identity, |engine, id, access, now| engine.checkpoint(id, request, access, now))?;
        let counters = &self.inner.engine.counters;
        match outcome {
            CheckpointOutcome::Saved { .. } => counters.checkpoints_saved.one_more(),
            CheckpointOutcome::Fenced => counters.fenced.one_more(),
            CheckpointOutcome::Refused { .. }
            | CheckpointOutcome::NeedFingerprint
            | CheckpointOutcome::Conflict
            | CheckpointOutcome::Gone => {}
        }
        Ok(Answer::at_memory(outcome))
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
        let judged = self.inner.judge_get(identity)?;
        Ok(Answer::at_memory(sink(get_with_bytes(judged.outcome, &judged.held))))
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
        request.check()?;
        let outcome = self
            .inner
            .act(identity, |engine, id, access, now| engine.resolve(id, request, access, now))?;
        if outcome == ResolveOutcome::Resolved {
            self.inner.engine.counters.resolved.one_more();
        }
        Ok(Answer::at_memory(outcome))
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
        let outcome = self
            .inner
            .act(identity, |engine, id, access, now| engine.forget(id, request, access, now))?;
        if outcome == ForgetOutcome::Forgotten {
            self.inner.engine.counters.forgotten.one_more();
        }
        Ok(Answer::at_memory(outcome))
    }
}
