//! Reservation blocks: of a few sizes, freed one by one.
//!
//! Invariants:
//! 1. A block is in one place: in use, in limbo, or free. Only a block that nobody can see any
//!    more is free, so whoever takes one may write to it.
//! 2. A segment's `due` is no later than the end of any published reservation in it: it is lowered
//!    before the publication.
//! 3. Bytes of all blocks ever cut are charged to the budget until their segments are released, so
//!    that what is free is not given away twice.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::arena::{Area, Arena, WORD};
use super::atomic::AtomicU64;
use super::cursor::{Cursor, Position};
use super::head::Kind;
use super::mutant::{Mutant, mutated};
use super::reservation::LINK;
use super::segment::NEVER;
use super::stack::{Links, Stack};
use crate::budget::Budget;
use crate::counters::{Counter, Striped};

/// Groups of threads that share cursors and lists. A model has few words.
pub(crate) const STRIPES: usize = if cfg!(loom) { 1 } else { 4 };
/// Words per block of each class; the last holds the longest identity with the longest digest.
#[cfg(not(loom))]
const CLASSES: [usize; 6] = [16, 24, 32, 48, 64, 96];
#[cfg(loom)]
const CLASSES: [usize; 1] = [super::reservation::FIXED_WORDS];
/// Epochs whose retired blocks are held apart: those of `e` are free from `e + 2` on, and nobody
/// adds to the list of `e + 4` while the list of `e` may still be emptied by one who is pinned.
/// A power of two, for epochs before the first wrap.
const LIMBO: usize = 4;
const _: () = assert!(LIMBO.is_power_of_two() && LIMBO >= 3);

pub(crate) struct Slab {
    classes: [Class; CLASSES.len()],
    stripes: [Stripe; STRIPES],
    figures: Striped<Figures>,
}

struct Class {
    words: usize,
    free: [Stack; STRIPES],
    open: [Cursor; STRIPES],
}

#[repr(align(128))]
struct Stripe {
    limbo: [Stack; LIMBO],
}

#[derive(Default)]
#[repr(align(64))]
struct Figures {
    /// Bytes of blocks cut, and in use.
    cut: Counter,
    in_use: Counter,
    /// Blocks retired, which says when it is time to look at the epochs.
    retired: Counter,
}

impl Stripe {
    /// The list of what was unlinked in an epoch.
    #[inline]
    fn limbo(&self, stamp: u64) -> &Stack {
        let lists = match () {
            () if mutated(Mutant::LimboOfTwo) => 2,
            () if mutated(Mutant::LimboOfThree) => 3,
            () => LIMBO,
        };
        &self.limbo[stamp as usize % lists]
    }
}

struct BlockLinks<'a>(&'a Arena);

impl Links for BlockLinks<'_> {
    fn link(&self, block: u64) -> &AtomicU64 {
        self.0.word(block + LINK as u64)
    }
}

impl Slab {
    pub(crate) fn new() -> Self {
        Self {
            classes: CLASSES.map(|words| Class {
                words,
                free: std::array::from_fn(|_| Stack::new()),
                open: std::array::from_fn(|_| Cursor::new()),
            }),
            stripes: std::array::from_fn(|_| Stripe {
                limbo: std::array::from_fn(|_| Stack::new()),
            }),
            figures: Striped::default(),
        }
    }

    /// A block of at least so many words, and how many it has. `None` if memory for a new one is
    /// refused: never if it is `owed` to what lives already.
    #[inline]
    pub(crate) fn take(
        &self,
        arena: &Arena,
        budget: &Budget,
        stripe: usize,
        words: usize,
        owed: bool,
    ) -> Option<(u64, usize)> {
        let class = self.classes.iter().find(|class| class.words >= words)?;
        let bytes = (class.words * WORD) as u64;
        let links = BlockLinks(arena);
        let free = class.free[stripe].pop(&links);
        let block = match free.or_else(|| class.pop_other(&links, stripe)) {
            Some(block) => block,
            None => {
                if owed {
                    budget.charge(bytes);
                } else if !budget.reserve(bytes) {
                    return None;
                }
                let Some(block) = class.cut(arena, stripe) else {
                    budget.release(bytes);
                    return None;
                };
                self.figures.cut.add(bytes);
                block
            }
        };
        self.figures.in_use.add(bytes);
        Some((block, class.words))
    }

    /// Notes, before it is published, when the reservation in a block ends.
    #[inline]
    pub(crate) fn ends(&self, arena: &Arena, block: u64, expires_ms: u64) {
        // Releases what was written to the block: who raises `due` later finds it.
        let due = &arena.segment(arena.segment_of(block)).due;
        if mutated(Mutant::DueLoweredByLook) {
            if due.load(Acquire) > expires_ms {
                due.store(expires_ms, Release);
            }
            return;
        }
        due.fetch_min(expires_ms, AcqRel);
    }

    /// Gives back what was not published.
    pub(crate) fn give_back(&self, arena: &Arena, stripe: usize, block: u64) {
        let words = block_words(arena, block);
        arena.word(block).store(Kind::Nothing as u64, Relaxed);
        self.figures.in_use.less((words * WORD) as u64);
        if let Some(class) = self.classes.iter().find(|class| class.words == words) {
            class.free[stripe].push(&BlockLinks(arena), block);
        }
    }

    /// Puts away what was unlinked in epoch `stamp` and may still be read. Whether it is time to
    /// look for epochs that have passed.
    #[inline]
    pub(crate) fn retire(&self, arena: &Arena, stripe: usize, block: u64, stamp: u64) -> bool {
        /// Blocks between two looks at the epochs.
        const PATIENCE: u64 = 64;
        self.stripes[stripe].limbo(stamp).push(&BlockLinks(arena), block);
        self.figures.retired.add(1) % PATIENCE == PATIENCE - 1
    }

    /// Frees what was retired in epoch `stamp`. The caller is pinned, and the epoch is two later.
    pub(crate) fn free_retired(&self, arena: &Arena, stamp: u64) {
        let links = BlockLinks(arena);
        for (number, stripe) in self.stripes.iter().enumerate() {
            let mut first = stripe.limbo(stamp).take();
            while first != 0 {
                // Blocks of one size are linked already, and go on their list together.
                let words = block_words(arena, first);
                let (mut last, mut count) = (first, 1);
                arena.word(first).store(Kind::Nothing as u64, Relaxed);
                let rest = loop {
                    let next = links.link(last).load(Relaxed);
                    if next == 0 || block_words(arena, next) != words {
                        break next;
                    }
                    arena.word(next).store(Kind::Nothing as u64, Relaxed);
                    (last, count) = (next, count + 1);
                };
                self.figures.in_use.less((count * words * WORD) as u64);
                if let Some(class) = self.classes.iter().find(|class| class.words == words) {
                    class.free[number].push_chain(&links, first, last);
                }
                first = rest;
            }
        }
    }

    /// Whether blocks wait for their epoch to pass.
    pub(crate) fn has_retired(&self) -> bool {
        self.stripes.iter().flat_map(|stripe| &stripe.limbo).any(|limbo| !limbo.is_empty())
    }

    /// Words of a segment that blocks were cut from so far.
    pub(crate) fn cut_words(&self, arena: &Arena, number: u64) -> usize {
        let open = self.classes.iter().flat_map(|class| &class.open).map(Cursor::get);
        let open = open.into_iter().find(|at| at.segment() == number).map(Position::used);
        open.unwrap_or_else(|| match arena.segment(number).used.load(Acquire) as usize {
            0 => arena.geometry.segment_words, // Its sealer has not said so yet.
            used => used,
        })
    }

    /// Bytes of blocks that are free or in limbo.
    pub(crate) fn idle_bytes(&self) -> u64 {
        self.cut_bytes().wrapping_sub(self.figures.sum(|figures| &figures.in_use))
    }

    /// Whether no block is in use.
    pub(crate) fn is_unused(&self) -> bool {
        self.idle_bytes() == self.cut_bytes()
    }

    /// Bytes of all blocks cut.
    fn cut_bytes(&self) -> u64 {
        self.figures.sum(|figures| &figures.cut)
    }

    /// Releases segments of which no block is in use, once most blocks are idle. One caller at a
    /// time. Cost: a walk over the free blocks.
    pub(crate) fn release_idle(&self, arena: &Arena, budget: &Budget) {
        /// Idle bytes below which it is not worth the walk, unless nothing is in use.
        const WORTH: u64 = 1 << 20;
        let (idle, cut) = (self.idle_bytes(), self.cut_bytes());
        if idle == 0 || idle > cut || (idle < cut && (idle < WORTH || idle < cut - cut / 4)) {
            return;
        }
        for class in &self.classes {
            let released = class.release_idle(arena);
            budget.release(released);
            self.figures.cut.less(released);
        }
    }
}

/// Words of a block, which its segment knows.
#[inline]
fn block_words(arena: &Arena, block: u64) -> usize {
    arena.segment(arena.segment_of(block)).block_words.load(Relaxed) as usize
}

impl Class {
    /// A free block of another stripe's.
    fn pop_other(&self, links: &BlockLinks<'_>, stripe: usize) -> Option<u64> {
        (1..STRIPES).find_map(|offset| self.free[(stripe + offset) % STRIPES].pop(links))
    }

    /// Cuts a block that was never used.
    fn cut(&self, arena: &Arena, stripe: usize) -> Option<u64> {
        let size = arena.geometry.segment_words;
        let cursor = &self.open[stripe];
        loop {
            let at = cursor.get();
            let segment = at.segment();
            if segment != 0 && at.used() + self.words <= size {
                if cursor.advance(at, Position::new(segment, at.used() + self.words)) {
                    return Some(arena.location(segment, at.used()));
                }
                continue;
            }
            let fresh = arena.take_segment(Area::Slab)?;
            arena.segment(fresh).open(NEVER, 0, self.words as u64);
            if cursor.advance(at, Position::new(fresh, self.words)) {
                seal(arena, at);
                return Some(arena.location(fresh, 0));
            }
            arena.put_back(fresh);
        }
    }

    /// Bytes of blocks in segments that were wholly free, and are released.
    fn release_idle(&self, arena: &Arena) -> u64 {
        let links = BlockLinks(arena);
        // No more is cut from what is open; then everything free is taken. Whoever needs a block
        // meanwhile cuts a new one.
        for cursor in &self.open {
            let at = cursor.get();
            if cursor.advance(at, Position::NONE) {
                seal(arena, at);
            }
        }
        let mut taken = Vec::new();
        let mut in_hand = BTreeMap::<u64, u64>::new();
        for free in &self.free {
            let mut block = free.take();
            while block != 0 {
                taken.push(block);
                *in_hand.entry(arena.segment_of(block)).or_default() += self.words as u64;
                block = links.link(block).load(Relaxed);
            }
        }
        // Of these all that was ever cut is in hand. One whose sealer has not said so yet is not
        // among them: nothing at all seems to be cut from it.
        in_hand.retain(|&number, words| arena.segment(number).used.load(Acquire) == *words);
        for block in taken {
            if !in_hand.contains_key(&arena.segment_of(block)) {
                self.free[0].push(&links, block);
            }
        }
        let mut released = 0;
        for (number, words) in in_hand {
            arena.segment(number).open(NEVER, 0, 0);
            arena.free_segment(number);
            released += words * WORD as u64;
        }
        released
    }
}

/// Says how many words were cut from a segment that is open no more.
fn seal(arena: &Arena, at: Position) {
    if at.segment() != 0 {
        arena.segment(at.segment()).used.store(at.used() as u64, Release);
    }
}
