//! A bucket's header word: the commits of a bucket in one order, and where its chain goes on.
//!
//! ```text
//!   63 .............. 38   37 ......... 32   31 ............. 0
//!   version                pending + 1       overflow number
//! ```
//! The version is that of the chain's first bucket: how many inserts have been committed in the
//! chain, modulo 2^26. `pending` is the chain position of the insert committed last, while its
//! slot may still be BUSY. Further buckets of a chain use the overflow number only: the number,
//! from 1 on, of the next bucket.

use super::mutant::{Mutant, mutated};

/// Positions a header can name: numbers 1 to 63, for 0 means none.
pub(crate) const POSITIONS_MAX: usize = (1 << PENDING_BITS) - 1;

const OVERFLOW_BITS: u32 = 32;
const PENDING_BITS: u32 = 6;
const VERSION_BITS: u32 = 26;
const VERSION_SHIFT: u32 = OVERFLOW_BITS + PENDING_BITS;
const OVERFLOW_MAX: u64 = (1 << OVERFLOW_BITS) - 1;
const VERSION_MAX: u64 = (1 << VERSION_BITS) - 1;

const _: () = assert!(OVERFLOW_BITS + PENDING_BITS + VERSION_BITS == u64::BITS);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header(u64);

impl Header {
    #[inline]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) const fn version(self) -> u64 {
        self.0 >> VERSION_SHIFT
    }

    /// The position of the insert that is committed but perhaps not completed.
    #[inline]
    pub(crate) const fn pending(self) -> Option<usize> {
        match (self.0 >> OVERFLOW_BITS) as usize & POSITIONS_MAX {
            0 => None,
            number => Some(number - 1),
        }
    }

    /// The number of the next bucket of the chain.
    #[inline]
    pub(crate) const fn overflow(self) -> Option<u32> {
        match (self.0 & OVERFLOW_MAX) as u32 {
            0 => None,
            number => Some(number),
        }
    }

    /// With the insert at `position` committed; none must be pending.
    #[inline]
    pub(crate) fn committing(self, position: usize) -> Self {
        debug_assert!(self.pending().is_none() && position < POSITIONS_MAX);
        let more = if mutated(Mutant::VersionStands) { 0 } else { 1 };
        let version = (self.version() + more) & VERSION_MAX;
        let pending = position as u64 + 1;
        Self(version << VERSION_SHIFT | pending << OVERFLOW_BITS | self.0 & OVERFLOW_MAX)
    }

    /// With nothing pending.
    #[inline]
    pub(crate) const fn settled(self) -> Self {
        Self(self.0 & !((POSITIONS_MAX as u64) << OVERFLOW_BITS))
    }

    #[inline]
    pub(crate) const fn with_overflow(self, number: u32) -> Self {
        debug_assert!(self.overflow().is_none() && number != 0);
        Self(self.0 | number as u64)
    }

    /// Whether both name the same pending commit, wherever the chain goes on.
    #[inline]
    pub(crate) const fn same_commit(self, other: Self) -> bool {
        (self.0 ^ other.0) >> OVERFLOW_BITS == 0
    }
}

/// The version of an absence: no insert has been committed in the chain since it was seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Absence {
    version: u64,
}

impl Absence {
    /// Tells absences from entries where both are versions: a word has this bit clear.
    const MARK: u64 = 1 << 63;

    /// That of a look which found `settled` in the header before it looked through the slots.
    #[inline]
    pub(crate) const fn at(settled: Header) -> Self {
        debug_assert!(settled.pending().is_none());
        Self { version: settled.version() }
    }

    /// `None` if these are the bits of a word.
    #[inline]
    pub(crate) const fn from_bits(bits: u64) -> Option<Self> {
        if bits & Self::MARK == 0 { None } else { Some(Self { version: bits & VERSION_MAX }) }
    }

    #[inline]
    pub(crate) const fn to_bits(self) -> u64 {
        Self::MARK | self.version
    }

    /// Whether nothing was inserted since.
    #[inline]
    pub(crate) const fn stands(self, header: Header) -> bool {
        header.version() == self.version && header.pending().is_none()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::segments::word::{LOCATION_MAX, Word};
    use proptest::prelude::*;

    #[test]
    fn bits_stand_where_the_drawing_says() {
        for (why, header, bits) in [
            ("nothing", Header::from_bits(0), 0),
            ("the first commit", Header::from_bits(0).committing(0), 1 << 38 | 1 << 32),
            ("the last position", Header::from_bits(0).committing(62), 1 << 38 | 63 << 32),
            ("the version wraps", Header::from_bits(VERSION_MAX << 38).committing(0), 1 << 32),
            ("the last bucket", Header::from_bits(0).with_overflow(u32::MAX), 0xffff_ffff),
        ] {
            assert_eq!(header.to_bits(), bits, "{why}");
        }
    }

    #[test]
    fn an_absence_is_no_word() {
        for version in [0, 1, VERSION_MAX] {
            let header = Header::from_bits(version << VERSION_SHIFT).with_overflow(9);
            let absence = Absence::at(header);
            assert!(absence.stands(header));
            assert_eq!(Absence::from_bits(absence.to_bits()), Some(absence));
            assert_eq!(Word::from_bits(absence.to_bits()), None);
        }
        assert_eq!(Absence::from_bits(Word::new(7, LOCATION_MAX).to_bits()), None);
    }

    proptest! {
        #[test]
        fn each_part_is_kept_apart_from_the_others(
            version in 0..=VERSION_MAX,
            position in 0..POSITIONS_MAX,
            number in 1..=u32::MAX,
        ) {
            let idle = Header::from_bits(version << VERSION_SHIFT);
            let linked = idle.with_overflow(number);
            prop_assert_eq!((linked.version(), linked.pending()), (version, None));
            let committed = linked.committing(position);
            prop_assert_eq!(committed.version(), (version + 1) & VERSION_MAX);
            prop_assert_eq!((committed.pending(), committed.overflow()), (Some(position), Some(number)));
            prop_assert!(committed.same_commit(idle.committing(position)));
            prop_assert!(!committed.same_commit(committed.settled()));
            prop_assert!(Absence::at(linked).stands(idle), "a further bucket inserts nothing");
            for later in [committed, committed.settled()] {
                prop_assert!(!Absence::at(idle).stands(later));
            }
        }
    }
}
