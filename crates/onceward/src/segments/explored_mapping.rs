//! The memory of a model: words that loom explores, in place of pages of the operating system.

use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use super::arena::WORD;
use super::atomic::AtomicU64;

pub(crate) struct Mapping(Box<[AtomicU64]>);

impl Mapping {
    pub(crate) fn new(bytes: usize, _: Range<usize>) -> io::Result<Self> {
        Ok(Self((0..bytes / WORD).map(|_| AtomicU64::new(0)).collect()))
    }

    pub(crate) fn words(&self) -> &[AtomicU64] {
        &self.0
    }

    /// Nothing is fetched in a model.
    pub(crate) fn prefetch(&self, _: usize, _: usize) {}

    pub(crate) fn release(&self, bytes: Range<usize>) {
        let words = &self.0[bytes.start / WORD..bytes.end / WORD];
        words.iter().for_each(|word| word.store(0, Relaxed));
    }
}
