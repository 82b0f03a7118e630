//! A request of which only the key has been read: enough to find its entry before its turn comes.

use onceward_core::ScopedKey;

use crate::cursor::Cursor;
use crate::error::{DecodeError, Malformed};
use crate::frame::Frame;
use crate::opcode::Opcode;
use crate::request::{Request, decode_begin, decode_complete};

/// A whole frame with a request on one identity. What else it says is read by
/// [`Unread::decode`], when it is acted on: so a batch of requests is small, and each is decoded
/// where it is used.
#[derive(Clone, Copy)]
pub struct Unread<'a> {
    correlation: u64,
    opcode: Opcode,
    body: &'a [u8],
}

impl core::fmt::Debug for Unread<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { correlation, opcode, body } = self; // S16: no body in any log.
        write!(f, "Unread({opcode:?}, correlation {correlation}, {} bytes)", body.len())
    }
}

impl<'a> Unread<'a> {
    /// `None` if the frame is of another kind, or no key is where its lengths say.
    #[inline]
    pub(crate) fn of(frame: Frame<'a>) -> Option<(Self, ScopedKey<'a>)> {
        let Frame { opcode, correlation, body } = frame;
        let opcode = Opcode::from_u8(opcode)?;
        let key = peek_key(opcode, body)?;
        Some((Self { correlation, opcode, body }, key))
    }

    /// Ties the reply to it.
    #[must_use]
    #[inline]
    pub const fn correlation(&self) -> u64 {
        self.correlation
    }

    /// Of its frame.
    #[must_use]
    #[inline]
    pub const fn opcode(&self) -> Opcode {
        self.opcode
    }

    /// What is asked.
    ///
    /// # Errors
    /// The first fault found; [`ServerConn::next`](crate::ServerConn::next) on the same frame says
    /// what comes of it.
    #[inline(always)]
    pub fn decode(&self) -> Result<Request<'a>, DecodeError> {
        // The frequent ones inlined, so that they are not moved before they are used.
        match self.opcode {
            Opcode::Begin => decode_begin(Cursor::new(self.body)),
            Opcode::Complete => decode_complete(Cursor::new(self.body)),
            opcode => {
                let request = Request::decode(opcode, self.body)?;
                request.ok_or(Malformed::Value { field: "opcode" }.into())
            }
        }
    }
}

/// The scope and key of a request on one identity that servers answer in batches, without a look
/// at the rest: whatever is wrong there is found when it is decoded.
#[inline]
fn peek_key(opcode: Opcode, body: &[u8]) -> Option<ScopedKey<'_>> {
    /// Scope and key lengths end, or nearly end, the fixed fields.
    const SIZES: usize = 4;
    let (sizes_at, bytes_at) = match opcode {
        Opcode::Begin => {
            let digest_size = *body.get(42)?;
            (43, 43 + SIZES + usize::from(digest_size))
        }
        Opcode::Complete => (27, 27 + SIZES + 8), // Metadata and body lengths lie between.
        Opcode::Abandon => (25, 25 + SIZES),
        Opcode::Renew => (32, 32 + SIZES),
        Opcode::Get => (8, 8 + SIZES),
        _ => return None,
    };
    let [s0, s1, k0, k1] = *body.get(sizes_at..)?.first_chunk::<SIZES>()?;
    let (scope_size, key_size) = (u16::from_le_bytes([s0, s1]), u16::from_le_bytes([k0, k1]));
    let (scope, rest) = body.get(bytes_at..)?.split_at_checked(scope_size.into())?;
    ScopedKey::new(scope, rest.get(..key_size.into())?).ok()
}
