//! What running work knows of its own execution.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onceward_claim::{Claim, Lost};
use onceward_core::{
    Backend, CheckpointOutcome, Checkpointed, Digest, Fence, Identity, Millis, Refusal,
    RenewOutcome, Token,
};
use tokio::time::Instant;

use crate::client::Client;
use crate::error::ClientError;
use onceward_keys::derived_key;

/// Handed to the work: who owns the identity, what a predecessor left, and whether it still holds.
///
/// Cheap to clone. It may outlive the execution; its calls then answer as the store decides.
pub struct Context<B = Client> {
    claim: Arc<Claim<B>>,
}

impl<B> Clone for Context<B> {
    fn clone(&self) -> Self {
        Self { claim: Arc::clone(&self.claim) }
    }
}

impl<B: Backend<Bytes = Bytes>> fmt::Debug for Context<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("token", &self.token())
            .field("attempt_number", &self.attempt_number())
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

impl<B: Backend<Bytes = Bytes>> Context<B> {
    pub(crate) const fn new(claim: Arc<Claim<B>>) -> Self {
        Self { claim }
    }

    /// The right to complete, renew, checkpoint or abandon. Secret (S3).
    #[must_use]
    pub fn token(&self) -> Token {
        self.claim.acquired().token
    }

    /// The number of this acquisition, strictly increasing per identity.
    ///
    /// It protects the store, not a side effect already fired: hand it to systems downstream that
    /// can refuse an older one (S18).
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.claim.acquired().token.fence
    }

    /// 1, or more after takeovers: a predecessor may then have run some of the work.
    #[must_use]
    pub fn attempt_number(&self) -> u32 {
        self.claim.acquired().attempt_number
    }

    /// The key for calls downstream, the same for every attempt at this identity; see
    /// [`derived_key`].
    #[must_use]
    pub fn derived_key(&self) -> String {
        derived_key(self.identity())
    }

    pub(crate) fn identity(&self) -> Identity<'_> {
        self.claim.key().as_ref().within(self.claim.backend().namespace())
    }

    /// What the predecessor left (S19). Not what this attempt saved.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpointed<Bytes>> {
        self.claim.acquired().checkpoint.as_ref()
    }

    /// Leaves at most 64 KiB for a successor, under an ordinal that counts from 1; returns the
    /// ordinal held. A lower or equal ordinal changes nothing (S19). One round trip.
    ///
    /// # Errors
    /// See [`CheckpointError`]. On [`CheckpointError::Lost`] stop the work.
    pub async fn save_checkpoint(
        &self,
        ordinal: u32,
        bytes: impl AsRef<[u8]>,
    ) -> Result<u32, CheckpointError> {
        let answer = self.claim.checkpoint(ordinal, bytes.as_ref()).await;
        let lost = match answer.map_err(ClientError::from)? {
            CheckpointOutcome::Saved { ordinal } => return Ok(ordinal),
            CheckpointOutcome::Refused { reason } => {
                return Err(CheckpointError::Refused { reason });
            }
            CheckpointOutcome::NeedFingerprint => return Err(CheckpointError::NeedFingerprint),
            CheckpointOutcome::Conflict => Lost::Conflict,
            CheckpointOutcome::Fenced => Lost::Fenced,
            CheckpointOutcome::Gone => Lost::Gone,
        };
        self.claim.lose(lost);
        Err(CheckpointError::Lost(lost))
    }

    /// Binds the payload's digest under fingerprint `later`, once the body has been read (S9), and
    /// renews the lease. One round trip. [`Fingerprint::digest`](crate::Fingerprint::digest) has
    /// the digest of one made at once; of a stream hash the parts, and [`Digest::new`] takes it.
    ///
    /// # Errors
    /// [`CheckpointError::Lost`], with [`Lost::Mismatch`] if another digest is bound, or
    /// [`CheckpointError::Client`].
    pub async fn bind_fingerprint(&self, digest: Digest) -> Result<(), CheckpointError> {
        match self.claim.renew(Some(digest)).await.map_err(ClientError::from)? {
            RenewOutcome::Renewed { .. } => Ok(()),
            RenewOutcome::Mismatch => Err(CheckpointError::Lost(Lost::Mismatch)),
            RenewOutcome::Conflict => Err(CheckpointError::Lost(Lost::Conflict)),
            RenewOutcome::Fenced => Err(CheckpointError::Lost(Lost::Fenced)),
            RenewOutcome::Gone => Err(CheckpointError::Lost(Lost::Gone)),
        }
    }

    /// Whether the identity is still owned, as far as this client knows: not told otherwise, and
    /// the lease, counted from when it was asked for, still runs. No round trip.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.claim.lost().is_none() && Instant::now() < self.claim.lease_until()
    }

    /// How ownership was lost, if it was. No round trip.
    #[must_use]
    pub fn lost(&self) -> Option<Lost> {
        self.claim.lost()
    }

    /// Resolves once ownership is lost, or may be; never if it stays. Race it against the work, and
    /// start no further side effect after it.
    pub async fn lost_ownership(&self) -> Lost {
        self.claim.until_lost().await
    }

    /// How long the lease still runs by this client's count; it is renewed meanwhile.
    #[must_use]
    pub fn lease_left(&self) -> Duration {
        self.claim.lease_until().saturating_duration_since(Instant::now())
    }

    /// How long the identity is remembered, as told at begin.
    #[must_use]
    pub fn retention_left_at_begin(&self) -> Millis {
        self.claim.acquired().retention_left
    }
}

/// Why the store did not take a checkpoint, or a fingerprint, of running work.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CheckpointError {
    /// No room beyond what begin set aside; give a larger hint next time. The work may go on.
    Refused {
        /// Why.
        reason: Refusal,
    },
    /// The fingerprint is still `later`: bind it first (S9).
    NeedFingerprint,
    /// The identity is owned no longer: stop the work.
    Lost(Lost),
    /// The store gave no answer. The checkpoint may be saved or not; repeating it is harmless.
    Client(ClientError),
}

impl From<ClientError> for CheckpointError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { reason } => write!(
                f,
                "no room for the checkpoint ({}): begin with a larger checkpoint hint",
                reason.name()
            ),
            Self::NeedFingerprint => {
                f.write_str("the fingerprint is still to come: bind it before the first checkpoint")
            }
            Self::Lost(why) => write!(f, "ownership is lost ({why}): stop the work"),
            Self::Client(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CheckpointError {}
