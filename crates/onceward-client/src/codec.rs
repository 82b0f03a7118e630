//! Turns typed values into the bytes of a result, and back.

#[cfg(feature = "bincode")]
mod bincode;
mod json;
#[cfg(feature = "messagepack")]
mod messagepack;

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(feature = "bincode")]
pub use bincode::Bincode;
pub use json::Json;
#[cfg(feature = "messagepack")]
pub use messagepack::MessagePack;

/// An encoding of serde values under a stable id, which is stored with the bytes.
///
/// A reader chooses by the stored id, so a service may change the codec it writes with and still
/// read what it wrote before. A codec of your own is used by handing it to
/// [`Execution::codec`](crate::Execution::codec):
///
/// ```
/// use onceward_client::{Codec, CodecError, Json};
/// use serde::{Serialize, de::DeserializeOwned};
///
/// /// JSON, for people to read.
/// #[derive(Clone, Copy, Debug)]
/// struct Indented;
///
/// impl Codec for Indented {
///     const ID: &'static str = "example.json-indented";
///
///     fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, CodecError> {
///         serde_json::to_vec_pretty(value).map_err(|_| CodecError::new("no form in JSON"))
///     }
///
///     fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, CodecError> {
///         Json.decode(bytes)
///     }
/// }
/// ```
///
/// Encoding and decoding run on the caller's thread, and are not interrupted.
pub trait Codec: Send + Sync {
    /// 1 to [`CODEC_ID_BYTES_MAX`] visible ASCII characters, checked by the compiler where the
    /// codec is used. Never give another encoding the same id. `json`, `messagepack` and
    /// `bincode` are this crate's.
    const ID: &'static str;

    /// The bytes of a value.
    ///
    /// # Errors
    /// The value has no form in this encoding.
    fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, CodecError>;

    /// The value of bytes that [`Codec::encode`] made, all of them: bytes left over are an error.
    ///
    /// # Errors
    /// The bytes are none of this encoding, or of another shape than `T`.
    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, CodecError>;
}

/// Most bytes of a codec's id; over: the code that uses it does not compile.
pub const CODEC_ID_BYTES_MAX: usize = 64;

/// Why a value did not encode or bytes did not decode.
///
/// Made of fixed text and a position, so that no byte of a value can reach a log (S16): the text
/// of a serde error may quote the data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CodecError {
    reason: &'static str,
    at: Option<usize>,
}

impl CodecError {
    /// An error for `reason`, a clause without the data in it.
    #[must_use]
    pub const fn new(reason: &'static str) -> Self {
        Self { reason, at: None }
    }

    /// The same with the offset, in bytes, at which it showed.
    #[must_use]
    pub const fn at(self, offset: usize) -> Self {
        Self { at: Some(offset), ..self }
    }

    /// The reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// Where in the bytes it showed, if the codec tells.
    #[must_use]
    pub const fn offset(&self) -> Option<usize> {
        self.at
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)?;
        self.at.map_or(Ok(()), |at| write!(f, ", at byte {at}"))
    }
}

impl std::error::Error for CodecError {}

/// Decodes by the id stored with the bytes: with `chosen` if it is its own, else with whichever
/// built-in has it. `None` where none has.
pub(crate) fn decode_by_id<T: DeserializeOwned, C: Codec>(
    chosen: &C,
    id: &[u8],
    bytes: &[u8],
) -> Option<Result<T, CodecError>> {
    // The chosen one first, so that a codec is never shadowed by what the crate was built with.
    if id == C::ID.as_bytes() {
        return Some(chosen.decode(bytes));
    }
    if id == Json::ID.as_bytes() {
        return Some(Json.decode(bytes));
    }
    #[cfg(feature = "messagepack")]
    if id == MessagePack::ID.as_bytes() {
        return Some(MessagePack.decode(bytes));
    }
    #[cfg(feature = "bincode")]
    if id == Bincode::ID.as_bytes() {
        return Some(Bincode.decode(bytes));
    }
    None
}
