//! What BEGIN and GET answer: the replies that carry results and checkpoints.

use onceward_core::{
    Acquired, BeginOutcome, Checkpointed, Completed, Fence, GetOutcome, Millis, Replay, ResultRef,
    StoredResult, Token,
};

use crate::code::OutcomeCode;
use crate::cursor::Cursor;
use crate::error::Malformed;
use crate::field::{
    ResultHead, ResultSizes, decode_millis, decode_refusal, decode_token, encode_refusal,
    encode_result_bytes, kept_code,
};
use crate::fixed::Fixed;
use crate::frame::FrameWriter;
use crate::reply::{bare, decode_since, encode_code};

/// BEGIN acquired: what the predecessor left.
const TAG_CHECKPOINT: u8 = 1;
/// BEGIN refused: when room is due.
const TAG_RETRY_AFTER: u8 = 1;
/// GET: the fence, for holders of the operate right.
const TAG_FENCE: u8 = 1;

pub(crate) fn encode_begin<B: AsRef<[u8]>>(outcome: &BeginOutcome<B>, frame: &mut FrameWriter<'_>) {
    match outcome {
        BeginOutcome::Acquired(acquired) => {
            let mut fixed = Fixed::<45>::of(OutcomeCode::Acquired);
            fixed.put(&acquired.token.fence.get().to_le_bytes());
            fixed.put(acquired.token.attempt_id.as_bytes());
            fixed.put(&acquired.attempt_number.to_le_bytes());
            fixed.put(&acquired.lease_left.get().to_le_bytes());
            fixed.put(&acquired.retention_left.get().to_le_bytes());
            frame.bytes(fixed.whole());
            if let Some(held) = &acquired.checkpoint {
                let bytes = held.bytes.as_ref();
                frame.u8(TAG_CHECKPOINT).size32(4 + bytes.len()).u32(held.ordinal).bytes(bytes);
            }
        }
        BeginOutcome::Replay(replay) => {
            let Replay { result, age, attempt_number, retention_left } = replay;
            let code = OutcomeCode::Replay;
            encode_stored(code, result, *age, *attempt_number, *retention_left, frame);
        }
        BeginOutcome::InProgress { retry_after, age, attempt_number } => {
            encode_code(OutcomeCode::InProgress, frame);
            frame.u64(retry_after.get()).u64(age.get()).u32(*attempt_number);
        }
        BeginOutcome::Mismatch => encode_code(OutcomeCode::Mismatch, frame),
        BeginOutcome::NeedFingerprint => encode_code(OutcomeCode::NeedFingerprint, frame),
        BeginOutcome::InDoubt { since } => {
            encode_code(OutcomeCode::InDoubt, frame);
            frame.u64(since.get());
        }
        BeginOutcome::Refused { reason, retry_after } => {
            encode_code(OutcomeCode::Refused, frame);
            encode_refusal(*reason, frame);
            if let Some(length) = retry_after {
                frame.option_u64(TAG_RETRY_AFTER, length.get());
            }
        }
        BeginOutcome::Gone => encode_code(OutcomeCode::Gone, frame),
        BeginOutcome::Expired { since } => {
            encode_code(OutcomeCode::Expired, frame);
            frame.u64(since.get());
        }
    }
}

pub(crate) fn decode_begin(
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

/// A stored result as BEGIN's replay and GET's completed share it.
#[inline]
fn encode_stored<B: AsRef<[u8]>>(
    code: OutcomeCode,
    result: &StoredResult<B>,
    age: Millis,
    attempt_number: u32,
    retention_left: Millis,
    frame: &mut FrameWriter<'_>,
) {
    let ResultSizes { metadata, body } = ResultSizes::of(result);
    let mut fixed = Fixed::<32>::of(code);
    fixed.put(&attempt_number.to_le_bytes());
    fixed.put(&age.get().to_le_bytes());
    fixed.put(&retention_left.get().to_le_bytes());
    fixed.put(&result.status.to_le_bytes());
    fixed.put(&[kept_code(result.not_kept())]);
    fixed.put(&(metadata as u32).to_le_bytes());
    fixed.put(&(body as u32).to_le_bytes());
    frame.bytes(fixed.whole());
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
        GetOutcome::Absent => encode_code(OutcomeCode::Absent, frame),
        GetOutcome::Reserved { age, attempt_number, lease_left, fence, doubt_number } => {
            encode_code(OutcomeCode::Reserved, frame);
            frame.u64(age.get()).u32(*attempt_number).u64(lease_left.get()).u32(*doubt_number);
            encode_fence(*fence, frame);
        }
        GetOutcome::InDoubt { since, attempt_number, fence, doubt_number } => {
            encode_code(OutcomeCode::InDoubt, frame);
            frame.u64(since.get()).u32(*attempt_number).u32(*doubt_number);
            encode_fence(*fence, frame);
        }
        GetOutcome::Completed(completed) => {
            let Completed { result, age, attempt_number, retention_left, fence } = completed;
            let code = OutcomeCode::Completed;
            encode_stored(code, result, *age, *attempt_number, *retention_left, frame);
            encode_fence(*fence, frame);
        }
        GetOutcome::Expired { since } => {
            encode_code(OutcomeCode::Expired, frame);
            frame.u64(since.get());
        }
    }
}

pub(crate) fn decode_get(
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
