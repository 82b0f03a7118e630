//! Every interleaving, within a bound of preemptions, of readers with one who unlinks a block and
//! reuses it. A block reused too early shows as a value that its reader never was promised.

use loom::sync::Arc;
use loom::thread;

use super::*;
use crate::segments::atomic::model;
use crate::segments::mutant::fails_for;

const WRITTEN: u64 = 42;
const REUSED: u64 = 666;
const COMPLAINT: &str = "a block is not reused under a pin";

struct Bench {
    epochs: Epochs,
    /// 1 while the block can be found.
    link: AtomicU64,
    block: loom::sync::atomic::AtomicU64,
}

impl Bench {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            epochs: Epochs::new(2, Timestamp::ZERO),
            link: AtomicU64::new(1),
            block: loom::sync::atomic::AtomicU64::new(WRITTEN),
        })
    }

    fn read(&self, hint: usize) {
        let _pin = self.epochs.pin(hint);
        if self.link.load(Acquire) == 1 {
            assert_eq!(self.block.load(Relaxed), WRITTEN, "{COMPLAINT}");
        }
    }

    fn advance(&self, times: u64) {
        for _ in 0..times {
            self.epochs.try_advance(Timestamp::ZERO);
        }
    }

    /// Unlinks the block, and reuses it if that is allowed after `advances` tries.
    fn retire(&self, advances: u64) {
        self.link.compare_exchange(1, 0, AcqRel, Relaxed).expect("nobody else unlinks it");
        let stamp = self.epochs.stamp();
        self.advance(advances);
        if self.epochs.is_past(stamp) {
            self.block.store(REUSED, Relaxed);
        }
    }
}

fn beside(bench: &Arc<Bench>, act: impl FnOnce(&Bench) + 'static) -> thread::JoinHandle<()> {
    let bench = Arc::clone(bench);
    thread::spawn(move || act(&bench))
}

fn retire_beside_two_readers() {
    model(2, || {
        let bench = Bench::new();
        let readers = [0, 1].map(|hint| beside(&bench, move |bench| bench.read(hint)));
        bench.retire(2);
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

fn retire_beside_one_reader() {
    model(3, || {
        let bench = Bench::new();
        let reader = beside(&bench, |bench| bench.read(1));
        bench.retire(2);
        reader.join().unwrap();
    });
}

fn retire_beside_reader_and_advances() {
    model(2, || {
        let bench = Bench::new();
        let reader = beside(&bench, |bench| bench.read(0));
        let advancer = beside(&bench, |bench| bench.advance(2));
        bench.retire(0);
        reader.join().unwrap();
        advancer.join().unwrap();
    });
}

#[test]
fn a_block_is_not_reused_under_a_pin_s16() {
    retire_beside_one_reader();
    for mutant in
        [Mutant::PinUnfenced, Mutant::AdvancePastPins, Mutant::GraceOfOne, Mutant::UsedRaisedLate]
    {
        fails_for(mutant, COMPLAINT, retire_beside_one_reader);
    }
}

#[test]
fn a_block_is_not_reused_under_either_of_two_pins_s16() {
    retire_beside_two_readers();
    fails_for(Mutant::AdvancePastPins, COMPLAINT, retire_beside_two_readers);
}

#[test]
fn a_block_is_not_reused_early_when_others_advance_s16() {
    retire_beside_reader_and_advances();
    for mutant in [Mutant::StampUnfenced, Mutant::AdvanceUnfenced] {
        fails_for(mutant, COMPLAINT, retire_beside_reader_and_advances);
    }
}

#[test]
fn a_block_is_reused_once_nobody_is_pinned() {
    model(3, || {
        let bench = Bench::new();
        bench.read(0);
        bench.retire(2);
        assert_eq!(bench.block.load(Relaxed), REUSED, "the models above reach reuse");
    });
}
