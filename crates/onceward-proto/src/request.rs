//! Every request but HELLO and CANCEL, which belong to the connection.
//!
//! A body is a block of fixed fields at fixed offsets, among them the lengths of what follows;
//! then the variable bytes in the order of their lengths; then optional fields to the end.

use alloc::vec::Vec;

use onceward_core::{
    Abandon, AttemptId, Begin, Certainty, Complete, Digest, Forget, Get, ListQuery, Millis,
    PageCursor, Renew, Resolve, ResultRef, SaveCheckpoint, ScopedKey, Token, Verdict,
};

use crate::cursor::Cursor;
use crate::error::{BadField, DecodeError, Malformed};
use crate::field::{
    KeySizes, ResultHead, ResultSizes, check_fence, check_policy, decode_fingerprint,
    decode_millis, decode_state, decode_token, encode_fingerprint, encode_fingerprint_kind,
    encode_key, encode_key_sizes, encode_policy, encode_result_bytes, encode_result_head,
    encode_result_sizes, encode_state, encode_token, result_bytes,
};
use crate::frame::{Direction, FrameWriter};
use crate::opcode::Opcode;

/// BEGIN: bytes to set aside for the result.
const TAG_RESULT_HINT: u8 = 1;
/// BEGIN: bytes to set aside for checkpoints.
const TAG_CHECKPOINT_HINT: u8 = 2;
/// COMPLETE, RENEW, RESOLVE: the digest that binds `later`.
const TAG_FINGERPRINT: u8 = 1;
/// LIST: least age.
const TAG_OLDER_THAN: u8 = 1;

const CERTAINTY_NOT_DONE: u8 = 1;
const CERTAINTY_IN_DOUBT: u8 = 2;
const VERDICT_COMPLETED: u8 = 1;
const VERDICT_NEVER_DONE: u8 = 2;
/// STATS: every figure. The byte leaves room for parts of them.
const STATS_ALL: u8 = 0;

/// One operation, borrowed from the frame that brought it. Bounds that an operator may move are
/// the store's to check; those of the words themselves hold here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request<'a> {
    /// Asks whether the server is there; `echo` comes back.
    Ping {
        /// Any number.
        echo: u64,
    },
    /// Asks to execute an identity once.
    Begin {
        /// Which.
        key: ScopedKey<'a>,
        /// What.
        begin: Begin,
    },
    /// Ends an acquisition with a result.
    Complete {
        /// Which.
        key: ScopedKey<'a>,
        /// What.
        complete: Complete<'a>,
    },
    /// Gives an acquisition up.
    Abandon {
        /// Which.
        key: ScopedKey<'a>,
        /// What.
        abandon: Abandon,
    },
    /// Starts a lease anew.
    Renew {
        /// Which.
        key: ScopedKey<'a>,
        /// What.
        renew: Renew,
    },
    /// Leaves bytes for a successor.
    Checkpoint {
        /// Which.
        key: ScopedKey<'a>,
        /// What.
        checkpoint: SaveCheckpoint<'a>,
    },
    /// Looks without acting.
    Get {
        /// Which.
        key: ScopedKey<'a>,
        /// What.
        get: Get,
    },
    /// Ends a doubt. Needs the operate right.
    Resolve {
        /// Which.
        key: ScopedKey<'a>,
        /// What.
        resolve: Resolve<'a>,
    },
    /// Makes an identity absent. Needs the operate right.
    Forget {
        /// Which.
        key: ScopedKey<'a>,
        /// What.
        forget: Forget,
    },
    /// Lists entries page by page. Needs the operate right.
    List(ListQuery),
    /// Reads the store's figures. Needs the operate right.
    Stats,
}

impl<'a> Request<'a> {
    /// The opcode of its frame.
    #[must_use]
    pub const fn opcode(&self) -> Opcode {
        match self {
            Self::Ping { .. } => Opcode::Ping,
            Self::Begin { .. } => Opcode::Begin,
            Self::Complete { .. } => Opcode::Complete,
            Self::Abandon { .. } => Opcode::Abandon,
            Self::Renew { .. } => Opcode::Renew,
            Self::Checkpoint { .. } => Opcode::Checkpoint,
            Self::Get { .. } => Opcode::Get,
            Self::Resolve { .. } => Opcode::Resolve,
            Self::Forget { .. } => Opcode::Forget,
            Self::List(_) => Opcode::List,
            Self::Stats => Opcode::Stats,
        }
    }

    /// Appends the request as one frame. Cost: one copy of what it carries.
    ///
    /// # Errors
    /// The body's size in bytes, or more, if it is over `body_bytes_max`; `out` is then as it was.
    pub fn encode(
        &self,
        correlation: u64,
        body_bytes_max: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), usize> {
        let carried = self.carried_bytes();
        if carried > body_bytes_max as usize {
            return Err(carried); // Before anything is copied, and before lengths are cut to u32.
        }
        let mut frame =
            FrameWriter::new(Direction::Request, self.opcode().as_u8(), correlation, out);
        match self {
            Self::Ping { echo } => {
                frame.u64(*echo);
            }
            Self::Begin { key, begin } => encode_begin(*key, begin, &mut frame),
            Self::Complete { key, complete } => encode_complete(*key, complete, &mut frame),
            Self::Abandon { key, abandon } => encode_abandon(*key, abandon, &mut frame),
            Self::Renew { key, renew } => encode_renew(*key, renew, &mut frame),
            Self::Checkpoint { key, checkpoint } => encode_checkpoint(*key, checkpoint, &mut frame),
            Self::Get { key, get } => encode_get(*key, *get, &mut frame),
            Self::Resolve { key, resolve } => encode_resolve(*key, resolve, &mut frame),
            Self::Forget { key, forget } => encode_forget(*key, *forget, &mut frame),
            Self::List(query) => encode_list(query, &mut frame),
            Self::Stats => {
                frame.u8(STATS_ALL);
            }
        }
        frame.finish_within(body_bytes_max)
    }

    /// The only parts of a request without a small bound of their own.
    fn carried_bytes(&self) -> usize {
        match self {
            Self::Complete { complete, .. } => result_bytes(&complete.result),
            Self::Checkpoint { checkpoint, .. } => checkpoint.bytes.len(),
            Self::Resolve { resolve, .. } => match &resolve.verdict {
                Verdict::Completed { result, .. } => result_bytes(result),
                Verdict::NeverDone => 0,
            },
            Self::Ping { .. }
            | Self::Begin { .. }
            | Self::Abandon { .. }
            | Self::Renew { .. }
            | Self::Get { .. }
            | Self::Forget { .. }
            | Self::List(_)
            | Self::Stats => 0,
        }
    }

    /// Reads the body of a request. `Ok(None)` for HELLO and CANCEL, which are the connection's.
    ///
    /// # Errors
    /// The first fault found, front to back.
    #[inline]
    pub fn decode(opcode: Opcode, body: &'a [u8]) -> Result<Option<Self>, DecodeError> {
        let body = Cursor::new(body);
        Ok(Some(match opcode {
            Opcode::Hello | Opcode::Cancel => return Ok(None),
            Opcode::Ping => decode_ping(body)?,
            Opcode::Begin => decode_begin(body)?,
            Opcode::Complete => decode_complete(body)?,
            Opcode::Abandon => decode_abandon(body)?,
            Opcode::Renew => decode_renew(body)?,
            Opcode::Checkpoint => decode_checkpoint(body)?,
            Opcode::Get => decode_get(body)?,
            Opcode::Resolve => decode_resolve(body)?,
            Opcode::Forget => decode_forget(body)?,
            Opcode::List => decode_list(body)?,
            Opcode::Stats => decode_stats(body)?,
        }))
    }
}

fn decode_ping(mut body: Cursor<'_>) -> Result<Request<'_>, DecodeError> {
    let echo = body.u64("echo")?;
    body.skip_options()?;
    Ok(Request::Ping { echo })
}

fn encode_begin(key: ScopedKey<'_>, begin: &Begin, frame: &mut FrameWriter<'_>) {
    frame
        .bytes(begin.attempt_id.as_bytes())
        .u64(begin.lease.get())
        .u64(begin.retention.get())
        .u64(begin.wait.get());
    encode_policy(begin.policy, frame);
    encode_fingerprint_kind(&begin.fingerprint, frame);
    encode_key_sizes(key, frame);
    encode_fingerprint(&begin.fingerprint, frame);
    encode_key(key, frame);
    if let Some(hint) = begin.result_hint {
        frame.option_u64(TAG_RESULT_HINT, hint as u64);
    }
    if begin.checkpoint_hint > 0 {
        frame.option_u64(TAG_CHECKPOINT_HINT, begin.checkpoint_hint as u64);
    }
}

#[inline(always)]
pub(crate) fn decode_begin(mut body: Cursor<'_>) -> Result<Request<'_>, DecodeError> {
    let attempt_id = AttemptId::from_bytes(body.array("attempt id")?);
    let lease = decode_millis(&mut body, "lease")?;
    let retention = decode_millis(&mut body, "retention")?;
    let wait = decode_millis(&mut body, "wait")?;
    let policy = body.u8("policy")?;
    let fingerprint_kind = body.u8("fingerprint kind")?;
    let digest_size = body.u8("digest length")?;
    let key_sizes = KeySizes::decode(&mut body)?;
    let digest = body.bytes(digest_size.into(), "digest")?;
    let key = key_sizes.decode_key(&mut body)?;
    let (mut result_hint, mut checkpoint_hint) = (None, 0);
    let mut options = body.options();
    while let Some((tag, value)) = options.next()? {
        match tag {
            TAG_RESULT_HINT => result_hint = Some(saturated(value.only_u64("result_hint")?)),
            TAG_CHECKPOINT_HINT => checkpoint_hint = saturated(value.only_u64("checkpoint_hint")?),
            _ => {} // A later version's.
        }
    }
    let begin = Begin {
        fingerprint: decode_fingerprint(fingerprint_kind, digest)?,
        attempt_id,
        lease,
        retention,
        policy: check_policy(policy)?,
        wait,
        result_hint,
        checkpoint_hint,
    };
    Ok(Request::Begin { key, begin })
}

/// A size that the store will refuse stays too large, also where `usize` is narrow.
fn saturated(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

fn encode_complete(key: ScopedKey<'_>, complete: &Complete<'_>, frame: &mut FrameWriter<'_>) {
    encode_token(&complete.token, frame);
    encode_result_head(&complete.result, frame);
    encode_key_sizes(key, frame);
    encode_result_sizes(&complete.result, frame);
    encode_key(key, frame);
    encode_result_bytes(&complete.result, frame);
    encode_digest(complete.fingerprint, frame);
}

#[inline(always)]
pub(crate) fn decode_complete(mut body: Cursor<'_>) -> Result<Request<'_>, DecodeError> {
    let (fence, attempt_id) = decode_token(&mut body)?;
    let head = ResultHead::decode(&mut body)?;
    let key_sizes = KeySizes::decode(&mut body)?;
    let result_sizes = ResultSizes::decode(&mut body)?;
    let key = key_sizes.decode_key(&mut body)?;
    let result = head.decode_offered(result_sizes, &mut body)?;
    let fingerprint = decode_digest(body)?;
    let token = Token { fence: check_fence(fence)?, attempt_id };
    Ok(Request::Complete { key, complete: Complete { token, result, fingerprint } })
}

fn encode_digest(digest: Option<Digest>, frame: &mut FrameWriter<'_>) {
    if let Some(digest) = digest {
        frame.option(TAG_FINGERPRINT, digest.as_bytes());
    }
}

/// The optional fields of a message whose only one is a digest.
#[inline]
fn decode_digest(body: Cursor<'_>) -> Result<Option<Digest>, DecodeError> {
    let mut digest = None;
    let mut options = body.options();
    while let Some((tag, value)) = options.next()? {
        if tag == TAG_FINGERPRINT {
            digest = Some(Digest::new(value.rest())?);
        }
    }
    Ok(digest)
}

fn encode_abandon(key: ScopedKey<'_>, abandon: &Abandon, frame: &mut FrameWriter<'_>) {
    encode_token(&abandon.token, frame);
    frame.u8(match abandon.certainty {
        Certainty::NotDone => CERTAINTY_NOT_DONE,
        Certainty::InDoubt => CERTAINTY_IN_DOUBT,
    });
    encode_key_sizes(key, frame);
    encode_key(key, frame);
}

fn decode_abandon(mut body: Cursor<'_>) -> Result<Request<'_>, DecodeError> {
    let (fence, attempt_id) = decode_token(&mut body)?;
    let certainty = body.u8("certainty")?;
    let key = KeySizes::decode(&mut body)?.decode_key(&mut body)?;
    body.skip_options()?;
    let certainty = match certainty {
        CERTAINTY_NOT_DONE => Certainty::NotDone,
        CERTAINTY_IN_DOUBT => Certainty::InDoubt,
        got => {
            let expected = "1 (not done) or 2 (in doubt)";
            return Err(BadField::Value { field: "certainty", got: got.into(), expected }.into());
        }
    };
    let token = Token { fence: check_fence(fence)?, attempt_id };
    Ok(Request::Abandon { key, abandon: Abandon { token, certainty } })
}

fn encode_renew(key: ScopedKey<'_>, renew: &Renew, frame: &mut FrameWriter<'_>) {
    encode_token(&renew.token, frame);
    frame.u64(renew.lease.get());
    encode_key_sizes(key, frame);
    encode_key(key, frame);
    encode_digest(renew.fingerprint, frame);
}

fn decode_renew(mut body: Cursor<'_>) -> Result<Request<'_>, DecodeError> {
    let (fence, attempt_id) = decode_token(&mut body)?;
    let lease = decode_millis(&mut body, "lease")?;
    let key = KeySizes::decode(&mut body)?.decode_key(&mut body)?;
    let fingerprint = decode_digest(body)?;
    let token = Token { fence: check_fence(fence)?, attempt_id };
    Ok(Request::Renew { key, renew: Renew { token, lease, fingerprint } })
}

fn encode_checkpoint(
    key: ScopedKey<'_>,
    checkpoint: &SaveCheckpoint<'_>,
    frame: &mut FrameWriter<'_>,
) {
    encode_token(&checkpoint.token, frame);
    frame.u32(checkpoint.ordinal);
    encode_key_sizes(key, frame);
    frame.size32(checkpoint.bytes.len());
    encode_key(key, frame);
    frame.bytes(checkpoint.bytes);
}

fn decode_checkpoint(mut body: Cursor<'_>) -> Result<Request<'_>, DecodeError> {
    let (fence, attempt_id) = decode_token(&mut body)?;
    let ordinal = body.u32("ordinal")?;
    let key_sizes = KeySizes::decode(&mut body)?;
    let size = body.u32_size("checkpoint length")?;
    let key = key_sizes.decode_key(&mut body)?;
    let bytes = body.bytes(size, "checkpoint")?;
    body.skip_options()?;
    let token = Token { fence: check_fence(fence)?, attempt_id };
    Ok(Request::Checkpoint { key, checkpoint: SaveCheckpoint { token, ordinal, bytes } })
}

fn encode_get(key: ScopedKey<'_>, get: Get, frame: &mut FrameWriter<'_>) {
    frame.u64(get.wait.get());
    encode_key_sizes(key, frame);
    encode_key(key, frame);
}

#[inline]
fn decode_get(mut body: Cursor<'_>) -> Result<Request<'_>, DecodeError> {
    let wait = decode_millis(&mut body, "wait")?;
    let key = KeySizes::decode(&mut body)?.decode_key(&mut body)?;
    body.skip_options()?;
    Ok(Request::Get { key, get: Get { wait } })
}

fn encode_resolve(key: ScopedKey<'_>, resolve: &Resolve<'_>, frame: &mut FrameWriter<'_>) {
    const NO_RESULT: ResultRef<'static> = ResultRef::of(0, &[]);
    let (verdict, result, fingerprint) = match &resolve.verdict {
        Verdict::Completed { result, fingerprint } => (VERDICT_COMPLETED, result, *fingerprint),
        Verdict::NeverDone => (VERDICT_NEVER_DONE, &NO_RESULT, None),
    };
    frame.u64(resolve.fence.get()).u32(resolve.doubt_number).u8(verdict);
    encode_result_head(result, frame);
    encode_key_sizes(key, frame);
    encode_result_sizes(result, frame);
    encode_key(key, frame);
    encode_result_bytes(result, frame);
    encode_digest(fingerprint, frame);
}

fn decode_resolve(mut body: Cursor<'_>) -> Result<Request<'_>, DecodeError> {
    let fence = body.u64("fence")?;
    let doubt_number = body.u32("doubt number")?;
    let verdict = body.u8("verdict")?;
    let head = ResultHead::decode(&mut body)?;
    let key_sizes = KeySizes::decode(&mut body)?;
    let result_sizes = ResultSizes::decode(&mut body)?;
    let key = key_sizes.decode_key(&mut body)?;
    let result = head.decode_offered(result_sizes, &mut body)?;
    let fingerprint = decode_digest(body)?;
    let verdict = match verdict {
        VERDICT_COMPLETED => Verdict::Completed { result, fingerprint },
        VERDICT_NEVER_DONE if result == ResultRef::of(0, &[]) && fingerprint.is_none() => {
            Verdict::NeverDone
        }
        VERDICT_NEVER_DONE => return Err(Malformed::Combination { field: "result" }.into()),
        got => {
            let expected = "1 (completed) or 2 (never done)";
            return Err(BadField::Value { field: "verdict", got: got.into(), expected }.into());
        }
    };
    let fence = check_fence(fence)?;
    Ok(Request::Resolve { key, resolve: Resolve { fence, doubt_number, verdict } })
}

fn encode_forget(key: ScopedKey<'_>, forget: Forget, frame: &mut FrameWriter<'_>) {
    frame.u64(forget.fence.get());
    encode_key_sizes(key, frame);
    encode_key(key, frame);
}

fn decode_forget(mut body: Cursor<'_>) -> Result<Request<'_>, DecodeError> {
    let fence = body.u64("fence")?;
    let key = KeySizes::decode(&mut body)?.decode_key(&mut body)?;
    body.skip_options()?;
    Ok(Request::Forget { key, forget: Forget { fence: check_fence(fence)? } })
}

fn encode_list(query: &ListQuery, frame: &mut FrameWriter<'_>) {
    frame.u64(query.cursor.0).u16(query.entries_max).u8(query.state.map_or(0, encode_state));
    if let Some(older_than) = query.older_than {
        frame.option_u64(TAG_OLDER_THAN, older_than.get());
    }
}

fn decode_list(mut body: Cursor<'_>) -> Result<Request<'_>, DecodeError> {
    let cursor = PageCursor(body.u64("cursor")?);
    let entries_max = body.u16("page")?;
    let state = body.u8("state")?;
    let mut older_than = None;
    let mut options = body.options();
    while let Some((tag, value)) = options.next()? {
        if tag == TAG_OLDER_THAN {
            older_than = Some(Millis::new(value.only_u64("older_than")?));
        }
    }
    let state = match state {
        0 => None,
        byte => Some(decode_state(byte).ok_or(BadField::Value {
            field: "state",
            got: byte.into(),
            expected: "0 (any), 1 (reserved), 2 (in doubt) or 3 (completed)",
        })?),
    };
    Ok(Request::List(ListQuery { state, older_than, cursor, entries_max }))
}

fn decode_stats(mut body: Cursor<'_>) -> Result<Request<'_>, DecodeError> {
    let part = body.u8("part")?;
    body.skip_options()?;
    if part != STATS_ALL {
        let expected = "0 (all figures)";
        return Err(BadField::Value { field: "part", got: part.into(), expected }.into());
    }
    Ok(Request::Stats)
}
