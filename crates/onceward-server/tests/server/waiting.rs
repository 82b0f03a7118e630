//! Waits: pushed, cancelled, given up, and bounded (S10).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use onceward::{Clock, Get, GetOutcome, Millis, Timestamp};
use onceward_proto::Request;
use onceward_server::ServerConfig;

use crate::peer::{Got, Peer, begin, key};
use crate::running::{Running, until};

const LONG: u64 = 60_000;

fn get(name: &str, wait: u64) -> Request<'_> {
    Request::Get { key: key(name), get: Get { wait: Millis::new(wait) } }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_waiters_get_fifty_replies_and_no_other_frame_s10() {
    let server = Running::start();
    let mut owner = Peer::connect(server.address).await;
    let token = owner.begin("job", 0, 0).await.token();
    let mut waiters = Vec::new();
    for attempt in 1..=50 {
        let mut waiter = Peer::connect(server.address).await;
        waiter.push(&begin("job", attempt, LONG));
        waiter.ping_behind().await;
        waiters.push(waiter);
    }
    assert_eq!(server.store.stats().waiters, 50, "a pong proves that the wait is registered");
    let completed = Instant::now();
    owner.complete("job", token, b"done").await;
    for waiter in &mut waiters {
        assert_eq!(waiter.next().await.1.body(), b"done");
    }
    assert!(completed.elapsed().as_secs_f64() < 1.0, "{:?}", completed.elapsed());
    for waiter in &mut waiters {
        waiter.ping().await; // Would trip over any other frame.
    }
    drop((owner, waiters));
    let report = server.stop().await;
    // Each said HELLO, the waiters begin and ping twice, the owner begin and complete.
    assert_eq!((report.requests, report.answered), (51 + 150 + 2, 51 + 150 + 2), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_waits_on_one_connection_are_ordinary_s10() {
    const WAITS: u64 = 10_000;
    let server = Running::with(ServerConfig { in_flight_max: 10_000, ..ServerConfig::default() });
    let mut owner = Peer::connect(server.address).await;
    let token = owner.begin("job", 0, 0).await.token();
    let mut peer = Peer::connect(server.address).await;
    let mut asked: BTreeSet<_> = (0..WAITS).map(|_| peer.push(&begin("job", 1, LONG))).collect();
    peer.ping_behind().await;
    assert_eq!(server.store.stats().waiters, WAITS);
    owner.complete("job", token, &[b'x'; 500]).await;
    for _ in 0..WAITS {
        let (correlation, got) = peer.next().await;
        assert!(asked.remove(&correlation), "once each");
        assert_eq!(got.body().len(), 500);
    }
    assert_eq!(server.store.stats().waiters, 0);
    peer.ping().await;
}

#[tokio::test]
async fn a_wait_ends_at_its_own_time_and_at_the_lease_s10() {
    let server = Running::start();
    let mut owner = Peer::connect(server.address).await;
    owner.begin("job", 0, 0).await.token(); // Lease 30 s.
    let mut peer = Peer::connect(server.address).await;
    let short = peer.push(&begin("job", 1, 5_000));
    let read = peer.push(&get("job", 6_000));
    let long = peer.push(&begin("job", 2, LONG));
    let longer = peer.push(&get("job", LONG));
    peer.ping_behind().await;
    server.advance(5_000);
    let (correlation, got) = peer.next().await;
    assert_eq!((correlation, got.name()), (short, "in_progress"));
    server.advance(1_000);
    let (correlation, got) = peer.next().await;
    assert_eq!((correlation, got.name()), (read, "reserved"));
    server.advance(24_000);
    let (correlation, got) = peer.next().await;
    assert_eq!((correlation, got.name()), (long, "acquired"), "the lease ended: a takeover");
    let token = got.token();
    let complete = peer.push(&crate::peer::complete("job", token, b"by the second"));
    peer.flush().await;
    let mut got = [peer.next().await, peer.next().await];
    got.sort_by_key(|&(correlation, _)| correlation == complete);
    assert_eq!((got[0].0, got[0].1.body()), (longer, b"by the second".to_vec()));
    assert_eq!(got[1].0, complete);
}

#[tokio::test]
async fn a_get_waits_out_reserved_s10() {
    let server = Running::start();
    let mut peer = Peer::connect(server.address).await;
    let token = peer.begin("job", 0, 0).await.token();
    let waiting = peer.push(&get("job", LONG));
    let complete = peer.push(&crate::peer::complete("job", token, b"done"));
    peer.flush().await;
    let mut got = [peer.next().await, peer.next().await];
    got.sort_by_key(|&(correlation, _)| correlation == complete);
    assert_eq!((got[0].0, got[0].1.body()), (waiting, b"done".to_vec()));
    assert_eq!((got[1].0, got[1].1.name()), (complete, "other"));
    assert_eq!(peer.ask(&get("absent", LONG)).await, Got::Get(GetOutcome::Absent), "at once");
}

#[tokio::test]
async fn cancel_ends_a_wait_and_has_no_reply_of_its_own() {
    let server = Running::start();
    let mut owner = Peer::connect(server.address).await;
    let token = owner.begin("job", 0, 0).await.token();
    let mut peer = Peer::connect(server.address).await;
    let first = peer.push(&begin("job", 1, LONG));
    let second = peer.push(&begin("job", 2, LONG));
    let read = peer.push(&get("job", LONG));
    peer.cancel(second);
    peer.cancel(read);
    peer.flush().await;
    for (want, outcome) in [(second, "in_progress"), (read, "reserved")] {
        let (correlation, got) = peer.next().await;
        assert_eq!((correlation, got.name()), (want, outcome));
    }
    assert_eq!(server.store.stats().waiters, 1, "the other still waits");
    // What waits no more cannot be cancelled: patched past the state machine, which would refuse.
    let mut late = Vec::new();
    peer.cancel(first);
    std::mem::swap(&mut late, &mut peer.outbox);
    late[16..24].copy_from_slice(&second.to_le_bytes());
    peer.send_raw(&late).await;
    peer.ping_behind().await;
    assert_eq!(server.store.stats().waiters, 1, "nobody was hurt");
    owner.complete("job", token, b"done").await;
    let (correlation, got) = peer.next().await;
    assert_eq!((correlation, got.body()), (first, b"done".to_vec()));
}

#[tokio::test]
async fn a_waiter_that_disconnects_leaves_the_line_s10() {
    let server = Running::start();
    let mut owner = Peer::connect(server.address).await;
    let token = owner.begin("job", 0, 0).await.token();
    let mut leaves = Peer::connect(server.address).await;
    for attempt in 1..=20 {
        leaves.push(&begin("job", attempt, LONG));
    }
    leaves.ping_behind().await;
    let mut stays = Peer::connect(server.address).await;
    stays.push(&begin("job", 99, LONG));
    stays.ping_behind().await;
    assert_eq!(server.store.stats().waiters, 21);
    drop(leaves);
    until("the line is shorter", || server.store.stats().waiters == 1).await;
    // Not done: the only one left acquires, not one who is gone.
    let abandon = onceward::Abandon { token, certainty: onceward::Certainty::NotDone };
    owner.ask(&Request::Abandon { key: key("job"), abandon }).await;
    assert_eq!(stays.next().await.1.name(), "acquired");
}

#[tokio::test]
async fn over_the_connections_waits_a_begin_is_in_progress_at_once_s10_s20() {
    let server = Running::with(ServerConfig { in_flight_max: 2, ..ServerConfig::default() });
    let mut peer = Peer::connect(server.address).await;
    let token = peer.begin("job", 0, 0).await.token();
    let waiting = [peer.push(&begin("job", 1, LONG)), peer.push(&get("job", LONG))];
    let at_once = [(peer.push(&begin("job", 2, LONG)), "in_progress")];
    let read_at_once = [(peer.push(&get("job", LONG)), "reserved")];
    peer.flush().await;
    for (want, outcome) in at_once.into_iter().chain(read_at_once) {
        let (correlation, got) = peer.next().await;
        assert_eq!((correlation, got.name()), (want, outcome));
    }
    // The owner is on this very connection: were it not read, nobody could end the waits.
    let complete = peer.push(&crate::peer::complete("job", token, b"done"));
    peer.flush().await;
    let mut answered = BTreeSet::new();
    for _ in 0..3 {
        answered.insert(peer.next().await.0);
    }
    assert_eq!(answered, BTreeSet::from([waiting[0], waiting[1], complete]));
    assert_eq!(peer.ask(&get("job", LONG)).await.body(), b"done", "there is room again");
}

#[tokio::test]
async fn the_server_itself_ends_leases_and_waits_s21() {
    // Real time, and nobody ticks but the server.
    let server = Running::on_real_time();
    let mut owner = Peer::connect(server.address).await;
    let mut short =
        onceward::Begin::new(onceward::Fingerprint::None, onceward::AttemptId::from_bytes([9; 16]));
    short.lease = Millis::new(150);
    owner.ask(&Request::Begin { key: key("job"), begin: short }).await.token();
    let mut peer = Peer::connect(server.address).await;
    let waiting = peer.push(&begin("job", 1, LONG));
    let ends_first = peer.push(&begin("job", 2, 50));
    let asked = Instant::now();
    peer.flush().await;
    let (correlation, got) = peer.next().await;
    assert_eq!((correlation, got.name()), (ends_first, "in_progress"));
    assert!(asked.elapsed() >= Duration::from_millis(49), "{:?}", asked.elapsed());
    let (correlation, got) = peer.next().await;
    assert_eq!((correlation, got.name()), (waiting, "acquired"));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_clock_that_stands_still_keeps_nobody_busy_s21() {
    /// Counts how often it is read.
    struct Standing(AtomicU64);
    impl Clock for Standing {
        fn now(&self) -> Timestamp {
            self.0.fetch_add(1, Ordering::Relaxed);
            Timestamp::from_millis(1_000)
        }
    }
    let clock = Arc::new(Standing(AtomicU64::new(0)));
    let server = Running::on(clock.clone());
    let mut owner = Peer::connect(server.address).await;
    owner.begin("job", 0, 0).await.token();
    let mut peer = Peer::connect(server.address).await;
    peer.push(&begin("job", 1, 1)); // Due in a millisecond that never comes.
    peer.ping_behind().await;
    let before = clock.0.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let reads = clock.0.load(Ordering::Relaxed) - before;
    assert!(reads < 30, "{reads} looks at the clock while nothing happened");
}
