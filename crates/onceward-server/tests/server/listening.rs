//! Where a server may listen, and what becomes of the file of a Unix socket.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use onceward::{Store, StoreConfig};
use onceward_server::{Listeners, ServeError, ServerConfig, run};
use onceward_testkit::ManualClock;

use crate::peer::Peer;
use crate::running::Running;

#[tokio::test]
async fn only_loopback_is_served_without_authentication() {
    let config = ServerConfig::default();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let address = address.parse().expect("an address");
        match Listeners::bind(&[address], &[], &config) {
            Err(error @ ServeError::NotLoopback { .. }) => {
                assert!(error.to_string().contains("--insecure-no-auth"), "{error}");
            }
            other => panic!("{address}: {other:?}"),
        }
    }
    for address in ["127.0.0.1:0", "127.9.9.9:0"] {
        let address = address.parse().expect("an address");
        let bound = Listeners::bind(&[address], &[], &config).expect("loopback");
        assert_ne!(bound.tcp_addresses()[0].port(), 0, "the port that the system chose");
    }
    // Listeners that somebody else bound are looked at too.
    let insecure = ServerConfig { insecure_no_auth: true, ..config };
    let any = "0.0.0.0:0".parse().expect("an address");
    Listeners::bind(&[any], &[], &insecure).expect("insisted");
    let outside = std::net::TcpListener::bind(any).expect("bound by hand");
    let store = Store::new(StoreConfig::default(), Arc::new(ManualClock::new(1))).expect("a store");
    let refused = run(
        Listeners::from_std(vec![outside], Vec::new()),
        store.clone(),
        config,
        std::future::pending(),
    );
    assert!(matches!(refused.await, Err(ServeError::NotLoopback { .. })));
    let nothing = run(Listeners::default(), store, config, std::future::pending());
    assert!(matches!(nothing.await, Err(ServeError::NoListener)));
}

#[tokio::test]
async fn a_unix_socket_is_its_owners_and_goes_with_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("onceward.sock");
    let server = Running::at(ServerConfig::default(), std::slice::from_ref(&path));
    let mode = fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    let mut unix = Peer::connect_unix(&path).await;
    let mut tcp = Peer::connect(server.address).await;
    let token = unix.begin("a", 1, 0).await.token();
    unix.complete("a", token, b"by unix").await;
    assert_eq!(tcp.begin("a", 2, 0).await.body(), b"by unix", "one store behind both");

    let config = ServerConfig::default();
    let error = Listeners::bind(&[], std::slice::from_ref(&path), &config).expect_err("in use");
    assert!(matches!(error, ServeError::InUse { .. }), "{error}");
    drop((unix, tcp));
    server.stop().await;
    assert!(!path.exists(), "removed at exit");
}

#[tokio::test]
async fn a_stale_file_is_replaced_and_nothing_else_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = ServerConfig::default();
    let path = folder.path().join("stale.sock");
    drop(UnixListener::bind(&path).expect("a server that dies and leaves its file"));
    assert!(path.exists());
    let bound = Listeners::bind(&[], std::slice::from_ref(&path), &config).expect("nobody listens");
    assert_eq!(bound.unix_paths(), std::slice::from_ref(&path));
    drop(bound);
    assert!(!path.exists(), "listeners that never served remove it too");

    let text = folder.path().join("notes.txt");
    fs::write(&text, "mine").expect("written");
    let error = Listeners::bind(&[], std::slice::from_ref(&text), &config).expect_err("a file");
    assert!(matches!(error, ServeError::NotASocket { .. }), "{error}");
    assert_eq!(fs::read_to_string(&text).expect("untouched"), "mine");

    // Another server took the path over meanwhile: its file stays.
    let bound = Listeners::bind(&[], std::slice::from_ref(&path), &config).expect("bound");
    fs::remove_file(&path).expect("somebody cleans up");
    let other = UnixListener::bind(&path).expect("another server");
    drop(bound);
    assert!(path.exists(), "not ours to remove");
    drop(other);

    let missing = folder.path().join("no/such/folder.sock");
    let error = Listeners::bind(&[], &[missing], &config).expect_err("no folder");
    assert!(error.to_string().contains("cannot listen on"), "{error}");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let server = Running::start();
    let error = Listeners::bind(&[server.address], &[], &ServerConfig::default());
    let error = error.expect_err("taken").to_string();
    assert!(error.contains(&server.address.to_string()), "{error}");
}
