//! The server's side of one connection.
//!
//! ```text
//!  STRANGER ── HELLO accepted ──▶ OPEN
//!     │                            │
//!     └────── fatal error ─────────┴──▶ CLOSED
//! ```
//! A stranger may send HELLO and nothing else, and no more than 8 KiB at a time.

use alloc::vec::Vec;

use onceward_core::ScopedKey;

use crate::cursor::Cursor;
use crate::error::{FrameError, ProtocolError};
use crate::error_reply::ErrorReply;
use crate::frame::{
    self, BODY_BYTES_MAX_CEILING, BODY_BYTES_MAX_DEFAULT, BODY_BYTES_MAX_FLOOR, CONNECTION,
    Direction, Frame, HELLO_BODY_BYTES_MAX, Header,
};
use crate::hello::{Hello, Rights, ServerLimits, VERSION_MAX, VERSION_MIN, Welcome};
use crate::opcode::Opcode;
use crate::reply_encoder::ReplyEncoder;
use crate::request::Request;
use crate::unread::Unread;

/// The features that this server has: none yet.
const FEATURES: u64 = 0;

/// What a server insists on.
#[derive(Clone, Copy, Debug)]
pub struct ServerConfig {
    /// Longest body, in bytes; a client that says less in HELLO gets less. Held within
    /// [`BODY_BYTES_MAX_FLOOR`] and [`BODY_BYTES_MAX_CEILING`].
    pub body_bytes_max: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { body_bytes_max: BODY_BYTES_MAX_DEFAULT }
    }
}

/// What a server tells of itself when it accepts HELLO.
#[derive(Clone, Copy, Debug)]
pub struct Greeting {
    /// Its wall clock, in milliseconds since 1970.
    pub server_time_ms: u64,
    /// Changes whenever the store may have lost its memory of keys.
    pub boot_epoch: u64,
    /// What the credential allows.
    pub rights: Rights,
    /// What the server takes.
    pub limits: ServerLimits,
}

impl Default for Greeting {
    fn default() -> Self {
        Self {
            server_time_ms: 0,
            boot_epoch: 0,
            rights: Rights::ALL,
            limits: ServerLimits::default(),
        }
    }
}

/// What both sides can do, and where to answer. Given by HELLO, taken by
/// [`ServerConn::accept`] or [`ServerConn::refuse`].
#[derive(Debug)]
#[must_use = "HELLO is unanswered until it is accepted or refused"]
pub struct Negotiated {
    correlation: u64,
    version: u16,
    features: u64,
    body_bytes_max: u32,
}

/// A frame that the server must act on.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// A client introduces itself. Accept or refuse it before the next frame is read.
    Hello {
        /// Who, and for which namespace.
        hello: Hello<'a>,
        /// To be handed back.
        negotiated: Negotiated,
    },
    /// An operation; answer it once, with this correlation.
    Request {
        /// Ties the reply to it.
        correlation: u64,
        /// What is asked.
        request: Request<'a>,
    },
    /// End the wait of an earlier request at once: it is answered as things stand. If that
    /// request is not waiting, ignore this. Never answered itself.
    Cancel {
        /// The earlier request's correlation.
        target: u64,
    },
    /// A request that gets an error; the connection goes on. Encode it.
    Rejected(Rejection),
}

/// A frame that is refused before any store is asked, and where its error goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rejection {
    /// The opcode as received.
    pub opcode: u8,
    /// The correlation as received.
    pub correlation: u64,
    /// Why.
    pub error: ProtocolError,
}

impl Rejection {
    /// Whether the connection must be closed once the error has been sent.
    #[must_use]
    pub const fn closes(&self) -> bool {
        self.error.closes()
    }

    /// Appends the error reply.
    pub fn encode(&self, out: &mut Vec<u8>) {
        ErrorReply::from(&self.error).encode(self.opcode, self.correlation, out);
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// HELLO has not been accepted.
    Stranger,
    /// Requests are welcome.
    Open,
    /// After a fatal error: nothing more is read.
    Closed(Rejection),
}

/// The server's side of one connection: reads frames from a buffer that the caller owns. No I/O,
/// no clock.
#[derive(Clone, Debug)]
pub struct ServerConn {
    state: State,
    /// Of the server before HELLO, agreed by both from then on.
    body_bytes_max: u32,
}

impl ServerConn {
    /// A connection that has said nothing yet.
    #[must_use]
    pub fn new(config: &ServerConfig) -> Self {
        let body_bytes_max =
            config.body_bytes_max.clamp(BODY_BYTES_MAX_FLOOR, BODY_BYTES_MAX_CEILING);
        Self { state: State::Stranger, body_bytes_max }
    }

    /// Reads one frame from the front of `input`, and its size, to advance by. `Ok(None)` means
    /// "more bytes first"; [`Self::frame_size`] says how many. What is given borrows from
    /// `input` alone.
    ///
    /// # Errors
    /// A fatal rejection: send it, close. Every later call gives it again.
    #[inline]
    pub fn next<'a>(
        &mut self,
        input: &'a [u8],
    ) -> Result<Option<(Incoming<'a>, usize)>, Rejection> {
        let body_bytes_max = match self.state {
            State::Stranger => HELLO_BODY_BYTES_MAX,
            State::Open => self.body_bytes_max,
            State::Closed(rejection) => return Err(rejection),
        };
        let (frame, size) = match frame::decode(input, Direction::Request, body_bytes_max) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) => return Err(self.close_on_header(input, error)),
        };
        match self.read(frame) {
            Ok(incoming) => Ok(Some((incoming, size))),
            Err(error) => {
                let Frame { opcode, correlation, .. } = frame;
                let rejection = Rejection { opcode, correlation, error };
                if error.closes() {
                    return Err(self.close(rejection));
                }
                Ok(Some((Incoming::Rejected(rejection), size)))
            }
        }
    }

    /// Looks whether the frame at the front of `input` is a whole request on one identity, and
    /// gives it with its key and its size. `None` if it is anything else, or not sound that far:
    /// then [`Self::next`] says what it is.
    #[must_use]
    #[inline]
    pub fn peek<'a>(&self, input: &'a [u8]) -> Option<(Unread<'a>, ScopedKey<'a>, usize)> {
        if !self.is_open() {
            return None;
        }
        let found = frame::decode(input, Direction::Request, self.body_bytes_max).ok()??;
        let (frame, size) = found;
        Unread::of(frame).map(|(request, key)| (request, key, size))
    }

    #[inline]
    fn read<'a>(&self, frame: Frame<'a>) -> Result<Incoming<'a>, ProtocolError> {
        let Frame { opcode, correlation, body } = frame;
        let known = Opcode::from_u8(opcode);
        match self.state {
            State::Stranger if known != Some(Opcode::Hello) => {
                return Err(ProtocolError::HelloFirst);
            }
            State::Stranger => return self.read_hello(correlation, body),
            State::Open | State::Closed(_) => {}
        }
        let opcode = known.ok_or(ProtocolError::UnknownOpcode { opcode })?;
        if let Some(request) = Request::decode(opcode, body)? {
            return Ok(Incoming::Request { correlation, request });
        }
        if opcode == Opcode::Hello {
            return Err(ProtocolError::HelloAgain);
        }
        decode_cancel(body)
    }

    fn read_hello<'a>(
        &self,
        correlation: u64,
        body: &'a [u8],
    ) -> Result<Incoming<'a>, ProtocolError> {
        let mut body = Cursor::new(body);
        let (min, max) = Hello::decode_versions(&mut body).map_err(ProtocolError::Malformed)?;
        if min > VERSION_MAX || max < VERSION_MIN {
            return Err(ProtocolError::Version { min, max });
        }
        let hello = Hello::decode_rest((min, max), body)?;
        let negotiated = Negotiated {
            correlation,
            version: max.min(VERSION_MAX),
            features: hello.features & FEATURES,
            body_bytes_max: hello.body_bytes_max.min(self.body_bytes_max),
        };
        Ok(Incoming::Hello { hello, negotiated })
    }

    /// A header that cannot be trusted is still answered under its own opcode and correlation, so
    /// that the client sees which of its requests was at fault.
    fn close_on_header(&mut self, input: &[u8], error: FrameError) -> Rejection {
        let (opcode, correlation) = Header::decode(input)
            .map_or((CONNECTION, 0), |(header, _)| (header.opcode, header.correlation));
        self.close(Rejection { opcode, correlation, error: error.into() })
    }

    fn close(&mut self, rejection: Rejection) -> Rejection {
        self.state = State::Closed(rejection);
        rejection
    }

    /// Opens the connection and appends the reply to HELLO.
    pub fn accept(&mut self, negotiated: Negotiated, greeting: &Greeting, out: &mut Vec<u8>) {
        let Negotiated { correlation, version, features, body_bytes_max } = negotiated;
        self.state = State::Open;
        self.body_bytes_max = body_bytes_max;
        let welcome = Welcome {
            version,
            features,
            body_bytes_max,
            server_time_ms: greeting.server_time_ms,
            boot_epoch: greeting.boot_epoch,
            rights: greeting.rights,
            limits: greeting.limits,
        };
        ReplyEncoder::welcome(correlation, &welcome, out);
    }

    /// Appends an error as the reply to HELLO. The client is still a stranger: it may try again,
    /// unless the server closes.
    pub fn refuse(&self, negotiated: Negotiated, error: &ErrorReply<'_>, out: &mut Vec<u8>) {
        self.replies().error(Opcode::Hello.as_u8(), negotiated.correlation, error, out);
    }

    /// Encodes this connection's replies.
    #[must_use]
    #[inline]
    pub const fn replies(&self) -> ReplyEncoder {
        ReplyEncoder::new(self.body_bytes_max)
    }

    /// Whether HELLO has been accepted and nothing fatal has come since.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Bytes on the wire of the frame at the front of `input`, after [`Self::next`] asked for
    /// more: the read buffer must be able to hold that many.
    #[must_use]
    pub fn frame_size(&self, input: &[u8]) -> usize {
        frame::size_on_wire(input)
    }

    /// Names what is left when the peer has closed its side: half a frame, or nothing.
    ///
    /// # Errors
    /// [`FrameError::Half`] if `rest` has any byte.
    pub fn end_of_input(&self, rest: &[u8]) -> Result<(), FrameError> {
        if rest.is_empty() {
            return Ok(());
        }
        Err(FrameError::Half { got: rest.len(), need: frame::size_on_wire(rest) })
    }
}

fn decode_cancel(body: &[u8]) -> Result<Incoming<'_>, ProtocolError> {
    let mut body = Cursor::new(body);
    let target = body.u64("target").map_err(ProtocolError::Malformed)?;
    body.skip_options().map_err(ProtocolError::Malformed)?;
    Ok(Incoming::Cancel { target })
}
