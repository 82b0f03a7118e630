//! Whose a frame is: its namespace by name, its identity in full or as a keyed hash.

use std::collections::BTreeMap;

use onceward::{Identity, Namespace};
use siphasher::sip128::SipHasher13;

use crate::frame::{AcquiredFrame, NamespaceName};
use crate::merge::IdentityHash;

/// The largest identity, and the lengths of its parts.
const HASHED_BYTES_MAX: usize = 3 + 255 + 255 + 255;

/// The manifest's names, by number, and the key of identities' hashes.
pub(crate) struct Names {
    names: Vec<Option<Box<str>>>,
    hasher: SipHasher13,
}

impl Names {
    pub(crate) fn new(by_number: &BTreeMap<u16, String>, hash_key: &[u8; 16]) -> Self {
        let count = by_number.last_key_value().map_or(0, |(number, _)| usize::from(*number) + 1);
        let mut names = vec![None; count];
        for (number, name) in by_number {
            names[usize::from(*number)] = Some(name.as_str().into());
        }
        Self { names, hasher: SipHasher13::new_with_key(hash_key) }
    }

    /// The namespace's name; `None` for a number that the manifest does not have.
    fn name<'a>(&'a self, frame: &AcquiredFrame<'a>) -> Option<&'a str> {
        match frame.namespace {
            NamespaceName::Spelt(name) => Some(name),
            NamespaceName::Number(number) => self.names.get(usize::from(number))?.as_deref(),
        }
    }

    /// Whose the frame is; `None` if its namespace is not known, or is none.
    pub(crate) fn identity<'a>(&'a self, frame: &AcquiredFrame<'a>) -> Option<Identity<'a>> {
        Identity::new(self.name(frame)?, frame.scope, frame.key).ok()
    }

    /// 128 bits that stand for the identity, the same however its namespace is named.
    pub(crate) fn hash(&self, frame: &AcquiredFrame<'_>) -> Option<IdentityHash> {
        let name = self.name(frame)?;
        Namespace::new(name).ok()?;
        let mut bytes = [0; HASHED_BYTES_MAX];
        let mut at = 3;
        for (number, part) in [name.as_bytes(), frame.scope, frame.key].into_iter().enumerate() {
            bytes[number] = part.len() as u8; // Decoded frames and names keep each below 256.
            bytes.get_mut(at..at + part.len())?.copy_from_slice(part);
            at += part.len();
        }
        let (one, other) = self.hasher.hash(&bytes[..at]).as_u64();
        Some([one, other])
    }
}
