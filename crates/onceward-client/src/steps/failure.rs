//! How a step fails: for now, or for good.

use std::error::Error;
use std::fmt;

use onceward_core::MetadataBuf;

use crate::outcome::{Done, ExecutionResult};

/// What a step's own error may be: any error, or a text.
pub type StepSource = Box<dyn Error + Send + Sync>;

/// Most bytes kept of a terminal failure's message; a longer one is cut at a character.
pub const FAILURE_MESSAGE_BYTES_MAX: usize = 512;

/// Metadata of a run's result that holds the step which failed for good; absent where none did.
/// Name, step, message and framing stay under the 1 KiB that outlives a body not kept (S12).
pub const FAILED_STEP: &str = "onceward-failed-step";
/// Metadata of a run's result that holds that step's message.
pub const FAILURE_MESSAGE: &str = "onceward-failure";

/// Why one try of a step, or of a compensation, gave no result.
///
/// Saying which kind it is, is the step's business: nothing is converted by itself.
#[derive(Debug)]
pub struct StepFailure {
    pub(super) terminal: bool,
    pub(super) source: StepSource,
}

impl StepFailure {
    /// Trying again, with the same derived key, may help and does no harm. Right for a time-out, a
    /// lost connection, a downstream system that is busy: also where it is not known whether the
    /// side effect happened, as long as the derived key makes it happen once.
    #[must_use]
    pub fn retryable(source: impl Into<StepSource>) -> Self {
        Self { terminal: false, source: source.into() }
    }

    /// Trying again cannot help, and the step's side effect did not happen: what finished before
    /// it is to be compensated. Right for a refusal, such as a card that is declined.
    #[must_use]
    pub fn terminal(source: impl Into<StepSource>) -> Self {
        Self { terminal: true, source: source.into() }
    }

    /// Whether it is of the kind that trying again may mend.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        !self.terminal
    }
}

impl fmt::Display for StepFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.terminal { "for good" } else { "for now" };
        write!(f, "failed {kind}: {}", self.source)
    }
}

impl Error for StepFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// The final word of a run whose step failed for good, the same for every retry of the key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TerminalFailure {
    /// The step that failed.
    pub step: String,
    /// What its error said, at most [`FAILURE_MESSAGE_BYTES_MAX`] bytes.
    pub message: String,
}

impl TerminalFailure {
    pub(super) fn new(step: &str, source: &StepSource) -> Self {
        let mut message = source.to_string();
        let mut end = message.len().min(FAILURE_MESSAGE_BYTES_MAX);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        Self { step: step.to_owned(), message }
    }

    /// As a result to store: an empty body, and the failure in the metadata.
    pub(super) fn to_result(&self) -> ExecutionResult {
        let mut metadata = MetadataBuf::new();
        for (name, value) in [(FAILED_STEP, &self.step), (FAILURE_MESSAGE, &self.message)] {
            metadata.push(name, value).expect("names and lengths are bounded");
        }
        ExecutionResult::from(()).with_metadata(metadata)
    }

    /// What [`Self::to_result`] stored; `None` if the result is no failure. A value's result has
    /// its codec first, so no metadata of the program's can be taken for a failure.
    pub(super) fn of(done: &Done) -> Option<Self> {
        let mut pairs = done.metadata().ok()?.pairs();
        let mut value = |name: &str| {
            let (_, value) = pairs.next().filter(|(pair, _)| *pair == name.as_bytes())?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        Some(Self { step: value(FAILED_STEP)?, message: value(FAILURE_MESSAGE)? })
    }
}

impl fmt::Display for TerminalFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} failed for good: {}", self.step, self.message)
    }
}

impl Error for TerminalFailure {}
