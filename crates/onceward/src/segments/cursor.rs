//! How far an open segment is used: one word, so that room in it is taken by one
//! compare-and-swap, and whoever replaces the segment knows what was used of it.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::atomic::AtomicU64;
use super::mutant::{Mutant, mutated};

const USED_BITS: u32 = 20;
const USED: u64 = (1 << USED_BITS) - 1;

/// Segment 44 | words used 20; zero while none is open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Position(u64);

impl Position {
    pub(crate) const NONE: Self = Self(0);

    #[inline]
    pub(crate) fn new(segment: u64, used: usize) -> Self {
        debug_assert!(used as u64 <= USED);
        Self(segment << USED_BITS | used as u64)
    }

    /// The open segment; 0 if there is none.
    #[inline]
    pub(crate) fn segment(self) -> u64 {
        self.0 >> USED_BITS
    }

    #[inline]
    pub(crate) fn used(self) -> usize {
        (self.0 & USED) as usize
    }
}

/// The end of what is used of an open segment.
#[derive(Debug)]
pub(crate) struct Cursor(AtomicU64);

impl Cursor {
    #[inline]
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub(crate) fn get(&self) -> Position {
        Position(self.0.load(Acquire))
    }

    /// Moves from one position to another; false if it has moved since.
    #[inline]
    pub(crate) fn advance(&self, from: Position, to: Position) -> bool {
        if mutated(Mutant::CursorStores) {
            let stands = self.0.load(Acquire) == from.0;
            if stands {
                self.0.store(to.0, Release);
            }
            return stands;
        }
        self.0.compare_exchange(from.0, to.0, AcqRel, Relaxed).is_ok()
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
