//! Histories made by hand: the checker must reject each bad one, and explain each good one.

use onceward::{
    Abandon, AbandonOutcome, Acquired, AttemptId, Begin, BeginOutcome, Body, Certainty,
    CompleteOutcome, Fence, Fingerprint, GetOutcome, Limits, Millis, Renew, RenewOutcome, Replay,
    StoredResult, Timestamp, Token,
};
use onceward_testkit::{Checker, Event, Happened, Model, Operation, Outcome};

/// When it began, when it had ended, what it was.
type Row = (u64, u64, Happened);

fn token(fence: u64, of: u8) -> Token {
    Token { fence: Fence::new(fence).unwrap(), attempt_id: AttemptId::from_bytes([of; 16]) }
}

fn call(operation: Operation, outcome: Outcome) -> Happened {
    Happened::Call { caller: 0, operation, outcome }
}

fn clock(now: u64) -> Happened {
    Happened::MoveClock(Timestamp::from_millis(now))
}

/// Lease 100 ms, retention 1,000 ms, policy takeover.
fn begin(of: u8, outcome: BeginOutcome<Vec<u8>>) -> Happened {
    let begin = Begin {
        lease: Millis::new(100),
        retention: Millis::new(1_000),
        ..Begin::new(Fingerprint::None, AttemptId::from_bytes([of; 16]))
    };
    call(Operation::Begin(begin), Outcome::Begin(outcome))
}

fn acquires(of: u8, fence: u64) -> Happened {
    begin(of, granted(of, fence, 1, 1_000))
}

fn granted(of: u8, fence: u64, attempt_number: u32, left: u64) -> BeginOutcome<Vec<u8>> {
    BeginOutcome::Acquired(Acquired {
        token: token(fence, of),
        attempt_number,
        checkpoint: None,
        lease_left: Millis::new(100.min(left)),
        retention_left: Millis::new(left),
    })
}

fn in_progress(of: u8, retry_after: u64, age: u64) -> Happened {
    let (retry_after, age) = (Millis::new(retry_after), Millis::new(age));
    begin(of, BeginOutcome::InProgress { retry_after, age, attempt_number: 1 })
}

fn result(body: &str) -> StoredResult<Vec<u8>> {
    StoredResult { status: 200, metadata: Vec::new(), body: Body::Kept(body.into()) }
}

fn completes(token: Token, body: &str, outcome: CompleteOutcome) -> Happened {
    let operation = Operation::Complete { token, result: result(body), fingerprint: None };
    call(operation, Outcome::Complete(outcome))
}

fn replays(of: u8, body: &str, age: u64) -> Happened {
    begin(
        of,
        BeginOutcome::Replay(Replay {
            result: result(body),
            age: Millis::new(age),
            attempt_number: 1,
            retention_left: Millis::new(1_000 - age),
        }),
    )
}

fn renews(token: Token, lease: u64) -> Happened {
    let renew = Renew { token, lease: Millis::new(lease), fingerprint: None };
    let outcome = RenewOutcome::Renewed { lease_left: Millis::new(lease) };
    call(Operation::Renew(renew), Outcome::Renew(outcome))
}

fn abandons(token: Token) -> Happened {
    let abandon = Abandon { token, certainty: Certainty::NotDone };
    call(Operation::Abandon(abandon), Outcome::Abandon(AbandonOutcome::Abandoned))
}

fn looks(outcome: GetOutcome<Vec<u8>>) -> Happened {
    call(Operation::Get, Outcome::Get(outcome))
}

const DONE: CompleteOutcome = CompleteOutcome::Completed { not_kept: None };
/// Fences of three acquisitions.
const F: [u64; 3] = [2_000, 2_001, 2_002];

/// The clock stands at 1,000 ms at first; identity 0 is absent.
fn explained(rows: Vec<Row>) -> Result<(), String> {
    let limits = Limits::DEFAULT;
    let mut checker = Checker::new(0, Model::new(limits, Timestamp::from_millis(1_000)));
    let events = rows.into_iter().map(|(began, ended, what)| Event { began, ended, what });
    checker.go_on(events.collect()).map_err(|impossible| impossible.to_string())
}

#[test]
fn bad_histories_are_rejected() {
    let rows: Vec<(&str, Vec<Row>)> = vec![
        (
            "two owners for one absent key (S2)",
            vec![(1, 4, acquires(1, F[0])), (2, 3, acquires(2, F[1]))],
        ),
        (
            "a replay of bytes never completed (S5)",
            vec![
                (1, 2, acquires(1, F[0])),
                (3, 6, completes(token(F[0], 1), "paid", DONE)),
                (4, 5, replays(2, "sent", 0)),
            ],
        ),
        (
            "a completed result overwritten (S5)",
            vec![
                (1, 2, acquires(1, F[0])),
                (3, 4, completes(token(F[0], 1), "paid", DONE)),
                (5, 6, completes(token(F[0], 1), "sent", DONE)),
            ],
        ),
        (
            "a replay of an earlier result after a later one (S5)",
            vec![
                (1, 2, acquires(1, F[0])),
                (3, 4, completes(token(F[0], 1), "paid", DONE)),
                (5, 6, replays(2, "paid", 0)),
                (7, 8, replays(2, "sent", 0)),
            ],
        ),
        (
            "a fenced complete accepted (S4)",
            vec![
                (1, 2, acquires(1, F[0])),
                (3, 4, clock(1_100)),
                (5, 6, begin(2, granted(2, F[1], 2, 900))),
                (7, 8, completes(token(F[0], 1), "paid", DONE)),
            ],
        ),
        (
            "an entry absent before its retention ended (S7)",
            vec![
                (1, 2, acquires(1, F[0])),
                (3, 4, completes(token(F[0], 1), "paid", DONE)),
                (5, 6, clock(1_999)),
                (7, 8, looks(GetOutcome::Absent)),
            ],
        ),
        (
            "an entry that outlives its retention (S7)",
            vec![
                (1, 2, acquires(1, F[0])),
                (3, 4, completes(token(F[0], 1), "paid", DONE)),
                (5, 6, clock(2_000)),
                (7, 8, replays(2, "paid", 1_000)),
            ],
        ),
        (
            "a fence that goes back (S4)",
            vec![
                (1, 2, acquires(1, F[1])),
                (3, 4, abandons(token(F[1], 1))),
                (5, 6, acquires(2, F[0])),
            ],
        ),
        (
            "a fence drawn again after the end (S4)",
            vec![(1, 2, acquires(1, F[1])), (3, 4, clock(2_000)), (5, 6, acquires(2, F[1]))],
        ),
        (
            "a renew that was lost (S6)",
            vec![
                (1, 2, acquires(1, F[0])),
                (3, 4, renews(token(F[0], 1), 400)),
                (5, 6, clock(1_100)),
                (7, 8, begin(2, granted(2, F[1], 2, 900))),
            ],
        ),
        (
            "a takeover a millisecond early (S6)",
            vec![
                (1, 2, acquires(1, F[0])),
                (3, 4, clock(1_099)),
                (5, 6, begin(2, granted(2, F[1], 2, 901))),
            ],
        ),
        (
            "an answer from before the call (S2)",
            vec![
                (1, 2, looks(GetOutcome::Absent)),
                (3, 4, acquires(1, F[0])),
                (5, 6, looks(GetOutcome::Absent)),
            ],
        ),
        (
            "an attempt that is revived (S3)",
            vec![
                (1, 2, acquires(1, F[0])),
                (3, 4, abandons(token(F[0], 1))),
                (5, 6, acquires(1, F[1])),
            ],
        ),
    ];
    for (why, rows) in rows {
        let text = explained(rows).expect_err(why);
        assert!(text.contains("no order of what happened"), "{why}: {text}");
    }
}

#[test]
fn good_histories_are_explained_in_whatever_order_it_takes() {
    let rows: Vec<(&str, Vec<Row>)> = vec![
        (
            "one after another",
            vec![
                (1, 2, acquires(1, F[0])),
                (3, 4, in_progress(2, 100, 0)),
                (5, 6, completes(token(F[0], 1), "paid", DONE)),
                (7, 8, replays(2, "paid", 0)),
            ],
        ),
        (
            "the one that began last came first",
            vec![(1, 6, in_progress(2, 100, 0)), (2, 5, acquires(1, F[0]))],
        ),
        (
            "a loser that was answered before the winner",
            vec![(1, 4, acquires(1, F[0])), (2, 3, in_progress(2, 100, 0))],
        ),
        (
            "a look that saw what came before it and one that did not",
            vec![
                (1, 8, acquires(1, F[0])),
                (2, 3, looks(GetOutcome::Absent)),
                (4, 5, in_progress(2, 100, 0)),
            ],
        ),
        (
            "a wait over two moves of the clock",
            vec![
                (1, 2, acquires(1, F[0])),
                (3, 12, replays(2, "paid", 50)),
                (4, 5, completes(token(F[0], 1), "paid", DONE)),
                (6, 7, clock(1_030)),
                (8, 9, clock(1_050)),
            ],
        ),
        (
            "absent at its own instant",
            vec![
                (1, 2, acquires(1, F[1])),
                (3, 4, completes(token(F[1], 1), "paid", DONE)),
                (5, 6, clock(2_000)),
                (7, 8, acquires(2, F[2])),
            ],
        ),
        (
            "a takeover at its own instant",
            vec![
                (1, 2, acquires(1, F[0])),
                (3, 4, clock(1_100)),
                (5, 8, begin(2, granted(2, F[1], 2, 900))),
                (6, 7, completes(token(F[0], 1), "paid", CompleteOutcome::Fenced)),
            ],
        ),
        (
            "a renew that changed nothing, but not in this order",
            vec![
                (1, 2, acquires(1, F[0])),
                (3, 4, clock(1_050)),
                (5, 10, renews(token(F[0], 1), 100)),
                (6, 7, in_progress(2, 50, 50)),
                (8, 9, in_progress(2, 100, 50)),
            ],
        ),
    ];
    for (why, rows) in rows {
        if let Err(text) = explained(rows) {
            panic!("{why}: {text}");
        }
    }
}

#[test]
fn what_is_printed_is_short_and_says_what_happened() {
    let rows = vec![
        (1, 2, looks(GetOutcome::Absent)),
        (3, 4, acquires(1, F[0])),
        (5, 6, in_progress(2, 100, 0)),
        (7, 12, abandons(token(F[0], 1))),
        (8, 11, in_progress(3, 100, 0)),
        (9, 10, acquires(4, F[0])), // The fence of an earlier acquisition.
        (13, 14, looks(GetOutcome::Absent)),
    ];
    let text = explained(rows).expect_err("a fence that is used again");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 6, "two calls, each with its answer: {text}");
    assert!(lines[1].contains("before: at 1000 ms: fence 2000"), "{text}");
    assert!(lines[2].contains("7–12: caller 0: abandon"), "{text}");
    assert!(lines[5].contains("-> acquired fence 2000"), "{text}");
}
