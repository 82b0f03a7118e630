//! Errors: whose fault, with which numbers, and what now. Expected answers are outcomes.

use alloc::string::String;
use core::fmt;

use crate::limits::{
    CHECKPOINT_BYTES_MAX, DIGEST_BYTES_MAX, DIGEST_BYTES_MIN, KEY_BYTES_MAX, METADATA_BYTES_MAX,
    METADATA_PAIRS_MAX, NAMESPACE_BYTES_MAX, PAGE_ENTRIES_MAX, SCOPE_BYTES_MAX,
};
use crate::time::Millis;

/// Why a request was refused before it touched any entry: the caller's fault. Retrying the same
/// bytes cannot help. Names field and bound, never the bytes themselves (S16).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BadInput {
    /// The namespace has no bytes or more than [`NAMESPACE_BYTES_MAX`].
    NamespaceLength {
        /// Bytes it has.
        got: usize,
    },
    /// The namespace holds a byte outside `[a-z0-9._-]`.
    NamespaceByte {
        /// Where, from 0.
        at: usize,
    },
    /// The scope has more than [`SCOPE_BYTES_MAX`] bytes.
    ScopeLength {
        /// Bytes it has.
        got: usize,
    },
    /// The key has no bytes or more than [`KEY_BYTES_MAX`].
    KeyLength {
        /// Bytes it has.
        got: usize,
    },
    /// The fingerprint's digest has fewer than 16 or more than 32 bytes.
    DigestLength {
        /// Bytes it has.
        got: usize,
    },
    /// The fingerprint's text holds something other than pairs of hexadecimal digits.
    DigestText,
    /// The lease is too short or too long.
    Lease {
        /// What was asked for.
        got: Millis,
        /// Shortest allowed.
        min: Millis,
        /// Longest allowed.
        max: Millis,
    },
    /// The retention is too long.
    Retention {
        /// What was asked for.
        got: Millis,
        /// Longest allowed.
        max: Millis,
    },
    /// The retention would end before the lease (S6).
    RetentionBelowLease {
        /// What was asked for.
        retention: Millis,
        /// The lease it must outlast.
        lease: Millis,
    },
    /// The result's metadata has more than [`METADATA_PAIRS_MAX`] pairs.
    MetadataPairs {
        /// Pairs it has.
        got: usize,
    },
    /// The result's metadata has more than [`METADATA_BYTES_MAX`] bytes.
    MetadataBytes {
        /// Bytes it has.
        got: usize,
    },
    /// The metadata's encoding ends in the middle of a pair.
    MetadataTruncated,
    /// The checkpoint, or the room asked for it, has more than [`CHECKPOINT_BYTES_MAX`] bytes.
    CheckpointBytes {
        /// Bytes it has.
        got: usize,
    },
    /// The checkpoint's ordinal is 0; ordinals count from 1 (S19).
    CheckpointOrdinal,
    /// The room asked for the result is more than any result may take.
    ResultHint {
        /// Bytes asked for.
        got: usize,
        /// Most bytes of a kept body.
        max: usize,
    },
    /// The page size is 0 or more than [`PAGE_ENTRIES_MAX`].
    PageEntries {
        /// Entries asked for.
        got: u16,
    },
}

impl BadInput {
    /// The field at fault, in the words of the protocol and the command line.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::NamespaceLength { .. } | Self::NamespaceByte { .. } => "namespace",
            Self::ScopeLength { .. } => "scope",
            Self::KeyLength { .. } => "key",
            Self::DigestLength { .. } | Self::DigestText => "fingerprint",
            Self::Lease { .. } => "lease",
            Self::Retention { .. } | Self::RetentionBelowLease { .. } => "retention",
            Self::MetadataPairs { .. } | Self::MetadataBytes { .. } | Self::MetadataTruncated => {
                "metadata"
            }
            Self::CheckpointBytes { .. } => "checkpoint",
            Self::CheckpointOrdinal => "ordinal",
            Self::ResultHint { .. } => "result_hint",
            Self::PageEntries { .. } => "page",
        }
    }
}

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NamespaceLength { got } => {
                write!(f, "namespace has {got} bytes: send 1 to {NAMESPACE_BYTES_MAX}")
            }
            Self::NamespaceByte { at } => {
                write!(f, "namespace has a byte outside [a-z0-9._-] at offset {at}")
            }
            Self::ScopeLength { got } => {
                write!(f, "scope has {got} bytes: send at most {SCOPE_BYTES_MAX}")
            }
            Self::KeyLength { got } => {
                write!(f, "key has {got} bytes: send 1 to {KEY_BYTES_MAX}")
            }
            Self::DigestLength { got } => write!(
                f,
                "fingerprint has {got} bytes: send a digest of {DIGEST_BYTES_MIN} to {DIGEST_BYTES_MAX}"
            ),
            Self::DigestText => {
                f.write_str("fingerprint is not hexadecimal: send pairs of digits 0-9 and a-f")
            }
            Self::Lease { got, min, max } => {
                write!(f, "lease is {got}: ask for {min} to {max}")
            }
            Self::Retention { got, max } => write!(f, "retention is {got}: ask for at most {max}"),
            Self::RetentionBelowLease { retention, lease } => write!(
                f,
                "retention {retention} is shorter than lease {lease}: keep the key at least as long as the work may take"
            ),
            Self::MetadataPairs { got } => {
                write!(f, "metadata has {got} pairs: send at most {METADATA_PAIRS_MAX}")
            }
            Self::MetadataBytes { got } => {
                write!(f, "metadata has {got} bytes: send at most {METADATA_BYTES_MAX}")
            }
            Self::MetadataTruncated => f.write_str("metadata ends in the middle of a pair"),
            Self::CheckpointBytes { got } => {
                write!(f, "checkpoint has {got} bytes: send at most {CHECKPOINT_BYTES_MAX}")
            }
            Self::CheckpointOrdinal => f.write_str("ordinal is 0: count checkpoints from 1"),
            Self::ResultHint { got, max } => {
                write!(f, "result_hint is {got} bytes: ask for at most {max}")
            }
            Self::PageEntries { got } => {
                write!(f, "page is {got} entries: ask for 1 to {PAGE_ENTRIES_MAX}")
            }
        }
    }
}

impl core::error::Error for BadInput {}

/// Why an operation got no outcome. From a [`Backend`](crate::Backend), local or remote.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BackendError {
    /// The caller's fault; never changed any state. A remote backend passes on the message.
    BadInput {
        /// The field at fault.
        field: String,
        /// What, with which bound.
        message: String,
    },
    /// Nothing may be concluded: the operation may or may not have happened. Repeat it with the
    /// same attempt id or token; never run the work because of it.
    Unavailable {
        /// What went wrong, for the log.
        message: String,
    },
    /// The credential lacks the right.
    Denied,
    /// Another node leads; ask it (S23, reserved).
    NotLeader {
        /// Where, if known.
        address: String,
        /// Its term.
        epoch: u64,
    },
    /// The identity is completed, but its body cannot be read now. The work is done: do not run
    /// it; ask again (S23).
    ResultUnavailable,
}

impl BackendError {
    /// Whether the same request, with the same attempt id or token, may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::NotLeader { .. } | Self::ResultUnavailable => true,
            Self::BadInput { .. } | Self::Denied => false,
        }
    }
}

impl From<BadInput> for BackendError {
    fn from(bad: BadInput) -> Self {
        Self::BadInput { field: bad.field().into(), message: alloc::format!("{bad}") }
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadInput { message, .. } => write!(f, "bad input: {message}"),
            Self::Unavailable { message } => write!(
                f,
                "unavailable: {message}; nothing may be concluded, repeat with the same attempt id or token"
            ),
            Self::Denied => f.write_str("denied: the credential lacks the right to do this"),
            Self::NotLeader { address, epoch } => {
                write!(f, "not the leader: ask {address} (epoch {epoch})")
            }
            Self::ResultUnavailable => f.write_str(
                "completed, but the result cannot be read now: do not run the work, ask again",
            ),
        }
    }
}

impl core::error::Error for BackendError {}
