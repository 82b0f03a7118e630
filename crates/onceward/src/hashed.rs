//! An identity as it is looked for: its keyed hash, and the words it is stored as.

use onceward_core::{Identity, ScopedKey};

use crate::compact_key::{KeyForm, compact, expand};
use crate::hash_key::HashKey;
use crate::namespaces::Namespaces;

/// Words that an identity takes without an allocation: a UUID with a scope of up to 48 bytes.
const SHORT_WORDS: usize = 8;

/// An identity with its keyed hash, computed once per operation.
#[derive(Clone)]
pub(crate) struct Hashed<'a> {
    pub(crate) identity: Identity<'a>,
    pub(crate) hash: u64,
    pub(crate) image: Image,
}

impl<'a> Hashed<'a> {
    #[inline(always)]
    pub(crate) fn new(key: &HashKey, names: &Namespaces, identity: Identity<'a>) -> Self {
        let number = names.number(identity.namespace());
        if identity.scoped_key().scope().is_empty()
            && let Some(number) = number
            && let Some((form, bytes)) = compact(identity.scoped_key().key())
        {
            // The common case, without a detour through bytes.
            let (eights, _) = bytes.as_chunks::<8>();
            let words: [u64; 2] = std::array::from_fn(|at| u64::from_le_bytes(eights[at]));
            let image = Image::compacted(form, words, number);
            let hash = key.hash(&words, image.head());
            return Self { identity, hash, image };
        }
        Self::spelt(key, number, identity)
    }

    #[inline(never)]
    fn spelt(key: &HashKey, number: Option<u16>, identity: Identity<'a>) -> Self {
        let image = Image::of(number, identity);
        Self { identity, hash: image.hash(key), image }
    }
}

/// An identity as stored: the namespace (by its number if it is configured), the scope and the
/// key in its compact form, one after the other, in little-endian words padded with zeros.
/// Two identities are equal exactly if shape, number and words are.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Image {
    /// How the words are to be read: see [`Shape`].
    pub(crate) shape: Shape,
    /// Of a configured namespace; 0 for one that is spelt out.
    pub(crate) namespace_number: u16,
    /// How many words there are: what the shape says, at hand.
    count: u8,
    short: [u64; SHORT_WORDS],
    /// Instead of `short`, if that is too short.
    long: Vec<u64>,
}

/// Form 2 bits | key bytes 8 | scope bytes 8 | namespace bytes 7 (0: configured, by number).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Shape(pub(crate) u32);

impl Shape {
    pub(crate) const BITS: u32 = 25;

    #[inline]
    fn new(form: KeyForm, key: usize, scope: usize, namespace: usize) -> Self {
        Self(form as u32 | (key as u32) << 2 | (scope as u32) << 10 | (namespace as u32) << 18)
    }

    #[inline]
    fn form(self) -> KeyForm {
        KeyForm::from_bits(u64::from(self.0))
    }

    #[inline]
    fn key_size(self) -> usize {
        (self.0 >> 2 & 0xff) as usize
    }

    #[inline]
    fn scope_size(self) -> usize {
        (self.0 >> 10 & 0xff) as usize
    }

    #[inline]
    fn namespace_size(self) -> usize {
        (self.0 >> 18 & 0x7f) as usize
    }

    #[inline]
    fn bytes(self) -> usize {
        self.key_size() + self.scope_size() + self.namespace_size()
    }

    #[inline]
    pub(crate) fn words(self) -> usize {
        self.bytes().div_ceil(8)
    }
}

impl Image {
    #[inline]
    fn compacted(form: KeyForm, [first, second]: [u64; 2], number: u16) -> Self {
        Self {
            shape: Shape::new(form, 16, 0, 0),
            namespace_number: number,
            count: 2,
            short: [first, second, 0, 0, 0, 0, 0, 0],
            long: Vec::new(),
        }
    }

    /// Of an identity whose namespace has a number, or none.
    pub(crate) fn of(number: Option<u16>, identity: Identity<'_>) -> Self {
        let (scope, key) = (identity.scoped_key().scope(), identity.scoped_key().key());
        let namespace = identity.namespace().as_str();
        let namespace: &[u8] = if number.is_some() { &[] } else { namespace.as_bytes() };
        let compacted = compact(key);
        let (form, key) = match &compacted {
            Some((form, bytes)) => (*form, &bytes[..]),
            None => (KeyForm::Raw, key),
        };
        let shape = Shape::new(form, key.len(), scope.len(), namespace.len());
        let words = shape.words();
        let mut image = Self {
            shape,
            namespace_number: number.unwrap_or(0),
            count: words as u8,
            short: [0; SHORT_WORDS],
            long: if words > SHORT_WORDS { vec![0; words] } else { Vec::new() },
        };
        let target = if words > SHORT_WORDS { &mut image.long[..] } else { &mut image.short[..] };
        let bytes = namespace.iter().chain(scope).chain(key);
        for (at, &byte) in bytes.enumerate() {
            target[at / 8] |= u64::from(byte) << (8 * (at % 8));
        }
        image
    }

    #[inline]
    pub(crate) fn words(&self) -> &[u64] {
        self.short.get(..usize::from(self.count)).unwrap_or(&self.long)
    }

    /// What is hashed beside the words.
    #[inline]
    fn head(&self) -> u64 {
        u64::from(self.shape.0) << 16 | u64::from(self.namespace_number)
    }

    /// Strangers choose the keys, so the hash has one of its own.
    pub(crate) fn hash(&self, key: &HashKey) -> u64 {
        key.hash(self.words(), self.head())
    }

    /// An image read back from where it is stored.
    pub(crate) fn stored(shape: Shape, number: u16, word: impl Fn(usize) -> u64) -> Self {
        let words = shape.words();
        let (count, short) = (words as u8, [0; SHORT_WORDS]);
        let mut image = Self { shape, namespace_number: number, count, short, long: Vec::new() };
        if words > SHORT_WORDS {
            image.long = (0..words).map(word).collect();
        } else {
            for (at, to) in image.short[..words].iter_mut().enumerate() {
                *to = word(at);
            }
        }
        image
    }

    /// Calls `visit` with the identity that the words spell; `None` if they spell none.
    pub(crate) fn read<T>(
        &self,
        names: &Namespaces,
        visit: impl FnOnce(Identity<'_>) -> T,
    ) -> Option<T> {
        let bytes: Vec<u8> = self.words().iter().flat_map(|word| word.to_le_bytes()).collect();
        let (namespace, rest) = bytes.split_at_checked(self.shape.namespace_size())?;
        let (scope, rest) = rest.split_at_checked(self.shape.scope_size())?;
        let mut key = Vec::with_capacity(36);
        expand(self.shape.form(), rest.get(..self.shape.key_size())?, &mut key);
        let namespace = if namespace.is_empty() {
            names.name(self.namespace_number)?
        } else {
            onceward_core::Namespace::new(std::str::from_utf8(namespace).ok()?).ok()?
        };
        Some(visit(ScopedKey::new(scope, &key).ok()?.within(namespace)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NamespaceConfig;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn names() -> Namespaces {
        let config = NamespaceConfig::default();
        Namespaces::new(&BTreeMap::from([("orders".into(), config), ("labels".into(), config)]))
    }

    proptest! {
        #[test]
        fn an_image_is_one_identity_and_spells_it_again(
            namespace in "orders|labels|default|[a-z]{1,64}",
            scope in prop_oneof![Just(Vec::new()), prop::collection::vec(any::<u8>(), 0..=255)],
            key in prop_oneof![
                prop::collection::vec(any::<u8>(), 1..=255),
                "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
                    .prop_map(String::into_bytes),
            ],
        ) {
            let names = names();
            let identity = Identity::new(&namespace, &scope, &key).unwrap();
            let image = Image::of(names.number(identity.namespace()), identity);
            let back = Image::stored(image.shape, image.namespace_number, |at| image.words()[at]);
            prop_assert_eq!(&back, &image);
            let hash_key = HashKey::random();
            let hashed = Hashed::new(&hash_key, &names, identity);
            prop_assert_eq!((hashed.hash, &hashed.image), (back.hash(&hash_key), &back));
            prop_assert_eq!(back.read(&names, |read| read == identity), Some(true));
            // A byte moved from scope to key is another identity.
            if let Some((last, scope)) = scope.split_last()
                && key.len() < 255
            {
                let moved = [&[*last], &key[..]].concat();
                let other = Identity::new(&namespace, scope, &moved).unwrap();
                prop_assert_ne!(Image::of(names.number(other.namespace()), other), image);
            }
        }
    }

    #[test]
    fn configured_and_spelt_out_namespaces_stay_apart() {
        let names = names();
        let image = |name| {
            let identity = Identity::new(name, b"", b"k").unwrap();
            Image::of(names.number(identity.namespace()), identity)
        };
        let all = [image("orders"), image("labels"), image("default"), image("other")];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other != one));
        }
        assert_eq!(image("orders").words().len(), 1, "a number takes no room");
    }
}
