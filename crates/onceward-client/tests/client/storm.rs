//! Concurrent calls over TCP in random order: callers that err, panic, are dropped, wait for other
//! lengths, and come before, during and after the work.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use onceward_client::*;
use onceward_testkit::{SplitMix64, seeds};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Duration, sleep, timeout};

use crate::remote::Server;

/// A storm of this many seeds takes a few seconds.
const SEEDS: u64 = 24;

/// Longer than any storm; shorter than the lease, so that none lapses.
const PATIENCE: Duration = Duration::from_secs(25);

async fn yields(dice: &mut SplitMix64, most: u64) {
    for _ in 0..dice.within(0..most) {
        yield_now().await;
    }
}

/// Counts callers that have started their call.
#[derive(Default)]
struct Gate {
    started: AtomicU32,
    all: Notify,
}

/// As many callers at once, each with the payload that `payload` gives it. The work ends once all
/// have called.
async fn call_at_once(
    client: &Client,
    key: &ScopedKeyBuf,
    seed: u64,
    callers: u32,
    payload: impl Fn(u32) -> u32,
) -> (Vec<(u32, Executed)>, u32) {
    let (gate, runs) = (Arc::new(Gate::default()), Arc::new(AtomicU32::new(0)));
    let calls: Vec<JoinHandle<_>> = (0..callers)
        .map(|caller| {
            let (gate, runs) = (Arc::clone(&gate), Arc::clone(&runs));
            let (execution, key, payload) = (client.execution(), key.clone(), payload(caller));
            let mut dice = SplitMix64::new(seed ^ u64::from(caller) << 32);
            tokio::spawn(async move {
                yields(&mut dice, 8).await;
                let all = Arc::clone(&gate);
                let work = async |_: Context| {
                    runs.fetch_add(1, Ordering::Relaxed);
                    loop {
                        let notified = all.all.notified();
                        if all.started.load(Ordering::SeqCst) == callers {
                            return Ok::<_, ()>((201, caller.to_string()));
                        }
                        notified.await;
                    }
                };
                let call = execution.execute(key, Fingerprint::of(payload.to_le_bytes()), work);
                let mut call = Box::pin(call);
                // The first poll enters the flight.
                let early = (&mut call).now_or_never();
                if gate.started.fetch_add(1, Ordering::SeqCst) + 1 == callers {
                    gate.all.notify_waiters();
                }
                let executed = match early {
                    Some(early) => early,
                    None => call.await,
                };
                (payload, executed.unwrap())
            })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(timeout(PATIENCE, call).await.expect("a caller hangs").unwrap());
    }
    (answers, runs.load(Ordering::Relaxed))
}

fn begins(stats: &Stats) -> u64 {
    stats.begin_acquired
        + stats.begin_repeated
        + stats.begin_replay
        + stats.begin_in_progress
        + stats.begin_mismatch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_are_one_begin_in_any_order() {
    let server = Server::start();
    let client = server.client();
    for seed in seeds(SEEDS) {
        for payloads in [1, 2] {
            let key = ScopedKeyBuf::new("", format!("{seed} {payloads}")).unwrap();
            let before = begins(&server.store.stats());
            let dice = Mutex::new(SplitMix64::new(seed));
            let payload = |_| dice.lock().unwrap().within(0..payloads) as u32;
            let (answers, runs) = call_at_once(&client, &key, seed, 1_000, payload).await;
            let why =
                format!("seed {seed} (replay with ONCEWARD_SEED={seed}), {payloads} payloads");
            assert_eq!((begins(&server.store.stats()) - before, runs), (1, 1), "{why}");
            let ran: Vec<_> = answers.iter().filter(|answer| answer.1.name() == "ran").collect();
            let [(owner, Executed::Ran(ran))] = ran[..] else { panic!("{why}: {}", ran.len()) };
            for (payload, answer) in &answers {
                match answer.done() {
                    Some(done) => {
                        assert_eq!((payload, &done.result), (owner, &ran.result), "{why}")
                    }
                    None => assert_ne!(payload, owner, "{why}: {answer:?}"),
                }
                assert!(
                    answer.done().is_some() || *answer == Executed::Mismatch,
                    "{why}: {answer:?}"
                );
            }
        }
    }
}

/// What the works of one key did.
#[derive(Default)]
struct Ledger {
    running: AtomicI64,
    /// Payload and body of what was stored.
    stored: Mutex<Vec<(u64, String)>>,
}

/// How a call's work ends, if it runs.
#[derive(Clone, Copy)]
enum End {
    Done,
    Errs,
    Panics,
    Hangs,
}

struct Runs(Arc<Ledger>);

impl Runs {
    fn start(ledger: &Arc<Ledger>) -> Self {
        assert_eq!(ledger.running.fetch_add(1, Ordering::SeqCst), 0, "S2: two owners");
        Self(Arc::clone(ledger))
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One storm over two keys; gives how many answers there were of each kind.
async fn storm(client: &Client, seed: u64) -> HashMap<&'static str, u32> {
    let mut dice = SplitMix64::new(seed);
    let ledgers: [Arc<Ledger>; 2] = Default::default();
    let mut calls = Vec::new();
    for caller in 0..60 {
        let which = dice.within(0..2) as usize;
        let key = ScopedKeyBuf::new("", format!("{seed}-{which}")).unwrap();
        let (ledger, payload) = (Arc::clone(&ledgers[which]), dice.within(0..10) / 9);
        let end = *dice.pick(&[End::Done, End::Errs, End::Panics, End::Hangs]).unwrap();
        let wait = *dice.pick(&[0, 0, 5, 20_000]).unwrap();
        let execution = client
            .execution()
            .on_drop(OnFailure::Release)
            .wait(Millis::new(wait))
            .coalesce(dice.within(0..8) > 0);
        let mut own = SplitMix64::new(dice.next_u64());
        let aborts = matches!(end, End::Hangs) || dice.within(0..8) == 0;
        let call = tokio::spawn(async move {
            yields(&mut own, 40).await;
            let work = async |_: Context| {
                let runs = Runs::start(&ledger);
                yields(&mut own, 10).await;
                if own.within(0..4) == 0 {
                    sleep(Duration::from_millis(own.within(0..3))).await;
                }
                let ended = match end {
                    End::Done => Ok((201, format!("{payload} {caller}"))),
                    End::Errs => Err("scripted error"),
                    End::Panics => panic!("scripted panic"),
                    End::Hangs => std::future::pending().await,
                };
                drop(runs);
                ended
            };
            let executed = execution.execute(key, Fingerprint::of([payload as u8]), work).await;
            if let Ok(Executed::Ran(done)) = &executed {
                let body = String::from_utf8(done.body().unwrap().to_vec()).unwrap();
                ledger.stored.lock().unwrap().push((payload, body));
            }
            (which, payload, executed)
        });
        calls.push((call, aborts.then(|| dice.within(0..30))));
    }
    for (call, after) in &calls {
        if let Some(after) = *after {
            let call = call.abort_handle();
            tokio::spawn(async move {
                sleep(Duration::from_millis(after)).await;
                call.abort();
            });
        }
    }
    let (mut kinds, mut answers) = (HashMap::new(), Vec::new());
    for (call, _) in calls {
        match timeout(PATIENCE, call).await.expect("a caller hangs") {
            Ok(answer) => answers.push(answer),
            Err(error) if error.is_panic() => {
                let panic = error.into_panic();
                assert_eq!(panic.downcast_ref(), Some(&"scripted panic"));
            }
            Err(_) => *kinds.entry("dropped").or_default() += 1,
        }
    }
    for (which, payload, answer) in answers {
        let stored = ledgers[which].stored.lock().unwrap();
        assert!(stored.len() <= 1, "S5: {} results of one key", stored.len());
        let kind = match &answer {
            Ok(executed) => executed.name(),
            Err(ExecuteError::Work(_)) => "erred",
            Err(error) => panic!("{error}"),
        };
        *kinds.entry(kind).or_default() += 1;
        match answer {
            Ok(Executed::Ran(done) | Executed::Replayed(done)) => {
                let body = String::from_utf8(done.body().unwrap().to_vec()).unwrap();
                assert!(body.starts_with(&payload.to_string()), "of another payload");
                // One dropped after its work ran is stored in the background.
                assert!(stored.first().is_none_or(|first| first.1 == body), "S5: two results");
            }
            Ok(Executed::Mismatch | Executed::InProgress { .. }) | Err(ExecuteError::Work(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    // Whatever happened, the keys are usable: no flight is left that nobody leads.
    for which in 0..2 {
        let key = ScopedKeyBuf::new("", format!("{seed}-{which}")).unwrap();
        let execution = client.execution().wait(Millis::new(20_000));
        let last = execution
            .execute(key, Fingerprint::of([0]), async |_: Context| Ok::<_, ()>((201, "0 last")));
        let last = timeout(PATIENCE, last).await.expect("the last caller hangs").unwrap();
        assert!(["ran", "replayed", "mismatch"].contains(&last.name()), "{last:?}");
    }
    kinds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storms_leave_one_result_and_nobody_waiting() {
    let server = Server::start();
    let client = server.client();
    let all_seeds = seeds(200);
    let many = all_seeds.end - all_seeds.start > 1;
    let mut kinds: HashMap<_, u32> = HashMap::new();
    for seed in all_seeds {
        let client = client.clone();
        let storm = tokio::spawn(async move { storm(&client, seed).await });
        let ended = storm.await.unwrap_or_else(|error| {
            panic!("seed {seed} (replay with ONCEWARD_SEED={seed}): {error}")
        });
        for (kind, count) in ended {
            *kinds.entry(kind).or_default() += count;
        }
    }
    for kind in ["ran", "replayed", "mismatch", "in_progress", "erred", "dropped"] {
        assert!(!many || kinds.get(kind) > Some(&50), "too few {kind}: {kinds:?}");
    }
}
