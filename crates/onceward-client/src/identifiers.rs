//! Attempt ids, fingerprints and keys for calls downstream.

use std::fmt;

use onceward_core::{AttemptId, Digest, Fingerprint, Identity, ScopedKey};
use sha2::{Digest as _, Sha256};

/// First of the parts that a derived key is made of, so that no other use of SHA-256 over the
/// same parts gives the same key.
const DERIVED_KEY_LABEL: &[u8] = b"onceward derived key v1";

/// A new attempt id: 128 bits from the operating system's random source. Keep it to repeat the
/// same begin, draw another for another begin (S3).
///
/// # Panics
/// If the operating system has no random bytes to give. Guessable ids would let a stranger
/// complete somebody's execution, so there is no fallback.
#[must_use]
pub fn attempt_id() -> AttemptId {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    AttemptId::from_bytes(bytes)
}

/// SHA-256 of a payload, as the fingerprint of what is asked (S1).
///
/// Digest exactly the bytes that make two requests the same request. One pass, no allocation.
#[must_use]
pub fn fingerprint_of(payload: impl AsRef<[u8]>) -> Fingerprint {
    let digest = Sha256::digest(payload.as_ref());
    Fingerprint::Digest(Digest::new(&digest).expect("SHA-256 has 32 bytes"))
}

/// The key for calls downstream: the same for every attempt at one identity, so that a system
/// that takes idempotency keys sees one key however often the work is started.
///
/// 64 lower-case hexadecimal digits of SHA-256 over four parts, each preceded by its length in
/// bytes as a little-endian u32: the text `onceward derived key v1`, the namespace, the scope,
/// the key. Test vectors, for other languages:
///
/// | namespace | scope | key | derived key |
/// |---|---|---|---|
/// | `orders` | `tenant-9` | `order-1` | `70819f8935c9a02dc8701ee83e5fa6c559f4b71ad11be2ddc05debb8647b44a5` |
/// | `default` | (empty) | `k` | `60865ca9fa24d117ba3ab84faf5995f625af53168d2a1f4547abe16f4c5e5a95` |
#[must_use]
pub fn derived_key(identity: Identity<'_>) -> String {
    let scoped_key = identity.scoped_key();
    let namespace = identity.namespace();
    let parts =
        [DERIVED_KEY_LABEL, namespace.as_str().as_bytes(), scoped_key.scope(), scoped_key.key()];
    hex(&digest_of(parts))
}

fn digest_of<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        // A part is at most 255 bytes, so its length fits.
        hasher.update((part.len() as u32).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes every write");
    }
    text
}

/// How a key appears in a log: 8 hexadecimal digits of a hash (S16). Hashed only when shown.
pub(crate) struct ShortHash<'a>(pub(crate) ScopedKey<'a>);

impl fmt::Display for ShortHash<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = digest_of([b"onceward log hash v1", self.0.scope(), self.0.key()]);
        f.write_str(&hex(&digest[..4]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_key_follows_its_document() {
        let cases = [
            (
                ("orders", "tenant-9", "order-1"),
                "70819f8935c9a02dc8701ee83e5fa6c559f4b71ad11be2ddc05debb8647b44a5",
            ),
            (
                ("default", "", "k"),
                "60865ca9fa24d117ba3ab84faf5995f625af53168d2a1f4547abe16f4c5e5a95",
            ),
        ];
        for ((namespace, scope, key), want) in cases {
            let identity = Identity::new(namespace, scope.as_bytes(), key.as_bytes()).unwrap();
            assert_eq!(derived_key(identity), want, "{namespace}");
        }
        let one = Identity::new("n", b"a", b"bc").unwrap();
        let other = Identity::new("n", b"ab", b"c").unwrap();
        assert_ne!(derived_key(one), derived_key(other), "where scope ends counts");
    }

    #[test]
    fn a_fingerprint_is_sha_256() {
        let want = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(fingerprint_of("hello"), Fingerprint::Digest(want.parse().unwrap()));
    }

    #[test]
    fn attempt_ids_differ() {
        assert_ne!(attempt_id(), attempt_id());
    }

    #[test]
    fn a_log_gets_a_hash_that_holds_no_key_s16() {
        let shown = ShortHash(ScopedKey::new(b"tenant", b"secret").unwrap()).to_string();
        assert_eq!(shown.len(), 8);
        assert_ne!(shown, ShortHash(ScopedKey::new(b"tenant", b"other").unwrap()).to_string());
    }
}
