//! Every interleaving, within a bound of preemptions, of a waiter with its answer, and of its
//! registration with the change that it waits for. The queue is reduced to one place under loom's
//! lock; the slot and the index are those of the store.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Wake;

use loom::thread;

use super::*;
use crate::segments::atomic::model;
use crate::segments::index::{Found, Index};
use crate::segments::mutant::fails_for;
use crate::segments::word::{Word, tag_of};

const WOKEN: &str = "who waits is woken for its answer";
const HASH: u64 = 7;

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

impl Woken {
    fn new() -> (Arc<Self>, Waker) {
        let woken = Arc::<Self>::default();
        let waker = Waker::from(Arc::clone(&woken));
        (woken, waker)
    }
}

fn answer(slot: &Slot) {
    if let Some(waker) = slot.answer(Err(StoreError::Unavailable)) {
        waker.wake();
    }
}

fn poll_beside_answer() {
    model(3, || {
        let (first, later) = (Woken::new(), Woken::new());
        let slot = Arc::new(Slot::new(first.1));
        let answered = Arc::clone(&slot);
        let answering = thread::spawn(move || answer(&answered));
        let polled = slot.poll(&later.1);
        answering.join().unwrap();
        if polled.is_pending() {
            assert!(later.0.0.load(Relaxed), "{WOKEN}");
            assert!(slot.poll(&later.1).is_ready(), "the answer is there");
        }
    });
}

#[test]
fn the_waker_of_the_last_poll_is_called_or_that_poll_got_the_answer_s10() {
    poll_beside_answer();
    fails_for(Mutant::WakeBeforeAnswer, WOKEN, poll_beside_answer);
}

struct Bench {
    index: Index,
    /// The queue: who stands in it.
    line: Mutex<Option<Arc<Slot>>>,
}

impl Bench {
    fn word(location: u64) -> Word {
        Word::new(tag_of(HASH), location)
    }

    fn entry(&self) -> Word {
        match self.index.find(HASH, |_| true) {
            Found::Entry(word) => word,
            Found::Absent(_) => panic!("nobody removes it"),
        }
    }

    /// Judges, marks what it was found to wait for, and parks; whether it waits.
    fn register(&self, slot: &Arc<Slot>, reserved: Word) -> bool {
        let mut line = self.line.lock();
        loop {
            let seen = self.entry();
            if seen != reserved {
                return false;
            }
            let unmarked = mutated(Mutant::ParkUnmarked);
            if unmarked || self.index.replace(HASH, seen, seen.with_watched(true)).is_ok() {
                *line = Some(Arc::clone(slot));
                return true;
            }
        }
    }

    /// Completes the entry, and answers who stands in line if somebody may.
    fn complete(&self, completed: Word) {
        loop {
            let seen = self.entry();
            if !seen.watched() {
                if self.index.replace(HASH, seen, completed).is_ok() {
                    return;
                }
                continue;
            }
            let mut line = self.line.lock();
            if self.index.replace(HASH, seen, completed).is_ok() {
                line.take().iter().for_each(|slot| answer(slot));
                return;
            }
        }
    }
}

fn registration_beside_completion() {
    model(3, || {
        let (reserved, completed) = (Bench::word(1), Bench::word(2));
        let bench = Arc::new(Bench { index: Index::new(1, 0), line: Mutex::new(None) });
        let Found::Absent(absence) = bench.index.find(HASH, |_| true) else { panic!("it is new") };
        bench.index.insert(HASH, absence, reserved).expect("there is room");
        let completes = Arc::clone(&bench);
        let completing = thread::spawn(move || completes.complete(completed));
        let (woken, waker) = Woken::new();
        let slot = Arc::new(Slot::new(waker.clone()));
        let waits = bench.register(&slot, reserved);
        completing.join().unwrap();
        assert_eq!(waits, woken.0.load(Relaxed), "{WOKEN}");
        assert_eq!(waits, slot.poll(&waker).is_ready(), "the answer is there");
    });
}

#[test]
fn who_registers_is_answered_by_the_change_or_has_seen_it_s10() {
    registration_beside_completion();
    fails_for(Mutant::ParkUnmarked, WOKEN, registration_beside_completion);
}
