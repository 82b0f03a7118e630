//! Writes replies into the caller's send buffer.

use alloc::format;
use alloc::vec::Vec;

use onceward_core::{
    AbandonOutcome, BeginOutcome, CheckpointOutcome, CompleteOutcome, ForgetOutcome, GetOutcome,
    ListPage, Millis, RenewOutcome, ResolveOutcome, Stats,
};

use crate::code::OutcomeCode;
use crate::error_reply::ErrorReply;
use crate::field::result_bytes;
use crate::frame::{CONNECTION, Direction, FrameWriter};
use crate::hello::Welcome;
use crate::opcode::Opcode;
use crate::operator::{encode_page, encode_stats};
use crate::{result_reply, token_reply};

/// Encodes replies for one connection. Small and `Copy`, so that a store's closure can take it
/// along and write an outcome that borrows from the store straight into the send buffer: one
/// copy, no buffer in between.
///
/// Every method appends exactly one frame to `out`. A reply that would be over the agreed
/// maximum becomes an error that says so.
#[derive(Clone, Copy, Debug)]
pub struct ReplyEncoder {
    body_bytes_max: u32,
}

impl ReplyEncoder {
    pub(crate) const fn new(body_bytes_max: u32) -> Self {
        Self { body_bytes_max }
    }

    fn write(
        opcode: Opcode,
        correlation: u64,
        out: &mut Vec<u8>,
        encode: impl FnOnce(&mut FrameWriter<'_>),
    ) {
        let mut frame = FrameWriter::new(Direction::Reply, opcode.as_u8(), correlation, out);
        encode(&mut frame);
        frame.finish();
    }

    /// As [`Self::write`] for what may be large. `carried` is known before anything is copied.
    fn write_bounded(
        self,
        opcode: Opcode,
        correlation: u64,
        carried: usize,
        out: &mut Vec<u8>,
        encode: impl FnOnce(&mut FrameWriter<'_>),
    ) -> Result<(), usize> {
        if carried > self.body_bytes_max as usize {
            return Err(carried);
        }
        let mut frame = FrameWriter::new(Direction::Reply, opcode.as_u8(), correlation, out);
        encode(&mut frame);
        frame.finish_within(self.body_bytes_max)
    }

    /// Completed, but this connection cannot carry the result: not to be run again (S23).
    fn too_large(self, opcode: Opcode, correlation: u64, size: usize, out: &mut Vec<u8>) {
        let max = self.body_bytes_max;
        let message = format!(
            "the result takes {size} bytes, this connection carries {max}: the work is done, ask with a larger maximum frame"
        );
        self.error(opcode.as_u8(), correlation, &ErrorReply::result_unavailable(message), out);
    }

    pub(crate) fn welcome(correlation: u64, welcome: &Welcome, out: &mut Vec<u8>) {
        Self::write(Opcode::Hello, correlation, out, |frame| welcome.encode(frame));
    }

    /// Answers PING with the request's number.
    pub fn pong(self, correlation: u64, echo: u64, out: &mut Vec<u8>) {
        Self::write(Opcode::Ping, correlation, out, |frame| {
            frame.u8(OutcomeCode::Ok.as_u8()).u64(echo);
        });
    }

    /// Answers BEGIN. A result over the agreed maximum becomes ResultUnavailable.
    pub fn begin<B: AsRef<[u8]>>(
        self,
        correlation: u64,
        outcome: &BeginOutcome<B>,
        out: &mut Vec<u8>,
    ) {
        let carried = match outcome {
            BeginOutcome::Replay(replay) => result_bytes(&replay.result),
            _ => 0, // A checkpoint is at most 64 KiB, which every frame holds.
        };
        let encode = |frame: &mut FrameWriter<'_>| result_reply::encode_begin(outcome, frame);
        if let Err(size) = self.write_bounded(Opcode::Begin, correlation, carried, out, encode) {
            self.too_large(Opcode::Begin, correlation, size, out);
        }
    }

    /// As [`Self::begin`], but leaves the body of a replay out: the frame's length counts it, and it
    /// is to be sent between what is before and after the position in `out` that is returned. So a
    /// large body can be written from where it lies. `None`: there is no body, or it is not to be
    /// sent.
    #[must_use = "the body is still to be sent"]
    pub fn begin_apart<B: AsRef<[u8]>>(
        self,
        correlation: u64,
        outcome: &BeginOutcome<B>,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let BeginOutcome::Replay(replay) = outcome else {
            self.begin(correlation, outcome, out);
            return None;
        };
        let carried = result_bytes(&replay.result);
        let mut position = None;
        let encode = |frame: &mut FrameWriter<'_>| {
            frame.leave_body_out();
            result_reply::encode_begin(outcome, frame);
            position = frame.body_position();
        };
        if let Err(size) = self.write_bounded(Opcode::Begin, correlation, carried, out, encode) {
            self.too_large(Opcode::Begin, correlation, size, out);
            return None;
        }
        position
    }

    /// Answers GET. A result over the agreed maximum becomes ResultUnavailable.
    pub fn get<B: AsRef<[u8]>>(self, correlation: u64, outcome: &GetOutcome<B>, out: &mut Vec<u8>) {
        let carried = match outcome {
            GetOutcome::Completed(completed) => result_bytes(&completed.result),
            _ => 0,
        };
        let encode = |frame: &mut FrameWriter<'_>| result_reply::encode_get(outcome, frame);
        if let Err(size) = self.write_bounded(Opcode::Get, correlation, carried, out, encode) {
            self.too_large(Opcode::Get, correlation, size, out);
        }
    }

    /// Answers COMPLETE.
    pub fn complete(self, correlation: u64, outcome: CompleteOutcome, out: &mut Vec<u8>) {
        let encode = |frame: &mut FrameWriter<'_>| token_reply::encode_complete(outcome, frame);
        Self::write(Opcode::Complete, correlation, out, encode);
    }

    /// Answers ABANDON.
    pub fn abandon(self, correlation: u64, outcome: AbandonOutcome, out: &mut Vec<u8>) {
        let encode = |frame: &mut FrameWriter<'_>| token_reply::encode_abandon(outcome, frame);
        Self::write(Opcode::Abandon, correlation, out, encode);
    }

    /// Answers RENEW.
    pub fn renew(self, correlation: u64, outcome: RenewOutcome, out: &mut Vec<u8>) {
        let encode = |frame: &mut FrameWriter<'_>| token_reply::encode_renew(outcome, frame);
        Self::write(Opcode::Renew, correlation, out, encode);
    }

    /// Answers CHECKPOINT.
    pub fn checkpoint(self, correlation: u64, outcome: CheckpointOutcome, out: &mut Vec<u8>) {
        let encode = |frame: &mut FrameWriter<'_>| token_reply::encode_checkpoint(outcome, frame);
        Self::write(Opcode::Checkpoint, correlation, out, encode);
    }

    /// Answers RESOLVE.
    pub fn resolve(self, correlation: u64, outcome: ResolveOutcome, out: &mut Vec<u8>) {
        let encode = |frame: &mut FrameWriter<'_>| token_reply::encode_resolve(outcome, frame);
        Self::write(Opcode::Resolve, correlation, out, encode);
    }

    /// Answers FORGET.
    pub fn forget(self, correlation: u64, outcome: ForgetOutcome, out: &mut Vec<u8>) {
        let encode = |frame: &mut FrameWriter<'_>| token_reply::encode_forget(outcome, frame);
        Self::write(Opcode::Forget, correlation, out, encode);
    }

    /// Answers LIST. A page over the agreed maximum becomes bad input: ask for fewer entries.
    pub fn list(self, correlation: u64, page: &ListPage, out: &mut Vec<u8>) {
        let encode = |frame: &mut FrameWriter<'_>| encode_page(page, frame);
        if let Err(size) = self.write_bounded(Opcode::List, correlation, 0, out, encode) {
            let max = self.body_bytes_max;
            let message = format!(
                "the page takes {size} bytes, this connection carries {max}: ask for fewer entries"
            );
            let error = ErrorReply::bad_input("page", message);
            self.error(Opcode::List.as_u8(), correlation, &error, out);
        }
    }

    /// Answers STATS.
    pub fn stats(self, correlation: u64, stats: &Stats, out: &mut Vec<u8>) {
        Self::write(Opcode::Stats, correlation, out, |frame| encode_stats(stats, frame));
    }

    /// Answers any operation on an identity with a tombstone (S23, reserved).
    pub fn expired(self, opcode: Opcode, correlation: u64, since: Millis, out: &mut Vec<u8>) {
        Self::write(opcode, correlation, out, |frame| {
            frame.u8(OutcomeCode::Expired.as_u8()).u64(since.get());
        });
    }

    /// Answers any request with an error. `opcode` is the request's byte, known or not.
    pub fn error(self, opcode: u8, correlation: u64, error: &ErrorReply<'_>, out: &mut Vec<u8>) {
        error.encode(opcode, correlation, out);
    }

    /// Says why the connection closes, in answer to no request. Nothing may follow it.
    pub fn closing(self, error: &ErrorReply<'_>, out: &mut Vec<u8>) {
        error.encode(CONNECTION, 0, out);
    }
}
