//! The end of an acquisition: its result stored, or the identity given up.

use std::sync::Arc;

use bytes::Bytes;
use onceward_core::{Backend, BackendError, Certainty, CompleteOutcome, NotKept, ResultRef};
use onceward_http::{Problem, after_abandon};
use tokio::time::{Instant, sleep};

use crate::attempt::{PAUSE_MAX, PAUSE_MIN, give_up};
use crate::claim::Claim;
use crate::layer::Shared;
use crate::ownership::Lost;
use crate::retry::Backoff;

/// Why a result is not stored.
#[derive(Debug)]
pub(crate) enum NotStored {
    /// Somebody else decides about the identity now.
    Lost(Lost),
    /// No answer until the lease ended, or one that repeating cannot change.
    Unanswered(BackendError),
}

/// Completes, repeating the same complete (S3) while it gets no answer and the lease runs; at least
/// once, for a lapsed owner's result is taken while nobody has taken over (S8).
pub(crate) async fn store<B: Backend<Bytes = Bytes>>(
    claim: &Claim<B>,
    result: ResultRef<'_>,
) -> Result<Option<NotKept>, NotStored> {
    if let Some(why) = claim.lost()
        && matches!(why, Lost::Fenced | Lost::Gone)
    {
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
            // The layer completes an unbound request only with its digest.
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
    }
}

/// Abandons. One try holds the response up, so that a retry finds what the response says; more go
/// on behind it until the lease ends.
///
/// # Errors
/// The problem that is answered instead of what the handler said.
pub(crate) async fn abandon<B: Backend<Bytes = Bytes> + 'static>(
    shared: &Shared<B>,
    claim: &Arc<Claim<B>>,
    certainty: Certainty,
) -> Result<(), Problem> {
    match claim.abandon(certainty).await {
        Ok(outcome) => {
            tracing::debug!(outcome = outcome.name(), "gave the identity up");
            return after_abandon(&outcome, certainty);
        }
        Err(error) if error.is_retryable() => {
            tracing::debug!(%error, "abandon failed, repeating it in the background");
            let (claim, until) = (Arc::clone(claim), claim.lease_until());
            shared.spawn_background(async move { give_up(&claim, certainty, until).await });
        }
        Err(error) => {
            let key = claim.key_hash();
            tracing::warn!(%key, %error, "could not give the identity up: its lease decides");
        }
    }
    Ok(())
}
