//! The index beside a map on one thread, and beside a naive table of owners on several.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use proptest::prelude::*;

use super::*;

/// Few buckets and few tags, so that chains grow and tags collide.
fn hash(key: u64) -> u64 {
    ((key % 3) << 62) | (key % 5)
}

const KEYS: u64 = 24;

/// The index with the key of each block that was ever written; location 1 is the first.
struct Bench {
    index: Index,
    keys: Vec<u64>,
}

impl Bench {
    fn find(&self, key: u64) -> Found {
        self.index.find(hash(key), |word| self.keys[word.location() as usize - 1] == key)
    }

    fn write(&mut self, key: u64) -> Word {
        self.keys.push(key);
        Word::new(tag_of(hash(key)), self.keys.len() as u64)
    }

    fn words(&self, page: usize, steps: usize) -> Vec<Word> {
        let (mut words, mut cursor) = (Vec::new(), Some(0));
        while let Some(from) = cursor {
            let mut left = page;
            cursor = self.index.page(from, steps, |word| {
                if left > 0 {
                    words.push(word);
                    left -= 1;
                    return true;
                }
                false
            });
        }
        words
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert,
    InsertStale,
    Replace,
    ReplaceStale,
    Mark,
    Remove,
}

proptest! {
    #[test]
    fn the_index_agrees_with_a_map(
        steps in prop::collection::vec(
            (0..KEYS, prop_oneof![
                3 => Just(Step::Insert),
                1 => Just(Step::InsertStale),
                1 => Just(Step::Replace),
                1 => Just(Step::ReplaceStale),
                1 => Just(Step::Mark),
                2 => Just(Step::Remove),
            ]),
            1..300,
        ),
        page in 1..9_usize,
        bound in 1..4_usize,
    ) {
        let mut bench = Bench { index: Index::new(4, 12), keys: Vec::new() };
        let mut map: HashMap<u64, Word> = HashMap::new();
        let mut former: HashMap<u64, Word> = HashMap::new();
        for (key, step) in steps {
            let found = bench.find(key);
            prop_assert_eq!(
                match found { Found::Entry(word) => Some(word), Found::Absent(_) => None },
                map.get(&key).copied()
            );
            match (step, found) {
                (Step::Insert, Found::Absent(absence)) => {
                    let word = bench.write(key);
                    prop_assert_eq!(bench.index.insert(hash(key), absence, word), Ok(()));
                    map.insert(key, word);
                }
                (Step::InsertStale, Found::Absent(absence)) => {
                    let neighbour = bench.write(key + 15);
                    prop_assert_eq!(hash(key), hash(key + 15));
                    let insert = |word| bench.index.insert(hash(key), absence, word);
                    prop_assert_eq!(insert(neighbour), Ok(()));
                    prop_assert_eq!(insert(neighbour), Err(InsertError::Stale));
                    prop_assert_eq!(bench.index.remove(hash(key), neighbour), Ok(()));
                    prop_assert_eq!(insert(neighbour), Err(InsertError::Stale), "S4");
                }
                (Step::Replace, Found::Entry(seen)) => {
                    let word = bench.write(key);
                    prop_assert_eq!(bench.index.replace(hash(key), seen, word), Ok(()));
                    former.insert(key, seen);
                    map.insert(key, word);
                }
                (Step::ReplaceStale, Found::Entry(_)) => {
                    if let Some(&seen) = former.get(&key) {
                        let word = bench.write(key);
                        prop_assert_eq!(bench.index.replace(hash(key), seen, word), Err(Stale));
                        prop_assert_eq!(bench.index.remove(hash(key), seen), Err(Stale));
                    }
                }
                (Step::Mark, Found::Entry(seen)) => {
                    let marked = seen.with_watched(!seen.watched());
                    prop_assert_eq!(bench.index.replace(hash(key), seen, marked), Ok(()));
                    prop_assert_eq!(bench.index.remove(hash(key), seen), Err(Stale));
                    map.insert(key, marked);
                }
                (Step::Remove, Found::Entry(seen)) => {
                    prop_assert_eq!(bench.index.remove(hash(key), seen), Ok(()));
                    former.insert(key, seen);
                    map.remove(&key);
                }
                _ => {}
            }
        }
        let mut want: Vec<_> = map.values().map(|word| word.to_bits()).collect();
        let mut got: Vec<_> = bench.words(page, bound).iter().map(|word| word.to_bits()).collect();
        want.sort_unstable();
        got.sort_unstable();
        prop_assert_eq!(got, want, "pages hold each word once");
    }
}

#[test]
fn a_full_chain_refuses_and_leaves_no_claim() {
    for (overflow, room, used) in [(0, SLOTS, 0), (3, 4 * SLOTS, 3), (20, 9 * SLOTS, 8)] {
        let index = Index::new(1, overflow);
        let insert = |location| {
            let Found::Absent(absence) = index.find(0, |_| false) else { panic!("none is it") };
            index.insert(0, absence, Word::new(0, location))
        };
        for location in 1..=room as u64 {
            assert_eq!(insert(location), Ok(()), "{location}");
        }
        assert_eq!(insert(1_000), Err(InsertError::Full));
        assert_eq!((index.used_overflow(), index.overflow_count()), (used, overflow));
        let last = Word::new(0, room as u64);
        assert_eq!(index.find(0, |word| word == last), Found::Entry(last));
        index.remove(0, last).unwrap();
        assert_eq!(insert(1_001), Ok(()), "the slot is empty again");
    }
}

#[test]
fn hashes_choose_buckets_evenly_and_marks_are_told_s10() {
    let index = Index::new(1_000, 0);
    assert_eq!(index.bucket_count(), 1_000);
    for at in 0..1_000_u64 {
        let hash = u64::MAX / 1_000 * at + u64::MAX / 2_000;
        index.prefetch(hash);
        let Found::Absent(absence) = index.find(hash, |_| true) else { panic!("at {at}") };
        let word = Word::new(tag_of(hash), at + 1).with_dead(true);
        index.insert(hash, absence, word).unwrap();
        let Found::Entry(seen) = index.find(hash, |_| true) else { panic!("at {at}") };
        assert!(seen.dead() && !seen.watched());
    }
    let mut locations = Vec::new();
    let end = index.page(0, 1_000, |word| {
        locations.push(word.location());
        true
    });
    assert_eq!((end, locations), (None, (1..=1_000).collect()), "one for each bucket");
}

#[test]
fn threads_own_each_key_one_at_a_time_s2() {
    const ROUNDS: u64 = 20_000;
    const THREADS: u64 = 4;
    /// Few, so that threads meet: one looks a key up, and another inserts it before it does.
    const CONTENDED: u64 = 4;
    let index = Index::new(2, 20);
    // By key: the location of its owner's word, 0 if nobody owns it.
    let owners: Vec<AtomicU64> = (0..CONTENDED).map(|_| AtomicU64::new(0)).collect();
    // Locations are never used twice here, so no pin is needed; the key is their low part.
    let hash = |key: u64| ((key & 1) << 63) | (key % 3);
    let key_of = |word: Word| word.location() % 32;
    let run = |thread: u64| {
        let (mut inserted, mut lost, mut random) = (0, 0, thread + 1);
        for round in 0..ROUNDS {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            let key = (random >> 33) % CONTENDED;
            let number = |step: u64| ((round * 2 + step) * THREADS + thread + 1) << 5 | key;
            let Found::Absent(absence) = index.find(hash(key), |word| key_of(word) == key) else {
                continue;
            };
            if random & 1 << 21 != 0 {
                std::thread::yield_now();
            }
            let mine = Word::new(tag_of(hash(key)), number(0));
            match index.insert(hash(key), absence, mine) {
                Ok(()) => {}
                Err(InsertError::Stale) => {
                    lost += 1;
                    continue;
                }
                Err(InsertError::Full) => panic!("claims of those who lost fill the chain"),
            }
            inserted += 1;
            let owner = &owners[key as usize];
            assert_eq!(owner.swap(mine.location(), SeqCst), 0, "one owner of key {key}");
            let found = index.find(hash(key), |word| key_of(word) == key);
            assert_eq!(found, Found::Entry(mine), "an owner finds its entry");
            let next = mine.with_location(number(1));
            index.replace(hash(key), mine, next).expect("only its owner changes it");
            if random & 1 << 20 != 0 {
                std::thread::yield_now();
            }
            assert_eq!(owner.swap(0, SeqCst), mine.location(), "one owner of key {key}");
            index.remove(hash(key), next).expect("only its owner changes it");
        }
        (inserted, lost)
    };
    let (inserted, lost): (u64, u64) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || run(thread))).collect();
        let each = threads.into_iter().map(|thread| thread.join().unwrap());
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    assert!(inserted > ROUNDS / 10, "threads came to own something: {inserted}");
    assert!(lost > 0, "threads met between a look and its insert");
    assert_eq!(index.page(0, 100, |word| panic!("{word:?} is left")), None);
}
