//! Tests of the whole crate; small ones stand beside what they test.

mod document;
mod hostile;
mod meaning;
mod random;
mod round_trip;
mod samples;
mod transcript;

use alloc::vec::Vec;

use onceward_core::{Millis, Namespace};

use crate::cursor::Cursor;
use crate::error::{DecodeError, Malformed};
use crate::frame::{self, BODY_BYTES_MAX_CEILING, Direction, Frame, FrameWriter};
use crate::operator::encode_rows;
use crate::reply_encoder::ReplyEncoder;
use crate::{Hello, Opcode, Reply, Request};

/// Every kind of request frame, those of the connection included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Message<'a> {
    Hello(Hello<'a>),
    Cancel(u64),
    Operation(Request<'a>),
}

impl<'a> Message<'a> {
    fn encode(&self, correlation: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let mut write = |opcode: Opcode, encode: &dyn Fn(&mut FrameWriter<'_>)| {
            let mut frame =
                FrameWriter::new(Direction::Request, opcode.as_u8(), correlation, &mut out);
            encode(&mut frame);
            frame.finish();
        };
        match self {
            Self::Hello(hello) => write(Opcode::Hello, &|frame| hello.encode(frame)),
            Self::Cancel(target) => write(Opcode::Cancel, &|frame| {
                frame.u64(*target);
            }),
            Self::Operation(request) => {
                request.encode(correlation, BODY_BYTES_MAX_CEILING, &mut out).unwrap();
            }
        }
        out
    }

    fn decode(opcode: Opcode, body: &'a [u8]) -> Result<Self, DecodeError> {
        if let Some(request) = Request::decode(opcode, body)? {
            return Ok(Self::Operation(request));
        }
        let mut body = Cursor::new(body);
        if opcode == Opcode::Cancel {
            let target = body.u64("target")?;
            body.skip_options()?;
            return Ok(Self::Cancel(target));
        }
        let versions = Hello::decode_versions(&mut body)?;
        Ok(Self::Hello(Hello::decode_rest(versions, body)?))
    }
}

fn encode_reply(opcode: Opcode, reply: &Reply<'_>, correlation: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let replies = ReplyEncoder::new(BODY_BYTES_MAX_CEILING);
    match reply {
        Reply::Welcome(welcome) => ReplyEncoder::welcome(correlation, welcome, &mut out),
        Reply::Pong { echo } => replies.pong(correlation, *echo, &mut out),
        Reply::Begin(outcome) => replies.begin(correlation, outcome, &mut out),
        Reply::Complete(outcome) => replies.complete(correlation, *outcome, &mut out),
        Reply::Abandon(outcome) => replies.abandon(correlation, *outcome, &mut out),
        Reply::Renew(outcome) => replies.renew(correlation, *outcome, &mut out),
        Reply::Checkpoint(outcome) => replies.checkpoint(correlation, *outcome, &mut out),
        Reply::Get(outcome) => replies.get(correlation, outcome, &mut out),
        Reply::Resolve(outcome) => replies.resolve(correlation, *outcome, &mut out),
        Reply::Forget(outcome) => replies.forget(correlation, *outcome, &mut out),
        Reply::List(page) => replies.list(correlation, page, &mut out),
        Reply::Stats(rows) => {
            let rows: Vec<_> = rows.iter().collect();
            let mut frame =
                FrameWriter::new(Direction::Reply, opcode.as_u8(), correlation, &mut out);
            encode_rows(rows.into_iter(), &mut frame);
            frame.finish();
        }
        Reply::Expired { since } => replies.expired(opcode, correlation, *since, &mut out),
        Reply::Error(error) => replies.error(opcode.as_u8(), correlation, error, &mut out),
        Reply::Unknown { code } => {
            let mut frame =
                FrameWriter::new(Direction::Reply, opcode.as_u8(), correlation, &mut out);
            frame.u8(*code);
            frame.finish();
        }
    }
    out
}

/// The one frame that `bytes` are.
fn only_frame(bytes: &[u8], direction: Direction) -> Frame<'_> {
    let (frame, size) = frame::decode(bytes, direction, BODY_BYTES_MAX_CEILING).unwrap().unwrap();
    assert_eq!(size, bytes.len(), "nothing follows the frame");
    frame
}

/// The frame with `more` after its body, its length mended.
fn extended(frame: &[u8], more: &[u8]) -> Vec<u8> {
    let mut longer = frame.to_vec();
    longer.extend_from_slice(more);
    let length = (longer.len() - frame::HEADER_SIZE) as u32;
    longer[..4].copy_from_slice(&length.to_le_bytes());
    longer
}

const fn millis(count: u64) -> Millis {
    Millis::new(count)
}

const ORDERS: &str = "orders";

fn hello(namespace: &str) -> Hello<'_> {
    Hello::new(Namespace::new(namespace).unwrap(), b"credential")
}

fn decode_reply(opcode: Opcode, body: &[u8]) -> Result<Reply<'_>, Malformed> {
    Reply::decode(opcode, body)
}
