//! What running work knows of its own execution.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onceward_claim::Lost;
use onceward_core::{Checkpointed, Digest, Fence, Millis, Token};
use tokio::time::timeout;

use super::Inner;
use crate::context::CheckpointError;

/// Handed to the work: who owns the identity, what a predecessor left, and whether it still holds.
///
/// Cheap to clone, and may go to other threads. It may outlive the execution; its calls then answer
/// as the store decides.
#[derive(Clone)]
pub struct Context {
    context: crate::Context,
    inner: Arc<Inner>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.context.fmt(f)
    }
}

impl Context {
    pub(super) const fn new(context: crate::Context, inner: Arc<Inner>) -> Self {
        Self { context, inner }
    }

    /// The right to complete, renew, checkpoint or abandon. Secret (S3).
    #[must_use]
    pub fn token(&self) -> Token {
        self.context.token()
    }

    /// The number of this acquisition, strictly increasing per identity: for systems downstream
    /// that can refuse an older one (S18).
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.context.fence()
    }

    /// 1, or more after takeovers: a predecessor may then have run some of the work.
    #[must_use]
    pub fn attempt_number(&self) -> u32 {
        self.context.attempt_number()
    }

    /// The key for calls downstream, the same for every attempt at this identity; see
    /// [`derived_key`](crate::derived_key).
    #[must_use]
    pub fn derived_key(&self) -> String {
        self.context.derived_key()
    }

    /// What the predecessor left (S19). Not what this attempt saved.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpointed<Bytes>> {
        self.context.checkpoint()
    }

    /// Leaves at most 64 KiB for a successor, under an ordinal that counts from 1; returns the
    /// ordinal held. A lower or equal ordinal changes nothing (S19). One round trip.
    ///
    /// # Errors
    /// See [`CheckpointError`]. On [`CheckpointError::Lost`] stop the work.
    #[track_caller]
    pub fn save_checkpoint(
        &self,
        ordinal: u32,
        bytes: impl AsRef<[u8]>,
    ) -> Result<u32, CheckpointError> {
        self.inner.block_on(self.context.save_checkpoint(ordinal, bytes))
    }

    /// Binds the payload's digest under fingerprint `later`, once the body has been read (S9), and
    /// renews the lease. One round trip; see [`crate::Context::bind_fingerprint`].
    ///
    /// # Errors
    /// [`CheckpointError::Lost`], with [`Lost::Mismatch`] if another digest is bound, or
    /// [`CheckpointError::Client`].
    #[track_caller]
    pub fn bind_fingerprint(&self, digest: Digest) -> Result<(), CheckpointError> {
        self.inner.block_on(self.context.bind_fingerprint(digest))
    }

    /// Whether the identity is still owned, as far as this client knows. No round trip: ask before
    /// every further side effect.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.context.is_owner()
    }

    /// How ownership was lost, if it was. No round trip.
    #[must_use]
    pub fn lost(&self) -> Option<Lost> {
        self.context.lost()
    }

    /// Waits until ownership is lost, or may be, `at_most` so long; `None` if it is not.
    #[track_caller]
    pub fn wait_until_lost(&self, at_most: Duration) -> Option<Lost> {
        let lost = async { timeout(at_most, self.context.lost_ownership()).await.ok() };
        self.inner.block_on(lost)
    }

    /// How long the lease still runs by this client's count; it is renewed meanwhile.
    #[must_use]
    pub fn lease_left(&self) -> Duration {
        self.context.lease_left()
    }

    /// How long the identity is remembered, as told at begin.
    #[must_use]
    pub fn retention_left_at_begin(&self) -> Millis {
        self.context.retention_left_at_begin()
    }
}
