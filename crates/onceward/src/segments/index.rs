//! The index: from a hash to the word of an entry, one atomic word per entry.
//!
//! Looks take no lock. An insert that must be the only one of its key is linearised on one
//! compare-and-swap of its chain's header; every other change is one on the slot's word. A thread
//! that stops anywhere blocks nobody: what it has committed others complete, and what it has not
//! committed they pass over. The number of buckets is fixed at start.
//!
//! An insert, in four steps:
//!
//! 1. *claim*: an empty slot becomes word | BUSY. Nobody else takes notice.
//! 2. *commit*: the first bucket's header, settled and of the version at which the key was seen
//!    absent, names the slot as pending, and its version is one more. This is the linearisation
//!    point.
//! 3. *complete*: BUSY is cleared.
//! 4. *settle*: the header has nothing pending.
//!
//! The last two are done by the inserter or by whoever meets the pending header.
//!
//! Invariants:
//! 1. A key has at most one slot that is committed: not empty, and not BUSY unless pending. Only a
//!    commit makes one; a replacement stays in the slot.
//! 2. A block is written before its word is claimed or put in a slot, and does not change after.
//! 3. While the header names a slot, that slot holds the word committed with it or one that
//!    replaced it. Hence a slot is emptied only after the header has moved on from its commit
//!    ([`Index::remove`]), and only then can it be claimed again.
//! 4. A word's location is not reused while a pin lasts that began before the word left its slot.
//!    Callers hold a pin from before they first see a word or absence to their last use of it.
//! 5. A claim is released or committed by the thread that made it, and changed by no other but a
//!    helper of its commit.
//! 6. A further bucket is linked once and stays linked. Linking changes no version.
//!
//! Why this suffices, with acquire loads and acquire-release exchanges only:
//!
//! - *One insert per key.* The commits of a chain are ordered by its header. A look loads the
//!   header, settled, at version v, and then scans. Whoever settled v's commit had cleared its
//!   BUSY or seen it cleared, and that of every commit before (each committer had loaded the
//!   settled header before); so the scan sees every committed word, or what became of it.
//!   If the commit then finds version v, none came in between, and the absence still holds.
//! - *Looks are linearisable.* A key found was there when its slot was loaded. A key that was
//!   there when the header was loaded and is not found was removed since, and absent at that
//!   instant, even if another insert has put it in a slot already scanned. A key that came only
//!   after the header was loaded was absent then.
//! - *Bytes are seen.* Claim and replacement release, and every load of a slot acquires.
//!   Completing is a read-modify-write and so continues the claim's release sequence.
//! - *Nothing is taken for what it was (ABA).* A word does not come back to a slot while somebody
//!   who saw it is pinned (invariant 4), but for its own marks, with which it speaks of the same
//!   block. A header comes back after 2^26 inserts into one chain under one pin; each of them
//!   holds a block that this pin keeps from reuse, 8 GiB of them together. A helper that stalled
//!   after loading the header may meet a later claim of the same slot, so it looks at the header
//!   again after loading the slot: if that is unchanged, so was the slot's commit (invariant 3).
//!
//! No two-sided store-then-load pattern is in here, so nothing needs sequential consistency.

use std::io;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::atomic::AtomicU64;
use super::bucket::{Bucket, Buckets, CHAIN_MAX, SLOTS};
pub(crate) use super::header::Absence;
use super::header::Header;
use super::mutant::{Mutant, mutated};
use super::overflow::Overflow;
use super::word::{BUSY, EMPTY, Word, tag_of};
use crate::storage::Stale;

/// A cursor's lower bits: a position in a chain.
const CURSOR_POSITION_BITS: u32 = 6;

const _: () = assert!(SLOTS * CHAIN_MAX < 1 << CURSOR_POSITION_BITS);

pub(crate) struct Index {
    buckets: Buckets,
    pool: Overflow,
    /// For each group of first buckets whether an insert ever came there: pages pass over the
    /// others. Set before a claim in the group.
    begun: Box<[AtomicU64]>,
}

/// First buckets of a group: 4 KiB of them.
const GROUP: usize = 64;

/// What a look found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    Entry(Word),
    Absent(Absence),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum InsertError {
    /// Something was inserted into the chain since the look: look again.
    Stale,
    /// The chain has no empty slot and cannot grow.
    Full,
}

impl Index {
    /// `buckets` of seven entries each, at least one, and `overflow` further ones.
    ///
    /// # Errors
    /// The operating system gives no addresses.
    pub(crate) fn try_new(buckets: usize, overflow: usize) -> io::Result<Self> {
        let (buckets, pool) = (Buckets::try_new(buckets.max(1))?, Overflow::try_new(overflow)?);
        let groups = buckets.len().div_ceil(GROUP);
        let begun = (0..groups).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { buckets, pool, begun })
    }

    /// [`Index::try_new`] where addresses are sure to be had.
    #[cfg(test)]
    pub(crate) fn new(buckets: usize, overflow: usize) -> Self {
        Self::try_new(buckets, overflow).expect("a small index has addresses")
    }

    /// The high bits choose the bucket, so that any number of buckets is filled evenly.
    #[inline]
    fn first(&self, hash: u64) -> &Bucket {
        self.buckets.get(self.first_at(hash))
    }

    /// Which bucket is a hash's first.
    #[inline]
    fn first_at(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.buckets.len() as u128) >> u64::BITS) as usize
    }

    /// Marks the group of a hash's first bucket. Whoever is told of the insert finds it marked.
    #[inline]
    fn begin_group(&self, hash: u64) {
        let group = &self.begun[self.first_at(hash) / GROUP];
        // Mostly a load of a line that nobody writes to.
        if group.load(Relaxed) == 0 {
            group.store(1, Relaxed);
        }
    }

    /// Looks for the entry that `is` recognises by its block.
    ///
    /// The word may be watched or dead.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is: impl FnMut(Word) -> bool) -> Found {
        let first = self.first(hash);
        let header = self.settled(first);
        let tag = tag_of(hash);
        for bucket in self.chain(first, header) {
            for slot in &bucket.slots {
                let mut bits = slot.load(Acquire);
                if mutated(Mutant::FindCountsClaims) {
                    bits &= !BUSY;
                }
                // A claim may be committed by now, but was not when the header was loaded.
                if let Some(word) = Word::tagged(bits, tag)
                    && is(word)
                {
                    return Found::Entry(word);
                }
            }
        }
        Found::Absent(Absence::at(header))
    }

    /// Inserts the entry whose absence was seen. `word`'s block is the caller's until this
    /// succeeds.
    #[inline]
    pub(crate) fn insert(
        &self,
        hash: u64,
        absence: Absence,
        word: Word,
    ) -> Result<(), InsertError> {
        debug_assert!(word.tag() == tag_of(hash));
        let first = self.first(hash);
        if !absence.stands(first.header()) {
            return Err(InsertError::Stale); // Spares the claim.
        }
        self.begin_group(hash);
        let (position, slot) = self.claim(first, word)?;
        if mutated(Mutant::InsertWithoutCommit) {
            slot.store(word.to_bits(), Release);
            return Ok(());
        }
        let mut header = first.header();
        while absence.stands(header) {
            let committed = header.committing(position);
            match first.change(header, committed) {
                Ok(()) => {
                    self.complete(first, committed, slot, word);
                    return Ok(());
                }
                // The same version again if a bucket was linked meanwhile.
                Err(now) => header = now,
            }
        }
        if mutated(Mutant::ClaimStays) {
            return Err(InsertError::Stale);
        }
        let released = slot.compare_exchange(word.to_bits() | BUSY, EMPTY, Release, Relaxed);
        debug_assert!(released.is_ok(), "a claim is its maker's (invariant 5)");
        Err(InsertError::Stale)
    }

    /// Replaces the word of an entry: another state of it, or other marks.
    #[inline]
    pub(crate) fn replace(&self, hash: u64, seen: Word, new: Word) -> Result<(), Stale> {
        debug_assert!(new.tag() == tag_of(hash) && seen.tag() == tag_of(hash));
        let slot = self.slot_holding(self.first(hash), seen).ok_or(Stale)?;
        exchange(slot, seen.to_bits(), new.to_bits())
    }

    /// Removes an entry.
    pub(crate) fn remove(&self, hash: u64, seen: Word) -> Result<(), Stale> {
        let first = self.first(hash);
        let slot = self.slot_holding(first, seen).ok_or(Stale)?;
        // Invariant 3. The word was seen not BUSY, so this load cannot miss its commit.
        let header = first.header();
        if header.pending().is_some() && !mutated(Mutant::RemoveUnsettled) {
            self.help(first, header);
        }
        exchange(slot, seen.to_bits(), EMPTY)
    }

    /// Fetches what a look for this hash touches first.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        self.buckets.prefetch(self.first_at(hash));
    }

    /// A word of this hash's tag from its first bucket, for fetching what it names: it may be
    /// another key's, or have left since, and an entry may be found elsewhere in the chain. So it is
    /// not to be read by, and needs no pin.
    #[inline]
    pub(crate) fn peek(&self, hash: u64) -> Option<Word> {
        let tag = tag_of(hash);
        self.first(hash).slots.iter().find_map(|slot| Word::tagged(slot.load(Relaxed), tag))
    }

    #[cfg(test)]
    pub(crate) fn bucket_count(&self) -> usize {
        self.buckets.len()
    }

    #[cfg(test)]
    pub(crate) fn overflow_count(&self) -> usize {
        self.pool.len()
    }

    #[cfg(test)]
    pub(crate) fn used_overflow(&self) -> usize {
        self.pool.used()
    }

    /// Bytes of its buckets: of all first ones, and of further ones that are in use.
    pub(crate) fn bytes(&self) -> u64 {
        ((self.buckets.len() + self.pool.used()) * size_of::<Bucket>()) as u64
    }

    /// Calls `visit` for the words from `cursor` on, 0 at first, until it returns `false` or
    /// `steps` buckets have been looked through, or groups of them passed over, and says where to
    /// go on.
    ///
    /// A word for which `visit` returns `false` is visited again when going on. An entry that is
    /// there all the while is visited, and once, for it stays in its slot.
    pub(crate) fn page(
        &self,
        cursor: u64,
        steps: usize,
        mut visit: impl FnMut(Word) -> bool,
    ) -> Option<u64> {
        let cursor_at = |at: usize, position| (at as u64) << CURSOR_POSITION_BITS | position as u64;
        let mut steps = steps.max(1);
        let mut from = (cursor & ((1 << CURSOR_POSITION_BITS) - 1)) as usize;
        let mut at = usize::try_from(cursor >> CURSOR_POSITION_BITS).ok()?;
        while at < self.buckets.len() {
            if at % GROUP == 0 && self.begun[at / GROUP].load(Relaxed) == 0 {
                if steps == 0 {
                    return Some(cursor_at(at, 0));
                }
                (steps, at, from) = (steps - 1, at + GROUP, 0);
                continue;
            }
            let first = self.buckets.get(at);
            let header = self.settled(first);
            for (depth, bucket) in self.chain(first, header).enumerate() {
                let start = depth * SLOTS;
                if start + SLOTS <= from {
                    continue;
                }
                if steps == 0 {
                    return Some(cursor_at(at, start.max(from)));
                }
                steps -= 1;
                for (offset, slot) in bucket.slots.iter().enumerate() {
                    let position = start + offset;
                    if position < from {
                        continue;
                    }
                    let Some(word) = Word::from_bits(slot.load(Acquire)) else { continue };
                    if !visit(word) {
                        return Some(cursor_at(at, position));
                    }
                }
            }
            (at, from) = (at + 1, 0);
        }
        None
    }

    /// The chain's header with nothing pending.
    #[inline]
    fn settled(&self, first: &Bucket) -> Header {
        loop {
            let header = first.header();
            if header.pending().is_none() {
                return header;
            }
            self.help(first, header);
        }
    }

    /// Completes and settles the caller's own commit, unless that is done.
    #[inline]
    fn complete(&self, first: &Bucket, committed: Header, slot: &AtomicU64, word: Word) {
        // The claim is the caller's: only a helper of this commit has changed it, if anybody
        // (invariant 5). Acquires the completed word then.
        let claimed = word.to_bits() | BUSY;
        let _ = slot.compare_exchange(claimed, word.to_bits(), AcqRel, Acquire);
        if first.change(committed, committed.settled()).is_err() {
            self.help(first, committed); // Done by another, or a bucket was linked.
        }
    }

    /// Completes and settles the commit that `committed` names, unless that is done.
    #[cold]
    fn help(&self, first: &Bucket, committed: Header) {
        let Some(position) = committed.pending() else { return };
        let slot = self.slot_at(first, position);
        let word = slot.load(Acquire);
        if word & BUSY != 0 {
            // After the load of the slot, or this may be a later claim of it.
            let recheck = !mutated(Mutant::HelpWithoutRecheck);
            if recheck && !first.header().same_commit(committed) {
                return;
            }
            // Acquires the completed word if another was faster.
            let _ = slot.compare_exchange(word, word & !BUSY, AcqRel, Acquire);
        }
        let mut header = first.header();
        while header.same_commit(committed) {
            match first.change(header, header.settled()) {
                Ok(()) => return,
                Err(now) => header = now,
            }
        }
    }

    /// Takes an empty slot of the chain, which grows if it has none; says its position.
    #[inline]
    fn claim<'a>(
        &'a self,
        first: &'a Bucket,
        word: Word,
    ) -> Result<(usize, &'a AtomicU64), InsertError> {
        let claimed = word.to_bits() | BUSY;
        let mut bucket = first;
        for depth in 0..CHAIN_MAX {
            if depth > 0 {
                bucket = self.next_of(bucket)?;
            }
            for (offset, slot) in bucket.slots.iter().enumerate() {
                if slot.load(Relaxed) != EMPTY {
                    continue;
                }
                if mutated(Mutant::ClaimStores) {
                    slot.store(claimed, Release);
                    return Ok((depth * SLOTS + offset, slot));
                }
                if slot.compare_exchange(EMPTY, claimed, AcqRel, Relaxed).is_ok() {
                    return Ok((depth * SLOTS + offset, slot));
                }
            }
        }
        Err(InsertError::Full)
    }

    /// The bucket after this one, linked now if there is none.
    fn next_of(&self, bucket: &Bucket) -> Result<&Bucket, InsertError> {
        let mut header = bucket.header();
        if let Some(number) = header.overflow() {
            return Ok(self.pool.get(number));
        }
        let taken = self.pool.take().ok_or(InsertError::Full)?;
        loop {
            if let Some(number) = header.overflow() {
                self.pool.give_back(taken);
                return Ok(self.pool.get(number));
            }
            match bucket.link(header, header.with_overflow(taken)) {
                Ok(()) => return Ok(self.pool.get(taken)),
                Err(now) => header = now,
            }
        }
    }

    #[inline]
    fn chain<'a>(&'a self, first: &'a Bucket, header: Header) -> Chain<'a> {
        Chain { pool: &self.pool, next: Some(first), link: Some(header) }
    }

    #[inline]
    fn slot_holding<'a>(&'a self, first: &'a Bucket, seen: Word) -> Option<&'a AtomicU64> {
        let mut slots = self.chain(first, first.header()).flat_map(|bucket| &bucket.slots);
        slots.find(|slot| same(slot.load(Acquire), seen.to_bits()))
    }

    fn slot_at<'a>(&'a self, first: &'a Bucket, position: usize) -> &'a AtomicU64 {
        let bucket = self.chain(first, first.header()).nth(position / SLOTS);
        // The committer had reached it, before the header named it.
        &bucket.expect("a named position is in the chain").slots[position % SLOTS]
    }
}

/// The buckets of a chain in order.
struct Chain<'a> {
    pool: &'a Overflow,
    next: Option<&'a Bucket>,
    /// Of `next`, if it has been loaded.
    link: Option<Header>,
}

impl<'a> Iterator for Chain<'a> {
    type Item = &'a Bucket;

    #[inline]
    fn next(&mut self) -> Option<&'a Bucket> {
        let bucket = self.next?;
        let header = self.link.take().unwrap_or_else(|| bucket.header());
        self.next = header.overflow().map(|number| self.pool.get(number));
        Some(bucket)
    }
}

/// The one change of a slot that is not an insert.
#[inline]
fn exchange(slot: &AtomicU64, seen: u64, new: u64) -> Result<(), Stale> {
    if mutated(Mutant::ReplaceStores) {
        slot.store(new, Release);
        return Ok(());
    }
    if mutated(Mutant::ReplaceIgnoresWatched) {
        let marked = slot.load(Acquire);
        let changed = slot.compare_exchange(marked, new, AcqRel, Relaxed);
        return changed.map(drop).map_err(|_| Stale);
    }
    let success = if mutated(Mutant::PublishRelaxed) { Relaxed } else { AcqRel };
    slot.compare_exchange(seen, new, success, Relaxed).map(drop).map_err(|_| Stale)
}

/// Whether a slot holds what was seen, to the last mark.
#[inline]
fn same(held: u64, seen: u64) -> bool {
    if mutated(Mutant::ReplaceIgnoresWatched) {
        let marks = |bits| Word::from_bits(bits).map(|word| word.with_watched(false));
        return marks(held) == marks(seen);
    }
    held == seen
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
