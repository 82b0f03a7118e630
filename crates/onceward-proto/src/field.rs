//! Fields that several messages share, each with its encode and decode side by side.

use onceward_core::{
    AttemptId, Body, Digest, Fence, Fingerprint, Metadata, Millis, NotKept, Policy, Refusal,
    ResultRef, ScopedKey, StateName, StoredResult, Token,
};

use crate::cursor::Cursor;
use crate::error::{BadField, DecodeError, Malformed};
use crate::frame::FrameWriter;

pub(crate) fn decode_millis(
    body: &mut Cursor<'_>,
    field: &'static str,
) -> Result<Millis, Malformed> {
    body.u64(field).map(Millis::new)
}

/// Fence, then attempt id: 24 bytes.
pub(crate) fn encode_token(token: &Token, frame: &mut FrameWriter<'_>) {
    frame.u64(token.fence.get()).bytes(token.attempt_id.as_bytes());
}

#[inline]
pub(crate) fn decode_token(body: &mut Cursor<'_>) -> Result<(u64, AttemptId), Malformed> {
    Ok((body.u64("fence")?, AttemptId::from_bytes(body.array("attempt id")?)))
}

/// A fence that a client sent.
pub(crate) fn check_fence(number: u64) -> Result<Fence, BadField> {
    let expected = "a number from 1 to 2^63 - 1";
    Fence::new(number).ok_or(BadField::Value { field: "fence", got: number, expected })
}

/// The sizes of scope and key, which stand among the fixed fields; their bytes follow those.
#[derive(Clone, Copy)]
pub(crate) struct KeySizes {
    scope: u16,
    key: u16,
}

pub(crate) fn encode_key_sizes(key: ScopedKey<'_>, frame: &mut FrameWriter<'_>) {
    frame.size16(key.scope().len()).size16(key.key().len());
}

pub(crate) fn encode_key(key: ScopedKey<'_>, frame: &mut FrameWriter<'_>) {
    frame.bytes(key.scope()).bytes(key.key());
}

impl KeySizes {
    pub(crate) fn decode(body: &mut Cursor<'_>) -> Result<Self, Malformed> {
        Ok(Self { scope: body.u16("scope length")?, key: body.u16("key length")? })
    }

    #[inline]
    pub(crate) fn decode_bytes<'a>(
        self,
        body: &mut Cursor<'a>,
    ) -> Result<(&'a [u8], &'a [u8]), Malformed> {
        let scope = body.bytes(self.scope.into(), "scope")?;
        let key = body.bytes(self.key.into(), "key")?;
        Ok((scope, key))
    }

    #[inline]
    pub(crate) fn decode_key<'a>(
        self,
        body: &mut Cursor<'a>,
    ) -> Result<ScopedKey<'a>, DecodeError> {
        let (scope, key) = self.decode_bytes(body)?;
        Ok(ScopedKey::new(scope, key)?)
    }
}

const FINGERPRINT_NONE: u8 = 0;
const FINGERPRINT_LATER: u8 = 1;
const FINGERPRINT_DIGEST: u8 = 2;

/// Kind and digest length: two bytes among the fixed fields; the digest follows those.
pub(crate) fn encode_fingerprint_kind(fingerprint: &Fingerprint, frame: &mut FrameWriter<'_>) {
    let (kind, size) = match fingerprint {
        Fingerprint::None => (FINGERPRINT_NONE, 0),
        Fingerprint::Later => (FINGERPRINT_LATER, 0),
        Fingerprint::Digest(digest) => (FINGERPRINT_DIGEST, digest.as_bytes().len()),
    };
    frame.u8(kind).u8(size as u8); // A digest has at most 32 bytes.
}

pub(crate) fn encode_fingerprint(fingerprint: &Fingerprint, frame: &mut FrameWriter<'_>) {
    if let Fingerprint::Digest(digest) = fingerprint {
        frame.bytes(digest.as_bytes());
    }
}

#[inline]
pub(crate) fn decode_fingerprint(kind: u8, digest: &[u8]) -> Result<Fingerprint, DecodeError> {
    match (kind, digest) {
        (FINGERPRINT_NONE, []) => Ok(Fingerprint::None),
        (FINGERPRINT_LATER, []) => Ok(Fingerprint::Later),
        (FINGERPRINT_NONE | FINGERPRINT_LATER, _) => {
            Err(Malformed::Combination { field: "digest length" }.into())
        }
        (FINGERPRINT_DIGEST, digest) => Ok(Digest::new(digest)?.into()),
        (got, _) => {
            let expected = "0 (none), 1 (later) or 2 (digest)";
            Err(BadField::Value { field: "fingerprint", got: got.into(), expected }.into())
        }
    }
}

const POLICY_TAKEOVER: u8 = 1;
const POLICY_IN_DOUBT: u8 = 2;

pub(crate) fn encode_policy(policy: Policy, frame: &mut FrameWriter<'_>) {
    frame.u8(match policy {
        Policy::Takeover => POLICY_TAKEOVER,
        Policy::InDoubt => POLICY_IN_DOUBT,
    });
}

pub(crate) fn check_policy(byte: u8) -> Result<Policy, BadField> {
    match byte {
        POLICY_TAKEOVER => Ok(Policy::Takeover),
        POLICY_IN_DOUBT => Ok(Policy::InDoubt),
        got => {
            let expected = "1 (takeover) or 2 (in doubt)";
            Err(BadField::Value { field: "policy", got: got.into(), expected })
        }
    }
}

const REFUSAL_CAPACITY: u8 = 1;
const REFUSAL_QUOTA: u8 = 2;

pub(crate) fn encode_refusal(reason: Refusal, frame: &mut FrameWriter<'_>) {
    frame.u8(match reason {
        Refusal::Capacity => REFUSAL_CAPACITY,
        Refusal::Quota => REFUSAL_QUOTA,
    });
}

pub(crate) fn decode_refusal(body: &mut Cursor<'_>) -> Result<Refusal, Malformed> {
    match body.u8("reason")? {
        REFUSAL_CAPACITY => Ok(Refusal::Capacity),
        REFUSAL_QUOTA => Ok(Refusal::Quota),
        _ => Err(Malformed::Value { field: "reason" }),
    }
}

const STATE_RESERVED: u8 = 1;
const STATE_IN_DOUBT: u8 = 2;
const STATE_COMPLETED: u8 = 3;

pub(crate) const fn encode_state(state: StateName) -> u8 {
    match state {
        StateName::Reserved => STATE_RESERVED,
        StateName::InDoubt => STATE_IN_DOUBT,
        StateName::Completed => STATE_COMPLETED,
    }
}

pub(crate) const fn decode_state(byte: u8) -> Option<StateName> {
    match byte {
        STATE_RESERVED => Some(StateName::Reserved),
        STATE_IN_DOUBT => Some(StateName::InDoubt),
        STATE_COMPLETED => Some(StateName::Completed),
        _ => None,
    }
}

const BODY_KEPT: u8 = 0;
const BODY_TOO_LARGE: u8 = 1;
const BODY_DECLINED: u8 = 2;
const BODY_CAPACITY: u8 = 3;

pub(crate) fn encode_kept(not_kept: Option<NotKept>, frame: &mut FrameWriter<'_>) {
    frame.u8(kept_code(not_kept));
}

pub(crate) const fn kept_code(not_kept: Option<NotKept>) -> u8 {
    match not_kept {
        None => BODY_KEPT,
        Some(NotKept::TooLarge) => BODY_TOO_LARGE,
        Some(NotKept::Declined) => BODY_DECLINED,
        Some(NotKept::Capacity) => BODY_CAPACITY,
    }
}

fn kept_from(byte: u8) -> Option<Option<NotKept>> {
    Some(match byte {
        BODY_KEPT => None,
        BODY_TOO_LARGE => Some(NotKept::TooLarge),
        BODY_DECLINED => Some(NotKept::Declined),
        BODY_CAPACITY => Some(NotKept::Capacity),
        _ => return None,
    })
}

pub(crate) fn decode_kept(body: &mut Cursor<'_>) -> Result<Option<NotKept>, Malformed> {
    kept_from(body.u8("kept")?).ok_or(Malformed::Value { field: "kept" })
}

/// Status and kept: three bytes among the fixed fields of a message that carries a result.
#[derive(Clone, Copy)]
pub(crate) struct ResultHead {
    pub(crate) status: u16,
    pub(crate) kept: u8,
}

/// The sizes of metadata and body, which end the fixed fields.
#[derive(Clone, Copy)]
pub(crate) struct ResultSizes {
    pub(crate) metadata: usize,
    pub(crate) body: usize,
}

pub(crate) fn encode_result_head<B>(result: &StoredResult<B>, frame: &mut FrameWriter<'_>) {
    frame.u16(result.status);
    encode_kept(result.not_kept(), frame);
}

pub(crate) fn encode_result_sizes<B: AsRef<[u8]>>(
    result: &StoredResult<B>,
    frame: &mut FrameWriter<'_>,
) {
    let ResultSizes { metadata, body } = ResultSizes::of(result);
    frame.size32(metadata).size32(body);
}

pub(crate) fn encode_result_bytes<B: AsRef<[u8]>>(
    result: &StoredResult<B>,
    frame: &mut FrameWriter<'_>,
) {
    frame.bytes(result.metadata.as_ref()).body(kept_bytes(result));
}

fn kept_bytes<B: AsRef<[u8]>>(result: &StoredResult<B>) -> &[u8] {
    result.body.kept().map_or(&[], AsRef::as_ref)
}

/// Bytes of metadata and body together, to be held against the frame's maximum.
pub(crate) fn result_bytes<B: AsRef<[u8]>>(result: &StoredResult<B>) -> usize {
    result.metadata.as_ref().len().saturating_add(kept_bytes(result).len())
}

impl ResultHead {
    pub(crate) fn decode(body: &mut Cursor<'_>) -> Result<Self, Malformed> {
        Ok(Self { status: body.u16("status")?, kept: body.u8("kept")? })
    }

    /// The result of a reply.
    pub(crate) fn decode_bytes<'a>(
        self,
        sizes: ResultSizes,
        body: &mut Cursor<'a>,
    ) -> Result<ResultRef<'a>, Malformed> {
        let not_kept = kept_from(self.kept).ok_or(Malformed::Value { field: "kept" })?;
        let metadata = body.bytes(sizes.metadata, "metadata")?;
        let bytes = body.bytes(sizes.body, "body")?;
        let body = match not_kept {
            None => Body::Kept(bytes),
            Some(_) if !bytes.is_empty() => {
                return Err(Malformed::Combination { field: "body length" });
            }
            Some(why) => Body::NotKept(why),
        };
        Ok(StoredResult { status: self.status, metadata, body })
    }

    /// The result of a request: an unknown reason and metadata out of bounds are bad input.
    pub(crate) fn decode_offered<'a>(
        self,
        sizes: ResultSizes,
        body: &mut Cursor<'a>,
    ) -> Result<ResultRef<'a>, DecodeError> {
        if kept_from(self.kept).is_none() {
            let expected = "0 (kept) or 2 (declined)";
            return Err(BadField::Value { field: "kept", got: self.kept.into(), expected }.into());
        }
        let result = self.decode_bytes(sizes, body)?;
        Metadata::decode(result.metadata)?;
        Ok(result)
    }
}

impl ResultSizes {
    #[inline]
    pub(crate) fn of<B: AsRef<[u8]>>(result: &StoredResult<B>) -> Self {
        Self { metadata: result.metadata.as_ref().len(), body: kept_bytes(result).len() }
    }

    pub(crate) fn decode(body: &mut Cursor<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            metadata: body.u32_size("metadata length")?,
            body: body.u32_size("body length")?,
        })
    }
}
