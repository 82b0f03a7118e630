//! What a caller asked about one key, and what it was told, in values small enough to keep by the
//! hundred thousand. Bytes are kept as digests: whoever compares them knows what they were made of.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use crate::moment::Moment;

/// One operation of one caller on one key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    /// Which key, by its number.
    pub key: u32,
    /// Before it was sent.
    pub began: Moment,
    /// After it was answered; [`Moment::NEVER`] without an answer.
    pub ended: Moment,
    /// What was asked.
    pub asked: Asked,
    /// The answer. `None`: nothing may be concluded, it may have happened or may yet happen, until
    /// the daemon that it was sent to is dead.
    pub told: Option<Told>,
}

/// The right to complete: an acquisition's fence and the attempt id that acquired it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Owner {
    /// The acquisition's number.
    pub fence: u64,
    /// The owner's secret.
    pub attempt: u128,
}

/// A fingerprint.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Print {
    /// Of a body that is still being read (S9).
    Later,
    /// A digest, by its seed.
    Digest(u64),
}

/// A question.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the words of SEMANTICS, field by field")]
pub enum Asked {
    Begin { attempt: u128, print: Print, lease: Duration, retention: Duration, in_doubt: bool },
    Complete { owner: Owner, result: u64, print: Option<u64> },
    Renew { owner: Owner, lease: Duration, print: Option<u64> },
    Abandon { owner: Owner, in_doubt: bool },
    Checkpoint { owner: Owner, ordinal: u32, bytes: u64 },
    Get,
    Resolve { fence: u64, doubt: u32, result: Option<u64>, print: Option<u64> },
    Forget { fence: u64 },
}

/// An answer. The same word from two operations means the same here.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "the words of SEMANTICS, field by field")]
pub enum Told {
    Acquired {
        fence: u64,
        number: u32,
        checkpoint: Option<(u32, u64)>,
    },
    Replay {
        result: u64,
        number: u32,
    },
    InProgress,
    Mismatch,
    NeedFingerprint,
    InDoubt,
    Refused,
    Gone,
    Completed,
    AlreadyCompleted,
    Conflict,
    Fenced,
    Abandoned,
    Renewed,
    Saved {
        ordinal: u32,
    },
    Absent,
    Reserved {
        fence: u64,
        number: u32,
        doubt: u32,
    },
    Doubted {
        fence: u64,
        number: u32,
        doubt: u32,
    },
    Done {
        result: u64,
        fence: u64,
        number: u32,
    },
    Resolved,
    Forgotten,
    /// An answer that no rule allows, such as a body that is not kept although there is room.
    Strange,
}

impl Asked {
    /// The operation's word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Begin { .. } => "begin",
            Self::Complete { .. } => "complete",
            Self::Renew { .. } => "renew",
            Self::Abandon { .. } => "abandon",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Get => "get",
            Self::Resolve { .. } => "resolve",
            Self::Forget { .. } => "forget",
        }
    }
}

impl Told {
    /// The outcome's word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Acquired { .. } => "acquired",
            Self::Replay { .. } => "replay",
            Self::InProgress => "in_progress",
            Self::Mismatch => "mismatch",
            Self::NeedFingerprint => "need_fingerprint",
            Self::InDoubt | Self::Doubted { .. } => "in_doubt",
            Self::Refused => "refused",
            Self::Gone => "gone",
            Self::Completed | Self::Done { .. } => "completed",
            Self::AlreadyCompleted => "already_completed",
            Self::Conflict => "conflict",
            Self::Fenced => "fenced",
            Self::Abandoned => "abandoned",
            Self::Renewed => "renewed",
            Self::Saved { .. } => "saved",
            Self::Absent => "absent",
            Self::Reserved { .. } => "reserved",
            Self::Resolved => "resolved",
            Self::Forgotten => "forgotten",
            Self::Strange => "strange",
        }
    }

    /// Whether facts must be as durable as configured before this is said (S14). In progress rests
    /// on none, and neither does a refusal for want of room.
    #[must_use]
    pub const fn rests_on_facts(&self) -> bool {
        !matches!(self, Self::InProgress | Self::Refused)
    }

    /// Whether it may be said of something that changed, at this moment or at another.
    #[must_use]
    pub const fn may_tell_of_a_change(&self) -> bool {
        matches!(
            self,
            Self::Acquired { .. }
                | Self::Completed
                | Self::Renewed
                | Self::Abandoned
                | Self::Saved { .. }
                | Self::Resolved
                | Self::Forgotten
        )
    }

    /// The stored result that is shown.
    #[must_use]
    pub const fn result(&self) -> Option<u64> {
        match *self {
            Self::Replay { result, .. } | Self::Done { result, .. } => Some(result),
            _ => None,
        }
    }
}

/// What is kept of a result: a digest of status, metadata and body.
#[must_use]
pub fn digest_of_result(status: u16, metadata: &[u8], body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (status, metadata, body).hash(&mut hasher);
    hasher.finish()
}

/// What is kept of other bytes.
#[must_use]
pub fn digest_of_bytes(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
