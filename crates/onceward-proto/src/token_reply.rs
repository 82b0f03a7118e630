//! What the owner's and the operator's operations answer: small replies of a few bytes.

use onceward_core::{
    AbandonOutcome, CheckpointOutcome, CompleteOutcome, ForgetOutcome, RenewOutcome, ResolveOutcome,
};

use crate::code::OutcomeCode;
use crate::cursor::Cursor;
use crate::error::Malformed;
use crate::field::{decode_kept, decode_millis, decode_refusal, encode_kept, encode_refusal};
use crate::frame::FrameWriter;
use crate::reply::{bare, encode_code};

pub(crate) fn encode_complete(outcome: CompleteOutcome, frame: &mut FrameWriter<'_>) {
    match outcome {
        CompleteOutcome::Completed { not_kept } => {
            encode_code(OutcomeCode::Completed, frame);
            encode_kept(not_kept, frame);
        }
        CompleteOutcome::AlreadyCompleted { not_kept } => {
            encode_code(OutcomeCode::AlreadyCompleted, frame);
            encode_kept(not_kept, frame);
        }
        CompleteOutcome::Conflict => encode_code(OutcomeCode::Conflict, frame),
        CompleteOutcome::Mismatch => encode_code(OutcomeCode::Mismatch, frame),
        CompleteOutcome::NeedFingerprint => encode_code(OutcomeCode::NeedFingerprint, frame),
        CompleteOutcome::Fenced => encode_code(OutcomeCode::Fenced, frame),
        CompleteOutcome::Gone => encode_code(OutcomeCode::Gone, frame),
    }
}

pub(crate) fn decode_complete(
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
    encode_code(
        match outcome {
            AbandonOutcome::Abandoned => OutcomeCode::Abandoned,
            AbandonOutcome::Conflict => OutcomeCode::Conflict,
            AbandonOutcome::Fenced => OutcomeCode::Fenced,
            AbandonOutcome::Gone => OutcomeCode::Gone,
        },
        frame,
    );
}

pub(crate) fn decode_abandon(
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
            encode_code(OutcomeCode::Renewed, frame);
            frame.u64(lease_left.get());
        }
        RenewOutcome::Mismatch => encode_code(OutcomeCode::Mismatch, frame),
        RenewOutcome::Conflict => encode_code(OutcomeCode::Conflict, frame),
        RenewOutcome::Fenced => encode_code(OutcomeCode::Fenced, frame),
        RenewOutcome::Gone => encode_code(OutcomeCode::Gone, frame),
    }
}

pub(crate) fn decode_renew(
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
            encode_code(OutcomeCode::Saved, frame);
            frame.u32(ordinal);
        }
        CheckpointOutcome::Refused { reason } => {
            encode_code(OutcomeCode::Refused, frame);
            encode_refusal(reason, frame);
        }
        CheckpointOutcome::NeedFingerprint => encode_code(OutcomeCode::NeedFingerprint, frame),
        CheckpointOutcome::Conflict => encode_code(OutcomeCode::Conflict, frame),
        CheckpointOutcome::Fenced => encode_code(OutcomeCode::Fenced, frame),
        CheckpointOutcome::Gone => encode_code(OutcomeCode::Gone, frame),
    }
}

pub(crate) fn decode_checkpoint(
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
    encode_code(
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

pub(crate) fn decode_resolve(
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
    encode_code(
        match outcome {
            ForgetOutcome::Forgotten => OutcomeCode::Forgotten,
            ForgetOutcome::InProgress => OutcomeCode::InProgress,
            ForgetOutcome::Fenced => OutcomeCode::Fenced,
            ForgetOutcome::Gone => OutcomeCode::Gone,
        },
        frame,
    );
}

pub(crate) fn decode_forget(
    code: OutcomeCode,
    body: Cursor<'_>,
) -> Result<Option<ForgetOutcome>, Malformed> {
    let outcome = match code {
        OutcomeCode::Forgotten => ForgetOutcome::Forgotten,
        OutcomeCode::InProgress => ForgetOutcome::InProgress,
        OutcomeCode::Fenced => ForgetOutcome::Fenced,
        OutcomeCode::Gone => ForgetOutcome::Gone,
        _ => return Ok(None),
    };
    bare(outcome, body)
}
