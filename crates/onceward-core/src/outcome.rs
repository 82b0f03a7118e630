//! Every outcome of every operation. Expected answers, not errors.
//!
//! `B` holds the bytes of results and checkpoints, as in [`StoredResult`].

use crate::request::Checkpointed;
use crate::result::{NotKept, StoredResult};
use crate::time::Millis;
use crate::token::{Fence, Token};

/// What begin answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "only Acquired may run the work"]
pub enum BeginOutcome<B> {
    /// The caller owns the identity: run the work, then complete.
    Acquired(Acquired<B>),
    /// The work is done; this is its result.
    Replay(Replay<B>),
    /// Another owner's lease runs.
    InProgress {
        /// When to ask again: the lease ends then.
        retry_after: Millis,
        /// Since the acquisition.
        age: Millis,
        /// The owner's attempt number.
        attempt_number: u32,
    },
    /// The key was used for another payload. Carries nothing of what is stored (S1).
    Mismatch,
    /// The identity is bound: digest the body, begin again (S9).
    NeedFingerprint,
    /// The owner fell silent and the work may have happened; a resolver must decide (S8).
    InDoubt {
        /// How long ago the doubt began.
        since: Millis,
    },
    /// No room, or no quota.
    Refused {
        /// Which.
        reason: Refusal,
        /// When room is due, if known.
        retry_after: Option<Millis>,
    },
    /// This very attempt has ended; a new begin needs a new attempt id (S3).
    Gone,
    /// Reserved for tombstones (S23).
    Expired {
        /// How long ago.
        since: Millis,
    },
}

/// One grant of ownership.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Acquired<B> {
    /// The right to complete.
    pub token: Token,
    /// 1, or more after takeovers.
    pub attempt_number: u32,
    /// What the predecessor left (S19).
    pub checkpoint: Option<Checkpointed<B>>,
    /// Count it from when the request was sent (S6).
    pub lease_left: Millis,
    /// Until the identity is absent again.
    pub retention_left: Millis,
}

/// A stored result, told to a retry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Replay<B> {
    /// What the owner stored.
    pub result: StoredResult<B>,
    /// Since completion.
    pub age: Millis,
    /// Of the attempt that completed.
    pub attempt_number: u32,
    /// Until the identity is absent again.
    pub retention_left: Millis,
}

/// Why a begin is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The store is full (S11).
    Capacity,
    /// The namespace has its share.
    Quota,
}

impl Refusal {
    /// The word used on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Quota => "quota",
        }
    }
}

/// What complete answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "the result may not be stored"]
pub enum CompleteOutcome {
    /// Stored now; `None` if the body is kept.
    Completed {
        /// Why the body is not kept.
        not_kept: Option<NotKept>,
    },
    /// The same token stored the same result before (S3).
    AlreadyCompleted {
        /// Why the body is not kept.
        not_kept: Option<NotKept>,
    },
    /// The same token stored another result before; that one stands (S5).
    Conflict,
    /// Another fingerprint is bound.
    Mismatch,
    /// The fingerprint is still `later`: name it.
    NeedFingerprint,
    /// Another acquisition owns the identity now (S4).
    Fenced,
    /// The identity is absent.
    Gone,
}

/// What abandon answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AbandonOutcome {
    /// Given up; also when it already was in doubt.
    Abandoned,
    /// Already completed: refused (S5).
    Conflict,
    /// Another acquisition owns the identity now (S4).
    Fenced,
    /// The identity is absent; after a repeated abandon this means that it is done (S3).
    Gone,
}

/// What renew answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "ownership may be lost"]
pub enum RenewOutcome {
    /// The lease runs anew.
    Renewed {
        /// Count it from when the request was sent (S6).
        lease_left: Millis,
    },
    /// Another fingerprint is bound.
    Mismatch,
    /// Already completed.
    Conflict,
    /// Another acquisition owns the identity now: stop the work (S4).
    Fenced,
    /// The identity is absent: stop the work.
    Gone,
}

/// What checkpoint answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "the checkpoint may not be saved"]
pub enum CheckpointOutcome {
    /// This ordinal is held: the saved one, or a later one that stands (S19).
    Saved {
        /// The ordinal held now.
        ordinal: u32,
    },
    /// Beyond its set-aside, and no room.
    Refused {
        /// Why.
        reason: Refusal,
    },
    /// The fingerprint is still `later`: bind it first (S9).
    NeedFingerprint,
    /// Already completed.
    Conflict,
    /// Another acquisition owns the identity now (S4).
    Fenced,
    /// The identity is absent.
    Gone,
}

/// What get answers. Fences are `None` for callers without the operate right.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GetOutcome<B> {
    /// Nothing is known of the identity.
    Absent,
    /// It is owned. With `lease_left` zero the lease has ended under policy takeover.
    Reserved {
        /// Since the acquisition.
        age: Millis,
        /// The owner's attempt number.
        attempt_number: u32,
        /// Until the lease ends.
        lease_left: Millis,
        /// Of the acquisition.
        fence: Option<Fence>,
        /// How often this acquisition has fallen in doubt so far. Once the lease has ended, the
        /// lapse counts, and this is what a resolver names; while it runs there is nothing to
        /// resolve.
        doubt_number: u32,
    },
    /// It waits for a resolver.
    InDoubt {
        /// How long ago the doubt began.
        since: Millis,
        /// The attempt number in doubt.
        attempt_number: u32,
        /// Of the acquisition.
        fence: Option<Fence>,
        /// What a resolver names.
        doubt_number: u32,
    },
    /// The work is done.
    Completed(Completed<B>),
    /// Reserved for tombstones (S23).
    Expired {
        /// How long ago.
        since: Millis,
    },
}

/// A stored result, told to a reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Completed<B> {
    /// What the owner stored.
    pub result: StoredResult<B>,
    /// Since completion.
    pub age: Millis,
    /// Of the attempt that completed.
    pub attempt_number: u32,
    /// Until the identity is absent again.
    pub retention_left: Millis,
    /// Of the acquisition.
    pub fence: Option<Fence>,
}

/// What resolve answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "the doubt may stand"]
pub enum ResolveOutcome {
    /// The verdict holds; also if the identity already held that very result.
    Resolved,
    /// The lease runs: its owner decides.
    InProgress,
    /// Another fingerprint is bound than the verdict names.
    Mismatch,
    /// The fingerprint is still `later`: name it.
    NeedFingerprint,
    /// Completed otherwise.
    Conflict,
    /// Another acquisition, or another doubt, is there now.
    Fenced,
    /// The identity is absent.
    Gone,
}

/// What forget answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ForgetOutcome {
    /// The identity is absent now.
    Forgotten,
    /// The lease runs: refused.
    InProgress,
    /// Another acquisition is there now.
    Fenced,
    /// The identity is absent.
    Gone,
}

/// The three states an entry can be in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum StateName {
    /// Owned.
    Reserved,
    /// Waiting for a resolver.
    InDoubt,
    /// Done.
    Completed,
}

impl StateName {
    /// The word used on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::InDoubt => "in_doubt",
            Self::Completed => "completed",
        }
    }
}

impl<B> BeginOutcome<B> {
    /// The outcome's word, snake case.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Acquired(_) => "acquired",
            Self::Replay(_) => "replay",
            Self::InProgress { .. } => "in_progress",
            Self::Mismatch => "mismatch",
            Self::NeedFingerprint => "need_fingerprint",
            Self::InDoubt { .. } => "in_doubt",
            Self::Refused { .. } => "refused",
            Self::Gone => "gone",
            Self::Expired { .. } => "expired",
        }
    }

    /// The same outcome with its bytes held another way.
    #[inline]
    pub fn map<C>(self, mut carry: impl FnMut(B) -> C) -> BeginOutcome<C> {
        match self {
            Self::Acquired(acquired) => BeginOutcome::Acquired(Acquired {
                token: acquired.token,
                attempt_number: acquired.attempt_number,
                checkpoint: acquired
                    .checkpoint
                    .map(|held| Checkpointed { ordinal: held.ordinal, bytes: carry(held.bytes) }),
                lease_left: acquired.lease_left,
                retention_left: acquired.retention_left,
            }),
            Self::Replay(replay) => BeginOutcome::Replay(Replay {
                result: replay.result.map(carry),
                age: replay.age,
                attempt_number: replay.attempt_number,
                retention_left: replay.retention_left,
            }),
            Self::InProgress { retry_after, age, attempt_number } => {
                BeginOutcome::InProgress { retry_after, age, attempt_number }
            }
            Self::Mismatch => BeginOutcome::Mismatch,
            Self::NeedFingerprint => BeginOutcome::NeedFingerprint,
            Self::InDoubt { since } => BeginOutcome::InDoubt { since },
            Self::Refused { reason, retry_after } => BeginOutcome::Refused { reason, retry_after },
            Self::Gone => BeginOutcome::Gone,
            Self::Expired { since } => BeginOutcome::Expired { since },
        }
    }
}

impl<B> GetOutcome<B> {
    /// The outcome's word, snake case.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Reserved { .. } => "reserved",
            Self::InDoubt { .. } => "in_doubt",
            Self::Completed(_) => "completed",
            Self::Expired { .. } => "expired",
        }
    }

    /// The same outcome with its bytes held another way.
    #[inline]
    pub fn map<C>(self, carry: impl FnMut(B) -> C) -> GetOutcome<C> {
        match self {
            Self::Absent => GetOutcome::Absent,
            Self::Reserved { age, attempt_number, lease_left, fence, doubt_number } => {
                GetOutcome::Reserved { age, attempt_number, lease_left, fence, doubt_number }
            }
            Self::InDoubt { since, attempt_number, fence, doubt_number } => {
                GetOutcome::InDoubt { since, attempt_number, fence, doubt_number }
            }
            Self::Completed(completed) => GetOutcome::Completed(Completed {
                result: completed.result.map(carry),
                age: completed.age,
                attempt_number: completed.attempt_number,
                retention_left: completed.retention_left,
                fence: completed.fence,
            }),
            Self::Expired { since } => GetOutcome::Expired { since },
        }
    }

    /// Hides the fence, for callers without the operate right.
    #[must_use]
    pub fn without_fence(mut self) -> Self {
        match &mut self {
            Self::Reserved { fence, .. } | Self::InDoubt { fence, .. } => *fence = None,
            Self::Completed(completed) => completed.fence = None,
            Self::Absent | Self::Expired { .. } => {}
        }
        self
    }
}

macro_rules! names {
    ($($outcome:ident { $($variant:ident => $name:literal),+ $(,)? })+) => {$(
        impl $outcome {
            /// The outcome's word, snake case.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $name),+ }
            }
        }
    )+};
}

names! {
    CompleteOutcome {
        Completed => "completed", AlreadyCompleted => "already_completed", Conflict => "conflict",
        Mismatch => "mismatch", NeedFingerprint => "need_fingerprint", Fenced => "fenced",
        Gone => "gone",
    }
    AbandonOutcome {
        Abandoned => "abandoned", Conflict => "conflict", Fenced => "fenced", Gone => "gone",
    }
    RenewOutcome {
        Renewed => "renewed", Mismatch => "mismatch", Conflict => "conflict", Fenced => "fenced",
        Gone => "gone",
    }
    CheckpointOutcome {
        Saved => "saved", Refused => "refused", NeedFingerprint => "need_fingerprint",
        Conflict => "conflict", Fenced => "fenced", Gone => "gone",
    }
    ResolveOutcome {
        Resolved => "resolved", InProgress => "in_progress", Mismatch => "mismatch",
        NeedFingerprint => "need_fingerprint", Conflict => "conflict", Fenced => "fenced",
        Gone => "gone",
    }
    ForgetOutcome {
        Forgotten => "forgotten", InProgress => "in_progress", Fenced => "fenced", Gone => "gone",
    }
}
