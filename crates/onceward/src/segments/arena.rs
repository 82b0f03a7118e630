//! The memory that blocks live in: one range of addresses, cut into segments of one size.
//!
//! Three areas follow each other: ordinary pages for values, ordinary pages for reservations,
//! huge pages for values where the budget is large. Addresses are plentiful and memory is taken
//! page by page, so the areas together are larger than the budget, and a segment that holds little
//! costs little.
//!
//! Invariant: a segment on a free list reads as zeros from its first word to its last.

use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use super::atomic::AtomicU64;
use super::head::Head;
use super::mapping::Mapping;
use super::segment::Segment;
use super::stack::{Links, Stack};
use super::word::LOCATION_MAX;

pub(crate) const WORD: usize = 8;
/// What an open segment may hold beyond what is charged for its contents: a page begun.
const PAGE: u64 = 4096;
/// One part in this many of a small budget is charged for it instead, lest pages begun use it up.
const PAGE_SHARE: u64 = 4096;

/// From this budget on, segments are as large as huge pages.
const HUGE_FROM: u64 = 512 << 20;
/// Segment sizes by the budget from which on they are used.
const SIZES: [(u64, usize); 4] =
    [(HUGE_FROM, 2 << 20), (64 << 20, 256 << 10), (4 << 20, 64 << 10), (0, 16 << 10)];

/// Sizes, fixed at the start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Geometry {
    /// A power of two, and which.
    pub(crate) segment_words: usize,
    segment_shift: u32,
    /// Bytes charged for an open segment beyond its contents.
    pub(crate) page: u64,
    /// Segments of each area.
    ordinary: usize,
    slab: usize,
    huge: usize,
}

impl Geometry {
    /// For a budget, and for so many segments that may be open and hardly begun.
    pub(crate) fn of(budget: u64, begun: usize) -> Self {
        let (_, size) = SIZES.into_iter().find(|&(from, _)| budget >= from).unwrap_or(SIZES[3]);
        let full = usize::try_from(budget / size as u64).unwrap_or(usize::MAX / size);
        Self {
            segment_words: size / WORD,
            segment_shift: (size / WORD).ilog2(),
            page: PAGE.min(budget / PAGE_SHARE),
            // Twice what can be charged, so that a free one is left whatever is charged.
            ordinary: 2 * full + begun + 64,
            slab: full + 64,
            huge: if budget >= HUGE_FROM { full + 1 } else { 0 },
        }
    }

    /// For a model: few words, a power of two of them, or it would not end.
    #[cfg(all(test, loom))]
    pub(crate) fn explored(segment_words: usize, ordinary: usize, slab: usize) -> Self {
        let segment_shift = segment_words.ilog2();
        Self { segment_words, segment_shift, page: 0, ordinary, slab, huge: 0 }
    }

    fn segments(&self) -> usize {
        self.ordinary + self.slab + self.huge
    }
}

/// Which area a segment is from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Area {
    Ordinary,
    Slab,
    Huge,
}

pub(crate) struct Arena {
    mapping: Mapping,
    pub(crate) geometry: Geometry,
    /// Numbered from 1; the first of them is at index 0.
    segments: Box<[Segment]>,
    ordinary: FreeSegments,
    slab: FreeSegments,
    huge: FreeSegments,
}

/// Segments that nobody uses: those used before, and those never used.
struct FreeSegments {
    used_before: Stack,
    /// The next one never used.
    fresh: AtomicU64,
    end: u64,
}

impl FreeSegments {
    fn new(numbers: Range<usize>) -> Self {
        Self {
            used_before: Stack::new(),
            fresh: AtomicU64::new(numbers.start as u64),
            end: numbers.end as u64,
        }
    }

    fn take(&self, links: &impl Links) -> Option<u64> {
        self.used_before.pop(links).or_else(|| {
            let end = self.end;
            let next = |fresh| (fresh < end).then_some(fresh + 1);
            self.fresh.fetch_update(Relaxed, Relaxed, next).ok()
        })
    }
}

impl Arena {
    pub(crate) fn new(geometry: Geometry) -> io::Result<Self> {
        let size = geometry.segment_words * WORD;
        let too_large = || io::Error::from(io::ErrorKind::OutOfMemory);
        let bytes = geometry.segments().checked_mul(size).ok_or_else(too_large)?;
        // Of the last word: numbers start from 1, so the first segment's worth names nothing.
        if (bytes + size) / WORD > LOCATION_MAX as usize {
            return Err(io::Error::other("a slot word names 2 TiB, about four times the memory"));
        }
        let first_huge = (geometry.ordinary + geometry.slab) * size;
        let mapping = Mapping::new(bytes, first_huge..bytes)?;
        let slab = geometry.ordinary + 1;
        let huge = slab + geometry.slab;
        Ok(Self {
            mapping,
            geometry,
            segments: (0..geometry.segments()).map(|_| Segment::new()).collect(),
            ordinary: FreeSegments::new(1..slab),
            slab: FreeSegments::new(slab..huge),
            huge: FreeSegments::new(huge..huge + geometry.huge),
        })
    }

    fn free(&self, area: Area) -> &FreeSegments {
        match area {
            Area::Ordinary => &self.ordinary,
            Area::Slab => &self.slab,
            Area::Huge => &self.huge,
        }
    }

    /// Takes a zeroed segment; `None` if the area has no more.
    pub(crate) fn take_segment(&self, area: Area) -> Option<u64> {
        self.free(area).take(self)
    }

    /// Gives a segment back whose words nobody can read any more.
    pub(crate) fn free_segment(&self, number: u64) {
        let size = self.geometry.segment_words * WORD;
        let start = (number - 1) as usize * size;
        self.mapping.release(start..start + size);
        self.put_back(number);
    }

    /// Gives a segment back that was not written to.
    pub(crate) fn put_back(&self, number: u64) {
        self.free(self.area(number)).used_before.push(self, number);
    }

    pub(crate) fn has_huge(&self) -> bool {
        self.geometry.huge > 0
    }

    #[inline]
    pub(crate) fn area(&self, number: u64) -> Area {
        if number < self.ordinary.end {
            Area::Ordinary
        } else if number < self.slab.end {
            Area::Slab
        } else {
            Area::Huge
        }
    }

    /// Numbers of the slab's segments that were ever used.
    pub(crate) fn slab_segments(&self) -> Range<u64> {
        self.ordinary.end..self.slab.fresh.load(Relaxed)
    }

    #[inline]
    pub(crate) fn segment(&self, number: u64) -> &Segment {
        &self.segments[number as usize - 1]
    }

    /// The segment that a location is in.
    #[inline]
    pub(crate) fn segment_of(&self, location: u64) -> u64 {
        location >> self.geometry.segment_shift
    }

    /// Where a word of a segment is. Segments are numbered from 1, so no location is 0.
    #[inline]
    pub(crate) fn location(&self, segment: u64, word: usize) -> u64 {
        (segment << self.geometry.segment_shift) + word as u64
    }

    /// Fetches a block's first lines: two of a reservation, or as many as a record with a result
    /// of 512 bytes has. Nobody waits for them, so their misses overlap.
    #[inline]
    pub(crate) fn fetch(&self, location: u64) {
        const LINES: usize = 10;
        let lines = match self.area(self.segment_of(location)) {
            Area::Slab => 2,
            Area::Ordinary | Area::Huge => LINES,
        };
        self.mapping.prefetch(location as usize - self.geometry.segment_words, lines);
    }

    /// A published block: its head, and all its words.
    #[inline]
    pub(crate) fn block(&self, location: u64) -> (Head, &[AtomicU64]) {
        let words = &self.mapping.words()[location as usize - self.geometry.segment_words..];
        let head = Head(words[0].load(Relaxed));
        (head, &words[..head.words()])
    }

    /// `count` words from a location on.
    #[inline]
    pub(crate) fn words(&self, location: u64, count: usize) -> &[AtomicU64] {
        let first = location as usize - self.geometry.segment_words;
        &self.mapping.words()[first..first + count]
    }

    #[inline]
    pub(crate) fn word(&self, location: u64) -> &AtomicU64 {
        &self.mapping.words()[location as usize - self.geometry.segment_words]
    }
}

impl Links for Arena {
    fn link(&self, segment: u64) -> &AtomicU64 {
        &self.segment(segment).link
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_location_fits_a_slot_word() {
        let at = |gibibytes: u64| Arena::new(Geometry::of(gibibytes << 30, 0)).map(drop);
        assert!(at(1).is_ok(), "not the addresses are short");
        let refused = at(600).expect_err("the last locations would run into the tag");
        assert!(refused.to_string().contains("2 TiB"), "{refused}");
    }
}
