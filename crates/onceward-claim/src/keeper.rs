//! Keeps the lease while the work runs, in a task of its own: work that computes for a while
//! between two awaits does not hold up its own renewal.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onceward_core::{Backend, RenewOutcome};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::Instrument as _;

use crate::backoff::Backoff;
use crate::claim::Claim;
use crate::ownership::Lost;

/// Pauses between renewals that fail: from, to. Each grows from the one before, with jitter.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Renews the lease of a claim, and tells its work when ownership is lost; a task that ends with this
/// value.
#[derive(Debug)]
pub struct Keeper(JoinHandle<()>);

impl Keeper {
    /// Starts the task in the current runtime.
    #[must_use]
    pub fn start<B: Backend<Bytes = Bytes> + 'static>(claim: Arc<Claim<B>>) -> Self {
        let keeping = async move {
            tokio::join!(renew(&claim), watch_lease(&claim));
        };
        Self(tokio::spawn(keeping.in_current_span()))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Renews at a third of each lease, until the store says that ownership is lost.
///
/// A lease that has lapsed is renewed all the same: while nobody has taken over, that shuts
/// rivals out again (S8).
async fn renew<B: Backend<Bytes = Bytes>>(claim: &Claim<B>) {
    loop {
        sleep_until(claim.renewal_due()).await;
        let mut pauses = Backoff::new(PAUSE_MIN, PAUSE_MAX);
        loop {
            match claim.renew(None).await {
                Ok(RenewOutcome::Renewed { .. }) => break,
                Ok(lost) => {
                    let key = claim.key_hash();
                    tracing::warn!(%key, outcome = lost.name(), "ownership is lost");
                    return;
                }
                Err(error) => {
                    tracing::debug!(%error, "renewal failed");
                    sleep(pauses.next()).await;
                }
            }
        }
    }
}

/// Tells the work when the lease has ended by our own count.
async fn watch_lease<B: Backend<Bytes = Bytes>>(claim: &Claim<B>) {
    loop {
        sleep_until(claim.lease_until()).await;
        if claim.lease_until() <= Instant::now() {
            tracing::warn!(key = %claim.key_hash(), "the lease ended and could not be renewed");
            claim.lose(Lost::LeaseEnded);
            return;
        }
    }
}
