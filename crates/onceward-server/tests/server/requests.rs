//! Requests and replies, one by one and pipelined.

use onceward::{
    Abandon, Certainty, Fence, Forget, Get, GetOutcome, ListQuery, Millis, Namespace, Renew,
    Resolve, ResultRef, SaveCheckpoint, Verdict,
};
use onceward_proto::{ClientConfig, ClientConn, ErrorCode, Hello, Opcode, Request, Rights};

use crate::peer::{Got, Peer, begin, complete, key};
use crate::running::Running;

#[tokio::test]
async fn a_key_is_executed_once_over_the_wire_s2_s5() {
    let server = Running::start();
    let mut owner = Peer::connect(server.address).await;
    let mut other = Peer::connect(server.address).await;
    let token = owner.begin("order-1", 1, 0).await.token();
    assert_eq!(other.begin("order-1", 2, 0).await.name(), "in_progress");
    assert_eq!(other.begin("order-1", 1, 0).await.token(), token, "a lost reply, asked again (S3)");
    let done = owner.complete("order-1", token, b"shipped").await;
    assert_eq!(done, Got::Other("Complete(Completed { not_kept: None })".to_owned()));
    assert_eq!(other.begin("order-1", 2, 0).await.body(), b"shipped");
    drop((owner, other));
    let report = server.stop().await;
    assert_eq!((report.connections, report.requests, report.answered), (2, 7, 7), "{report:?}");
}

#[tokio::test]
async fn every_operation_is_answered() {
    let server = Running::start();
    let mut peer = Peer::connect(server.address).await;
    peer.ping().await;
    let token = peer.begin("a", 1, 0).await.token();
    let fence = token.fence;
    let other = |text: &str| Got::Other(text.to_owned());

    let renew = Renew { token, lease: Millis::from_secs(40), fingerprint: None };
    let renew = Request::Renew { key: key("a"), renew };
    assert_eq!(peer.ask(&renew).await, other("Renew(Renewed { lease_left: Millis(40000) })"));

    let checkpoint = SaveCheckpoint { token, ordinal: 1, bytes: b"half way" };
    let checkpoint = Request::Checkpoint { key: key("a"), checkpoint };
    assert_eq!(peer.ask(&checkpoint).await, other("Checkpoint(Saved { ordinal: 1 })"));

    let get = Request::Get { key: key("a"), get: Get { wait: Millis::ZERO } };
    let Got::Get(GetOutcome::Reserved { fence: seen, .. }) = peer.ask(&get).await else {
        panic!("it is reserved")
    };
    assert_eq!(seen, Some(fence), "both rights are held: fences are shown");

    let abandon = Abandon { token, certainty: Certainty::InDoubt };
    let abandon = Request::Abandon { key: key("a"), abandon };
    assert_eq!(peer.ask(&abandon).await, other("Abandon(Abandoned)"));

    let verdict = Verdict::Completed { result: ResultRef::of(201, b"found"), fingerprint: None };
    let resolve = |doubt_number, fence| Request::Resolve {
        key: key("a"),
        resolve: Resolve { fence, doubt_number, verdict },
    };
    let forged = Fence::new(fence.get() + 1).expect("a fence");
    assert_eq!(peer.ask(&resolve(1, forged)).await, other("Resolve(Fenced)"));
    assert_eq!(peer.ask(&resolve(1, fence)).await, other("Resolve(Resolved)"));
    assert_eq!(peer.ask(&get).await.body(), b"found");

    let Got::Other(page) = peer.ask(&Request::List(ListQuery::default())).await else {
        panic!("a page")
    };
    assert!(page.contains("Completed"), "{page}");
    let Got::Other(stats) = peer.ask(&Request::Stats).await else { panic!("figures") };
    assert!(stats.contains("\"entries_completed\": 1"), "{stats}");

    let forget = Request::Forget { key: key("a"), forget: Forget { fence } };
    assert_eq!(peer.ask(&forget).await, other("Forget(Forgotten)"));
    assert_eq!(peer.ask(&get).await, Got::Get(GetOutcome::Absent));
    assert_eq!(peer.complete("a", token, b"late").await, other("Complete(Gone)"));
}

#[tokio::test]
async fn hello_tells_what_the_server_takes_s22() {
    let server = Running::start();
    let peer = Peer::connect(server.address).await;
    let welcome = *peer.conn.welcome().expect("welcome");
    assert_eq!(welcome.version, 1);
    assert_eq!(welcome.boot_epoch, server.store.boot_epoch());
    assert_eq!(welcome.rights, Rights::ALL);
    assert_eq!(welcome.limits.lease_max, server.store.limits().lease_max);
    assert_eq!(welcome.limits.in_flight_max, 16_384);
    assert_eq!(welcome.limits.idle_timeout, Millis::from_secs(600));
    assert!(welcome.server_time_ms > 1_700_000_000_000, "a wall clock");
}

#[tokio::test]
async fn a_refused_hello_may_be_said_again() {
    let server = Running::start();
    let mut peer = Peer::silent(server.address).await;
    peer.conn.hello(&Hello::new(Namespace::DEFAULT, b""), &mut peer.outbox);
    let good = std::mem::take(&mut peer.outbox);
    let mut upper_case = good.clone();
    upper_case[40] = b'D'; // 16 of the header, 24 of the fixed fields.
    peer.send_raw(&upper_case).await;
    let reply = peer.raw_frame().await;
    assert_eq!((reply[4], reply[16]), (Opcode::Hello.as_u8(), ErrorCode::BadInput.as_u8()));
    peer.send_raw(&good).await;
    assert_eq!(peer.next().await.1, Got::Welcome);
    peer.ping().await;
}

#[tokio::test]
async fn a_result_that_a_connection_cannot_carry_is_not_absent_s23() {
    let server = Running::start();
    let mut owner = Peer::connect(server.address).await;
    let token = owner.begin("large", 1, 0).await.token();
    owner.complete("large", token, &[1; 200 * 1024]).await;
    let mut narrow = Peer::silent(server.address).await;
    narrow.conn = ClientConn::new(&ClientConfig { body_bytes_max: 128 * 1024 });
    narrow.conn.hello(&Hello::new(Namespace::DEFAULT, b""), &mut narrow.outbox);
    narrow.flush().await;
    assert_eq!(narrow.next().await.1, Got::Welcome);
    assert_eq!(narrow.begin("large", 2, 0).await.name(), "result_unavailable");
    narrow.ping().await;
}

#[tokio::test]
async fn a_namespace_is_the_connections_own_s16() {
    let server = Running::start();
    let mut one = Peer::connect(server.address).await;
    let token = one.begin("a", 1, 0).await.token();
    one.complete("a", token, b"of one").await;
    let mut two = Peer::silent(server.address).await;
    let name = Namespace::new("another").expect("a name");
    two.conn.hello(&Hello::new(name, b""), &mut two.outbox);
    two.flush().await;
    assert_eq!(two.next().await.1, Got::Welcome);
    assert_eq!(two.begin("a", 2, 0).await.name(), "acquired", "another namespace, another key");
    let Got::Other(page) = two.ask(&Request::List(ListQuery::default())).await else {
        panic!("a page")
    };
    assert_eq!(page.matches("ListEntry").count(), 1, "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_each_answered_once() {
    const KEYS: usize = 2_000;
    let server = Running::start();
    let mut peer = Peer::silent(server.address).await;
    // HELLO and everything after it in one go, without waiting for its reply.
    peer.conn.hello(&Hello::new(Namespace::DEFAULT, b""), &mut peer.outbox);
    let keys: Vec<_> = (0..KEYS).map(|number| format!("key-{number}")).collect();
    let asked: Vec<_> = keys.iter().map(|key| peer.push(&begin(key, 1, 0))).collect();
    peer.flush().await;
    assert_eq!(peer.next().await.1, Got::Welcome);
    let mut tokens = Vec::new();
    for (want, key) in asked.iter().zip(&keys) {
        let (correlation, got) = peer.next().await;
        assert_eq!(correlation, *want, "what does not wait is answered in order");
        tokens.push((key, got.token()));
    }
    for (key, token) in &tokens {
        peer.push(&complete(key, *token, key.as_bytes()));
    }
    for (key, _) in &tokens {
        peer.push(&begin(key, 2, 0));
    }
    peer.flush().await;
    for _ in &tokens {
        assert_eq!(peer.next().await.1.name(), "other");
    }
    for (key, _) in &tokens {
        assert_eq!(peer.next().await.1.body(), key.as_bytes());
    }
    peer.ping().await;
    assert_eq!(peer.conn.outstanding(), 0);
}

#[tokio::test]
async fn frames_may_come_byte_by_byte() {
    let server = Running::start();
    let mut peer = Peer::connect(server.address).await;
    let asked = peer.push(&begin("slowly", 1, 0));
    for byte in std::mem::take(&mut peer.outbox) {
        peer.send_raw(&[byte]).await;
        tokio::task::yield_now().await;
    }
    let (correlation, got) = peer.next().await;
    assert_eq!((correlation, got.name()), (asked, "acquired"));
}

#[tokio::test]
async fn an_unknown_opcode_is_refused_and_the_connection_stays_s23() {
    let server = Running::start();
    let mut peer = Peer::connect(server.address).await;
    peer.ping().await;
    // The state machine would not pair a reply to what it did not send: read the frame by hand.
    let before = peer.push(&Request::Ping { echo: 1 });
    let mut unknown = peer.outbox.clone();
    unknown[4] = 0x7f;
    unknown[8..16].copy_from_slice(&(before + 1_000).to_le_bytes());
    let mut both = unknown;
    both.extend_from_slice(&std::mem::take(&mut peer.outbox));
    peer.send_raw(&both).await;
    let frame = peer.raw_frame().await;
    assert_eq!((frame[4], frame[5]), (0x7f, 1), "a reply that repeats the opcode");
    assert_eq!(frame[8..16], (before + 1_000).to_le_bytes(), "and the correlation");
    assert_eq!(frame[16], ErrorCode::UnknownOpcode.as_u8());
    let (correlation, got) = peer.next().await;
    assert_eq!((correlation, got), (before, Got::Other("Pong { echo: 1 }".to_owned())));
}

#[tokio::test]
async fn bad_input_names_its_field_and_the_connection_stays_s20() {
    let server = Running::start();
    let mut peer = Peer::connect(server.address).await;
    let mut lease_zero =
        onceward::Begin::new(onceward::Fingerprint::None, onceward::AttemptId::from_bytes([1; 16]));
    lease_zero.lease = Millis::ZERO;
    let mut short_retention = lease_zero;
    short_retention.lease = Millis::from_secs(30);
    short_retention.retention = Millis::from_secs(29);
    let cases = [
        ("a lease of zero", Request::Begin { key: key("a"), begin: lease_zero }, "lease"),
        (
            "retention shorter than the lease",
            Request::Begin { key: key("a"), begin: short_retention },
            "retention",
        ),
        (
            "a page of nothing",
            Request::List(ListQuery { entries_max: 0, ..ListQuery::default() }),
            "page",
        ),
    ];
    for (why, request, field) in cases {
        let Got::Error(error) = peer.ask(&request).await else { panic!("{why}: refused") };
        assert_eq!(error.code, ErrorCode::BadInput, "{why}");
        assert_eq!(error.field.as_deref(), Some(field), "{why}");
    }
    assert_eq!(peer.begin("a", 1, 0).await.name(), "acquired", "nothing was changed");
    // A key of 256 bytes cannot be built by the state machine's words: patch the length.
    let mut frame = Vec::new();
    let long = "k".repeat(255);
    begin(&long, 1, 0).encode(9_999, u32::MAX, &mut frame).expect("it fits");
    for (why, size) in [("an empty key", 0_usize), ("a key of 256 bytes", 256)] {
        let bytes = with_key_size(&frame, size);
        peer.send_raw(&bytes).await;
        let reply = peer.raw_frame().await;
        assert_eq!(reply[4], Opcode::Begin.as_u8(), "{why}");
        assert_eq!(reply[16], ErrorCode::BadInput.as_u8(), "{why}");
    }
    peer.ping().await;
}

/// The BEGIN in `frame`, whose key of 255 times `k` ends it, with a key of another size.
fn with_key_size(frame: &[u8], size: usize) -> Vec<u8> {
    let key_at = frame.len() - 255;
    let length_at = frame[..key_at]
        .windows(2)
        .rposition(|pair| pair == 255_u16.to_le_bytes())
        .expect("the key's length, a u16");
    let mut bytes = frame[..key_at].to_vec();
    bytes[length_at..length_at + 2].copy_from_slice(&(size as u16).to_le_bytes());
    bytes.extend(std::iter::repeat_n(b'k', size));
    let length = (bytes.len() - 16) as u32;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes
}
