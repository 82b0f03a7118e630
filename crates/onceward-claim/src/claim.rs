//! One acquisition while its work runs: the token, and what is known of still owning it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use onceward_core::{
    Abandon, AbandonOutcome, Acquired, Backend, BackendError, Certainty, CheckpointOutcome,
    Complete, CompleteOutcome, Digest, Millis, Renew, RenewOutcome, ResultRef, SaveCheckpoint,
    ScopedKeyBuf,
};
use onceward_keys::ShortHash;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ownership::{Lost, Ownership};
use crate::span::after;

/// The digest of a body that streams, known once its last byte has been read (S9).
pub type LateDigest = Arc<OnceLock<Digest>>;

/// Told what becomes of a claim before its work is.
pub trait Watch: Send + Sync {
    /// Ownership is lost, or may be.
    fn lost(&self);
    /// It is about to be given back: nothing was done.
    fn gives_back(&self);
}

/// An acquisition. Shared by whoever runs the work, the work's context and the [`Keeper`](crate::Keeper).
pub struct Claim<B> {
    backend: B,
    key: ScopedKeyBuf,
    acquired: Acquired<Bytes>,
    retention_until: Instant,
    /// What each renewal asks for.
    lease: Millis,
    ownership: watch::Sender<Ownership>,
    late: Option<LateDigest>,
    watch: OnceLock<Box<dyn Watch>>,
}

impl<B: Backend<Bytes = Bytes>> Claim<B> {
    /// Of what was acquired by a begin that asked for `lease` and was sent at `sent`.
    pub fn new(
        backend: B,
        key: ScopedKeyBuf,
        acquired: Acquired<Bytes>,
        lease: Millis,
        sent: Instant,
    ) -> Self {
        let ownership = watch::Sender::new(Ownership::granted(sent, acquired.lease_left));
        let retention_until = after(Instant::now(), acquired.retention_left);
        let (late, watch) = (None, OnceLock::new());
        Self { backend, key, acquired, retention_until, lease, ownership, late, watch }
    }

    /// The acquisition was begun under fingerprint `later`, and its digest will be here: every
    /// operation with the token names it from then on (S9).
    #[must_use]
    pub fn with_late_digest(mut self, late: Option<LateDigest>) -> Self {
        self.late = late;
        self
    }

    /// Has `watch` told what becomes of the claim. Counts once.
    pub fn watch(&self, watch: Box<dyn Watch>) {
        let _ = self.watch.set(watch); // The first stays.
    }

    /// Whose it is.
    pub const fn backend(&self) -> &B {
        &self.backend
    }

    /// Of which key.
    pub const fn key(&self) -> &ScopedKeyBuf {
        &self.key
    }

    /// How the key appears in a log (S16).
    pub fn key_hash(&self) -> ShortHash<'_> {
        ShortHash(self.key.as_ref())
    }

    /// What begin was told.
    pub const fn acquired(&self) -> &Acquired<Bytes> {
        &self.acquired
    }

    /// When the store forgets the identity, as told at begin.
    pub const fn retention_until(&self) -> Instant {
        self.retention_until
    }

    /// When the lease ends by our own count, never later than by the store's (S6).
    pub fn lease_until(&self) -> Instant {
        self.ownership.borrow().lease_until()
    }

    /// A third of the lease after it was granted.
    pub fn renewal_due(&self) -> Instant {
        self.ownership.borrow().renewal_due()
    }

    /// What is known of ownership, as it changes; a mere renewal wakes nobody.
    pub fn ownership(&self) -> watch::Receiver<Ownership> {
        self.ownership.subscribe()
    }

    /// How ownership was lost, if it was.
    pub fn lost(&self) -> Option<Lost> {
        self.ownership.borrow().lost()
    }

    /// Resolves once ownership is lost, or may be.
    pub async fn until_lost(&self) -> Lost {
        let mut ownership = self.ownership.subscribe();
        loop {
            if let Some(lost) = ownership.borrow_and_update().lost() {
                return lost;
            }
            // Cannot fail: `self` holds the sender.
            let _ = ownership.changed().await;
        }
    }

    /// Records a loss and tells the work. What the store said outweighs our own count.
    pub fn lose(&self, why: Lost) {
        if let Some(watch) = self.watch.get() {
            watch.lost();
        }
        self.ownership.send_if_modified(|ownership| ownership.lose(why));
    }

    /// Whether the store still has to learn the digest of a body that streams.
    pub fn is_unbound(&self) -> bool {
        self.late.is_some() && self.ownership.borrow().bound().is_none()
    }

    /// The digest that token operations name: of a body that has streamed by, or bound already.
    pub fn digest(&self) -> Option<Digest> {
        let late = self.late.as_ref().and_then(|late| late.get().copied());
        late.or_else(|| self.ownership.borrow().bound())
    }

    /// Renews once, recording what the answer means for ownership; binds `digest` if there is one.
    ///
    /// # Errors
    /// The backend's: nothing may be concluded.
    pub async fn renew(&self, digest: Option<Digest>) -> Result<RenewOutcome, BackendError> {
        let sent = Instant::now();
        let fingerprint = digest.or_else(|| self.digest());
        let request = Renew { token: self.acquired.token, lease: self.lease, fingerprint };
        let outcome = self.backend.renew(self.key.as_ref(), &request).await?;
        match outcome {
            RenewOutcome::Renewed { lease_left } => {
                self.ownership.send_if_modified(|ownership| {
                    ownership.renewed(sent, lease_left, fingerprint);
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

    /// Completes once.
    ///
    /// # Errors
    /// The backend's: nothing may be concluded.
    pub async fn complete(&self, result: ResultRef<'_>) -> Result<CompleteOutcome, BackendError> {
        let fingerprint = self.digest();
        let request = Complete { token: self.acquired.token, result, fingerprint };
        self.backend.complete(self.key.as_ref(), &request).await
    }

    /// Gives the identity up, once.
    ///
    /// # Errors
    /// The backend's: the end of the lease gives it up, if nothing else does.
    pub async fn abandon(&self, certainty: Certainty) -> Result<AbandonOutcome, BackendError> {
        if certainty == Certainty::NotDone
            && let Some(watch) = self.watch.get()
        {
            watch.gives_back();
        }
        let request = Abandon { token: self.acquired.token, certainty };
        self.backend.abandon(self.key.as_ref(), &request).await
    }

    /// Leaves bytes for a successor, once (S19).
    ///
    /// # Errors
    /// The backend's: the bytes may be saved or not.
    pub async fn checkpoint(
        &self,
        ordinal: u32,
        bytes: &[u8],
    ) -> Result<CheckpointOutcome, BackendError> {
        let request = SaveCheckpoint { token: self.acquired.token, ordinal, bytes };
        self.backend.checkpoint(self.key.as_ref(), &request).await
    }
}

/// Whether "not done" is true of an acquisition whose work never started. After a takeover it need
/// not be: a predecessor may have run some of the work, and its checkpoint would end with the
/// identity (S19). Such an acquisition is left to its lease.
#[must_use]
pub const fn surely_not_done(acquired: &Acquired<Bytes>) -> bool {
    acquired.attempt_number == 1
}
