//! Waiting (S10): pushed, first come first, exact at both ends, bounded, and free afterwards.

use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use onceward::{
    BeginOutcome, BeginTicket, Certainty, Digest, Fingerprint, Forget, Get, GetOutcome, GetTicket,
    Limits, Millis, Policy, Renew, Resolve, Store, StoreConfig, StoreError, Token, Verdict,
    Waitable,
};

use crate::bell::{Bell, shown, told};
use crate::scene::{Begun, Scene, acquired, ask, id, patient};

fn watch(scene: &Scene, key: &str, wait: u64, bell: &Arc<Bell>) -> GetTicket {
    let request = Get { wait: Millis::new(wait) };
    let waker = Arc::clone(bell).into();
    match scene.store.get_or_wait(id(key), &request, &waker, |outcome| outcome.name()) {
        Ok(Waitable::Waiting(ticket)) => ticket,
        other => panic!("not in line but {other:?}"),
    }
}

/// The word a ticket was told, or `waits`.
fn word(ticket: &mut BeginTicket, bell: &Arc<Bell>) -> &'static str {
    match told(ticket, bell) {
        None => "waits",
        Some(Ok(outcome)) => outcome.name(),
        Some(Err(StoreError::Unavailable)) => "unavailable",
        Some(Err(other)) => panic!("{other}"),
    }
}

fn answer(ticket: &mut BeginTicket, bell: &Arc<Bell>) -> Begun {
    told(ticket, bell).expect("an answer by now").expect("the store is open")
}

#[test]
fn whatever_changes_is_pushed_and_acquired_at_most_once_s10() {
    let digest = |byte| Digest::new(&[byte; 16]).unwrap();
    let renew = |scene: &Scene, token: Token, fingerprint| {
        let lease = Millis::new(1_000);
        scene.store.renew(id("k"), &Renew { token, lease, fingerprint }).unwrap();
    };
    type Act<'a> = &'a dyn Fn(&Scene, Token);
    type Row<'a> = (&'a str, Policy, Fingerprint, Act<'a>, [&'static str; 3]);
    // The change, and what two waiting begins and one waiting get are told.
    #[rustfmt::skip]
    let rows: &[Row<'_>] = &[
        ("complete", Policy::Takeover, Fingerprint::None,
            &|scene, token| { scene.finish("k", token, b"done"); },
            ["replay", "replay", "completed"]),
        ("abandon as not done: one acquires, one goes on waiting", Policy::Takeover, Fingerprint::None,
            &|scene, token| { scene.abandon("k", token, Certainty::NotDone); },
            ["acquired", "waits", "waits"]),
        ("abandon as in doubt, whatever the policy was", Policy::Takeover, Fingerprint::None,
            &|scene, token| { scene.abandon("k", token, Certainty::InDoubt); },
            ["in_doubt", "in_doubt", "in_doubt"]),
        ("the lease ends under policy takeover", Policy::Takeover, Fingerprint::None,
            &|scene, _| { scene.advance(1_000); },
            ["acquired", "waits", "waits"]),
        ("the lease ends under policy in-doubt", Policy::InDoubt, Fingerprint::None,
            &|scene, _| { scene.advance(1_000); },
            ["in_doubt", "in_doubt", "in_doubt"]),
        ("one millisecond before its end", Policy::Takeover, Fingerprint::None,
            &|scene, _| { scene.advance(999); },
            ["waits", "waits", "waits"]),
        ("a renew changes nothing for who waits", Policy::Takeover, Fingerprint::None,
            &|scene, token| { scene.advance(999); renew(scene, token, None); scene.advance(999); },
            ["waits", "waits", "waits"]),
        ("a renew binds what the waiters did not ask", Policy::Takeover, Fingerprint::Later,
            &|scene, token| renew(scene, token, Some(digest(1))),
            ["mismatch", "mismatch", "waits"]),
        ("the store closes", Policy::Takeover, Fingerprint::None,
            &|scene, _| scene.store.close(),
            ["unavailable", "unavailable", "unavailable"]),
    ];
    for (why, policy, fingerprint, change, want) in rows {
        let scene = Scene::new();
        let owner = onceward::Begin { policy: *policy, fingerprint: *fingerprint, ..ask(1) };
        let token = scene.own("k", &owner);
        let bell = Bell::new();
        let mut first = scene.line_up("k", &patient(2), &bell);
        let mut second = scene.line_up("k", &patient(3), &bell);
        let mut looking = watch(&scene, "k", 30_000, &bell);
        assert_eq!(scene.store.stats().waiters, 3, "{why}");
        assert_eq!(bell.rung(), 0, "{why}: nothing has changed yet");
        change(&scene, token);
        let seen = match shown(&mut looking, &bell) {
            None => "waits",
            Some(Ok(outcome)) => outcome.name(),
            Some(Err(_)) => "unavailable",
        };
        let got = [word(&mut first, &bell), word(&mut second, &bell), seen];
        assert_eq!(got, *want, "{why}");
        let answered = got.iter().filter(|word| **word != "waits").count();
        assert_eq!(bell.rung(), answered, "{why}: one wake-up per answer");
        assert_eq!(scene.store.stats().waiters, 3 - answered as u64, "{why}");
    }
}

#[test]
fn a_get_waits_out_a_lapsed_lease_until_somebody_ends_it_s10_s8() {
    type Act<'a> = &'a dyn Fn(&Scene, Token);
    #[rustfmt::skip]
    let rows: &[(&str, Act<'_>, &str)] = &[
        ("resolved as done", &|scene, token| {
            let result = onceward::ResultRef::of(200, b"done");
            let verdict = Verdict::Completed { result, fingerprint: None };
            let request = Resolve { fence: token.fence, doubt_number: 1, verdict };
            scene.store.resolve(id("k"), &request).unwrap();
        }, "completed"),
        ("resolved as never done", &|scene, token| {
            let verdict = Verdict::NeverDone;
            let request = Resolve { fence: token.fence, doubt_number: 1, verdict };
            scene.store.resolve(id("k"), &request).unwrap();
        }, "absent"),
        ("forgotten", &|scene, token| {
            scene.store.forget(id("k"), &Forget { fence: token.fence }).unwrap();
        }, "absent"),
        ("completed late by its owner", &|scene, token| {
            scene.finish("k", token, b"late");
        }, "completed"),
        ("taken over and completed", &|scene, _| {
            let token = scene.own("k", &ask(2));
            scene.finish("k", token, b"by another");
        }, "completed"),
        ("the retention ends", &|scene, _| { scene.advance(9_000); }, "absent"),
    ];
    for (why, end, want) in rows {
        let scene = Scene::new();
        let token = scene.own("k", &ask(1));
        let bell = Bell::new();
        // Its end is the retention's: the change comes first.
        let mut looking = watch(&scene, "k", 10_000, &bell);
        let mut impatient = watch(&scene, "k", 1_500, &bell);
        scene.advance(1_000);
        assert!(shown(&mut looking, &bell).is_none(), "{why}: a lapse is still Reserved");
        end(&scene, token);
        let got = shown(&mut looking, &bell).expect("an answer").expect("open");
        assert_eq!(got.name(), *want, "{why}");
        scene.advance(500);
        assert!(shown(&mut impatient, &bell).is_some(), "{why}: answered by now at the latest");
    }
    // Only Reserved is waited out.
    let scene = Scene::new();
    let waker = Waker::noop();
    let request = Get { wait: Millis::new(1_000) };
    let absent = scene.store.get_or_wait(id("k"), &request, waker, |outcome| outcome.name());
    assert!(matches!(absent, Ok(Waitable::Answered(answer)) if answer.value == "absent"));
}

#[test]
fn a_begin_waits_out_in_progress_only_s10() {
    let scene = Scene::new();
    let digest = Fingerprint::Digest(Digest::new(&[1; 16]).unwrap());
    let bound = onceward::Begin { fingerprint: digest, ..ask(1) };
    let done = scene.own("done", &ask(1));
    scene.finish("done", done, b"done");
    let doubted = scene.own("doubted", &ask(1));
    scene.abandon("doubted", doubted, Certainty::InDoubt);
    let ended = scene.own("ended", &ask(1));
    scene.abandon("ended", ended, Certainty::NotDone);
    scene.own("bound", &bound);
    scene.own("running", &ask(1));
    let later = onceward::Begin { fingerprint: Fingerprint::Later, ..patient(2) };
    for (key, request, want) in [
        ("done", patient(2), "replay"),
        ("doubted", patient(2), "in_doubt"),
        ("ended", patient(1), "gone"),
        ("bound", patient(2), "mismatch"),
        ("bound", later, "need_fingerprint"),
        ("running", patient(1), "acquired"),
        ("running", ask(2), "in_progress"), // A wait of zero.
        ("absent", patient(2), "acquired"),
    ] {
        let waited = scene.store.begin_or_wait(id(key), &request, Waker::noop(), |o| o.name());
        match waited.unwrap() {
            Waitable::Answered(answer) => assert_eq!(answer.value, want, "{key}"),
            Waitable::Waiting(_) => panic!("{key} waits"),
        }
        assert_eq!(scene.store.stats().waiters, 0);
    }
}

#[test]
fn first_come_is_first_served_s10() {
    let scene = Scene::new();
    let mut owner = scene.own("k", &ask(0));
    let bell = Bell::new();
    let mut line: Vec<_> =
        (1..=20).map(|number| scene.line_up("k", &patient(number), &bell)).collect();
    for turn in 0..line.len() {
        scene.abandon("k", owner, Certainty::NotDone);
        assert_eq!(bell.rung(), turn + 1, "one acquisition for one change");
        owner = acquired(answer(&mut line[turn], &bell)).token;
        for later in &mut line[turn + 1..] {
            assert!(told(later, &bell).is_none());
        }
    }
    scene.finish("k", owner, b"done");
    assert_eq!(scene.store.stats().begin_acquired, 21);
}

#[test]
fn a_wait_ends_at_its_instant_and_a_change_comes_before_it_s10() {
    let scene = Scene::new();
    scene.own("k", &ask(1));
    let bell = Bell::new();
    let wait = |number, wait| onceward::Begin { wait: Millis::new(wait), ..ask(number) };
    let mut short = scene.line_up("k", &wait(2, 500), &bell);
    let mut as_long_as_the_lease = scene.line_up("k", &wait(3, 1_000), &bell);
    assert_eq!(scene.advance(499).map(|next| next.as_millis()), Some(10_500), "the next deadline");
    assert_eq!(word(&mut short, &bell), "waits", "one millisecond early");
    scene.advance(1);
    match answer(&mut short, &bell) {
        BeginOutcome::InProgress { retry_after, age, attempt_number } => {
            assert_eq!((retry_after, age), (Millis::new(500), Millis::new(500)));
            assert_eq!(attempt_number, 1);
        }
        other => panic!("{other:?}"),
    }
    scene.advance(500);
    let taken = acquired(answer(&mut as_long_as_the_lease, &bell));
    assert_eq!(taken.attempt_number, 2, "the lease ended at the instant at which the wait did");
}

#[test]
fn what_a_late_tick_finds_is_done_in_order_s10_s21() {
    let scene = Scene::new();
    scene.own("k", &ask(1));
    scene.own("doubted", &onceward::Begin { policy: Policy::InDoubt, ..ask(1) });
    let bell = Bell::new();
    let wait = |number, wait| onceward::Begin { wait: Millis::new(wait), ..ask(number) };
    let mut before = scene.line_up("k", &wait(2, 400), &bell);
    let mut across = scene.line_up("k", &wait(3, 1_500), &bell);
    let mut next = scene.line_up("k", &wait(4, 1_200), &bell);
    let mut looked = watch(&scene, "doubted", 400, &bell);
    let mut ended_late = scene.line_up("doubted", &wait(5, 400), &bell);
    scene.clock.advance(Millis::new(2_000));
    ended_late.end_wait(); // Its wait had ended long before.
    scene.advance(0);
    let as_of_its_end = |outcome: Begun, why: &str| match outcome {
        BeginOutcome::InProgress { retry_after, age, .. } => {
            assert_eq!((retry_after, age), (Millis::new(600), Millis::new(400)), "{why}");
        }
        other => panic!("{why}: {other:?}"),
    };
    as_of_its_end(answer(&mut before, &bell), "ended before the lease");
    as_of_its_end(answer(&mut ended_late, &bell), "ended by hand after its end");
    match shown(&mut looked, &bell).unwrap().unwrap() {
        GetOutcome::Reserved { lease_left, .. } => assert_eq!(lease_left, Millis::new(600)),
        other => panic!("a get's wait ended before the lease: {other:?}"),
    }
    let taken = acquired(answer(&mut across, &bell));
    assert_eq!(taken.lease_left, Millis::new(1_000), "granted now, not in the past (S15)");
    match answer(&mut next, &bell) {
        BeginOutcome::InProgress { retry_after, age, .. } => {
            let granted = (Millis::new(1_000), Millis::ZERO);
            assert_eq!((retry_after, age), granted, "no more than the new owner was granted");
        }
        other => panic!("its wait ended after the takeover: {other:?}"),
    }
}

#[test]
fn a_wait_is_cut_to_its_limit_s10_s20() {
    let limits = Limits { wait_max: Millis::new(2_000), ..Limits::DEFAULT };
    let scene = Scene::with(StoreConfig { limits, ..StoreConfig::default() });
    let lasting = onceward::Begin { lease: Millis::new(9_000), ..ask(1) };
    scene.own("k", &lasting);
    let bell = Bell::new();
    let forever = onceward::Begin { wait: Millis::new(u64::MAX), ..ask(2) };
    let mut ticket = scene.line_up("k", &forever, &bell);
    scene.advance(1_999);
    assert_eq!(word(&mut ticket, &bell), "waits");
    scene.advance(1);
    assert_eq!(word(&mut ticket, &bell), "in_progress");
    // Where waiting is switched off nobody stands in line.
    let limits = Limits { wait_max: Millis::ZERO, ..Limits::DEFAULT };
    let scene = Scene::with(StoreConfig { limits, ..StoreConfig::default() });
    scene.own("k", &lasting);
    let waited = scene.store.begin_or_wait(id("k"), &forever, Waker::noop(), |o| o.name());
    assert!(matches!(waited, Ok(Waitable::Answered(answer)) if answer.value == "in_progress"));
}

#[test]
fn over_the_limit_of_waiters_a_begin_is_answered_at_once_s10_s20() {
    let limits = Limits { waiters_per_key_max: 2, waiters_max: 3, ..Limits::DEFAULT };
    let scene = Scene::with(StoreConfig { limits, ..StoreConfig::default() });
    let token = scene.own("a", &ask(1));
    scene.own("b", &ask(1));
    let bell = Bell::new();
    let at_once = |key: &str, number| match scene.store.begin_or_wait(
        id(key),
        &patient(number),
        Waker::noop(),
        |o| o.name(),
    ) {
        Ok(Waitable::Answered(answer)) => answer.value,
        other => panic!("{other:?}"),
    };
    let _first = scene.line_up("a", &patient(2), &bell);
    let second = scene.line_up("a", &patient(3), &bell);
    assert_eq!(at_once("a", 4), "in_progress", "two wait on this key");
    let _third = scene.line_up("b", &patient(5), &bell);
    assert_eq!(at_once("b", 6), "in_progress", "three wait in all");
    assert_eq!(scene.store.stats().waiters, 3);
    drop(second);
    let _fourth = scene.line_up("b", &patient(6), &bell);
    assert_eq!(at_once("a", 7), "in_progress");
    scene.finish("a", token, b"done");
    assert_eq!(scene.store.stats().waiters, 2);
    assert_eq!(scene.store.stats().begin_in_progress, 3);
}

#[test]
fn a_dropped_ticket_leaves_the_line_s10() {
    let scene = Scene::new();
    let token = scene.own("k", &ask(1));
    let bell = Bell::new();
    let first = scene.line_up("k", &patient(2), &bell);
    let mut second = scene.line_up("k", &patient(3), &bell);
    let third = scene.line_up("k", &patient(4), &bell);
    drop(first);
    assert_eq!(scene.store.stats().waiters, 2);
    scene.abandon("k", token, Certainty::NotDone);
    assert_eq!(bell.rung(), 1, "who has left is not woken");
    let owner = acquired(answer(&mut second, &bell)).token;
    drop((second, third));
    assert_eq!(scene.store.stats().waiters, 0);

    // What was acquired in the name of one who left stays acquired for a repeat (S3).
    let unpolled = scene.line_up("k", &patient(5), &bell);
    scene.abandon("k", owner, Certainty::NotDone);
    drop(unpolled);
    assert_eq!(scene.begin("k", &ask(6)).name(), "in_progress");
    assert_eq!(acquired(scene.begin("k", &ask(5))).attempt_number, 1);
    assert_eq!(scene.store.stats().begin_acquired, 3, "counted though nobody came for it");
}

#[test]
fn an_answer_is_given_once_and_ended_waits_answer_as_of_now_s10() {
    let scene = Scene::new();
    let token = scene.own("k", &ask(1));
    let bell = Bell::new();
    let mut ticket = scene.line_up("k", &patient(2), &bell);
    let mut other = scene.line_up("k", &patient(3), &bell);
    scene.clock.advance(Millis::new(300));
    ticket.end_wait();
    match answer(&mut ticket, &bell) {
        BeginOutcome::InProgress { retry_after, .. } => assert_eq!(retry_after, Millis::new(700)),
        other => panic!("{other:?}"),
    }
    assert_eq!(told(&mut ticket, &bell), Some(Err(StoreError::Unavailable)), "there is no second");
    assert_eq!(scene.store.stats().waiters, 1);
    scene.finish("k", token, b"done");
    other.end_wait(); // An answer came before.
    assert_eq!(word(&mut other, &bell), "replay");
}

#[test]
fn ten_thousand_waiters_on_one_key_are_ordinary_s10() {
    const WAITERS: u64 = 10_000;
    let scene = Scene::new();
    let token = scene.own("k", &ask(0));
    let used = scene.memory_used();
    let bell = Bell::new();
    let line_up = || -> Vec<_> {
        (1..=WAITERS).map(|number| scene.line_up("k", &patient(number), &bell)).collect()
    };

    drop(line_up());
    assert_eq!((scene.store.stats().waiters, bell.rung()), (0, 0), "all left");

    let mut line = line_up();
    for ticket in line.iter_mut().rev() {
        ticket.end_wait();
    }
    assert!(line.iter_mut().all(|ticket| word(ticket, &bell) == "in_progress"));

    let mut line = line_up();
    scene.finish("k", token, b"done");
    assert!(line.iter_mut().all(|ticket| match answer(ticket, &bell) {
        BeginOutcome::Replay(replay) => replay.result.body.kept().is_some_and(|b| b == b"done"),
        _ => false,
    }));
    assert_eq!(bell.rung() as u64, 2 * WAITERS);
    let stats = scene.store.stats();
    assert_eq!((stats.waiters, stats.waits_answered, stats.waits_ended), (0, WAITERS, WAITERS));
    assert!(scene.memory_used() < used, "waiters leave nothing behind");
}

#[test]
fn who_comes_after_the_lease_and_before_the_tick_does_not_overtake_s10() {
    type Act<'a> = &'a dyn Fn(&Scene) -> &'static str;
    #[rustfmt::skip]
    let rows: &[(&str, Act<'_>, &str)] = &[
        ("a begin", &|scene| scene.begin("k", &ask(9)).name(), "in_progress"),
        ("a begin that would wait", &|scene| {
            let waited = scene.store.begin_or_wait(id("k"), &patient(9), Waker::noop(), |o| o.name());
            match waited.unwrap() { Waitable::Answered(a) => a.value, Waitable::Waiting(_) => "waits" }
        }, "waits"),
        ("a look", &|scene| scene.get("k").name(), "reserved"),
        ("a batch", &|scene| {
            let mut word = "";
            scene.store.begin_many(&[(id("k"), ask(9))], |_, outcome| word = outcome.unwrap().value.name());
            word
        }, "in_progress"),
    ];
    for (why, come, want) in rows {
        let scene = Scene::new();
        scene.own("k", &ask(1));
        let bell = Bell::new();
        let mut first = scene.line_up("k", &patient(2), &bell);
        scene.clock.advance(Millis::new(1_000));
        assert_eq!(come(&scene), *want, "{why}");
        assert_eq!(acquired(answer(&mut first, &bell)).attempt_number, 2, "{why}");
    }
}

#[test]
fn an_operation_in_time_comes_before_who_waits_for_the_lease_s8_s10() {
    // The owner's late complete arrives after the lease, but who waits was first.
    let scene = Scene::new();
    let token = scene.own("k", &ask(1));
    let bell = Bell::new();
    let mut waiter = scene.line_up("k", &patient(2), &bell);
    scene.clock.advance(Millis::new(1_000));
    assert_eq!(scene.complete("k", token, b"late").name(), "fenced", "what is due is done first");
    acquired(answer(&mut waiter, &bell));
    // One millisecond earlier it is the other way round.
    let token = scene.own("other", &ask(1));
    let mut waiter = scene.line_up("other", &patient(2), &bell);
    scene.clock.advance(Millis::new(999));
    assert_eq!(scene.complete("other", token, b"in time").name(), "completed");
    assert_eq!(word(&mut waiter, &bell), "replay");
}

/// Calls the store from inside its wake-up.
struct Reentrant {
    store: Store,
    seen: Mutex<Vec<&'static str>>,
}

impl Wake for Reentrant {
    fn wake(self: Arc<Self>) {
        let word = self.store.get(id("k"), |outcome| outcome.name()).unwrap().value;
        self.seen.lock().unwrap().push(word);
    }
}

#[test]
fn a_waker_may_call_the_store_s10() {
    let scene = Scene::new();
    let token = scene.own("k", &ask(1));
    let reentrant = Arc::new(Reentrant { store: scene.store.clone(), seen: Mutex::default() });
    let waker = Arc::clone(&reentrant).into();
    let waiting = scene.store.begin_or_wait(id("k"), &patient(2), &waker, |_| ()).unwrap();
    scene.finish("k", token, b"done");
    assert_eq!(*reentrant.seen.lock().unwrap(), ["completed"]);
    drop(waiting);
}

#[test]
fn a_closed_store_answers_nobody_else_s17() {
    let scene = Scene::new();
    let token = scene.own("k", &ask(1));
    scene.store.close();
    let unavailable = Some(StoreError::Unavailable);
    let store = &scene.store;
    let result = onceward::ResultRef::of(200, b"");
    let complete = onceward::Complete { token, result, fingerprint: None };
    let renew = Renew { token, lease: Millis::new(1_000), fingerprint: None };
    let abandon = onceward::Abandon { token, certainty: Certainty::NotDone };
    let save = onceward::SaveCheckpoint { token, ordinal: 1, bytes: b"" };
    let resolve = Resolve { fence: token.fence, doubt_number: 1, verdict: Verdict::NeverDone };
    let get = Get { wait: Millis::new(1) };
    let namespace = id("k").namespace();
    assert_eq!(store.begin(id("k"), &ask(2), |_| ()).err(), unavailable);
    assert_eq!(store.begin_or_wait(id("k"), &patient(2), Waker::noop(), |_| ()).err(), unavailable);
    assert_eq!(store.complete(id("k"), &complete).err(), unavailable);
    assert_eq!(store.renew(id("k"), &renew).err(), unavailable);
    assert_eq!(store.abandon(id("k"), &abandon).err(), unavailable);
    assert_eq!(store.checkpoint(id("k"), &save).err(), unavailable);
    assert_eq!(store.get(id("k"), |_| ()).err(), unavailable);
    assert_eq!(store.get_or_wait(id("k"), &get, Waker::noop(), |_| ()).err(), unavailable);
    assert_eq!(store.resolve(id("k"), &resolve).err(), unavailable);
    assert_eq!(store.forget(id("k"), &Forget { fence: token.fence }).err(), unavailable);
    assert_eq!(store.list(namespace, &onceward::ListQuery::default()).err(), unavailable);
    assert_eq!(scene.store.stats().entries, 1, "nothing changed");
}
