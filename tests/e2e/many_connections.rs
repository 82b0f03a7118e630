//! 10,000 open connections, and a healthy client beside them. The other ends live in a process of
//! their own, this test run again: one process may not be allowed 20,000 open files.

use std::env;
use std::io::{BufRead as _, BufReader, Lines, Read as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use onceward_client::Client;
use onceward_core::{
    AttemptId, Begin, BeginOutcome, Complete, CompleteOutcome, Fingerprint, ResultRef, ScopedKey,
};

use onceward_proto::ErrorCode;
use onceward_server::ServerConfig;

use crate::server::PATIENCE;
use crate::server::Server;
use crate::wire::Peer;

const CONNECTIONS: usize = 10_000;
/// Names the server to the process that holds the other ends.
const ADDRESS_VARIABLE: &str = "ONCEWARD_E2E_HOLD_CONNECTIONS_TO";
/// Its own name, by which the test runs itself again.
const THIS_TEST: &str =
    "many_connections::a_healthy_client_is_answered_beside_10_000_open_connections";
/// What a client may wait beside them, though other tests run on the same cores.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

#[test]
fn a_healthy_client_is_answered_beside_10_000_open_connections() {
    if let Ok(address) = env::var(ADDRESS_VARIABLE) {
        hold_connections(address.parse().expect("an address"));
        return;
    }
    raise_the_limit_of_open_files();
    let server = Server::start();
    let holder = Holder::start(server.address);
    assert_healthy(&server, 100);
    // All of them hang up at once, and a client notices nothing.
    drop(holder);
    assert_healthy(&server, 100);
}

#[test]
fn a_connection_over_the_limit_is_told_so_and_costs_the_others_nothing() {
    const LIMIT: usize = 8;
    let config = ServerConfig { connections_max: LIMIT, ..ServerConfig::default() };
    let server = Server::with(config);
    let mut peers: Vec<Peer> = (0..LIMIT).map(|_| Peer::welcome(server.address)).collect();
    for _ in 0..100 {
        let mut extra = Peer::silent(server.address);
        let last = extra.read().expect("an error in time").expect("an error before the close");
        assert_eq!(last.error().code, ErrorCode::TooManyConnections);
        extra.expect_closed("over the limit");
    }
    peers.iter_mut().for_each(Peer::ping);
    // A place that becomes free is given again.
    drop(peers.pop());
    let deadline = Instant::now() + PATIENCE;
    while !Peer::silent(server.address).is_welcome() {
        assert!(Instant::now() < deadline, "the place did not become free");
    }
    peers.iter_mut().for_each(Peer::ping);
}

fn assert_healthy(server: &Server, keys: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let url = format!("onceward://{}/default", server.address);
        let client = Client::open(&url).expect("a URL");
        let attempt = |number: u8| AttemptId::from_bytes([number; 16]);
        let before = server.store.stats().entries as u32;
        for number in before..before + keys {
            let name = number.to_le_bytes();
            let key = ScopedKey::new(b"healthy", &name).expect("a key");
            let asked = Instant::now();
            let first = client.begin(key, &Begin::new(Fingerprint::None, attempt(1))).await;
            let Ok(BeginOutcome::Acquired(acquired)) = first else { panic!("{first:?}") };
            let result = ResultRef::of(200, b"done");
            let complete = Complete { token: acquired.token, result, fingerprint: None };
            let done = client.complete(key, &complete).await;
            assert_eq!(done, Ok(CompleteOutcome::Completed { not_kept: None }));
            let again = client.begin(key, &Begin::new(Fingerprint::None, attempt(2))).await;
            assert!(matches!(again, Ok(BeginOutcome::Replay(_))), "{again:?}");
            let took = asked.elapsed();
            assert!(took < ANSWER_WITHIN, "key {number} took {took:?}");
        }
    });
}

/// The process that holds the other ends; it ends with its standard input.
struct Holder {
    child: Child,
    /// Held open to the end: the process writes its report there.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    /// Returns once every connection is open and welcome.
    fn start(address: SocketAddr) -> Self {
        let program = env::current_exe().expect("a test knows its program");
        let mut child = Command::new(program)
            .args(["--exact", THIS_TEST, "--nocapture", "--test-threads", "1"])
            .env(ADDRESS_VARIABLE, address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test runs itself again");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let held = output.by_ref().map_while(Result::ok).any(|line| line.contains("holding"));
        let holder = Self { child, _output: output };
        assert!(held, "the holder ended before its connections were open");
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let ended = self.child.wait();
        if !thread::panicking() {
            assert!(ended.is_ok_and(|status| status.success()), "the holder failed");
        }
    }
}

/// The other side: opens all connections from a few threads, then waits for the end of its input.
fn hold_connections(address: SocketAddr) {
    const THREADS: usize = 8;
    raise_the_limit_of_open_files();
    let opening: Vec<_> = (0..THREADS)
        .map(|_| {
            thread::spawn(move || {
                let open = |_| Peer::welcome(address);
                (0..CONNECTIONS / THREADS).map(open).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut peers: Vec<Peer> =
        opening.into_iter().flat_map(|open| open.join().expect("connections open")).collect();
    assert_eq!(peers.len(), CONNECTIONS);
    println!("holding {CONNECTIONS} connections");
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).expect("a pipe");
    for peer in peers.iter_mut().step_by(500) {
        peer.ping(); // They were not only accepted, they are still served.
    }
}

/// As far as this user may.
fn raise_the_limit_of_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    assert!(
        hard > CONNECTIONS as u64 + 200,
        "this machine allows {hard} open files: raise the hard limit for {CONNECTIONS} connections"
    );
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("up to the hard limit");
}
