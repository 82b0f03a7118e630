//! The end of a server (S17).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use onceward_proto::{ErrorCode, Request};
use onceward_server::ServerConfig;
use tokio::net::TcpStream;

use crate::peer::{Got, Peer, begin, complete};
use crate::running::Running;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_answers_what_was_accepted_and_gives_waits_up_s17() {
    let mut server = Running::start();
    let mut owner = Peer::connect(server.address).await;
    let token = owner.begin("job", 0, 0).await.token();
    let mut waiters = Vec::new();
    for attempt in 1..=10 {
        let mut waiter = Peer::connect(server.address).await;
        waiter.push(&begin("job", attempt, 60_000));
        waiter.ping_behind().await;
        waiters.push(waiter);
    }
    let mut idle = Peer::connect(server.address).await;
    let silent = Peer::silent(server.address).await;
    server.signal();
    for waiter in &mut waiters {
        let Got::Error(error) = waiter.next().await.1 else { panic!("given up") };
        assert_eq!(error.code, ErrorCode::Unavailable);
        waiter.expect_end().await;
    }
    idle.expect_end().await;
    owner.expect_end().await;
    drop((owner, idle, silent, waiters));
    let address = server.address;
    let store = server.store.clone();
    let report = server.stop().await;
    assert_eq!((report.requests, report.answered), (12 + 1 + 20, 12 + 1 + 20), "{report:?}");
    assert_eq!((report.unanswered, report.connections_cut), (0, 0), "{report:?}");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");
    let late = onceward::Abandon { token, certainty: onceward::Certainty::NotDone };
    let identity = onceward::Identity::new("default", b"tenant", b"job").expect("an identity");
    assert_eq!(
        store.abandon(identity, &late).expect_err("closed"),
        onceward::StoreError::Unavailable
    );
}

/// Whatever the moment of the signal: a prefix of what was sent is answered, truthfully.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_during_a_drain_is_true_s17() {
    for delay_us in [0, 50, 200, 1_000, 5_000] {
        let mut server = Running::start();
        let mut peer = Peer::connect(server.address).await;
        let keys: Vec<_> = (0..500).map(|number| format!("key-{number}")).collect();
        let mut asked = BTreeMap::new();
        for key in &keys {
            asked.insert(peer.push(&begin(key, 1, 0)), key);
        }
        peer.flush().await;
        tokio::time::sleep(Duration::from_micros(delay_us)).await;
        server.signal();
        let mut acquired = 0;
        while let Some((correlation, got)) = peer.next_or_end().await {
            assert!(asked.remove(&correlation).is_some(), "once each");
            got.token();
            acquired += 1;
        }
        let store = server.store.clone();
        drop(peer);
        let report = server.stop().await;
        let judged = store.stats().begin_acquired;
        assert_eq!(judged, acquired, "{delay_us} us: what is judged is answered, {report:?}");
        assert_eq!((report.requests, report.unanswered), (1 + acquired, 0), "{report:?}");
    }
}

#[tokio::test]
async fn replies_larger_than_any_buffer_leave_before_the_end_s17() {
    const TIMES: usize = 100;
    let mut server = Running::start();
    let mut peer = Peer::connect(server.address).await;
    let token = peer.begin("large", 1, 0).await.token();
    let body = vec![7; 256 * 1024];
    peer.ask(&complete("large", token, &body)).await;
    for _ in 0..TIMES {
        peer.push(&begin("large", 2, 0));
    }
    peer.flush().await;
    assert_eq!(peer.next().await.1.body(), body, "they have been received");
    server.signal();
    for _ in 1..TIMES {
        assert_eq!(peer.next().await.1.body(), body);
    }
    peer.expect_end().await;
    drop(peer);
    let report = server.stop().await;
    assert_eq!(report.unanswered, 0, "{report:?}");
}

#[tokio::test]
async fn the_grace_period_bounds_a_drain_s17() {
    let grace = Duration::from_millis(200);
    let mut server = Running::with(ServerConfig { grace, ..ServerConfig::default() });
    let mut slow = Peer::connect(server.address).await;
    let token = slow.begin("large", 1, 0).await.token();
    slow.complete("large", token, &vec![7; 1024 * 1024]).await;
    for _ in 0..200 {
        slow.push(&begin("large", 2, 0));
    }
    slow.flush().await;
    assert_eq!(slow.next().await.1.name(), "replay");
    server.signal();
    let signalled = Instant::now();
    let report = server.stop().await;
    assert!(signalled.elapsed() < Duration::from_secs(5), "{:?}", signalled.elapsed());
    assert_eq!(report.connections_cut, 1, "{report:?}");
    assert!(report.unanswered > 0, "{report:?}");
    drop(slow);
}

#[tokio::test]
async fn dropping_the_server_ends_its_connections() {
    let server = Running::start();
    let mut peer = Peer::connect(server.address).await;
    peer.push(&Request::Ping { echo: 1 });
    peer.ping_behind().await;
    server.abort();
    // An end or a reset: nobody is left hanging.
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut peer.socket, &mut rest);
    let _ = tokio::time::timeout(crate::peer::SOON, read).await.expect("it ends");
}
