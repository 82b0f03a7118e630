//! S10 at the wire: waiters are answered by push, each with one frame.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use onceward_client::Client;
use onceward_core::{
    AttemptId, Begin, BeginOutcome, Body, Complete, CompleteOutcome, Fingerprint, Millis,
    ResultRef, ScopedKey, Token,
};
use onceward_proto::{Opcode, Reply, Request};
use tokio::task::JoinSet;

use crate::proxy::{CountingProxy, Counts};
use crate::server::Server;
use crate::wire::Peer;

const WAITERS: usize = 50;
/// None may wait longer after the complete.
const PUSH_WITHIN: Duration = Duration::from_secs(1);

#[test]
fn fifty_waiters_get_fifty_replies_by_push_and_no_other_frame() {
    // How many connections the waiters come over.
    for (why, connections) in
        [("all on one connection", 1), ("ten on each", 5), ("each on its own", WAITERS)]
    {
        let server = Server::start();
        let mut owner = Peer::welcome(server.address);
        let key = ScopedKey::new(b"tenant", b"order").expect("a key");
        let token = acquire(&mut owner, key);
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            let (registered, all_registered) = mpsc::channel();
            for connection in 0..connections {
                let (tell, registered) = (tell.clone(), registered.clone());
                let mut peer = Peer::welcome(server.address);
                scope.spawn(move || {
                    let share = WAITERS / connections;
                    let mut asked = BTreeSet::new();
                    for waiter in 0..share {
                        let begin = waiting_begin((connection * share + waiter) as u8);
                        asked.insert(peer.send(&Request::Begin { key, begin }));
                    }
                    peer.ping(); // Judged after them: so each of them waits, and none was answered.
                    registered.send(()).expect("the test listens");
                    for _ in 0..share {
                        let frame = peer.read().expect("a reply in time").expect("open");
                        tell.send(Instant::now()).expect("the test listens");
                        assert!(
                            asked.remove(&frame.correlation),
                            "{why}: a frame nobody asked for"
                        );
                        let Reply::Begin(BeginOutcome::Replay(replay)) = frame.reply() else {
                            panic!("{why}: {:?}", frame.reply())
                        };
                        assert_eq!(replay.result.body, Body::Kept(&b"order 1"[..]), "{why}");
                    }
                    peer.ping(); // The next frame is its reply: there was no other.
                });
            }
            for _ in 0..connections {
                all_registered.recv_timeout(crate::server::PATIENCE).expect("waiters register");
            }
            assert_eq!(server.store.stats().waiters, WAITERS as u64, "{why}");
            let completed = Instant::now();
            complete(&mut owner, key, token);
            for waiter in 0..WAITERS {
                let told =
                    told.recv_timeout(crate::server::PATIENCE).expect("every waiter is told");
                let waited = told.saturating_duration_since(completed);
                assert!(waited < PUSH_WITHIN, "{why}: waiter {waiter} waited {waited:?}");
            }
        });
        assert_eq!(server.store.stats().waiters, 0, "{why}");
    }
}

/// The product's own client polls no more than a bare peer does.
#[test]
fn fifty_waiters_of_one_client_are_fifty_requests_and_fifty_replies() {
    let server = Server::start();
    let proxy = CountingProxy::to(server.address);
    let mut owner = Peer::welcome(server.address);
    let key = ScopedKey::new(b"tenant", b"order").expect("a key");
    let token = acquire(&mut owner, key);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let url = format!("onceward://{}/default", proxy.address);
        let client = Client::open(&url).expect("a URL");
        let mut waiting = JoinSet::new();
        for waiter in 0..WAITERS {
            let client = client.clone();
            waiting.spawn(async move { client.begin(key, &waiting_begin(waiter as u8)).await });
        }
        server.until("all wait", |store| store.stats().waiters == WAITERS as u64);
        let completed = Instant::now();
        complete(&mut owner, key, token);
        while let Some(told) = waiting.join_next().await {
            assert!(completed.elapsed() < PUSH_WITHIN, "a waiter waited {:?}", completed.elapsed());
            match told.expect("no task panicked") {
                Ok(BeginOutcome::Replay(replay)) => {
                    assert_eq!(replay.result.body.kept().map(AsRef::as_ref), Some(&b"order 1"[..]));
                }
                other => panic!("{other:?}"),
            }
        }
    });
    let expected: Counts =
        [(Opcode::Hello.as_u8(), 1), (Opcode::Begin.as_u8(), WAITERS)].into_iter().collect();
    assert_eq!(proxy.counts(), (expected.clone(), expected), "requests, replies");
}

#[test]
fn a_waiter_that_hangs_up_costs_nothing_afterwards() {
    let server = Server::start();
    let mut owner = Peer::welcome(server.address);
    let key = ScopedKey::new(b"", b"order").expect("a key");
    let token = acquire(&mut owner, key);
    let mut stays = Peer::welcome(server.address);
    let asked = stays.send(&Request::Begin { key, begin: waiting_begin(1) });
    stays.ping();
    let mut leaves = Peer::welcome(server.address);
    leaves.send(&Request::Begin { key, begin: waiting_begin(2) });
    leaves.ping();
    assert_eq!(server.store.stats().waiters, 2);
    drop(leaves);
    server.until("the waiter that left is off the count", |store| store.stats().waiters == 1);
    complete(&mut owner, key, token);
    let frame = stays.read().expect("a reply in time").expect("open");
    assert_eq!(frame.correlation, asked);
    assert!(matches!(frame.reply(), Reply::Begin(BeginOutcome::Replay(_))));
}

fn acquire(owner: &mut Peer, key: ScopedKey<'_>) -> Token {
    let begin = Begin::new(Fingerprint::None, AttemptId::from_bytes([0xff; 16]));
    match owner.ask(&Request::Begin { key, begin }).reply() {
        Reply::Begin(BeginOutcome::Acquired(acquired)) => acquired.token,
        other => panic!("{other:?}"),
    }
}

fn waiting_begin(attempt: u8) -> Begin {
    let attempt_id = AttemptId::from_bytes([attempt; 16]);
    Begin { wait: Millis::from_secs(60), ..Begin::new(Fingerprint::None, attempt_id) }
}

fn complete(owner: &mut Peer, key: ScopedKey<'_>, token: Token) {
    let result = ResultRef::of(201, b"order 1");
    let complete = Complete { token, result, fingerprint: None };
    let frame = owner.ask(&Request::Complete { key, complete });
    assert_eq!(frame.reply(), Reply::Complete(CompleteOutcome::Completed { not_kept: None }));
}
