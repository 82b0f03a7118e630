//! The manual clock, with a runtime whose clock is paused, one whose clock runs, and none.

use std::sync::Arc;

use onceward_client::testing::{Operation, Outage, TestStore};
use onceward_client::*;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, sleep};

const LEASE: Duration = Duration::from_secs(30);

fn key() -> ScopedKeyBuf {
    ScopedKeyBuf::new("tenant-9", "order-1").unwrap()
}

async fn begin(client: &Client, wait: Duration) -> BeginOutcome<bytes::Bytes> {
    let mut begin = Begin::new(Fingerprint::None, attempt_id());
    begin.wait = wait.into();
    client.begin(key().as_ref(), &begin).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_at_its_own_instant_s6() {
    let store = TestStore::new();
    let client = store.client("orders");
    assert_eq!(begin(&client, Duration::ZERO).await.name(), "acquired");
    store.clock().advance(LEASE - Duration::from_millis(1)).await;
    let BeginOutcome::InProgress { retry_after, .. } = begin(&client, Duration::ZERO).await else {
        panic!("one millisecond before its end it runs")
    };
    assert_eq!(retry_after, Millis::new(1));
    store.clock().advance(Duration::from_millis(1)).await;
    assert_eq!(begin(&client, Duration::ZERO).await.name(), "acquired");
    assert_eq!(store.clock().elapsed(), LEASE);
}

#[tokio::test(start_paused = true)]
async fn paused_time_is_one_time_whoever_moves_it() {
    let store = TestStore::new();
    let client = store.client("orders");
    let start = Instant::now();
    assert_eq!(begin(&client, Duration::ZERO).await.name(), "acquired");
    // A wait is ended by the store's own time, without anybody moving the clock by hand (S10).
    assert_eq!(begin(&client, Duration::from_secs(5)).await.name(), "in_progress");
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(begin(&client, Duration::from_secs(60)).await.name(), "acquired");
    assert_eq!(start.elapsed(), LEASE, "the waiter is answered when the lease ends");
    tokio::time::advance(Duration::from_secs(7)).await;
    sleep(Duration::from_secs(1)).await;
    store.clock().advance(Duration::from_secs(2)).await;
    assert_eq!(store.clock().elapsed(), LEASE + Duration::from_secs(10));
    assert_eq!(start.elapsed(), store.clock().elapsed());
    store.clock().blocking_advance(Duration::from_secs(5));
    assert_eq!(start.elapsed() + Duration::from_secs(5), store.clock().elapsed(), "by hand alone");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(start.elapsed() + Duration::from_secs(5), store.clock().elapsed());
}

/// Advancing is time that passes, not a jump: whoever lives renews meanwhile.
#[tokio::test(start_paused = true)]
async fn an_owner_that_lives_keeps_its_lease_through_an_advance_s6() {
    let store = TestStore::new();
    let client = store.client("orders");
    let (finish, finished) = oneshot::channel::<()>();
    let owner = tokio::spawn({
        let client = client.clone();
        async move {
            let work = async |run: Context| {
                finished.await.unwrap();
                run.lost().map_or(Ok("slow"), Err)
            };
            client.execute(key(), Fingerprint::None, work).await
        }
    });
    store.clock().advance(20 * LEASE).await;
    assert_eq!(begin(&store.client("orders"), Duration::ZERO).await.name(), "in_progress");
    assert!(store.calls().count(Operation::Renew) >= 40);
    finish.send(()).unwrap();
    assert_eq!(owner.await.unwrap().unwrap().name(), "ran");
}

/// Renewals that are lost for a lease: the work learns it, a rival takes over, the late result is
/// fenced off.
#[tokio::test(start_paused = true)]
async fn an_owner_cut_off_from_the_store_is_told_and_taken_over_s4() {
    let store = TestStore::new();
    let (finish, finished) = oneshot::channel::<()>();
    let (tell, told) = oneshot::channel();
    let owner = tokio::spawn({
        let client = store.client("orders");
        async move {
            let work = async |run: Context| {
                tell.send(run.lost_ownership().await).unwrap();
                finished.await.unwrap();
                Ok::<_, ()>("late")
            };
            client.execute(key(), Fingerprint::None, work).await
        }
    });
    store.fail_until_healed(Operation::Renew, Outage::RequestLost);
    store.clock().advance(LEASE).await;
    assert_eq!(told.await, Ok(Lost::LeaseEnded));
    assert_eq!(begin(&store.client("orders"), Duration::ZERO).await.name(), "acquired");
    finish.send(()).unwrap();
    let answer = owner.await.unwrap();
    let Err(ExecuteError::LostOwnership { why, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(why, Lost::Fenced);
}

#[tokio::test]
async fn in_a_runtime_whose_clock_runs_the_stores_time_moves_by_hand() {
    let store = TestStore::new();
    let client = store.client("orders");
    assert_eq!(begin(&client, Duration::ZERO).await.name(), "acquired");
    sleep(Duration::from_millis(5)).await;
    assert_eq!(store.clock().elapsed(), Duration::ZERO);
    let waiting = tokio::spawn({
        let client = store.client("orders");
        async move { begin(&client, Duration::from_secs(50)).await }
    });
    while client.store_stats().await.unwrap().waiters == 0 {
        tokio::task::yield_now().await;
    }
    store.clock().advance(LEASE).await;
    assert_eq!(client.store_stats().await.unwrap().waiters, 0, "the advance answers whoever waits");
    assert_eq!(waiting.await.unwrap().name(), "acquired", "S10");
    assert_eq!(store.clock().elapsed(), LEASE);
    tokio::time::pause();
    store.clock().advance(Duration::from_secs(1)).await;
    sleep(Duration::from_secs(1)).await;
    // Timers end at whole milliseconds of the runtime, which the pause has not met.
    let paused = store.clock().elapsed() - LEASE;
    assert_eq!(paused.as_secs(), 2, "paused later, it follows all the same");
}

#[test]
fn without_a_runtime_the_clock_moves_by_hand() {
    let store = TestStore::new();
    store.clock().blocking_advance(Duration::from_nanos(1));
    assert_eq!(store.clock().elapsed(), Duration::from_millis(1), "rounded up");
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        Arc::new(builder.enable_all().start_paused(true).build().unwrap())
    };
    // Two runtimes in turn, as two tests over one store would have: time never goes back (S15).
    for _ in 0..2 {
        let runtime = runtime();
        let before = store.clock().elapsed();
        runtime.block_on(store.clock().advance(LEASE));
        assert!(store.clock().elapsed() >= before);
    }
}
