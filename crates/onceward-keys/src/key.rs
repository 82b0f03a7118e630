//! Idempotency keys: drawn at random, taken as they come, or derived from what is intended.

mod derivation;

use std::fmt;
use std::str::FromStr;

use onceward_core::limits::KEY_BYTES_MAX;
use onceward_core::{BadInput, ScopedKeyBuf};
use ulid::Ulid;
use uuid::Uuid;

pub use derivation::{DeriveError, KeyDerivation};

use crate::parts::{digest_of, hex};

/// An idempotency key, of 1 to 255 bytes, as yet without a scope.
///
/// | the key comes from | make it with |
/// |---|---|
/// | nowhere: a new intent, kept beside it for its retries | [`Key::generate`], [`Key::ulid`] |
/// | what is intended: the same intent gives the same key, wherever it is computed | [`Key::derive`] |
/// | another key: a part of the same work | [`Key::child`] |
/// | a caller, such as the HTTP header `Idempotency-Key` | [`Key::new`], or `parse()` |
///
/// Before it is used the key gets a scope, [`in_scope`](Key::in_scope): whose key it is. There is no
/// default, for two tenants who choose the same key must not meet; who has none writes `""`.
///
/// There is no `Display`, and `Debug` shows 8 hexadecimal digits of a hash, because a key appears
/// in no log (S16). [`as_str`](Key::as_str) and [`as_bytes`](Key::as_bytes) give the key itself.
///
/// ```
/// use onceward_keys::Key;
///
/// // Two processes that mean the same order name the same key, in whatever order they name its fields.
/// let key = Key::derive("order.create/v1").field("customer", "7").field("cart", "c-81").finish()?;
/// let same = Key::derive("order.create/v1").field("cart", "c-81").field("customer", "7").finish()?;
/// assert_eq!(key, same);
///
/// let order = key.in_scope("tenant-7")?;
/// let charge = key.child("charge").in_scope("tenant-7")?;
/// assert_ne!(order, charge);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key(
    /// Invariant: 1 to [`KEY_BYTES_MAX`] bytes.
    Box<[u8]>,
);

impl Key {
    /// Takes a key as it comes: any bytes. HTTP allows fewer (H1).
    ///
    /// # Errors
    /// [`BadInput::KeyLength`] unless there are 1 to 255 bytes.
    pub fn new(key: impl AsRef<[u8]>) -> Result<Self, BadInput> {
        let key = key.as_ref();
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(BadInput::KeyLength { got: key.len() });
        }
        Ok(Self(key.into()))
    }

    /// A new key: a UUID of version 7 as text, 36 characters, which sorts by the time of making.
    ///
    /// Draw it once per intent and keep it with the intent (in the row of an outbox, in the
    /// message), before the first try: a key drawn anew for a retry protects nothing.
    ///
    /// # Panics
    /// If the operating system has no random bytes to give.
    #[must_use]
    pub fn generate() -> Self {
        Self::of_text(&Uuid::now_v7().to_string())
    }

    /// The same as a ULID, 26 characters, for systems that keep those.
    ///
    /// # Panics
    /// If the operating system has no random bytes to give.
    #[must_use]
    pub fn ulid() -> Self {
        Self::of_text(&Ulid::generate().to_string())
    }

    /// Derives a key from what is intended: named fields under a label of 1 to 255 bytes, which
    /// names the kind of intent and its version, such as `order.create/v1`.
    ///
    /// The same label and fields give the same key in every process and language; their order does
    /// not matter. A field that does not belong to the intent (a time of sending, a number of
    /// tries) gives each retry a key of its own, and so must stay out.
    ///
    /// `docs/keys.md` lays down the bytes, with test vectors.
    pub fn derive(label: &str) -> KeyDerivation {
        KeyDerivation::new(label)
    }

    /// The key of a part of the work that this key stands for: 64 lower-case hexadecimal digits.
    ///
    /// Equal names give equal keys, other names or parents other keys, and no
    /// [`derive`](Key::derive) gives any of them. May be repeated: `key.child("ship").child("label")`
    /// is neither `key.child("label")` nor `key.child("shiplabel")`. Names may be any bytes. The
    /// child has the parent's missing scope too: state it with
    /// [`in_scope`](Key::in_scope). For other systems than Onceward start from
    /// [`derived_key`](crate::derived_key), which holds namespace and scope.
    ///
    /// # Panics
    /// If the name has 4 GiB or more.
    #[must_use]
    pub fn child(&self, name: impl AsRef<[u8]>) -> Self {
        Self::of_digest(&digest_of("onceward child key v1", [&self.0, name.as_ref()]))
    }

    /// This key as that of `scope`: of a tenant, a signed-in user, an endpoint. Where there is
    /// none, write `""`.
    ///
    /// # Errors
    /// [`BadInput::ScopeLength`] over 255 bytes.
    pub fn in_scope(&self, scope: impl AsRef<[u8]>) -> Result<ScopedKeyBuf, BadInput> {
        ScopedKeyBuf::new(scope, self)
    }

    /// The key's 1 to 255 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key as text, unless it was made of bytes that are not UTF-8. Generated and derived keys
    /// are text that a header `Idempotency-Key` takes as it is (H1).
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    fn of_text(text: &str) -> Self {
        Self(text.as_bytes().into())
    }

    fn of_digest(digest: &[u8; 32]) -> Self {
        Self::of_text(&hex(digest))
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Shows 8 hexadecimal digits of a hash. Logs of this crate show others, of scope and key together.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = digest_of("onceward key hash v1", [&self.0]);
        write!(f, "Key({})", hex(&digest[..4]))
    }
}

impl FromStr for Key {
    type Err = BadInput;

    fn from_str(text: &str) -> Result<Self, BadInput> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Key {
    type Error = BadInput;

    fn try_from(text: &str) -> Result<Self, BadInput> {
        Self::new(text)
    }
}

impl TryFrom<String> for Key {
    type Error = BadInput;

    fn try_from(text: String) -> Result<Self, BadInput> {
        Self::new(text)
    }
}

impl TryFrom<&[u8]> for Key {
    type Error = BadInput;

    fn try_from(bytes: &[u8]) -> Result<Self, BadInput> {
        Self::new(bytes)
    }
}

impl TryFrom<Vec<u8>> for Key {
    type Error = BadInput;

    fn try_from(bytes: Vec<u8>) -> Result<Self, BadInput> {
        Self::new(bytes)
    }
}
