//! Attempt ids, keys for calls downstream, and how a key appears in a log.

use std::fmt;

use onceward_core::{AttemptId, Identity, ScopedKey};

use crate::parts::{digest_of, hex};

/// A new attempt id: 128 bits from the operating system's random source. Keep it to repeat the
/// same begin, draw another for another begin (S3).
///
/// # Panics
/// If the operating system has no random bytes to give. Guessable ids would let a stranger
/// complete somebody's execution, so there is no fallback.
#[must_use]
pub fn attempt_id() -> AttemptId {
    // Not drawn ahead, though a system call takes 0.35 µs: of two copies of a process, or of the
    // machine that it runs on, each would have the same ids, and both would own what one acquires.
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    AttemptId::from_bytes(bytes)
}

/// The key for calls downstream: the same for every attempt at one identity, so that a system
/// that takes idempotency keys sees one key however often the work is started.
///
/// 64 lower-case hexadecimal digits of SHA-256 over four parts, each preceded by its length in
/// bytes as a little-endian u32: the text `onceward derived key v1`, the namespace, the scope,
/// the key. Test vectors for other languages are in `docs/keys.md`.
///
/// This is for another system, which knows neither namespace nor scope: both are in the digest, so
/// two tenants with the same key do not meet there. A key that goes to Onceward itself is made with
/// [`Key::derive`](crate::Key::derive) or [`Key::child`](crate::Key::child), and keeps its scope
/// beside it. For several calls downstream, one key each:
///
/// ```
/// # use onceward_core::Identity;
/// # use onceward_keys::{Key, derived_key};
/// let order = Identity::new("orders", b"tenant-9", b"order-1")?;
/// let downstream: Key = derived_key(order).parse()?;
/// let (charge, ship) = (downstream.child("charge"), downstream.child("ship"));
/// assert_ne!(charge, ship);
/// # Ok::<(), onceward_core::BadInput>(())
/// ```
#[must_use]
pub fn derived_key(identity: Identity<'_>) -> String {
    let scoped_key = identity.scoped_key();
    let namespace = identity.namespace().as_str().as_bytes();
    let parts = [namespace, scoped_key.scope(), scoped_key.key()];
    hex(&digest_of("onceward derived key v1", parts))
}

/// How a key appears in a log: 8 hexadecimal digits of a hash (S16). Hashed only when shown.
#[derive(Clone, Copy, Debug)]
pub struct ShortHash<'a>(pub ScopedKey<'a>);

impl fmt::Display for ShortHash<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = digest_of("onceward log hash v1", [self.0.scope(), self.0.key()]);
        f.write_str(&hex(&digest[..4]))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_derived_key_knows_where_the_scope_ends() {
        let one = Identity::new("n", b"a", b"bc").unwrap();
        let other = Identity::new("n", b"ab", b"c").unwrap();
        assert_ne!(derived_key(one), derived_key(other));
    }

    #[test]
    fn attempt_ids_differ() {
        let draw = || (0..80).map(|_| attempt_id());
        let elsewhere = std::thread::spawn(move || draw().collect::<Vec<_>>());
        let ids: HashSet<_> = draw().chain(elsewhere.join().unwrap()).collect();
        assert_eq!(ids.len(), 160);
    }

    #[test]
    fn a_log_gets_a_hash_that_holds_no_key_s16() {
        let shown = ShortHash(ScopedKey::new(b"tenant", b"secret").unwrap()).to_string();
        assert_eq!(shown.len(), 8);
        assert_ne!(shown, ShortHash(ScopedKey::new(b"tenant", b"other").unwrap()).to_string());
    }
}
