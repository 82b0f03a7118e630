//! What an execution ends in: the result, an answer that is no result, or an error.

use std::fmt;

use bytes::Bytes;
use onceward_claim::Lost;
use onceward_core::{
    BadInput, Body, Metadata, MetadataBuf, Millis, NotKept, Refusal, ResultRef, StoredResult,
};

use crate::error::ClientError;
use crate::typed::TypedError;
use onceward_keys::DeriveError;
use onceward_keys::FieldsError;
use onceward_keys::JsonFingerprintError;

/// What the work gives back, to be stored for every retry: status, metadata and body.
///
/// Made from bytes or text (status 0), from `(status, bytes)`, or by [`ExecutionResult::new`].
/// Cloning copies no bytes. `Debug` shows sizes only (S16).
#[derive(Clone, Eq, PartialEq)]
pub struct ExecutionResult {
    status: u16,
    /// Invariant: an encoding that [`Metadata::decode`] accepts.
    metadata: Bytes,
    body: Body<Bytes>,
}

impl ExecutionResult {
    /// A status of the caller's own meaning (an HTTP service stores its status code) and a body.
    ///
    /// A body over the store's limit completes as not kept (S12): retries learn that the work is
    /// done and get the status.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, metadata: Bytes::new(), body: Body::Kept(body.into()) }
    }

    /// A result whose body the caller declines to have kept: retries get the status and up to
    /// 1 KiB of metadata (S12).
    #[must_use]
    pub const fn declined(status: u16) -> Self {
        Self { status, metadata: Bytes::new(), body: Body::NotKept(NotKept::Declined) }
    }

    /// The same result with `metadata`, e.g. headers.
    #[must_use]
    pub fn with_metadata(mut self, metadata: MetadataBuf) -> Self {
        self.metadata = metadata.into_encoded().into();
        self
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The metadata.
    #[must_use]
    pub fn metadata(&self) -> Metadata<'_> {
        Metadata::decode(&self.metadata).expect("checked when it was built")
    }

    /// The body, or that it is declined.
    #[must_use]
    pub const fn body(&self) -> &Body<Bytes> {
        &self.body
    }

    /// The result as a store takes it.
    #[must_use]
    pub fn as_ref(&self) -> ResultRef<'_> {
        StoredResult {
            status: self.status,
            metadata: &self.metadata,
            body: match &self.body {
                Body::Kept(body) => Body::Kept(body),
                Body::NotKept(why) => Body::NotKept(*why),
            },
        }
    }
}

impl From<ExecutionResult> for StoredResult<Bytes> {
    fn from(result: ExecutionResult) -> Self {
        Self { status: result.status, metadata: result.metadata, body: result.body }
    }
}

impl fmt::Debug for ExecutionResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_result(f, "ExecutionResult", self.as_ref())
    }
}

fn debug_result(f: &mut fmt::Formatter<'_>, name: &str, result: ResultRef<'_>) -> fmt::Result {
    f.debug_struct(name)
        .field("status", &result.status)
        .field("metadata_bytes", &result.metadata.len())
        .field("body_bytes", &result.body.kept().map(|body| body.len()))
        .finish()
}

macro_rules! from_bytes {
    ($($body:ty),+) => {$(
        impl From<$body> for ExecutionResult {
            fn from(body: $body) -> Self {
                Self::new(0, body)
            }
        }
    )+};
}

from_bytes!(Bytes, Vec<u8>, String, &'static str, &'static [u8]);

impl From<()> for ExecutionResult {
    fn from((): ()) -> Self {
        Self::new(0, Bytes::new())
    }
}

impl<B: Into<Bytes>> From<(u16, B)> for ExecutionResult {
    fn from((status, body): (u16, B)) -> Self {
        Self::new(status, body)
    }
}

/// How an execution ended. Every variant is an expected answer; match on it.
///
/// `D` is the work done: [`Done`], or [`TypedDone`](crate::TypedDone) of a typed execution.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "the work may not have run, and may not be done"]
pub enum Executed<D = Done> {
    /// The work ran here, and its result is stored.
    Ran(D),
    /// The work was done before; this is what it stored. Nothing ran here.
    Replayed(D),
    /// Another owner's lease runs. Nothing ran here; ask again later, or wait next time.
    InProgress {
        /// When the lease ends.
        retry_after: Millis,
        /// Since the acquisition.
        age: Millis,
        /// The owner's attempt number.
        attempt_number: u32,
    },
    /// The key was used for another payload. Nothing ran; a new intent needs a new key.
    Mismatch,
    /// The identity is bound: digest the body and execute again (S9). Nothing ran here.
    NeedFingerprint,
    /// An owner fell silent and the work may have happened; a resolver must decide (S8). Nothing
    /// ran here.
    InDoubt {
        /// How long ago the doubt began.
        since: Millis,
    },
    /// No room, or no quota (S11). Nothing ran here.
    Refused {
        /// Which.
        reason: Refusal,
        /// When room is due, if known.
        retry_after: Option<Millis>,
    },
    /// Reserved for tombstones (S23): the identity is over. Nothing ran here.
    Expired {
        /// How long ago.
        since: Millis,
    },
}

impl<D> Executed<D> {
    /// The outcome's word, snake case.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ran(_) => "ran",
            Self::Replayed(_) => "replayed",
            Self::InProgress { .. } => "in_progress",
            Self::Mismatch => "mismatch",
            Self::NeedFingerprint => "need_fingerprint",
            Self::InDoubt { .. } => "in_doubt",
            Self::Refused { .. } => "refused",
            Self::Expired { .. } => "expired",
        }
    }

    /// The work done, here or before; `None` for the other answers.
    #[must_use]
    pub const fn done(&self) -> Option<&D> {
        match self {
            Self::Ran(done) | Self::Replayed(done) => Some(done),
            Self::InProgress { .. }
            | Self::Mismatch
            | Self::NeedFingerprint
            | Self::InDoubt { .. }
            | Self::Refused { .. }
            | Self::Expired { .. } => None,
        }
    }

    /// The work done, here or before.
    ///
    /// # Errors
    /// The other answers, unchanged.
    pub fn into_done(self) -> Result<D, Self> {
        match self {
            Self::Ran(done) | Self::Replayed(done) => Ok(done),
            other => Err(other),
        }
    }

    /// The same answer, its work read another way.
    pub(crate) fn try_map<T, E>(
        self,
        read: impl FnOnce(D) -> Result<T, E>,
    ) -> Result<Executed<T>, E> {
        Ok(match self {
            Self::Ran(done) => Executed::Ran(read(done)?),
            Self::Replayed(done) => Executed::Replayed(read(done)?),
            Self::InProgress { retry_after, age, attempt_number } => {
                Executed::InProgress { retry_after, age, attempt_number }
            }
            Self::Mismatch => Executed::Mismatch,
            Self::NeedFingerprint => Executed::NeedFingerprint,
            Self::InDoubt { since } => Executed::InDoubt { since },
            Self::Refused { reason, retry_after } => Executed::Refused { reason, retry_after },
            Self::Expired { since } => Executed::Expired { since },
        })
    }
}

/// Work that is done and whose result is stored.
#[derive(Clone, Eq, PartialEq)]
pub struct Done {
    /// The result. For the caller that ran the work it has its body even if the store keeps none.
    pub result: StoredResult<Bytes>,
    /// Why the store does not keep the body; `None` if it does. Retries then get no body (S12).
    pub not_kept: Option<NotKept>,
    /// Whether it was done before this call.
    pub replayed: bool,
    /// Of the attempt that completed: 1, or more after takeovers.
    pub attempt_number: u32,
    /// Since completion; zero where it ran just now.
    pub age: Millis,
    /// Until the identity is absent again. Where it ran just now, as told at begin.
    pub retention_left: Millis,
}

impl Done {
    /// The status that the work gave, of the caller's own meaning.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.result.status
    }

    /// The body, where there is one.
    #[must_use]
    pub const fn body(&self) -> Option<&Bytes> {
        self.result.body.kept()
    }

    /// The metadata, read from its encoding; [`Metadata::get`] finds one value.
    ///
    /// # Errors
    /// As [`Metadata::decode`], where a store gives back what none should have taken.
    pub fn metadata(&self) -> Result<Metadata<'_>, BadInput> {
        Metadata::decode(&self.result.metadata)
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Done")
            .field("status", &self.result.status)
            .field("metadata_bytes", &self.result.metadata.len())
            .field("body_bytes", &self.result.body.kept().map(Bytes::len))
            .field("not_kept", &self.not_kept)
            .field("replayed", &self.replayed)
            .field("attempt_number", &self.attempt_number)
            .field("age", &self.age)
            .field("retention_left", &self.retention_left)
            .finish()
    }
}

/// Why an execution ended without an answer. `E` is the work's own error; where that is no
/// [`Error`](std::error::Error) itself, [`boxed`](ExecuteError::boxed) makes `?` take it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ExecuteError<E> {
    /// The work ran and gave an error. What became of the identity is the execution's
    /// [`OnFailure`](crate::OnFailure).
    Work(E),
    /// The work ran, but the identity was no longer its own: the result is not stored, and another
    /// owner may have run the work too. Execute again with the same key to learn what stands; do
    /// not hand this result out.
    LostOwnership {
        /// How.
        why: Lost,
        /// What the work gave, for reconciliation.
        result: ExecutionResult,
    },
    /// The work ran, but its result could not be stored before the lease ended. It may have been
    /// stored all the same. Execute again with the same key to learn what stands: under policy
    /// takeover that may run the work again, under in-doubt it waits for a resolver.
    NotStored {
        /// The last error.
        cause: ClientError,
        /// What the work gave, for reconciliation.
        result: ExecutionResult,
    },
    /// The work was not run: the identity could not be acquired. Where `is_retryable`, execute
    /// again with the same key.
    NotRun(ClientError),
}

impl<E> ExecuteError<E> {
    /// Whether executing again with the same key and fingerprint may give an answer. `false` for
    /// the work's own error, of which only the caller can tell.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Work(_) => false,
            Self::LostOwnership { .. } | Self::NotStored { .. } => true,
            Self::NotRun(error) => error.is_retryable(),
        }
    }
}

macro_rules! from_bad_input {
    ($($error:ty),+) => {$(
        /// Nothing ran. So `?` makes keys and fingerprints inside a handler.
        impl<E> From<$error> for ExecuteError<E> {
            fn from(bad: $error) -> Self {
                Self::NotRun(bad.into())
            }
        }

        /// As for [`ExecuteError`]: nothing ran.
        impl<T, E> From<$error> for TypedError<T, E> {
            fn from(bad: $error) -> Self {
                Self::Execute(bad.into())
            }
        }
    )+};
}

from_bad_input!(BadInput, DeriveError, FieldsError, JsonFingerprintError);

impl<E: fmt::Display> fmt::Display for ExecuteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Work(error) => write!(f, "the work failed: {error}"),
            Self::LostOwnership { why, .. } => write!(
                f,
                "the work ran but lost ownership ({why}): its result is not stored, execute again with the same key to learn what stands"
            ),
            Self::NotStored { cause, .. } => write!(
                f,
                "the work ran but its result could not be stored ({cause}): execute again with the same key to learn what stands"
            ),
            Self::NotRun(error) => write!(f, "the work was not run: {error}"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for ExecuteError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Work(error) => Some(error),
            Self::NotStored { cause: error, .. } | Self::NotRun(error) => Some(error),
            Self::LostOwnership { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_made_from_what_work_returns() {
        let body = |result: ExecutionResult| result.body().kept().cloned();
        assert_eq!(body("text".into()), Some(Bytes::from_static(b"text")));
        assert_eq!(body(vec![1, 2].into()), Some(Bytes::from_static(&[1, 2])));
        assert_eq!(body(().into()), Some(Bytes::new()), "an empty body is kept, not declined");
        assert_eq!(ExecutionResult::from((201, "made")).status(), 201);
        assert_eq!(body(ExecutionResult::declined(204)), None);
    }

    #[test]
    fn debug_shows_no_byte_of_a_result_s16() {
        let mut metadata = MetadataBuf::new();
        metadata.push("location", "secret-place").unwrap();
        let result = ExecutionResult::new(200, "secret-body").with_metadata(metadata);
        assert_eq!(result.metadata().pairs().count(), 1);
        let done = Done {
            result: result.clone().into(),
            not_kept: None,
            replayed: false,
            attempt_number: 1,
            age: Millis::ZERO,
            retention_left: Millis::ZERO,
        };
        assert_eq!(done.status(), 200);
        assert_eq!(done.metadata().unwrap().get("location"), Some(&b"secret-place"[..]));
        assert_eq!(done.metadata().unwrap().get("Location"), None);
        assert_eq!(done.body().map(Bytes::len), Some(11));
        let error: ExecuteError<std::fmt::Error> =
            ExecuteError::LostOwnership { why: Lost::Fenced, result: result.clone() };
        let shown = format!("{result:?} {:?} {error:?} {error}", Executed::Ran(done));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
