//! Requests that have arrived together: one reading of the clock, identities hashed once, and
//! their cache misses overlapped.

use std::fmt;
use std::task::Waker;

use onceward_core::{
    Abandon, AbandonOutcome, Begin, BeginOutcome, Complete, CompleteOutcome, Get, GetOutcome,
    Identity, Renew, RenewOutcome, Timestamp,
};

use super::{Inner, Store};
use crate::answer::{Answer, StoreError, Waitable, get_with_bytes, with_bytes};
use crate::engine::Judged;
use crate::result_copy::ResultBody;
use crate::storage::{Hashed, Storage as _};
use crate::ticket::{BeginTicket, GetTicket};

/// An identity with its keyed hash, ready for operations of the store that prepared it. With
/// another store's it finds nothing.
#[derive(Clone)]
pub struct Prepared<'a>(pub(super) Hashed<'a>);

impl<'a> Prepared<'a> {
    /// What was prepared.
    #[must_use]
    pub fn identity(&self) -> Identity<'a> {
        self.0.identity
    }
}

impl fmt::Debug for Prepared<'_> {
    /// Neither the hash nor a byte of the key (S16).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("identity", &self.0.identity).finish_non_exhaustive()
    }
}

/// Operations at one reading of the clock, on identities prepared before.
///
/// For a caller that has several requests at hand, such as a server that has read them from a
/// socket: [`Store::prepare`] each, [`Store::prefetch`] all, then make a batch and operate on one
/// after the other. Each operation is what the store's own of that name is, and takes effect by
/// itself. Make the batch after its requests have arrived (S15), and keep it for no longer than
/// they take.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'s> {
    store: &'s Store,
    now: Timestamp,
}

impl Store {
    /// Hashes an identity, and has what a look for it touches first fetched meanwhile.
    #[must_use]
    #[inline]
    pub fn prepare<'a>(&self, identity: Identity<'a>) -> Prepared<'a> {
        let storage = &self.inner.engine.storage;
        let prepared = Prepared(storage.hashed(identity));
        storage.prefetch_first(&prepared.0);
        prepared
    }

    /// Has the entries of identities fetched, if they are there, before operations on them: their
    /// cache misses overlap. Worth its cost for a store that is larger than the caches; some 16
    /// at a time are enough.
    pub fn prefetch<'p, 'a: 'p>(&self, identities: impl IntoIterator<Item = &'p Prepared<'a>>) {
        for Prepared(id) in identities {
            self.inner.engine.storage.prefetch_entry(id);
        }
    }

    /// Reads the clock for operations on requests that have all arrived.
    #[must_use]
    #[inline]
    pub fn batch(&self) -> Batch<'_> {
        Batch { store: self, now: self.inner.now() }
    }
}

impl Batch<'_> {
    #[inline]
    fn inner(&self) -> &Inner {
        &self.store.inner
    }

    /// As [`Store::begin`].
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    #[inline]
    pub fn begin<T>(
        &self,
        identity: &Prepared<'_>,
        request: &Begin,
        sink: impl FnOnce(BeginOutcome<&[u8]>) -> T,
    ) -> Result<Answer<T>, StoreError> {
        self.inner().begin(&identity.0, request, self.now, sink)
    }

    /// As [`Store::begin_or_wait`].
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn begin_or_wait<T>(
        &self,
        identity: &Prepared<'_>,
        request: &Begin,
        waker: &Waker,
        sink: impl FnOnce(BeginOutcome<&[u8]>) -> T,
    ) -> Result<Waitable<T, BeginTicket>, StoreError> {
        self.store.begin_or_wait_at(&identity.0, request, waker, self.now, |judged| {
            sink(with_bytes(judged.outcome, &judged.held))
        })
    }

    /// As [`Batch::begin`]. When the body of a replay has at least `apart_from` bytes, it is handed
    /// over after the sink has seen it, so that it need not be copied once more.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    #[inline]
    pub fn begin_apart<T>(
        &self,
        identity: &Prepared<'_>,
        request: &Begin,
        apart_from: usize,
        sink: impl FnOnce(BeginOutcome<&[u8]>) -> T,
    ) -> Result<Answer<(T, Option<ResultBody>)>, StoreError> {
        let tell = |answer: Answer<BeginOutcome<&[u8]>>| (sink(answer.value), answer.position);
        let told = self.inner().begin_apart(&identity.0, request, self.now, apart_from, tell)?;
        let ((value, position), body) = told;
        Ok(Answer { value: (value, body), position })
    }

    /// As [`Batch::begin_or_wait`], with bodies as in [`Batch::begin_apart`].
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn begin_or_wait_apart<T>(
        &self,
        identity: &Prepared<'_>,
        request: &Begin,
        waker: &Waker,
        apart_from: usize,
        sink: impl FnOnce(BeginOutcome<&[u8]>) -> T,
    ) -> Result<Waitable<(T, Option<ResultBody>), BeginTicket>, StoreError> {
        self.store.begin_or_wait_at(&identity.0, request, waker, self.now, |judged| {
            tell_apart(judged, apart_from, sink)
        })
    }

    /// As [`Store::complete`].
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    #[inline]
    pub fn complete(
        &self,
        identity: &Prepared<'_>,
        request: &Complete<'_>,
    ) -> Result<Answer<CompleteOutcome>, StoreError> {
        self.inner().complete(&identity.0, request, self.now)
    }

    /// As [`Store::abandon`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn abandon(
        &self,
        identity: &Prepared<'_>,
        request: &Abandon,
    ) -> Result<Answer<AbandonOutcome>, StoreError> {
        self.inner().abandon(&identity.0, request, self.now)
    }

    /// As [`Store::renew`].
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn renew(
        &self,
        identity: &Prepared<'_>,
        request: &Renew,
    ) -> Result<Answer<RenewOutcome>, StoreError> {
        self.inner().renew(&identity.0, request, self.now)
    }

    /// As [`Store::get`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn get<T>(
        &self,
        identity: &Prepared<'_>,
        sink: impl FnOnce(GetOutcome<&[u8]>) -> T,
    ) -> Result<Answer<T>, StoreError> {
        let judged = self.inner().judge_get(&identity.0, self.now)?;
        let value = sink(get_with_bytes(judged.outcome, &judged.held));
        Ok(Answer { value, position: self.inner().engine.rests_on(&identity.0, self.now) })
    }

    /// As [`Store::get_or_wait`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn get_or_wait<T>(
        &self,
        identity: &Prepared<'_>,
        request: &Get,
        waker: &Waker,
        sink: impl FnOnce(GetOutcome<&[u8]>) -> T,
    ) -> Result<Waitable<T, GetTicket>, StoreError> {
        self.store.get_or_wait_at(&identity.0, request, waker, self.now, sink)
    }
}

/// Tells an outcome; also gives the body of a replay that has at least `apart_from` bytes.
#[inline(always)]
pub(super) fn tell_apart<T>(
    judged: Judged<BeginOutcome<()>>,
    apart_from: usize,
    sink: impl FnOnce(BeginOutcome<&[u8]>) -> T,
) -> (T, Option<ResultBody>) {
    let told = sink(with_bytes(judged.outcome, &judged.held));
    let body = match judged.outcome {
        BeginOutcome::Replay(_) => ResultBody::of(judged.held, apart_from),
        _ => None,
    };
    (told, body)
}
