//! What callers store: results of every kind, and checkpoints, each made from who stores it.

use onceward_core::{Body, MetadataBuf, NotKept, StoredResult};
use onceward_testkit::SplitMix64;

use crate::call::digest_of_result;

/// Larger bodies are not kept (S12).
pub(crate) const BODY_BYTES_MAX: usize = 8_192;

/// The variants of a result that one owner may offer.
pub(crate) const VARIANTS: u8 = 2;
/// The variant of a resolver's result.
pub(crate) const RESOLVED: u8 = VARIANTS;

/// A result of an attempt, or of whoever resolves a fence: the same each time it is made, and
/// unlike any other in what of it is kept.
pub(crate) fn result(key: u32, by: u128, variant: u8) -> StoredResult<Vec<u8>> {
    let folded = (by >> 64) as u64 ^ by as u64 ^ u64::from(key) << 32 ^ u64::from(variant) << 56;
    let mut random = SplitMix64::new(folded);
    let mut metadata = MetadataBuf::new();
    let pushed = metadata.push(*b"by", [&by.to_le_bytes()[..], &[variant, key as u8]].concat());
    debug_assert!(pushed.is_ok(), "one short pair");
    let size = match random.within(0..100) {
        0..6 => 0,
        6..56 => random.within(1..300),
        56..80 => random.within(300..2_000),
        80..90 => random.within(2_000..BODY_BYTES_MAX as u64),
        _ => BODY_BYTES_MAX as u64 + random.within(1..3_000),
    };
    let body = if random.chance(12) {
        Body::NotKept(NotKept::Declined)
    } else {
        Body::Kept(bytes(&mut random, size))
    };
    StoredResult { status: 200 + u16::from(variant), metadata: metadata.into_encoded(), body }
}

fn bytes(random: &mut SplitMix64, size: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size as usize + 8);
    while bytes.len() < size as usize {
        bytes.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    bytes.truncate(size as usize);
    bytes
}

/// Why the store is to keep no body of it, if so.
pub(crate) fn not_kept(result: &StoredResult<Vec<u8>>) -> Option<NotKept> {
    match &result.body {
        Body::NotKept(why) => Some(*why),
        Body::Kept(body) if body.len() > BODY_BYTES_MAX => Some(NotKept::TooLarge),
        Body::Kept(_) => None,
    }
}

/// A digest of what is kept of it.
pub(crate) fn digest_of_offered(result: &StoredResult<Vec<u8>>) -> u64 {
    let body = result.body.kept().map_or(&[][..], |body| body);
    digest_of_kept(result.status, &result.metadata, body, not_kept(result))
}

/// A digest of what is shown.
pub(crate) fn digest_of_shown(result: &StoredResult<&[u8]>) -> u64 {
    let (body, not_kept) = match result.body {
        Body::Kept(body) => (body, None),
        Body::NotKept(why) => (&[][..], Some(why)),
    };
    digest_of_kept(result.status, result.metadata, body, not_kept)
}

fn digest_of_kept(status: u16, metadata: &[u8], body: &[u8], not_kept: Option<NotKept>) -> u64 {
    match not_kept {
        None => digest_of_result(status, metadata, body),
        Some(why) => !digest_of_result(status, metadata, format!("{why:?}").as_bytes()),
    }
}

/// The bytes of an attempt's checkpoint.
pub(crate) fn checkpoint(by: u128, ordinal: u32) -> Vec<u8> {
    let mut random = SplitMix64::new(by as u64 ^ u64::from(ordinal) << 48);
    let size = random.within(1..600);
    bytes(&mut random, size)
}
