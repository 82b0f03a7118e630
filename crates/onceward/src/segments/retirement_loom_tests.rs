//! Every interleaving, within a bound of preemptions, of those who write and read blocks with the
//! one who takes their memory back. Arena, slab, expiry slots, epochs and index are those of the
//! store, on small words; what the reclaimer does with them is written again here, as short as it
//! can be, for it needs the whole storage.

use std::sync::atomic::Ordering::Relaxed;

use loom::sync::Arc;
use loom::thread;

use onceward_core::Timestamp;

use super::arena::{Arena, Geometry};
use super::atomic::{AtomicU64, model};
use super::epoch::Epochs;
use super::expiry::{Expiry, Piece, Slot};
use super::head::{Head, Kind};
use super::index::{Found, Index};
use super::mutant::{Mutant, fails_for, mutated};
use super::reservation::{EXPIRES, FIXED_WORDS};
use super::segment::NEVER;
use super::slab::Slab;
use super::word::{Word, tag_of};
use crate::budget::Budget;

const HASH: u64 = 7;
/// Of a record: its head and its content.
const RECORD_WORDS: usize = 2;
/// Of a segment with room for two blocks.
const BLOCKS_WORDS: usize = (2 * FIXED_WORDS).next_power_of_two();
const WRITTEN: u64 = 42;
const REUSED: u64 = 666;
const NOW_MS: u64 = 5_000;
const STILL_READ: &str = "what a reader has found keeps its words";
const STILL_WALKED: &str = "an entry published late is walked";
const NO_END_LOST: &str = "no end is lost";

struct Bench {
    arena: Arena,
    budget: Budget,
    epochs: Epochs,
    index: Index,
    expiry: Expiry,
    slab: Slab,
    /// The word of a block of the slab, in place of an index of its own; 0 once it is unlinked.
    link: AtomicU64,
}

impl Bench {
    fn new(ordinary: usize, slab: usize, segment_words: usize) -> Self {
        let geometry = Geometry::explored(segment_words, ordinary, slab);
        Self {
            arena: Arena::new(geometry).expect("a model has words"),
            budget: Budget::new(1 << 20, 0),
            epochs: Epochs::new(4, Timestamp::ZERO),
            index: Index::new(1, 0),
            expiry: Expiry::new(),
            slab: Slab::new(),
            link: AtomicU64::new(0),
        }
    }

    /// A slot that ended before now.
    fn slot() -> Slot {
        Slot::new(0, Timestamp::from_millis(1))
    }

    /// With an entry whose record is due to come into an open segment.
    fn with_reservation() -> Self {
        let bench = Self::new(2, 0, 2 * RECORD_WORDS);
        assert!(bench.expiry.ensure(&bench.arena, &bench.budget, 0, Self::slot()));
        let Found::Absent(absence) = bench.index.find(HASH, |_| true) else { panic!("it is new") };
        bench.index.insert(HASH, absence, Self::reserved()).expect("there is room");
        bench
    }

    /// Of a block that no model looks into.
    fn reserved() -> Word {
        Word::new(tag_of(HASH), 1 << 20)
    }

    /// As a complete does it.
    fn complete(&self, hint: usize) {
        let _pin = self.epochs.pin(hint);
        let (words, slot) = (RECORD_WORDS, Self::slot());
        let piece = self.expiry.take(&self.arena, &self.budget, 0, slot, words, words);
        let Piece { location, .. } = piece.expect("there is room");
        self.arena.word(location + 1).store(WRITTEN, Relaxed);
        self.arena.word(location).store(Head::new(Kind::Completed, words).0, Relaxed);
        let completed = Self::reserved().with_location(location);
        self.index.replace(HASH, Self::reserved(), completed).expect("nobody else changes it");
        assert_eq!(self.arena.word(location + 1).load(Relaxed), WRITTEN, "{STILL_READ}");
    }

    /// As a replay does it.
    fn read(&self, hint: usize) {
        let _pin = self.epochs.pin(hint);
        if let Found::Entry(word) = self.index.find(HASH, |word| word != Self::reserved()) {
            let content = self.arena.word(word.location() + 1).load(Relaxed);
            assert_eq!(content, WRITTEN, "{STILL_READ}");
        }
    }

    fn advance(&self, times: usize, hint: usize) {
        for _ in 0..times {
            let _pin = self.epochs.pin(hint);
            if let Some(epoch) = self.epochs.try_advance(Timestamp::ZERO) {
                self.slab.free_retired(&self.arena, epoch.wrapping_sub(2));
            }
        }
    }

    /// Takes segments through their end as far as that goes without waiting; `false` if one is
    /// still on its way, which it is then left on for good.
    fn reclaim(&self, hint: usize) -> bool {
        let mut sealed = Vec::new();
        self.expiry.take_due(&self.arena, NOW_MS, |segment| {
            sealed.push((segment, self.epochs.stamp()));
        });
        for (segment, stamp) in sealed {
            self.advance(2, hint);
            if !self.epochs.is_past(stamp) && !mutated(Mutant::WalkedAtOnce) {
                return false;
            }
            self.walk(segment, hint);
            let stamp = self.epochs.stamp();
            self.advance(2, hint);
            if !self.epochs.is_past(stamp) && !mutated(Mutant::ReusedAtOnce) {
                return false;
            }
            self.arena.free_segment(segment);
        }
        true
    }

    fn walk(&self, segment: u64, hint: usize) {
        let _pin = self.epochs.pin(hint);
        let used = self.arena.segment(segment).used.load(Relaxed) as usize;
        let mut at = 0;
        while at < used {
            let block = self.arena.location(segment, at);
            let head = Head(self.arena.word(block).load(Relaxed));
            at += head.words().max(1);
            let is = |word: Word| word.location() == block;
            if let Found::Entry(word) = self.index.find(HASH, is) {
                self.index.remove(HASH, word).expect("nobody else removes it");
            }
        }
    }

    /// A block of the slab as a begin writes it, which ends then; not linked yet.
    fn reserve(&self, expires_ms: u64) -> u64 {
        let taken = self.slab.take(&self.arena, &self.budget, 0, FIXED_WORDS, false);
        let (block, words) = taken.expect("there is room");
        self.arena.word(block + 1).store(WRITTEN, Relaxed);
        self.arena.word(block + EXPIRES as u64).store(expires_ms, Relaxed);
        self.arena.word(block).store(Head::new(Kind::Reserved, words).0, Relaxed);
        self.slab.ends(&self.arena, block, expires_ms);
        block
    }

    fn read_linked(&self, hint: usize) {
        let _pin = self.epochs.pin(hint);
        let block = self.link.load(std::sync::atomic::Ordering::Acquire);
        if block != 0 {
            assert_eq!(self.arena.word(block + 1).load(Relaxed), WRITTEN, "{STILL_READ}");
        }
    }

    fn retire_linked(&self, hint: usize) {
        let _pin = self.epochs.pin(hint);
        let block = self.link.swap(0, std::sync::atomic::Ordering::AcqRel);
        self.slab.retire(&self.arena, 0, block, self.epochs.stamp());
    }

    /// Takes a block and writes to it.
    fn overwrite(&self) -> u64 {
        let taken = self.slab.take(&self.arena, &self.budget, 0, FIXED_WORDS, false);
        let (block, _) = taken.expect("there is room");
        self.arena.word(block + 1).store(REUSED, Relaxed);
        block
    }

    /// As the reclaimer sweeps a segment of reservations.
    fn sweep(&self, number: u64) {
        let segment = self.arena.segment(number);
        if segment.due.load(Relaxed) > NOW_MS {
            return;
        }
        if !mutated(Mutant::SweptBeforeSwap) {
            segment.due.swap(NEVER, std::sync::atomic::Ordering::AcqRel);
        }
        segment.noted.store(NEVER, Relaxed);
        let most = self.slab.cut_words(&self.arena, number);
        for at in (0..most).step_by(FIXED_WORDS) {
            let block = self.arena.location(number, at);
            if Head(self.arena.word(block).load(Relaxed)).kind() == Kind::Nothing {
                continue;
            }
            let ends = self.arena.word(block + EXPIRES as u64).load(Relaxed);
            if ends > NOW_MS {
                segment.noted.fetch_min(ends, Relaxed);
            }
        }
        if mutated(Mutant::SweptBeforeSwap) {
            segment.due.swap(NEVER, std::sync::atomic::Ordering::AcqRel);
        }
        let noted = segment.noted.load(Relaxed);
        segment.due.fetch_min(noted, std::sync::atomic::Ordering::AcqRel);
    }
}

fn beside(bench: &Arc<Bench>, act: impl FnOnce(&Bench) + 'static) -> thread::JoinHandle<()> {
    let bench = Arc::clone(bench);
    thread::spawn(move || act(&bench))
}

fn complete_beside_reclaim() {
    model(2, || {
        let bench = Arc::new(Bench::with_reservation());
        let completing = beside(&bench, |bench| bench.complete(0));
        let done = bench.reclaim(1);
        completing.join().unwrap();
        // What was opened meanwhile, or taken room in, is due at the next tick.
        if done {
            assert!(bench.reclaim(1));
            let found = bench.index.find(HASH, |word| word != Bench::reserved());
            assert!(matches!(found, Found::Absent(_)), "{STILL_WALKED}");
        } else {
            bench.read(0);
        }
    });
}

#[test]
fn an_entry_published_late_is_walked_before_its_segment_is_reused() {
    complete_beside_reclaim();
    for mutant in [Mutant::WalkedAtOnce, Mutant::SealedBeforeTaken] {
        fails_for(mutant, STILL_WALKED, complete_beside_reclaim);
    }
}

fn read_beside_reclaim() {
    model(2, || {
        let bench = Arc::new(Bench::with_reservation());
        bench.complete(1);
        let reading = beside(&bench, |bench| bench.read(0));
        bench.reclaim(1);
        reading.join().unwrap();
    });
}

#[test]
fn a_reader_sees_no_word_of_a_segment_reused_s16() {
    read_beside_reclaim();
    fails_for(Mutant::ReusedAtOnce, STILL_READ, read_beside_reclaim);
}

fn read_beside_retire_and_free() {
    model(3, || {
        let bench = Bench::new(0, 1, BLOCKS_WORDS);
        let block = bench.reserve(NOW_MS);
        bench.link.store(block, Relaxed);
        let bench = Arc::new(bench);
        let retiring = beside(&bench, |bench| bench.retire_linked(2));
        let freeing = beside(&bench, |bench| {
            bench.advance(1, 1);
            bench.overwrite();
        });
        bench.read_linked(0);
        retiring.join().unwrap();
        freeing.join().unwrap();
        bench.advance(3, 1);
        assert!(!bench.slab.has_retired(), "what was retired comes back");
    });
}

#[test]
fn a_reader_sees_no_word_of_a_block_reused_s16() {
    read_beside_retire_and_free();
    for mutant in [Mutant::LimboOfTwo, Mutant::LimboOfThree] {
        fails_for(mutant, STILL_READ, read_beside_retire_and_free);
    }
}

fn begin_beside_sweep() {
    model(3, || {
        const LATER_MS: u64 = NOW_MS + 50;
        let bench = Bench::new(0, 1, BLOCKS_WORDS);
        let due = bench.reserve(NOW_MS);
        let number = bench.arena.segment_of(due);
        let bench = Arc::new(bench);
        let beginning = beside(&bench, |bench| {
            bench.reserve(LATER_MS);
        });
        bench.sweep(number);
        beginning.join().unwrap();
        let noted = bench.arena.segment(number).due.load(Relaxed);
        assert!(noted <= LATER_MS, "{NO_END_LOST}: {noted}");
    });
}

#[test]
fn a_sweep_loses_no_end_of_a_reservation_written_meanwhile() {
    begin_beside_sweep();
    for mutant in [Mutant::DueLoweredByLook, Mutant::SweptBeforeSwap] {
        fails_for(mutant, NO_END_LOST, begin_beside_sweep);
    }
}
