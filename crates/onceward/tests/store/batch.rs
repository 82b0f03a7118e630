//! Operations on prepared identities, at one reading of the clock.

use std::sync::Arc;

use onceward::{
    Abandon, AbandonOutcome, Begin, BeginOutcome, Certainty, Complete, CompleteOutcome, Get,
    GetOutcome, Millis, Renew, RenewOutcome, ResultRef, Waitable,
};

use crate::bell::Bell;
use crate::scene::{Scene, ask, id, patient};

#[test]
fn a_batch_does_what_its_store_does() {
    let scene = Scene::new();
    let keys = ["one", "two", "three"];
    let prepared = keys.map(|key| scene.store.prepare(id(key)));
    scene.store.prefetch(&prepared); // Of what is not there: nothing.
    let batch = scene.store.batch();
    let tokens: Vec<_> = prepared
        .iter()
        .zip(1..)
        .map(|(it, number)| {
            let begun = batch.begin(it, &ask(number), |outcome| match outcome {
                BeginOutcome::Acquired(acquired) => Some(acquired.token),
                _ => None,
            });
            begun.unwrap().value.expect("nobody else asked")
        })
        .collect();
    scene.store.prefetch(&prepared);
    let result = ResultRef::of(200, b"the one result");
    let complete = Complete { token: tokens[0], result, fingerprint: None };
    let completed = batch.complete(&prepared[0], &complete).unwrap().value;
    assert_eq!(completed, CompleteOutcome::Completed { not_kept: None });
    let renew = Renew { token: tokens[1], lease: Millis::new(5_000), fingerprint: None };
    let renewed = batch.renew(&prepared[1], &renew).unwrap().value;
    assert_eq!(renewed, RenewOutcome::Renewed { lease_left: Millis::new(5_000) });
    let abandon = Abandon { token: tokens[2], certainty: Certainty::NotDone };
    let abandoned = batch.abandon(&prepared[2], &abandon).unwrap().value;
    assert_eq!(abandoned, AbandonOutcome::Abandoned);
    // The store's own operations see all of it, and the batch sees theirs.
    let bell = Bell::new();
    let waker = Arc::clone(&bell).into();
    let replays = |outcome: BeginOutcome<&[u8]>| match outcome {
        BeginOutcome::Replay(replay) => replay.result == result,
        _ => false,
    };
    assert!(scene.store.begin(id("one"), &ask(4), replays).unwrap().value);
    match batch.begin_or_wait(&prepared[0], &patient(5), &waker, replays) {
        Ok(Waitable::Answered(answer)) => assert!(answer.value),
        other => panic!("{:?}", other.map(drop)),
    }
    match batch.begin_or_wait(&prepared[1], &patient(6), &waker, replays) {
        Ok(Waitable::Waiting(_)) => {}
        other => panic!("it is owned: {:?}", other.map(drop)),
    }
    match batch.get_or_wait(&prepared[1], &Get { wait: Millis::new(9) }, &waker, |_| ()) {
        Ok(Waitable::Waiting(_)) => {}
        other => panic!("it is owned: {:?}", other.map(drop)),
    }
    let absent = |outcome: GetOutcome<&[u8]>| outcome == GetOutcome::Absent;
    assert!(batch.get(&prepared[2], absent).unwrap().value);
    assert_eq!(prepared[2].identity(), id("three"));
    assert!(!format!("{prepared:?}").contains("three"), "S16");
}

#[test]
fn a_batch_is_judged_at_the_instant_of_its_making_s15() {
    let scene = Scene::new();
    let one = scene.store.prepare(id("k"));
    let state = |batch: onceward::Batch<'_>, number| {
        let ask: Begin = ask(number); // A lease of 1 s, policy takeover.
        batch.begin(&one, &ask, |outcome| outcome.name()).unwrap().value
    };
    let early = scene.store.batch();
    assert_eq!(state(early, 1), "acquired");
    scene.clock.advance(Millis::new(999));
    let last = scene.store.batch();
    scene.clock.advance(Millis::new(1));
    assert_eq!(state(last, 2), "in_progress", "one millisecond before its end the lease runs");
    assert_eq!(state(scene.store.batch(), 2), "acquired");
}
