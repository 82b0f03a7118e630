//! A thousand calls of one key through one client, over a real store: one begin.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use onceward::Store;
use onceward_client::*;
use tokio::sync::Notify;

use crate::execute::key;
use crate::remote::Server;

const CALLERS: u32 = 1_000;

/// Every caller asks for its own payload, by number; the work lasts until all of them have asked.
async fn call_all(client: &Client, payload: impl Fn(u32) -> u32) -> (Vec<(u32, Executed)>, u32) {
    let runs = Arc::new(AtomicU32::new(0));
    let (asked, all_asked) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    let calls: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (execution, runs) = (client.execution(), Arc::clone(&runs));
            let (asked, all_asked) = (Arc::clone(&asked), Arc::clone(&all_asked));
            let payload = payload(caller);
            tokio::spawn(async move {
                let until_all_asked = Arc::clone(&all_asked);
                let work = async move |_: Context| {
                    runs.fetch_add(1, Ordering::Relaxed);
                    until_all_asked.notified().await;
                    Ok::<_, ()>((201, caller.to_string()))
                };
                let fingerprint = Fingerprint::of(payload.to_le_bytes());
                let mut call = pin!(execution.execute(key(), fingerprint, work));
                // The first poll takes the call to its place in the flight.
                let first = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
                if asked.fetch_add(1, Ordering::AcqRel) + 1 == CALLERS {
                    all_asked.notify_one(); // Kept if the work comes to wait later.
                }
                let executed = match first {
                    Poll::Ready(executed) => executed,
                    Poll::Pending => call.await,
                };
                (payload, executed.unwrap())
            })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    (answers, runs.load(Ordering::Relaxed))
}

fn begins(store: &Stats) -> u64 {
    store.begin_acquired
        + store.begin_repeated
        + store.begin_replay
        + store.begin_in_progress
        + store.begin_mismatch
}

/// Works over any client of a store that nobody else uses.
async fn a_thousand_calls_are_one_begin(client: &Client) {
    let (answers, runs) = call_all(client, |_| 0).await;
    let ran = answers.iter().filter(|(_, executed)| executed.name() == "ran").count();
    assert_eq!((ran, runs), (1, 1), "one execution");
    let done: Vec<_> =
        answers.into_iter().map(|(_, executed)| executed.into_done().unwrap()).collect();
    assert!(done.iter().all(|one| one.result == done[0].result), "equal answers");
    assert!(done.iter().all(|one| one.not_kept.is_none() && one.attempt_number == 1));
    let stats = client.store_stats().await.unwrap();
    assert_eq!((begins(&stats), stats.begin_acquired), (1, 1), "one begin on the wire");
}

async fn another_payload_is_a_mismatch(client: &Client) {
    let (answers, runs) = call_all(client, |caller| caller % 2).await;
    let (owner, _) = answers.iter().find(|(_, executed)| executed.name() == "ran").unwrap();
    for (payload, executed) in &answers {
        if payload == owner {
            assert!(executed.done().is_some(), "{executed:?}");
        } else {
            assert_eq!(*executed, Executed::Mismatch, "S1: while the first call runs, too");
        }
    }
    let stats = client.store_stats().await.unwrap();
    assert_eq!((begins(&stats), runs), (1, 1), "the leader's acquisition proves the mismatch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_are_one_begin_embedded() {
    a_thousand_calls_are_one_begin(&Client::open("mem://orders").unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_are_one_begin_over_tcp() {
    a_thousand_calls_are_one_begin(&Server::start().client()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_payload_is_a_mismatch_embedded_s1() {
    another_payload_is_a_mismatch(&Client::open("mem://orders").unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_payload_is_a_mismatch_over_tcp_s1() {
    another_payload_is_a_mismatch(&Server::start().client()).await;
}

#[tokio::test]
async fn two_clients_two_keys_and_two_namespaces_share_nothing() {
    let store = Store::new(Default::default(), Arc::new(onceward::BootClock::new())).unwrap();
    let open = |namespace| Client::embedded(store.clone(), namespace).unwrap();
    let (one, same_namespace, other) = (open("orders"), open("orders"), open("other"));
    let finish = Arc::new(Notify::new());
    let execute = |client: &Client, name: &str| {
        let (execution, finish) = (client.execution(), Arc::clone(&finish));
        let key = ScopedKeyBuf::new("", name).unwrap();
        tokio::spawn(async move {
            let work = async |_: Context| {
                finish.notified().await;
                Ok::<_, ()>("made")
            };
            execution.execute(key, Fingerprint::None, work).await.unwrap()
        })
    };
    let running = [execute(&one, "a"), execute(&one, "b"), execute(&other, "a")];
    crate::embedded::until("all run", async || store.stats().begin_acquired == 3).await;
    let elsewhere = execute(&same_namespace, "a").await.unwrap();
    assert_eq!(elsewhere.name(), "in_progress", "another client asks the store");
    finish.notify_waiters();
    for running in running {
        assert_eq!(running.await.unwrap().name(), "ran");
    }
}
