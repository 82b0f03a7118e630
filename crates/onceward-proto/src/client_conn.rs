//! The client's side of one connection.

use alloc::vec::Vec;
use core::fmt;

use crate::error::{FrameError, Malformed};
use crate::error_reply::ErrorReply;
use crate::frame::{
    self, BODY_BYTES_MAX_CEILING, BODY_BYTES_MAX_DEFAULT, BODY_BYTES_MAX_FLOOR, Direction, Frame,
    FrameWriter,
};
use crate::hello::{Hello, VERSION_MAX, VERSION_MIN, Welcome};
use crate::opcode::Opcode;
use crate::reply::Reply;
use crate::request::Request;

/// What a client insists on.
#[derive(Clone, Copy, Debug)]
pub struct ClientConfig {
    /// Longest body, in bytes. Held within [`BODY_BYTES_MAX_FLOOR`] and
    /// [`BODY_BYTES_MAX_CEILING`].
    pub body_bytes_max: u32,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self { body_bytes_max: BODY_BYTES_MAX_DEFAULT }
    }
}

/// A request that was not encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SendError {
    /// Its body is over what the connection carries. A result is then completed with its body
    /// declined (S20).
    TooLarge {
        /// The body's size in bytes, or what it carries.
        size: usize,
        /// The most that goes.
        max: u32,
    },
    /// HELLO has not been sent.
    HelloFirst,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size, max } => {
                write!(f, "the request takes {size} bytes, this connection carries {max}")
            }
            Self::HelloFirst => f.write_str("HELLO has not been sent on this connection"),
        }
    }
}

impl core::error::Error for SendError {}

/// The server broke the protocol. Final: close the connection; what is unanswered may have
/// happened or not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClientError {
    /// A header that cannot be trusted.
    Frame(FrameError),
    /// A body that breaks its layout.
    Malformed(Malformed),
    /// A reply to nothing that is outstanding.
    Unasked {
        /// Its correlation.
        correlation: u64,
    },
    /// A reply whose opcode is not that of its request.
    Opcode {
        /// The reply's byte.
        got: u8,
        /// The request's.
        asked: Opcode,
    },
    /// The server chose a version or a frame size that was not offered.
    Negotiation,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => write!(f, "the server's frame: {error}"),
            Self::Malformed(error) => write!(f, "the server's reply: {error}"),
            Self::Unasked { correlation } => {
                write!(f, "the server answered request {correlation}, which is not outstanding")
            }
            Self::Opcode { got, asked } => {
                write!(f, "the server answered {} with opcode {got:#04x}", asked.name())
            }
            Self::Negotiation => f.write_str("the server chose what was not offered"),
        }
    }
}

impl core::error::Error for ClientError {}

/// What the server sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Received<'a> {
    /// The answer to one request.
    Reply {
        /// The request's number.
        correlation: u64,
        /// The answer.
        reply: Reply<'a>,
    },
    /// The server says why it closes the connection, in answer to no request.
    Closing(ErrorReply<'a>),
}

/// The client's side of one connection: numbers requests, encodes them, pairs replies with them.
/// No I/O, no clock.
///
/// An outstanding request holds a slot of 16 bytes until its reply comes, also when its caller has
/// gone: the reply still arrives and is to be dropped by whoever reads it. Slots are used again and
/// never given back, so a connection keeps as many as were ever outstanding at once.
#[derive(Clone, Debug)]
pub struct ClientConn {
    /// The lower half of the correlation given last. Comes round after 2^32 requests; the slot in
    /// the upper half tells outstanding ones apart all the same.
    sequence: u32,
    slots: Vec<Slot>,
    free: Vec<u32>,
    said_hello: bool,
    welcome: Option<Welcome>,
    /// The client's own until the server has answered HELLO, agreed by both from then on.
    body_bytes_max: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The request's; 0 while there is none.
    correlation: u64,
    opcode: Opcode,
}

/// Stands in the upper half of the number of a request that holds no slot: CANCEL.
const NO_SLOT: u32 = u32::MAX;

impl ClientConn {
    /// A connection on which nothing was sent.
    #[must_use]
    pub fn new(config: &ClientConfig) -> Self {
        let body_bytes_max =
            config.body_bytes_max.clamp(BODY_BYTES_MAX_FLOOR, BODY_BYTES_MAX_CEILING);
        Self {
            sequence: 0,
            slots: Vec::new(),
            free: Vec::new(),
            said_hello: false,
            welcome: None,
            body_bytes_max,
        }
    }

    /// The correlation that a request in `slot` would have.
    fn number(&self, slot: u32) -> u64 {
        (u64::from(slot) << 32) | u64::from(self.sequence.wrapping_add(1).max(1))
    }

    /// The slot that [`Self::enter`] takes next.
    fn next_slot(&self) -> u32 {
        // 2^32 requests at once are out of reach.
        self.free.last().copied().unwrap_or(self.slots.len() as u32)
    }

    fn enter(&mut self, correlation: u64, opcode: Opcode) {
        self.sequence = correlation as u32;
        let slot = Slot { correlation, opcode };
        match self.free.pop() {
            Some(free) => self.slots[free as usize] = slot,
            None => self.slots.push(slot),
        }
    }

    /// Where the request of this number stands among those outstanding: below the most that were
    /// ever outstanding at once, and nobody else's until it is answered. So whoever keeps something
    /// for each request needs no map.
    #[must_use]
    pub const fn slot(correlation: u64) -> usize {
        (correlation >> 32) as usize
    }

    fn outstanding_at(&self, correlation: u64) -> Option<Opcode> {
        let slot = self.slots.get(Self::slot(correlation))?;
        // Correlation 0 belongs to the connection, so no empty slot is found by it.
        (slot.correlation == correlation && correlation != 0).then_some(slot.opcode)
    }

    /// Appends HELLO, with this connection's frame size in place of `hello.body_bytes_max`.
    /// Gives the request's number.
    pub fn hello(&mut self, hello: &Hello<'_>, out: &mut Vec<u8>) -> u64 {
        let correlation = self.number(self.next_slot());
        let hello = Hello { body_bytes_max: self.body_bytes_max, ..*hello };
        let mut frame =
            FrameWriter::new(Direction::Request, Opcode::Hello.as_u8(), correlation, out);
        hello.encode(&mut frame);
        frame.finish();
        self.said_hello = true;
        self.enter(correlation, Opcode::Hello);
        correlation
    }

    /// Appends a request and gives its number. Requests may follow HELLO at once, without waiting
    /// for its reply; until that comes only [`BODY_BYTES_MAX_FLOOR`] bytes are sure to be taken,
    /// and a larger request is refused here.
    ///
    /// # Errors
    /// [`SendError`]; `out` is then as it was and no number is used.
    pub fn request(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Result<u64, SendError> {
        if !self.said_hello {
            return Err(SendError::HelloFirst);
        }
        let max = self.request_bytes_max();
        let correlation = self.number(self.next_slot());
        request.encode(correlation, max, out).map_err(|size| SendError::TooLarge { size, max })?;
        self.enter(correlation, request.opcode());
        Ok(correlation)
    }

    /// Longest body of a request just now, in bytes.
    #[must_use]
    pub const fn request_bytes_max(&self) -> u32 {
        match self.welcome {
            Some(_) => self.body_bytes_max,
            None => BODY_BYTES_MAX_FLOOR,
        }
    }

    /// Appends CANCEL: the wait of an earlier request ends, and that request is answered at once.
    /// CANCEL itself is not answered. Nothing is appended if `target` is not outstanding.
    pub fn cancel(&mut self, target: u64, out: &mut Vec<u8>) {
        if self.outstanding_at(target).is_none() {
            return;
        }
        let correlation = self.number(NO_SLOT);
        self.sequence = correlation as u32;
        let mut frame =
            FrameWriter::new(Direction::Request, Opcode::Cancel.as_u8(), correlation, out);
        frame.u64(target);
        frame.finish();
    }

    /// Reads one frame from the front of `input`, and its size, to advance by. `Ok(None)` means
    /// "more bytes first"; [`Self::frame_size`] says how many. What is given borrows from
    /// `input` alone.
    ///
    /// # Errors
    /// Every [`ClientError`] is final: close the connection.
    pub fn next<'a>(
        &mut self,
        input: &'a [u8],
    ) -> Result<Option<(Received<'a>, usize)>, ClientError> {
        let decoded = frame::decode(input, Direction::Reply, self.body_bytes_max);
        let Some((frame, size)) = decoded.map_err(ClientError::Frame)? else {
            return Ok(None);
        };
        Ok(Some((self.read(frame)?, size)))
    }

    fn read<'a>(&mut self, frame: Frame<'a>) -> Result<Received<'a>, ClientError> {
        let Frame { opcode: got, correlation, body } = frame;
        // Errors have one layout, whatever was asked, so any opcode serves to read them.
        let of_connection = correlation == 0 || got == Opcode::Cancel.as_u8();
        if of_connection {
            return match Reply::decode(Opcode::Cancel, body).map_err(ClientError::Malformed)? {
                Reply::Error(error) => Ok(Received::Closing(error)),
                _ => Err(ClientError::Unasked { correlation }),
            };
        }
        let Some(asked) = self.outstanding_at(correlation) else {
            return Err(ClientError::Unasked { correlation });
        };
        if got != asked.as_u8() {
            return Err(ClientError::Opcode { got, asked });
        }
        let reply = Reply::decode(asked, body).map_err(ClientError::Malformed)?;
        let slot = Self::slot(correlation);
        self.slots[slot].correlation = 0;
        self.free.push(slot as u32);
        if let Reply::Welcome(welcome) = &reply {
            self.open(welcome)?;
        }
        Ok(Received::Reply { correlation, reply })
    }

    fn open(&mut self, welcome: &Welcome) -> Result<(), ClientError> {
        let offered = (VERSION_MIN..=VERSION_MAX).contains(&welcome.version)
            && (BODY_BYTES_MAX_FLOOR..=self.body_bytes_max).contains(&welcome.body_bytes_max);
        if !offered {
            return Err(ClientError::Negotiation);
        }
        self.body_bytes_max = welcome.body_bytes_max;
        self.welcome = Some(*welcome);
        Ok(())
    }

    /// What the server said of itself; `None` until it accepted HELLO.
    #[must_use]
    pub const fn welcome(&self) -> Option<&Welcome> {
        self.welcome.as_ref()
    }

    /// How many requests have no reply yet.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Bytes on the wire of the frame at the front of `input`, after [`Self::next`] asked for
    /// more: the read buffer must be able to hold that many.
    #[must_use]
    pub fn frame_size(&self, input: &[u8]) -> usize {
        frame::size_on_wire(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::HEADER_SIZE;
    use onceward_core::Namespace;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec;

    fn ping(conn: &mut ClientConn) -> u64 {
        conn.request(&Request::Ping { echo: 0 }, &mut Vec::new()).unwrap()
    }

    fn pong(conn: &mut ClientConn, correlation: u64) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        crate::ReplyEncoder::new(BODY_BYTES_MAX_FLOOR).pong(correlation, 0, &mut bytes);
        conn.next(&bytes).map(|received| assert!(received.is_some()))
    }

    proptest! {
        /// Also where the sequence comes round.
        #[test]
        fn outstanding_requests_have_numbers_and_slots_of_their_own(
            before in prop_oneof![Just(0), u32::MAX - 40..=u32::MAX],
            steps in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..120),
        ) {
            let mut conn = ClientConn::new(&ClientConfig::default());
            conn.hello(&Hello::new(Namespace::DEFAULT, b""), &mut Vec::new());
            conn.sequence = before;
            let (mut asked, mut most) = (vec![1], 1);
            for (asks, which) in steps {
                if asks || asked.is_empty() {
                    asked.push(ping(&mut conn));
                } else if asked.len() > 1 {
                    let answered = asked.remove(1 + which.index(asked.len() - 1));
                    prop_assert_eq!(pong(&mut conn, answered), Ok(()));
                    let again = ClientError::Unasked { correlation: answered };
                    prop_assert_eq!(pong(&mut conn, answered), Err(again));
                }
                most = most.max(asked.len());
                prop_assert_eq!(conn.outstanding(), asked.len());
                let numbers: BTreeSet<_> = asked.iter().collect();
                let slots: BTreeSet<_> = asked.iter().map(|asked| ClientConn::slot(*asked)).collect();
                prop_assert_eq!((numbers.len(), slots.len()), (asked.len(), asked.len()));
                prop_assert!(!numbers.contains(&0) && slots.iter().all(|slot| *slot < most));
            }
        }
    }

    #[test]
    fn a_cancel_has_a_number_of_its_own_and_no_slot() {
        let mut conn = ClientConn::new(&ClientConfig::default());
        conn.hello(&Hello::new(Namespace::DEFAULT, b""), &mut Vec::new());
        let target = ping(&mut conn);
        let mut out = Vec::new();
        conn.cancel(target, &mut out);
        let decoded = frame::decode(&out, Direction::Request, BODY_BYTES_MAX_FLOOR);
        let (frame, size) = decoded.unwrap().unwrap();
        assert_eq!((size, frame.body), (out.len(), &target.to_le_bytes()[..]));
        assert_eq!((size, conn.outstanding()), (HEADER_SIZE + 8, 2));
        let (next, correlation) = (ping(&mut conn), frame.correlation);
        assert!(![0, 1, target, next].contains(&correlation));
        assert_eq!(pong(&mut conn, correlation), Err(ClientError::Unasked { correlation }));
        out.clear();
        conn.cancel(correlation, &mut out);
        conn.cancel(target ^ 1, &mut out);
        assert!(out.is_empty(), "neither is outstanding");
    }
}
