//! Fingerprints of payloads: what makes two requests the same request (S1).

mod json;

use std::fmt;

use onceward_core::{Digest, Fingerprint};
use sha2::{Digest as _, Sha256};

pub use json::{JsonDocument, JsonFingerprintError};

use crate::fields::{Fields, FieldsError};
use crate::parts::{PartsHasher, digest_of};

/// Ways to make a [`Fingerprint`] of what is asked.
///
/// | the payload is | make it with |
/// |---|---|
/// | bytes that a retry repeats as they are | [`of`](PayloadFingerprint::of) |
/// | JSON that a retry may write otherwise: other order, other space | [`of_json_canonical`](PayloadFingerprint::of_json_canonical) |
/// | several things, or a part of the request | [`of_fields`](PayloadFingerprint::of_fields) |
///
/// The three never agree with one another, but for a payload made to: [`of`](PayloadFingerprint::of)
/// has no label of its own, so that any tool can repeat it. Take one way per kind of request.
/// `docs/keys.md` lays down the bytes, with test vectors.
///
/// ```
/// use onceward_core::Fingerprint;
/// use onceward_keys::PayloadFingerprint as _;
///
/// let one = Fingerprint::of_json_canonical(r#"{"sku":"A-17","quantity":2}"#)?;
/// let same = Fingerprint::of_json_canonical(r#"{ "quantity": 2.0, "sku": "A-17" }"#)?;
/// assert_eq!(one, same);
///
/// let upload = Fingerprint::of_fields()
///     .field("path", "/labels")
///     .field("body", b"...")
///     .optional("carrier", None::<&str>)
///     .finish()?;
/// assert_ne!(upload, one);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait PayloadFingerprint: Sized + sealed::Sealed {
    /// SHA-256 of the payload's bytes. One pass, no allocation.
    ///
    /// Digest just the bytes that make two requests the same request.
    #[must_use]
    fn of(payload: impl AsRef<[u8]>) -> Self;

    /// SHA-256 of the canonical form of a JSON document (RFC 8785, "JCS"), under a label.
    ///
    /// The order of members, white space, escapes and the spelling of numbers do not count;
    /// `1`, `1.0` and `1e0` are one number. Two documents that differ never get one fingerprint for
    /// what the canonical form leaves out: a number that it would round, such as 9007199254740993,
    /// and a member's name that occurs twice in one object are errors. Unicode is not normalized.
    ///
    /// At most 1 MiB of UTF-8, arrays and objects at most 64 deep. A document
    /// of 1 MiB takes 10 to 100 ms and tens of MiB of memory, by its shape. [`of`](PayloadFingerprint::of)
    /// takes a few milliseconds, and no memory.
    ///
    /// # Errors
    /// See [`JsonFingerprintError`]. The document's author is at fault: a service answers 400, or
    /// takes [`of`](PayloadFingerprint::of) for all requests of that kind.
    fn of_json_canonical(document: impl AsRef<[u8]>) -> Result<Self, JsonFingerprintError>;

    /// A fingerprint of named fields, whose order does not matter.
    fn of_fields() -> FingerprintFields;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for onceward_core::Fingerprint {}
}

impl PayloadFingerprint for Fingerprint {
    fn of(payload: impl AsRef<[u8]>) -> Self {
        of_digest(&Sha256::digest(payload.as_ref()).into())
    }

    fn of_json_canonical(document: impl AsRef<[u8]>) -> Result<Self, JsonFingerprintError> {
        let canonical = JsonDocument::parse(document.as_ref())?.canonical();
        Ok(of_digest(&digest_of("onceward fingerprint of json v1", [&canonical])))
    }

    fn of_fields() -> FingerprintFields {
        FingerprintFields { fields: Fields::default() }
    }
}

/// SHA-256 of a payload that arrives in pieces: what [`PayloadFingerprint::of`] makes of the whole.
#[derive(Clone, Default)]
pub struct PayloadHasher(Sha256);

impl PayloadHasher {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The hash of all pieces.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// Shows nothing: the state is as good as what was hashed (S16).
impl fmt::Debug for PayloadHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PayloadHasher(…)")
    }
}

fn of_digest(digest: &[u8; 32]) -> Fingerprint {
    Fingerprint::Digest(Digest::new(digest).expect("SHA-256 has 32 bytes"))
}

/// A fingerprint in the making; see [`PayloadFingerprint::of_fields`].
///
/// A fault is kept until [`finish`](FingerprintFields::finish), which tells the first.
#[derive(Clone, Debug)]
#[must_use = "fields give their fingerprint at `finish`"]
pub struct FingerprintFields {
    fields: Fields,
}

impl FingerprintFields {
    /// Adds a field. Its name has 1 to 255 bytes and occurs once; its value is any bytes, none
    /// included, and is copied. At most 64 fields, with values of at most 16 MiB together.
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.add(name, value.as_ref());
        self
    }
    /// Adds a field that may be absent. `None` is the same as not naming it, and other than an empty
    /// value: a field that is new in today's requests leaves the fingerprint of yesterday's alone.
    pub fn optional(self, name: &str, value: Option<impl AsRef<[u8]>>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// The fingerprint.
    ///
    /// # Errors
    /// See [`FieldsError`]; [`FieldsError::None`] also if every field is absent.
    pub fn finish(self) -> Result<Fingerprint, FieldsError> {
        let mut hasher = PartsHasher::new("onceward fingerprint of fields v1");
        self.fields.hash_into(&mut hasher)?;
        Ok(of_digest(&hasher.finish()))
    }
}
