//! One acquisition while its work runs: the token, and what is known of still owning it.

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use onceward_core::{
    Abandon, AbandonOutcome, Acquired, Backend, Certainty, Complete, CompleteOutcome, Digest,
    Millis, Renew, RenewOutcome, ScopedKeyBuf,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::ClientError;
use crate::flight::Lead;
use crate::outcome::{ExecutionResult, Lost};
use crate::span::after;

/// An acquisition. Shared by the execution, its context and its keeper.
pub(crate) struct Claim<B> {
    pub(crate) backend: B,
    pub(crate) namespace: String,
    pub(crate) key: ScopedKeyBuf,
    pub(crate) acquired: Acquired<Bytes>,
    /// When the store forgets the identity, as told at begin.
    pub(crate) retention_until: Instant,
    /// What each renewal asks for.
    lease: Millis,
    ownership: watch::Sender<Ownership>,
    /// Those who follow this execution; another of them asks the store once ownership is lost.
    lead: OnceLock<Weak<Lead>>,
}

/// What this client knows of its own ownership.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ownership {
    /// Counted from when the granting request was sent, so that it is never later than the
    /// store's own deadline (S6). Never moves back.
    lease_until: Instant,
    /// When the latest granted request was sent, and the lease it got: a third of it from then on
    /// the next renewal is due.
    renewed_at: Instant,
    granted: Millis,
    /// Sticky: work that was told to stop is not told to go on.
    lost: Option<Lost>,
    /// The digest bound by this owner under fingerprint `later` (S9).
    bound: Option<Digest>,
}

impl Ownership {
    pub(crate) fn holds(&self, now: Instant) -> bool {
        self.lost.is_none() && now < self.lease_until
    }

    #[cfg(test)]
    pub(crate) const fn until(lease_until: Instant) -> Self {
        let (renewed_at, granted) = (lease_until, Millis::ZERO);
        Self { lease_until, renewed_at, granted, lost: None, bound: None }
    }
}

/// Shortest time between two renewals, also where a lease is cut short by its retention.
const RENEW_EVERY_MIN: Millis = Millis::new(20);

impl<B: Backend<Bytes = Bytes>> Claim<B> {
    pub(crate) fn new(
        backend: B,
        namespace: String,
        key: ScopedKeyBuf,
        acquired: Acquired<Bytes>,
        lease: Millis,
        sent: Instant,
    ) -> Self {
        let granted = acquired.lease_left;
        let ownership = Ownership {
            lease_until: after(sent, granted),
            renewed_at: sent,
            granted,
            lost: None,
            bound: None,
        };
        let ownership = watch::Sender::new(ownership);
        let retention_until = after(Instant::now(), acquired.retention_left);
        let lead = OnceLock::new();
        Self { backend, namespace, key, acquired, retention_until, lease, ownership, lead }
    }

    /// The work is about to run, and `lead` has followers. Before that a lost claim hands nothing
    /// on: its leader begins anew.
    pub(crate) fn is_led_by(&self, lead: &Arc<Lead>) {
        let _ = self.lead.set(Arc::downgrade(lead)); // Set once.
    }

    fn lead(&self) -> Option<Arc<Lead>> {
        self.lead.get().and_then(Weak::upgrade)
    }

    pub(crate) fn lease_until(&self) -> Instant {
        self.ownership.borrow().lease_until
    }

    pub(crate) fn renewal_due(&self) -> Instant {
        let ownership = *self.ownership.borrow();
        let third = Millis::new(ownership.granted.get() / 3).max(RENEW_EVERY_MIN);
        after(ownership.renewed_at, third)
    }

    pub(crate) fn ownership(&self) -> watch::Receiver<Ownership> {
        self.ownership.subscribe()
    }

    pub(crate) fn lost(&self) -> Option<Lost> {
        self.ownership.borrow().lost
    }

    pub(crate) async fn until_lost(&self) -> Lost {
        let mut ownership = self.ownership.subscribe();
        loop {
            if let Some(lost) = ownership.borrow_and_update().lost {
                return lost;
            }
            // Cannot fail: `self` holds the sender.
            let _ = ownership.changed().await;
        }
    }

    /// Records a loss and tells the work. What the store said outweighs our own count.
    pub(crate) fn lose(&self, why: Lost) {
        if let Some(lead) = self.lead() {
            lead.hand_over();
        }
        self.ownership.send_if_modified(|ownership| match ownership.lost {
            None | Some(Lost::LeaseEnded) if ownership.lost != Some(why) => {
                ownership.lost = Some(why);
                true
            }
            Some(_) | None => false,
        });
    }

    /// Renews once, recording what the answer means for ownership; binds `digest` if there is one.
    pub(crate) async fn renew(&self, digest: Option<Digest>) -> Result<RenewOutcome, ClientError> {
        let sent = Instant::now();
        let fingerprint = digest.or(self.ownership.borrow().bound);
        let request = Renew { token: self.acquired.token, lease: self.lease, fingerprint };
        let outcome = self.backend.renew(self.key.as_ref(), &request).await?;
        match outcome {
            RenewOutcome::Renewed { lease_left } => {
                self.ownership.send_if_modified(|ownership| {
                    let until = after(sent, lease_left);
                    ownership.lease_until = ownership.lease_until.max(until);
                    ownership.renewed_at = sent;
                    ownership.granted = lease_left;
                    // A renewal sent before a bind may be answered after it: nothing unbinds (S9).
                    ownership.bound = fingerprint.or(ownership.bound);
                    false // Nobody waits for a renewal.
                });
            }
            RenewOutcome::Fenced => self.lose(Lost::Fenced),
            RenewOutcome::Gone => self.lose(Lost::Gone),
            RenewOutcome::Conflict => self.lose(Lost::Conflict),
            RenewOutcome::Mismatch => self.lose(Lost::Mismatch),
        }
        Ok(outcome)
    }

    pub(crate) async fn complete(
        &self,
        result: &ExecutionResult,
    ) -> Result<CompleteOutcome, ClientError> {
        let fingerprint = self.ownership.borrow().bound;
        let request = Complete { token: self.acquired.token, result: result.as_ref(), fingerprint };
        Ok(self.backend.complete(self.key.as_ref(), &request).await?)
    }

    /// Gives the identity up, as far as that can be done now; else, on `None`, the end of the lease
    /// does.
    pub(crate) async fn abandon(&self, certainty: Certainty) -> Option<AbandonOutcome> {
        if certainty == Certainty::NotDone
            && let Some(lead) = self.lead()
        {
            lead.gives_back();
        }
        let request = Abandon { token: self.acquired.token, certainty };
        match self.backend.abandon(self.key.as_ref(), &request).await {
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
}
