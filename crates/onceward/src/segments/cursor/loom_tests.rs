//! Every interleaving, within a bound of preemptions, of those who take room in an open segment
//! and of the one who seals it.

use loom::sync::Arc;
use loom::thread;

use super::*;
use crate::segments::atomic::model;
use crate::segments::mutant::fails_for;

const SEGMENT: u64 = 1;
const WORDS: usize = 2;
const ONCE: &str = "room is handed out once";
const NONE_BEYOND: &str = "nobody's room lies beyond what its sealer noted";

/// Where the room is that was taken; `None` once the segment is sealed.
fn take(cursor: &Cursor) -> Option<usize> {
    loop {
        let at = cursor.get();
        if at.segment() == 0 {
            return None;
        }
        if cursor.advance(at, Position::new(at.segment(), at.used() + WORDS)) {
            return Some(at.used());
        }
    }
}

/// How much was used of what is open no more.
fn seal(cursor: &Cursor) -> usize {
    loop {
        let at = cursor.get();
        if cursor.advance(at, Position::NONE) {
            return at.used();
        }
    }
}

fn open() -> Arc<Cursor> {
    let cursor = Arc::new(Cursor::new());
    assert!(cursor.advance(Position::NONE, Position::new(SEGMENT, 0)));
    cursor
}

fn takes_beside_seal(takers: usize) {
    model(3, move || {
        let cursor = open();
        let others: Vec<_> = (0..takers)
            .map(|_| {
                let cursor = Arc::clone(&cursor);
                thread::spawn(move || take(&cursor))
            })
            .collect();
        let used = seal(&cursor);
        let mut taken: Vec<_> =
            others.into_iter().filter_map(|other| other.join().unwrap()).collect();
        taken.sort_unstable();
        assert!(taken.iter().all(|&first| first + WORDS <= used), "{NONE_BEYOND}");
        let each: Vec<_> = (0..taken.len()).map(|number| number * WORDS).collect();
        assert_eq!(taken, each, "{ONCE}");
        assert_eq!(used, taken.len() * WORDS, "no room is lost");
    });
}

fn take_beside_take() {
    model(3, || {
        let cursor = open();
        let others = Arc::clone(&cursor);
        let other = thread::spawn(move || take(&others));
        let own = take(&cursor);
        let mut taken = [own, other.join().unwrap()];
        taken.sort_unstable();
        assert_eq!(taken, [Some(0), Some(WORDS)], "{ONCE}");
    });
}

#[test]
fn room_is_handed_out_once() {
    take_beside_take();
    fails_for(Mutant::CursorStores, ONCE, take_beside_take);
}

#[test]
fn no_room_lies_beyond_what_a_sealer_noted() {
    takes_beside_seal(1);
    takes_beside_seal(2);
    fails_for(Mutant::CursorStores, NONE_BEYOND, || takes_beside_seal(1));
}
