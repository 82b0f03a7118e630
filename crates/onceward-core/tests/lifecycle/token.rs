//! Tokens: current, outdated, forged.

use onceward_core::{AttemptId, Fence, Token};

use crate::scene::{FENCE, OLD, OTHER, OWN, Standing, fence};

/// Who comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Bearer {
    /// The owner.
    Current,
    /// The owner before the takeover.
    Old,
    /// The owner's attempt id with the fence before.
    OldFence,
    /// The owner's attempt id with the next fence.
    LargerFence,
    /// The owner's attempt id with the largest fence there is.
    LargestFence,
    /// The current fence with an attempt id that never owned.
    OtherAttempt,
    /// The current fence with the attempt id before.
    OldAttempt,
}

impl Bearer {
    pub(crate) const ALL: [Self; 7] = [
        Self::Current,
        Self::Old,
        Self::OldFence,
        Self::LargerFence,
        Self::LargestFence,
        Self::OtherAttempt,
        Self::OldAttempt,
    ];

    pub(crate) fn token(self) -> Token {
        let (number, attempt_id): (u64, AttemptId) = match self {
            Self::Current => (FENCE, OWN),
            Self::Old => (39, OLD),
            Self::OldFence => (39, OWN),
            Self::LargerFence => (41, OWN),
            Self::LargestFence => (Fence::MAX, OWN),
            Self::OtherAttempt => (FENCE, OTHER),
            Self::OldAttempt => (FENCE, OLD),
        };
        Token { fence: fence(number), attempt_id }
    }

    /// S4 and the words under the table of operations: the fence must be the current one, and
    /// until completion the attempt id too.
    pub(crate) fn is_fenced(self, standing: Standing) -> bool {
        match (self, standing) {
            (_, Standing::Absent) => false, // Gone comes first.
            (Self::Current, _) => false,
            (Self::OtherAttempt | Self::OldAttempt, Standing::Done(_)) => false,
            (Self::OtherAttempt | Self::OldAttempt, _) => true,
            (Self::Old | Self::OldFence | Self::LargerFence | Self::LargestFence, _) => true,
        }
    }
}
