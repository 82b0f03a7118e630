//! Why a run stopped, and what the next call with its key will find.

use std::error::Error;
use std::fmt;

use onceward_claim::Lost;
use onceward_core::Millis;

use super::failure::{StepSource, TerminalFailure};
use super::ledger::{LEDGER_BYTES_MAX, LEDGER_VERSION};
use super::name::STEP_NAME_BYTES_MAX;
use crate::context::CheckpointError;

/// Why a step gave the program no result. The run ends with it, whatever the program makes of it.
///
/// No variant shows a byte of a step's result; a step's own error is the step's business.
#[derive(Debug)]
#[non_exhaustive]
pub enum StepError {
    /// The program's fault: the name is not 1–64 bytes of `[a-z0-9._-]`. The step did not run.
    Name {
        /// How many bytes it has.
        bytes: usize,
    },
    /// The program's fault: the run has a step of this name already. It did not run again.
    Duplicate {
        /// The name.
        step: String,
    },
    /// A predecessor finished steps that this program did not come to: its code has changed, or
    /// it depends on something that is not the same each time. The step did not run.
    Diverged {
        /// A step that is finished and that the program passed by.
        finished: String,
    },
    /// A predecessor recorded that the step has a compensation, and this program gives none.
    NoCompensation {
        /// The step.
        step: String,
    },
    /// Every try failed for now.
    Exhausted {
        /// The step.
        step: String,
        /// How often it was tried in this run.
        tries: u32,
        /// What the last try said.
        source: StepSource,
    },
    /// A step failed for good. What finished before it is compensated once the program returns.
    Failed(TerminalFailure),
    /// Every try of a compensation failed for now. The next call goes on with it.
    CompensationExhausted {
        /// The step whose side effect stands.
        step: String,
        /// How often its compensation was tried in this run.
        tries: u32,
        /// What the last try said.
        source: StepSource,
    },
    /// A compensation failed for good: the identity is in doubt, and an operator must look at the
    /// step and resolve it.
    CompensationFailed {
        /// The step whose side effect stands.
        step: String,
        /// What its compensation said.
        source: StepSource,
    },
    /// The step's future was dropped before it ended: its side effect may have happened. Put a
    /// time-out inside the step.
    CutOff {
        /// The step.
        step: String,
    },
    /// The step ran, but its result and those before it are too large to record. Return an
    /// identifier from the step, not a document.
    LedgerFull {
        /// The step.
        step: String,
        /// What the ledger would have.
        bytes: usize,
    },
    /// The step's result is not JSON that reads back as its type: the type lacks a part that is
    /// needed, or is not the one with which a predecessor recorded it.
    ResultUnreadable {
        /// The step.
        step: String,
        /// What kind of fault and where, without a byte of the result.
        message: String,
    },
    /// The ledger was written by a later version. Nothing ran.
    LedgerVersion {
        /// Its version.
        got: u32,
    },
    /// What a predecessor left is no ledger of steps. Nothing ran.
    LedgerUnreadable {
        /// Why not, without a byte of it.
        message: String,
    },
    /// The step ran, but the store did not confirm its record. It may be recorded all the same.
    NotRecorded {
        /// The step, or the one compensated.
        step: String,
        /// What the store said.
        cause: CheckpointError,
    },
    /// Ownership was lost before the step started. It did not run.
    Lost {
        /// The step, or the one to be compensated.
        step: String,
        /// How.
        why: Lost,
    },
    /// The run ended at an earlier error. The step did not run.
    Ended,
}

impl StepError {
    /// Whether calling again with the same key, by a program as it is, may get further.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Exhausted { .. }
            | Self::CompensationExhausted { .. }
            | Self::NotRecorded { .. }
            | Self::Lost { .. } => true,
            Self::Name { .. }
            | Self::Duplicate { .. }
            | Self::Diverged { .. }
            | Self::NoCompensation { .. }
            | Self::Failed(_)
            | Self::CompensationFailed { .. }
            | Self::CutOff { .. }
            | Self::LedgerFull { .. }
            | Self::ResultUnreadable { .. }
            | Self::LedgerVersion { .. }
            | Self::LedgerUnreadable { .. }
            | Self::Ended => false,
        }
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { bytes } => write!(
                f,
                "a step's name has {bytes} bytes: give 1 to {STEP_NAME_BYTES_MAX} of [a-z0-9._-]"
            ),
            Self::Duplicate { step } => {
                write!(f, "step {step} is named twice in one run: give each step its own name")
            }
            Self::Diverged { finished } => write!(
                f,
                "step {finished} is finished, and this program did not come to it: run the program that finished it, or resolve by hand"
            ),
            Self::NoCompensation { step } => write!(
                f,
                "step {step} is to be compensated, and this program gives no compensation for it: run the program that finished it, or resolve by hand"
            ),
            Self::Exhausted { step, tries, source } => {
                write!(f, "step {step} failed for now, {tries} times of {tries}: {source}")
            }
            Self::Failed(failure) => failure.fmt(f),
            Self::CompensationExhausted { step, tries, source } => write!(
                f,
                "the compensation of step {step} failed for now, {tries} times of {tries}: {source}"
            ),
            Self::CompensationFailed { step, source } => write!(
                f,
                "the compensation of step {step} failed for good: {source}; look at what the step did, then resolve the key"
            ),
            Self::CutOff { step } => write!(
                f,
                "step {step} was dropped before it ended and may have had its effect: put time-outs inside the step"
            ),
            Self::LedgerFull { step, bytes } => write!(
                f,
                "with the result of step {step} the ledger has {bytes} bytes, the bound is {LEDGER_BYTES_MAX}: return identifiers from steps, not documents"
            ),
            Self::ResultUnreadable { step, message } => write!(
                f,
                "the result of step {step} does not read back as its type ({message}): run the program that recorded it, or mend the type"
            ),
            Self::LedgerVersion { got } => write!(
                f,
                "the ledger has version {got}, this program reads {LEDGER_VERSION}: run the program that wrote it"
            ),
            Self::LedgerUnreadable { message } => write!(
                f,
                "the checkpoint is no ledger of steps ({message}): run the program that wrote it, or resolve by hand"
            ),
            Self::NotRecorded { step, cause } => {
                write!(f, "step {step} ran, and its record is not confirmed: {cause}")
            }
            Self::Lost { step, why } => {
                write!(f, "step {step} did not start, for ownership is lost: {why}")
            }
            Self::Ended => f.write_str("the run ended at an earlier error: no further step starts"),
        }
    }
}

impl Error for StepError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Exhausted { source, .. }
            | Self::CompensationExhausted { source, .. }
            | Self::CompensationFailed { source, .. } => Some(&**source),
            Self::Failed(failure) => Some(failure),
            Self::NotRecorded { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

/// A run that ended without a final result: why, and what the next call will find.
#[derive(Debug)]
pub struct Stopped {
    /// Why.
    pub error: StepError,
    /// What the next call with the same key will find.
    pub next: NextCall,
}

/// What the next call with the same key will find, as far as the caller that stopped can tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NextCall {
    /// The key is free: it starts from the first step.
    StartsAnew,
    /// Finished steps stand. It goes on from them once the lease has ended.
    Resumes {
        /// When that is, by this client's count.
        after: Millis,
    },
    /// The identity is in doubt, or will be at the end of the lease: a resolver decides (S8).
    InDoubt,
    /// Whatever the identity's present owner makes of it.
    AsItsOwnerDecides,
}

impl fmt::Display for NextCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartsAnew => f.write_str("the key is free, the next call starts anew"),
            Self::Resumes { after } => write!(
                f,
                "what is recorded stands, the next call resumes once the lease ends in {} ms",
                after.get()
            ),
            Self::InDoubt => f.write_str("nobody runs until the key is resolved"),
            Self::AsItsOwnerDecides => f.write_str("ask again to learn what stands"),
        }
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.error, self.next)
    }
}

impl Error for Stopped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
