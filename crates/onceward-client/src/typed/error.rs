//! Why a typed execution has no value to give.

use std::fmt;

use crate::codec::CodecError;
use crate::outcome::{Done, ExecuteError};
use crate::reading::ReadError;

/// Why a typed execution ended without a value or another answer. `E` is the work's own error, `T`
/// the value.
///
/// A service that changed a type reads what it stored before the change with the type of that time:
///
/// ```
/// # use onceward_client::*;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)]
/// struct Order {
///     id: String,
/// }
///
/// impl Schema for Order {
///     const TAG: &'static str = "order/2";
/// }
///
/// /// Until last week; delete it once the retention of its results is over.
/// #[derive(Serialize, Deserialize)]
/// struct NumberedOrder {
///     id: u64,
/// }
///
/// impl Schema for NumberedOrder {
///     const TAG: &'static str = "order/1";
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = Client::open("mem://orders")?;
/// # let (key, fingerprint) = (Key::new("k")?.in_scope("")?, Fingerprint::of("payload"));
/// # client.execute_typed(&key, fingerprint, |_| async { Ok::<_, std::fmt::Error>(NumberedOrder { id: 7 }) }).await?;
/// let place = |_| async { Ok::<_, std::io::Error>(Order { id: "o-8".to_owned() }) };
/// let order = match client.execute_typed(&key, fingerprint, place).await {
///     Ok(Executed::Ran(done) | Executed::Replayed(done)) => done.value,
///     Err(TypedError::Unreadable { why: ReadError::OtherSchema { .. }, done }) => {
///         let order: NumberedOrder = done.decode()?;
///         Order { id: order.id.to_string() }
///     }
///     Ok(other) => return Err(other.name().into()), // Answer "ask again later", and so on.
///     Err(error) => return Err(error.into()),
/// };
/// assert_eq!(order.id, "7");
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
pub enum TypedError<T, E> {
    /// As an execution of bytes.
    Execute(ExecuteError<E>),
    /// The work **is done**, here or before (`done.replayed` says which), and its result is stored,
    /// but it is not read as `T`. Executing again gives the same: read it another way.
    Unreadable {
        /// Why not.
        why: ReadError,
        /// The raw result.
        done: Box<Done>,
    },
    /// The work **is done**, here, but its value does not encode. It is stored without a body, as
    /// declined (S12): retries learn that it is done, as [`TypedError::Unreadable`]. Mend the
    /// type.
    NotEncoded {
        /// Why not.
        why: CodecError,
        /// What the work gave. No retry gets it.
        value: T,
        /// What is stored.
        done: Box<Done>,
    },
}

impl<T, E> TypedError<T, E> {
    /// As [`ExecuteError::is_retryable`]; `false` where the work is done.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Execute(error) => error.is_retryable(),
            Self::Unreadable { .. } | Self::NotEncoded { .. } => false,
        }
    }

    /// The work done, here or before, where that is known.
    #[must_use]
    pub fn done(&self) -> Option<&Done> {
        match self {
            Self::Execute(_) => None,
            Self::Unreadable { done, .. } | Self::NotEncoded { done, .. } => Some(done),
        }
    }
}

impl<T, E> From<ExecuteError<E>> for TypedError<T, E> {
    fn from(error: ExecuteError<E>) -> Self {
        Self::Execute(error)
    }
}

/// `Debug` shows no value (S16).
impl<T, E: fmt::Debug> fmt::Debug for TypedError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Execute(error) => f.debug_tuple("Execute").field(error).finish(),
            Self::Unreadable { why, done } => {
                f.debug_struct("Unreadable").field("why", why).field("done", done).finish()
            }
            Self::NotEncoded { why, value: _, done } => f
                .debug_struct("NotEncoded")
                .field("why", why)
                .field("done", done)
                .finish_non_exhaustive(),
        }
    }
}

impl<T, E: fmt::Display> fmt::Display for TypedError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Execute(error) => error.fmt(f),
            Self::Unreadable { why, .. } => why.fmt(f),
            Self::NotEncoded { why, .. } => write!(
                f,
                "the work is done, but its value does not encode ({why}): it is stored without a body. Do not run it again; mend the type"
            ),
        }
    }
}

impl<T, E: std::error::Error + 'static> std::error::Error for TypedError<T, E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Execute(error) => error.source(),
            Self::Unreadable { why, .. } => why.source(),
            Self::NotEncoded { why, .. } => Some(why),
        }
    }
}
