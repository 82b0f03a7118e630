//! Expiry slots: entries whose retentions end at about the same time share segments, so the wheel
//! holds segments and no entry has a node.
//!
//! A slot's width follows the retention: the largest of 1 s, 2 s, 4 s, … that is at most a
//! twentieth of it, or 1 s. So memory outlives its last entry by at most 1 s or 5 % of the
//! retention, and of each width fewer than 42 slots lie ahead: a ring of 64 holds them.
//!
//! Invariants:
//! 1. A segment's `due` is the end of its slot, no earlier than the end of any entry in it.
//! 2. A segment is on its slot's list from soon after it was opened until the reclaimer takes it
//!    off; only the reclaimer does.
//! 3. A slot with an open segment has a page's room beyond what is charged for contents: what
//!    replaces a full segment inherits it.
//!
//! The bound on stranded memory: slots ahead × stripes × one page, whatever retentions are chosen.

use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use onceward_core::Timestamp;

use super::arena::{Area, Arena, WORD};
use super::atomic::AtomicU64;
use super::cursor::{Cursor, Position};
use super::head::{Head, Kind};
use super::mutant::{Mutant, mutated};
use super::segment::NEVER;
use super::slab::STRIPES;
use super::stack::Stack;
use crate::budget::Budget;

/// Widths of slots: level `n` is 2^n s wide. The last serves retentions of up to ten years and more.
const LEVELS: usize = if cfg!(loom) { 1 } else { 25 };
/// Slots of one level that the ring tells apart.
const RING: u64 = if cfg!(loom) { 2 } else { 64 };
const WIDTH_MS: u64 = 1_000;
/// Part of the retention that a slot may be wide.
const SHARE: u64 = 20;
/// Full segments of one slot, 256 MiB, after which the next one is taken from huge pages: what is
/// then left unused is little beside what is used, and only a slot that large gains from them. The
/// first touch of one stalls its thread for as long as the kernel takes to find and clear it, which
/// is milliseconds where memory is fragmented.
const HUGE_AFTER: u64 = 128;

/// Slots that may have an open segment each, at most, for retentions of up to 30 days.
pub(crate) const SLOTS_AHEAD: usize = 17 * 42;

pub(crate) struct Expiry {
    cells: Box<[Cell]>,
    /// No later than the end of any segment on a list.
    due: AtomicU64,
}

#[repr(align(128))]
struct Cell {
    open: [Cursor; STRIPES],
    segments: Stack,
    /// The earliest end of those on the list.
    due: AtomicU64,
    /// Segments filled since the last was reclaimed.
    filled: AtomicU64,
}

/// Where entries of one end and retention go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Slot {
    pub(crate) level: u8,
    number: u64,
}

impl Slot {
    /// The level for a retention.
    #[inline]
    pub(crate) fn level(retention_ms: u64) -> u8 {
        let widths = (retention_ms / SHARE / WIDTH_MS).max(1);
        (widths.ilog2() as u8).min(LEVELS as u8 - 1)
    }

    #[inline]
    pub(crate) fn new(level: u8, expires_at: Timestamp) -> Self {
        Self { level, number: expires_at.as_millis() / (WIDTH_MS << level) }
    }

    /// When everything in it has ended, in ms.
    #[inline]
    pub(crate) fn end(self) -> u64 {
        (self.number + 1).saturating_mul(WIDTH_MS << self.level)
    }

    #[inline]
    fn cell(self) -> usize {
        usize::from(self.level) * RING as usize + (self.number % RING) as usize
    }
}

/// Room taken in one segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Piece {
    pub(crate) location: u64,
    pub(crate) words: usize,
}

/// What does not fit is refused, or taken all the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Must {
    Ask,
    /// It is owed to an acknowledged reservation.
    Take,
}

impl Expiry {
    #[inline]
    pub(crate) fn new() -> Self {
        let cell = || Cell {
            open: std::array::from_fn(|_| Cursor::new()),
            segments: Stack::new(),
            due: AtomicU64::new(NEVER),
            filled: AtomicU64::new(0),
        };
        Self {
            cells: (0..LEVELS * RING as usize).map(|_| cell()).collect(),
            due: AtomicU64::new(NEVER),
        }
    }

    #[inline]
    fn cell(&self, slot: Slot) -> &Cell {
        &self.cells[slot.cell()]
    }

    /// Makes sure that the slot has an open segment, for what is completed in it later. Whether
    /// there is room for one.
    #[inline]
    pub(crate) fn ensure(&self, arena: &Arena, budget: &Budget, stripe: usize, slot: Slot) -> bool {
        let cell = self.cell(slot);
        let end = slot.end();
        let is_open = |cursor: &Cursor| {
            let at = cursor.get();
            at.segment() != 0 && arena.segment(at.segment()).due.load(Relaxed) == end
        };
        let at = cell.open[stripe].get();
        if at.segment() != 0 && arena.segment(at.segment()).due.load(Relaxed) == end {
            return true;
        }
        // Of the same position: what another opens meanwhile is not replaced.
        self.open(arena, budget, slot, stripe, at, Must::Ask).is_some()
            || cell.open.iter().any(is_open)
    }

    /// Takes room for `least` to `words` words in one segment: all of them if they fit there, else
    /// what is left of it, if that is not less than `least`. `least` is at most a segment.
    #[inline]
    pub(crate) fn take(
        &self,
        arena: &Arena,
        budget: &Budget,
        stripe: usize,
        slot: Slot,
        least: usize,
        words: usize,
    ) -> Option<Piece> {
        let cell = self.cell(slot);
        let (size, end) = (arena.geometry.segment_words, slot.end());
        let mut stripe = stripe;
        let mut must = Must::Ask;
        loop {
            let cursor = &cell.open[stripe];
            let at = cursor.get();
            let segment = at.segment();
            let is_ours = segment != 0 && arena.segment(segment).due.load(Relaxed) == end;
            let left = if is_ours { size - at.used() } else { 0 };
            let taken = words.min(left);
            if taken >= least.min(words) && taken > 0 {
                if cursor.advance(at, Position::new(segment, at.used() + taken)) {
                    return Some(Piece {
                        location: arena.location(segment, at.used()),
                        words: taken,
                    });
                }
                continue;
            }
            if self.open(arena, budget, slot, stripe, at, must).is_some() {
                continue;
            }
            if must == Must::Take && cursor.get() == at {
                return None; // Not even addresses are left.
            }
            // No page to spare for a segment of this stripe's own: share another's.
            let open = |stripe: &usize| {
                let at = cell.open[*stripe].get();
                at.segment() != 0 && arena.segment(at.segment()).due.load(Relaxed) == end
            };
            match (0..STRIPES).find(open) {
                Some(other) if other != stripe => stripe = other,
                Some(_) | None => must = Must::Take,
            }
        }
    }

    /// Gives room back that was just taken and is not published, if nobody has taken any since.
    /// Otherwise it is lost until its segment is reclaimed.
    pub(crate) fn give_back(&self, arena: &Arena, slot: Slot, piece: Piece) -> bool {
        let segment = arena.segment_of(piece.location);
        let first = (piece.location - arena.location(segment, 0)) as usize;
        let now = Position::new(segment, first + piece.words);
        let words = arena.words(piece.location, piece.words);
        for cursor in &self.cell(slot).open {
            if cursor.get() == now {
                // Zeroed while it is still ours.
                words.iter().for_each(|word| word.store(0, Relaxed));
                if cursor.advance(now, Position::new(segment, first)) {
                    return true;
                }
            }
        }
        words[0].store(Head::new(Kind::Continuation, piece.words).0, Relaxed);
        false
    }

    /// Opens a segment in place of what is open at `at`. `None` if there is no room; if another
    /// was first, that is as good.
    fn open(
        &self,
        arena: &Arena,
        budget: &Budget,
        slot: Slot,
        stripe: usize,
        at: Position,
        must: Must,
    ) -> Option<()> {
        let cell = self.cell(slot);
        let (size, end) = (arena.geometry.segment_words, slot.end());
        let old = (at.segment() != 0).then(|| arena.segment(at.segment()));
        let replaced = old.filter(|old| old.due.load(Relaxed) == end);
        let inherited = replaced.map_or(0, |old| old.slack.load(Relaxed));
        let huge_bytes = (size * WORD) as u64;
        let (mut area, mut slack) = (Area::Ordinary, inherited.max(arena.geometry.page));
        if arena.has_huge() && replaced.is_some() && cell.filled.load(Relaxed) >= HUGE_AFTER {
            let more = huge_bytes - inherited.min(huge_bytes);
            if more == 0 || budget.reserve(more) {
                (area, slack) = (Area::Huge, inherited.max(huge_bytes));
            }
        }
        let extra = slack - inherited;
        if area == Area::Ordinary && extra > 0 {
            match must {
                Must::Take => budget.charge(extra),
                // From the headroom too: it is for results that are owed.
                Must::Ask if budget.draw(extra) => {}
                Must::Ask => return None,
            }
        }
        let fresh = match arena.take_segment(area) {
            None if area == Area::Huge => arena.take_segment(Area::Ordinary),
            taken => taken,
        };
        let Some(fresh) = fresh else {
            budget.release(extra);
            return None;
        };
        arena.segment(fresh).open(end, slack, 0);
        if !cell.open[stripe].advance(at, Position::new(fresh, 0)) {
            arena.put_back(fresh);
            budget.release(extra);
            return Some(());
        }
        if let Some(old) = replaced {
            // The rest of it is lost until it is reclaimed; its page's room has gone on.
            let lost = ((size - at.used()) * WORD) as u64;
            budget.charge(lost);
            old.slack.store(lost, Relaxed);
            cell.filled.fetch_add(1, Relaxed);
        }
        if let Some(old) = old {
            old.used.store(at.used() as u64, Relaxed);
        }
        cell.segments.push(arena, fresh);
        cell.due.fetch_min(end, AcqRel);
        self.due.fetch_min(end, AcqRel);
        Some(())
    }

    /// When the first slot with segments ends, in ms.
    pub(crate) fn due(&self) -> u64 {
        self.due.load(Relaxed)
    }

    /// Calls `visit` for each segment of a slot that has begun and not ended, with what says how
    /// many words of it are used. One caller at a time, and no other that takes segments off lists.
    pub(crate) fn visit_ending(
        &self,
        arena: &Arena,
        now: Timestamp,
        mut visit: impl FnMut(u64, &dyn Fn() -> usize),
    ) {
        for level in 0..LEVELS as u8 {
            let cell = self.cell(Slot::new(level, now));
            let mut segment = cell.segments.take();
            while segment != 0 {
                let next = arena.segment(segment).link.load(Relaxed);
                visit(segment, &|| {
                    let open = cell.open.iter().map(Cursor::get).find(|at| at.segment() == segment);
                    let sealed = || arena.segment(segment).used.load(Relaxed) as usize;
                    open.map_or_else(sealed, Position::used)
                });
                cell.segments.push(arena, segment);
                segment = next;
            }
        }
    }

    /// Takes segments off their slots' lists whose ends have come, and sees to it that nothing is
    /// added to them. One caller at a time.
    pub(crate) fn take_due(&self, arena: &Arena, now_ms: u64, mut take: impl FnMut(u64)) {
        if self.due() > now_ms {
            return;
        }
        self.due.swap(NEVER, AcqRel);
        for cell in &self.cells {
            if cell.due.load(Relaxed) <= now_ms {
                cell.take_due(arena, now_ms, &mut take);
            }
            let due = cell.due.load(Relaxed);
            if due != NEVER {
                self.due.fetch_min(due, AcqRel);
            }
        }
    }
}

impl Cell {
    fn take_due(&self, arena: &Arena, now_ms: u64, take: &mut impl FnMut(u64)) {
        self.due.swap(NEVER, AcqRel);
        self.filled.store(0, Relaxed);
        // First the list, then the cursors: of what is on the list none is open after that. What is
        // opened meanwhile, by who was late, comes on the list for the next time.
        let taken_late = mutated(Mutant::SealedBeforeTaken);
        let mut segment = if taken_late { 0 } else { self.segments.take() };
        for cursor in &self.open {
            loop {
                let at = cursor.get();
                if at.segment() == 0 || arena.segment(at.segment()).due.load(Relaxed) > now_ms {
                    break;
                }
                if cursor.advance(at, Position::NONE) {
                    arena.segment(at.segment()).used.store(at.used() as u64, Relaxed);
                    break;
                }
            }
        }
        if taken_late {
            segment = self.segments.take();
        }
        while segment != 0 {
            let next = arena.segment(segment).link.load(Relaxed);
            let due = arena.segment(segment).due.load(Relaxed);
            if due <= now_ms {
                take(segment);
            } else {
                self.segments.push(arena, segment);
                self.due.fetch_min(due, AcqRel);
            }
            segment = next;
        }
    }
}
