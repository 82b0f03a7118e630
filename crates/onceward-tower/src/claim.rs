//! One acquisition while its handler runs: the token, and what is known of still owning it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use onceward_core::{
    Abandon, AbandonOutcome, Acquired, Backend, BackendError, Begin, Certainty, CheckpointOutcome,
    Complete, CompleteOutcome, Digest, Millis, Renew, RenewOutcome, ResultRef, SaveCheckpoint,
    ScopedKeyBuf,
};
use onceward_keys::ShortHash;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ownership::{Lost, Ownership};

/// The digest of a body that streams, known once its last byte has been read (S9).
pub(crate) type LateDigest = Arc<OnceLock<Digest>>;

/// An acquisition. Shared by the flow of its request, its context and its keeper.
pub(crate) struct Claim<B> {
    pub(crate) backend: B,
    pub(crate) key: ScopedKeyBuf,
    pub(crate) acquired: Acquired<Bytes>,
    /// What each renewal asks for.
    lease: Millis,
    ownership: Mutex<Ownership>,
    told: Notify,
    /// `Some` under fingerprint `later`.
    late: Option<LateDigest>,
}

impl<B: Backend<Bytes = Bytes>> Claim<B> {
    pub(crate) fn new(
        backend: B,
        key: ScopedKeyBuf,
        acquired: Acquired<Bytes>,
        begin: &Begin,
        sent: Instant,
        late: Option<LateDigest>,
    ) -> Self {
        let ownership = Mutex::new(Ownership::granted(sent, acquired.lease_left));
        Self { backend, key, acquired, lease: begin.lease, ownership, told: Notify::new(), late }
    }

    /// No code under this lock can panic half-way.
    fn ownership(&self) -> MutexGuard<'_, Ownership> {
        self.ownership.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the key appears in a log (S16).
    pub(crate) fn key_hash(&self) -> ShortHash<'_> {
        ShortHash(self.key.as_ref())
    }

    pub(crate) fn lease_until(&self) -> Instant {
        self.ownership().lease_until()
    }

    pub(crate) fn renewal_due(&self) -> Instant {
        self.ownership().renewal_due()
    }

    pub(crate) fn lost(&self) -> Option<Lost> {
        self.ownership().lost()
    }

    pub(crate) async fn until_lost(&self) -> Lost {
        loop {
            let mut told = std::pin::pin!(self.told.notified());
            told.as_mut().enable(); // Before the look, so that no loss falls between.
            if let Some(lost) = self.lost() {
                return lost;
            }
            told.await;
        }
    }

    /// Records a loss and tells the handler.
    pub(crate) fn lose(&self, why: Lost) {
        if self.ownership().lose(why) {
            self.told.notify_waiters();
        }
    }

    /// Whether the store still has to learn the digest.
    pub(crate) fn unbound(&self) -> bool {
        self.late.is_some() && self.ownership().bound().is_none()
    }

    /// The digest that every token operation names: bound already, or known by now.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.late.as_ref().and_then(|late| late.get().copied())
    }

    /// Renews once, recording what the answer means for ownership; binds the digest of a body that
    /// has streamed by.
    pub(crate) async fn renew(&self) -> Result<RenewOutcome, BackendError> {
        let sent = Instant::now();
        let fingerprint = self.digest();
        let request = Renew { token: self.acquired.token, lease: self.lease, fingerprint };
        let outcome = self.backend.renew(self.key.as_ref(), &request).await?;
        match outcome {
            RenewOutcome::Renewed { lease_left } => {
                self.ownership().renewed(sent, lease_left, fingerprint);
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
        result: ResultRef<'_>,
    ) -> Result<CompleteOutcome, BackendError> {
        let fingerprint = self.digest();
        let request = Complete { token: self.acquired.token, result, fingerprint };
        self.backend.complete(self.key.as_ref(), &request).await
    }

    pub(crate) async fn abandon(
        &self,
        certainty: Certainty,
    ) -> Result<AbandonOutcome, BackendError> {
        let request = Abandon { token: self.acquired.token, certainty };
        self.backend.abandon(self.key.as_ref(), &request).await
    }

    pub(crate) async fn checkpoint(
        &self,
        ordinal: u32,
        bytes: &[u8],
    ) -> Result<CheckpointOutcome, BackendError> {
        let request = SaveCheckpoint { token: self.acquired.token, ordinal, bytes };
        self.backend.checkpoint(self.key.as_ref(), &request).await
    }
}
