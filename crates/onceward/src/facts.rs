//! The seam to a journal: what a change is as a fact, and who keeps facts (S14, S21).
//!
//! Data flows one way: the engine decides a change, hands its fact to the [`FactLog`] together with
//! the commit, and the log keeps the fact exactly if the commit came about. Nothing here knows of
//! files.
//!
//! Invariants, of whoever implements [`FactLog`]:
//! 1. A fact is kept exactly if its commit said so: a change that lost leaves none (S4).
//! 2. The position that a commit is told is at least that of every fact whose commit ended before
//!    it began. So who has seen a change, and then asks for its identity's position, is told one
//!    that covers it.
//! 3. Once [`FactLog::synced`] has reached a position, every fact up to it is as durable as the
//!    disk promises. A crash keeps, of all facts, some first part in the order of positions, or
//!    more.

use std::sync::Arc;

use onceward_core::lifecycle::View;
use onceward_core::{Digest, Fence, Identity, Millis, Position, ResultRef, Timestamp};

/// One change of one identity, as it is to be known again after a restart.
#[derive(Clone, Copy)]
pub struct Fact<'a> {
    /// Whose: the acquisition that it makes, changes or ends.
    pub fence: Fence,
    /// When the change was decided.
    pub at: Timestamp,
    /// End of the acquisition's retention: from then on nobody needs the fact (S7).
    pub expires_at: Timestamp,
    /// From the acquisition's grant to the end of its retention: facts of equal retention are kept
    /// together, and dropped together.
    pub retention: Millis,
    /// What happened.
    pub event: Event<'a>,
}

/// What happened to an acquisition. All of one acquisition may be known again in any order: each
/// says what it adds.
#[derive(Clone, Copy)]
pub enum Event<'a> {
    /// It was granted.
    Acquired {
        /// To whom it belongs, spelt out.
        identity: Identity<'a>,
        /// The entry as it then stood.
        view: &'a View,
        /// The acquisition that it took over from, whose checkpoint it inherits (S8); `None` if the
        /// identity was absent.
        previous: Option<Fence>,
        /// What is set aside for it.
        set_aside: SetAside,
    },
    /// It has its result, by complete or by resolve.
    Completed {
        /// What of it is kept.
        result: ResultRef<'a>,
        /// SHA-256 of the result as offered, where not all of it is kept (S3, S12).
        digest: Option<[u8; 32]>,
        /// What the identity is bound to from then on, if the completion bound it (S9).
        bound: Option<Digest>,
    },
    /// It ended without a result: its identity is absent.
    Removed,
    /// Its owner left it in doubt (S8). A mere lapse is no fact.
    Doubted {
        /// The doubt's number.
        doubt_number: u32,
    },
    /// Its lease began anew.
    Extended {
        /// The longest that any of its leases has been; a restart arms it for as long (S13).
        lease: Millis,
        /// Every doubt up to this number is over.
        doubts_over: u32,
        /// What it was bound to thereby (S9).
        bound: Option<Digest>,
    },
    /// It left bytes for its successor (S19).
    Checkpointed {
        /// Larger than that of the bytes before.
        ordinal: u32,
        /// The bytes.
        bytes: &'a [u8],
    },
}

/// Memory set aside for an acquisition, in bytes (S11).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SetAside {
    /// For its result.
    pub result: u64,
    /// For its checkpoints.
    pub checkpoint: u64,
}

/// Facts are not kept at present: nothing may be concluded, and nothing has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Halted;

/// What a log has done since it started, for operators.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LogCounts {
    /// Syncs that made facts durable.
    pub syncs: u64,
    /// Facts made durable.
    pub facts: u64,
    /// Bytes of theirs.
    pub bytes: u64,
    /// How often a write or sync failed.
    pub halts: u64,
}

/// Who keeps facts. All methods may be called from any thread; none waits for a disk.
pub trait FactLog: Send + Sync {
    /// Keeps the fact if `commit`, which is called at most once, says that its change came about.
    /// `commit` is told the position that the fact will have. Says what `commit` said.
    ///
    /// # Errors
    /// [`Halted`] without a call of `commit`.
    fn record(
        &self,
        fact: &Fact<'_>,
        commit: &mut dyn FnMut(Position) -> bool,
    ) -> Result<bool, Halted>;

    /// Every fact up to this position is on the disk.
    fn synced(&self) -> Position;

    /// Whether a fact has waited for its sync at `now` for longer than the interval: then replies
    /// wait at `interval`, too (S14).
    fn is_late(&self, now: Timestamp) -> bool;

    /// No fence at or above this one may be given (S4): after a restart others would get them again.
    fn fence_ceiling(&self) -> u64;

    /// Fences up to this one have been given: the ceiling is to be raised in time.
    fn note_fence(&self, fence: u64);

    /// Somebody waits for this position: it is to be synced soon.
    fn want(&self, position: Position);

    /// Calls `hook` whenever [`FactLog::synced`] has moved, and when facts stop or begin being kept.
    /// One hook per log: the latest takes the place of the one before.
    fn on_synced(&self, hook: Arc<dyn Fn() + Send + Sync>);

    /// Why facts are not kept at present, for whoever is refused.
    fn halted(&self) -> Option<String>;

    /// What it has done since it started; all zero if it does not count.
    fn counts(&self) -> LogCounts {
        LogCounts::default()
    }
}
