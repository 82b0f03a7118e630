//! The reply to a request that got no outcome. One layout for every code, frozen across versions.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use onceward_core::{BackendError, BadInput, Millis};

use crate::code::ErrorCode;
use crate::cursor::Cursor;
use crate::error::{BadField, FrameError, Malformed, ProtocolError};
use crate::frame::{Direction, FrameWriter};

const TAG_FIELD: u8 = 1;
const TAG_RETRY_AFTER: u8 = 2;
const TAG_EPOCH: u8 = 3;
const TAG_ADDRESS: u8 = 4;
const TAG_GOT: u8 = 5;
const TAG_MIN: u8 = 6;
const TAG_MAX: u8 = 7;

/// Longest message sent; a longer one is cut. Keeps every error within any frame.
const MESSAGE_BYTES_MAX: usize = 1024;

/// An error as it travels. What a code means is in [`ErrorCode`]; the rest is detail.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ErrorReply<'a> {
    /// What went wrong.
    pub code: ErrorCode,
    /// For a person: what, with which numbers, and what to do.
    pub message: Cow<'a, str>,
    /// The field at fault; always there with [`ErrorCode::BadInput`].
    pub field: Option<Cow<'a, str>>,
    /// When to ask again, if known.
    pub retry_after: Option<Millis>,
    /// The leader's term; always there with [`ErrorCode::NotLeader`].
    pub epoch: Option<u64>,
    /// Where the leader is, if known.
    pub address: Option<Cow<'a, str>>,
    /// The number at fault: an opcode, a frame's length.
    pub got: Option<u64>,
    /// The least that would do.
    pub min: Option<u64>,
    /// The most that would do.
    pub max: Option<u64>,
}

impl<'a> ErrorReply<'a> {
    /// An error with a message and no detail.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<Cow<'a, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
            retry_after: None,
            epoch: None,
            address: None,
            got: None,
            min: None,
            max: None,
        }
    }

    /// Nothing may be concluded.
    #[must_use]
    pub fn unavailable(message: impl Into<Cow<'a, str>>) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }

    /// The credential lacks the right.
    #[must_use]
    pub fn denied(message: impl Into<Cow<'a, str>>) -> Self {
        Self::new(ErrorCode::Denied, message)
    }

    /// Another node leads; `address` may be empty if unknown (S23, reserved).
    #[must_use]
    pub fn not_leader(address: impl Into<Cow<'a, str>>, epoch: u64) -> Self {
        let address = Some(address.into()).filter(|address| !address.is_empty());
        let message = "another node leads: ask it";
        Self { epoch: Some(epoch), address, ..Self::new(ErrorCode::NotLeader, message) }
    }

    /// Completed, but its body cannot be read now (S23).
    #[must_use]
    pub fn result_unavailable(message: impl Into<Cow<'a, str>>) -> Self {
        Self::new(ErrorCode::ResultUnavailable, message)
    }

    /// A field breaks its bound.
    #[must_use]
    pub fn bad_input(field: impl Into<Cow<'a, str>>, message: impl Into<Cow<'a, str>>) -> Self {
        Self { field: Some(field.into()), ..Self::new(ErrorCode::BadInput, message) }
    }

    /// The server holds `max` connections and takes no more.
    #[must_use]
    pub fn too_many_connections(max: u64) -> Self {
        let message = format!("the server holds {max} connections and takes no more: come later");
        Self { max: Some(max), ..Self::new(ErrorCode::TooManyConnections, message) }
    }

    /// HELLO, or the rest of a frame, did not come within `limit`.
    #[must_use]
    pub fn timed_out(limit: Millis) -> Self {
        let message = format!("no whole frame came within {limit}");
        Self { max: Some(limit.get()), ..Self::new(ErrorCode::TimedOut, message) }
    }

    /// With the time at which to ask again.
    #[must_use]
    pub fn retry_after(mut self, length: Millis) -> Self {
        self.retry_after = Some(length);
        self
    }

    /// Whether the server closes the connection after it.
    #[must_use]
    pub const fn closes(&self) -> bool {
        self.code.closes()
    }

    /// A copy that owns its bytes.
    #[must_use]
    pub fn into_owned(self) -> ErrorReply<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        ErrorReply {
            code: self.code,
            message: owned(self.message),
            field: self.field.map(owned),
            retry_after: self.retry_after,
            epoch: self.epoch,
            address: self.address.map(owned),
            got: self.got,
            min: self.min,
            max: self.max,
        }
    }

    /// Appends the error as the reply to a request, or, with [`crate::frame::CONNECTION`] and
    /// correlation 0, as the connection's last word.
    pub fn encode(&self, opcode: u8, correlation: u64, out: &mut Vec<u8>) {
        let mut frame = FrameWriter::new(Direction::Reply, opcode, correlation, out);
        let message = cut(&self.message).as_bytes();
        frame.u8(self.code.as_u8()).size16(message.len()).bytes(message);
        if let Some(field) = &self.field {
            frame.option(TAG_FIELD, cut(field).as_bytes());
        }
        if let Some(length) = self.retry_after {
            frame.option_u64(TAG_RETRY_AFTER, length.get());
        }
        if let Some(epoch) = self.epoch {
            frame.option_u64(TAG_EPOCH, epoch);
        }
        if let Some(address) = &self.address {
            frame.option(TAG_ADDRESS, cut(address).as_bytes());
        }
        for (tag, number) in [(TAG_GOT, self.got), (TAG_MIN, self.min), (TAG_MAX, self.max)] {
            if let Some(number) = number {
                frame.option_u64(tag, number);
            }
        }
        frame.finish();
    }

    /// Reads what follows the code byte.
    pub(crate) fn decode(code: ErrorCode, mut body: Cursor<'a>) -> Result<Self, Malformed> {
        let size = usize::from(body.u16("message length")?);
        let message = String::from_utf8_lossy(body.bytes(size, "message")?);
        let mut reply = Self::new(code, message);
        let mut options = body.options();
        while let Some((tag, value)) = options.next()? {
            match tag {
                TAG_FIELD => reply.field = Some(String::from_utf8_lossy(value.rest())),
                TAG_RETRY_AFTER => {
                    reply.retry_after = Some(Millis::new(value.only_u64("retry_after")?));
                }
                TAG_EPOCH => reply.epoch = Some(value.only_u64("epoch")?),
                TAG_ADDRESS => reply.address = Some(String::from_utf8_lossy(value.rest())),
                TAG_GOT => reply.got = Some(value.only_u64("got")?),
                TAG_MIN => reply.min = Some(value.only_u64("min")?),
                TAG_MAX => reply.max = Some(value.only_u64("max")?),
                _ => {} // A later version's.
            }
        }
        if code == ErrorCode::BadInput && reply.field.is_none() {
            return Err(Malformed::Missing { field: "field" });
        }
        if code == ErrorCode::NotLeader && reply.epoch.is_none() {
            return Err(Malformed::Missing { field: "epoch" });
        }
        Ok(reply)
    }

    /// What a caller of the port sees. A code that is not its fault, or not known, concludes
    /// nothing: Unavailable.
    #[must_use]
    pub fn to_backend_error(&self) -> BackendError {
        match self.code {
            ErrorCode::BadInput => BackendError::BadInput {
                field: self.field.as_deref().unwrap_or_default().into(),
                message: self.message.as_ref().into(),
            },
            ErrorCode::Denied => BackendError::Denied,
            ErrorCode::NotLeader => BackendError::NotLeader {
                address: self.address.as_deref().unwrap_or_default().into(),
                epoch: self.epoch.unwrap_or_default(),
            },
            ErrorCode::ResultUnavailable => BackendError::ResultUnavailable,
            ErrorCode::Unavailable => {
                BackendError::Unavailable { message: self.message.as_ref().into() }
            }
            ErrorCode::UnknownOpcode
            | ErrorCode::Malformed
            | ErrorCode::FrameTooLarge
            | ErrorCode::Version
            | ErrorCode::HelloFirst
            | ErrorCode::HelloAgain
            | ErrorCode::TooManyConnections
            | ErrorCode::TimedOut
            | ErrorCode::Other(_) => BackendError::Unavailable { message: format!("{self}") },
        }
    }
}

/// The longest prefix within [`MESSAGE_BYTES_MAX`] that ends between characters.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MESSAGE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl From<&BadInput> for ErrorReply<'static> {
    fn from(bad: &BadInput) -> Self {
        Self::bad_input(bad.field(), format!("{bad}"))
    }
}

impl From<&BadField> for ErrorReply<'static> {
    fn from(bad: &BadField) -> Self {
        Self::bad_input(bad.field(), format!("{bad}"))
    }
}

impl From<&BackendError> for ErrorReply<'static> {
    fn from(error: &BackendError) -> Self {
        match error {
            BackendError::BadInput { field, message } => {
                Self::bad_input(field.clone(), message.clone())
            }
            BackendError::Denied => Self::denied("the credential lacks the right to do this"),
            BackendError::NotLeader { address, epoch } => Self::not_leader(address.clone(), *epoch),
            BackendError::ResultUnavailable => Self::result_unavailable(
                "completed, but the result cannot be read now: do not run the work, ask again",
            ),
            BackendError::Unavailable { message } => Self::unavailable(message.clone()),
            other => Self::unavailable(format!("{other}")),
        }
    }
}

impl From<&ProtocolError> for ErrorReply<'static> {
    fn from(error: &ProtocolError) -> Self {
        let of = |code| Self::new(code, format!("{error}"));
        match *error {
            ProtocolError::Frame(FrameError::TooLarge { got, max }) => Self {
                got: Some(got.into()),
                max: Some(max.into()),
                ..of(ErrorCode::FrameTooLarge)
            },
            ProtocolError::Frame(_) | ProtocolError::Malformed(_) => of(ErrorCode::Malformed),
            ProtocolError::BadField(bad) => Self::from(&bad),
            ProtocolError::UnknownOpcode { opcode } => {
                Self { got: Some(opcode.into()), ..of(ErrorCode::UnknownOpcode) }
            }
            ProtocolError::Version { .. } => Self {
                min: Some(crate::VERSION_MIN.into()),
                max: Some(crate::VERSION_MAX.into()),
                ..of(ErrorCode::Version)
            },
            ProtocolError::HelloFirst => of(ErrorCode::HelloFirst),
            ProtocolError::HelloAgain => of(ErrorCode::HelloAgain),
        }
    }
}

impl fmt::Display for ErrorReply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            ErrorCode::Other(byte) => write!(f, "unknown error {byte:#04x}: {}", self.message),
            code => write!(f, "{}: {}", code.name(), self.message),
        }
    }
}

impl core::error::Error for ErrorReply<'_> {}
