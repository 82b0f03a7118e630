//! The seam between deciding and storing.
//!
//! The store looks at an entry, lets `onceward-core` decide, and commits the change to the very
//! version it looked at, or looks again. Whatever keeps entries implements [`Storage`]: the
//! lock-free storage in `segments`, and in `plain` the one that serves as its oracle.

use std::sync::Arc;

use onceward_core::lifecycle::{CompletedView, View};
use onceward_core::{
    AttemptId, Body, Fingerprint, Identity, Metadata, ResultRef, Stats, Timestamp,
};
use sha2::{Digest as _, Sha256};

pub(crate) use crate::hashed::Hashed;
pub(crate) use crate::result_copy::ResultCopy;

/// The storage that [`Store`](crate::Store) is built on, chosen when it is compiled.
#[cfg(not(plain))]
pub(crate) type Chosen = crate::segments::Segments;
/// The storage that [`Store`](crate::Store) is built on, chosen when it is compiled.
#[cfg(plain)]
pub(crate) type Chosen = crate::plain::Plain;

/// What was found, at one instant. `B` is the storage's handle to bytes.
pub(crate) struct Loaded<B> {
    /// `None` if nothing is held. What is held may be due: judge with [`View::at`].
    pub(crate) entry: Option<LoadedEntry<B>>,
    /// Of the entry, or of its absence: what a commit must find for it to apply.
    pub(crate) version: u64,
    /// Somebody waits on the identity: it changes under the waits' lock only.
    pub(crate) watched: bool,
    /// Whether the attempt asked about has ended.
    pub(crate) attempt_ended: bool,
}

/// One entry's view, and where its bytes are.
pub(crate) struct LoadedEntry<B> {
    pub(crate) view: View,
    pub(crate) bytes: B,
    pub(crate) charge: Charge,
}

impl<B> Loaded<B> {
    pub(crate) fn view(&self) -> Option<&View> {
        self.entry.as_ref().map(|entry| &entry.view)
    }
}

/// The bytes of one version, readable for as long as it is held.
#[derive(Default)]
pub(crate) enum Held {
    #[default]
    Nothing,
    Checkpoint(Arc<[u8]>),
    /// Shared with the entry.
    #[cfg(any(plain, test))]
    Result(Arc<Payload>),
    /// Copied out of the entry.
    Copy(ResultCopy),
}

impl Held {
    pub(crate) fn result(&self) -> Option<ResultRef<'_>> {
        match self {
            #[cfg(any(plain, test))]
            Self::Result(payload) => Some(payload.as_result()),
            Self::Copy(copy) => Some(copy.as_result()),
            Self::Nothing | Self::Checkpoint(_) => None,
        }
    }

    pub(crate) fn checkpoint(&self) -> Option<&[u8]> {
        match self {
            Self::Checkpoint(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// A stored result: metadata and body in one allocation.
#[cfg(any(plain, test))]
pub(crate) struct Payload {
    status: u16,
    metadata_size: usize,
    bytes: Box<[u8]>,
    body: Body<()>,
    /// Of the result as offered, when not all of it is here: decides whether a repeat is the
    /// same result (S3).
    digest: Option<[u8; 32]>,
}

#[cfg(any(plain, test))]
impl Payload {
    /// Copies `offered`, whole or, if `stored.body` is not kept, what of it outlives that (S12).
    pub(crate) fn new(offered: &ResultRef<'_>, stored: &ResultRef<'_>) -> Self {
        Self::again(stored, stored.not_kept().is_some().then(|| digest(offered)))
    }

    /// Copies what was stored before, with the digest of what was offered then.
    pub(crate) fn again(stored: &ResultRef<'_>, digest: Option<[u8; 32]>) -> Self {
        let body: &[u8] = match stored.body {
            Body::Kept(body) => body,
            Body::NotKept(_) => &[],
        };
        Self {
            status: stored.status,
            metadata_size: stored.metadata.len(),
            bytes: [stored.metadata, body].concat().into_boxed_slice(),
            body: match stored.body {
                Body::Kept(_) => Body::Kept(()),
                Body::NotKept(why) => Body::NotKept(why),
            },
            digest,
        }
    }

    pub(crate) fn as_result(&self) -> ResultRef<'_> {
        let (metadata, body) = self.bytes.split_at(self.metadata_size);
        let body = match self.body {
            Body::Kept(()) => Body::Kept(body),
            Body::NotKept(why) => Body::NotKept(why),
        };
        ResultRef { status: self.status, metadata, body }
    }

    /// Whether `offered` is the result that was stored: equal status, metadata and body, by
    /// bytes where they are kept, else by digest (S3).
    pub(crate) fn is(&self, offered: &ResultRef<'_>) -> bool {
        match self.digest {
            None => self.as_result() == *offered,
            Some(stored) => stored == digest(offered),
        }
    }
}

/// SHA-256 over status, metadata and body or the reason why none is offered, length-prefixed.
pub(crate) fn digest(result: &ResultRef<'_>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(result.status.to_le_bytes());
    hasher.update((result.metadata.len() as u64).to_le_bytes());
    hasher.update(result.metadata);
    match result.body {
        Body::Kept(body) => {
            hasher.update([0]);
            hasher.update(body);
        }
        Body::NotKept(why) => {
            hasher.update([1]);
            hasher.update(why.name());
        }
    }
    hasher.finalize().into()
}

/// What of a result outlives its body: whole metadata pairs in order while they fit (S12).
pub(crate) fn without_body<'a>(
    result: &ResultRef<'a>,
    why: onceward_core::NotKept,
) -> ResultRef<'a> {
    let metadata = Metadata::decode(result.metadata)
        .map(|metadata| metadata.prefix(onceward_core::limits::METADATA_NOT_KEPT_BYTES_MAX))
        .unwrap_or(Metadata::EMPTY);
    ResultRef { status: result.status, metadata: metadata.encoded(), body: Body::NotKept(why) }
}

/// How an entry is to change.
#[derive(Clone, Copy)]
pub(crate) enum Change<'a> {
    /// A new entry, in place of one that is due if the version names one.
    Insert { view: &'a View, charge: Charge, quota: Option<u32> },
    /// The same entry with this view; its bytes stay.
    Update { view: &'a View },
    /// The same entry with this view and this checkpoint.
    Checkpoint { view: &'a View, bytes: &'a [u8], charge: Charge },
    /// The same entry, completed: `stored` is what of `offered` is kept. A checkpoint ends here.
    /// Of the `room` that is charged for it what it does not need is given back.
    Complete { view: &'a View, offered: &'a ResultRef<'a>, stored: &'a ResultRef<'a>, room: u64 },
    /// A new entry that was completed before a restart: the digest is of the result as offered then,
    /// if not all of it was kept. Of the `room` that is charged for it what it does not need is given
    /// back.
    InsertCompleted {
        view: &'a View,
        stored: &'a ResultRef<'a>,
        digest: Option<[u8; 32]>,
        room: u64,
        quota: Option<u32>,
    },
    /// No entry; its attempt id is remembered as ended until then (S3).
    Remove { remembered_until: Timestamp, now: Timestamp },
}

/// Identities that are looked for together, so that their misses overlap.
pub(crate) const BATCH: usize = 16;

/// Whether the caller holds the waits' lock of the identity.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Access {
    /// It does not: it must leave watched identities alone, so that whoever waits is judged
    /// before whoever comes later (S10).
    Free,
    /// It does.
    Exclusive,
}

/// What an entry is charged in the budget, in bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Charge {
    /// Entry and identity, as long as it is held.
    pub(crate) entry: u64,
    /// For the result: set aside while owned, its size once completed.
    pub(crate) result: u64,
    /// For checkpoints: the larger of what was set aside and what is held.
    pub(crate) checkpoint: u64,
}

impl Charge {
    pub(crate) const fn total(self) -> u64 {
        self.entry + self.result + self.checkpoint
    }

    /// Of a completed entry that had this charge.
    #[inline]
    pub(crate) fn completed(self, stored: &ResultRef<'_>) -> Self {
        let body = stored.body.kept().map_or(0, |body| body.len());
        Self { result: (stored.metadata.len() + body) as u64, checkpoint: 0, ..self }
    }
}

/// Another change came first: look again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stale;

/// Why a commit did nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Uncommitted {
    /// Another change came first: look again.
    Stale,
    /// There is no room for a new entry beyond what its charge covers. An `Insert` only.
    NoRoom,
    /// Its fact cannot be kept at present. Never by a storage itself.
    Halted,
}

impl From<Stale> for Uncommitted {
    fn from(Stale: Stale) -> Self {
        Self::Stale
    }
}

/// Keeps entries. All methods may be called from any thread.
///
/// Invariants:
/// 1. At most one entry per identity.
/// 2. `commit` is the linearisation point of every change. It applies only if the entry, or its
///    absence, has the version named; while one pin is held a version is never used twice, so that
///    an absence seen before another acquisition came and went is not mistaken for the present
///    one. Hence a fence drawn after the look is larger than any that the identity had (S4).
/// 3. While an identity is watched, only [`Access::Exclusive`] commits apply.
/// 4. Whoever holds a pin reclaims nothing: reclaiming may wait for pins to end.
pub(crate) trait Storage: Send + Sync {
    /// Held from a look to its commit, and to the last use of the bytes seen. Short: memory that
    /// goes meanwhile is not reused before it ends.
    type Pin<'a>
    where
        Self: 'a;
    /// Names the bytes of one version while its pin is held.
    type Bytes;
    /// What a look found, before any of it is read; of use while its pin is held.
    type Found: Copy;

    /// Keeps what is seen from being reused.
    fn pin(&self) -> Self::Pin<'_>;

    /// An identity with its keyed hash, computed once per operation.
    fn hashed<'a>(&self, identity: Identity<'a>) -> Hashed<'a>;

    /// Has fetched what a look at this identity touches first.
    fn prefetch_first(&self, _id: &Hashed<'_>) {}

    /// Has the entry fetched, if there seems to be one. Needs no pin: nothing is read of an entry.
    fn prefetch_entry(&self, _id: &Hashed<'_>) {}

    /// Fills in the figures that only the storage knows. Takes no lock.
    fn fill(&self, _stats: &mut Stats, _now: Timestamp) {}

    /// Looks.
    fn find(&self, pin: &Self::Pin<'_>, id: &Hashed<'_>) -> Self::Found;

    /// What was found, and whether `attempt` has ended, at one instant.
    fn load_found(
        &self,
        pin: &Self::Pin<'_>,
        id: &Hashed<'_>,
        found: Self::Found,
        attempt: Option<AttemptId>,
        now: Timestamp,
    ) -> Loaded<Self::Bytes>;

    /// [`Storage::find`], then [`Storage::load_found`].
    #[inline(always)]
    fn load(
        &self,
        pin: &Self::Pin<'_>,
        id: &Hashed<'_>,
        attempt: Option<AttemptId>,
        now: Timestamp,
    ) -> Loaded<Self::Bytes> {
        self.load_found(pin, id, self.find(pin, id), attempt, now)
    }

    /// Where a completed entry was found: has it judged by what a begin needs of it and by whether
    /// `attempt` has ended, and copies its result out if there is a verdict. `None` otherwise, or if
    /// this storage does not tell completed entries apart so soon: then it is for
    /// [`Storage::load_found`] to say what there is.
    fn replay<R>(
        &self,
        _pin: &Self::Pin<'_>,
        _id: &Hashed<'_>,
        _found: Self::Found,
        _attempt: AttemptId,
        _now: Timestamp,
        _judge: impl FnOnce(&CompletedView, bool) -> Option<R>,
    ) -> Option<(R, ResultCopy)> {
        None
    }

    /// The bytes of a version: its result, or its checkpoint. `None` if the checkpoint is gone,
    /// and so is the version: look again.
    fn held(&self, pin: &Self::Pin<'_>, entry: &LoadedEntry<Self::Bytes>) -> Option<Held>;

    /// Whether `offered` is the result stored (S3). Read only in COMPLETED.
    fn is_stored(
        &self,
        pin: &Self::Pin<'_>,
        entry: &LoadedEntry<Self::Bytes>,
        offered: &ResultRef<'_>,
    ) -> bool;

    /// What a new entry costs in all its life beyond set-asides.
    fn entry_bytes(&self, id: &Hashed<'_>, fingerprint: Fingerprint) -> u64;

    /// Changes the version named, or nothing.
    ///
    /// Room that a change adds to the charge is charged by the caller before, and given back by
    /// it if the commit fails. Entries that leave, and what a result does not need, are discharged
    /// here.
    fn commit(
        &self,
        pin: &Self::Pin<'_>,
        id: &Hashed<'_>,
        version: u64,
        access: Access,
        change: Change<'_>,
    ) -> Result<(), Uncommitted>;

    /// Remembers an attempt that ended before a restart (S3).
    fn remember_ended(&self, id: &Hashed<'_>, attempt: AttemptId, until: Timestamp, now: Timestamp);

    /// Marks this version of an entry as watched; whoever judged it may then wait for its change.
    /// The mark stays with the identity through exclusive changes until it is taken back.
    fn watch(&self, pin: &Self::Pin<'_>, id: &Hashed<'_>, version: u64) -> Result<(), Stale>;

    /// Takes the mark back.
    fn unwatch(&self, id: &Hashed<'_>);

    /// Frees what is due: at most `steps`, which is lowered by the work done.
    fn reclaim(&self, now: Timestamp, steps: &mut usize);

    /// [`Storage::reclaim`] for places in quotas, which are free at an entry's own end.
    fn reclaim_places(&self, now: Timestamp, steps: &mut usize) {
        self.reclaim(now, steps);
    }

    /// Logs what a commit found unfinished (S7). The caller holds neither pin nor lock.
    fn log_unfinished(&self) {}

    /// When something is due next, at the earliest.
    fn next_deadline(&self) -> Option<Timestamp>;

    /// When memory is due to be freed, at the earliest (S11).
    fn next_room(&self) -> Option<Timestamp>;

    /// Calls `visit` for entries from `cursor` on until it returns `false`, and says where to go
    /// on. Bounded work per call; blocks nobody.
    fn page(&self, cursor: u64, visit: &mut dyn FnMut(Identity<'_>, &View) -> bool) -> Option<u64>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use onceward_core::{MetadataBuf, NotKept};

    #[test]
    fn a_repeat_is_the_same_result_only_if_all_of_it_is_s3_s12() {
        let metadata = |value: &[u8]| {
            let mut metadata = MetadataBuf::new();
            metadata.push("name", value).unwrap();
            metadata.into_encoded()
        };
        let (one, other) = (metadata(b"one"), metadata(b"other"));
        let kept = |status, metadata, body| ResultRef { status, metadata, body: Body::Kept(body) };
        let offered = kept(200, &one, b"body");
        let declined = ResultRef { body: Body::NotKept(NotKept::Declined), ..offered };
        let moved = [&one[..], b"body"].concat();
        let rows = [
            ("all equal", offered, true),
            ("another status", kept(201, &one, b"body"), false),
            ("other metadata", kept(200, &other, b"body"), false),
            ("another body", kept(200, &one, b"bodY"), false),
            ("no body", declined, false),
            ("bytes moved from one to the other", kept(200, &[], &moved), false),
        ];
        let whole = Payload::new(&offered, &offered);
        let by_digest = Payload::new(&offered, &without_body(&offered, NotKept::TooLarge));
        assert!(by_digest.bytes.len() < whole.bytes.len(), "its body is not there to be compared");
        for (why, repeat, same) in rows {
            assert_eq!(whole.is(&repeat), same, "by bytes: {why}");
            assert_eq!(by_digest.is(&repeat), same, "by digest: {why}");
        }
    }
}
