//! What every operation returns: an outcome with the position it rests on, or why there is none.

use std::fmt;

use onceward_core::{
    BackendError, BadInput, BeginOutcome, Completed, GetOutcome, Position, Replay, ResultRef,
    StoredResult,
};

use crate::storage::Held;

/// An outcome, or what the caller's sink made of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answer<T> {
    /// What the sink returned, or the outcome itself where it has no bytes.
    pub value: T,
    /// The journal position to sync before telling it; zero at `memory` (S21).
    pub position: Position,
}

/// An answer, or a place in line (S10).
#[derive(Debug)]
#[must_use]
pub enum Waitable<T, K> {
    /// There was nothing to wait out.
    Answered(Answer<T>),
    /// The waker is called once this ticket has an answer.
    Waiting(K),
}

/// Why an operation got no outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StoreError {
    /// The caller's fault; nothing changed. Sending the same again cannot help.
    BadInput(BadInput),
    /// The store is closed (S17). Nothing may be concluded.
    Unavailable,
    /// The journal keeps no facts at present, and this would have made one (S14). Nothing has
    /// changed; [`FactLog::halted`](crate::FactLog::halted) says why. Repeat it later, with the
    /// same attempt id or token.
    Halted,
}

impl From<BadInput> for StoreError {
    fn from(bad: BadInput) -> Self {
        Self::BadInput(bad)
    }
}

impl From<StoreError> for BackendError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::BadInput(bad) => bad.into(),
            StoreError::Unavailable => {
                Self::Unavailable { message: "the store is shutting down".into() }
            }
            StoreError::Halted => {
                Self::Unavailable { message: "the journal keeps no facts at present".into() }
            }
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadInput(bad) => write!(f, "bad input: {bad}"),
            Self::Unavailable => f.write_str(
                "unavailable: the store is shutting down; nothing may be concluded, repeat with the same attempt id or token",
            ),
            Self::Halted => f.write_str(
                "unavailable: the journal keeps no facts at present, so nothing was done; repeat it later with the same attempt id or token",
            ),
        }
    }
}

impl std::error::Error for StoreError {}

/// The outcome with the bytes it speaks of. An Acquired names a checkpoint exactly when the entry
/// holds one, a Replay a result exactly when it is completed.
#[inline]
pub(crate) fn with_bytes(outcome: BeginOutcome<()>, held: &Held) -> BeginOutcome<&[u8]> {
    match outcome {
        BeginOutcome::Replay(replay) => BeginOutcome::Replay(Replay {
            result: stored(held, replay.result),
            age: replay.age,
            attempt_number: replay.attempt_number,
            retention_left: replay.retention_left,
        }),
        other => other.map(|()| held.checkpoint().unwrap_or_default()),
    }
}

pub(crate) fn get_with_bytes(outcome: GetOutcome<()>, held: &Held) -> GetOutcome<&[u8]> {
    match outcome {
        GetOutcome::Completed(completed) => GetOutcome::Completed(Completed {
            result: stored(held, completed.result),
            age: completed.age,
            attempt_number: completed.attempt_number,
            retention_left: completed.retention_left,
            fence: completed.fence,
        }),
        other => other.map(|()| Default::default()),
    }
}

#[inline]
fn stored(held: &Held, decided: StoredResult<()>) -> ResultRef<'_> {
    debug_assert!(held.result().is_some(), "a completed entry holds its result");
    held.result().unwrap_or_else(|| decided.map(|()| Default::default()))
}
