//! A bucket: one cache line with a header and seven slots.

use std::io;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};

use super::atomic::AtomicU64;
use super::header::{Header, POSITIONS_MAX};
#[cfg(not(plain))]
use super::mapping::{HUGE_PAGE, Mapping};
use super::mutant::{Mutant, mutated};
#[cfg(plain)]
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
    #[cfg(plain)]
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

/// Buckets in one piece of memory, all zero at first. Pages that nothing was written to cost
/// nothing.
pub(crate) struct Buckets {
    #[cfg(not(plain))]
    mapping: Mapping,
    #[cfg(plain)]
    all: Box<[Bucket]>,
}

#[cfg(not(plain))]
impl Buckets {
    /// # Errors
    /// The operating system gives no addresses.
    pub(crate) fn try_new(count: usize) -> io::Result<Self> {
        let bytes = count.saturating_mul(size_of::<Bucket>());
        // A small index is not worth a huge page.
        let huge = if bytes >= 4 * HUGE_PAGE { 0..bytes } else { 0..0 };
        Ok(Self { mapping: Mapping::new(bytes, huge)? })
    }

    #[inline]
    fn all(&self) -> &[Bucket] {
        self.mapping.buckets()
    }
}

#[cfg(plain)]
impl Buckets {
    pub(crate) fn try_new(count: usize) -> io::Result<Self> {
        Ok(Self { all: (0..count).map(|_| Bucket::new()).collect() })
    }

    fn all(&self) -> &[Bucket] {
        &self.all
    }
}

impl Buckets {
    /// Has a bucket fetched.
    #[inline]
    pub(crate) fn prefetch(&self, at: usize) {
        #[cfg(not(plain))]
        self.mapping.prefetch(8 * at, 1);
        #[cfg(plain)]
        std::hint::black_box(self.get(at).header());
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.all().len()
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> &Bucket {
        &self.all()[at]
    }
}
