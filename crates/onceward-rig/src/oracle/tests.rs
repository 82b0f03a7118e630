mod against_the_model;

use super::*;
use crate::call::{Owner, Print};

const LEASE: Duration = Duration::from_millis(300);
const INTERVAL: Level = Level::Interval(Duration::from_millis(100));

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn call(began: u64, ended: u64, asked: Asked, told: Told) -> Call {
    Call { key: 1, began: at(began), ended: at(ended), asked, told: Some(told) }
}

fn unheard(began: u64, asked: Asked) -> Call {
    Call { key: 1, began: at(began), ended: Moment::NEVER, asked, told: None }
}

fn begin(attempt: u128) -> Asked {
    Asked::Begin {
        attempt,
        print: Print::Digest(7),
        lease: LEASE,
        retention: Duration::from_secs(60),
        in_doubt: false,
    }
}

fn acquired(fence: u64) -> Told {
    Told::Acquired { fence, number: 1, checkpoint: None }
}

fn taken_over(fence: u64) -> Told {
    Told::Acquired { fence, number: 2, checkpoint: None }
}

fn complete(fence: u64, attempt: u128, result: u64) -> Asked {
    Asked::Complete { owner: Owner { fence, attempt }, result, print: None }
}

fn done(result: u64) -> Told {
    Told::Done { result, fence: 1, number: 1 }
}

/// Lives of 1,000 ms each, and what is wrong with them at `level`.
fn judged(level: Level, lives: &[Vec<Call>]) -> Option<Promise> {
    let mut oracle = Oracle::new(level);
    for (number, calls) in lives.iter().enumerate() {
        let death = at(1_000 * (number as u64 + 1));
        if let Err(violations) = oracle.life_ended(calls.clone(), death) {
            return Some(violations[0].promise);
        }
        oracle.life_begins(Ending::Crashed, death);
    }
    assert_eq!(oracle.judged().unjudged, 0);
    None
}

fn acquires_and_completes() -> Vec<Call> {
    vec![call(0, 1, begin(1), acquired(1)), call(2, 3, complete(1, 1, 50), Told::Completed)]
}

#[test]
fn within_one_life_each_broken_promise_is_seen_and_no_other() {
    let replay = |result| Told::Replay { result, number: 1 };
    #[rustfmt::skip]
    let cases = [
        ("once", acquires_and_completes(), None),
        ("S3: again", vec![call(0, 1, begin(1), acquired(1)), call(2, 3, begin(1), acquired(1))], None),
        ("S4: another fence for the same attempt",
            vec![call(0, 1, begin(1), acquired(1)), call(2, 3, begin(1), acquired(2))], Some(Promise::Acknowledged)),
        ("S2: a second owner while the lease runs",
            vec![call(0, 1, begin(1), acquired(1)), call(2, 298, begin(2), taken_over(2))], Some(Promise::OneOwner)),
        ("S6: when it may have ended, to the millisecond",
            vec![call(0, 1, begin(1), acquired(1)), call(2, 299, begin(2), taken_over(2))], None),
        ("S4: one fence for two",
            vec![call(0, 1, begin(1), acquired(1)), call(400, 401, begin(2), taken_over(1))], Some(Promise::Fences)),
        ("S4: a smaller fence",
            vec![call(0, 1, begin(1), acquired(2)), call(400, 401, begin(2), taken_over(1))], Some(Promise::OneOwner)),
        ("S4: the old owner is obeyed",
            vec![call(0, 1, begin(1), acquired(1)), call(400, 401, begin(2), taken_over(2)),
                call(402, 403, complete(1, 1, 50), Told::Completed)], Some(Promise::Linearizable)),
        ("S5: a second result",
            [acquires_and_completes(), vec![call(4, 5, complete(1, 1, 51), Told::Completed)]].concat(), Some(Promise::Acknowledged)),
        ("S5: other bytes that somebody offered",
            [acquires_and_completes(), vec![call(4, 5, complete(1, 1, 51), Told::Conflict), call(6, 7, begin(2), replay(51))]].concat(),
            Some(Promise::Bytes)),
        ("S5: bytes that nobody offered",
            [acquires_and_completes(), vec![call(6, 7, begin(2), replay(99))]].concat(), Some(Promise::Bytes)),
        ("S7: gone before its time",
            [acquires_and_completes(), vec![call(6, 7, Asked::Get, Told::Absent)]].concat(), Some(Promise::Acknowledged)),
        ("overlapping calls in either order",
            vec![call(0, 10, begin(1), Told::InProgress), call(1, 9, begin(2), acquired(1))], None),
        ("in progress, and nobody began",
            vec![call(0, 10, begin(1), Told::InProgress)], Some(Promise::Linearizable)),
        ("in progress behind a call without an answer",
            vec![unheard(0, begin(2)), call(1, 10, begin(1), Told::InProgress)], None),
        ("in progress behind one sent at the instant of death",
            vec![call(1, 1_000, begin(1), Told::InProgress), unheard(1_000, begin(2))], None),
        ("in progress behind one sent after it",
            vec![call(1, 1_000, begin(1), Told::InProgress), unheard(1_001, begin(2))], Some(Promise::Linearizable)),
        ("a renew that changed nothing when it was sent, but did later",
            vec![call(0, 1, begin(1), acquired(1)),
                call(10, 20, Asked::Renew { owner: Owner { fence: 1, attempt: 1 }, lease: Duration::from_millis(10), print: None }, Told::Renewed),
                call(10, 20, Asked::Abandon { owner: Owner { fence: 1, attempt: 1 }, in_doubt: true }, Told::Abandoned),
                call(25, 26, begin(2), Told::InProgress)], None),
        ("an answer that no rule allows", vec![call(0, 1, Asked::Get, Told::Strange)], Some(Promise::Linearizable)),
    ];
    for (why, calls, want) in cases {
        assert_eq!(judged(Level::Always, &[calls]), want, "{why}");
    }
}

#[test]
fn a_crash_takes_what_was_not_acknowledged_and_nothing_else() {
    let looks = |told| vec![call(1_100, 1_101, Asked::Get, told)];
    let reserved = |fence| Told::Reserved { fence, number: 1, doubt: 0 };
    let owned = vec![call(0, 1, begin(1), acquired(1))];
    let unheard_complete = vec![call(0, 1, begin(1), acquired(1)), unheard(2, complete(1, 1, 50))];
    let seen_by_another = [
        unheard_complete.clone(),
        vec![call(4, 5, begin(2), Told::Replay { result: 50, number: 1 })],
    ]
    .concat();
    let later_seen = vec![
        call(0, 1, begin(1), acquired(1)),
        call(950, 951, complete(1, 1, 50), Told::Completed),
        call(970, 971, Asked::Get, done(50)),
    ];
    let proven = vec![
        call(0, 1, begin(1), acquired(1)),
        call(850, 851, complete(1, 1, 50), Told::Completed),
        call(970, 971, Asked::Get, done(50)),
    ];
    let (lost, kept) = (Some(Promise::Acknowledged), None);
    #[rustfmt::skip]
    let cases = [
        ("kept", Level::Always, acquires_and_completes(), looks(done(50)), kept),
        ("a completion is lost", Level::Always, acquires_and_completes(), looks(reserved(1)), Some(Promise::Acknowledged)),
        ("all is lost", Level::Always, acquires_and_completes(), looks(Told::Absent), lost),
        ("all is lost at memory", Level::Memory, acquires_and_completes(), looks(Told::Absent), kept),
        ("an acquisition is lost", Level::Always, owned.clone(), looks(Told::Absent), lost),
        ("unheard, and happened", Level::Always, unheard_complete.clone(), looks(done(50)), kept),
        ("unheard, and did not happen", Level::Always, unheard_complete.clone(), looks(reserved(1)), kept),
        ("unheard, but another was told", Level::Always, seen_by_another, looks(reserved(1)), lost),
        ("in progress rests on nothing", Level::Always,
            vec![unheard(0, begin(2)), call(1, 10, begin(1), Told::InProgress)], looks(Told::Absent), kept),
        ("younger than the interval", INTERVAL, later_seen, looks(reserved(1)), kept),
        ("a later answer proves the sync", INTERVAL, proven, looks(reserved(1)), lost),
        ("the acquisition is older", INTERVAL, acquires_and_completes(), looks(Told::Absent), kept),
    ];
    for (why, level, first, second, want) in cases {
        assert_eq!(judged(level, &[first, second]), want, "{why}");
    }
}

#[test]
fn what_a_restart_owes() {
    let life = |calls: Vec<Call>| {
        judged(Level::Always, &[vec![call(900, 901, begin(1), acquired(5))], calls])
    };
    assert_eq!(
        life(vec![call(1_250, 1_298, begin(2), taken_over(6))]),
        Some(Promise::OneOwner),
        "the lease is armed anew when the next process starts"
    );
    assert_eq!(life(vec![call(1_250, 1_299, begin(2), taken_over(6))]), None);
    assert_eq!(life(vec![call(1_001, 1_002, begin(1), acquired(5))]), None, "S3: a lost reply");

    let mut oracle = Oracle::new(Level::Memory);
    let first = vec![call(0, 1, begin(1), acquired(9))];
    assert!(oracle.life_ended(first, at(1_000)).is_ok());
    oracle.life_begins(Ending::Crashed, at(1_000));
    let other_key = Call { key: 2, ..call(1_001, 1_002, begin(2), acquired(8)) };
    let broken = oracle.life_ended(vec![other_key], at(2_000)).unwrap_err();
    assert_eq!(broken[0].promise, Promise::Fences, "fences grow over all keys");
}

#[test]
fn a_clean_stop_loses_nothing_at_interval_s17() {
    let mut oracle = Oracle::new(INTERVAL);
    assert!(oracle.life_ended(acquires_and_completes(), at(1_000)).is_ok());
    oracle.life_begins(Ending::Stopped, at(1_000));
    let lost = oracle.life_ended(vec![call(1_001, 1_002, Asked::Get, Told::Absent)], at(2_000));
    assert_eq!(lost.unwrap_err()[0].promise, Promise::Acknowledged);
}

#[test]
fn a_fact_that_survived_one_crash_unseen_may_be_lost_in_the_next() {
    let lives = |seen: Told| {
        [
            vec![call(0, 1, begin(1), acquired(1)), unheard(2, complete(1, 1, 50))],
            vec![call(1_001, 1_002, begin(2), seen)],
            vec![call(2_001, 2_002, Asked::Get, Told::Reserved { fence: 1, number: 1, doubt: 0 })],
        ]
    };
    assert_eq!(judged(Level::Always, &lives(Told::InProgress)), None);
    let replay = Told::Replay { result: 50, number: 1 };
    assert_eq!(judged(Level::Always, &lives(replay)), Some(Promise::Acknowledged));
}

#[test]
fn an_acquisition_that_nobody_heard_of_may_come_back_in_place_of_its_successor_s4() {
    let shown = |fence, number| Told::Reserved { fence, number, doubt: 0 };
    let resolve = |fence| Asked::Resolve { fence, doubt: 1, result: None, print: None };
    let lives = |back| {
        [
            vec![
                call(0, 1, begin(3), acquired(8)),
                call(400, 401, Asked::Forget { fence: 8 }, Told::Forgotten),
            ],
            vec![unheard(1_500, begin(1))],
            // It is taken over, and the takeover is seen before it is synced.
            vec![
                call(2_001, 2_002, begin(9), Told::InProgress),
                unheard(2_400, begin(2)),
                call(2_401, 2_402, Asked::Get, shown(12, 2)),
            ],
            vec![
                call(3_001, 3_002, resolve(12), Told::Fenced),
                call(3_003, 3_004, Asked::Forget { fence: 12 }, Told::Fenced),
                call(3_005, 3_006, complete(12, 1, 50), Told::Fenced),
                call(3_007, 3_008, Asked::Get, shown(back, 1)),
            ],
        ]
    };
    assert_eq!(judged(INTERVAL, &lives(9)), None);
    let older = Some(Promise::Linearizable);
    assert_eq!(judged(INTERVAL, &lives(7)), older, "older than one of a life before it");

    let anothers = vec![
        call(0, 1, begin(2), acquired(12)),
        call(400, 401, Asked::Forget { fence: 12 }, Told::Forgotten),
        unheard(402, begin(1)),
        call(410, 411, Asked::Get, shown(12, 1)),
    ];
    assert_eq!(judged(INTERVAL, &[anothers]), older, "another's");
}
