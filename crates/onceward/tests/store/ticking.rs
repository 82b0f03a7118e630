//! Background work (S21): bounded slices, the next deadline, whoever drives it, and exact ends
//! without any of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Wake;

use onceward::{BeginOutcome, BootClock, Certainty, Forget, Limits, Millis, Policy, Store};
use onceward::{StoreConfig, Ticker, Timestamp};

use crate::bell::{Bell, told};
use crate::scene::{IS_PLAIN, START, Scene, acquired, ask, attempt, begin, id, patient};

#[test]
fn a_tick_frees_no_more_than_its_budget_and_says_when_it_is_done_s21() {
    const ENTRIES: u64 = 100_000;
    const BUDGET: usize = 100;
    let scene = Scene::with(StoreConfig::with_memory(4 << 30));
    for number in 0..ENTRIES {
        scene.own(&number.to_string(), &ask(number));
    }
    let due = Timestamp::from_millis(START + 10_000);
    let idle = scene.store.tick(scene.clock.now(), BUDGET).expect("entries that will end");
    assert!(idle > scene.clock.now() && idle <= due, "nothing is due yet: {idle:?}");
    scene.clock.advance(Millis::new(10_000));
    let (mut calls, mut freed) = (0, 0);
    loop {
        let next = scene.store.tick(due, BUDGET);
        let now_freed = scene.store.stats().expired;
        assert!(now_freed - freed <= BUDGET as u64, "call {calls} freed {}", now_freed - freed);
        (calls, freed) = (calls + 1, now_freed);
        match next {
            Some(again) if again == due => {}
            // What is left of a segment's room may come back when its expiry slot ends.
            Some(later) if !IS_PLAIN && freed == ENTRIES && later.as_millis() <= START + 11_000 => {
                assert_eq!(scene.store.tick(later, BUDGET), None, "nothing is left to fall due");
                break;
            }
            None => break,
            other => panic!("call {calls}: nothing is left to fall due, got {other:?}"),
        }
        assert!(calls < 20 * ENTRIES / BUDGET as u64, "each entry costs a few steps at most");
    }
    assert_eq!(freed, ENTRIES);
    assert_eq!((scene.store.stats().entries, scene.memory_used()), (0, 0));
    assert_eq!(scene.store.stats().expired_unfinished, ENTRIES, "counted (S7)");
}

#[test]
fn a_tick_forgets_attempts_within_its_budget_s3_s21() {
    const ATTEMPTS: u64 = 5_000;
    let scene = Scene::with(StoreConfig { shards: 1, ..StoreConfig::default() });
    for number in 0..ATTEMPTS {
        let token = scene.own("k", &ask(number));
        scene.abandon("k", token, Certainty::NotDone);
    }
    assert_eq!(scene.store.stats().attempts_remembered, ATTEMPTS);
    let due = scene.clock.advance(Limits::DEFAULT.attempt_memory);
    let mut left = ATTEMPTS;
    loop {
        let next = scene.store.tick(due, 100);
        let remembered = scene.store.stats().attempts_remembered;
        assert!(left - remembered <= 100, "{} forgotten in one call", left - remembered);
        left = remembered;
        if next != Some(due) {
            break;
        }
    }
    assert_eq!((scene.store.stats().attempts_remembered, scene.memory_used()), (0, 0));
}

#[test]
fn a_tick_ends_waits_within_its_budget_s10_s21() {
    let scene = Scene::new();
    let bell = Bell::new();
    let mut line = Vec::new();
    for key in ["a", "b", "c"] {
        scene.own(key, &onceward::Begin { lease: Millis::new(9_000), ..ask(0) });
        line.extend((1..=100).map(|number| {
            let wait = Millis::new(1_000);
            scene.line_up(key, &onceward::Begin { wait, ..ask(number) }, &bell)
        }));
    }
    let due = scene.clock.advance(Millis::new(1_000));
    let mut calls = 0;
    loop {
        let next = scene.store.tick(due, 10);
        calls += 1;
        assert!(bell.rung() <= calls * 10, "{} woken by {calls} calls", bell.rung());
        if next != Some(due) {
            break;
        }
    }
    assert_eq!(bell.rung(), 300);
    drop(line);
}

#[test]
fn the_next_deadline_is_the_earliest_there_is_s21() {
    let scene = Scene::new();
    let now = scene.clock.now();
    assert_eq!(scene.store.tick(now, 100), None, "nothing falls due by itself");
    assert_eq!(scene.store.tick(now, 0), Some(now), "no budget, no conclusion");
    let token = scene.own("k", &ask(1));
    assert!(scene.store.tick(now, 100).is_some_and(|next| next.as_millis() <= START + 10_000));
    let bell = Bell::new();
    let first = scene.line_up("k", &patient(2), &bell);
    let next = |why: &str, want: Option<u64>| {
        let next = scene.store.tick(scene.clock.now(), 100);
        assert_eq!(next.map(Timestamp::as_millis), want.map(|millis| START + millis), "{why}");
    };
    next("the lease ends, and somebody waits for it", Some(1_000));
    let request = onceward::Begin { wait: Millis::new(300), ..ask(3) };
    let second = scene.line_up("k", &request, &bell);
    next("a wait ends before it", Some(300));
    drop(second);
    next("who has left is not due", Some(1_000));
    scene.finish("k", token, b"done");
    drop(first);
    scene.store.forget(id("k"), &Forget { fence: token.fence }).unwrap();
    // Room that the entry left may fall due earlier.
    let remembered = scene.store.tick(scene.clock.now(), 100).expect("an attempt is remembered");
    let (at, expected) = (remembered.as_millis(), START + 120_000);
    assert!(at == expected || (!IS_PLAIN && at < expected), "{remembered:?}");
    scene.clock.advance(Limits::DEFAULT.attempt_memory);
    next("nothing is left", None);
}

/// How often the hook was called.
fn hooked(scene: &Scene) -> Arc<AtomicUsize> {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    scene.store.on_earlier_deadline(Arc::new(move || {
        counted.fetch_add(1, SeqCst);
    }));
    calls
}

#[test]
fn whatever_falls_due_earlier_than_promised_is_told_s21() {
    let bell = Bell::new();
    let scene = Scene::new();
    let calls = hooked(&scene);
    let mut before = 0;
    // Whether the driver was told since it last ticked; then it ticks, as told or not.
    let mut told_since = |scene: &Scene| {
        let after = calls.load(SeqCst);
        let told = after > before;
        let now = scene.clock.now();
        let _ = scene.store.tick(now, 1_000);
        before = calls.load(SeqCst);
        assert_eq!(after, before, "a tick says it itself");
        told
    };
    assert!(!told_since(&scene));
    let other = scene.own("other", &ask(9));
    assert!(told_since(&scene), "an entry that will end, where nothing was promised");
    scene.abandon("other", other, Certainty::NotDone);
    assert!(!told_since(&scene), "an attempt is forgotten later than the entry would have ended");

    let lasting = |number| onceward::Begin { lease: Millis::new(9_000), ..ask(number) };
    let token = scene.own("k", &lasting(1));
    told_since(&scene);
    let short = |number| onceward::Begin { lease: Millis::new(200), ..patient(number) };
    let mut first = scene.line_up("k", &short(2), &bell);
    told_since(&scene);
    let _second = scene.line_up("k", &patient(3), &bell);
    assert!(!told_since(&scene), "one more waits for the same instant");
    scene.abandon("k", token, Certainty::NotDone);
    assert!(told_since(&scene), "a waiter acquired for less long than its predecessor held");
    let owner = acquired(told(&mut first, &bell).unwrap().unwrap()).token;
    scene.abandon("k", owner, Certainty::InDoubt);

    // Nothing but a remembered attempt.
    let scene = Scene::new();
    let calls = hooked(&scene);
    let token = scene.own("k", &ask(1));
    scene.clock.advance(Millis::new(5));
    scene.store.tick(scene.clock.now(), 1_000);
    scene.abandon("k", token, Certainty::NotDone);
    scene.clock.advance(Millis::new(20_000));
    assert_eq!(scene.store.tick(scene.clock.now(), 1_000).map(|at| at.as_millis()), {
        Some(START + 5 + Limits::DEFAULT.attempt_memory.get())
    });
    let before = calls.load(SeqCst);
    scene.own("k2", &ask(2));
    assert_eq!(calls.load(SeqCst), before + 1, "it ends before the attempt is forgotten");
}

#[test]
fn the_latest_driver_is_the_one_told_s21() {
    let scene = Scene::new();
    let (first, second) = (hooked(&scene), hooked(&scene));
    scene.own("k", &ask(1));
    assert_eq!((first.load(SeqCst), second.load(SeqCst)), (0, 1), "a driver may be replaced");
}

/// Begins a key of its own whenever it is woken.
struct Eager {
    store: Store,
    retention: Millis,
}

impl Wake for Eager {
    fn wake(self: Arc<Self>) {
        let request = onceward::Begin { retention: self.retention, ..ask(77) };
        acquired(begin(&self.store, id("eager"), &request));
    }
}

#[test]
fn what_comes_up_during_a_tick_is_in_its_answer_and_tells_nobody_s21() {
    let scene = Scene::new();
    let in_doubt = onceward::Begin { policy: Policy::InDoubt, ..ask(1) };
    scene.own("k", &in_doubt);
    let retention = Millis::new(2_000);
    let waker = Arc::new(Eager { store: scene.store.clone(), retention }).into();
    let waiting = scene.store.begin_or_wait(id("k"), &patient(2), &waker, |_| ()).unwrap();
    let calls = hooked(&scene);
    let now = scene.clock.advance(Millis::new(1_000));
    let before = calls.load(SeqCst);
    let next = scene.store.tick(now, 1_000).expect("two entries will end");
    assert!(next <= now.after(retention), "{next:?}: begun from inside the tick");
    assert_eq!(calls.load(SeqCst), before, "a driver that is busy need not be called");
    assert_eq!(scene.get("eager").name(), "reserved");
    drop(waiting);
}

#[test]
fn an_attempt_to_forget_is_told_where_nothing_else_was_promised_s3_s21() {
    let scene = Scene::new();
    let token = scene.own("k", &ask(1));
    scene.finish("k", token, b"done");
    scene.advance(9_999);
    let calls = hooked(&scene);
    let bell = Bell::new();
    // The entry is gone from the wheel by the time the driver is promised nothing.
    scene.store.forget(id("k"), &Forget { fence: token.fence }).unwrap();
    scene.advance(Limits::DEFAULT.attempt_memory.get());
    assert_eq!(scene.store.tick(scene.clock.now(), 10), None);
    let before = calls.load(SeqCst);
    let waited = scene.own("k", &onceward::Begin { retention: Millis::new(500_000), ..ask(2) });
    scene.store.tick(scene.clock.now(), 10);
    let promised = calls.load(SeqCst);
    assert!(promised > before);
    scene.abandon("k", waited, Certainty::NotDone);
    assert!(calls.load(SeqCst) > promised, "the attempt is due long before the retention's end");
    drop(bell);
}

#[test]
fn ends_are_exact_on_access_without_any_tick_s6_s7_s8_s21() {
    let scene = Scene::new();
    let in_doubt = onceward::Begin { policy: Policy::InDoubt, ..ask(1) };
    for key in ["taken", "kept", "done"] {
        scene.own(key, &ask(1));
    }
    scene.own("doubted", &in_doubt);
    let done = scene.own("done", &ask(1));
    scene.finish("done", done, b"done");
    scene.clock.advance(Millis::new(999));
    assert_eq!(scene.begin("taken", &ask(2)).name(), "in_progress", "S6: one millisecond before");
    assert_eq!(scene.begin("doubted", &ask(2)).name(), "in_progress");
    scene.clock.advance(Millis::new(1));
    assert_eq!(acquired(scene.begin("taken", &ask(2))).attempt_number, 2, "S6: at its instant");
    assert_eq!(scene.begin("doubted", &ask(2)).name(), "in_doubt", "S8");
    assert_eq!(scene.get("kept").name(), "reserved", "nobody came");
    scene.clock.advance(Millis::new(8_999));
    assert_eq!(scene.get("done").name(), "completed", "S7: one millisecond before");
    assert_eq!(scene.begin("done", &ask(3)).name(), "replay");
    scene.clock.advance(Millis::new(1));
    for key in ["taken", "kept", "done", "doubted"] {
        assert_eq!(scene.get(key).name(), "absent", "S7: {key}");
        assert_eq!(acquired(scene.begin(key, &ask(4))).attempt_number, 1, "{key}");
    }
    let stats = scene.store.stats();
    assert_eq!((stats.expired, stats.expired_unfinished), (4, 3), "noticed as they were replaced");
}

#[test]
fn attempts_are_remembered_within_a_share_of_memory_s3_s11() {
    let scene = Scene::small();
    for number in 0..20_000 {
        let token = scene.own("k", &ask(number));
        scene.abandon("k", token, Certainty::NotDone);
    }
    let stats = scene.store.stats();
    // Beside them a few blocks that are kept at hand.
    let most = stats.memory_limit_bytes / 8 + if IS_PLAIN { 0 } else { 32 * 1024 };
    assert!(stats.memory_used_bytes <= most, "{stats:?}");
    assert!(stats.attempts_remembered > 0);
    assert_eq!(stats.attempts_forgotten_early + stats.attempts_remembered, 20_000);
    assert_eq!(scene.begin("k", &ask(19_999)), BeginOutcome::Gone, "the youngest are remembered");
}

/// A store on the machine's clock, driven by a thread of its own.
fn ticked() -> (Store, Ticker) {
    let store = Store::new(StoreConfig::default(), Arc::new(BootClock::new())).unwrap();
    let ticker = Ticker::start(&store).unwrap();
    (store, ticker)
}

#[test]
fn a_ticker_wakes_who_waits_s21() {
    let (store, ticker) = ticked();
    let bell = Bell::new();
    let waker = Arc::clone(&bell).into();
    let lease = |number, millis| onceward::Begin {
        lease: Millis::new(millis),
        wait: Millis::new(30_000),
        ..onceward::Begin::new(onceward::Fingerprint::None, attempt(number))
    };
    acquired(begin(&store, id("lease"), &lease(1, 100)));
    let taken = store.begin_or_wait(id("lease"), &lease(2, 30_000), &waker, |o| o.name()).unwrap();
    bell.await_rings(1);
    let onceward::Waitable::Waiting(mut taken) = taken else { panic!("{taken:?}") };
    assert_eq!(acquired(told(&mut taken, &bell).unwrap().unwrap()).attempt_number, 2);

    let brief = onceward::Begin { wait: Millis::new(20), ..lease(3, 30_000) };
    let ended = store.begin_or_wait(id("lease"), &brief, &waker, |o| o.name()).unwrap();
    bell.await_rings(2);
    let onceward::Waitable::Waiting(mut ended) = ended else { panic!("{ended:?}") };
    assert_eq!(told(&mut ended, &bell).unwrap().unwrap().name(), "in_progress");
    drop(ticker); // Joins its thread.
}
