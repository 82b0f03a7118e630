//! Begins and gets that wait their turn (S10).

use std::sync::Arc;
use std::task::Waker;

use onceward_core::{Begin, BeginOutcome, Get, GetOutcome, Identity, Millis, Timestamp};

use super::{Inner, Store};
use crate::answer::{Answer, StoreError, Waitable, get_with_bytes, with_bytes};
use crate::engine::{Effect, Judged};
use crate::storage::Hashed;
use crate::ticket::{BeginTicket, GetTicket};
use crate::waits::{Ask, Registered, Reply, Slot, WaiterName};

impl Store {
    /// Asks to execute an identity once, and waits out InProgress for up to [`Begin::wait`], cut
    /// to the limit (S10). `waker` is called once the ticket has its answer; the sink is then
    /// given to the ticket. An owner that was Acquired out of a wait renews before it starts.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn begin_or_wait<T>(
        &self,
        identity: Identity<'_>,
        request: &Begin,
        waker: &Waker,
        sink: impl FnOnce(BeginOutcome<&[u8]>) -> T,
    ) -> Result<Waitable<T, BeginTicket>, StoreError> {
        let (id, now) = (self.inner.hashed(identity), self.inner.now());
        self.begin_or_wait_at(&id, request, waker, now, |judged| {
            sink(with_bytes(judged.outcome, &judged.held))
        })
    }

    #[inline]
    pub(super) fn begin_or_wait_at<T>(
        &self,
        id: &Hashed<'_>,
        request: &Begin,
        waker: &Waker,
        now: Timestamp,
        tell: impl FnOnce(Judged<BeginOutcome<()>>) -> T,
    ) -> Result<Waitable<T, BeginTicket>, StoreError> {
        let inner = &*self.inner;
        let wait = inner.cut(request.wait);
        let judged = inner.judge_begin(id, request, now)?;
        let waits = matches!(judged.outcome, BeginOutcome::InProgress { .. }) && wait.get() > 0;
        let judged = if waits {
            match inner.register(id, Ask::Begin(*request), wait, waker)? {
                Placed::Waiting(name, slot) => {
                    return Ok(Waitable::Waiting(BeginTicket::new(self, name, slot)));
                }
                Placed::Answered(Reply::Begin(judged)) if judged.effect == Effect::Halted => {
                    return Err(StoreError::Halted);
                }
                Placed::Answered(Reply::Begin(judged)) => judged,
                Placed::Answered(Reply::Get(_)) => return Err(StoreError::Unavailable),
            }
        } else {
            judged
        };
        inner.engine.counters.began(&judged.outcome, judged.effect);
        let position = inner.engine.begin_rests_on(id, &judged, now);
        Ok(Waitable::Answered(Answer { value: tell(judged), position }))
    }

    /// Looks, and waits out Reserved for up to [`Get::wait`], cut to the limit (S10).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn get_or_wait<T>(
        &self,
        identity: Identity<'_>,
        request: &Get,
        waker: &Waker,
        sink: impl FnOnce(GetOutcome<&[u8]>) -> T,
    ) -> Result<Waitable<T, GetTicket>, StoreError> {
        let (id, now) = (self.inner.hashed(identity), self.inner.now());
        self.get_or_wait_at(&id, request, waker, now, sink)
    }

    pub(super) fn get_or_wait_at<T>(
        &self,
        id: &Hashed<'_>,
        request: &Get,
        waker: &Waker,
        now: Timestamp,
        sink: impl FnOnce(GetOutcome<&[u8]>) -> T,
    ) -> Result<Waitable<T, GetTicket>, StoreError> {
        let mut judged = self.inner.judge_get(id, now)?;
        let wait = self.inner.cut(request.wait);
        if matches!(judged.outcome, GetOutcome::Reserved { .. }) && wait.get() > 0 {
            match self.inner.register(id, Ask::Get, wait, waker)? {
                Placed::Waiting(name, slot) => {
                    return Ok(Waitable::Waiting(GetTicket::new(self, name, slot)));
                }
                Placed::Answered(Reply::Get(anew)) => judged = anew,
                Placed::Answered(Reply::Begin(_)) => return Err(StoreError::Unavailable),
            }
        }
        let value = sink(get_with_bytes(judged.outcome, &judged.held));
        let position = self.inner.engine.rests_on(id, now);
        Ok(Waitable::Answered(Answer { value, position }))
    }
}

/// Where a caller who would wait ended up.
enum Placed {
    Waiting(WaiterName, Arc<Slot>),
    Answered(Reply),
}

impl Inner {
    /// A wait cut to its limit.
    fn cut(&self, wait: Millis) -> Millis {
        wait.min(self.engine.limits.wait_max)
    }

    fn register(
        &self,
        id: &Hashed<'_>,
        ask: Ask,
        wait: Millis,
        waker: &Waker,
    ) -> Result<Placed, StoreError> {
        // Anew: a wait is counted from when it begins.
        let now = self.now();
        match self.waits.register(&self.engine, id, ask, now.after(wait), waker, now) {
            Registered::Waiting(slot, name) => Ok(Placed::Waiting(name, slot)),
            Registered::Answered(reply) => Ok(Placed::Answered(reply)),
            Registered::Closed => Err(StoreError::Unavailable),
        }
    }

    pub(crate) fn leave(&self, name: &WaiterName) {
        self.waits.leave(&self.engine, name);
    }

    pub(crate) fn end_wait(&self, name: &WaiterName) {
        self.waits.end(&self.engine, name, self.now());
    }
}
