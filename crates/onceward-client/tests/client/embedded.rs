//! The client over a store in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use onceward::{BootClock, Store, StoreConfig};
use onceward_client::*;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, sleep};

fn key(name: &str) -> ScopedKeyBuf {
    ScopedKeyBuf::new("tenant-9", name).unwrap()
}

/// Waits until `ready`, in real time.
pub(crate) async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !ready().await {
        assert!(Instant::now() < deadline, "{what}: not within 10 s");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Callers of one key at once, each asking the store: one runs, all get its result.
pub(crate) async fn one_runs_and_all_get_its_result(client: &Client, callers: u32) {
    let runs = Arc::new(AtomicU32::new(0));
    let execution = client.execution().wait(Duration::from_secs(20)).coalesce(false);
    let calls: Vec<_> = (0..callers)
        .map(|caller| {
            let (execution, runs) = (execution.clone(), Arc::clone(&runs));
            tokio::spawn(async move {
                let work = async |_: Context| {
                    runs.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_millis(30)).await;
                    Ok::<_, ()>((201, caller.to_string()))
                };
                execution.execute(key("shared"), Fingerprint::of("same"), work).await.unwrap()
            })
        })
        .collect();
    let mut results = Vec::new();
    let mut replays = 0;
    for call in calls {
        let done = call.await.unwrap().into_done().expect("every caller gets the result");
        replays += u32::from(done.replayed);
        results.push(done.result);
    }
    assert_eq!(runs.load(Ordering::Relaxed), 1, "S2");
    assert_eq!(replays, callers - 1);
    assert!(results.iter().all(|result| *result == results[0]), "S5: one result for all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_executions_of_one_key_run_once_s2() {
    let client = Client::open("mem://orders").unwrap();
    one_runs_and_all_get_its_result(&client, 64).await;
    let stats = client.store_stats().await.unwrap();
    assert_eq!((stats.begin_acquired, stats.waiters), (1, 0));
}

#[tokio::test]
async fn a_silent_owner_is_taken_over_with_its_checkpoint_s8_s19() {
    let client = Client::open("mem://").unwrap();
    let scoped = key("silent");
    let mut begin = Begin::new(Fingerprint::None, attempt_id());
    begin.lease = Millis::new(150);
    begin.checkpoint_hint = 16;
    let begun = client.begin(&scoped, &begin).await.unwrap();
    let BeginOutcome::Acquired(silent) = begun else { panic!("{begun:?}") };
    let half = SaveCheckpoint { token: silent.token, ordinal: 1, bytes: b"half" };
    assert_eq!(client.checkpoint(&scoped, &half).await.unwrap().name(), "saved");

    let executed = client
        .execution()
        .wait(Duration::from_secs(10))
        .execute(&scoped, Fingerprint::None, async |run: Context| {
            assert_eq!(run.attempt_number(), 2);
            assert!(run.fence() > silent.token.fence, "S4");
            let left = run.checkpoint().expect("handed over");
            assert_eq!((left.ordinal, left.bytes.clone()), (1, Bytes::from_static(b"half")));
            Ok::<_, ()>("second")
        })
        .await
        .unwrap();
    assert_eq!(executed.name(), "ran");
    let late =
        Complete { token: silent.token, result: ResultRef::of(0, b"first"), fingerprint: None };
    let outcome = client.complete(&scoped, &late).await.unwrap();
    assert_eq!(outcome, CompleteOutcome::Fenced, "S4");
}

#[tokio::test]
async fn work_longer_than_its_lease_keeps_it_s6() {
    let client = Client::open("mem://").unwrap();
    let execution = client.execution().lease(Duration::from_millis(900));
    let (started, start) = oneshot::channel();
    let owner = tokio::spawn({
        let execution = execution.clone();
        async move {
            let work = async |_: Context| {
                started.send(()).unwrap();
                sleep(Duration::from_millis(2_000)).await;
                Ok::<_, ()>("slow")
            };
            execution.execute(key("slow"), Fingerprint::None, work).await
        }
    });
    start.await.unwrap();
    let rival = execution
        .coalesce(false)
        .wait(Duration::from_secs(10))
        .execute(key("slow"), Fingerprint::None, async |_: Context| Ok::<_, ()>("rival"))
        .await
        .unwrap();
    assert_eq!(rival.name(), "replayed", "the rival waited out more than two leases");
    assert_eq!(owner.await.unwrap().unwrap().name(), "ran");
}

#[tokio::test]
async fn a_dropped_wait_leaves_no_waiter_s10() {
    let client = Client::open("mem://").unwrap();
    a_dropped_wait_leaves_nothing(&client).await;
}

/// Begins and gets that wait are dropped; the store then knows of no waiter.
pub(crate) async fn a_dropped_wait_leaves_nothing(client: &Client) {
    let scoped = key("held");
    let begin = Begin::new(Fingerprint::None, attempt_id());
    let held = client.begin(&scoped, &begin).await.unwrap();
    assert_eq!(held.name(), "acquired");
    let wait = Millis::from_secs(50);
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let (client, scoped) = (client.clone(), scoped.clone());
            tokio::spawn(async move {
                let mut begin = Begin::new(Fingerprint::None, attempt_id());
                begin.wait = wait;
                let get = Get { wait };
                tokio::join!(client.begin(&scoped, &begin), client.get(&scoped, &get))
            })
        })
        .collect();
    until("all wait", async || client.store_stats().await.unwrap().waiters == 20).await;
    for task in waiting {
        task.abort();
    }
    until("none waits", async || client.store_stats().await.unwrap().waiters == 0).await;
}

#[tokio::test]
async fn an_execution_dropped_under_policy_in_doubt_is_in_doubt_at_once_s8() {
    let client = Client::open("mem://").unwrap();
    let execution = client.execution().policy(Policy::InDoubt).wait(Duration::from_secs(50));
    let (started, start) = oneshot::channel();
    let running = execution.execute(key("cut-off"), Fingerprint::None, async |_: Context| {
        started.send(()).unwrap();
        std::future::pending::<()>().await;
        Ok::<_, ()>(())
    });
    tokio::select! {
        answer = running => panic!("{answer:?}"),
        started = start => started.unwrap(),
    }
    let scoped = key("cut-off");
    until("in doubt", async || {
        let outcome = client.get(&scoped, &Get::default()).await.unwrap();
        outcome.name() == "in_doubt"
    })
    .await;
}

#[tokio::test]
async fn an_execution_dropped_in_its_wait_leaves_the_key_free_s10() {
    let client = Client::open("mem://").unwrap();
    let scoped = key("left");
    let begin = Begin::new(Fingerprint::None, attempt_id());
    let begun = client.begin(&scoped, &begin).await.unwrap();
    let BeginOutcome::Acquired(held) = begun else { panic!("{begun:?}") };
    let execution = client.execution().wait(Duration::from_secs(50));
    let waiting = execution.execute(
        scoped.clone(),
        Fingerprint::None,
        async |_: Context| -> Result<(), ()> { unreachable!("its caller has gone") },
    );
    tokio::select! {
        answer = waiting => panic!("{answer:?}"),
        () = until("it waits", async || client.store_stats().await.unwrap().waiters == 1) => {}
    }
    let abandon = Abandon { token: held.token, certainty: Certainty::NotDone };
    let outcome = client.abandon(&scoped, &abandon).await.unwrap();
    assert_eq!(outcome, AbandonOutcome::Abandoned);
    until("absent", async || {
        let outcome = client.get(&scoped, &Get::default()).await.unwrap();
        outcome == GetOutcome::Absent
    })
    .await;
    assert_eq!(client.store_stats().await.unwrap().waiters, 0);
}

#[tokio::test]
async fn a_closed_store_runs_nothing_s17() {
    let store = Store::new(StoreConfig::default(), Arc::new(BootClock::new())).unwrap();
    let client = Client::embedded(store.clone(), "orders").unwrap();
    store.close();
    let answer = client
        .execute(key("late"), Fingerprint::None, async |_: Context| -> Result<(), ()> {
            unreachable!("the work is not run")
        })
        .await;
    let Err(ExecuteError::NotRun(error)) = answer else { panic!("{answer:?}") };
    assert!(error.is_retryable());
    assert!(Client::embedded(store, "Orders").is_err(), "a namespace has its alphabet");
}

#[tokio::test]
async fn bad_input_is_named_and_not_retried_s20() {
    let client = Client::open("mem://").unwrap();
    let answer = client
        .execution()
        .lease(Duration::ZERO)
        .execute(key("zero"), Fingerprint::None, async |_: Context| Ok::<_, ()>(()))
        .await;
    let Err(ExecuteError::NotRun(ClientError::BadInput { field, .. })) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(field, "lease");
}

#[tokio::test]
async fn every_mem_url_is_a_store_of_its_own() {
    let (one, other) = (Client::open("mem://").unwrap(), Client::open("mem://").unwrap());
    let execute = async |client: &Client| {
        let work = async |_: Context| Ok::<_, ()>(());
        client.execute(key("same"), Fingerprint::None, work).await.unwrap().name()
    };
    assert_eq!(execute(&one).await, "ran");
    assert_eq!(execute(&one.clone()).await, "replayed", "a clone is the same store");
    assert_eq!(execute(&other).await, "ran");
    other.ping().await.unwrap();
}
