//! Replies that wait for the journal (S14, S17, S21).

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use onceward::{
    Abandon, AttemptId, Begin, Certainty, Digest, Durability, Fence, Fingerprint, Forget, Get,
    Millis, Renew, SaveCheckpoint, Token,
};
use onceward_proto::{ErrorCode, Request};
use onceward_server::ServerConfig;

use crate::hand_log::HandLog;
use crate::peer::{Got, Peer, begin, complete, key};
use crate::running::{Running, until};

struct Durable {
    server: Running,
    log: Arc<HandLog>,
}

/// Somebody whose reply is held.
struct Held {
    peer: Peer,
    socket: TcpStream,
    asked: u64,
}

impl Held {
    /// Nothing has come: what was written to a loopback socket is there at once.
    fn is_told_nothing(&self, what: &str) {
        let peeked = self.socket.peek(&mut [0]);
        let none = peeked.as_ref().is_err_and(|why| why.kind() == std::io::ErrorKind::WouldBlock);
        assert!(none, "{what}: {peeked:?}");
    }

    async fn told(&mut self) -> Got {
        let (correlation, got) = self.peer.next().await;
        assert_eq!(correlation, self.asked);
        got
    }
}

impl Durable {
    fn start(durability: Durability) -> Self {
        Self::with(ServerConfig::default(), durability)
    }

    fn with(config: ServerConfig, durability: Durability) -> Self {
        let log = Arc::<HandLog>::default();
        Self { server: Running::durable(config, durability, &log), log }
    }

    /// Asks, and sees that the server has judged it and asks for the sync before it tells.
    async fn held(&self, what: &str, request: &Request<'_>) -> Held {
        let (mut peer, socket) = Peer::observed(self.server.address).await;
        let before = self.log.wants();
        let asked = peer.push(request);
        peer.flush().await;
        until(what, || self.log.wants() > before).await;
        let held = Held { peer, socket, asked };
        held.is_told_nothing(what);
        held
    }

    /// What one who asks is told at once.
    async fn at_once(&self, request: &Request<'_>) -> Got {
        Peer::connect(self.server.address).await.ask(request).await
    }

    /// Asks, sees that it is held, syncs, and gives what is told.
    async fn synced(&self, what: &str, request: &Request<'_>) -> Got {
        let mut held = self.held(what, request).await;
        self.log.sync();
        held.told().await
    }

    async fn own(&self, key: &str, attempt: u8) -> Token {
        self.synced("an acquisition", &begin(key, attempt, 0)).await.token()
    }
}

fn get(name: &str, wait: u64) -> Request<'_> {
    Request::Get { key: key(name), get: Get { wait: Millis::new(wait) } }
}

fn abandon(name: &str, token: Token) -> Request<'_> {
    Request::Abandon { key: key(name), abandon: Abandon { token, certainty: Certainty::NotDone } }
}

fn is_unavailable(got: &Got, why: &str) {
    let Got::Error(error) = got else { panic!("{got:?}") };
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.message.contains(why), "{error:?}");
}

#[tokio::test]
async fn at_always_every_outcome_waits_for_each_fact_it_rests_on_s14() {
    let it = Durable::start(Durability::Always);
    let first = begin("job", 1, 0);
    let mut acquired = it.held("Acquired", &first).await;
    let mut repeated = it.held("Acquired again", &first).await;
    let mut asked = Begin::new(
        Fingerprint::Digest(Digest::new(&[7; 16]).expect("16 bytes")),
        AttemptId::from_bytes([2; 16]),
    );
    asked.wait = Millis::ZERO;
    let mut mismatch = it.held("Mismatch", &Request::Begin { key: key("job"), begin: asked }).await;
    let in_progress = it.at_once(&begin("job", 2, 0)).await;
    assert_eq!(in_progress.name(), "in_progress", "it rests on no fact");
    let mut reserved = it.held("Reserved", &get("job", 0)).await;
    for held in [&acquired, &repeated, &mismatch, &reserved] {
        held.is_told_nothing("before the sync");
    }
    it.log.sync();
    let token = acquired.told().await.token();
    assert_eq!(repeated.told().await.token(), token);
    assert_eq!(mismatch.told().await.name(), "mismatch");
    assert_eq!(reserved.told().await.name(), "reserved");

    let renew = |lease| {
        let renew = Renew { token, lease: Millis::from_secs(lease), fingerprint: None };
        Request::Renew { key: key("job"), renew }
    };
    it.synced("a longer lease", &renew(60)).await;
    let checkpoint = SaveCheckpoint { token, ordinal: 1, bytes: b"half" };
    let checkpoint = Request::Checkpoint { key: key("job"), checkpoint };
    it.synced("Saved", &checkpoint).await;

    let done = complete("job", token, b"done");
    let others = complete("job", token, b"other");
    let forged = Token { fence: Fence::new(token.fence.get() + 9).expect("in range"), ..token };
    let fenced = complete("job", forged, b"done");
    let resting = [
        ("Completed", done, "Completed"),
        ("AlreadyCompleted", done, "AlreadyCompleted"),
        ("Conflict", others, "Conflict"),
        ("Replay", begin("job", 3, 0), "replay"),
        ("a completed get", get("job", 0), "completed"),
        ("Fenced", fenced, "Fenced"),
        ("Conflict of a renew", renew(60), "Conflict"),
    ];
    let mut held = Vec::new();
    for (what, request, outcome) in &resting {
        held.push((it.held(what, request).await, outcome));
    }
    held.iter().for_each(|(held, what)| held.is_told_nothing(what));
    it.log.sync();
    for (held, outcome) in &mut held {
        let got = held.told().await;
        let told = if let Got::Other(text) = &got { text } else { got.name() };
        assert!(told.contains(**outcome), "{outcome}: {told}");
    }

    let forget = Request::Forget { key: key("job"), forget: Forget { fence: token.fence } };
    let resting = [
        ("Forgotten", forget, "Forgotten"),
        ("Gone", done, "Gone"),
        ("Absent", get("job", 0), "absent"),
    ];
    let mut held = Vec::new();
    for (what, request, outcome) in &resting {
        held.push((it.held(what, request).await, outcome));
    }
    it.log.sync();
    for (held, outcome) in &mut held {
        let got = held.told().await;
        let told = if let Got::Other(text) = &got { text } else { got.name() };
        assert!(told.contains(**outcome), "{outcome}: {told}");
    }
}

#[tokio::test]
async fn at_always_a_waiters_wake_up_waits_for_what_woke_it_s10_s14() {
    let it = Durable::start(Durability::Always);
    let token = it.own("job", 1).await;
    let (mut peer, socket) = Peer::observed(it.server.address).await;
    let asked = peer.push(&begin("job", 2, 60_000));
    peer.ping_behind().await;
    let mut waiter = Held { peer, socket, asked };
    let before = it.log.wants();
    let mut owner = it.held("Completed", &complete("job", token, b"done")).await;
    until("the waiter asks, too", || it.log.wants() == before + 2).await;
    waiter.is_told_nothing("Replay");
    it.log.sync();
    assert_eq!(owner.told().await.name(), "other");
    assert_eq!(waiter.told().await.body(), b"done");

    let token = it.own("other", 1).await;
    let (mut peer, socket) = Peer::observed(it.server.address).await;
    let asked = peer.push(&begin("other", 2, 60_000));
    peer.ping_behind().await;
    let mut waiter = Held { peer, socket, asked };
    let mut owner = it.held("Abandoned", &abandon("other", token)).await;
    waiter.is_told_nothing("its own acquisition");
    it.log.sync();
    owner.told().await;
    assert_ne!(waiter.told().await.token(), token);
}

#[tokio::test]
async fn what_is_synced_is_told_at_once_and_one_sync_is_asked_for_per_batch_s14() {
    let it = Durable::start(Durability::Always);
    let token = it.own("job", 1).await;
    it.synced("Completed", &complete("job", token, b"done")).await;
    let before = it.log.wants();
    assert_eq!(it.at_once(&begin("job", 2, 0)).await.body(), b"done");
    assert_eq!(it.log.wants(), before, "nothing is left to sync");
    let mut peer = Peer::connect(it.server.address).await;
    let keys: Vec<_> = (0..100).map(|number| format!("key-{number}")).collect();
    for key in &keys {
        peer.push(&begin(key, 1, 0));
    }
    peer.flush().await;
    until("all are judged", || it.log.facts() == 102).await;
    assert_eq!(it.log.wants(), before + 1);
    it.log.sync();
    for _ in &keys {
        peer.next().await.1.token();
    }
}

#[tokio::test]
async fn at_interval_replies_wait_when_the_journal_is_late_and_for_takeovers_s14() {
    let it = Durable::start(Durability::Interval);
    it.at_once(&begin("job", 1, 0)).await.token();
    it.log.late.store(true, SeqCst);
    it.synced("late", &begin("other", 1, 0)).await.token();
    it.log.late.store(false, SeqCst);
    it.at_once(&begin("third", 1, 0)).await.token();
    it.server.advance(30_000); // The lease ends.
    let taken = it.synced("a takeover", &begin("job", 2, 0)).await.token();
    assert_eq!(it.at_once(&begin("job", 2, 0)).await.token(), taken, "it is synced");
    it.at_once(&complete("job", taken, b"done")).await;
    assert_eq!(it.at_once(&begin("job", 3, 0)).await.body(), b"done");
}

#[tokio::test]
async fn while_the_journal_is_halted_nothing_that_rests_on_it_is_told_s14() {
    let it = Durable::start(Durability::Always);
    let owned = it.own("owned", 1).await;
    let done = it.own("done", 1).await;
    it.synced("Completed", &complete("done", done, b"done")).await;
    let mut completing = it.held("Completed", &complete("owned", owned, b"late")).await;
    let mut replayed = it.held("Replay", &begin("owned", 2, 0)).await;
    it.log.stop("no space left on the device");
    is_unavailable(&completing.told().await, "no space left");
    is_unavailable(&replayed.told().await, "no space left");
    // Nobody may be told what is not on the disk; what is goes on.
    is_unavailable(&it.at_once(&get("owned", 0)).await, "no space left");
    is_unavailable(&it.at_once(&begin("new", 1, 0)).await, "no space left");
    assert_eq!(it.at_once(&begin("done", 3, 0)).await.body(), b"done");
    let mut peer = Peer::connect(it.server.address).await;
    peer.ping().await;
    // One connection is answered both ways, in order.
    let asked =
        [peer.push(&begin("owned", 4, 0)), peer.push(&get("done", 0)), peer.push(&get("owned", 0))];
    peer.flush().await;
    let mut got = Vec::new();
    for asked in asked {
        let (correlation, reply) = peer.next().await;
        assert_eq!(correlation, asked);
        got.push(reply);
    }
    is_unavailable(&got[0], "no space left");
    assert_eq!(got[1].body(), b"done");
    is_unavailable(&got[2], "no space left");
    // What was accepted is synced as well once there is room.
    it.log.go_on();
    it.log.sync();
    assert_eq!(it.at_once(&begin("owned", 4, 0)).await.body(), b"late");
    it.own("new", 1).await;
}

#[tokio::test]
async fn a_journal_that_is_halted_when_the_server_starts_is_heeded_s14() {
    let log = Arc::<HandLog>::default();
    let server = Running::durable(ServerConfig::default(), Durability::Always, &log);
    let mut peer = Peer::connect(server.address).await;
    peer.push(&begin("job", 1, 0));
    peer.flush().await;
    until("it is judged", || log.wants() == 1).await;
    drop(server.stop());
    log.stop("no space left on the device");
    let second = Running::durable(ServerConfig::default(), Durability::Always, &log);
    let mut peer = Peer::connect(second.address).await;
    is_unavailable(&peer.begin("job", 1, 0).await, "no space left");
}

/// Its parts lie in different places until they are written.
#[tokio::test]
async fn large_bodies_are_held_alike_s14() {
    let it = Durable::start(Durability::Always);
    let token = it.own("large", 1).await;
    let body: Vec<u8> = (0..200_000u32).map(|number| (number % 251) as u8).collect();
    let mut owner = it.held("Completed", &complete("large", token, &body)).await;
    let mut replays = Vec::new();
    for attempt in 2..6 {
        replays.push(it.held("Replay", &begin("large", attempt, 0)).await);
    }
    it.log.stop("a fault");
    for replay in &mut replays[..] {
        is_unavailable(&replay.told().await, "a fault");
    }
    it.log.go_on();
    for replay in &mut replays {
        replay.asked = replay.peer.push(&begin("large", 7, 0));
        replay.peer.flush().await;
    }
    is_unavailable(&owner.told().await, "a fault");
    owner.is_told_nothing("it was answered");
    it.log.sync();
    for replay in &mut replays {
        assert!(replay.told().await.body() == body);
    }
}

#[tokio::test]
async fn held_replies_count_against_the_limit_of_unsent_bytes_s20() {
    const REQUESTS: usize = 200;
    let config = ServerConfig { unsent_bytes_max: 2_000, ..ServerConfig::default() };
    let it = Durable::with(config, Durability::Always);
    let (mut peer, _) = Peer::observed(it.server.address).await;
    let keys: Vec<_> = (0..REQUESTS).map(|number| format!("key-{number}")).collect();
    for key in &keys {
        peer.push(&begin(key, 1, 0));
    }
    peer.flush().await;
    let mut told = 0;
    while told < REQUESTS {
        let wants = it.log.wants();
        until("more are judged", || it.log.facts() as usize > told).await;
        let judged = it.log.facts() as usize;
        assert!(judged - told <= 2_000 / 40, "{judged} judged, {told} told");
        assert!(wants <= it.log.wants());
        it.log.sync();
        for _ in told..judged {
            peer.next().await.1.token();
        }
        told = judged;
    }
}

/// However long the disk takes: the peer is not to blame.
#[tokio::test]
async fn a_held_reply_is_no_slow_peer() {
    let timeout = Duration::from_millis(30);
    let config =
        ServerConfig { write_timeout: timeout, idle_timeout: timeout, ..ServerConfig::default() };
    let it = Durable::with(config, Durability::Always);
    let mut held = it.held("Acquired", &begin("job", 1, 0)).await;
    tokio::time::sleep(4 * timeout).await;
    held.is_told_nothing("it is neither told nor closed");
    it.log.sync();
    held.told().await.token();
}

#[tokio::test]
async fn replies_of_several_threads_leave_by_one_sync_s14() {
    let config = ServerConfig { threads: 2, ..ServerConfig::default() };
    let it = Durable::with(config, Durability::Always);
    for round in 0..20 {
        let mut held = Vec::new();
        for peer in 0..5 {
            held.push(it.held("Acquired", &begin(&format!("job-{round}-{peer}"), 1, 0)).await);
        }
        held.iter().for_each(|held| held.is_told_nothing("before the sync"));
        it.log.sync();
        for held in &mut held {
            held.told().await.token();
        }
    }
}

/// The call that a connection waits for may come before it waits.
#[tokio::test]
async fn a_sync_that_is_over_before_anybody_listens_is_noticed_s14() {
    let it = Durable::start(Durability::Always);
    it.log.eager.store(true, SeqCst);
    let mut peer = Peer::connect(it.server.address).await;
    let asking = async {
        for number in 0..40 {
            peer.begin(&format!("job-{number}"), 1, 0).await.token();
        }
    };
    // A reply that is forgotten leaves when the connection's buffers are looked at, half a second
    // later or so.
    tokio::time::timeout(crate::peer::SOON / 4, asking).await.expect("at once");
}

/// Syncs race with replies that are just being held: none may be forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sync_is_missed_s14() {
    let config = ServerConfig { threads: 2, ..ServerConfig::default() };
    let it = Durable::with(config, Durability::Always);
    let (log, done) = (Arc::clone(&it.log), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let ended = Arc::clone(&done);
    let syncing = std::thread::spawn(move || {
        while !ended.load(SeqCst) {
            // Only what was asked for: nothing else may come to the rescue.
            if log.wants() > 0 && log.facts() > onceward::FactLog::synced(&*log).0 {
                log.sync();
            }
            std::thread::yield_now();
        }
    });
    let mut asking = Vec::new();
    for peer in 0..4 {
        let mut it = Peer::connect(it.server.address).await;
        asking.push(tokio::spawn(async move {
            for number in 0..500 {
                it.begin(&format!("job-{peer}-{number}"), 1, 0).await.token();
            }
        }));
    }
    for asking in asking {
        asking.await.expect("each is answered");
    }
    done.store(true, SeqCst);
    syncing.join().expect("no panic");
}

#[tokio::test]
async fn a_drain_waits_for_the_sync_and_leaves_nothing_behind_s17() {
    let mut it = Durable::start(Durability::Always);
    it.own("job", 1).await;
    let mut waiter = Peer::connect(it.server.address).await;
    waiter.push(&begin("job", 2, 60_000));
    waiter.ping_behind().await;
    let mut held = it.held("Acquired", &begin("other", 1, 0)).await;
    it.server.signal();
    let Got::Error(error) = waiter.next().await.1 else { panic!("given up") };
    assert_eq!(error.code, ErrorCode::Unavailable);
    held.is_told_nothing("before the sync");
    it.log.sync();
    held.told().await.token();
    held.peer.expect_end().await;
    drop((held, waiter));
    let Durable { server, log } = it;
    let report = server.stop().await;
    assert_eq!((report.unanswered, report.connections_cut), (0, 0), "{report:?}");
    assert_eq!(Arc::strong_count(&log), 1, "neither store nor server is left");
}
