//! The end of an acquisition: its result stored, or the identity given up.

use std::sync::Arc;

use bytes::Bytes;
use onceward_claim::Claim;
use onceward_core::{Backend, Certainty};
use onceward_http::{Problem, after_abandon};

use crate::attempt::give_up;
use crate::layer::Shared;

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
