use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use onceward_core::{
    AttemptId, Begin, BeginOutcome, Complete, Fingerprint, Get, GetOutcome, Identity, Millis,
    ResultRef, Timestamp,
};
use onceward_testkit::ManualClock;
use parking_lot::Mutex;

use crate::answer::Waitable;
use crate::config::StoreConfig;
use crate::storage::Storage;
use crate::store::Store;
use crate::ticket::BeginTicket;

#[test]
fn who_has_left_costs_nothing_afterwards_s10() {
    let store = Store::new(StoreConfig::default(), Arc::new(ManualClock::new(0)) as _).unwrap();
    let identity = Identity::new("orders", b"", b"k").unwrap();
    let engine = &store.inner.engine;
    let watched = || {
        let id = engine.storage.hashed(identity);
        let pin = engine.storage.pin();
        engine.storage.load(&pin, &id, None, Timestamp::ZERO).watched
    };
    let begin = |byte| Begin {
        wait: Millis::new(100),
        ..Begin::new(Fingerprint::None, AttemptId::from_bytes([byte; 16]))
    };
    store.begin(identity, &begin(1), |_| ()).unwrap();
    type End<'a> = (&'a str, &'a dyn Fn());
    let ends: &[End<'_>] = &[
        ("dropped", &|| ()),
        ("its wait ended", &|| {
            store.tick(Timestamp::from_millis(100), 10);
        }),
        ("the store closed", &|| store.close()),
    ];
    for (why, end) in ends {
        let waiting = store.begin_or_wait(identity, &begin(2), Waker::noop(), |_| ()).unwrap();
        assert!(matches!(waiting, Waitable::Waiting(_)));
        assert!(watched(), "{why}: changes take the waits' lock meanwhile");
        end();
        drop(waiting);
        assert!(!watched(), "{why}: they do so no longer");
    }
    let waits = &store.inner.waits;
    assert!(waits.due.is_empty() && waits.queues.is_empty());
}

/// A hang would say as much, but late.
const PATIENCE: Duration = Duration::from_secs(60);

fn store(clock: &Arc<ManualClock>) -> Store {
    Store::new(StoreConfig::default(), Arc::clone(clock) as _).unwrap()
}

fn id(key: &[u8]) -> Identity<'_> {
    Identity::new("orders", b"", key).unwrap()
}

fn ask(byte: u8) -> Begin {
    Begin {
        wait: Millis::new(1_000),
        lease: Millis::new(500),
        ..Begin::new(Fingerprint::None, AttemptId::from_bytes([byte; 16]))
    }
}

fn name(store: &Store, key: &[u8], request: &Begin) -> &'static str {
    store.begin(id(key), request, |outcome| outcome.name()).unwrap().value
}

fn line_up(store: &Store, key: &[u8], request: &Begin, waker: &Waker) -> BeginTicket {
    match store.begin_or_wait(id(key), request, waker, |outcome| outcome.name()) {
        Ok(Waitable::Waiting(ticket)) => ticket,
        other => panic!("not in line but {other:?}"),
    }
}

fn answer(ticket: &mut BeginTicket) -> &'static str {
    match ticket.poll(Waker::noop(), |outcome| outcome.name()) {
        Poll::Ready(answer) => answer.unwrap().value,
        Poll::Pending => "none",
    }
}

/// What readers of one key, and everybody on another one, do while somebody stands still.
fn others_go_on(store: &Store, clock: &ManualClock) {
    assert_eq!(name(store, b"paused", &ask(9)), "in_progress");
    let unbound = Begin { fingerprint: Fingerprint::Later, ..ask(9) };
    assert_eq!(name(store, b"paused", &unbound), "mismatch");
    let got = store.get(id(b"paused"), |outcome| matches!(outcome, GetOutcome::Reserved { .. }));
    assert!(got.unwrap().value);
    // Another key: a begin, a wait that ends, one that is answered, a complete.
    let owned = store.begin(id(b"other"), &ask(3), |outcome| match outcome {
        BeginOutcome::Acquired(acquired) => acquired.token,
        other => panic!("absent: {other:?}"),
    });
    let token = owned.unwrap().value;
    let brief = Begin { wait: Millis::new(100), ..ask(4) };
    let mut brief = line_up(store, b"other", &brief, Waker::noop());
    let mut patient = line_up(store, b"other", &ask(5), Waker::noop());
    let gone = line_up(store, b"other", &ask(6), Waker::noop());
    drop(gone);
    let next = store.tick(clock.advance(Millis::new(100)), 1_000);
    assert!(next.is_some_and(|next| next > clock.now()), "the tick does not spin");
    assert_eq!((answer(&mut brief), answer(&mut patient)), ("in_progress", "none"));
    let result = ResultRef::of(200, b"done");
    let request = Complete { token, result, fingerprint: None };
    store.complete(id(b"other"), &request).unwrap();
    assert_eq!(answer(&mut patient), "replay");
}

fn within_patience(act: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        act();
        // Nobody listens any more only if the test has failed.
        let _ = done.send(());
    });
    let ended = finished.recv_timeout(PATIENCE);
    assert_ne!(ended, Err(mpsc::RecvTimeoutError::Timeout), "somebody was held up");
    thread.join().unwrap();
}

#[test]
fn who_pauses_under_a_queues_lock_holds_up_no_reader_and_no_other_key_s10() {
    let clock = Arc::new(ManualClock::new(0));
    let store = store(&clock);
    assert_eq!(name(&store, b"paused", &ask(1)), "acquired");
    let brief = Begin { wait: Millis::new(50), ..ask(2) };
    let mut held_up = line_up(&store, b"paused", &brief, Waker::noop());
    let queue = Arc::clone(store.inner.waits.queues.front().unwrap().value());
    let line = queue.line.lock();
    let (there, then) = (store.clone(), Arc::clone(&clock));
    within_patience(move || others_go_on(&there, &then));
    assert_eq!(answer(&mut held_up), "none");
    let now = clock.now();
    assert_eq!(store.tick(now, 1_000), Some(now.after(Millis::new(1))), "it comes back soon");
    drop(line);
    store.tick(now, 1_000);
    assert_eq!(answer(&mut held_up), "in_progress", "its wait ended while the line was held");
}

/// A waker that runs a store's operations, as foreign code may.
struct Meddler {
    store: Store,
    clock: Arc<ManualClock>,
    /// In the same line; leaving it takes the lock of the queue.
    neighbour: Mutex<Option<BeginTicket>>,
    woken: AtomicUsize,
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, SeqCst);
        drop(self.neighbour.lock().take());
        assert_eq!(name(&self.store, b"meddled", &ask(8)), "replay", "its own key, too");
        name(&self.store, b"paused", &ask(1));
        others_go_on(&self.store, &self.clock);
    }
}

#[test]
fn a_waker_is_called_outside_every_lock_s10() {
    let clock = Arc::new(ManualClock::new(0));
    let store = store(&clock);
    let own = store.begin(id(b"meddled"), &ask(1), |outcome| match outcome {
        BeginOutcome::Acquired(acquired) => acquired.token,
        other => panic!("absent: {other:?}"),
    });
    let token = own.unwrap().value;
    let (woken, neighbour) = (AtomicUsize::new(0), Mutex::new(None));
    let meddler = Arc::new(Meddler { store: store.clone(), clock, neighbour, woken });
    let mut ticket = line_up(&store, b"meddled", &ask(2), &Arc::clone(&meddler).into());
    *meddler.neighbour.lock() = Some(line_up(&store, b"meddled", &ask(3), Waker::noop()));
    within_patience(move || {
        let result = ResultRef::of(200, b"done");
        store.complete(id(b"meddled"), &Complete { token, result, fingerprint: None }).unwrap();
    });
    assert_eq!((answer(&mut ticket), meddler.woken.load(SeqCst)), ("replay", 1));
}

#[test]
fn a_reader_does_not_go_past_those_who_wait_once_something_is_due_s10() {
    let clock = Arc::new(ManualClock::new(0));
    let store = store(&clock);
    assert_eq!(name(&store, b"k", &ask(1)), "acquired");
    let mut first = line_up(&store, b"k", &ask(2), Waker::noop());
    clock.advance(Millis::new(500));
    // No tick has come by: the read itself lets the first in line have its turn.
    let age = store.get(id(b"k"), |outcome| match outcome {
        GetOutcome::Reserved { attempt_number, .. } => attempt_number,
        other => panic!("reserved: {other:?}"),
    });
    assert_eq!((answer(&mut first), age.unwrap().value), ("acquired", 2));
}

#[test]
fn waiters_without_room_are_answered_at_once_and_all_room_comes_back_s10_s11() {
    let clock = Arc::new(ManualClock::new(0));
    let store =
        Store::new(StoreConfig::with_memory(crate::MEMORY_BYTES_MIN), Arc::clone(&clock) as _)
            .unwrap();
    assert_eq!(name(&store, b"k", &ask(1)), "acquired");
    let before = store.stats().memory_used_bytes;
    let mut tickets = Vec::new();
    loop {
        match store.begin_or_wait(id(b"k"), &ask(2), Waker::noop(), |outcome| outcome.name()) {
            Ok(Waitable::Waiting(ticket)) => tickets.push(ticket),
            Ok(Waitable::Answered(answer)) => {
                assert_eq!(answer.value, "in_progress");
                break;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(tickets.len() < 10_000, "1 MiB does not hold that many");
    }
    let get = Get { wait: Millis::new(1_000) };
    let got = store.get_or_wait(id(b"k"), &get, Waker::noop(), |outcome| outcome.name()).unwrap();
    assert!(matches!(got, Waitable::Answered(answer) if answer.value == "reserved"));
    assert!(tickets.len() > 1_000, "{} waiters in 1 MiB", tickets.len());
    // Some leave, the rest wait to their end; what is left is the entry's.
    tickets.truncate(1_000);
    store.tick(clock.advance(Millis::new(499)), usize::MAX);
    tickets.iter_mut().for_each(BeginTicket::end_wait);
    assert!(tickets.iter_mut().all(|ticket| answer(ticket) == "in_progress"));
    assert_eq!(store.stats().memory_used_bytes, before);
    assert_eq!(store.stats().waiters, 0);
}

#[test]
fn ten_thousand_waiters_on_one_key_are_all_answered_and_leave_nothing_s10() {
    let clock = Arc::new(ManualClock::new(0));
    let store = store(&clock);
    let own = store.begin(id(b"k"), &ask(1), |outcome| match outcome {
        BeginOutcome::Acquired(acquired) => acquired.token,
        other => panic!("absent: {other:?}"),
    });
    let token = own.unwrap().value;
    let before = store.stats().memory_used_bytes;
    let line = |_| line_up(&store, b"k", &ask(2), Waker::noop());
    let mut tickets: Vec<_> = (0..10_000).map(line).collect();
    assert!(store.stats().memory_used_bytes > before + 10_000 * 100, "they are charged");
    let result = ResultRef::of(200, b"done");
    store.complete(id(b"k"), &Complete { token, result, fingerprint: None }).unwrap();
    assert!(tickets.iter_mut().all(|ticket| answer(ticket) == "replay"));
    let stats = store.stats();
    assert_eq!((stats.waiters, stats.waits_answered), (0, 10_000));
    assert!(stats.memory_used_bytes < before, "the set-aside has shrunk to the result");
    let waits = &store.inner.waits;
    assert!(waits.due.is_empty() && waits.queues.is_empty());
}
