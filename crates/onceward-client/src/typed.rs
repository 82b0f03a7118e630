//! Executions whose results are values: encoded when stored, decoded when replayed.

mod error;

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use onceward_core::limits::{METADATA_BYTES_MAX, METADATA_PAIRS_MAX};
use onceward_core::{Backend, BadInput, Fingerprint, MetadataBuf, ScopedKeyBuf};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::codec::{CODEC_ID_BYTES_MAX, Codec, CodecError, Json};
use crate::context::Context;
use crate::execution::Execution;
use crate::outcome::{Done, Executed, ExecutionResult};
use crate::reading::{CODEC_METADATA, SCHEMA_METADATA};
use crate::schema::{Labels, SCHEMA_TAG_BYTES_MAX, Schema};

pub use error::TypedError;

/// An [`Execution`] that stores values through a codec of choice. Made by [`Execution::codec`],
/// after all other settings. Reuse it: executing borrows it.
///
/// It reads what any built-in codec wrote as well as what its own wrote, so that a service may move
/// from one codec to another while results of the first are still remembered.
#[derive(Clone)]
pub struct TypedExecution<B = Client, C = Json> {
    execution: Execution<B>,
    codec: C,
}

impl<B: Backend<Bytes = Bytes>, C: Codec> fmt::Debug for TypedExecution<B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedExecution")
            .field("execution", &self.execution)
            .field("codec", &C::ID)
            .finish()
    }
}

impl<B: Backend<Bytes = Bytes> + Clone + 'static> Execution<B> {
    /// Executions with these settings that write through `codec`; without, they write JSON.
    ///
    /// ```
    /// # #[cfg(feature = "messagepack")]
    /// # fn settings(client: onceward_client::Client) {
    /// use std::time::Duration;
    ///
    /// use onceward_client::MessagePack;
    ///
    /// // Made once; `orders.execute_typed(key, fingerprint, work)` as often as needed.
    /// let orders = client.execution().wait(Duration::from_secs(5)).codec(MessagePack);
    /// # }
    /// ```
    #[must_use]
    pub fn codec<C: Codec>(self, codec: C) -> TypedExecution<B, C> {
        TypedExecution { execution: self, codec }
    }

    /// [`TypedExecution::execute_typed`] with the codec [`Json`].
    ///
    /// # Errors
    /// See [`TypedError`].
    ///
    /// # Panics
    /// As [`Execution::execute`].
    pub async fn execute_typed<W, F, O, E>(
        &self,
        key: impl Into<ScopedKeyBuf>,
        fingerprint: impl Into<Fingerprint>,
        work: W,
    ) -> Result<Executed<TypedDone<O::Value>>, TypedError<O::Value, E>>
    where
        W: FnOnce(Context<B>) -> F,
        F: Future<Output = Result<O, E>>,
        O: TypedOutput,
    {
        execute(self, &Json, key.into(), fingerprint.into(), work).await
    }
}

impl<B: Backend<Bytes = Bytes> + Clone + 'static, C: Codec> TypedExecution<B, C> {
    /// Runs `work` unless the key's work is done, running or in doubt, and stores its value for
    /// every retry, with the codec's id and the schema's tag.
    ///
    /// The value in [`Executed::Ran`] is decoded from the bytes that are stored, not the one that
    /// the work made: the first caller and every replay get equal values. What an encoding does
    /// not carry, such as a skipped field, the first caller does not get either, and a value that
    /// does not read back shows at once, not at tomorrow's retry.
    ///
    /// Costs what [`Execution::execute`] costs, one encoding and one decoding.
    ///
    /// # Errors
    /// See [`TypedError`].
    ///
    /// # Panics
    /// As [`Execution::execute`].
    pub async fn execute_typed<W, F, O, E>(
        &self,
        key: impl Into<ScopedKeyBuf>,
        fingerprint: impl Into<Fingerprint>,
        work: W,
    ) -> Result<Executed<TypedDone<O::Value>>, TypedError<O::Value, E>>
    where
        W: FnOnce(Context<B>) -> F,
        F: Future<Output = Result<O, E>>,
        O: TypedOutput,
    {
        execute(&self.execution, &self.codec, key.into(), fingerprint.into(), work).await
    }
}

async fn execute<B, C, W, F, O, E>(
    execution: &Execution<B>,
    codec: &C,
    key: ScopedKeyBuf,
    fingerprint: Fingerprint,
    work: W,
) -> Result<Executed<TypedDone<O::Value>>, TypedError<O::Value, E>>
where
    B: Backend<Bytes = Bytes> + Clone + 'static,
    C: Codec,
    W: FnOnce(Context<B>) -> F,
    F: Future<Output = Result<O, E>>,
    O: TypedOutput,
{
    let mut unencoded = None;
    let executed = execution.execute(key, fingerprint, async |context| {
        let output = work(context).await?.into_result();
        let (result, fault) = output.encode(codec);
        unencoded = fault.map(|why| (why, output.value));
        Ok(result)
    });
    let executed = executed.await?;
    if let Some((why, value)) = unencoded
        && let Executed::Ran(done) = executed
    {
        return Err(TypedError::NotEncoded { why, value, done: Box::new(done) });
    }
    executed.try_map(|done| match done.decode_with(codec) {
        Ok(value) => Ok(TypedDone { value, done }),
        Err(why) => Err(TypedError::Unreadable { why, done: Box::new(done) }),
    })
}

/// What typed work gives back: a value, `(status, value)`, or a [`TypedResult`].
pub trait TypedOutput {
    /// The value's type.
    type Value: Schema + Serialize + DeserializeOwned;

    /// The value with its status and metadata.
    fn into_result(self) -> TypedResult<Self::Value>;
}

impl<T: Schema + Serialize + DeserializeOwned> TypedOutput for T {
    type Value = T;

    fn into_result(self) -> TypedResult<T> {
        TypedResult::new(0, self)
    }
}

impl<T: Schema + Serialize + DeserializeOwned> TypedOutput for (u16, T) {
    type Value = T;

    fn into_result(self) -> TypedResult<T> {
        TypedResult::new(self.0, self.1)
    }
}

impl<T: Schema + Serialize + DeserializeOwned> TypedOutput for TypedResult<T> {
    type Value = T;

    fn into_result(self) -> Self {
        self
    }
}

/// A value to be stored, with a status and metadata.
#[derive(Clone)]
pub struct TypedResult<T> {
    status: u16,
    /// Invariant: leaves room for codec and schema.
    metadata: MetadataBuf,
    pub(crate) value: T,
}

/// What codec and schema take of a result's metadata at most, names included.
const LABELS_BYTES_MAX: usize =
    CODEC_METADATA.len() + CODEC_ID_BYTES_MAX + SCHEMA_METADATA.len() + SCHEMA_TAG_BYTES_MAX;

impl<T> TypedResult<T> {
    /// A status of the caller's own meaning, and a value.
    #[must_use]
    pub const fn new(status: u16, value: T) -> Self {
        Self { status, metadata: MetadataBuf::new(), value }
    }

    /// The same with `metadata`, e.g. headers, which is stored after codec and schema: they take
    /// two of the 64 pairs and up to 221 bytes of the 16 KiB.
    ///
    /// # Errors
    /// [`BadInput::MetadataPairs`] or [`BadInput::MetadataBytes`], counted with theirs. Ask before
    /// the side effect, for the work is not done when it returns this.
    pub fn with_metadata(self, metadata: MetadataBuf) -> Result<Self, BadInput> {
        let (pairs, bytes) = metadata
            .as_ref()
            .pairs()
            .fold((2, LABELS_BYTES_MAX), |(pairs, bytes), (name, value)| {
                (pairs + 1, bytes + name.len() + value.len())
            });
        if pairs > METADATA_PAIRS_MAX {
            return Err(BadInput::MetadataPairs { got: pairs });
        }
        if bytes > METADATA_BYTES_MAX {
            return Err(BadInput::MetadataBytes { got: bytes });
        }
        Ok(Self { metadata, ..self })
    }
}

impl<T: Schema + Serialize> TypedResult<T> {
    /// The result to store. A value that does not encode is done all the same: its body is
    /// declined (S12), never the work abandoned as not done.
    pub(crate) fn encode<C: Codec>(&self, codec: &C) -> (ExecutionResult, Option<CodecError>) {
        // First, so that they outlive a body that is not kept (S12).
        let mut metadata = MetadataBuf::new();
        let labels = [
            (CODEC_METADATA.as_bytes(), Labels::<T, C>::codec_id().as_bytes()),
            (SCHEMA_METADATA.as_bytes(), Labels::<T, C>::tag().as_bytes()),
        ];
        for (name, value) in labels.into_iter().chain(self.metadata.as_ref().pairs()) {
            metadata.push(name, value).expect("room was checked");
        }
        // A panic of the value's own code, too: the work has run, and an execution whose work panics
        // may be released as not done.
        let encoded = catch_unwind(AssertUnwindSafe(|| codec.encode(&self.value)))
            .unwrap_or(Err(CodecError::new("its encoding panicked")));
        let (result, fault) = match encoded {
            Ok(body) => (ExecutionResult::new(self.status, body), None),
            Err(why) => {
                tracing::warn!(error = %why, schema = T::TAG, "a value does not encode");
                (ExecutionResult::declined(self.status), Some(why))
            }
        };
        (result.with_metadata(metadata), fault)
    }
}

/// `Debug` shows no value (S16).
impl<T: Schema> fmt::Debug for TypedResult<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedResult")
            .field("status", &self.status)
            .field("metadata", &self.metadata)
            .field("schema", &T::TAG)
            .finish_non_exhaustive()
    }
}

/// Work that is done, and its value.
#[derive(Clone, Eq, PartialEq)]
pub struct TypedDone<T> {
    /// The value, decoded from what is stored.
    pub value: T,
    /// The rest: status, metadata, whether it was done before. It holds the encoded value too.
    pub done: Done,
}

/// `Debug` shows no value (S16).
impl<T> fmt::Debug for TypedDone<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedDone").field("done", &self.done).finish_non_exhaustive()
    }
}
