//! Every reply. Its first byte is the code; opcode and code together name what follows.

use onceward_core::{
    AbandonOutcome, BeginOutcome, CheckpointOutcome, CompleteOutcome, ForgetOutcome, GetOutcome,
    ListPage, Millis, RenewOutcome, ResolveOutcome,
};

use crate::code::{ErrorCode, OutcomeCode};
use crate::cursor::Cursor;
use crate::error::Malformed;
use crate::error_reply::ErrorReply;
use crate::field::decode_millis;
use crate::frame::FrameWriter;
use crate::hello::Welcome;
use crate::opcode::Opcode;
use crate::operator::{StatsRows, decode_page};
use crate::result_reply::{decode_begin, decode_get};
use crate::token_reply::{
    decode_abandon, decode_checkpoint, decode_complete, decode_forget, decode_renew, decode_resolve,
};

/// A reply, borrowed from the frame that brought it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply<'a> {
    /// HELLO: the connection is open.
    Welcome(Welcome),
    /// PING: the request's number.
    Pong {
        /// As sent.
        echo: u64,
    },
    /// BEGIN.
    Begin(BeginOutcome<&'a [u8]>),
    /// COMPLETE.
    Complete(CompleteOutcome),
    /// ABANDON.
    Abandon(AbandonOutcome),
    /// RENEW.
    Renew(RenewOutcome),
    /// CHECKPOINT.
    Checkpoint(CheckpointOutcome),
    /// GET.
    Get(GetOutcome<&'a [u8]>),
    /// RESOLVE.
    Resolve(ResolveOutcome),
    /// FORGET.
    Forget(ForgetOutcome),
    /// LIST.
    List(ListPage),
    /// STATS.
    Stats(StatsRows<'a>),
    /// A tombstone (S23, reserved) in answer to something else than BEGIN and GET, which have an
    /// outcome of that name.
    Expired {
        /// How long ago the identity expired.
        since: Millis,
    },
    /// No outcome.
    Error(ErrorReply<'a>),
    /// An outcome of a later version. Nothing may be concluded: treat it as Unavailable.
    Unknown {
        /// The code byte.
        code: u8,
    },
}

impl<'a> Reply<'a> {
    /// Reads the body of the reply to a request of `opcode`.
    ///
    /// # Errors
    /// The first fault found, front to back. Final: close the connection.
    pub fn decode(opcode: Opcode, body: &'a [u8]) -> Result<Self, Malformed> {
        let mut body = Cursor::new(body);
        let byte = body.u8("code")?;
        if let Some(code) = ErrorCode::from_u8(byte) {
            return ErrorReply::decode(code, body).map(Self::Error);
        }
        let unknown = Self::Unknown { code: byte };
        let Some(code) = OutcomeCode::from_u8(byte) else {
            return Ok(unknown);
        };
        let reply = match opcode {
            Opcode::Hello if code == OutcomeCode::Ok => Some(Self::Welcome(Welcome::decode(body)?)),
            Opcode::Ping if code == OutcomeCode::Ok => Some(Self::decode_pong(body)?),
            Opcode::List if code == OutcomeCode::Ok => Some(Self::List(decode_page(body)?)),
            Opcode::Stats if code == OutcomeCode::Ok => Some(Self::Stats(StatsRows::decode(body)?)),
            Opcode::Hello | Opcode::Ping | Opcode::List | Opcode::Stats | Opcode::Cancel => None,
            Opcode::Begin => decode_begin(code, body)?.map(Self::Begin),
            Opcode::Get => decode_get(code, body)?.map(Self::Get),
            _ if code == OutcomeCode::Expired => Some(Self::Expired { since: decode_since(body)? }),
            Opcode::Complete => decode_complete(code, body)?.map(Self::Complete),
            Opcode::Abandon => decode_abandon(code, body)?.map(Self::Abandon),
            Opcode::Renew => decode_renew(code, body)?.map(Self::Renew),
            Opcode::Checkpoint => decode_checkpoint(code, body)?.map(Self::Checkpoint),
            Opcode::Resolve => decode_resolve(code, body)?.map(Self::Resolve),
            Opcode::Forget => decode_forget(code, body)?.map(Self::Forget),
        };
        Ok(reply.unwrap_or(unknown))
    }

    fn decode_pong(mut body: Cursor<'a>) -> Result<Self, Malformed> {
        let echo = body.u64("echo")?;
        body.skip_options()?;
        Ok(Self::Pong { echo })
    }
}

/// An outcome that is its code and nothing else, in this version.
pub(crate) fn bare<T>(outcome: T, body: Cursor<'_>) -> Result<Option<T>, Malformed> {
    body.skip_options()?;
    Ok(Some(outcome))
}

pub(crate) fn encode_code(code: OutcomeCode, frame: &mut FrameWriter<'_>) {
    frame.u8(code.as_u8());
}

pub(crate) fn decode_since(mut body: Cursor<'_>) -> Result<Millis, Malformed> {
    let since = decode_millis(&mut body, "since")?;
    body.skip_options()?;
    Ok(since)
}
