//! Reads a stored result as a typed value: by the codec and the schema stored with it, or not at
//! all.

use std::fmt;

use bytes::Bytes;
use onceward_core::{Body, Completed, NotKept, Replay};
use serde::de::DeserializeOwned;

use crate::codec::{CODEC_ID_BYTES_MAX, Codec, CodecError, Json, decode_by_id};
use crate::outcome::Done;
use crate::schema::{Labels, SCHEMA_TAG_BYTES_MAX, Schema, is_label};

/// Name of the metadata pair whose value is the codec's id. Of several the first counts.
pub const CODEC_METADATA: &str = "onceward-codec";

/// Name of the metadata pair whose value is the schema's tag. Of several the first counts.
pub const SCHEMA_METADATA: &str = "onceward-schema";

impl Done {
    /// The typed value, read by the codec and the schema that are stored with it: any codec this
    /// crate is built with. For another, see [`Done::decode_with`].
    ///
    /// A [`GetOutcome::Completed`](crate::GetOutcome::Completed) becomes a [`Done`] by `From`.
    ///
    /// ```
    /// # use onceward_client::{Client, Done, Get, GetOutcome, ReadError, Schema, ScopedKeyBuf};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Order;
    /// # impl Schema for Order { const TAG: &'static str = "order/1"; }
    /// # async fn read(client: Client, key: ScopedKeyBuf) -> Result<(), Box<dyn std::error::Error>> {
    /// if let GetOutcome::Completed(completed) = client.get(key.as_ref(), &Get::default()).await? {
    ///     let order: Order = Done::from(completed).decode()?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ReadError`]: the work is done all the same.
    pub fn decode<T: DeserializeOwned + Schema>(&self) -> Result<T, ReadError> {
        self.decode_with(&Json)
    }

    /// The same, with a codec of your own besides the built-in ones.
    ///
    /// # Errors
    /// See [`ReadError`]: the work is done all the same.
    pub fn decode_with<T, C>(&self, codec: &C) -> Result<T, ReadError>
    where
        T: DeserializeOwned + Schema,
        C: Codec,
    {
        let body = match &self.result.body {
            Body::Kept(body) => body,
            Body::NotKept(why) => return Err(ReadError::NotKept(*why)),
        };
        let metadata = self.metadata().unwrap_or_default();
        let (Some(codec_id), Some(tag)) =
            (metadata.get(CODEC_METADATA), metadata.get(SCHEMA_METADATA))
        else {
            return Err(ReadError::Untyped);
        };
        if !Labels::<T, C>::reads(tag) {
            let stored = shown(tag, SCHEMA_TAG_BYTES_MAX);
            return Err(ReadError::OtherSchema { stored, expected: T::TAG });
        }
        match decode_by_id(codec, codec_id, body) {
            Some(Ok(value)) => Ok(value),
            Some(Err(cause)) => {
                let codec = shown(codec_id, CODEC_ID_BYTES_MAX);
                Err(ReadError::Malformed { codec, schema: shown(tag, SCHEMA_TAG_BYTES_MAX), cause })
            }
            None => Err(ReadError::UnknownCodec { stored: shown(codec_id, CODEC_ID_BYTES_MAX) }),
        }
    }
}

/// What stands where a label should. Anything but a label is not repeated: it may be anything.
fn shown(label: &[u8], bytes_max: usize) -> String {
    match str::from_utf8(label) {
        Ok(text) if is_label(label, bytes_max) => text.to_owned(),
        Ok(_) | Err(_) => format!("({} bytes that are no label)", label.len()),
    }
}

/// As a replay: it was done before.
impl From<Completed<Bytes>> for Done {
    fn from(completed: Completed<Bytes>) -> Self {
        let Completed { result, age, attempt_number, retention_left, fence: _ } = completed;
        Replay { result, age, attempt_number, retention_left }.into()
    }
}

impl From<Replay<Bytes>> for Done {
    fn from(replay: Replay<Bytes>) -> Self {
        Self {
            not_kept: replay.result.not_kept(),
            result: replay.result,
            replayed: true,
            attempt_number: replay.attempt_number,
            age: replay.age,
            retention_left: replay.retention_left,
        }
    }
}

/// Why a result is not read as a typed value. In every case the work **is done**: do not run it
/// again. The raw result is in the [`Done`] at hand.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ReadError {
    /// No codec and schema are stored with it: it was not stored by a typed execution. Read the
    /// bytes as whoever stored them says.
    Untyped,
    /// It is stored in a codec that this build has not, and that was not handed in. Build with the
    /// feature of that name, or hand the codec in.
    UnknownCodec {
        /// The id stored with it.
        stored: String,
    },
    /// It is of another shape, which the type does not say it reads. Read it with the type of that
    /// tag, or add the tag to `READS` if the bytes mean the same.
    OtherSchema {
        /// The tag stored with it.
        stored: String,
        /// The type's own.
        expected: &'static str,
    },
    /// The codec does not take the bytes for the type, though its tag fits: the shape changed
    /// without its tag, or another program stored them.
    Malformed {
        /// The codec's id.
        codec: String,
        /// The tag stored with it.
        schema: String,
        /// What the codec found.
        cause: CodecError,
    },
    /// The body is not kept (S12), so only status and metadata can be read.
    NotKept(NotKept),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untyped => {
                f.write_str("no codec and schema are stored with the result: read its raw bytes")
            }
            Self::UnknownCodec { stored } => write!(
                f,
                "the result is stored in the codec {stored}, which is not built in: enable its feature, or hand it in"
            ),
            Self::OtherSchema { stored, expected } => write!(
                f,
                "the result is stored as {stored}, not as {expected}: read it with the type of that tag, or list the tag in READS if it means the same"
            ),
            Self::Malformed { codec, schema, cause } => write!(
                f,
                "the result is stored as {schema} in {codec}, which does not fit the type: {cause}; give another shape another tag"
            ),
            Self::NotKept(why) => write!(
                f,
                "the result's body is not kept ({}): only its status and metadata are",
                why.name()
            ),
        }?;
        f.write_str(". The work is done: do not run it again")
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Malformed { cause, .. } => Some(cause),
            Self::Untyped
            | Self::UnknownCodec { .. }
            | Self::OtherSchema { .. }
            | Self::NotKept(_) => None,
        }
    }
}
