//! Why bytes from a peer are refused. Named by field and number, never by content (S16).

use core::fmt;

use onceward_core::BadInput;

/// A body, or a reply, that breaks its layout. Final: the connection closes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Malformed {
    /// The body ends inside this field.
    Cut {
        /// The field that is not whole.
        field: &'static str,
    },
    /// An optional field's tag is 0, repeated, or lower than the one before.
    OptionOrder {
        /// The tag out of order.
        tag: u8,
    },
    /// An optional field is longer than its kind.
    OptionSize {
        /// The field.
        field: &'static str,
    },
    /// A field holds something that other fields of the same message rule out.
    Combination {
        /// The field.
        field: &'static str,
    },
    /// A reply holds a value that no server of this version sends.
    Value {
        /// The field.
        field: &'static str,
    },
    /// HELLO does not start with the bytes `ONWD`: the peer speaks something else.
    Magic,
    /// The reply lacks an optional field that its code requires.
    Missing {
        /// The field.
        field: &'static str,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut { field } => write!(f, "the body ends inside `{field}`"),
            Self::OptionOrder { tag } => {
                write!(f, "optional field {tag} is out of order: tags rise from 1 and never repeat")
            }
            Self::OptionSize { field } => {
                write!(f, "optional field `{field}` is longer than its kind")
            }
            Self::Combination { field } => {
                write!(f, "`{field}` contradicts the fields before it")
            }
            Self::Value { field } => write!(f, "`{field}` holds a value of no known meaning"),
            Self::Magic => f.write_str("HELLO does not start with the bytes ONWD"),
            Self::Missing { field } => write!(f, "`{field}` is missing"),
        }
    }
}

impl core::error::Error for Malformed {}

/// A field of a well-framed request that breaks its bound. The request changed nothing; the
/// connection stays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BadField {
    /// A bound of the words themselves.
    Input(BadInput),
    /// A number that means nothing here.
    Value {
        /// The field at fault.
        field: &'static str,
        /// What it holds.
        got: u64,
        /// What it may hold.
        expected: &'static str,
    },
}

impl BadField {
    /// The field at fault, in the words of `docs/protocol.md`.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Input(bad) => bad.field(),
            Self::Value { field, .. } => field,
        }
    }
}

impl From<BadInput> for BadField {
    fn from(bad: BadInput) -> Self {
        Self::Input(bad)
    }
}

impl fmt::Display for BadField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(bad) => bad.fmt(f),
            Self::Value { field, got, expected } => write!(f, "{field} is {got}: send {expected}"),
        }
    }
}

impl core::error::Error for BadField {}

/// Why a request's body did not become a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DecodeError {
    /// The layout is broken: answer, then close.
    Malformed(Malformed),
    /// A field breaks its bound: answer, go on.
    Bad(BadField),
}

impl From<Malformed> for DecodeError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<BadField> for DecodeError {
    fn from(bad: BadField) -> Self {
        Self::Bad(bad)
    }
}

impl From<BadInput> for DecodeError {
    fn from(bad: BadInput) -> Self {
        Self::Bad(BadField::Input(bad))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Bad(bad) => bad.fmt(f),
        }
    }
}

impl core::error::Error for DecodeError {}

/// A header that cannot be trusted. Final: nothing after it can be found, so the connection
/// closes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FrameError {
    /// The body has no bytes; every message has at least one.
    Empty,
    /// The body is longer than agreed. Known from the header alone; nothing was buffered.
    TooLarge {
        /// Bytes the header announces.
        got: u32,
        /// Most that are taken.
        max: u32,
    },
    /// Reserved bits of the flags, or the reserved half-word, are not zero.
    Reserved {
        /// The flags byte.
        flags: u8,
        /// The reserved half-word.
        reserved: u16,
    },
    /// A reply where a request must stand, or a request where a reply must.
    Direction,
    /// A request with correlation 0, which belongs to the connection itself.
    Correlation,
    /// The stream ended inside a frame.
    Half {
        /// Bytes that came.
        got: usize,
        /// Bytes the frame has, or the size of a header if not even that came.
        need: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the frame has length 0: every body has at least one byte"),
            Self::TooLarge { got, max } => {
                write!(f, "the frame's body has {got} bytes: at most {max} are taken")
            }
            Self::Reserved { flags, reserved } => write!(
                f,
                "reserved bits are set (flags {flags:#04x}, reserved {reserved:#06x}): they must be zero"
            ),
            Self::Direction => {
                f.write_str("the reply bit is wrong: clients send requests, servers send replies")
            }
            Self::Correlation => {
                f.write_str("the request's correlation is 0: number requests from 1")
            }
            Self::Half { got, need } => {
                write!(f, "the stream ended inside a frame, after {got} of {need} bytes")
            }
        }
    }
}

impl core::error::Error for FrameError {}

/// Everything a server may find wrong with what a client sent, before any store is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The header cannot be trusted.
    Frame(FrameError),
    /// The body breaks its layout.
    Malformed(Malformed),
    /// A field breaks its bound.
    BadField(BadField),
    /// An opcode this version does not know.
    UnknownOpcode {
        /// The byte.
        opcode: u8,
    },
    /// No version is common to both sides.
    Version {
        /// The client's lowest.
        min: u16,
        /// The client's highest.
        max: u16,
    },
    /// A request before HELLO was accepted.
    HelloFirst,
    /// A HELLO after one was accepted.
    HelloAgain,
}

impl ProtocolError {
    /// Whether the connection closes after it.
    #[must_use]
    pub const fn closes(&self) -> bool {
        match self {
            Self::BadField(_) | Self::UnknownOpcode { .. } => false,
            Self::Frame(_)
            | Self::Malformed(_)
            | Self::Version { .. }
            | Self::HelloFirst
            | Self::HelloAgain => true,
        }
    }
}

impl From<FrameError> for ProtocolError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<DecodeError> for ProtocolError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Malformed(malformed) => Self::Malformed(malformed),
            DecodeError::Bad(bad) => Self::BadField(bad),
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::BadField(bad) => bad.fmt(f),
            Self::UnknownOpcode { opcode } => {
                write!(f, "opcode {opcode:#04x} is not known to this server")
            }
            Self::Version { min, max } => write!(
                f,
                "the client speaks versions {min} to {max}, this server {} to {}",
                crate::VERSION_MIN,
                crate::VERSION_MAX
            ),
            Self::HelloFirst => f.write_str("a connection starts with HELLO"),
            Self::HelloAgain => f.write_str("the connection is bound already: HELLO comes once"),
        }
    }
}

impl core::error::Error for ProtocolError {}
