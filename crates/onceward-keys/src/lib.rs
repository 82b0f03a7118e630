//! Idempotency keys and fingerprints: what makes two requests one intent, and what makes two bodies
//! the same request.
//!
//! A [`Key`] is generated, taken as it comes, or derived from what is intended.
//! [`PayloadFingerprint`] makes fingerprints of bytes, of JSON and of fields (S1).
//! [`derived_key`] is for systems downstream; [`ShortHash`] is how a key appears in a log (S16).
//! `docs/keys.md` lays down the bytes behind all of them, with test vectors.
//!
//! Nothing here knows a store, a socket or a runtime. The client re-exports it: only who writes
//! middleware names this crate itself.

mod fields;
mod fingerprint;
mod identifiers;
mod key;
mod parts;

pub use fields::FieldsError;
pub use fingerprint::{
    FingerprintFields, JsonDocument, JsonFingerprintError, PayloadFingerprint, PayloadHasher,
};
pub use identifiers::{ShortHash, attempt_id, derived_key};
pub use key::{DeriveError, Key, KeyDerivation};
pub use parts::PartsHasher;
