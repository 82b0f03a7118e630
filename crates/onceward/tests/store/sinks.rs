//! Answers handed out as borrowed bytes, and batches.

use std::sync::Arc;

use onceward::{
    BadInput, Begin, BeginOutcome, Body, Certainty, Complete, CompleteOutcome, FENCE_FLOOR_MAX,
    Forget, GetOutcome, Identity, Limits, Millis, Position, ResultRef, Store, StoreConfig,
    StoreError, Waitable,
};
use onceward_testkit::{ManualClock, SplitMix64, seeds};

use crate::bell::Bell;
use crate::scene::{Scene, ask, attempt, begin, id, patient};

fn kept<'a>(outcome: &BeginOutcome<&'a [u8]>) -> &'a [u8] {
    match outcome {
        BeginOutcome::Replay(replay) => match replay.result.body {
            Body::Kept(body) => body,
            Body::NotKept(why) => panic!("not kept: {why:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn replays_hand_out_the_stored_bytes_in_memory_that_is_used_again() {
    let scene = Scene::new();
    let token = scene.own("k", &ask(1));
    let bell = Bell::new();
    let mut ticket = scene.line_up("k", &patient(2), &bell);
    scene.finish("k", token, b"the one result");
    let place = |outcome: BeginOutcome<&[u8]>| {
        assert_eq!(kept(&outcome), b"the one result");
        kept(&outcome).as_ptr() as usize
    };
    let waker = Arc::clone(&bell).into();
    match ticket.poll(&waker, place) {
        std::task::Poll::Ready(Ok(_)) => {}
        other => panic!("{other:?}"),
    }
    drop(ticket);
    // Shared with the entry, or copied into a buffer that the thread uses again.
    let first = scene.store.begin(id("k"), &ask(3), place).unwrap().value;
    let second = scene.store.begin(id("k"), &ask(4), place).unwrap().value;
    assert_eq!(first, second, "no new memory for each");
    let shown = scene.store.get(id("k"), |outcome| match outcome {
        GetOutcome::Completed(completed) => {
            completed.result.body.kept().map_or(0, |body| body.as_ptr() as usize)
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(shown.unwrap().value, first);
    let mut batch = Vec::new();
    scene.store.begin_many(&[(id("k"), ask(5))], |_, answer| {
        batch.push(place(answer.unwrap().value));
    });
    assert_eq!(batch, [first]);
}

#[test]
fn a_sink_may_call_the_store_and_keeps_its_bytes_meanwhile() {
    let scene = Scene::new();
    let token = scene.own("k", &ask(1));
    // An owner may complete from inside the answer to its begin, and look, and begin others.
    let own = scene.store.begin(id("k"), &ask(1), |outcome| {
        assert_eq!(outcome.name(), "acquired", "a repeat");
        scene.finish("k", token, b"from inside");
        scene.own("another", &ask(2));
        scene.get("k").name()
    });
    assert_eq!(own.unwrap().value, "completed");
    // What is forgotten while a sink reads it stays readable until the sink is done.
    let read = scene.store.begin(id("k"), &ask(3), |outcome| {
        scene.store.forget(id("k"), &Forget { fence: token.fence }).unwrap();
        assert_eq!(scene.get("k").name(), "absent");
        let successor = scene.own("k", &ask(4));
        scene.finish("k", successor, b"of another life");
        kept(&outcome).to_vec()
    });
    assert_eq!(read.unwrap().value, b"from inside");
    let mut inside = Vec::new();
    scene.store.begin_many(&[(id("k"), ask(5)), (id("another"), ask(6))], |index, answer| {
        inside.push((index, answer.unwrap().value.name(), scene.get("another").name()));
    });
    assert_eq!(inside, [(0, "replay", "reserved"), (1, "in_progress", "reserved")]);
}

#[test]
fn a_sink_is_called_once_or_not_at_all() {
    let scene = Scene::new();
    let bad = Begin { lease: Millis::ZERO, ..ask(1) };
    let mut calls = 0;
    let refused = scene.store.begin(id("k"), &bad, |_| calls += 1);
    assert!(matches!(refused, Err(StoreError::BadInput(BadInput::Lease { .. }))), "{refused:?}");
    assert_eq!(calls, 0, "bad input has no outcome");
    let answer = scene.store.begin(id("k"), &ask(1), |_| calls += 1).unwrap();
    assert_eq!(calls, 1);
    assert_eq!(answer.position, Position(0), "at `memory` every outcome rests on nothing (S21)");
    let waker = std::task::Waker::noop();
    let waits = scene.store.begin_or_wait(id("k"), &patient(2), waker, |_| calls += 1).unwrap();
    assert!(matches!(waits, Waitable::Waiting(_)));
    assert_eq!(calls, 1, "a wait has no outcome yet; the sink goes to the ticket");
    drop(waits);
    assert_eq!(scene.store.begin(id("k"), &bad, |_| ()).err(), {
        let (min, max) = (onceward::limits::LEASE_MIN, scene.store.limits().lease_max);
        Some(StoreError::BadInput(BadInput::Lease { got: Millis::ZERO, min, max }))
    });
}

/// Two stores that draw the same fences.
fn twins() -> (Store, Store) {
    let twin = || {
        let limits = Limits { result_bytes_max: 64, ..Limits::DEFAULT };
        let config = StoreConfig { limits, fence_floor: FENCE_FLOOR_MAX, ..StoreConfig::default() };
        Store::new(config, Arc::new(ManualClock::new(5)) as _).unwrap()
    };
    (twin(), twin())
}

#[test]
fn batches_answer_as_single_calls_do() {
    for seed in seeds(20) {
        println!("seed {seed} (replay with ONCEWARD_SEED={seed})");
        let (batched, single) = twins();
        let mut random = SplitMix64::new(seed);
        let names: Vec<String> = (0..8).map(|key| format!("key-{key}")).collect();
        let mut tokens = Vec::new();
        for round in 0..10 {
            let begins: Vec<(Identity<'_>, Begin)> = (0..random.within(0..20))
                .map(|_| {
                    let request = Begin {
                        attempt_id: attempt(random.within(0..6)),
                        lease: Millis::new(if random.chance(10) { 0 } else { 1_000 }),
                        ..ask(0)
                    };
                    (id(random.pick(&names).unwrap()), request)
                })
                .collect();
            let mut answers = Vec::new();
            batched.begin_many(&begins, |index, answer| {
                assert_eq!(index, answers.len(), "in order");
                answers.push(answer.map(|answer| answer.value.map(<[u8]>::to_vec)));
            });
            assert_eq!(answers.len(), begins.len());
            for ((identity, request), answer) in begins.iter().zip(answers) {
                if let Ok(BeginOutcome::Acquired(acquired)) = &answer {
                    tokens.push((*identity, acquired.token));
                }
                let alone = single
                    .begin(*identity, request, |outcome| outcome.map(<[u8]>::to_vec))
                    .map(|answer| answer.value);
                assert_eq!(answer, alone, "seed {seed}, round {round}");
            }
            let bodies = [b"one".as_slice(), b"two", &[0; 65]];
            let completes: Vec<(Identity<'_>, Complete<'_>)> = tokens
                .iter()
                .filter(|_| random.chance(30))
                .map(|&(identity, token)| {
                    let body = bodies[(token.fence.get() % 3) as usize];
                    let metadata: &[u8] = if token.fence.get() % 5 == 0 { &[1] } else { &[] };
                    let result = ResultRef { metadata, ..ResultRef::of(200, body) };
                    (identity, Complete { token, result, fingerprint: None })
                })
                .collect();
            let mut answers = Vec::new();
            batched.complete_many(&completes, |index, answer| {
                assert_eq!(index, answers.len(), "in order");
                answers.push(answer);
            });
            let alone: Vec<_> =
                completes.iter().map(|(identity, one)| single.complete(*identity, one)).collect();
            assert_eq!(answers, alone, "seed {seed}, round {round}");
        }
        assert_eq!(batched.stats(), single.stats(), "seed {seed}");
    }
}

#[test]
fn a_bad_request_in_a_batch_costs_the_others_nothing() {
    let scene = Scene::new();
    let bad = Begin { retention: Millis::new(1), ..ask(2) };
    let mut words = Vec::new();
    scene.store.begin_many(&[(id("a"), ask(1)), (id("b"), bad), (id("c"), ask(3))], |_, answer| {
        words.push(answer.map(|answer| answer.value.name()).map_err(|error| error.to_string()));
    });
    assert_eq!(words[0].as_deref(), Ok("acquired"));
    assert!(words[1].as_ref().is_err_and(|error| error.contains("retention")), "{words:?}");
    assert_eq!(words[2].as_deref(), Ok("acquired"));
    assert_eq!(scene.get("b").name(), "absent", "bad input never changes state");

    let token = scene.own("a", &ask(1));
    let good = Complete { token, result: ResultRef::of(200, b"x"), fingerprint: None };
    let truncated = ResultRef { metadata: &[9], ..ResultRef::of(200, b"x") };
    let bad = Complete { result: truncated, ..good };
    let mut outcomes = Vec::new();
    scene.store.complete_many(&[(id("a"), bad), (id("a"), good), (id("c"), good)], |_, answer| {
        outcomes.push(answer.map(|answer| answer.value));
    });
    assert!(matches!(outcomes[0], Err(StoreError::BadInput(_))));
    assert_eq!(outcomes[1], Ok(CompleteOutcome::Completed { not_kept: None }));
    assert_eq!(outcomes[2], Ok(CompleteOutcome::Fenced), "a token of another identity (S4)");
    let abandoned = scene.abandon("a", token, Certainty::NotDone);
    assert_eq!(abandoned.name(), "conflict", "S5");
    assert_eq!(begin(&scene.store, id("c"), &ask(3)).name(), "acquired");
}
