//! What a handler knows of its own execution (H9).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onceward_claim::{Claim, Lost};
use onceward_core::{
    Acquired, Backend, BackendError, CheckpointOutcome, Checkpointed, Fence, Millis, Refusal,
    RenewOutcome, Token,
};
use tokio::time::Instant;

/// The request extension of a guarded request: who owns the identity, what a predecessor left, and
/// whether it still holds.
///
/// Cheap to clone. It may outlive the request; its calls then answer as the store decides. Requests
/// that passed without a key, and those let through while the store was out of reach, have none.
#[derive(Clone)]
pub struct Context {
    claim: Arc<dyn Held>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("token", &self.token())
            .field("attempt_number", &self.attempt_number())
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

impl Context {
    pub(crate) fn new<B: Backend<Bytes = Bytes> + 'static>(claim: Arc<Claim<B>>) -> Self {
        Self { claim }
    }

    /// The right to complete, renew, checkpoint or abandon. Secret (S3). The layer ends the
    /// acquisition by itself: complete or abandon with it only what must not wait for the response.
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

    /// The key for calls downstream, the same for every attempt at this request; see
    /// [`onceward_keys::derived_key`]. For several calls make a [`child`](onceward_keys::Key::child)
    /// each.
    #[must_use]
    pub fn derived_key(&self) -> String {
        self.claim.derived_key()
    }

    /// What the predecessor left (S19). Not what this attempt saved.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpointed<Bytes>> {
        self.claim.acquired().checkpoint.as_ref()
    }

    /// Leaves at most 64 KiB for a successor, under an ordinal that counts from 1; returns the
    /// ordinal held. A lower or equal ordinal changes nothing (S19). One round trip; where the
    /// body was streamed, one more for the first.
    ///
    /// # Errors
    /// See [`CheckpointError`]. On [`CheckpointError::Lost`] stop the work.
    pub async fn save_checkpoint(
        &self,
        ordinal: u32,
        bytes: impl AsRef<[u8]>,
    ) -> Result<u32, CheckpointError> {
        self.claim.save_checkpoint(ordinal, bytes.as_ref()).await
    }

    /// Whether the identity is still owned, as far as this process knows: not told otherwise, and
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

    /// How long the lease still runs by this process' count; it is renewed meanwhile.
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

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A claim without its backend's type, so that handlers need not name it.
trait Held: Send + Sync {
    fn acquired(&self) -> &Acquired<Bytes>;
    fn derived_key(&self) -> String;
    fn lost(&self) -> Option<Lost>;
    fn lease_until(&self) -> Instant;
    fn until_lost(&self) -> Boxed<'_, Lost>;
    fn save_checkpoint<'a>(
        &'a self,
        ordinal: u32,
        bytes: &'a [u8],
    ) -> Boxed<'a, Result<u32, CheckpointError>>;
}

impl<B: Backend<Bytes = Bytes>> Held for Claim<B> {
    fn acquired(&self) -> &Acquired<Bytes> {
        Self::acquired(self)
    }

    fn derived_key(&self) -> String {
        onceward_keys::derived_key(self.key().as_ref().within(self.backend().namespace()))
    }

    fn lost(&self) -> Option<Lost> {
        Self::lost(self)
    }

    fn lease_until(&self) -> Instant {
        Self::lease_until(self)
    }

    fn until_lost(&self) -> Boxed<'_, Lost> {
        Box::pin(Self::until_lost(self))
    }

    fn save_checkpoint<'a>(
        &'a self,
        ordinal: u32,
        bytes: &'a [u8],
    ) -> Boxed<'a, Result<u32, CheckpointError>> {
        Box::pin(save_checkpoint(self, ordinal, bytes))
    }
}

async fn save_checkpoint<B: Backend<Bytes = Bytes>>(
    claim: &Claim<B>,
    ordinal: u32,
    bytes: &[u8],
) -> Result<u32, CheckpointError> {
    if claim.is_unbound() && claim.digest().is_some() {
        bind(claim).await?;
    }
    let lost = match claim.checkpoint(ordinal, bytes).await? {
        CheckpointOutcome::Saved { ordinal } => return Ok(ordinal),
        CheckpointOutcome::Refused { reason } => return Err(CheckpointError::Refused { reason }),
        CheckpointOutcome::NeedFingerprint => return Err(CheckpointError::NeedFingerprint),
        CheckpointOutcome::Conflict => Lost::Conflict,
        CheckpointOutcome::Fenced => Lost::Fenced,
        CheckpointOutcome::Gone => Lost::Gone,
    };
    claim.lose(lost);
    Err(CheckpointError::Lost(lost))
}

async fn bind<B: Backend<Bytes = Bytes>>(claim: &Claim<B>) -> Result<(), CheckpointError> {
    match claim.renew(None).await? {
        RenewOutcome::Renewed { .. } => Ok(()),
        RenewOutcome::Mismatch => Err(CheckpointError::Lost(Lost::Mismatch)),
        RenewOutcome::Conflict => Err(CheckpointError::Lost(Lost::Conflict)),
        RenewOutcome::Fenced => Err(CheckpointError::Lost(Lost::Fenced)),
        RenewOutcome::Gone => Err(CheckpointError::Lost(Lost::Gone)),
    }
}

/// Why the store did not take a checkpoint of running work.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CheckpointError {
    /// No room beyond what begin set aside; give the layer a larger checkpoint hint. The work may
    /// go on.
    Refused {
        /// Why.
        reason: Refusal,
    },
    /// The request's body streams and has not been read to its end: read it first (S9).
    NeedFingerprint,
    /// The identity is owned no longer: stop the work.
    Lost(Lost),
    /// The store gave no answer. The checkpoint may be saved or not; repeating it is harmless.
    Backend(BackendError),
}

impl From<BackendError> for CheckpointError {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { reason } => write!(
                f,
                "no room for the checkpoint ({}): give the layer a larger checkpoint hint",
                reason.name()
            ),
            Self::NeedFingerprint => {
                f.write_str("the body is not read to its end: read it before the first checkpoint")
            }
            Self::Lost(why) => write!(f, "ownership is lost ({why}): stop the work"),
            Self::Backend(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CheckpointError {}
