//! A bucket: one cache line with a header and seven slots.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};

use super::atomic::AtomicU64;
use super::header::{Header, POSITIONS_MAX};
use super::mutant::{Mutant, mutated};
use super::word::EMPTY;

/// Slots of a bucket. Models look through fewer, or they would not end.
pub(crate) const SLOTS: usize = if cfg!(loom) { 2 } else { 7 };

/// Buckets of a chain at most: those whose positions a header can name. An insert into a chain
/// of this length without an empty slot is refused.
pub(crate) const CHAIN_MAX: usize = if cfg!(loom) { 2 } else { POSITIONS_MAX / SLOTS };

#[repr(C, align(64))]
pub(crate) struct Bucket {
    header: AtomicU64,
    pub(crate) slots: [AtomicU64; SLOTS],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Bucket>() == 64 && CHAIN_MAX == 9);

impl Bucket {
    pub(crate) fn new() -> Self {
        let slots = std::array::from_fn(|_| AtomicU64::new(EMPTY));
        Self { header: AtomicU64::new(0), slots }
    }

    #[inline]
    pub(crate) fn header(&self) -> Header {
        Header::from_bits(self.header.load(Acquire))
    }

    /// Changes the header from `seen`, or says what it is instead.
    #[inline]
    pub(crate) fn change(&self, seen: Header, new: Header) -> Result<(), Header> {
        let (seen, new) = (seen.to_bits(), new.to_bits());
        let changed = self.header.compare_exchange(seen, new, AcqRel, Acquire);
        changed.map(drop).map_err(Header::from_bits)
    }

    /// As [`Bucket::change`], to link a further bucket.
    pub(crate) fn link(&self, seen: Header, new: Header) -> Result<(), Header> {
        if mutated(Mutant::AppendStores) {
            self.header.store(new.to_bits(), Release);
            return Ok(());
        }
        self.change(seen, new)
    }
}

/// Buckets in one piece of memory, all zero at first.
pub(crate) struct Buckets {
    all: Box<[Bucket]>,
}

impl Buckets {
    pub(crate) fn new(count: usize) -> Self {
        Self { all: (0..count).map(|_| Bucket::new()).collect() }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> &Bucket {
        &self.all[at]
    }
}
