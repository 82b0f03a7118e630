//! Limits on connections, and settings out of bounds (S20).

use std::time::Duration;

use onceward_proto::ErrorCode;
use onceward_server::{Listeners, ServeError, ServerConfig};

use crate::peer::{Got, Peer};
use crate::running::Running;

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_closed_s20() {
    let server = Running::with(ServerConfig { connections_max: 2, ..ServerConfig::default() });
    let mut first = Peer::connect(server.address).await;
    let second = Peer::connect(server.address).await;
    for _ in 0..3 {
        let mut third = Peer::silent(server.address).await;
        let (correlation, got) = third.next().await;
        let Got::Error(error) = got else { panic!("turned away: {got:?}") };
        assert_eq!((correlation, error.code), (0, ErrorCode::TooManyConnections));
        assert_eq!(error.max, Some(2));
        third.expect_end().await;
    }
    first.ping().await;
    drop(second);
    // Its place is free once the server has seen the end.
    let mut tries = 0;
    loop {
        let mut peer = Peer::silent(server.address).await;
        peer.conn.hello(
            &onceward_proto::Hello::new(onceward::Namespace::DEFAULT, b""),
            &mut peer.outbox,
        );
        peer.flush().await;
        match peer.next().await.1 {
            Got::Welcome => break,
            Got::Error(error) if error.code == ErrorCode::TooManyConnections && tries < 1_000 => {
                tries += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    drop(first);
    let report = server.stop().await;
    assert_eq!(report.connections, 3);
    assert!(report.connections_refused >= 3, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_idle_connections_cost_nobody_anything() {
    const IDLE: usize = 400; // Both ends are in this process: two descriptors each.
    let server = Running::start();
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(Peer::connect(server.address).await);
    }
    let mut busy = Peer::connect(server.address).await;
    for _ in 0..1_000 {
        busy.ping().await;
    }
    for peer in &mut idle {
        peer.ping().await;
    }
}

#[test]
fn settings_out_of_bounds_are_named_s20() {
    let good = ServerConfig::default();
    good.check().expect("the defaults are within bounds");
    let zero = Duration::ZERO;
    let cases = [
        ("body_bytes_max", ServerConfig { body_bytes_max: 1, ..good }),
        ("body_bytes_max", ServerConfig { body_bytes_max: u32::MAX, ..good }),
        ("connections_max", ServerConfig { connections_max: 0, ..good }),
        ("connections_max", ServerConfig { connections_max: usize::MAX, ..good }),
        ("in_flight_max", ServerConfig { in_flight_max: 0, ..good }),
        ("in_flight_max", ServerConfig { in_flight_max: 65_537, ..good }),
        ("unsent_bytes_max", ServerConfig { unsent_bytes_max: 0, ..good }),
        ("hello_timeout", ServerConfig { hello_timeout: zero, ..good }),
        ("frame_timeout", ServerConfig { frame_timeout: zero, ..good }),
        ("write_timeout", ServerConfig { write_timeout: zero, ..good }),
        ("idle_timeout", ServerConfig { idle_timeout: Duration::MAX, ..good }),
        ("grace", ServerConfig { grace: Duration::MAX, ..good }),
    ];
    for (want, config) in cases {
        match config.check() {
            Err(error @ ServeError::Setting { name, .. }) => {
                assert_eq!(name, want);
                assert!(error.to_string().starts_with(want), "{error}");
            }
            other => panic!("{want}: {other:?}"),
        }
    }
    ServerConfig { idle_timeout: zero, ..good }.check().expect("zero: never");
    let nothing = Listeners::default();
    assert!(nothing.tcp_addresses().is_empty() && nothing.unix_paths().is_empty());
}
