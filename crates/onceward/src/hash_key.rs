//! The keyed hash of identities: SipHash-1-3 under a random key, over words.
//!
//! The same function as the standard library's, which takes any bytes in any portions; whole words
//! and a last one of seven bytes need none of its bookkeeping.

use std::hash::{BuildHasher as _, RandomState};

/// Bytes of the last word that carry content; the eighth states the length.
const REST_BYTES: usize = 7;

/// A key that strangers do not know, so that they cannot choose what hashes alike.
pub(crate) struct HashKey(u64, u64);

impl HashKey {
    /// From the system's random source, by way of the standard library's.
    pub(crate) fn random() -> Self {
        let source = RandomState::new();
        Self(source.hash_one(0_u8), source.hash_one(1_u8))
    }

    /// The one that was stated, or a random one.
    pub(crate) fn of(stated: Option<[u8; 16]>) -> Self {
        let half = |bytes: &[u8]| bytes.iter().rfold(0, |word, byte| word << 8 | u64::from(*byte));
        stated.map_or_else(Self::random, |bytes| Self(half(&bytes[..8]), half(&bytes[8..])))
    }

    /// The hash of `words` and of the low seven bytes of `rest` after them.
    #[inline(always)]
    pub(crate) fn hash(&self, words: &[u64], rest: u64) -> u64 {
        debug_assert!(rest >> (8 * REST_BYTES) == 0);
        let length = (8 * words.len() + REST_BYTES) as u64;
        let mut state = [
            self.0 ^ 0x736f_6d65_7073_6575,
            self.1 ^ 0x646f_7261_6e64_6f6d,
            self.0 ^ 0x6c79_6765_6e65_7261,
            self.1 ^ 0x7465_6462_7974_6573,
        ];
        for &word in words {
            absorb(&mut state, word);
        }
        absorb(&mut state, rest | length << (8 * REST_BYTES));
        state[2] ^= 0xff;
        for _ in 0..3 {
            round(&mut state);
        }
        state[0] ^ state[1] ^ state[2] ^ state[3]
    }
}

#[inline]
fn absorb(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    state[0] ^= word;
}

#[inline]
fn round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *c = c.wrapping_add(*d);
    *b = b.rotate_left(13) ^ *a;
    *d = d.rotate_left(16) ^ *c;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*b);
    *a = a.wrapping_add(*d);
    *b = b.rotate_left(17) ^ *c;
    *d = d.rotate_left(21) ^ *a;
    *c = c.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::hash::{DefaultHasher, Hasher as _};

    proptest! {
        #[test]
        fn it_is_the_standard_librarys_siphash_1_3(
            words in prop::collection::vec(any::<u64>(), 0..=80),
            rest in 0..1_u64 << 56,
        ) {
            let bytes: Vec<u8> = words.iter().chain([&rest]).flat_map(|it| it.to_le_bytes()).collect();
            let mut theirs = DefaultHasher::new(); // Its key is zeros.
            theirs.write(&bytes[..bytes.len() - 1]);
            prop_assert_eq!(HashKey(0, 0).hash(&words, rest), theirs.finish());
        }
    }

    #[test]
    fn each_key_hashes_otherwise() {
        let hash = || HashKey::random().hash(&[1, 2], 3);
        assert_ne!(hash(), hash());
    }
}
