//! Threads of the server's own.

use onceward_server::ServerConfig;
use tokio::net::TcpStream;

use crate::peer::{Got, Peer, begin, complete};
use crate::running::{Running, until};

fn config() -> ServerConfig {
    ServerConfig { threads: 3, pin_threads: true, ..ServerConfig::default() }
}

/// Neighbours in turn are on different threads, so owner and waiters meet in the store alone.
#[tokio::test]
async fn connections_of_several_threads_see_one_store_s10() {
    let server = Running::with(config());
    let mut owner = Peer::connect(server.address).await;
    let token = owner.begin("job", 0, 0).await.token();
    let mut waiters = Vec::new();
    for attempt in 1..=7 {
        let mut waiter = Peer::connect(server.address).await;
        waiter.push(&begin("job", attempt, 60_000));
        waiter.ping_behind().await;
        waiters.push(waiter);
    }
    owner.ask(&complete("job", token, b"done")).await;
    for waiter in &mut waiters {
        assert_eq!(waiter.next().await.1.body(), b"done");
    }
    let report = server.stop().await;
    assert_eq!((report.connections, report.unanswered, report.connections_cut), (8, 0, 0));
    assert_eq!((report.requests, report.answered), (8 + 2 + 14, 8 + 2 + 14), "{report:?}");
}

/// Dropping the server's future cuts connections although they live on other threads.
#[tokio::test]
async fn a_server_that_is_dropped_leaves_no_connection() {
    let server = Running::with(config());
    let address = server.address;
    let mut peers = Vec::new();
    for attempt in 0..6 {
        let mut peer = Peer::connect(address).await;
        assert!(matches!(peer.begin("job", attempt, 0).await, Got::Begin(_)));
        peers.push(peer);
    }
    server.abort();
    for peer in &mut peers {
        peer.expect_end().await;
    }
    until("nobody listens", || std::net::TcpStream::connect(address).is_err()).await;
    assert!(TcpStream::connect(address).await.is_err());
}
