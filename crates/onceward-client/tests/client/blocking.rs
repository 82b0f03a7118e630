//! The blocking client: in threads, in closures, in runtimes where it must not be called.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use onceward::{BootClock, Store, StoreConfig};
use onceward_client::testing::{Operation, Outage, TestStore};
use onceward_client::{
    Begin, BeginOutcome, ExecuteError, Executed, Fingerprint, Forget, ForgetOutcome, Get, Json,
    ListQuery, Lost, OnFailure, Policy, Schema, ScopedKeyBuf, attempt_id, blocking,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

use crate::remote::serve;

const LEASE: Duration = Duration::from_secs(30);

fn key(name: &str) -> ScopedKeyBuf {
    ScopedKeyBuf::new("tenant-9", name).unwrap()
}

/// A server in this process, on a runtime of its own, as long as that lives.
fn server() -> (Runtime, String) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let store = Store::new(StoreConfig::default(), Arc::new(BootClock::new())).unwrap();
    let (address, _) = runtime.block_on(async { serve(store, "127.0.0.1:0".parse().unwrap()) });
    (runtime, format!("onceward://{address}/orders"))
}

fn over(store: &TestStore) -> blocking::Client {
    blocking::Client::over(store.client("orders")).unwrap()
}

/// 16 threads execute one key at once: one runs, all get its result.
fn threads_share_one_key(client: &blocking::Client, name: &str, coalesce: bool) {
    const THREADS: u32 = 16;
    let runs = AtomicU32::new(0);
    let execution = client.execution().wait(Duration::from_secs(20)).coalesce(coalesce);
    let results: Vec<_> = thread::scope(|scope| {
        let calls: Vec<_> = (0..THREADS)
            .map(|caller| {
                let (execution, runs) = (execution.clone(), &runs);
                scope.spawn(move || {
                    let executed = execution.execute(key(name), Fingerprint::None, |_| {
                        runs.fetch_add(1, Ordering::Relaxed);
                        Ok::<_, ()>((201, caller.to_string()))
                    });
                    executed.unwrap().into_done().expect("every caller gets the result").result
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(runs.load(Ordering::Relaxed), 1, "S2");
    assert!(results.iter().all(|result| *result == results[0]), "S5: one result for all");
}

/// Every operation once, by hand.
fn operations_answer(client: &blocking::Client) {
    client.ping().unwrap();
    let scoped = key("by-hand");
    let begin = Begin::new(Fingerprint::None, attempt_id());
    let begun = client.begin(&scoped, &begin).unwrap();
    let BeginOutcome::Acquired(acquired) = begun else { panic!("{begun:?}") };
    let token = acquired.token;
    let renew = onceward_client::Renew { token, lease: LEASE.into(), fingerprint: None };
    assert_eq!(client.renew(&scoped, &renew).unwrap().name(), "renewed");
    let save = onceward_client::SaveCheckpoint { token, ordinal: 1, bytes: b"half" };
    assert_eq!(client.checkpoint(&scoped, &save).unwrap().name(), "saved");
    let certainty = onceward_client::Certainty::InDoubt;
    let abandon = onceward_client::Abandon { token, certainty };
    assert_eq!(client.abandon(&scoped, &abandon).unwrap().name(), "abandoned");
    assert_eq!(client.get(&scoped, &Get::default()).unwrap().name(), "in_doubt");
    let result = onceward_client::ResultRef::of(201, b"found");
    let verdict = onceward_client::Verdict::Completed { result, fingerprint: None };
    let resolve = onceward_client::Resolve { fence: token.fence, doubt_number: 1, verdict };
    assert_eq!(client.resolve(&scoped, &resolve).unwrap().name(), "resolved");
    let complete = onceward_client::Complete { token, result, fingerprint: None };
    let completed = client.complete(&scoped, &complete).unwrap();
    assert_eq!(completed.name(), "already_completed");
    assert_eq!(client.list(&ListQuery::default()).unwrap().entries.len(), 3);
    let forget = Forget { fence: token.fence };
    assert_eq!(client.forget(&scoped, &forget).unwrap(), ForgetOutcome::Forgotten);
    assert_eq!(client.store_stats().unwrap().entries, 2);
    let items = ["one", "two"].map(|name| (key(name), Begin::new(Fingerprint::None, attempt_id())));
    let items = items.each_ref().map(|(key, begin)| (key.as_ref(), *begin));
    let begun = client.begin_many(&items).unwrap();
    let results = begun.iter().zip(&items).map(|(begun, (key, _))| {
        let Ok(BeginOutcome::Acquired(acquired)) = begun else { panic!("{begun:?}") };
        (*key, onceward_client::Complete { token: acquired.token, ..complete })
    });
    let completed = client.complete_many(&results.collect::<Vec<_>>()).unwrap();
    assert!(completed.iter().all(|each| each.as_ref().is_ok_and(|it| it.name() == "completed")));
    assert_eq!(client.namespace().as_str(), "orders");
    assert_eq!(client.derived_key(&scoped).len(), 64);
}

#[test]
fn threads_run_one_key_once_and_operations_answer_s2() {
    let (_runtime, remote) = server();
    for url in ["mem://orders", &remote] {
        let builder = blocking::Client::builder(url).request_timeout(Duration::from_secs(10));
        let client = builder.open_blocking().unwrap();
        threads_share_one_key(&client, "shared", true);
        let before = client.store_stats().unwrap().begin_replay;
        threads_share_one_key(&client, "apart", false);
        let replayed = client.store_stats().unwrap().begin_replay - before;
        assert_eq!(replayed, 15, "each thread asked the store itself");
        operations_answer(&client);
    }
}

/// The work blocks its thread; a thread of the client's own renews.
#[test]
fn a_lease_is_renewed_while_the_work_blocks_s6() {
    let store = TestStore::new();
    let client = over(&store);
    let execution = client.execution().lease(Duration::from_millis(150));
    let executed = execution.execute(key("slow"), Fingerprint::None, |run| {
        let renewed = || {
            store
                .calls()
                .of(Operation::Renew)
                .iter()
                .filter(|call| call.outcome() == Some("renewed"))
                .count()
        };
        let start = std::time::Instant::now();
        while renewed() < 4 {
            assert!(start.elapsed() < Duration::from_secs(10), "nobody renews");
            thread::yield_now();
        }
        run.lost().map_or(Ok("slow"), Err)
    });
    assert_eq!(executed.unwrap().name(), "ran");
}

#[test]
fn work_borrows_from_its_caller_and_its_error_stays_on_its_thread() {
    let client = blocking::Client::open("mem://orders").unwrap();
    let mut seen = Vec::new();
    let answer = client.execute(key("borrowed"), Fingerprint::None, |run| {
        seen.push(run.attempt_number());
        Err::<(), _>(Rc::new("not sendable"))
    });
    assert_eq!(answer, Err(ExecuteError::Work(Rc::new("not sendable"))));
    let again = client.execute(key("borrowed"), Fingerprint::None, |run| {
        assert!(run.is_owner() && run.lease_left() > Duration::ZERO);
        seen.push(run.attempt_number());
        Ok::<_, ()>("done")
    });
    assert_eq!(again.unwrap().name(), "ran", "an error gives the key back");
    assert_eq!(seen, [1, 1]);
}

#[test]
fn a_panic_of_the_work_gives_the_identity_up_and_goes_on() {
    let store = TestStore::new();
    let client = over(&store);
    let execute = |execution: blocking::Execution| {
        let executing = || {
            let work = |_: blocking::Context| -> Result<(), ()> { panic_any(7_u8) };
            execution.execute(key("panics"), Fingerprint::None, work)
        };
        let panic = catch_unwind(AssertUnwindSafe(executing)).expect_err("it goes on");
        assert_eq!(panic.downcast_ref(), Some(&7_u8), "as it was");
    };
    execute(client.execution());
    assert_eq!(store.calls().to_string(), "begin: acquired\nabandon: abandoned");
    execute(client.execution().policy(Policy::InDoubt));
    let answer = client.execute(key("panics"), Fingerprint::None, |_| Ok::<_, ()>(())).unwrap();
    assert_eq!(answer.name(), "in_doubt", "S8");
}

#[test]
fn a_successor_gets_the_checkpoint_of_an_owner_that_died_s19() {
    let store = TestStore::new();
    let execution = |client: &blocking::Client| {
        client.execution().checkpoint_hint(64).on_failure(OnFailure::Leave)
    };
    let dies = execution(&over(&store)).execute(key("takeover"), Fingerprint::None, |run| {
        assert_eq!(run.save_checkpoint(1, "charged"), Ok(1));
        Err::<(), _>(run)
    });
    let Err(ExecuteError::Work(dead)) = dies else { panic!("{dies:?}") };
    store.clock().blocking_advance(LEASE);
    let successor = over(&store);
    let executed = execution(&successor).execute(key("takeover"), Fingerprint::None, |run| {
        let left = run.checkpoint().expect("handed over");
        assert_eq!((run.attempt_number(), left.ordinal, &left.bytes[..]), (2, 1, &b"charged"[..]));
        assert!(run.fence() > dead.fence(), "S4");
        Ok::<_, ()>("ordered")
    });
    assert_eq!(executed.unwrap().name(), "ran");
    // The dead owner's client is gone, but its context is not: it still asks, and is told.
    dead.save_checkpoint(2, "late").expect_err("fenced");
    assert_eq!(dead.wait_until_lost(Duration::from_secs(10)), Some(Lost::Fenced));
    assert!(!dead.is_owner());
}

#[test]
fn work_waits_for_the_loss_of_its_identity_s4() {
    let store = TestStore::new();
    let client = over(&store);
    store.fail_until_healed(Operation::Renew, Outage::RequestLost);
    let execution = client.execution().lease(Duration::from_millis(150));
    let answer = execution.execute(key("lost"), Fingerprint::None, |run| {
        assert_eq!(run.wait_until_lost(Duration::ZERO), None);
        store.clock().blocking_advance(Duration::from_millis(150));
        let rival = Begin::new(Fingerprint::None, attempt_id());
        let begun = over(&store).begin(key("lost").as_ref(), &rival).unwrap();
        assert_eq!(begun.name(), "acquired");
        assert_eq!(run.wait_until_lost(Duration::from_secs(10)), Some(Lost::LeaseEnded));
        Ok::<_, ()>("late")
    });
    let Err(ExecuteError::LostOwnership { why, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(why, Lost::Fenced);
}

#[test]
fn an_outage_is_repeated_as_the_async_client_does_s3() {
    let store = TestStore::new();
    let client = over(&store);
    store.fail(Operation::Begin, Outage::ReplyLost);
    store.fail(Operation::Complete, Outage::ReplyLost);
    let executed = client.execute(key("repeated"), Fingerprint::None, |_| Ok::<_, ()>("once"));
    assert_eq!(executed.unwrap().name(), "ran");
    let want = "begin: acquired, reply lost\nbegin: acquired\ncomplete: completed, reply lost\ncomplete: already_completed";
    assert_eq!(store.calls().to_string(), want);
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Order {
    id: u64,
}

impl Schema for Order {
    const TAG: &'static str = "order/1";
}

#[test]
fn typed_work_gives_equal_values_to_all() {
    let client = blocking::Client::open("mem://orders").unwrap();
    let made = |_: blocking::Context| Ok::<_, ()>((201, Order { id: 7 }));
    let ran = client.execute_typed(key("typed"), Fingerprint::None, made).unwrap();
    let again = client.execution().codec(Json);
    let replayed = again.execute_typed(key("typed"), Fingerprint::None, made).unwrap();
    assert_eq!((ran.name(), replayed.name()), ("ran", "replayed"));
    for executed in [ran, replayed] {
        let done = executed.into_done().expect("the work is done");
        assert_eq!((done.value, done.done.result.status), (Order { id: 7 }, 201));
    }
}

#[test]
fn asynchronous_code_is_told_to_use_the_async_client() {
    let client = blocking::Client::open("mem://orders").unwrap();
    let calls = |client: &blocking::Client| {
        let ping = catch_unwind(AssertUnwindSafe(|| client.ping().map(drop)));
        let execute = catch_unwind(AssertUnwindSafe(|| {
            client.execute(key("async"), Fingerprint::None, |_| Ok::<_, ()>(())).map(drop)
        }));
        for panic in [ping.map(|_| ()).unwrap_err(), execute.map(|_| ()).unwrap_err()] {
            let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).expect("a text");
            assert!(text.contains("use onceward_client::Client"), "{text}");
        }
    };
    let one_thread = Builder::new_current_thread().enable_all().build().unwrap();
    let threads = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for runtime in [one_thread, threads] {
        runtime.block_on(async {
            calls(&client);
            let owned = client.clone();
            tokio::spawn(async move { calls(&owned) }).await.unwrap();
            // A thread that may block may call it.
            let owned = client.clone();
            let ping = tokio::task::spawn_blocking(move || owned.ping().map(drop));
            assert_eq!(ping.await.unwrap(), Ok(()));
        });
    }
    let stats = client.store_stats().unwrap();
    assert_eq!(stats.begin_acquired, 0, "nothing was asked");
}

#[test]
fn opening_and_dropping_need_no_thread_that_may_block() {
    let (_server, remote) = server();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for url in ["mem://orders", &remote] {
        let client = runtime.block_on(async { blocking::Client::open(url).unwrap() });
        let executed = client.execute(key("left"), Fingerprint::None, |_| Ok::<_, ()>("left"));
        assert_eq!(executed.unwrap().name(), "ran");
        runtime.block_on(async { drop(client) });
        runtime.block_on(async { drop(blocking::Client::open(url).unwrap()) });
    }
}

/// The last clone goes while another thread's work still holds its context.
#[test]
fn a_client_may_be_dropped_while_its_work_runs() {
    let client = blocking::Client::open("mem://orders").unwrap();
    let (started, start) = mpsc::channel();
    let (go_on, going_on) = mpsc::channel::<()>();
    let execution = client.execution();
    let owner = thread::spawn(move || {
        let work = |_: blocking::Context| {
            started.send(()).unwrap();
            going_on.recv().unwrap();
            Ok::<_, ()>("done")
        };
        execution.execute(key("dropped"), Fingerprint::None, work).map(|executed| executed.name())
    });
    start.recv().unwrap();
    drop(client);
    go_on.send(()).unwrap();
    assert_eq!(owner.join().unwrap(), Ok("ran"));
}

#[test]
fn work_may_execute_other_keys_and_drive_runtimes() {
    let client = blocking::Client::open("mem://orders").unwrap();
    let executed = client.execute(key("outer"), Fingerprint::None, |_| {
        let inner = client.execute(key("inner"), Fingerprint::None, |_| Ok::<_, ()>("inner"))?;
        // The store knows that this very work runs; nobody waits for itself.
        let own = client.execute(key("outer"), Fingerprint::None, |_| Ok::<_, ()>("own"))?;
        assert_eq!(own.name(), "in_progress");
        let runtime = Builder::new_current_thread().build().unwrap();
        let name = runtime.block_on(async { inner.name() });
        drop(runtime);
        Ok::<_, ExecuteError<()>>(name)
    });
    let Ok(Executed::Ran(done)) = executed else { panic!("{executed:?}") };
    assert_eq!(done.body().map(|body| &body[..]), Some(&b"ran"[..]));
}

#[test]
fn debug_shows_no_secret_s16() {
    let client = blocking::Client::open("mem://orders").unwrap();
    let executed = client.execute(key("secret"), Fingerprint::None, |run| {
        let shown = format!("{run:?} {client:?} {:?}", client.execution());
        assert!(!shown.contains("secret"), "{shown}");
        Ok::<_, ()>(())
    });
    assert_eq!(executed.unwrap().name(), "ran");
}

/// Steps that block, on the caller's thread; the second call replays.
#[test]
fn a_program_of_steps_runs_here() {
    let client = blocking::Client::open("mem://orders").unwrap();
    let here = thread::current().id();
    for replayed in [false, true] {
        let done =
            client.execution().execute_steps(key("steps"), Fingerprint::None, async |mut run| {
                let one = run.step("one", async |_| Ok(thread::current().id() == here)).await?;
                let two = run.step("two", async |step| Ok(step.derived_key().len())).await?;
                Ok(format!("{one} {two}"))
            });
        let done = done.unwrap().into_done().unwrap();
        assert_eq!(done.outcome.unwrap(), "true 64");
        assert_eq!(done.done.replayed, replayed);
    }
}

#[test]
fn a_call_within_the_work_follows_nobody() {
    let client = over(&TestStore::new());
    let outer = client.execute(key("nested"), Fingerprint::None, |_| {
        let same = client.execute(key("nested"), Fingerprint::None, |_| Ok::<_, ()>("unused"));
        assert_eq!(same.unwrap().name(), "in_progress", "its own owner runs");
        let other = client.execute(key("another"), Fingerprint::None, |_| Ok::<_, ()>("made"));
        assert_eq!(other.unwrap().name(), "ran");
        Ok::<_, ()>("made")
    });
    assert_eq!(outer.unwrap().name(), "ran");
}
