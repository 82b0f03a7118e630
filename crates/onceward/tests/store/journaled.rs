//! A store whose facts are kept: which there are (S14), what answers rest on (S21), what happens
//! while none can be kept, and what comes back after a restart (S13).

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Poll, Waker};

use onceward::{
    Abandon, Begin, BeginOutcome, Body, Certainty, Complete, CompleteOutcome, Digest, Durability,
    Fence, Fingerprint, Forget, GetOutcome, Millis, NamespaceConfig, NotKept, Policy, Position,
    Renew, Resolve, Restored, RestoredState, ResultRef, SaveCheckpoint, SetAside, StartError,
    Store, StoreConfig, StoreError, Timestamp, Token, Verdict, Waitable,
};
use onceward_testkit::ManualClock;

use crate::log::{Kept, MemoryLog};
use crate::scene::{ask, attempt, id, patient, within};

struct Durable {
    clock: Arc<ManualClock>,
    log: Arc<MemoryLog>,
    store: Store,
}

const DIGEST: [u8; 16] = [7; 16];

fn digest() -> Digest {
    Digest::new(&DIGEST).expect("16 bytes")
}

impl Durable {
    /// `orders` at this level; `memory` and `interval` are what their names say.
    fn new(durability: Durability) -> Self {
        let (clock, log) = (Arc::new(ManualClock::new(10_000)), MemoryLog::new());
        let level = |durability| NamespaceConfig {
            durability: Some(durability),
            ..NamespaceConfig::default()
        };
        let config = StoreConfig {
            durability,
            namespaces: [
                ("memory".to_owned(), level(Durability::Memory)),
                ("interval".to_owned(), level(Durability::Interval)),
            ]
            .into(),
            ..StoreConfig::default()
        };
        let store = Store::with_journal(config, Arc::clone(&clock) as _, Arc::clone(&log) as _);
        Self { clock, log, store: store.expect("a valid configuration") }
    }

    fn begin(&self, key: &str, request: &Begin) -> (BeginOutcome<Vec<u8>>, Position) {
        let answer = self.store.begin(id(key), request, |outcome| outcome.map(<[u8]>::to_vec));
        let answer = answer.expect("answered");
        (answer.value, answer.position)
    }

    fn own(&self, key: &str, request: &Begin) -> Token {
        match self.begin(key, request).0 {
            BeginOutcome::Acquired(acquired) => acquired.token,
            other => panic!("not acquired but {other:?}"),
        }
    }

    fn complete(&self, key: &str, token: Token, result: ResultRef<'_>) -> Position {
        let request = Complete { token, result, fingerprint: None };
        self.store.complete(id(key), &request).expect("answered").position
    }

    fn renew(&self, key: &str, token: Token, lease: u64, fingerprint: Option<Digest>) {
        let request = Renew { token, lease: Millis::new(lease), fingerprint };
        self.store.renew(id(key), &request).expect("answered");
    }

    fn abandon(&self, key: &str, token: Token, certainty: Certainty) {
        self.store.abandon(id(key), &Abandon { token, certainty }).expect("answered");
    }
}

#[test]
fn each_change_that_a_restart_must_know_is_a_fact_and_no_other_s14() {
    let it = Durable::new(Durability::Always);
    let token = it.own("key", &Begin { fingerprint: Fingerprint::Later, ..ask(1) });
    let fence = token.fence.get();
    it.renew("key", token, 500, None); // Shorter than its first lease.
    it.own("key", &Begin { fingerprint: Fingerprint::Later, ..ask(1) }); // Its own repeat.
    it.renew("key", token, 1_500, None);
    it.renew("key", token, 1_500, None); // As long as one before.
    it.renew("key", token, 100, Some(digest()));
    let checkpoint = SaveCheckpoint { token, ordinal: 3, bytes: b"half way" };
    it.store.checkpoint(id("key"), &checkpoint).expect("answered");
    it.store.checkpoint(id("key"), &checkpoint).expect("answered"); // A delayed duplicate.
    it.abandon("key", token, Certainty::InDoubt);
    it.abandon("key", token, Certainty::InDoubt); // It is in doubt.
    it.renew("key", token, 100, None); // Leaves the doubt.
    let result = ResultRef::of(201, b"body");
    it.complete("key", token, result);
    it.complete("key", token, result); // It is completed.
    it.clock.advance(Millis::new(2_000));
    let forget = Forget { fence: token.fence };
    it.store.forget(id("key"), &forget).expect("answered");
    it.store.forget(id("key"), &forget).expect("answered"); // It is gone.
    let lease = Millis::new;
    let extended = |lease, doubts_over, bound| Kept::Extended { fence, lease, doubts_over, bound };
    assert_eq!(
        it.log.kept(),
        [
            Kept::Acquired {
                fence,
                attempt: attempt(1),
                number: 1,
                previous: None,
                lease: lease(1_000),
                set_aside: SetAside { result: 4096, checkpoint: 0 },
            },
            extended(lease(1_500), 0, None),
            extended(lease(1_500), 0, Some(digest())),
            Kept::Checkpointed(fence, 3, b"half way".to_vec()),
            Kept::Doubted(fence, 1),
            extended(lease(1_500), 1, None),
            Kept::Completed {
                fence,
                status: 201,
                body: Some(b"body".to_vec()),
                digest: false,
                bound: None
            },
            Kept::Removed(fence),
        ]
    );
}

#[test]
fn a_takeover_names_whom_it_succeeds_and_a_result_without_body_has_its_digest_s4_s12() {
    let it = Durable::new(Durability::Always);
    let first = it.own("key", &Begin { fingerprint: Fingerprint::Later, ..ask(1) });
    it.clock.advance(Millis::new(1_000));
    let second = it.own("key", &Begin { fingerprint: Fingerprint::Later, ..ask(2) });
    let declined = ResultRef { body: Body::NotKept(NotKept::Declined), ..ResultRef::of(204, b"") };
    let fingerprint = Some(digest());
    let request = Complete { token: second, result: declined, fingerprint };
    it.store.complete(id("key"), &request).expect("answered");
    let kept = it.log.kept();
    let Kept::Acquired { previous, number, .. } = kept[1] else { panic!("{kept:?}") };
    assert_eq!((previous, number), (Some(first.fence), 2));
    let Kept::Completed { fence, body: None, digest: true, bound, .. } = kept[2] else {
        panic!("{kept:?}")
    };
    assert_eq!((fence, bound), (second.fence.get(), Some(digest())));
    // Verdicts are facts as well.
    let doubted = it.own("doubted", &ask(3));
    it.clock.advance(Millis::new(1_000));
    let verdict = Verdict::NeverDone;
    let resolve = Resolve { fence: doubted.fence, doubt_number: 1, verdict };
    it.store.resolve(id("doubted"), &resolve).expect("answered");
    assert_eq!(it.log.kept().last(), Some(&Kept::Removed(doubted.fence.get())));
}

#[test]
fn at_always_every_answer_rests_on_the_facts_of_its_identity_s14_s21() {
    let it = Durable::new(Durability::Always);
    let (_, position) = it.begin("key", &ask(1));
    assert_eq!(position, Position(1), "an acquisition");
    let token = it.own("key", &ask(1));
    assert_eq!(it.begin("key", &ask(1)).1, Position(1), "a repeated Acquired");
    assert_eq!(it.begin("key", &ask(2)).1, Position(0), "InProgress rests on no fact");
    let other = Begin { fingerprint: Fingerprint::Digest(digest()), ..ask(2) };
    assert_eq!(it.begin("key", &other).1, Position(1), "Mismatch");
    it.own("elsewhere", &ask(9));
    let result = ResultRef::of(200, b"one");
    assert_eq!(it.complete("key", token, result), Position(3), "a completion");
    assert_eq!(it.complete("key", token, result), Position(3), "AlreadyCompleted");
    assert_eq!(it.complete("key", token, ResultRef::of(200, b"two")), Position(3), "Conflict");
    assert_eq!(it.begin("key", &ask(2)).1, Position(3), "Replay");
    let got = it.store.get(id("key"), |_| ()).expect("answered");
    assert_eq!(got.position, Position(3), "Completed");
    let stranger = Token { attempt_id: attempt(7), ..token };
    let fenced = Fence::new(token.fence.get() + 100).expect("in range");
    assert_eq!(it.complete("key", Token { fence: fenced, ..stranger }, result), Position(3));
    it.store.forget(id("key"), &Forget { fence: token.fence }).expect("answered");
    let gone = it.complete("key", token, result);
    assert_eq!(gone, Position(4), "Gone rests on what made it so");
    let absent = it.store.get(id("key"), |outcome| outcome == GetOutcome::Absent);
    let absent = absent.expect("answered");
    assert!(absent.value && absent.position == Position(4), "so does Absent: {absent:?}");
}

#[test]
fn a_waiters_answer_rests_on_what_woke_it_s10_s14() {
    let it = Durable::new(Durability::Always);
    let token = it.own("key", &ask(1));
    let waiting = it.store.begin_or_wait(id("key"), &patient(2), Waker::noop(), |_| ());
    let Ok(Waitable::Waiting(mut ticket)) = waiting else { panic!("it does not wait") };
    it.complete("key", token, ResultRef::of(200, b""));
    let Poll::Ready(Ok(answer)) = ticket.poll(Waker::noop(), |outcome| {
        assert!(matches!(outcome, BeginOutcome::Replay(_)), "{outcome:?}");
    }) else {
        panic!("not woken")
    };
    assert_eq!(answer.position, it.log.end());
}

#[test]
fn at_interval_answers_wait_only_when_the_journal_is_late_or_for_a_takeover_s14() {
    let it = Durable::new(Durability::Interval);
    assert_eq!(it.begin("key", &ask(1)).1, Position(0));
    it.log.late.store(true, SeqCst);
    assert_eq!(it.begin("key", &ask(1)).1, Position(1), "late: replies wait for the sync");
    it.log.late.store(false, SeqCst);
    it.clock.advance(Millis::new(1_000));
    assert_eq!(it.begin("key", &ask(2)).1, Position(2), "a takeover");
    assert_eq!(it.begin("key", &ask(2)).1, Position(2), "its repeat gives the token, too");
    assert_eq!(it.begin("key", &ask(3)).1, Position(0));
}

#[test]
fn at_memory_nothing_is_kept_and_nothing_waits() {
    let it = Durable::new(Durability::Always);
    let begun = it.store.begin(within("memory", "key"), &ask(1), |_| ()).expect("answered");
    assert_eq!((begun.position, it.log.end()), (Position(0), Position(0)));
    it.clock.advance(Millis::new(1_000));
    let taken = it.store.begin(within("memory", "key"), &ask(2), |_| ()).expect("answered");
    assert_eq!((taken.position, it.log.end()), (Position(0), Position(0)));
    let begun = it.store.begin(within("interval", "key"), &ask(1), |_| ()).expect("answered");
    assert_eq!((begun.position, it.log.end()), (Position(0), Position(1)));
    let config = StoreConfig { durability: Durability::Always, ..StoreConfig::default() };
    let refused = Store::new(config, Arc::new(ManualClock::new(0)));
    assert_eq!(refused.err(), Some(StartError::NoJournal), "none is promised without a journal");
}

#[test]
fn while_no_fact_can_be_kept_nothing_changes_and_reads_go_on_s14() {
    let it = Durable::new(Durability::Always);
    let token = it.own("owned", &ask(1));
    let done = it.own("done", &ask(2));
    it.complete("done", done, ResultRef::of(200, b"done"));
    let waiting = it.store.begin_or_wait(id("owned"), &patient(3), Waker::noop(), |_| ());
    let Ok(Waitable::Waiting(mut ticket)) = waiting else { panic!("it does not wait") };
    let kept = it.log.kept();
    it.log.stopped.store(true, SeqCst);
    let halted = Err(StoreError::Halted);
    let begun = it.store.begin(id("new"), &ask(4), |_| ()).map(|_| ());
    assert_eq!(begun, halted, "a new acquisition");
    let completing = Complete { token, result: ResultRef::of(200, b""), fingerprint: None };
    assert_eq!(it.store.complete(id("owned"), &completing).map(|_| ()), halted);
    let abandon = Abandon { token, certainty: Certainty::NotDone };
    assert_eq!(it.store.abandon(id("owned"), &abandon).map(|_| ()), halted);
    let checkpoint = SaveCheckpoint { token, ordinal: 1, bytes: b"x" };
    assert_eq!(it.store.checkpoint(id("owned"), &checkpoint).map(|_| ()), halted);
    let forget = Forget { fence: done.fence };
    assert_eq!(it.store.forget(id("done"), &forget).map(|_| ()), halted);
    it.renew("owned", token, 1_000, None); // As long as before: it makes no fact.
    assert!(matches!(it.begin("done", &ask(5)).0, BeginOutcome::Replay(_)), "reads go on");
    assert!(it.store.get(id("new"), |outcome| outcome == GetOutcome::Absent).unwrap().value);
    // Whoever waits and would take over is told that nothing may be concluded.
    it.clock.advance(Millis::new(1_000));
    it.store.tick(it.store.now(), 1_000);
    let polled = ticket.poll(Waker::noop(), |_| ());
    assert!(matches!(polled, Poll::Ready(Err(StoreError::Halted))), "{polled:?}");
    assert_eq!(it.log.kept(), kept);
    it.log.stopped.store(false, SeqCst);
    it.complete("owned", token, ResultRef::of(200, b"late"));
    assert!(matches!(it.begin("owned", &ask(6)).0, BeginOutcome::Replay(_)), "and it goes on");
}

#[test]
fn no_fence_is_given_at_or_above_the_ceiling_s4() {
    let it = Durable::new(Durability::Always);
    let token = it.own("first", &ask(1));
    it.log.ceiling.store(token.fence.get() + 2, SeqCst);
    it.own("second", &ask(2));
    let above = it.store.begin(id("third"), &ask(3), |_| ()).map(|_| ());
    assert_eq!(above, Err(StoreError::Halted));
    it.clock.advance(Millis::new(1_000));
    let takeover = it.store.begin(id("first"), &ask(4), |_| ()).map(|_| ());
    assert_eq!(takeover, Err(StoreError::Halted), "of a takeover as well");
    it.log.ceiling.store(u64::MAX, SeqCst);
    assert!(it.own("third", &ask(3)).fence > token.fence);
}

fn restored<'a>(key: &'a str, fence: u64, state: RestoredState<'a>) -> Restored<'a> {
    Restored {
        identity: id(key),
        fence: Fence::new(fence).expect("in range"),
        attempt_id: attempt(fence),
        attempt_number: 1,
        doubt_number: 0,
        fingerprint: Fingerprint::None,
        acquired_at: Timestamp::from_millis(9_000),
        expires_at: Timestamp::from_millis(20_000),
        policy: Policy::Takeover,
        lease: Millis::new(3_000),
        set_aside: SetAside { result: 4096, checkpoint: 0 },
        checkpoint: (0, b""),
        state,
    }
}

/// Absence is a version that identities of one bucket share, so inserts disturb one another.
#[test]
fn several_threads_restore_beside_one_another_s13() {
    const EACH: u64 = 20_000;
    let it = Durable::new(Durability::Always);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &it.store;
            scope.spawn(move || {
                for number in 1..=EACH {
                    let fence = thread * EACH + number;
                    let key = format!("key {fence}");
                    let one = restored(&key, fence, RestoredState::Reserved);
                    store.restore(&one).expect("each is new, and there is room");
                }
            });
        }
    });
    assert_eq!(it.store.stats().entries, 4 * EACH);
}

#[test]
fn what_was_kept_is_there_again_s13() {
    let it = Durable::new(Durability::Always);
    let restore = |restored: Restored<'_>| it.store.restore(&restored).expect("there is room");
    let result = ResultRef::of(201, b"kept");
    let at = Timestamp::from_millis(9_500);
    restore(restored("done", 1, RestoredState::Completed { at, result, digest: None }));
    restore(Restored { checkpoint: (4, b"half"), ..restored("owned", 2, RestoredState::Reserved) });
    let since = Timestamp::from_millis(9_600);
    restore(Restored {
        policy: Policy::InDoubt,
        doubt_number: 5,
        ..restored("doubted", 3, RestoredState::InDoubt { since })
    });
    restore(Restored {
        expires_at: Timestamp::from_millis(10_000),
        ..restored("expired", 4, RestoredState::Reserved)
    });
    it.store.restore_ended(id("gone"), attempt(9), Timestamp::from_millis(9_900));
    it.clock.advance(Millis::new(2_000)); // It took a while until it was ready.
    it.store.arm_restored();

    let BeginOutcome::Replay(replay) = it.begin("done", &ask(7)).0 else { panic!("no replay") };
    assert_eq!(replay.result.status, 201);
    assert_eq!(replay.result.body.kept().map(Vec::as_slice), Some(&b"kept"[..]));
    assert_eq!(replay.age, Millis::new(2_500));
    assert_eq!(replay.retention_left, Millis::new(8_000));

    let owned = it.begin("owned", &ask(2)).0;
    let BeginOutcome::Acquired(owned) = owned else { panic!("{owned:?}") };
    assert_eq!(owned.token.fence, Fence::new(2).expect("in range"), "its own attempt owns it");
    let checkpoint = owned.checkpoint.expect("it left one");
    assert_eq!((checkpoint.ordinal, &checkpoint.bytes[..]), (4, &b"half"[..]));
    let rival = it.begin("owned", &ask(8)).0;
    let BeginOutcome::InProgress { retry_after, .. } = rival else { panic!("{rival:?}") };
    assert_eq!(retry_after, Millis::new(3_000), "the longest lease, from readiness");

    let doubted = it.begin("doubted", &ask(8)).0;
    assert!(matches!(doubted, BeginOutcome::InDoubt { .. }), "{doubted:?}");
    let verdict = Verdict::NeverDone;
    let fence = Fence::new(3).expect("in range");
    let resolve = Resolve { fence, doubt_number: 5, verdict };
    it.store.resolve(id("doubted"), &resolve).expect("answered");
    assert_eq!(it.log.kept().last(), Some(&Kept::Removed(3)));

    assert!(matches!(it.begin("gone", &ask(9)).0, BeginOutcome::Gone), "S3: a delayed duplicate");
    it.own("expired", &ask(10));
    let twice = it.store.restore(&restored("owned", 2, RestoredState::Reserved));
    assert!(twice.is_err(), "each comes back once");
}

#[test]
fn what_does_not_fit_is_refused_not_dropped_s7() {
    let (clock, log) = (Arc::new(ManualClock::new(10_000)), MemoryLog::new());
    let config = StoreConfig::with_memory(onceward::MEMORY_BYTES_MIN);
    let store = Store::with_journal(config, clock, log).expect("a valid configuration");
    let body = vec![1; 64 * 1024];
    let at = Timestamp::from_millis(9_500);
    let keys: Vec<_> = (0..64).map(|number| format!("key-{number}")).collect();
    let refused = keys.iter().zip(1..).find_map(|(key, fence)| {
        let result = ResultRef::of(200, &body);
        let state = RestoredState::Completed { at, result, digest: None };
        store.restore(&restored(key, fence, state)).err()
    });
    let why = refused.expect("4 MiB do not fit 1 MiB").to_string();
    assert!(why.contains("memory_bytes"), "{why}");
}

#[test]
fn what_came_back_completed_is_counted_charged_and_freed_like_the_rest_s7_s13() {
    let quota = NamespaceConfig { entries_max: Some(3), ..NamespaceConfig::default() };
    let (clock, log) = (Arc::new(ManualClock::new(10_000)), MemoryLog::new());
    let config =
        StoreConfig { namespaces: [("orders".to_owned(), quota)].into(), ..StoreConfig::default() };
    let store = Store::with_journal(config, Arc::clone(&clock) as _, log as _);
    let store = store.expect("a valid configuration");
    let empty = store.stats();
    let body = vec![7; 3_000];
    let at = Timestamp::from_millis(9_500);
    for (key, fence) in [("one", 1), ("two", 2), ("three", 3)] {
        let result = ResultRef::of(200, &body);
        let state = RestoredState::Completed { at, result, digest: None };
        store.restore(&restored(key, fence, state)).expect("there is room");
    }
    let full = store.stats();
    assert_eq!(full.entries_completed - empty.entries_completed, 3);
    assert!(full.memory_used_bytes >= empty.memory_used_bytes + 3 * 3_000);
    let begun = |number| {
        let answer =
            store.begin(id("another"), &ask(number), |outcome| outcome.map(<[u8]>::to_vec));
        answer.expect("answered").value
    };
    assert!(matches!(begun(9), BeginOutcome::Refused { .. }), "the quota counts what came back");
    clock.advance(Millis::new(20_000));
    while store.tick(store.now(), 1_000).is_some_and(|next| next <= store.now()) {}
    assert_eq!(store.stats().entries_completed, empty.entries_completed);
    assert!(matches!(begun(10), BeginOutcome::Acquired(_)), "and is free again at its end");
}

#[test]
fn a_repeat_of_a_result_without_body_is_known_by_its_digest_after_a_restart_s3_s12_s13() {
    let it = Durable::new(Durability::Always);
    let token = it.own("first", &ask(1));
    let declined = ResultRef { body: Body::NotKept(NotKept::Declined), ..ResultRef::of(204, b"") };
    it.complete("first", token, declined);
    // SHA-256 of status, metadata and reason, as it was recorded then.
    let digest = it.log.digests()[0];
    let at = Timestamp::from_millis(9_500);
    let state = RestoredState::Completed { at, result: declined, digest: Some(digest) };
    it.store.restore(&restored("again", 5, state)).expect("there is room");
    let token = Token { fence: Fence::new(5).expect("in range"), attempt_id: attempt(5) };
    let outcome = |result| {
        let request = Complete { token, result, fingerprint: None };
        it.store.complete(id("again"), &request).expect("answered").value
    };
    assert!(matches!(outcome(declined), CompleteOutcome::AlreadyCompleted { .. }));
    assert_eq!(outcome(ResultRef { status: 205, ..declined }), CompleteOutcome::Conflict);
}
