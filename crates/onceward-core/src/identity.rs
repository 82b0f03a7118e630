//! Who is asking for what: namespace, scope and key.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::error::BadInput;
use crate::limits;

/// Unit of configuration and authorization: 1–64 bytes of `[a-z0-9._-]`.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Namespace<'a>(&'a str);

impl<'a> Namespace<'a> {
    /// The namespace that exists without any configuration.
    pub const DEFAULT: Namespace<'static> = Namespace("default");

    /// Checks length and alphabet.
    ///
    /// # Errors
    /// [`BadInput::NamespaceLength`] or [`BadInput::NamespaceByte`].
    pub fn new(name: &'a str) -> Result<Self, BadInput> {
        if name.is_empty() || name.len() > limits::NAMESPACE_BYTES_MAX {
            return Err(BadInput::NamespaceLength { got: name.len() });
        }
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
        };
        match name.bytes().position(|byte| !allowed(byte)) {
            Some(at) => Err(BadInput::NamespaceByte { at }),
            None => Ok(Self(name)),
        }
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

/// A [`Namespace`] that owns its name: checked once, and borrowed from then on at no cost.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NamespaceBuf(Box<str>);

impl NamespaceBuf {
    /// The namespace.
    #[must_use]
    pub const fn as_namespace(&self) -> Namespace<'_> {
        Namespace(&self.0)
    }
}

impl From<Namespace<'_>> for NamespaceBuf {
    fn from(namespace: Namespace<'_>) -> Self {
        Self(namespace.0.into())
    }
}

impl fmt::Debug for NamespaceBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Namespace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Namespace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

/// Scope and key, as a connection bound to one namespace names an identity.
///
/// `Debug` shows sizes only: keys and scopes appear in no log (S16).
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct ScopedKey<'a> {
    scope: &'a [u8],
    key: &'a [u8],
}

impl<'a> ScopedKey<'a> {
    /// Names `key` within `scope`. An empty scope is allowed but must be written: two tenants
    /// who choose the same key must not meet.
    ///
    /// # Errors
    /// [`BadInput::ScopeLength`] over 255 bytes, [`BadInput::KeyLength`] unless 1–255 bytes.
    pub const fn new(scope: &'a [u8], key: &'a [u8]) -> Result<Self, BadInput> {
        if scope.len() > limits::SCOPE_BYTES_MAX {
            return Err(BadInput::ScopeLength { got: scope.len() });
        }
        if key.is_empty() || key.len() > limits::KEY_BYTES_MAX {
            return Err(BadInput::KeyLength { got: key.len() });
        }
        Ok(Self { scope, key })
    }

    /// Who the key belongs to; may be empty.
    #[must_use]
    #[inline]
    pub const fn scope(self) -> &'a [u8] {
        self.scope
    }

    /// The client's idempotency key.
    #[must_use]
    #[inline]
    pub const fn key(self) -> &'a [u8] {
        self.key
    }

    /// The full identity in `namespace`.
    #[must_use]
    #[inline]
    pub const fn within(self, namespace: Namespace<'a>) -> Identity<'a> {
        Identity { namespace, scoped_key: self }
    }

    /// A copy that owns its bytes.
    #[must_use]
    pub fn to_owned(self) -> ScopedKeyBuf {
        let mut bytes = Vec::with_capacity(self.scope.len() + self.key.len());
        bytes.extend_from_slice(self.scope);
        bytes.extend_from_slice(self.key);
        ScopedKeyBuf { bytes: bytes.into_boxed_slice(), scope_size: self.scope.len() as u8 }
    }
}

impl fmt::Debug for ScopedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopedKey(scope {} bytes, key {} bytes)", self.scope.len(), self.key.len())
    }
}

/// A [`ScopedKey`] that owns its bytes, in one allocation.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct ScopedKeyBuf {
    bytes: Box<[u8]>,
    scope_size: u8,
}

impl ScopedKeyBuf {
    /// Copies `key` within `scope`.
    ///
    /// # Errors
    /// As [`ScopedKey::new`].
    pub fn new(scope: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, BadInput> {
        ScopedKey::new(scope.as_ref(), key.as_ref()).map(ScopedKey::to_owned)
    }

    /// The borrowed form.
    #[must_use]
    pub fn as_ref(&self) -> ScopedKey<'_> {
        let (scope, key) = self.bytes.split_at(usize::from(self.scope_size));
        ScopedKey { scope, key }
    }
}

impl From<ScopedKey<'_>> for ScopedKeyBuf {
    fn from(borrowed: ScopedKey<'_>) -> Self {
        borrowed.to_owned()
    }
}

/// A copy, so that what takes `impl Into<ScopedKeyBuf>` takes a key that is still needed.
impl From<&Self> for ScopedKeyBuf {
    fn from(owned: &Self) -> Self {
        owned.clone()
    }
}

impl<'a> From<&'a ScopedKeyBuf> for ScopedKey<'a> {
    fn from(owned: &'a ScopedKeyBuf) -> Self {
        owned.as_ref()
    }
}

impl fmt::Debug for ScopedKeyBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// Namespace, scope and key: what is executed once. Compared in full.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Identity<'a> {
    namespace: Namespace<'a>,
    scoped_key: ScopedKey<'a>,
}

impl<'a> Identity<'a> {
    /// Checks all three parts.
    ///
    /// # Errors
    /// The first part that breaks its limit, as [`Namespace::new`] and [`ScopedKey::new`].
    pub fn new(namespace: &'a str, scope: &'a [u8], key: &'a [u8]) -> Result<Self, BadInput> {
        Ok(ScopedKey::new(scope, key)?.within(Namespace::new(namespace)?))
    }

    /// The namespace.
    #[must_use]
    #[inline]
    pub const fn namespace(self) -> Namespace<'a> {
        self.namespace
    }

    /// Scope and key.
    #[must_use]
    #[inline]
    pub const fn scoped_key(self) -> ScopedKey<'a> {
        self.scoped_key
    }

    /// Bytes of all three parts together.
    #[must_use]
    pub const fn size(self) -> usize {
        self.namespace.0.len() + self.scoped_key.scope.len() + self.scoped_key.key.len()
    }

    /// A copy that owns its bytes.
    #[must_use]
    pub fn to_owned(self) -> IdentityBuf {
        IdentityBuf { namespace: self.namespace.0.into(), scoped_key: self.scoped_key.to_owned() }
    }
}

/// An [`Identity`] that owns its bytes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct IdentityBuf {
    namespace: Box<str>,
    scoped_key: ScopedKeyBuf,
}

impl IdentityBuf {
    /// The borrowed form.
    #[must_use]
    pub fn as_ref(&self) -> Identity<'_> {
        self.scoped_key.as_ref().within(Namespace(&self.namespace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn each_part_has_its_bounds() {
        let long = [b'k'; 256];
        assert_eq!(ScopedKey::new(b"", b""), Err(BadInput::KeyLength { got: 0 }));
        assert!(ScopedKey::new(b"", &long[..255]).is_ok());
        assert_eq!(ScopedKey::new(b"", &long), Err(BadInput::KeyLength { got: 256 }));
        assert!(ScopedKey::new(&long[..255], b"\xff\0").is_ok(), "any bytes are a key");
        assert_eq!(ScopedKey::new(&long, b"k"), Err(BadInput::ScopeLength { got: 256 }));
        assert!(Namespace::new("orders.v2_eu-1").is_ok());
        assert_eq!(Namespace::new(""), Err(BadInput::NamespaceLength { got: 0 }));
        assert!(Namespace::new(&"n".repeat(64)).is_ok());
        assert_eq!(Namespace::new(&"n".repeat(65)), Err(BadInput::NamespaceLength { got: 65 }));
        assert_eq!(Namespace::new("a/b"), Err(BadInput::NamespaceByte { at: 1 }));
        assert_eq!(Namespace::new("Orders"), Err(BadInput::NamespaceByte { at: 0 }));
    }

    #[test]
    fn the_boundary_between_scope_and_key_counts() {
        let one = ScopedKeyBuf::new("a", "bc").unwrap();
        let other = ScopedKeyBuf::new("ab", "c").unwrap();
        assert_ne!(one, other);
        assert_eq!(one.as_ref().scope(), b"a");
        assert_eq!(one.as_ref().key(), b"bc");
    }

    #[test]
    fn debug_shows_no_key_s16() {
        let identity = Identity::new("orders", b"tenant-9", b"secret-key").unwrap();
        let text = format!("{identity:?} {:?}", identity.to_owned());
        assert!(!text.contains("tenant") && !text.contains("secret"), "{text}");
    }
}
