//! The result of an execution, as offered by its owner and as stored.

use core::fmt;

use crate::metadata::Metadata;

/// Status, metadata and body. `B` holds the body: borrowed bytes at the store and on the wire,
/// owned ones in a client, `()` where a decision is made without looking at them.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct StoredResult<B> {
    /// The caller's own status; an HTTP service stores its status code.
    pub status: u16,
    /// Encoded [`Metadata`].
    pub metadata: B,
    /// The body, or why there is none.
    pub body: Body<B>,
}

impl<B> fmt::Debug for StoredResult<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredResult({}, {:?})", self.status, self.body) // S16: no bytes in any log.
    }
}

/// A result whose bytes are borrowed.
pub type ResultRef<'a> = StoredResult<&'a [u8]>;

/// A body that is kept, or the reason why it is not (S12).
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Body<B> {
    /// The bytes.
    Kept(B),
    /// The work is done; its body is not here.
    NotKept(NotKept),
}

impl<B> Body<B> {
    /// The kept bytes, if any.
    #[inline]
    pub const fn kept(&self) -> Option<&B> {
        match self {
            Self::Kept(body) => Some(body),
            Self::NotKept(_) => None,
        }
    }
}

impl<B> fmt::Debug for Body<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(_) => f.write_str("Kept(…)"), // S16: no body in any log.
            Self::NotKept(why) => write!(f, "NotKept({why:?})"),
        }
    }
}

/// Why a body is not kept (S11, S12).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotKept {
    /// Larger than the namespace keeps.
    TooLarge,
    /// The owner declined to have it kept, or could not send it within a frame.
    Declined,
    /// Beyond its set-aside, with the headroom used up.
    Capacity,
}

impl NotKept {
    /// The word used on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Declined => "declined",
            Self::Capacity => "capacity",
        }
    }
}

impl<B> StoredResult<B> {
    /// Why the body is not kept; `None` if it is.
    #[must_use]
    #[inline]
    pub const fn not_kept(&self) -> Option<NotKept> {
        match self.body {
            Body::Kept(_) => None,
            Body::NotKept(why) => Some(why),
        }
    }

    /// The same result with its bytes held another way.
    #[inline]
    pub fn map<C>(self, mut carry: impl FnMut(B) -> C) -> StoredResult<C> {
        StoredResult {
            status: self.status,
            metadata: carry(self.metadata),
            body: match self.body {
                Body::Kept(body) => Body::Kept(carry(body)),
                Body::NotKept(why) => Body::NotKept(why),
            },
        }
    }
}

impl<'a> ResultRef<'a> {
    /// A result with a body to keep and no metadata.
    #[must_use]
    #[inline]
    pub const fn of(status: u16, body: &'a [u8]) -> Self {
        Self { status, metadata: Metadata::EMPTY.encoded(), body: Body::Kept(body) }
    }
}
