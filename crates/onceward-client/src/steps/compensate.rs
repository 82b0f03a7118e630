//! Undoes what a failed run had finished.

use bytes::Bytes;
use onceward_core::Backend;

use super::error::StepError;
use super::progress::{Compensation, Progress, ToUndo};
use super::run::{Tried, tried};

/// Compensates every finished step that is not compensated yet, last one first, recording each.
///
/// `returned` is the program's own error. It is the cause where the program stopped before it
/// came to the step that failed, and so gave no compensation.
pub(super) async fn all<B: Backend<Bytes = Bytes> + 'static>(
    progress: &Progress<B>,
    returned: Option<StepError>,
) -> Result<(), StepError> {
    // The failure itself may not be recorded: a successor could still run forward.
    if let Err(open) = progress.check_closed() {
        return Err(returned.unwrap_or(open));
    }
    loop {
        let ToUndo { step, result, compensation } = match progress.next_to_undo() {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(()),
            Err(missing) => {
                return Err(match returned {
                    Some(StepError::Failed(_)) | None => missing,
                    Some(cause) => cause,
                });
            }
        };
        progress.check_owner(&step)?;
        let Compensation { mut undo, retry } = compensation;
        let start = |context| undo(&result, context);
        match tried(progress, &step, true, retry, start).await? {
            Tried::Done(()) => progress.undone(&step).await?,
            Tried::Terminal(source) => {
                return Err(StepError::CompensationFailed { step, source });
            }
            Tried::Exhausted { tries, source } => {
                return Err(StepError::CompensationExhausted { step, tries, source });
            }
        }
        tracing::debug!(step, "compensated");
    }
}
