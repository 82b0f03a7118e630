//! What callers ask: one plain type per operation. Identities travel beside them.

use core::fmt;

use crate::error::BadInput;
use crate::fingerprint::{Digest, Fingerprint};
use crate::limits::{self, Limits};
use crate::metadata::Metadata;
use crate::result::ResultRef;
use crate::time::Millis;
use crate::token::{AttemptId, Fence, Token};

/// What another begin gets once the lease has ended (S8).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Policy {
    /// It acquires. Right where the work may safely run again.
    #[default]
    Takeover,
    /// Nobody runs again until the doubt is resolved. Right where a side effect may have happened.
    InDoubt,
}

impl Policy {
    /// The word used on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Takeover => "takeover",
            Self::InDoubt => "in_doubt",
        }
    }
}

/// Asks to execute an identity once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Begin {
    /// What is asked (S1, S9).
    pub fingerprint: Fingerprint,
    /// New for each begin, the same for each repeat of it (S3).
    pub attempt_id: AttemptId,
    /// How long the owner may be silent.
    pub lease: Millis,
    /// How long the identity is remembered, from now; at least the lease.
    pub retention: Millis,
    /// What the end of the lease means.
    pub policy: Policy,
    /// How long to wait out InProgress (S10); zero answers at once.
    pub wait: Millis,
    /// Bytes to set aside for the result; `None` takes the namespace's figure (S11).
    pub result_hint: Option<usize>,
    /// Bytes to set aside for checkpoints (S19).
    pub checkpoint_hint: usize,
}

impl Begin {
    /// Lease of a begin that names none.
    pub const LEASE_DEFAULT: Millis = Millis::from_secs(30);
    /// Retention of a begin that names none.
    pub const RETENTION_DEFAULT: Millis = Millis::from_secs(24 * 3_600);

    /// A begin with lease 30 s, retention 24 h, policy takeover, no wait and no hints.
    #[must_use]
    #[inline]
    pub const fn new(fingerprint: Fingerprint, attempt_id: AttemptId) -> Self {
        Self {
            fingerprint,
            attempt_id,
            lease: Self::LEASE_DEFAULT,
            retention: Self::RETENTION_DEFAULT,
            policy: Policy::Takeover,
            wait: Millis::ZERO,
            result_hint: None,
            checkpoint_hint: 0,
        }
    }

    /// The first check of S1. An over-long wait is no error: it is cut.
    ///
    /// # Errors
    /// The first field that breaks its limit.
    #[inline]
    pub fn check(&self, limits: &Limits) -> Result<(), BadInput> {
        limits.check_lease(self.lease)?;
        limits.check_retention(self.retention, self.lease)?;
        let max = limits.result_bytes_max;
        match self.result_hint {
            Some(got) if got > max => return Err(BadInput::ResultHint { got, max }),
            Some(_) | None => {}
        }
        if self.checkpoint_hint > limits::CHECKPOINT_BYTES_MAX {
            return Err(BadInput::CheckpointBytes { got: self.checkpoint_hint });
        }
        Ok(())
    }
}

/// Ends an acquisition with a result.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Complete<'a> {
    /// The owner's right.
    pub token: Token,
    /// What every retry will get. An offered `NotKept` body is the owner declining to have it kept.
    pub result: ResultRef<'a>,
    /// Binds a fingerprint that was `later`, else must equal the bound one (S9).
    pub fingerprint: Option<Digest>,
}

impl Complete<'_> {
    /// Checks the metadata. An over-large body is no error: it completes as not kept (S12).
    ///
    /// # Errors
    /// As [`Metadata::decode`].
    #[inline]
    pub fn check(&self) -> Result<(), BadInput> {
        check_result(&self.result)
    }
}

#[inline]
fn check_result(result: &ResultRef<'_>) -> Result<(), BadInput> {
    Metadata::decode(result.metadata).map(|_| ())
}

/// What an owner knows of its side effect when it gives up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Certainty {
    /// It did not happen: the identity becomes absent.
    NotDone,
    /// It may have happened: the identity is in doubt until resolved (S8).
    InDoubt,
}

/// Gives an acquisition up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Abandon {
    /// The owner's right.
    pub token: Token,
    /// Whether the side effect may have happened.
    pub certainty: Certainty,
}

/// Starts the lease anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Renew {
    /// The owner's right.
    pub token: Token,
    /// From now; never moves the deadline back (S6).
    pub lease: Millis,
    /// Binds a fingerprint that was `later`, else must equal the bound one (S9).
    pub fingerprint: Option<Digest>,
}

impl Renew {
    /// # Errors
    /// As [`Limits::check_lease`].
    #[inline]
    pub fn check(&self, limits: &Limits) -> Result<(), BadInput> {
        limits.check_lease(self.lease)
    }
}

/// Leaves bytes for a successor (S19).
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct SaveCheckpoint<'a> {
    /// The owner's right.
    pub token: Token,
    /// Counts from 1; one not above the held ordinal changes nothing.
    pub ordinal: u32,
    /// At most 64 KiB.
    pub bytes: &'a [u8],
}

impl fmt::Debug for SaveCheckpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token, ordinal, bytes } = self; // S16: no bytes in any log.
        write!(f, "SaveCheckpoint({token:?}, ordinal {ordinal}, {} bytes)", bytes.len())
    }
}

impl SaveCheckpoint<'_> {
    /// # Errors
    /// [`BadInput::CheckpointOrdinal`] or [`BadInput::CheckpointBytes`].
    #[inline]
    pub fn check(&self) -> Result<(), BadInput> {
        if self.ordinal == 0 {
            return Err(BadInput::CheckpointOrdinal);
        }
        if self.bytes.len() > limits::CHECKPOINT_BYTES_MAX {
            return Err(BadInput::CheckpointBytes { got: self.bytes.len() });
        }
        Ok(())
    }
}

/// A checkpoint as a successor gets it.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Checkpointed<B> {
    /// The largest ordinal saved.
    pub ordinal: u32,
    /// Its bytes.
    pub bytes: B,
}

impl<B> fmt::Debug for Checkpointed<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checkpointed(ordinal {})", self.ordinal) // S16: no bytes in any log.
    }
}

/// Looks without acting.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Get {
    /// How long to wait out Reserved (S10); zero answers at once.
    pub wait: Millis,
}

/// What a resolver found out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict<'a> {
    /// The work was done, with this result.
    Completed {
        /// What every retry will get.
        result: ResultRef<'a>,
        /// Binds a fingerprint that was `later`.
        fingerprint: Option<Digest>,
    },
    /// The work was never done: the identity becomes absent.
    NeverDone,
}

/// Ends a doubt, or an acquisition whose lease has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Resolve<'a> {
    /// The acquisition judged, as shown by get or list.
    pub fence: Fence,
    /// The doubt judged, as shown by get or list.
    pub doubt_number: u32,
    /// What was found.
    pub verdict: Verdict<'a>,
}

impl Resolve<'_> {
    /// Checks the verdict's result, if any.
    ///
    /// # Errors
    /// As [`Metadata::decode`].
    #[inline]
    pub fn check(&self) -> Result<(), BadInput> {
        match &self.verdict {
            Verdict::Completed { result, .. } => check_result(result),
            Verdict::NeverDone => Ok(()),
        }
    }
}

/// Makes an identity absent, whatever it held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Forget {
    /// The acquisition to forget, as shown by get or list.
    pub fence: Fence,
}
