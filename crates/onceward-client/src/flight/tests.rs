//! The table of flights under random interleavings: a scheduler of the test's own polls one caller
//! at a time, drops some, and ends some with every kind of answer.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Wake, Waker};

use onceward_core::{Digest, StoredResult};
use onceward_testkit::{SplitMix64, seeds};

use super::*;

/// Whether a caller may go on.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Of an owner whose lease ends then.
fn held_until(until: Instant) -> Ownership {
    Ownership::granted(until, Millis::ZERO)
}

/// Lets the scheduler choose anew.
async fn step() {
    let mut polled = false;
    poll_fn(|context| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What is known of the leaders of each identity and payload, to judge answers by.
#[derive(Default)]
struct Book {
    /// Leaders at this moment, by (key, payload): never two of one key.
    leads: Vec<(u8, u8)>,
    /// Answers published: key, payload, number of the answer, step.
    published: Vec<(u8, u8, u16, u64)>,
    /// Owners at this moment, and until which step former ones were.
    runs: Vec<(u8, u8)>,
    ran: Vec<(u8, u8, u64)>,
    now: u64,
    begins: u64,
    coalesced: u64,
    mismatches: u64,
}

type Shared = Arc<Mutex<Book>>;

fn note<T>(book: &Shared, change: impl FnOnce(&mut Book) -> T) -> T {
    change(&mut book.lock().unwrap_or_else(PoisonError::into_inner))
}

fn key(key: u8) -> ScopedKeyBuf {
    ScopedKeyBuf::new("", [key]).unwrap()
}

fn payload(payload: u8) -> Fingerprint {
    Fingerprint::Digest(Digest::new(&[payload; 16]).unwrap())
}

const TERMS: Terms = Terms {
    lease: Millis::new(1_000),
    retention: Millis::new(2_000),
    policy: Policy::Takeover,
    result_hint: None,
    checkpoint_hint: 0,
};

fn done(number: u16) -> Done {
    Done {
        result: StoredResult { status: number, ..crate::ExecutionResult::new(0, "").into() },
        not_kept: None,
        replayed: false,
        attempt_number: 1,
        age: Millis::ZERO,
        retention_left: Millis::new(2_000),
    }
}

/// Counts a leader in and, however it ends, out.
struct Leads<'a>(&'a Shared, (u8, u8));

impl<'a> Leads<'a> {
    fn start(book: &'a Shared, who: (u8, u8)) -> Self {
        note(book, |book| {
            assert!(book.leads.iter().all(|lead| lead.0 != who.0), "two lead key {}", who.0);
            book.leads.push(who);
            book.begins += 1;
        });
        Self(book, who)
    }
}

impl Drop for Leads<'_> {
    fn drop(&mut self) {
        note(self.0, |book| book.leads.retain(|lead| *lead != self.1));
    }
}

/// One call, to its end. `fate` decides what becomes of it where it leads.
async fn call(
    flights: Arc<Flights>,
    book: Shared,
    who: (u8, u8),
    number: u16,
    mut fate: SplitMix64,
) {
    let came = note(&book, |book| book.now);
    let place = flights.place(&key(who.0), payload(who.1), TERMS, Millis::ZERO).await;
    let lead = match place {
        Place::Alone(_) => return,
        Place::Answered(Ok(Executed::Mismatch)) => {
            return note(&book, |book| {
                book.mismatches += 1;
                let another = |key, payload| key == who.0 && payload != who.1;
                let proved = book.runs.iter().any(|(key, payload)| another(*key, *payload))
                    || book
                        .ran
                        .iter()
                        .any(|(key, payload, at)| another(*key, *payload) && *at >= came);
                assert!(proved, "a mismatch that nothing proves");
            });
        }
        Place::Answered(answer) => {
            let got = answer.expect("no errors here").into_done().expect("results only");
            return note(&book, |book| {
                book.coalesced += 1;
                let known = book.published.iter().any(|(key, payload, answer, at)| {
                    (*key, *payload, *answer) == (who.0, who.1, got.result.status) && *at >= came
                });
                assert!(known, "an answer of another payload, or from before the call");
            });
        }
        Place::Lead(lead, _) => lead,
    };
    let leads = Leads::start(&book, who);
    for _ in 0..fate.within(0..4) {
        step().await;
    }
    if fate.within(0..8) == 0 {
        drop(leads);
        return; // The begin came to nothing, and its caller was dropped.
    }
    let publish = || {
        note(&book, |book| {
            book.published.push((who.0, who.1, number, book.now));
            book.ran.push((who.0, who.1, book.now));
        });
    };
    let expires_at = Instant::now() + Duration::from_secs(3_600);
    if fate.within(0..8) == 0 {
        publish();
        drop(leads);
        return lead.answered(Ok(&Executed::Replayed(done(number)))); // It was done before.
    }
    let ownership = watch::Sender::new(held_until(expires_at));
    lead.runs(ownership.subscribe());
    let runs = Runs::start(&book, who);
    for _ in 0..fate.within(0..8) {
        step().await;
    }
    match fate.within(0..4) {
        0 => {} // Its work errs.
        1 => {
            drop((leads, runs)); // It loses ownership: another may lead while it goes on.
            ownership.send_replace(held_until(Instant::now()));
            lead.hand_over();
            step().await;
            lead.ran(&done(u16::MAX), expires_at); // Is nobody's answer.
        }
        _ => {
            publish();
            drop((leads, runs));
            lead.ran(&done(number), expires_at);
        }
    }
}

/// An owner while its work runs.
struct Runs<'a>(&'a Shared, (u8, u8));

impl<'a> Runs<'a> {
    fn start(book: &'a Shared, who: (u8, u8)) -> Self {
        note(book, |book| book.runs.push(who));
        Self(book, who)
    }
}

impl Drop for Runs<'_> {
    fn drop(&mut self) {
        note(self.0, |book| {
            book.runs.retain(|runs| *runs != self.1);
            book.ran.push((self.1.0, self.1.1, book.now));
        });
    }
}

type Caller = Pin<Box<dyn Future<Output = ()>>>;

/// Runs one history; returns what it came to.
fn history(seed: u64) -> Shared {
    let (flights, book) = (Arc::new(Flights::default()), Shared::default());
    let mut dice = SplitMix64::new(seed);
    let mut callers: Vec<(Caller, Arc<Woken>)> = Vec::new();
    let mut to_come = 40;
    let mut number = 0;
    while to_come > 0 || !callers.is_empty() {
        note(&book, |book| book.now += 1);
        if to_come > 0 && (callers.is_empty() || dice.within(0..3) == 0) {
            to_come -= 1;
            number += 1;
            let who = (dice.within(0..2) as u8, u8::from(dice.within(0..4) == 0));
            let fate = SplitMix64::new(dice.next_u64());
            let caller = call(Arc::clone(&flights), Arc::clone(&book), who, number, fate);
            callers.push((Box::pin(caller), Arc::new(Woken(AtomicBool::new(true)))));
            continue;
        }
        let ready: Vec<_> = (0..callers.len())
            .filter(|index| callers[*index].1.0.load(Ordering::Relaxed))
            .collect();
        if dice.within(0..20) == 0 {
            let dropped = dice.within(0..callers.len() as u64) as usize;
            drop(callers.swap_remove(dropped));
            continue;
        }
        assert!(!ready.is_empty() || to_come > 0, "{} callers wait for nobody", callers.len());
        let Some(chosen) = dice.pick(&ready) else {
            continue;
        };
        let (caller, woken) = &mut callers[*chosen];
        woken.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(woken));
        if caller.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            drop(callers.swap_remove(*chosen));
        }
    }
    assert!(flights.is_empty(), "nobody calls, yet a flight is left");
    book
}

#[test]
fn random_interleavings_keep_every_promise() {
    // Timers need a runtime; nothing drives it, so none is ever due.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _within = runtime.enter();
    let seeds = seeds(5_000);
    let all_seeds = seeds.end - seeds.start > 1;
    let (mut begins, mut coalesced, mut mismatches) = (0, 0, 0);
    for seed in seeds {
        let ended = std::panic::catch_unwind(|| history(seed));
        let book =
            ended.unwrap_or_else(|_| panic!("seed {seed} (replay with ONCEWARD_SEED={seed})"));
        note(&book, |book| {
            begins += book.begins;
            coalesced += book.coalesced;
            mismatches += book.mismatches;
        });
    }
    if all_seeds {
        let all = [begins, coalesced, mismatches];
        assert!(all.iter().all(|count| *count > 1_000), "{all:?}: too few of one kind");
    }
}

/// What a follower is told `later_ms` after the leader got its answer.
fn told(got: Executed, left_ms: u64, later_ms: u64) -> Option<Executed> {
    let at = Instant::now();
    let expires_at = at + Duration::from_millis(left_ms);
    let answer = Answer { got: Ok(got), at, expires_at, terms: TERMS };
    let shared = answer.shared(TERMS, at, at + Duration::from_millis(later_ms));
    shared.map(|got| got.expect("no error was shared"))
}

#[test]
fn an_answer_is_true_of_the_moment_it_is_told_s7() {
    let ms = Millis::new;
    let replayed =
        |age, left| Executed::Replayed(Done { age: ms(age), retention_left: ms(left), ..done(1) });
    let in_progress = |retry_after, age| Executed::InProgress {
        retry_after: ms(retry_after),
        age: ms(age),
        attempt_number: 2,
    };
    let refused = |after| Executed::Refused {
        reason: onceward_core::Refusal::Quota,
        retry_after: Some(ms(after)),
    };
    let cases = [
        (replayed(5, 2_000), Some(replayed(1_505, 500))),
        (in_progress(2_000, 5), Some(in_progress(500, 1_505))),
        (in_progress(1_000, 5), Some(in_progress(0, 1_505))),
        (refused(2_000), Some(refused(500))),
        (Executed::InDoubt { since: ms(5) }, Some(Executed::InDoubt { since: ms(1_505) })),
        (Executed::Expired { since: ms(5) }, Some(Executed::Expired { since: ms(1_505) })),
        (Executed::Mismatch, Some(Executed::Mismatch)),
    ];
    for (got, want) in cases {
        assert_eq!(told(got, 2_000, 1_500), want);
    }
    let told = |later_ms| told(replayed(0, 2_000), 2_000, later_ms);
    assert_eq!(told(1_999), Some(replayed(1_999, 1)));
    assert_eq!(told(2_000), None, "from its end on the identity is absent");
}

/// Where another payload finds itself beside a leader in `stage`.
fn beside(lead: impl FnOnce(&Lead)) -> Place {
    let flights = Arc::new(Flights::default());
    let place = |payload_byte| {
        let (flights, key, payload) = (Arc::clone(&flights), key(0), payload(payload_byte));
        let mut placing =
            Box::pin(async move { flights.place(&key, payload, TERMS, Millis::ZERO).await });
        match placing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => place,
            Poll::Pending => panic!("it waits"),
        }
    };
    let Place::Lead(leader, _) = place(0) else { panic!("the first leads") };
    lead(&leader);
    place(1)
}

#[test]
fn only_a_lease_that_runs_proves_what_the_identity_is_bound_to_s6() {
    let runs = |from_now_ms: i64| {
        beside(|lead| {
            let now = Instant::now();
            let length = Duration::from_millis(from_now_ms.unsigned_abs());
            let until = if from_now_ms < 0 { now - length } else { now + length };
            lead.runs(watch::Sender::new(held_until(until)).subscribe());
        })
    };
    assert!(matches!(runs(10_000), Place::Answered(Ok(Executed::Mismatch))));
    assert!(matches!(runs(-1), Place::Alone(_)), "it ended, though nobody has noticed yet");
    assert!(matches!(beside(Lead::hand_over), Place::Lead(..)), "nobody is left: a flight anew");
}
