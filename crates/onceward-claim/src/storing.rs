//! The end of an acquisition with a result.

use std::time::Duration;

use bytes::Bytes;
use onceward_core::{Backend, BackendError, CompleteOutcome, NotKept, ResultRef};
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::claim::Claim;
use crate::ownership::Lost;

/// Pauses between completes that fail: from, to.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Why a result is not stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NotStored {
    /// Somebody else decides about the identity now.
    Lost(Lost),
    /// No answer until the lease ended, or one that repeating cannot change.
    Unanswered(BackendError),
}

/// Completes, repeating the same complete (S3) while it gets no answer and the lease runs; at least
/// once, for a lapsed owner's result is taken while nobody has taken over (S8). Says whether the
/// result is kept. `repeats` is called before each repeat.
///
/// # Errors
/// See [`NotStored`].
pub async fn store<B: Backend<Bytes = Bytes>>(
    claim: &Claim<B>,
    result: ResultRef<'_>,
    mut repeats: impl FnMut(),
) -> Result<Option<NotKept>, NotStored> {
    if let Some(why @ (Lost::Fenced | Lost::Gone)) = claim.lost() {
        return Err(NotStored::Lost(why)); // Final (S4): no need to ask.
    }
    let mut pauses = Backoff::new(PAUSE_MIN, PAUSE_MAX);
    loop {
        let error = match claim.complete(result).await {
            Ok(
                CompleteOutcome::Completed { not_kept }
                | CompleteOutcome::AlreadyCompleted { not_kept },
            ) => return Ok(not_kept),
            Ok(CompleteOutcome::Conflict) => return Err(NotStored::Lost(Lost::Conflict)),
            Ok(CompleteOutcome::Mismatch) => return Err(NotStored::Lost(Lost::Mismatch)),
            Ok(CompleteOutcome::Fenced) => return Err(NotStored::Lost(Lost::Fenced)),
            Ok(CompleteOutcome::Gone) => return Err(NotStored::Lost(Lost::Gone)),
            Ok(CompleteOutcome::NeedFingerprint) => BackendError::BadInput {
                field: "fingerprint".to_owned(),
                message: "fingerprint is still to come: bind it before the work ends".to_owned(),
            },
            Err(error) => error,
        };
        let left = claim.lease_until().saturating_duration_since(Instant::now());
        if !error.is_retryable() || left.is_zero() {
            return Err(NotStored::Unanswered(error));
        }
        tracing::debug!(%error, "complete failed, repeating it");
        sleep(pauses.next().min(left)).await;
        repeats();
    }
}
