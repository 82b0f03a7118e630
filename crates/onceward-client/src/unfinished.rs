//! What becomes of an execution whose future is dropped.

use std::sync::Arc;

use bytes::Bytes;
use onceward_claim::{Claim, surely_not_done};
use onceward_core::{
    Abandon, AbandonOutcome, Backend, Begin, BeginOutcome, Certainty, Millis, ScopedKeyBuf,
};
use tokio::runtime::Handle;
use tracing::Instrument as _;

use crate::flight::Lead;
use crate::outcome::ExecutionResult;

/// Does `action` in the background if it is dropped while armed. Best effort: one operation with
/// the client's own retries, and nothing where the runtime has ended.
pub(crate) struct Unfinished<B: Backend<Bytes = Bytes> + 'static> {
    pub(crate) action: Option<Action<B>>,
    /// Kept until the action is done, lest a follower ask before it.
    pub(crate) lead: Option<Arc<Lead>>,
}

/// What is still owed to the store.
pub(crate) enum Action<B> {
    /// The begin may have been granted and nobody will run: give it back.
    Undo { backend: B, key: ScopedKeyBuf, begin: Begin },
    /// The work was cut off, or never started.
    GiveUp { claim: Arc<Claim<B>>, certainty: Certainty },
    /// The work ended, and its result is here.
    Store { claim: Arc<Claim<B>>, result: ExecutionResult },
}

impl<B: Backend<Bytes = Bytes> + 'static> Drop for Unfinished<B> {
    fn drop(&mut self) {
        if let Some(action) = self.action.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let lead = self.lead.take();
            let acting = async move {
                action.run().await;
                drop(lead);
            };
            runtime.spawn(acting.in_current_span());
        }
    }
}

impl<B: Backend<Bytes = Bytes>> Action<B> {
    async fn run(self) {
        match self {
            Self::Undo { backend, key, begin } => undo(&backend, &key, &begin).await,
            Self::GiveUp { claim, certainty } => {
                give_up(&claim, certainty).await;
            }
            Self::Store { claim, result } => match claim.complete(result.as_ref()).await {
                Ok(outcome) => tracing::debug!(outcome = outcome.name(), "completed after a drop"),
                Err(error) => {
                    tracing::warn!(%error, "the execution was dropped, its result is not stored");
                }
            },
        }
    }
}

/// Gives the identity up, as far as that can be done now; else, on `None`, the end of the lease
/// does.
pub(crate) async fn give_up<B: Backend<Bytes = Bytes>>(
    claim: &Claim<B>,
    certainty: Certainty,
) -> Option<AbandonOutcome> {
    match claim.abandon(certainty).await {
        Ok(outcome) => {
            tracing::debug!(outcome = outcome.name(), "gave the identity up");
            Some(outcome)
        }
        Err(error) => {
            tracing::warn!(%error, "could not give the identity up: its lease decides");
            None
        }
    }
}

/// Repeats the begin to learn its fence (S3), then abandons: nothing ran.
pub(crate) async fn undo<B: Backend<Bytes = Bytes>>(
    backend: &B,
    key: &ScopedKeyBuf,
    begin: &Begin,
) {
    let repeat = Begin { wait: Millis::ZERO, ..*begin };
    if let Ok(BeginOutcome::Acquired(acquired)) = backend.begin(key.as_ref(), &repeat).await
        && surely_not_done(&acquired)
    {
        let abandon = Abandon { token: acquired.token, certainty: Certainty::NotDone };
        if let Err(error) = backend.abandon(key.as_ref(), &abandon).await {
            tracing::warn!(%error, "could not give back a begin that was dropped");
        }
    }
}
