//! Every reply. Its first byte is the code; opcode and code together name what follows.

use onceward_core::{
    AbandonOutcome, Acquired, BeginOutcome, CheckpointOutcome, Checkpointed, CompleteOutcome,
    Completed, Fence, ForgetOutcome, GetOutcome, ListPage, Millis, RenewOutcome, Replay,
    ResolveOutcome, ResultRef, StoredResult, Token,
};

use crate::code::{ErrorCode, OutcomeCode};
use crate::cursor::Cursor;
use crate::error::Malformed;
use crate::error_reply::ErrorReply;
use crate::field::{
    ResultHead, ResultSizes, decode_kept, decode_millis, decode_refusal, decode_token, encode_kept,
    encode_refusal, encode_result_bytes, encode_result_head, encode_result_sizes, encode_token,
};
use crate::frame::FrameWriter;
use crate::hello::Welcome;
use crate::opcode::Opcode;
use crate::operator::{StatsRows, decode_page};

/// BEGIN acquired: what the predecessor left.
const TAG_CHECKPOINT: u8 = 1;
/// BEGIN and CHECKPOINT refused: when room is due.
const TAG_RETRY_AFTER: u8 = 1;
/// GET: the fence, for holders of the operate right.
const TAG_FENCE: u8 = 1;

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
fn bare<T>(outcome: T, body: Cursor<'_>) -> Result<Option<T>, Malformed> {
    body.skip_options()?;
    Ok(Some(outcome))
}

fn code(code: OutcomeCode, frame: &mut FrameWriter<'_>) {
    frame.u8(code.as_u8());
}

pub(crate) fn encode_begin<B: AsRef<[u8]>>(outcome: &BeginOutcome<B>, frame: &mut FrameWriter<'_>) {
    match outcome {
        BeginOutcome::Acquired(acquired) => {
            code(OutcomeCode::Acquired, frame);
            encode_token(&acquired.token, frame);
            frame
                .u32(acquired.attempt_number)
                .u64(acquired.lease_left.get())
                .u64(acquired.retention_left.get());
            if let Some(held) = &acquired.checkpoint {
                let bytes = held.bytes.as_ref();
                frame.u8(TAG_CHECKPOINT).size32(4 + bytes.len()).u32(held.ordinal).bytes(bytes);
            }
        }
        BeginOutcome::Replay(replay) => {
            code(OutcomeCode::Replay, frame);
            let Replay { result, age, attempt_number, retention_left } = replay;
            encode_stored(result, *age, *attempt_number, *retention_left, frame);
        }
        BeginOutcome::InProgress { retry_after, age, attempt_number } => {
            code(OutcomeCode::InProgress, frame);
            frame.u64(retry_after.get()).u64(age.get()).u32(*attempt_number);
        }
        BeginOutcome::Mismatch => code(OutcomeCode::Mismatch, frame),
        BeginOutcome::NeedFingerprint => code(OutcomeCode::NeedFingerprint, frame),
        BeginOutcome::InDoubt { since } => {
            code(OutcomeCode::InDoubt, frame);
            frame.u64(since.get());
        }
        BeginOutcome::Refused { reason, retry_after } => {
            code(OutcomeCode::Refused, frame);
            encode_refusal(*reason, frame);
            if let Some(length) = retry_after {
                frame.option_u64(TAG_RETRY_AFTER, length.get());
            }
        }
        BeginOutcome::Gone => code(OutcomeCode::Gone, frame),
        BeginOutcome::Expired { since } => {
            code(OutcomeCode::Expired, frame);
            frame.u64(since.get());
        }
    }
}

fn decode_begin(
    code: OutcomeCode,
    mut body: Cursor<'_>,
) -> Result<Option<BeginOutcome<&[u8]>>, Malformed> {
    match code {
        OutcomeCode::Acquired => decode_acquired(body).map(BeginOutcome::Acquired).map(Some),
        OutcomeCode::Replay => {
            let Completed { result, age, attempt_number, retention_left, fence: _ } =
                decode_stored(body)?;
            let replay = Replay { result, age, attempt_number, retention_left };
            Ok(Some(BeginOutcome::Replay(replay)))
        }
        OutcomeCode::InProgress => {
            let retry_after = decode_millis(&mut body, "retry after")?;
            let age = decode_millis(&mut body, "age")?;
            let attempt_number = body.u32("attempt number")?;
            bare(BeginOutcome::InProgress { retry_after, age, attempt_number }, body)
        }
        OutcomeCode::Mismatch => bare(BeginOutcome::Mismatch, body),
        OutcomeCode::NeedFingerprint => bare(BeginOutcome::NeedFingerprint, body),
        OutcomeCode::InDoubt => Ok(Some(BeginOutcome::InDoubt { since: decode_since(body)? })),
        OutcomeCode::Refused => {
            let reason = decode_refusal(&mut body)?;
            let mut retry_after = None;
            let mut options = body.options();
            while let Some((tag, value)) = options.next()? {
                if tag == TAG_RETRY_AFTER {
                    retry_after = Some(Millis::new(value.only_u64("retry_after")?));
                }
            }
            Ok(Some(BeginOutcome::Refused { reason, retry_after }))
        }
        OutcomeCode::Gone => bare(BeginOutcome::Gone, body),
        OutcomeCode::Expired => Ok(Some(BeginOutcome::Expired { since: decode_since(body)? })),
        _ => Ok(None),
    }
}

fn decode_acquired(mut body: Cursor<'_>) -> Result<Acquired<&[u8]>, Malformed> {
    let (fence, attempt_id) = decode_token(&mut body)?;
    let fence = Fence::new(fence).ok_or(Malformed::Value { field: "fence" })?;
    let attempt_number = body.u32("attempt number")?;
    let lease_left = decode_millis(&mut body, "lease left")?;
    let retention_left = decode_millis(&mut body, "retention left")?;
    let mut checkpoint = None;
    let mut options = body.options();
    while let Some((tag, mut value)) = options.next()? {
        if tag == TAG_CHECKPOINT {
            let ordinal = value.u32("checkpoint")?;
            checkpoint = Some(Checkpointed { ordinal, bytes: value.rest() });
        }
    }
    let token = Token { fence, attempt_id };
    Ok(Acquired { token, attempt_number, checkpoint, lease_left, retention_left })
}

fn decode_since(mut body: Cursor<'_>) -> Result<Millis, Malformed> {
    let since = decode_millis(&mut body, "since")?;
    body.skip_options()?;
    Ok(since)
}

/// A stored result as BEGIN's replay and GET's completed share it.
fn encode_stored<B: AsRef<[u8]>>(
    result: &StoredResult<B>,
    age: Millis,
    attempt_number: u32,
    retention_left: Millis,
    frame: &mut FrameWriter<'_>,
) {
    frame.u32(attempt_number).u64(age.get()).u64(retention_left.get());
    encode_result_head(result, frame);
    encode_result_sizes(result, frame);
    encode_result_bytes(result, frame);
}

fn decode_stored(mut body: Cursor<'_>) -> Result<Completed<&[u8]>, Malformed> {
    let attempt_number = body.u32("attempt number")?;
    let age = decode_millis(&mut body, "age")?;
    let retention_left = decode_millis(&mut body, "retention left")?;
    let head = ResultHead::decode(&mut body)?;
    let sizes = ResultSizes::decode(&mut body)?;
    let result: ResultRef<'_> = head.decode_bytes(sizes, &mut body)?;
    let fence = decode_fence(body)?;
    Ok(Completed { result, age, attempt_number, retention_left, fence })
}

fn encode_fence(fence: Option<Fence>, frame: &mut FrameWriter<'_>) {
    if let Some(fence) = fence {
        frame.option_u64(TAG_FENCE, fence.get());
    }
}

/// The optional fields of a message whose only one is a fence.
fn decode_fence(body: Cursor<'_>) -> Result<Option<Fence>, Malformed> {
    let mut fence = None;
    let mut options = body.options();
    while let Some((tag, value)) = options.next()? {
        if tag == TAG_FENCE {
            let number = value.only_u64("fence")?;
            fence = Some(Fence::new(number).ok_or(Malformed::Value { field: "fence" })?);
        }
    }
    Ok(fence)
}

pub(crate) fn encode_get<B: AsRef<[u8]>>(outcome: &GetOutcome<B>, frame: &mut FrameWriter<'_>) {
    match outcome {
        GetOutcome::Absent => code(OutcomeCode::Absent, frame),
        GetOutcome::Reserved { age, attempt_number, lease_left, fence, doubt_number } => {
            code(OutcomeCode::Reserved, frame);
            frame.u64(age.get()).u32(*attempt_number).u64(lease_left.get()).u32(*doubt_number);
            encode_fence(*fence, frame);
        }
        GetOutcome::InDoubt { since, attempt_number, fence, doubt_number } => {
            code(OutcomeCode::InDoubt, frame);
            frame.u64(since.get()).u32(*attempt_number).u32(*doubt_number);
            encode_fence(*fence, frame);
        }
        GetOutcome::Completed(completed) => {
            code(OutcomeCode::Completed, frame);
            let Completed { result, age, attempt_number, retention_left, fence } = completed;
            encode_stored(result, *age, *attempt_number, *retention_left, frame);
            encode_fence(*fence, frame);
        }
        GetOutcome::Expired { since } => {
            code(OutcomeCode::Expired, frame);
            frame.u64(since.get());
        }
    }
}

fn decode_get(
    code: OutcomeCode,
    mut body: Cursor<'_>,
) -> Result<Option<GetOutcome<&[u8]>>, Malformed> {
    match code {
        OutcomeCode::Absent => bare(GetOutcome::Absent, body),
        OutcomeCode::Reserved => {
            let age = decode_millis(&mut body, "age")?;
            let attempt_number = body.u32("attempt number")?;
            let lease_left = decode_millis(&mut body, "lease left")?;
            let doubt_number = body.u32("doubt number")?;
            let fence = decode_fence(body)?;
            Ok(Some(GetOutcome::Reserved { age, attempt_number, lease_left, fence, doubt_number }))
        }
        OutcomeCode::InDoubt => {
            let since = decode_millis(&mut body, "since")?;
            let attempt_number = body.u32("attempt number")?;
            let doubt_number = body.u32("doubt number")?;
            let fence = decode_fence(body)?;
            Ok(Some(GetOutcome::InDoubt { since, attempt_number, fence, doubt_number }))
        }
        OutcomeCode::Completed => decode_stored(body).map(GetOutcome::Completed).map(Some),
        OutcomeCode::Expired => Ok(Some(GetOutcome::Expired { since: decode_since(body)? })),
        _ => Ok(None),
    }
}

pub(crate) fn encode_complete(outcome: CompleteOutcome, frame: &mut FrameWriter<'_>) {
    match outcome {
        CompleteOutcome::Completed { not_kept } => {
            code(OutcomeCode::Completed, frame);
            encode_kept(not_kept, frame);
        }
        CompleteOutcome::AlreadyCompleted { not_kept } => {
            code(OutcomeCode::AlreadyCompleted, frame);
            encode_kept(not_kept, frame);
        }
        CompleteOutcome::Conflict => code(OutcomeCode::Conflict, frame),
        CompleteOutcome::Mismatch => code(OutcomeCode::Mismatch, frame),
        CompleteOutcome::NeedFingerprint => code(OutcomeCode::NeedFingerprint, frame),
        CompleteOutcome::Fenced => code(OutcomeCode::Fenced, frame),
        CompleteOutcome::Gone => code(OutcomeCode::Gone, frame),
    }
}

fn decode_complete(
    code: OutcomeCode,
    mut body: Cursor<'_>,
) -> Result<Option<CompleteOutcome>, Malformed> {
    let outcome = match code {
        OutcomeCode::Completed => CompleteOutcome::Completed { not_kept: decode_kept(&mut body)? },
        OutcomeCode::AlreadyCompleted => {
            CompleteOutcome::AlreadyCompleted { not_kept: decode_kept(&mut body)? }
        }
        OutcomeCode::Conflict => CompleteOutcome::Conflict,
        OutcomeCode::Mismatch => CompleteOutcome::Mismatch,
        OutcomeCode::NeedFingerprint => CompleteOutcome::NeedFingerprint,
        OutcomeCode::Fenced => CompleteOutcome::Fenced,
        OutcomeCode::Gone => CompleteOutcome::Gone,
        _ => return Ok(None),
    };
    bare(outcome, body)
}

pub(crate) fn encode_abandon(outcome: AbandonOutcome, frame: &mut FrameWriter<'_>) {
    code(
        match outcome {
            AbandonOutcome::Abandoned => OutcomeCode::Abandoned,
            AbandonOutcome::Conflict => OutcomeCode::Conflict,
            AbandonOutcome::Fenced => OutcomeCode::Fenced,
            AbandonOutcome::Gone => OutcomeCode::Gone,
        },
        frame,
    );
}

fn decode_abandon(
    code: OutcomeCode,
    body: Cursor<'_>,
) -> Result<Option<AbandonOutcome>, Malformed> {
    let outcome = match code {
        OutcomeCode::Abandoned => AbandonOutcome::Abandoned,
        OutcomeCode::Conflict => AbandonOutcome::Conflict,
        OutcomeCode::Fenced => AbandonOutcome::Fenced,
        OutcomeCode::Gone => AbandonOutcome::Gone,
        _ => return Ok(None),
    };
    bare(outcome, body)
}

pub(crate) fn encode_renew(outcome: RenewOutcome, frame: &mut FrameWriter<'_>) {
    match outcome {
        RenewOutcome::Renewed { lease_left } => {
            code(OutcomeCode::Renewed, frame);
            frame.u64(lease_left.get());
        }
        RenewOutcome::Mismatch => code(OutcomeCode::Mismatch, frame),
        RenewOutcome::Conflict => code(OutcomeCode::Conflict, frame),
        RenewOutcome::Fenced => code(OutcomeCode::Fenced, frame),
        RenewOutcome::Gone => code(OutcomeCode::Gone, frame),
    }
}

fn decode_renew(
    code: OutcomeCode,
    mut body: Cursor<'_>,
) -> Result<Option<RenewOutcome>, Malformed> {
    let outcome = match code {
        OutcomeCode::Renewed => {
            RenewOutcome::Renewed { lease_left: decode_millis(&mut body, "lease left")? }
        }
        OutcomeCode::Mismatch => RenewOutcome::Mismatch,
        OutcomeCode::Conflict => RenewOutcome::Conflict,
        OutcomeCode::Fenced => RenewOutcome::Fenced,
        OutcomeCode::Gone => RenewOutcome::Gone,
        _ => return Ok(None),
    };
    bare(outcome, body)
}

pub(crate) fn encode_checkpoint(outcome: CheckpointOutcome, frame: &mut FrameWriter<'_>) {
    match outcome {
        CheckpointOutcome::Saved { ordinal } => {
            code(OutcomeCode::Saved, frame);
            frame.u32(ordinal);
        }
        CheckpointOutcome::Refused { reason } => {
            code(OutcomeCode::Refused, frame);
            encode_refusal(reason, frame);
        }
        CheckpointOutcome::NeedFingerprint => code(OutcomeCode::NeedFingerprint, frame),
        CheckpointOutcome::Conflict => code(OutcomeCode::Conflict, frame),
        CheckpointOutcome::Fenced => code(OutcomeCode::Fenced, frame),
        CheckpointOutcome::Gone => code(OutcomeCode::Gone, frame),
    }
}

fn decode_checkpoint(
    code: OutcomeCode,
    mut body: Cursor<'_>,
) -> Result<Option<CheckpointOutcome>, Malformed> {
    let outcome = match code {
        OutcomeCode::Saved => CheckpointOutcome::Saved { ordinal: body.u32("ordinal")? },
        OutcomeCode::Refused => CheckpointOutcome::Refused { reason: decode_refusal(&mut body)? },
        OutcomeCode::NeedFingerprint => CheckpointOutcome::NeedFingerprint,
        OutcomeCode::Conflict => CheckpointOutcome::Conflict,
        OutcomeCode::Fenced => CheckpointOutcome::Fenced,
        OutcomeCode::Gone => CheckpointOutcome::Gone,
        _ => return Ok(None),
    };
    bare(outcome, body)
}

pub(crate) fn encode_resolve(outcome: ResolveOutcome, frame: &mut FrameWriter<'_>) {
    code(
        match outcome {
            ResolveOutcome::Resolved => OutcomeCode::Resolved,
            ResolveOutcome::InProgress => OutcomeCode::InProgress,
            ResolveOutcome::Mismatch => OutcomeCode::Mismatch,
            ResolveOutcome::NeedFingerprint => OutcomeCode::NeedFingerprint,
            ResolveOutcome::Conflict => OutcomeCode::Conflict,
            ResolveOutcome::Fenced => OutcomeCode::Fenced,
            ResolveOutcome::Gone => OutcomeCode::Gone,
        },
        frame,
    );
}

fn decode_resolve(
    code: OutcomeCode,
    body: Cursor<'_>,
) -> Result<Option<ResolveOutcome>, Malformed> {
    let outcome = match code {
        OutcomeCode::Resolved => ResolveOutcome::Resolved,
        OutcomeCode::InProgress => ResolveOutcome::InProgress,
        OutcomeCode::Mismatch => ResolveOutcome::Mismatch,
        OutcomeCode::NeedFingerprint => ResolveOutcome::NeedFingerprint,
        OutcomeCode::Conflict => ResolveOutcome::Conflict,
        OutcomeCode::Fenced => ResolveOutcome::Fenced,
        OutcomeCode::Gone => ResolveOutcome::Gone,
        _ => return Ok(None),
    };
    bare(outcome, body)
}

pub(crate) fn encode_forget(outcome: ForgetOutcome, frame: &mut FrameWriter<'_>) {
    code(
        match outcome {
            ForgetOutcome::Forgotten => OutcomeCode::Forgotten,
            ForgetOutcome::InProgress => OutcomeCode::InProgress,
            ForgetOutcome::Fenced => OutcomeCode::Fenced,
            ForgetOutcome::Gone => OutcomeCode::Gone,
        },
        frame,
    );
}

fn decode_forget(code: OutcomeCode, body: Cursor<'_>) -> Result<Option<ForgetOutcome>, Malformed> {
    let outcome = match code {
        OutcomeCode::Forgotten => ForgetOutcome::Forgotten,
        OutcomeCode::InProgress => ForgetOutcome::InProgress,
        OutcomeCode::Fenced => ForgetOutcome::Fenced,
        OutcomeCode::Gone => ForgetOutcome::Gone,
        _ => return Ok(None),
    };
    bare(outcome, body)
}
