//! What owners store: made from the attempt, so that it can be sent again to the byte.

use onceward_client::{Body, MetadataBuf, NotKept, ResultRef};
use onceward_testkit::SplitMix64;

use crate::call::digest_of_result;

/// A result that an owner offers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    status: u16,
    metadata: Vec<u8>,
    /// `None`: the owner declines to have one kept (S12).
    body: Option<Vec<u8>>,
}

impl Content {
    /// The result of an attempt, or another one by the same attempt.
    pub(crate) fn of(key: u32, attempt: u128, variant: u8) -> Self {
        let folded = (attempt >> 64) as u64 ^ attempt as u64 ^ u64::from(key);
        let mut random = SplitMix64::new(folded ^ u64::from(variant) << 56);
        let size = match random.within(0..100) {
            0..6 => 0,
            6..70 => random.within(1..600),
            70..97 => random.within(600..4_000),
            _ => random.within(4_000..40_000),
        };
        let mut body = Vec::with_capacity(size as usize + 8);
        while body.len() < size as usize {
            body.extend_from_slice(&random.next_u64().to_le_bytes());
        }
        body.truncate(size as usize);
        let mut metadata = MetadataBuf::new();
        for number in 0..random.within(0..3) {
            let value = random.next_u64().to_le_bytes();
            metadata.push([b'a' + number as u8], value).expect("far below the limits");
        }
        let declined = random.chance(12);
        Self {
            status: 200 + u16::from(variant),
            metadata: metadata.into_encoded(),
            body: (!declined).then_some(body),
        }
    }

    /// The variant of it whose digest is `wanted`.
    pub(crate) fn found(key: u32, attempt: u128, wanted: u64) -> Self {
        let mut variants = (0..3).map(|variant| Self::of(key, attempt, variant));
        variants.find(|content| content.digest() == wanted).unwrap_or_default()
    }

    pub(crate) fn as_result(&self) -> ResultRef<'_> {
        let body = match &self.body {
            Some(body) => Body::Kept(body.as_slice()),
            None => Body::NotKept(NotKept::Declined),
        };
        ResultRef { status: self.status, metadata: &self.metadata, body }
    }

    /// Why its body is not kept, if the owner wants it so.
    pub(crate) const fn not_kept(&self) -> Option<NotKept> {
        match self.body {
            Some(_) => None,
            None => Some(NotKept::Declined),
        }
    }

    pub(crate) fn digest(&self) -> u64 {
        digest(self.status, &self.metadata, self.body.as_deref())
    }
}

/// A digest of a result; one whose owner declined to have a body kept is like no other.
pub(crate) fn digest(status: u16, metadata: &[u8], body: Option<&[u8]>) -> u64 {
    match body {
        Some(body) => digest_of_result(status, metadata, body),
        None => !digest_of_result(status, metadata, &[]),
    }
}

/// The bytes of an attempt's checkpoint.
pub(crate) fn checkpoint_of(attempt: u128, ordinal: u32) -> Vec<u8> {
    let mut random = SplitMix64::new(attempt as u64 ^ u64::from(ordinal) << 48);
    let size = random.within(1..300);
    (0..size).map(|_| random.next_u64() as u8).collect()
}
