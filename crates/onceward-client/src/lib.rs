//! Async Onceward client.

mod claim;
mod context;
mod error;
mod execution;
mod identifiers;
mod keeper;
mod outcome;
mod retry;
mod run;
mod span;
mod unfinished;

pub use context::{CheckpointError, Context};
pub use error::{ClientError, OpenError};
pub use execution::{Execution, OnFailure};
pub use identifiers::{attempt_id, derived_key, fingerprint_of};
pub use outcome::{Done, ExecuteError, Executed, ExecutionResult, Lost};
