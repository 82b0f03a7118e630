//! An entry's slot word: everything about an entry that ever changes.
//!
//! ```text
//!   63    62       61     60 ..... 38   37 ........ 0
//!   BUSY  WATCHED  DEAD   tag           location
//! ```
//! The whole word 0 is an empty slot. A state of an entry is an immutable block, and the location
//! names it, in granules of 8 bytes; a change writes another block and replaces the word.

use std::fmt;

/// A slot without an entry.
pub(crate) const EMPTY: u64 = 0;
/// A slot claimed by an insert: no entry until the header has named it.
pub(crate) const BUSY: u64 = 1 << 63;
const WATCHED: u64 = 1 << 62;
const DEAD: u64 = 1 << 61;

const LOCATION_BITS: u32 = 38;
const TAG_BITS: u32 = 23;
/// The largest location: of 2 TiB in granules of 8 bytes.
pub(crate) const LOCATION_MAX: u64 = (1 << LOCATION_BITS) - 1;
const TAG_MAX: u64 = (1 << TAG_BITS) - 1;

const _: () = assert!(LOCATION_BITS + TAG_BITS == 61, "location, tag and three bits fill the word");
const _: () =
    assert!(BUSY ^ WATCHED ^ DEAD ^ (TAG_MAX << LOCATION_BITS) ^ LOCATION_MAX == u64::MAX);

/// What of a hash a slot keeps: a look touches the block of another key in one of 2^23 cases.
/// The low bits, for the bucket is chosen by the high ones.
#[inline]
pub(crate) const fn tag_of(hash: u64) -> u32 {
    (hash & TAG_MAX) as u32
}

/// The word of an entry. Never empty and never BUSY, so its top bit is clear.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(crate) struct Word(u64);

impl Word {
    /// Neither watched nor dead.
    #[inline]
    pub(crate) const fn new(tag: u32, location: u64) -> Self {
        debug_assert!(tag as u64 <= TAG_MAX);
        debug_assert!(location != 0 && location <= LOCATION_MAX);
        Self((tag as u64) << LOCATION_BITS | location)
    }

    /// `None` if these are the bits of an empty slot, of a claim, or of an absence's version.
    #[inline]
    pub(crate) const fn from_bits(bits: u64) -> Option<Self> {
        if bits == EMPTY || bits & BUSY != 0 { None } else { Some(Self(bits)) }
    }

    /// [`Word::from_bits`], for a word of this tag only: mostly one comparison.
    #[inline]
    pub(crate) const fn tagged(bits: u64, tag: u32) -> Option<Self> {
        let same = bits & (BUSY | TAG_MAX << LOCATION_BITS) == (tag as u64) << LOCATION_BITS;
        if same { Self::from_bits(bits) } else { None }
    }

    #[inline]
    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) const fn tag(self) -> u32 {
        (self.0 >> LOCATION_BITS & TAG_MAX) as u32
    }

    /// Where its block starts, in granules of 8 bytes; not 0.
    #[inline]
    pub(crate) const fn location(self) -> u64 {
        self.0 & LOCATION_MAX
    }

    /// Somebody waits: the word changes under the lock of the identity's queue only (S10).
    #[inline]
    pub(crate) const fn watched(self) -> bool {
        self.0 & WATCHED != 0
    }

    /// The identity is absent; the word stays until its attempt id is remembered elsewhere (S3)
    /// or nobody waits.
    #[inline]
    pub(crate) const fn dead(self) -> bool {
        self.0 & DEAD != 0
    }

    #[must_use]
    #[inline]
    pub(crate) const fn with_watched(self, watched: bool) -> Self {
        Self(if watched { self.0 | WATCHED } else { self.0 & !WATCHED })
    }

    #[must_use]
    #[inline]
    pub(crate) const fn with_dead(self, dead: bool) -> Self {
        Self(if dead { self.0 | DEAD } else { self.0 & !DEAD })
    }

    /// The same entry and marks with another block.
    #[must_use]
    #[inline]
    pub(crate) const fn with_location(self, location: u64) -> Self {
        debug_assert!(location != 0 && location <= LOCATION_MAX);
        Self(self.0 & !LOCATION_MAX | location)
    }
}

impl fmt::Debug for Word {
    /// The tag is of a hash of the key, and is not shown (S16).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Word")
            .field("location", &self.location())
            .field("watched", &self.watched())
            .field("dead", &self.dead())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bits_stand_where_the_drawing_says() {
        let most = Word::new(TAG_MAX as u32, LOCATION_MAX);
        for (why, word, bits) in [
            ("the smallest", Word::new(0, 1), 1),
            ("the largest location", Word::new(0, LOCATION_MAX), 0x3f_ffff_ffff),
            ("the smallest tag", Word::new(1, 1), 1 << 38 | 1),
            ("the largest tag", Word::new(TAG_MAX as u32, 1), 0x1fff_ffc0_0000_0001),
            ("watched", Word::new(0, 1).with_watched(true), 1 << 62 | 1),
            ("dead", Word::new(0, 1).with_dead(true), 1 << 61 | 1),
            ("all of it", most.with_watched(true).with_dead(true), u64::MAX >> 1),
        ] {
            assert_eq!(word.to_bits(), bits, "{why}");
            assert_eq!(Word::from_bits(bits), Some(word), "{why}");
            assert_eq!(Word::from_bits(bits | BUSY), None, "{why}, claimed");
        }
        assert_eq!(Word::from_bits(EMPTY), None);
        assert_eq!(tag_of(u64::MAX), TAG_MAX as u32);
        assert_eq!(tag_of(1 << TAG_BITS), 0);
    }

    proptest! {
        #[test]
        fn each_part_is_kept_apart_from_the_others(
            tag in 0..=TAG_MAX as u32,
            location in 1..=LOCATION_MAX,
            other in 1..=LOCATION_MAX,
            watched: bool,
            dead: bool,
        ) {
            let word = Word::new(tag, location).with_watched(watched).with_dead(dead);
            let parts = |word: Word| (word.tag(), word.location(), word.watched(), word.dead());
            prop_assert_eq!(parts(word), (tag, location, watched, dead));
            prop_assert_eq!(parts(word.with_location(other)), (tag, other, watched, dead));
            prop_assert_eq!(parts(word.with_watched(!watched)), (tag, location, !watched, dead));
            prop_assert_eq!(parts(word.with_dead(!dead)), (tag, location, watched, !dead));
            prop_assert_eq!(Word::from_bits(word.to_bits()), Some(word));
            prop_assert_eq!(Word::tagged(word.to_bits(), tag), Some(word));
            prop_assert_eq!(Word::tagged(word.to_bits(), tag ^ 1), None);
            prop_assert_eq!(Word::tagged(word.to_bits() | BUSY, tag), None);
            prop_assert_eq!(Word::tagged(EMPTY, tag), None);
            prop_assert!(!format!("{word:?}").contains("tag"), "S16");
        }
    }
}
