//! Every interleaving of two or three threads, within a bound of preemptions, on the index itself.
//! Buckets have two slots here. Each model is run a second time with a fault that it must find.

use loom::sync::{Arc, Mutex};
use loom::thread;

use super::*;
use crate::segments::atomic::model;
use crate::segments::mutant::fails_for;

const KEY: u64 = 7;
const OTHER: u64 = 8;

/// An index and the blocks its words name, which are written before a word is shared. Loads of
/// blocks may always see what is old.
struct Bench {
    index: Index,
    blocks: [loom::sync::atomic::AtomicU64; 4],
}

fn word(key: u64, location: u64) -> Word {
    Word::new(tag_of(key), location)
}

fn written(location: u64) -> u64 {
    location + 40
}

impl Bench {
    fn new(overflow: usize) -> Arc<Self> {
        let blocks = std::array::from_fn(|_| loom::sync::atomic::AtomicU64::new(0));
        Arc::new(Self { index: Index::new(1, overflow), blocks })
    }

    fn write(&self, location: u64) {
        self.blocks[location as usize - 1].store(written(location), Relaxed);
    }

    /// Looks, and reads the block of what it found.
    fn look(&self, key: u64) -> Found {
        self.index.find(key, |word| {
            let block = self.blocks[word.location() as usize - 1].load(Relaxed);
            assert_eq!(block, written(word.location()), "a block is seen as it was written");
            true
        })
    }

    fn entry(&self, key: u64) -> Option<Word> {
        match self.look(key) {
            Found::Entry(word) => Some(word),
            Found::Absent(_) => None,
        }
    }

    fn absence(&self, key: u64) -> Absence {
        match self.look(key) {
            Found::Absent(absence) => absence,
            Found::Entry(word) => panic!("{word:?} is there"),
        }
    }

    /// Acquires the key, also from `expired`; whether this was the one.
    fn begin(&self, key: u64, location: u64, expired: Option<Word>) -> bool {
        self.write(location);
        let mine = word(key, location);
        loop {
            let done = match self.look(key) {
                Found::Entry(seen) if Some(seen) == expired => {
                    self.index.replace(key, seen, mine).map_err(|Stale| InsertError::Stale)
                }
                Found::Entry(_) => return false,
                Found::Absent(absence) => self.index.insert(key, absence, mine),
            };
            match done {
                Ok(()) => return true,
                Err(InsertError::Stale) => {}
                Err(InsertError::Full) => panic!("there is room for all"),
            }
        }
    }

    fn words(&self) -> usize {
        let mut words = 0;
        let end = self.index.page(0, 10, |_| {
            words += 1;
            true
        });
        assert_eq!(end, None);
        words
    }
}

/// Runs `act` on a thread of its own.
fn beside<T: 'static>(
    bench: &Arc<Bench>,
    act: impl FnOnce(&Bench) -> T + 'static,
) -> thread::JoinHandle<T> {
    let bench = Arc::clone(bench);
    thread::spawn(move || act(&bench))
}

fn two_inserts_of_one_key() {
    model(3, || {
        let bench = Bench::new(0);
        let one = beside(&bench, |bench| bench.begin(KEY, 1, None));
        let two = bench.begin(KEY, 2, None);
        assert!(bench.entry(KEY).is_some(), "whoever has begun finds the entry");
        let one = one.join().unwrap();
        assert!(one ^ two, "one owner, not {one} and {two}");
        let owner = word(KEY, if one { 1 } else { 2 });
        assert_eq!((bench.entry(KEY), bench.words()), (Some(owner), 1), "one owner's word");
    });
}

#[test]
fn one_of_two_inserts_of_a_key_succeeds_s2() {
    two_inserts_of_one_key();
    fails_for(Mutant::InsertWithoutCommit, "one owner", two_inserts_of_one_key);
}

fn inserts_of_two_keys() {
    model(3, || {
        let bench = Bench::new(0);
        let one = beside(&bench, |bench| bench.begin(KEY, 1, None));
        let two = bench.begin(OTHER, 2, None);
        assert!(one.join().unwrap() && two);
        let found = (bench.entry(KEY), bench.entry(OTHER));
        assert_eq!(found, (Some(word(KEY, 1)), Some(word(OTHER, 2))), "both are found");
    });
}

#[test]
fn inserts_of_two_keys_leave_each_other_in_place() {
    inserts_of_two_keys();
    fails_for(Mutant::ClaimStores, "both are found", inserts_of_two_keys);
}

fn insert_beside_insert_and_remove() {
    model(3, || {
        let bench = Bench::new(0);
        let absence = bench.absence(KEY);
        let passing = beside(&bench, move |bench| {
            bench.write(1);
            let inserted = bench.index.insert(KEY, absence, word(KEY, 1)).is_ok();
            if inserted {
                bench.index.remove(KEY, word(KEY, 1)).expect("nobody else may change it");
            }
            inserted
        });
        bench.write(2);
        let staying = bench.index.insert(KEY, absence, word(KEY, 2)).is_ok();
        let passing = passing.join().unwrap();
        assert!(passing ^ staying, "one absence admits one insert: {passing} {staying}");
    });
}

#[test]
fn an_absence_from_before_another_entry_admits_nothing_s4() {
    insert_beside_insert_and_remove();
    let complaint = "one absence admits one insert";
    fails_for(Mutant::VersionStands, complaint, insert_beside_insert_and_remove);
}

fn expired_word_replaced_or_removed() {
    model(2, || {
        let bench = Bench::new(0);
        assert!(bench.begin(KEY, 1, None));
        let expired = word(KEY, 1);
        let begins = [2, 3]
            .map(|location| beside(&bench, move |bench| bench.begin(KEY, location, Some(expired))));
        let _ = bench.index.remove(KEY, expired);
        let owners = begins.map(|begin| begin.join().unwrap());
        assert!(owners[0] ^ owners[1], "one owner, not {owners:?}");
        assert_eq!(bench.words(), 1, "one owner's word");
    });
}

#[test]
fn an_expired_entry_has_one_successor_beside_its_remover_s2() {
    expired_word_replaced_or_removed();
    fails_for(Mutant::ReplaceStores, "one owner", expired_word_replaced_or_removed);
}

fn stale_helper() {
    model(3, || {
        let bench = Bench::new(0);
        let first = bench.index.first(KEY);
        // Committed, and neither completed nor settled: its thread has stopped there.
        bench.write(1);
        let (position, _) = bench.index.claim(first, word(KEY, 1)).unwrap();
        let committed = first.header().committing(position);
        first.change(first.header(), committed).unwrap();

        let helper =
            beside(&bench, move |bench| bench.index.help(bench.index.first(KEY), committed));
        assert_eq!(bench.entry(KEY), Some(word(KEY, 1)), "a committed entry is found");
        bench.index.remove(KEY, word(KEY, 1)).unwrap();
        bench.write(2);
        bench.index.claim(first, word(OTHER, 2)).unwrap();
        helper.join().unwrap();
        assert_eq!(bench.entry(OTHER), None, "a claim is not published");
    });
}

#[test]
fn a_helper_that_slept_publishes_no_later_claim() {
    stale_helper();
    fails_for(Mutant::HelpWithoutRecheck, "a claim is not published", stale_helper);
}

fn remove_before_settled() {
    model(3, || {
        let bench = Bench::new(0);
        let inserter = beside(&bench, |bench| bench.begin(KEY, 1, None));
        if let Some(seen) = bench.entry(KEY) {
            bench.index.remove(KEY, seen).expect("nobody else may change it");
            bench.write(2);
            bench.index.claim(bench.index.first(KEY), word(OTHER, 2)).unwrap();
            assert_eq!(bench.entry(OTHER), None, "a claim is not published");
        }
        assert!(inserter.join().unwrap());
        assert_eq!(bench.entry(OTHER), None, "a claim is not published");
    });
}

#[test]
fn a_slot_is_not_emptied_while_the_header_names_it() {
    remove_before_settled();
    fails_for(Mutant::RemoveUnsettled, "a claim is not published", remove_before_settled);
}

fn append_beside_insert(key: u64) {
    model(2, move || {
        let bench = Bench::new(2);
        for (other, location) in [(1, 3), (2, 4)] {
            assert!(bench.begin(other, location, None));
        }
        let one = beside(&bench, |bench| bench.begin(KEY, 1, None));
        let two = bench.begin(key, 2, None);
        let one = one.join().unwrap();
        let words = if key == KEY { 3 } else { 4 };
        assert_eq!(one & two, key != KEY, "one owner of each key: {one} {two}");
        assert!(one | two, "one owner of each key, not none");
        assert_eq!(bench.words(), words, "one owner's word of each key");
        assert!(bench.entry(1).is_some() && bench.entry(2).is_some());
    });
}

#[test]
fn a_bucket_appended_loses_no_insert_and_admits_no_second_s2() {
    append_beside_insert(KEY);
    append_beside_insert(OTHER);
    fails_for(Mutant::AppendStores, "one owner", || append_beside_insert(KEY));
}

fn insert_beside_claim() {
    model(3, || {
        let bench = Bench::new(0);
        let absence = bench.absence(KEY);
        let insert = move |bench: &Bench, location| {
            bench.write(location);
            let inserted = bench.index.insert(KEY, absence, word(KEY, location)).is_ok();
            if inserted {
                assert_eq!(bench.entry(KEY), Some(word(KEY, location)), "a claim is no entry");
            }
            inserted
        };
        let one = beside(&bench, move |bench| insert(bench, 1));
        let two = insert(&bench, 2);
        assert!(one.join().unwrap() ^ two, "one absence admits one insert");
        let slots = bench.index.first(KEY).slots.iter();
        let taken = slots.filter(|slot| slot.load(Relaxed) != EMPTY).count();
        assert_eq!(taken, 1, "no claim is left");
    });
}

#[test]
fn an_owner_finds_its_own_entry_beside_the_claim_of_a_loser_s2() {
    insert_beside_claim();
    fails_for(Mutant::FindCountsClaims, "a claim is no entry", insert_beside_claim);
    fails_for(Mutant::ClaimStays, "no claim is left", insert_beside_claim);
}

fn reader_beside_two_inserts() {
    model(3, || {
        let bench = Bench::new(0);
        let begins =
            [1, 2].map(|location| beside(&bench, move |bench| bench.begin(KEY, location, None)));
        let earlier = bench.entry(KEY);
        let later = bench.entry(KEY);
        if earlier.is_some() {
            assert_eq!(earlier, later, "what was there stays there");
        }
        for begin in begins {
            begin.join().unwrap();
        }
        assert!(bench.entry(KEY).is_some(), "what was there stays there");
    });
}

#[test]
fn what_a_look_has_found_later_looks_find_s2() {
    reader_beside_two_inserts();
    fails_for(Mutant::FindCountsClaims, "what was there stays there", reader_beside_two_inserts);
}

fn reader_beside_replacement() {
    model(3, || {
        let bench = Bench::new(0);
        assert!(bench.begin(KEY, 1, None));
        let replacing = beside(&bench, |bench| {
            bench.write(2);
            bench.index.replace(KEY, word(KEY, 1), word(KEY, 2)).expect("nobody else changes it");
        });
        let (earlier, later) = (bench.entry(KEY), bench.entry(KEY));
        assert!(earlier.is_some() && later.is_some(), "a replaced entry is not missed");
        assert!(earlier.map(Word::location) <= later.map(Word::location), "no state comes back");
        replacing.join().unwrap();
    });
}

#[test]
fn a_block_is_seen_as_it_was_written() {
    reader_beside_replacement();
    fails_for(Mutant::PublishRelaxed, "as it was written", reader_beside_replacement);
}

fn three_changes_of_one_word() {
    model(3, || {
        let bench = Bench::new(0);
        assert!(bench.begin(KEY, 1, None));
        let seen = word(KEY, 1);
        let changes = [2, 3].map(|location| {
            beside(&bench, move |bench| {
                bench.write(location);
                bench.index.replace(KEY, seen, word(KEY, location)).is_ok()
            })
        });
        let removed = bench.index.remove(KEY, seen).is_ok();
        let [completed, taken_over] = changes.map(|change| change.join().unwrap());
        let done = [completed, taken_over, removed];
        assert_eq!(done.iter().filter(|done| **done).count(), 1, "one change each: {done:?}");
        let left = bench.entry(KEY).map(Word::location);
        assert_eq!(left, completed.then_some(2).or(taken_over.then_some(3)), "one change each");
    });
}

#[test]
fn of_complete_takeover_and_remove_one_meets_the_word_s4_s5() {
    three_changes_of_one_word();
    fails_for(Mutant::ReplaceStores, "one change each", three_changes_of_one_word);
}

fn watch_beside_complete() {
    #[derive(Default)]
    struct Queue {
        waiting: bool,
        woken: bool,
    }
    model(3, || {
        let bench = Bench::new(0);
        let queue = Arc::new(Mutex::new(Queue::default()));
        assert!(bench.begin(KEY, 1, None));
        let (reserved, completed) = (word(KEY, 1), word(KEY, 2));
        let waiters_queue = Arc::clone(&queue);
        let waiter = beside(&bench, move |bench| {
            let mut queue = waiters_queue.lock().unwrap();
            let seen = bench.entry(KEY).expect("nobody removes it");
            if seen == reserved {
                let marked = bench.index.replace(KEY, seen, seen.with_watched(true));
                queue.waiting = marked.is_ok();
            }
        });
        bench.write(2);
        loop {
            let seen = bench.entry(KEY).expect("nobody removes it");
            let lock = seen.watched().then(|| queue.lock().unwrap());
            if bench.index.replace(KEY, seen, completed).is_ok() {
                if let Some(mut queue) = lock {
                    queue.woken = true;
                }
                break;
            }
        }
        waiter.join().unwrap();
        let queue = queue.lock().unwrap();
        assert_eq!(queue.waiting, queue.woken, "who waits is woken by the change");
        assert_eq!(bench.entry(KEY), Some(completed));
    });
}

#[test]
fn who_has_marked_a_word_is_seen_by_whoever_changes_it_s10() {
    watch_beside_complete();
    let complaint = "who waits is woken";
    fails_for(Mutant::ReplaceIgnoresWatched, complaint, watch_beside_complete);
}
