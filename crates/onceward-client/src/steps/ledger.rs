//! What a run has finished, as one checkpoint (S19).
//!
//! ```json
//! {"onceward_steps":1,
//!  "steps":[{"name":"book-truck","result":{"truck":7},"undo":true}],
//!  "failed":{"step":"charge","message":"card declined","undone":0}}
//! ```

use onceward_core::limits::CHECKPOINT_BYTES_MAX;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::StepError;
use super::failure::{FAILURE_MESSAGE_BYTES_MAX, TerminalFailure};
use super::name;

/// Version that is written, and the latest that is read.
pub const LEDGER_VERSION: u32 = 1;

/// Set aside of a checkpoint for a terminal failure and its compensations, so that a run whose
/// steps fit can also end: 512 bytes of message, each at most 6 in JSON, and fixed parts.
const FAILURE_BYTES_RESERVED: usize = 4 * 1024;

/// Most bytes of all steps' names and results, as JSON; over: [`StepError::LedgerFull`].
pub const LEDGER_BYTES_MAX: usize = CHECKPOINT_BYTES_MAX - FAILURE_BYTES_RESERVED;

/// Facts in the order in which they came about. Names are unique and within their bound, as is the
/// failure's message; `failed.undone <= steps`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ledger {
    #[serde(rename = "onceward_steps")]
    version: u32,
    pub(super) steps: Vec<Fact>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<Failed>,
}

/// A finished step.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) result: Box<RawValue>,
    /// Whether the program gave a compensation with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) undo: bool,
}

/// A step that failed for good, and how far compensation has come.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failed {
    step: String,
    message: String,
    /// How many facts, from the last one back, need no compensation any more.
    pub(super) undone: usize,
}

impl From<TerminalFailure> for Failed {
    fn from(failure: TerminalFailure) -> Self {
        Self { step: failure.step, message: failure.message, undone: 0 }
    }
}

impl Failed {
    pub(super) fn failure(&self) -> TerminalFailure {
        TerminalFailure { step: self.step.clone(), message: self.message.clone() }
    }
}

/// Read first and alone: a later version may have any other shape.
#[derive(Deserialize)]
struct Version {
    #[serde(rename = "onceward_steps")]
    version: u32,
}

impl Ledger {
    pub(super) const fn new() -> Self {
        Self { version: LEDGER_VERSION, steps: Vec::new(), failed: None }
    }

    /// # Errors
    /// [`StepError::LedgerVersion`], [`StepError::LedgerUnreadable`].
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StepError> {
        let unreadable = |error| StepError::LedgerUnreadable { message: fault(&error) };
        let Version { version } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if version > LEDGER_VERSION {
            return Err(StepError::LedgerVersion { got: version });
        }
        let ledger: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        let twice =
            ledger.steps.iter().enumerate().any(|(at, fact)| {
                ledger.steps[..at].iter().any(|earlier| earlier.name == fact.name)
            });
        let named = ledger.steps.iter().all(|fact| name::check(&fact.name).is_ok());
        let failed = ledger.failed.as_ref().is_none_or(|failed| {
            failed.undone <= ledger.steps.len()
                && name::check(&failed.step).is_ok()
                && failed.message.len() <= FAILURE_MESSAGE_BYTES_MAX
        });
        if version == 0 || twice || !named || !failed {
            let message = "its parts contradict each other".to_owned();
            return Err(StepError::LedgerUnreadable { message });
        }
        Ok(ledger)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings, numbers and checked JSON always encode")
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.steps.iter().position(|fact| fact.name == name)
    }
}

/// Kind and place of a JSON fault. The error's own text may quote what it read (S16).
pub(super) fn fault(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let kind = match error.classify() {
        Category::Io => "not written",
        Category::Syntax => "not JSON",
        Category::Data => "JSON of another shape",
        Category::Eof => "ends too early",
    };
    format!("{kind}, line {} column {}", error.line(), error.column())
}
