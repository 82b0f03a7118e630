//! The life of one identity, as pure functions over a small copy of its entry.
//!
//! ```text
//! ABSENT ── begin ──▶ RESERVED ── complete ──▶ COMPLETED ── retention ends, forget ──▶ ABSENT
//!                      │  ▲ ▲ └── abandon "not done" ──▶ ABSENT
//!                      │  │ └ begin by another once the lease has ended, policy takeover:
//!                      │  │   larger fence, attempt number + 1, checkpoint handed over
//!                      ▼  │ renew, or begin repeated by the owner
//!                    IN DOUBT   the lease ended under policy in-doubt, or abandon "in doubt"
//!                      └── resolve, or the owner's own complete or abandon ──▶ COMPLETED | ABSENT
//! ```
//!
//! What each operation does in each state (· answers without a change):
//!
//! | operation | ABSENT | RESERVED, lease runs | RESERVED, lease ended (takeover) | IN DOUBT | COMPLETED |
//! |---|---|---|---|---|---|
//! | begin, other attempt | Acquired | · InProgress | Acquired (takeover) | · InDoubt | · Replay |
//! | begin, own attempt | Acquired | Acquired again | Acquired again | Acquired again → RESERVED | · Replay |
//! | complete | · Gone | → COMPLETED | → COMPLETED | → COMPLETED | · AlreadyCompleted, Conflict |
//! | renew | · Gone | Renewed | Renewed | Renewed → RESERVED | · Conflict |
//! | checkpoint | · Gone | Saved | Saved | Saved | · Conflict |
//! | abandon "not done" | · Gone | → ABSENT | → ABSENT | → ABSENT | · Conflict |
//! | abandon "in doubt" | · Gone | → IN DOUBT | → IN DOUBT | · Abandoned | · Conflict |
//! | get | · Absent | · Reserved | · Reserved, 0 ms left | · InDoubt | · Completed |
//! | resolve | · Gone | · InProgress | → COMPLETED, ABSENT | → COMPLETED, ABSENT | · Resolved, Conflict |
//! | forget | · Gone | · InProgress | → ABSENT | → ABSENT | → ABSENT |
//!
//! Before that table, begin judges an ended attempt id (Gone, S3) and the fingerprint (Mismatch,
//! NeedFingerprint: S1, S9), the owner's operations judge Gone, Fenced, Mismatch in this order
//! (S4), and complete and checkpoint NeedFingerprint last.
//!
//! Invariants:
//! 1. From `expires_at` on, an entry is the same as no entry (S7).
//! 2. A bound fingerprint never changes (S1, S9).
//! 3. One fence owns an identity at a time. A takeover draws a larger one, so the previous
//!    owner's late result is refused rather than stored (S4).
//! 4. A stored result is never rewritten (S5).
//! 5. A lease's deadline never moves back (S6), and never past `expires_at`.
//!
//! Nothing here reads a clock, takes a lock or performs I/O. A decision is made for one
//! [`View::version`]; a store applies its transition to that version or judges anew. Where a
//! decision needs something that only the store can give (a fence, memory), it is returned as a
//! permit ([`Grant`], [`Acceptance`], [`CheckpointPermit`]) that the store exercises or refuses.
//!
//! Readings of the rules where their text leaves a choice:
//! - Every lapse counts as a doubt, under either policy: the doubt number that a resolver names
//!   for a lapsed lease is one more than before it, so that a verdict on an earlier lapse cannot
//!   end a later one.
//! - A begin whose attempt id has ended is Gone before anything else is judged.
//! - `none` counts as bound: `later` of another attempt against it is Mismatch, since no digest
//!   could ever match.
//! - resolve answers Mismatch when its verdict names another fingerprint than the bound one.
//! - An owner that abandons as in doubt what is in doubt already gets Abandoned.

mod begin;
mod operate;
mod owner;

pub use begin::{BeginDecision, CompletedView, Grant, begin, begin_completed};
pub use operate::{Finding, ResolveDecision, forget, get, resolve};
pub use owner::{
    Acceptance, CheckpointDecision, CheckpointPermit, CompleteDecision, abandon, checkpoint,
    complete, renew,
};

use crate::fingerprint::{Digest, Fingerprint};
use crate::outcome::StateName;
use crate::request::Policy;
use crate::result::NotKept;
use crate::time::{Millis, Timestamp};
use crate::token::{AttemptId, Fence, Token};

/// What decisions need to know of an entry; no bytes of results or checkpoints. Cheap to copy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct View {
    /// Of the entry this is a copy of. A transition made from it applies to this version only;
    /// the store gives what it writes another one.
    pub version: u64,
    /// Where in its life the identity is.
    pub state: State,
    /// Of the latest acquisition.
    pub fence: Fence,
    /// Of the latest acquisition; kept after completion for repeats of its begin (S3).
    pub attempt_id: AttemptId,
    /// 1, and one more with each takeover.
    pub attempt_number: u32,
    /// How often this acquisition has fallen in doubt so far, a noticed lapse included.
    pub doubt_number: u32,
    /// What the identity is bound to; [`Fingerprint::Later`] while unbound (S9).
    pub fingerprint: Fingerprint,
    /// When the latest acquisition was granted.
    pub acquired_at: Timestamp,
    /// End of retention: absent from here on (S7).
    pub expires_at: Timestamp,
    /// The largest ordinal saved; 0 without a checkpoint (S19).
    pub checkpoint_ordinal: u32,
    /// The longest lease that the latest acquisition was given: a restart arms it for as long
    /// (S13). Nothing depends on it once completed.
    pub longest_lease: Millis,
}

/// Where in its life an identity is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Owned, though the lease may have ended.
    Reserved {
        /// At this instant a rival may act; one millisecond before, it may not (S6).
        lease_until: Timestamp,
        /// What the end of the lease means (S8).
        policy: Policy,
    },
    /// Nobody runs again until resolved.
    InDoubt {
        /// When the doubt began.
        since: Timestamp,
        /// How it began.
        entered: Entered,
    },
    /// Final until the retention ends (S5).
    Completed {
        /// When.
        completed_at: Timestamp,
        /// Why the body is not kept; `None` if it is (S12).
        not_kept: Option<NotKept>,
    },
}

/// How a doubt began. After a restart a mere lapse may read InProgress again (S13).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Entered {
    /// The lease ended.
    ByLapse,
    /// The owner said so.
    ByAbandonment,
}

/// How an entry changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transition {
    /// It does not.
    Keep,
    /// It becomes this.
    Put(View),
    /// It becomes absent, and its attempt id is remembered as ended (S3).
    Remove,
}

/// A transition with the answer to give once it is applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Decision<O> {
    /// Apply this first, to the version the decision was made for.
    pub transition: Transition,
    /// Then tell this.
    pub outcome: O,
}

impl<O> Decision<O> {
    const fn keep(outcome: O) -> Self {
        Self { transition: Transition::Keep, outcome }
    }

    const fn put(view: View, outcome: O) -> Self {
        Self { transition: Transition::Put(view), outcome }
    }

    const fn remove(outcome: O) -> Self {
        Self { transition: Transition::Remove, outcome }
    }
}

impl View {
    /// The entry as it stands at `now`, what is due being done: `None` from the end of retention
    /// on (S7), in doubt once the lease has ended under that policy (S8).
    #[must_use]
    #[inline(always)]
    pub fn at(&self, now: Timestamp) -> Option<Self> {
        (now < self.expires_at).then(|| self.standing(now)) // Invariant 1.
    }

    /// [`View::at`] of an entry whose retention has not ended.
    #[inline(always)]
    fn standing(&self, now: Timestamp) -> Self {
        match self.state {
            State::Reserved { lease_until, policy: Policy::InDoubt } if now >= lease_until => {
                Self {
                    state: State::InDoubt { since: lease_until, entered: Entered::ByLapse },
                    doubt_number: self.doubt_number_standing(now),
                    ..*self
                }
            }
            State::Reserved { .. } | State::InDoubt { .. } | State::Completed { .. } => *self,
        }
    }

    /// Of [`View::standing`]: a doubt that has begun by a lapse is counted.
    #[inline]
    fn doubt_number_standing(&self, now: Timestamp) -> u32 {
        match self.state {
            State::Reserved { lease_until, policy: Policy::InDoubt } if now >= lease_until => {
                self.doubt_number.saturating_add(1)
            }
            State::Reserved { .. } | State::InDoubt { .. } | State::Completed { .. } => {
                self.doubt_number
            }
        }
    }

    /// Whether an owner's lease runs at `now`.
    #[must_use]
    #[inline]
    pub fn lease_runs(&self, now: Timestamp) -> bool {
        matches!(self.state, State::Reserved { lease_until, .. } if now < lease_until)
    }

    /// The doubt number a resolver names at `now`.
    #[must_use]
    pub fn doubt_number_at(&self, now: Timestamp) -> u32 {
        match self.state {
            State::Reserved { lease_until, .. } if now >= lease_until => {
                self.doubt_number.saturating_add(1)
            }
            State::Reserved { .. } | State::InDoubt { .. } | State::Completed { .. } => {
                self.doubt_number
            }
        }
    }

    /// The state's name, for lists and figures.
    #[must_use]
    #[inline]
    pub const fn state_name(&self) -> StateName {
        match self.state {
            State::Reserved { .. } => StateName::Reserved,
            State::InDoubt { .. } => StateName::InDoubt,
            State::Completed { .. } => StateName::Completed,
        }
    }

    /// Since completion once completed, else since the acquisition.
    #[must_use]
    #[inline]
    pub fn age(&self, now: Timestamp) -> Millis {
        match self.state {
            State::Completed { completed_at, .. } => now.since(completed_at),
            State::Reserved { .. } | State::InDoubt { .. } => now.since(self.acquired_at),
        }
    }

    /// The right of the latest acquisition's owner.
    #[must_use]
    #[inline]
    pub const fn token(&self) -> Token {
        Token { fence: self.fence, attempt_id: self.attempt_id }
    }

    /// When something changes by itself if nobody acts: the lease's end, else the retention's.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Timestamp {
        match self.state {
            State::Reserved { lease_until, .. } if now < lease_until => {
                lease_until.min(self.expires_at)
            }
            State::Reserved { .. } | State::InDoubt { .. } | State::Completed { .. } => {
                self.expires_at
            }
        }
    }

    /// Owned again for `lease` from `now`: how a renew and a repeated begin change the entry.
    /// `self` must be as it stands at `now`.
    #[inline]
    fn extended(&self, lease: Millis, now: Timestamp) -> Self {
        let wanted = now.after(lease).min(self.expires_at); // Invariant 5.
        let state = match self.state {
            State::Reserved { lease_until, policy } => {
                State::Reserved { lease_until: wanted.max(lease_until), policy }
            }
            State::InDoubt { .. } => {
                State::Reserved { lease_until: wanted, policy: Policy::InDoubt }
            }
            State::Completed { .. } => self.state,
        };
        let longest_lease = self.longest_lease.max(lease);
        Self { state, doubt_number: self.doubt_number_at(now), longest_lease, ..*self }
    }

    #[inline]
    fn lease_left(&self, now: Timestamp) -> Millis {
        match self.state {
            State::Reserved { lease_until, .. } => now.until(lease_until),
            State::InDoubt { .. } | State::Completed { .. } => Millis::ZERO,
        }
    }

    /// Whether `digest` may stand beside what is bound (S9).
    #[inline(always)]
    fn admits(&self, digest: Option<Digest>) -> bool {
        match (self.fingerprint, digest) {
            (_, None) | (Fingerprint::Later, Some(_)) => true,
            (Fingerprint::Digest(bound), Some(digest)) => bound == digest,
            (Fingerprint::None, Some(_)) => false,
        }
    }

    /// Bound to `digest` if it was unbound and one is named.
    #[inline]
    fn bound_to(&self, digest: Option<Digest>) -> Self {
        Self { fingerprint: self.fingerprint_bound_to(digest), ..*self }
    }

    #[inline]
    fn fingerprint_bound_to(&self, digest: Option<Digest>) -> Fingerprint {
        match (self.fingerprint, digest) {
            (Fingerprint::Later, Some(digest)) => Fingerprint::Digest(digest),
            (bound, _) => bound,
        }
    }
}
