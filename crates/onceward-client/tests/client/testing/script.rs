//! How outages are scripted, counted and called in.

use std::panic::{AssertUnwindSafe, catch_unwind};

use onceward_client::testing::{Operation, Outage, TestStore};
use onceward_client::*;
use tokio::time::{Duration, Instant};

fn key(name: &str) -> ScopedKeyBuf {
    ScopedKeyBuf::new("tenant-9", name).unwrap()
}

fn panic_of(failing: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(failing)).expect_err("it panics");
    payload.downcast_ref::<String>().expect("a formatted text").clone()
}

async fn execute(client: &Client, name: &str) -> Result<&'static str, ExecuteError<()>> {
    let work = async |_: Context| Ok("done");
    Ok(client.execute(key(name), Fingerprint::None, work).await?.name())
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_down_no_work_runs_and_what_it_holds_stays() {
    let store = TestStore::new();
    let client = store.client("orders");
    assert_eq!(execute(&client, "before").await, Ok("ran"));
    store.down();
    let asked = Instant::now();
    for name in ["before", "new"] {
        let work = async |_: Context| -> Result<(), ()> { unreachable!("nothing is concluded") };
        let answer = client.execute(key(name), Fingerprint::None, work).await;
        let Err(ExecuteError::NotRun(error)) = answer else { panic!("{answer:?}") };
        assert!(error.is_retryable());
    }
    assert!(asked.elapsed() <= 2 * Duration::from_millis(1_500), "the client's own deadline");
    let begins = store.calls().of(Operation::Begin);
    let met = begins.iter().filter(|call| call.outage() == Some(Outage::Unavailable));
    assert!(met.count() >= 4, "each execution repeats its begin: {begins}");
    store.heal();
    assert_eq!(execute(&client, "before").await, Ok("replayed"));
    assert_eq!(execute(&client, "new").await, Ok("ran"));
}

#[tokio::test(start_paused = true)]
async fn outages_are_met_in_turn_and_those_that_are_counted_first() {
    let store = TestStore::new();
    let client = store.client_with("orders", |options| options.retries_max(0));
    store.fail_until_healed(Operation::Ping, Outage::Unavailable);
    store.fail_times(Operation::Ping, 2, Outage::RequestLost);
    store.fail(Operation::Ping, Outage::ReplyLost);
    for _ in 0..5 {
        client.ping().await.expect_err("all are scripted");
    }
    store.heal();
    client.ping().await.expect("healed");
    let want = "ping: request lost\nping: request lost\nping: pong, reply lost\nping: unavailable\nping: unavailable\nping: pong";
    assert_eq!(store.calls().to_string(), want);
    store.assert_outages_met();
}

/// The client repeats complete by itself; beyond that the execution does, until its lease ends.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_at_complete_runs_the_work_once() {
    let store = TestStore::new();
    let client = store.client("orders");
    store.fail_times(Operation::Complete, 15, Outage::RequestLost);
    assert_eq!(execute(&client, "late").await, Ok("ran"));
    assert_eq!(store.calls().count(Operation::Complete), 16);
    assert_eq!(execute(&client, "late").await, Ok("replayed"));
}

#[tokio::test(start_paused = true)]
async fn calls_are_told_apart_by_key_and_show_none_s16() {
    let store = TestStore::new();
    let client = store.client("orders");
    execute(&client, "secret-one").await.unwrap();
    execute(&client, "secret-two").await.unwrap();
    let calls = store.calls();
    let one = calls.of_key(key("secret-one").as_ref());
    assert_eq!(one.to_string(), "begin: acquired\ncomplete: completed");
    assert_eq!((calls.len(), one.len(), one.is_empty()), (4, 2, false));
    let shown = format!("{calls:?} {calls} {store:?} {client:?}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn any_code_over_the_port_is_tested_as_it_is() {
    let store = TestStore::new();
    store.fail(Operation::Begin, Outage::ReplyLost);
    let execution = Execution::over(store.client("orders"));
    let work = async |run: Context| Ok::<_, ()>(run.attempt_number().to_string());
    let ran = execution.execute(key("port"), Fingerprint::None, work).await.unwrap();
    assert_eq!(ran.done().and_then(Done::body).map(|body| &body[..]), Some(&b"1"[..]), "S3");
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_nobody_met_fails_the_test_and_says_so() {
    let store = TestStore::new();
    let client = store.client_with("orders", |options| options.retries_max(0));
    store.fail_times(Operation::Ping, 2, Outage::ReplyLost);
    store.fail(Operation::Begin, Outage::Slow(Duration::from_millis(1)));
    store.fail_until_healed(Operation::Renew, Outage::Unavailable);
    client.ping().await.expect_err("its reply is lost");
    execute(&client, "once").await.unwrap();
    store.heal();
    let want = "scripted outages were not used up:
  ping: reply lost, met by 1 of 2 calls
  renew: unavailable, until healed, met by 0 calls
the calls that reached the store:
  ping: pong, reply lost
  begin: acquired, slow by 1 ms
  complete: completed";
    assert_eq!(panic_of(|| store.assert_outages_met()), want);
    let other = store.clone();
    drop(store);
    assert_eq!(panic_of(|| drop(other)), want, "the last one says it");
}
