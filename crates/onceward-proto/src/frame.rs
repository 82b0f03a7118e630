//! Frames: a header of 16 bytes, little-endian, and a body.
//!
//! ```text
//!  0        4      5      6         8                16
//!  | length | opcode | flags | reserved | correlation | body (length bytes) …
//! ```

use alloc::vec::Vec;

use onceward_core::limits::FRAME_BYTES_BEYOND_BODY;

use crate::error::FrameError;

pub use crate::opcode::CONNECTION;

/// Bytes of a header.
pub const HEADER_SIZE: usize = 16;
/// Most bytes of a body unless configured: the largest kept result and what travels with it.
pub const BODY_BYTES_MAX_DEFAULT: u32 = 1024 * 1024 + FRAME_BYTES_BEYOND_BODY as u32;
/// The least that either side may insist on: a checkpoint, or metadata, must always fit.
pub const BODY_BYTES_MAX_FLOOR: u32 = 128 * 1024;
/// The most that either side may insist on.
pub const BODY_BYTES_MAX_CEILING: u32 = 16 * 1024 * 1024 + FRAME_BYTES_BEYOND_BODY as u32;
/// Most bytes of a body before HELLO is accepted, so that a stranger cannot make a server hold
/// more; over: an error, then the connection closes.
pub const HELLO_BODY_BYTES_MAX: u32 = 8 * 1024;

const FLAG_REPLY: u8 = 0b0000_0001;

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From client to server.
    Request,
    /// From server to client.
    Reply,
}

/// A whole frame, its body borrowed from the input.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Frame<'a> {
    /// The opcode's byte, known or not.
    pub opcode: u8,
    /// The number that ties a reply to its request.
    pub correlation: u64,
    /// At least one byte.
    pub body: &'a [u8],
}

impl core::fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { opcode, correlation, body } = self; // S16: no body in any log.
        write!(f, "Frame({opcode:#04x}, correlation {correlation}, {} bytes)", body.len())
    }
}

/// What a header says, whether or not it may be trusted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) length: u32,
    pub(crate) opcode: u8,
    pub(crate) flags: u8,
    pub(crate) reserved: u16,
    pub(crate) correlation: u64,
}

impl Header {
    pub(crate) const fn encode(&self) -> [u8; HEADER_SIZE] {
        let [l0, l1, l2, l3] = self.length.to_le_bytes();
        let [r0, r1] = self.reserved.to_le_bytes();
        let [c0, c1, c2, c3, c4, c5, c6, c7] = self.correlation.to_le_bytes();
        [l0, l1, l2, l3, self.opcode, self.flags, r0, r1, c0, c1, c2, c3, c4, c5, c6, c7]
    }

    /// Also gives what follows the header; `None` while it is not whole.
    #[inline]
    pub(crate) fn decode(input: &[u8]) -> Option<(Self, &[u8])> {
        let (header, rest) = input.split_first_chunk::<HEADER_SIZE>()?;
        let [l0, l1, l2, l3, opcode, flags, r0, r1, c0, c1, c2, c3, c4, c5, c6, c7] = *header;
        let header = Self {
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            opcode,
            flags,
            reserved: u16::from_le_bytes([r0, r1]),
            correlation: u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
        };
        Some((header, rest))
    }

    #[inline]
    pub(crate) fn check(
        &self,
        direction: Direction,
        body_bytes_max: u32,
    ) -> Result<(), FrameError> {
        let Self { length, flags, reserved, correlation, .. } = *self;
        if flags & !FLAG_REPLY != 0 || reserved != 0 {
            return Err(FrameError::Reserved { flags, reserved });
        }
        if (flags == FLAG_REPLY) != (direction == Direction::Reply) {
            return Err(FrameError::Direction);
        }
        if length == 0 {
            return Err(FrameError::Empty);
        }
        if length > body_bytes_max {
            return Err(FrameError::TooLarge { got: length, max: body_bytes_max });
        }
        if correlation == 0 && direction == Direction::Request {
            return Err(FrameError::Correlation);
        }
        Ok(())
    }
}

/// Reads one frame from the front of `input`; `Ok(None)` means "more bytes first".
///
/// Also returns the frame's size on the wire in bytes, to advance by. The header is checked as
/// soon as it is whole, before its body is waited for. No copy, no allocation.
///
/// # Errors
/// Every [`FrameError`] is final: answer with it, then close the connection.
#[inline]
pub fn decode(
    input: &[u8],
    direction: Direction,
    body_bytes_max: u32,
) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some((header, rest)) = Header::decode(input) else {
        return Ok(None);
    };
    header.check(direction, body_bytes_max)?;
    let body_size = header.length as usize;
    let Some(body) = rest.get(..body_size) else {
        return Ok(None);
    };
    let Header { opcode, correlation, .. } = header;
    Ok(Some((Frame { opcode, correlation, body }, HEADER_SIZE + body_size)))
}

/// Bytes that the frame at the front of `input` has on the wire, for sizing a read buffer; the
/// size of a header while that is not whole. Meaningful after [`decode`] said "more bytes first",
/// for only then is the length within its bound.
#[must_use]
pub fn size_on_wire(input: &[u8]) -> usize {
    match Header::decode(input) {
        Some((header, _)) => HEADER_SIZE.saturating_add(header.length as usize),
        None => HEADER_SIZE,
    }
}

/// Appends one frame; its length is filled in at the end.
pub(crate) struct FrameWriter<'o> {
    out: &'o mut Vec<u8>,
    /// Where the header starts in `out`.
    start: usize,
    /// A result's body is left out, to be sent from where it lies.
    apart: bool,
    /// Where in `out` it belongs, and its size.
    left_out: Option<(usize, usize)>,
}

impl<'o> FrameWriter<'o> {
    #[inline]
    pub(crate) fn new(
        direction: Direction,
        opcode: u8,
        correlation: u64,
        out: &'o mut Vec<u8>,
    ) -> Self {
        let start = out.len();
        let flags = if direction == Direction::Reply { FLAG_REPLY } else { 0 };
        let header = Header { length: 0, opcode, flags, reserved: 0, correlation };
        out.extend_from_slice(&header.encode());
        Self { out, start, apart: false, left_out: None }
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.out.push(value);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// A length field. Callers bound `size` by the frame's maximum first.
    pub(crate) fn size16(&mut self, size: usize) -> &mut Self {
        debug_assert!(size <= usize::from(u16::MAX));
        self.u16(size as u16)
    }

    /// A length field. Callers bound `size` by the frame's maximum first.
    pub(crate) fn size32(&mut self, size: usize) -> &mut Self {
        debug_assert!(u32::try_from(size).is_ok());
        self.u32(size as u32)
    }

    /// Leaves the body of the frame's result out; it still counts.
    pub(crate) const fn leave_body_out(&mut self) {
        self.apart = true;
    }

    /// The body of a result.
    pub(crate) fn body(&mut self, body: &[u8]) -> &mut Self {
        if self.apart {
            self.left_out = Some((self.out.len(), body.len()));
            return self;
        }
        self.bytes(body)
    }

    /// Where in `out` the body belongs that was left out.
    pub(crate) fn body_position(&self) -> Option<usize> {
        self.left_out.map(|(at, _)| at)
    }

    pub(crate) fn option(&mut self, tag: u8, value: &[u8]) -> &mut Self {
        self.u8(tag).size32(value.len()).bytes(value)
    }

    pub(crate) fn option_u64(&mut self, tag: u8, value: u64) -> &mut Self {
        self.option(tag, &value.to_le_bytes())
    }

    fn body_size(&self) -> usize {
        let left_out = self.left_out.map_or(0, |(_, size)| size);
        self.out.len() - self.start - HEADER_SIZE + left_out
    }

    #[inline]
    pub(crate) fn finish(self) {
        let length = (self.body_size() as u32).to_le_bytes();
        self.out[self.start..self.start + length.len()].copy_from_slice(&length);
    }

    /// Takes the frame back out if its body is over the maximum, and says how large it was.
    pub(crate) fn finish_within(self, body_bytes_max: u32) -> Result<(), usize> {
        let size = self.body_size();
        if size > body_bytes_max as usize {
            self.out.truncate(self.start);
            return Err(size);
        }
        self.finish();
        Ok(())
    }
}
