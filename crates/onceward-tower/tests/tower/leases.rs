//! The lease while a handler runs: kept, lost, taken over (H6, S4, S8), in paused time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use onceward_client::testing::{Call, Operation, Outage, TestStore};
use onceward_client::{Key, attempt_id};
use onceward_core::{
    BeginOutcome, Complete, Forget, Get, GetOutcome, Millis, Policy, Resolve, ResultRef, Verdict,
};
use onceward_tower::{Ambiguous, Context, IdempotencyLayer, Lost, Outcome};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::call::{Guarded, Handling, Runs, answer, call, guard, handler, post, read, send};

const LEASE: Duration = Duration::from_secs(30);

/// A handler that works until it is let go, and leaves its context where the test sees it.
struct Works {
    service: Guarded,
    layer: IdempotencyLayer<onceward_client::Client>,
    runs: Runs,
    contexts: Arc<Mutex<Vec<Context>>>,
    go: Arc<Semaphore>,
}

fn works(store: &TestStore, at_lease_end: Policy) -> Works {
    let client = store.client_with("orders", |options| options.retries_max(0));
    let layer = IdempotencyLayer::new(client)
        .global()
        .with_policy(|policy| policy.with_begin_policy(at_lease_end));
    let (runs, go) = (Runs::default(), Arc::new(Semaphore::new(0)));
    let contexts = Arc::new(Mutex::new(Vec::new()));
    let work = {
        let (runs, contexts, go) = (runs.clone(), Arc::clone(&contexts), Arc::clone(&go));
        handler(move |request: Handling| {
            let (run, go) = (runs.add(), Arc::clone(&go));
            let context = request.extensions().get::<Context>().expect("guarded").clone();
            contexts.lock().unwrap().push(context);
            async move {
                go.acquire().await.expect("never closed").forget();
                Ok(answer(201, format!("run {run}")))
            }
        })
    };
    Works { service: guard(&layer, work), layer, runs, contexts, go }
}

impl Works {
    fn context(&self, run: usize) -> Context {
        self.contexts.lock().unwrap()[run - 1].clone()
    }

    async fn until_runs(&self, runs: usize) {
        while self.runs.count() < runs {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_lives_keeps_its_lease() {
    let store = TestStore::new();
    let works = works(&store, Policy::Takeover);
    let first = tokio::spawn(call(&works.service, post("k", "1")));
    works.until_runs(1).await;
    store.clock().advance(10 * LEASE).await;
    assert!(works.context(1).is_owner());
    let rival = send(&works.service, post("k", "1")).await;
    assert_eq!(rival.shown(), (409, "in-progress".to_owned()));
    works.go.add_permits(1);
    let reply = read(first.await.unwrap().unwrap()).await;
    assert_eq!((reply.status, reply.outcome), (201, Some(Outcome::Fresh)));
    assert_eq!(store.calls().count(Operation::Renew), 30, "at a third of each lease");
    store.clock().advance(10 * LEASE).await;
    assert_eq!(store.calls().count(Operation::Renew), 30, "nothing renews what has ended");
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_is_signalled_and_its_answer_is_in_doubt_h6() {
    let store = TestStore::new();
    let works = works(&store, Policy::Takeover);
    let first = tokio::spawn(call(&works.service, post("k", "1")));
    works.until_runs(1).await;
    let context = works.context(1);
    let signalled = {
        let context = context.clone();
        tokio::spawn(async move { context.lost_ownership().await })
    };
    store.fail_until_healed(Operation::Renew, Outage::Unavailable);
    store.clock().advance(LEASE).await;
    assert_eq!(signalled.await.unwrap(), Lost::LeaseEnded);
    assert!(!context.is_owner());

    // A retry takes over, with a larger fence.
    let second = tokio::spawn(call(&works.service, post("k", "1")));
    works.until_runs(2).await;
    let newcomer = works.context(2);
    assert_eq!((newcomer.attempt_number(), context.attempt_number()), (2, 1));
    assert!(newcomer.fence() > context.fence(), "S4");
    store.heal();
    store.clock().advance(LEASE / 2).await;
    assert_eq!(context.lost(), Some(Lost::Fenced), "the store's word outweighs our own count");

    works.go.add_permits(2);
    let first = read(first.await.unwrap().unwrap()).await;
    assert_eq!(first.shown(), (409, "in-doubt".to_owned()), "never the handler's bytes");
    let second = read(second.await.unwrap().unwrap()).await;
    assert_eq!(second.shown(), (201, "run 2".to_owned()));
    assert_eq!(works.layer.stats().lost_ownership, 1);
    assert_eq!(send(&works.service, post("k", "1")).await.shown(), (201, "run 2".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_lapsed_owner_is_heard_while_nobody_has_taken_over_s8() {
    let store = TestStore::new();
    let works = works(&store, Policy::InDoubt);
    let first = tokio::spawn(call(&works.service, post("k", "1")));
    works.until_runs(1).await;
    store.fail_until_healed(Operation::Renew, Outage::Unavailable);
    store.clock().advance(2 * LEASE).await;
    let rival = send(&works.service, post("k", "1")).await;
    assert_eq!(rival.shown(), (409, "in-doubt".to_owned()), "nobody runs again");
    works.go.add_permits(1);
    let reply = read(first.await.unwrap().unwrap()).await;
    assert_eq!((reply.shown().1, reply.outcome), ("run 1".to_owned(), Some(Outcome::Fresh)));
    store.heal();
    assert_eq!(send(&works.service, post("k", "1")).await.outcome, Some(Outcome::Replayed));
    assert_eq!(works.runs.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_owns_out_of_a_wait_renews_before_the_start_s10() {
    let store = TestStore::new();
    let client = store.client("orders");
    let layer = IdempotencyLayer::new(client.clone())
        .global()
        .with_policy(|policy| policy.with_wait(Millis::from_secs(60)));
    // An owner that died after its begin.
    let (parts, _) = post("k", "").into_parts();
    let fingerprint = layer.policy().fingerprint().of(&parts, b"1").unwrap();
    let key = Key::new("k").unwrap().in_scope("").unwrap();
    let dead = layer.policy().begin(fingerprint, attempt_id());
    assert_eq!(client.begin(&key, &dead).await.unwrap().name(), "acquired");

    let work = {
        let store = store.clone();
        handler(move |_| {
            let before: Vec<_> = store.calls().iter().map(Call::operation).collect();
            async move { Ok(answer(201, format!("{before:?}"))) }
        })
    };
    let asked = Instant::now();
    let reply = send(&guard(&layer, work), post("k", "1")).await;
    assert_eq!(reply.shown(), (201, "[Begin, Begin, Renew]".to_owned()));
    assert_eq!(asked.elapsed(), LEASE, "it ends at its own instant");
}

#[tokio::test(start_paused = true)]
async fn a_complete_that_comes_too_late_is_in_doubt_for_its_caller_h6() {
    for (way, retry) in [
        ("taken over", (201, "the newcomer's".to_owned())),
        ("completed by a resolver", (200, "resolved".to_owned())),
        ("resolved as never done", (201, "run 2".to_owned())),
        ("forgotten", (201, "run 2".to_owned())),
    ] {
        let store = TestStore::new();
        let works = works(&store, Policy::Takeover);
        let first = tokio::spawn(call(&works.service, post("k", "1")));
        works.until_runs(1).await;
        // No renewal is heard of: the handler's process learns of its loss by the complete alone.
        store.fail_until_healed(Operation::Renew, Outage::Unavailable);
        store.clock().advance(LEASE).await;

        let client = store.client("orders");
        let key = Key::new("k").unwrap().in_scope("").unwrap();
        let GetOutcome::Reserved { fence: Some(fence), doubt_number, .. } =
            client.get(&key, &Get::default()).await.unwrap()
        else {
            panic!("{way}: its lease has ended under policy takeover");
        };
        let (parts, _) = post("k", "").into_parts();
        let fingerprint = works.layer.policy().fingerprint().of(&parts, b"1").unwrap();
        let answered = match way {
            "taken over" => {
                let begin = works.layer.policy().begin(fingerprint, attempt_id());
                let BeginOutcome::Acquired(newcomer) = client.begin(&key, &begin).await.unwrap()
                else {
                    panic!("{way}: the lease has ended");
                };
                let result = ResultRef::of(201, b"the newcomer's");
                let complete = Complete { token: newcomer.token, result, fingerprint: None };
                client.complete(&key, &complete).await.unwrap().name()
            }
            "forgotten" => client.forget(&key, &Forget { fence }).await.unwrap().name(),
            _ => {
                let result = ResultRef::of(200, b"resolved");
                let verdict = match way {
                    "resolved as never done" => Verdict::NeverDone,
                    _ => Verdict::Completed { result, fingerprint: None },
                };
                let resolve = Resolve { fence, doubt_number, verdict };
                client.resolve(&key, &resolve).await.unwrap().name()
            }
        };
        assert!(matches!(answered, "completed" | "forgotten" | "resolved"), "{way}: {answered}");

        works.go.add_permits(2);
        let first = read(first.await.unwrap().unwrap()).await;
        assert_eq!(first.shown(), (409, "in-doubt".to_owned()), "{way}: never the handler's bytes");
        assert_eq!(works.layer.stats().lost_ownership, 1, "{way}");
        store.heal();
        assert_eq!(send(&works.service, post("k", "1")).await.shown(), retry, "{way}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_handler_that_was_overtaken_is_in_doubt() {
    let store = TestStore::new();
    let client = store.client_with("orders", |options| options.retries_max(0));
    let layer = IdempotencyLayer::new(client).global().with_policy(|policy| {
        policy.with_ambiguous(Ambiguous::InDoubt).with_begin_policy(Policy::Takeover)
    });
    let (runs, go) = (Runs::default(), Arc::new(Semaphore::new(0)));
    let service = {
        let (runs, go) = (runs.clone(), Arc::clone(&go));
        guard(
            &layer,
            handler(move |_: Handling| {
                let (run, go) = (runs.add(), Arc::clone(&go));
                async move {
                    if run == 1 {
                        go.acquire().await.expect("never closed").forget();
                    }
                    Ok(answer(if run == 1 { 500 } else { 201 }, format!("run {run}")))
                }
            }),
        )
    };
    let first = tokio::spawn(call(&service, post("k", "1")));
    while runs.count() < 1 {
        tokio::task::yield_now().await;
    }
    store.fail_until_healed(Operation::Renew, Outage::Unavailable);
    store.clock().advance(LEASE).await;
    assert_eq!(send(&service, post("k", "1")).await.shown().1, "run 2");
    go.add_permits(1);
    let first = read(first.await.unwrap().unwrap()).await;
    assert_eq!(first.shown(), (409, "in-doubt".to_owned()), "a 500 would say less than is known");
    assert_eq!(send(&service, post("k", "1")).await.shown().1, "run 2", "S5");
}
