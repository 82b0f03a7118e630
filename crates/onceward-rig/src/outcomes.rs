//! Between the rig's few words and those of the store: the same for whoever asks, over a socket, in
//! the simulation, or of the model.

use onceward_core::{
    AbandonOutcome, AttemptId, BeginOutcome, CheckpointOutcome, CompleteOutcome, Digest, Fence,
    Fingerprint, ForgetOutcome, GetOutcome, RenewOutcome, ResolveOutcome, StoredResult, Token,
};

use crate::call::{Owner, Print, Told, digest_of_bytes};

impl Owner {
    pub(crate) fn token(self) -> Token {
        let attempt_id = AttemptId::from_bytes(self.attempt.to_le_bytes());
        Token { fence: fence(self.fence), attempt_id }
    }
}

impl Print {
    pub(crate) fn fingerprint(self) -> Fingerprint {
        match self {
            Self::Later => Fingerprint::Later,
            Self::Digest(print) => digest(print).into(),
        }
    }
}

pub(crate) fn fence(fence: u64) -> Fence {
    Fence::new(fence).expect("a fence that was shown")
}

/// The digest of that seed.
pub(crate) fn digest(print: u64) -> Digest {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&print.to_le_bytes());
    Digest::new(&bytes).expect("32 bytes")
}

impl Told {
    /// `digest_of` says what is kept of a stored result; `None` of one that must not be there.
    pub(crate) fn of_begin<B: AsRef<[u8]>>(
        outcome: &BeginOutcome<B>,
        digest_of: impl FnOnce(&StoredResult<B>) -> Option<u64>,
    ) -> Self {
        match outcome {
            BeginOutcome::Acquired(acquired) => Self::Acquired {
                fence: acquired.token.fence.get(),
                number: acquired.attempt_number,
                checkpoint: acquired
                    .checkpoint
                    .as_ref()
                    .map(|held| (held.ordinal, digest_of_bytes(held.bytes.as_ref()))),
            },
            BeginOutcome::Replay(replay) => match digest_of(&replay.result) {
                Some(result) => Self::Replay { result, number: replay.attempt_number },
                None => Self::Strange,
            },
            BeginOutcome::InProgress { .. } => Self::InProgress,
            BeginOutcome::Mismatch => Self::Mismatch,
            BeginOutcome::NeedFingerprint => Self::NeedFingerprint,
            BeginOutcome::InDoubt { .. } => Self::InDoubt,
            BeginOutcome::Refused { .. } => Self::Refused,
            BeginOutcome::Gone => Self::Gone,
            BeginOutcome::Expired { .. } => Self::Strange,
        }
    }

    /// As [`Told::of_begin`]. Whoever asks may see fences.
    pub(crate) fn of_get<B>(
        outcome: &GetOutcome<B>,
        digest_of: impl FnOnce(&StoredResult<B>) -> Option<u64>,
    ) -> Self {
        let seen = match outcome {
            GetOutcome::Absent => Some(Self::Absent),
            GetOutcome::Reserved { attempt_number, fence, doubt_number, .. } => {
                fence.map(|fence| Self::Reserved {
                    fence: fence.get(),
                    number: *attempt_number,
                    doubt: *doubt_number,
                })
            }
            GetOutcome::InDoubt { attempt_number, fence, doubt_number, .. } => fence.map(|fence| {
                Self::Doubted { fence: fence.get(), number: *attempt_number, doubt: *doubt_number }
            }),
            GetOutcome::Completed(completed) => {
                let result = digest_of(&completed.result);
                result.zip(completed.fence).map(|(result, fence)| Self::Done {
                    result,
                    fence: fence.get(),
                    number: completed.attempt_number,
                })
            }
            GetOutcome::Expired { .. } => None,
        };
        seen.unwrap_or(Self::Strange)
    }
}

impl From<CompleteOutcome> for Told {
    /// Whether the body is kept, or why not, is for the caller to look at.
    fn from(outcome: CompleteOutcome) -> Self {
        match outcome {
            CompleteOutcome::Completed { .. } => Self::Completed,
            CompleteOutcome::AlreadyCompleted { .. } => Self::AlreadyCompleted,
            CompleteOutcome::Conflict => Self::Conflict,
            CompleteOutcome::Mismatch => Self::Mismatch,
            CompleteOutcome::NeedFingerprint => Self::NeedFingerprint,
            CompleteOutcome::Fenced => Self::Fenced,
            CompleteOutcome::Gone => Self::Gone,
        }
    }
}

impl From<RenewOutcome> for Told {
    fn from(outcome: RenewOutcome) -> Self {
        match outcome {
            RenewOutcome::Renewed { .. } => Self::Renewed,
            RenewOutcome::Mismatch => Self::Mismatch,
            RenewOutcome::Conflict => Self::Conflict,
            RenewOutcome::Fenced => Self::Fenced,
            RenewOutcome::Gone => Self::Gone,
        }
    }
}

impl From<AbandonOutcome> for Told {
    fn from(outcome: AbandonOutcome) -> Self {
        match outcome {
            AbandonOutcome::Abandoned => Self::Abandoned,
            AbandonOutcome::Conflict => Self::Conflict,
            AbandonOutcome::Fenced => Self::Fenced,
            AbandonOutcome::Gone => Self::Gone,
        }
    }
}

impl From<CheckpointOutcome> for Told {
    fn from(outcome: CheckpointOutcome) -> Self {
        match outcome {
            CheckpointOutcome::Saved { ordinal } => Self::Saved { ordinal },
            CheckpointOutcome::Refused { .. } => Self::Refused,
            CheckpointOutcome::NeedFingerprint => Self::NeedFingerprint,
            CheckpointOutcome::Conflict => Self::Conflict,
            CheckpointOutcome::Fenced => Self::Fenced,
            CheckpointOutcome::Gone => Self::Gone,
        }
    }
}

impl From<ResolveOutcome> for Told {
    fn from(outcome: ResolveOutcome) -> Self {
        match outcome {
            ResolveOutcome::Resolved => Self::Resolved,
            ResolveOutcome::InProgress => Self::InProgress,
            ResolveOutcome::Mismatch => Self::Mismatch,
            ResolveOutcome::NeedFingerprint => Self::NeedFingerprint,
            ResolveOutcome::Conflict => Self::Conflict,
            ResolveOutcome::Fenced => Self::Fenced,
            ResolveOutcome::Gone => Self::Gone,
        }
    }
}

impl From<ForgetOutcome> for Told {
    fn from(outcome: ForgetOutcome) -> Self {
        match outcome {
            ForgetOutcome::Forgotten => Self::Forgotten,
            ForgetOutcome::InProgress => Self::InProgress,
            ForgetOutcome::Fenced => Self::Fenced,
            ForgetOutcome::Gone => Self::Gone,
        }
    }
}
