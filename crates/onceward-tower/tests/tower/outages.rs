//! A store that is out of reach, full, or whose answers get lost (H3, H6, S3), in paused time.

use std::time::Duration;

use onceward_client::testing::{Operation, Outage, TestStore};
use onceward_client::{Client, ClientBuilder};
use onceward_core::Millis;
use onceward_tower::{Ambiguous, Context, IdempotencyLayer, Outcome};
use tokio::time::Instant;

use crate::call::{Handling, Runs, answer, counting, guard, handler, post, send};

/// Without retries of its own: those of the layer are what is tested.
fn client(store: &TestStore) -> Client {
    store.client_with("orders", |options: ClientBuilder| options.retries_max(0))
}

fn layer(store: &TestStore) -> IdempotencyLayer<Client> {
    IdempotencyLayer::new(client(store)).global()
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_is_503_and_runs_nothing_h3() {
    let store = TestStore::new();
    let runs = Runs::default();
    let service = guard(&layer(&store), counting(&runs));
    store.down();
    let asked = Instant::now();
    let reply = send(&service, post("k", "1")).await;
    assert_eq!(reply.shown(), (503, "unavailable".to_owned()));
    assert_eq!(reply.headers["retry-after"], "1");
    assert_eq!(reply.outcome, Some(Outcome::Rejected("unavailable")));
    let took = asked.elapsed();
    assert!(Duration::from_secs(1) <= took && took < Duration::from_secs(2), "{took:?}");
    assert_eq!(runs.count(), 0);
    store.heal();
    assert_eq!(send(&service, post("k", "1")).await.shown(), (201, "order 1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn failing_open_is_chosen_and_counted_h3() {
    for outage in [Outage::Unavailable, Outage::Refused { retry_after: None }] {
        let store = TestStore::new();
        let runs = Runs::default();
        let layer = layer(&store).with_policy(|policy| policy.failing_open());
        let guarded = {
            let runs = runs.clone();
            handler(move |request: Handling| {
                let (run, context) = (runs.add(), request.extensions().get::<Context>().is_some());
                async move { Ok(answer(201, format!("{run} guarded: {context}"))) }
            })
        };
        let service = guard(&layer, guarded);
        store.fail_until_healed(Operation::Begin, outage);
        for run in 1..=2 {
            let reply = send(&service, post("k", "1")).await;
            assert_eq!(reply.shown(), (201, format!("{run} guarded: false")), "{outage:?}");
            assert_eq!(reply.outcome, Some(Outcome::Bypassed));
            assert_eq!(layer.audit().counts().failed_open, run, "{outage:?}");
        }
        store.heal();
        let reply = send(&service, post("k", "1")).await;
        assert_eq!(reply.shown(), (201, "3 guarded: true".to_owned()), "{outage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_ran_without_a_guard_says_nothing_of_a_grant_unheard() {
    let store = TestStore::new();
    let runs = Runs::default();
    let layer = layer(&store)
        .with_begin_patience(Duration::ZERO)
        .with_policy(|policy| policy.failing_open());
    let service = guard(&layer, counting(&runs));
    store.fail(Operation::Begin, Outage::ReplyLost);
    assert_eq!(send(&service, post("k", "1")).await.outcome, Some(Outcome::Bypassed));
    store.clock().advance(Duration::from_secs(3)).await;
    assert_eq!(store.calls().count(Operation::Abandon), 0, "it is not true that nothing was done");
    assert_eq!(send(&service, post("k", "1")).await.shown().1, "in-progress");
}

#[tokio::test(start_paused = true)]
async fn a_full_store_is_503_with_its_own_time_h3() {
    let store = TestStore::new();
    let runs = Runs::default();
    let service = guard(&layer(&store), counting(&runs));
    store.fail(Operation::Begin, Outage::Refused { retry_after: Some(Millis::new(6_001)) });
    let reply = send(&service, post("k", "1")).await;
    assert_eq!(reply.shown(), (503, "full".to_owned()));
    assert_eq!(reply.headers["retry-after"], "7");
    assert_eq!(runs.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn lost_replies_are_harmless_s3() {
    for operation in [Operation::Begin, Operation::Complete] {
        let store = TestStore::new();
        let runs = Runs::default();
        let service =
            guard(&layer(&store).with_begin_patience(Duration::from_secs(60)), counting(&runs));
        store.fail(operation, Outage::ReplyLost);
        let first = send(&service, post("k", "1")).await;
        assert_eq!(first.outcome, Some(Outcome::Fresh), "{operation}");
        let again = send(&service, post("k", "1")).await;
        assert_eq!(again.outcome, Some(Outcome::Replayed), "{operation}");
        assert_eq!(first.body, again.body, "{operation}");
        assert_eq!(runs.count(), 1, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_begin_that_was_granted_unheard_is_given_back() {
    let store = TestStore::new();
    let runs = Runs::default();
    let layer = layer(&store).with_begin_patience(Duration::ZERO);
    let service = guard(&layer, counting(&runs));
    store.fail(Operation::Begin, Outage::ReplyLost);
    assert_eq!(send(&service, post("k", "1")).await.status, 503);
    store.clock().advance(Duration::from_secs(3)).await;
    assert_eq!(store.calls().count(Operation::Abandon), 1);
    let next = send(&service, post("k", "1")).await;
    assert_eq!(next.shown(), (201, "order 1".to_owned()), "long before the lease ends");
}

#[tokio::test(start_paused = true)]
async fn a_result_that_cannot_be_stored_is_503_once_the_lease_ends_h6() {
    let store = TestStore::new();
    let runs = Runs::default();
    let layer = layer(&store).with_policy(|policy| policy.with_lease(Millis::from_secs(10)));
    let work = {
        let runs = runs.clone();
        handler(move |_| {
            runs.add();
            async {
                tokio::task::yield_now().await; // It waits, so its lease is kept; until it has ended.
                Ok(answer(201, ""))
            }
        })
    };
    let service = guard(&layer, work);
    store.fail_until_healed(Operation::Complete, Outage::Unavailable);
    let asked = Instant::now();
    let reply = send(&service, post("k", "1")).await;
    assert_eq!(reply.shown(), (503, "result-not-stored".to_owned()));
    let took = asked.elapsed();
    assert!(Duration::from_secs(10) <= took && took < Duration::from_secs(12), "{took:?}");
    assert_eq!((runs.count(), layer.stats().not_stored), (1, 1));

    // Back in time, it is stored.
    store.heal();
    store.fail_times(Operation::Complete, 3, Outage::Unavailable);
    let reply = send(&service, post("k2", "1")).await;
    assert_eq!(reply.outcome, Some(Outcome::Fresh));
    assert_eq!(send(&service, post("k2", "1")).await.outcome, Some(Outcome::Replayed));
}

#[tokio::test(start_paused = true)]
async fn an_abandon_without_answer_goes_on_behind_the_response() {
    let store = TestStore::new();
    let runs = Runs::default();
    let busy = {
        let runs = runs.clone();
        handler(move |_| {
            let run = runs.add();
            async move { Ok(answer(if run == 1 { 429 } else { 201 }, "")) }
        })
    };
    let service = guard(&layer(&store), busy);
    store.fail_times(Operation::Abandon, 3, Outage::Unavailable);
    assert_eq!(send(&service, post("k", "1")).await.status, 429);
    assert_eq!(send(&service, post("k", "1")).await.shown().1, "in-progress");
    store.clock().advance(Duration::from_secs(3)).await;
    assert_eq!(send(&service, post("k", "1")).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn in_doubt_after_an_outage_stays_in_doubt() {
    let store = TestStore::new();
    let layer = layer(&store).with_policy(|policy| policy.with_ambiguous(Ambiguous::InDoubt));
    let service = guard(&layer, handler(|_| async { Ok(answer(500, "half done")) }));
    store.fail_until_healed(Operation::Abandon, Outage::Unavailable);
    assert_eq!(send(&service, post("k", "1")).await.status, 500);
    store.clock().advance(Duration::from_secs(120)).await; // The lease has ended: in doubt by policy.
    store.heal();
    assert_eq!(send(&service, post("k", "1")).await.shown(), (409, "in-doubt".to_owned()));
    assert_eq!(layer.stats().abandoned_in_doubt, 1);
}
