//! The connection, against a peer that does what the test says.

use onceward_client::*;
use onceward_proto::{ErrorCode, ErrorReply, ServerLimits};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, timeout};

use crate::peer::{Asked, Peer};

fn key() -> ScopedKeyBuf {
    ScopedKeyBuf::new("tenant-9", "order-1").unwrap()
}

fn begin(wait_ms: u64) -> Begin {
    Begin { wait: Millis::new(wait_ms), ..Begin::new(Fingerprint::None, attempt_id()) }
}

async fn ask(client: &Client, request: Begin) -> Result<BeginOutcome<bytes::Bytes>, ClientError> {
    client.begin(key().as_ref(), &request).await
}

#[tokio::test]
async fn hello_names_namespace_and_credential() {
    let peer = Peer::bind().await;
    let client = peer.builder().credential("secret").open().unwrap();
    let (error, said) = tokio::join!(client.ping(), async {
        let mut visitor = peer.accept().await;
        let (said, negotiated) = visitor.hello().await;
        let denied = ErrorReply::denied("no such credential");
        let mut out = Vec::new();
        visitor.conn.refuse(negotiated, &denied, &mut out);
        visitor.write(&out).await;
        said
    });
    assert_eq!(said, ("orders".to_owned(), b"secret".to_vec()));
    assert_eq!(error, Err(ClientError::Denied), "not retried: the peer accepted once");
}

#[tokio::test]
async fn a_peer_that_refuses_or_talks_nonsense_is_named_at_once() {
    let refused = |error: &ErrorReply<'_>| {
        let mut out = Vec::new();
        error.encode(onceward_proto::frame::CONNECTION, 0, &mut out);
        out
    };
    let version = refused(&ErrorReply::new(ErrorCode::Version, "speak version 9"));
    let malformed = refused(&ErrorReply::new(ErrorCode::Malformed, "not mine"));
    let cases = [
        ("another program", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("another version", version),
        ("it does not understand HELLO", malformed),
    ];
    for (why, bytes) in cases {
        let peer = Peer::bind().await;
        let client = peer.builder().open().unwrap();
        let (error, _visitor) = tokio::join!(client.ping(), async {
            let mut visitor = peer.accept().await;
            let _ = visitor.hello().await;
            visitor.write(&bytes).await;
            visitor
        });
        let error = error.expect_err(why);
        assert!(matches!(error, ClientError::Protocol { .. }), "{why}: {error}");
        assert!(!error.is_retryable(), "{why}");
    }
}

#[tokio::test]
async fn a_full_server_is_asked_again() {
    let peer = Peer::bind().await;
    let client = peer.builder().open().unwrap();
    let (pong, ()) = tokio::join!(client.ping(), async {
        let mut visitor = peer.accept().await;
        visitor
            .answer(|replies, out| replies.closing(&ErrorReply::too_many_connections(9), out))
            .await;
        drop(visitor);
        let mut visitor = peer.welcome().await;
        let correlation = visitor.ping().await;
        visitor.pong(correlation).await;
    });
    assert_eq!(pong.unwrap().boot_epoch, 7);
}

#[tokio::test]
async fn without_a_server_an_operation_ends_within_its_deadline() {
    let port = {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        gone.local_addr().unwrap().port()
    };
    let client = Client::builder(&format!("onceward://127.0.0.1:{port}"))
        .connect_timeout(Duration::from_millis(150))
        .request_timeout(Duration::from_millis(100))
        .retries_max(u32::MAX)
        .open()
        .unwrap();
    let start = Instant::now();
    let error = ask(&client, begin(50)).await.unwrap_err();
    let took = start.elapsed();
    assert!(error.is_retryable(), "{error}");
    assert!(took <= Duration::from_secs(5), "deadline 300 ms, took {took:?}");
    assert!(took >= Duration::from_millis(30), "it tried more than once, took {took:?}");
}

#[tokio::test]
async fn a_lost_reply_is_asked_for_again_with_the_same_attempt_id_s3() {
    let peer = Peer::bind().await;
    let client = peer.builder().open().unwrap();
    let request = begin(10_000);
    let (outcome, ()) = tokio::join!(ask(&client, request), async {
        let mut visitor = peer.welcome().await;
        let (_, first) = visitor.begin().await;
        assert_eq!(Begin { wait: request.wait, ..first }, request);
        drop(visitor); // Whatever the store did, the reply is lost.
        let mut visitor = peer.welcome().await;
        let (correlation, again) = visitor.begin().await;
        assert!(again.wait <= first.wait, "the wait goes on, it does not begin anew");
        assert_eq!(Begin { wait: request.wait, ..again }, request, "else it is the same request");
        visitor.mismatch(correlation).await;
    });
    assert_eq!(outcome, Ok(BeginOutcome::Mismatch));
}

#[tokio::test]
async fn retries_are_bounded() {
    let peer = Peer::bind().await;
    let client = peer.builder().retries_max(2).open().unwrap();
    let (outcome, seen) = tokio::join!(ask(&client, begin(20_000)), async {
        for _ in 0..3 {
            let mut visitor = peer.welcome().await;
            visitor.begin().await;
        }
        timeout(Duration::from_millis(100), peer.accept()).await.is_ok()
    });
    assert!(outcome.unwrap_err().is_retryable());
    assert!(!seen, "the first and two retries");
}

#[tokio::test]
async fn a_store_that_is_unavailable_is_asked_again() {
    let peer = Peer::bind().await;
    let client = peer.builder().open().unwrap();
    let (outcome, ()) = tokio::join!(ask(&client, begin(0)), async {
        let mut visitor = peer.welcome().await;
        let (correlation, first) = visitor.begin().await;
        let opcode = onceward_proto::Opcode::Begin.as_u8();
        let down = ErrorReply::unavailable("restarting");
        visitor.answer(|replies, out| replies.error(opcode, correlation, &down, out)).await;
        let (correlation, again) = visitor.begin().await;
        assert_eq!(again, first, "on the same connection");
        visitor.mismatch(correlation).await;
    });
    assert_eq!(outcome, Ok(BeginOutcome::Mismatch));
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_left_for_another_connection() {
    let peer = Peer::bind().await;
    let client = peer.builder().request_timeout(Duration::from_millis(300)).open().unwrap();
    let request = begin(0);
    let (outcome, ()) = tokio::join!(ask(&client, request), async {
        let mut silent = peer.welcome().await;
        silent.begin().await;
        let mut visitor = peer.welcome().await; // Without waiting for TCP to notice.
        let (correlation, again) = visitor.begin().await;
        assert_eq!(again, request);
        visitor.mismatch(correlation).await;
    });
    assert_eq!(outcome, Ok(BeginOutcome::Mismatch));
}

#[tokio::test]
async fn replies_may_come_in_any_order_and_late_ones_are_dropped() {
    let peer = Peer::bind().await;
    let client = peer.builder().request_timeout(Duration::from_millis(400)).retries_max(0).open();
    let client = client.unwrap();
    let (gave_up, given_up) = oneshot::channel();
    let first = async {
        let answer = ask(&client, begin(0)).await;
        gave_up.send(()).unwrap();
        answer
    };
    let (first, second, third, ()) =
        tokio::join!(first, ask(&client, begin(0)), client.ping(), async {
            let mut visitor = peer.welcome().await;
            let (late, _) = visitor.begin().await;
            let (correlation, _) = visitor.begin().await;
            let ping = visitor.ping().await;
            visitor.pong(ping).await;
            visitor.mismatch(correlation).await;
            given_up.await.unwrap();
            visitor.mismatch(late).await;
            let (ping, ()) = tokio::join!(client.ping(), async {
                let ping = visitor.ping().await;
                visitor.pong(ping).await;
            });
            ping.expect("the connection goes on after a reply that nobody waits for");
        });
    assert!(first.unwrap_err().is_retryable(), "it came after its time");
    assert_eq!(second, Ok(BeginOutcome::Mismatch));
    assert!(third.is_ok());
}

#[tokio::test]
async fn a_dropped_wait_is_cancelled_and_nothing_else_is_s10() {
    let peer = Peer::bind().await;
    let client = peer.builder().open().unwrap();
    let pinging = tokio::spawn({
        let client = client.clone();
        async move { client.ping().await }
    });
    let mut visitor = peer.welcome().await;
    visitor.ping().await;
    pinging.abort();
    assert!(pinging.await.is_err());
    let waiting = tokio::spawn(async move { ask(&client, begin(20_000)).await });
    let (waited, _) = visitor.begin().await;
    waiting.abort();
    match visitor.next().await {
        Some(Asked::Cancel { target }) => assert_eq!(target, waited),
        other => panic!("{other:?}, not a CANCEL: none for the ping, one for the begin"),
    }
}

#[tokio::test]
async fn those_who_wait_leave_room_for_the_owner_they_wait_for() {
    let peer = Peer::bind().await;
    let client = peer.builder().open().unwrap();
    let waiters: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                client.get(key().as_ref(), &Get { wait: Millis::from_secs(20) }).await
            })
        })
        .collect();
    let limits = ServerLimits { in_flight_max: 8, ..ServerLimits::default() };
    let mut visitor = peer.welcome_with(limits).await;
    let mut waiting = Vec::new();
    for _ in 0..7 {
        let (correlation, wait) = visitor.get().await;
        assert!(wait > Millis::from_secs(10));
        waiting.push(correlation);
    }
    // The eighth place is for those who do not wait.
    let (pong, ()) = tokio::join!(client.ping(), async {
        let ping = visitor.ping().await;
        visitor.pong(ping).await;
    });
    pong.unwrap();
    let mut answered = 0;
    while answered < 20 {
        while let Some(correlation) = waiting.pop() {
            visitor.absent(correlation).await;
            answered += 1;
        }
        if answered < 20 {
            waiting.push(visitor.get().await.0);
        }
    }
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), Ok(GetOutcome::Absent), "each gets its turn");
    }
}

#[tokio::test]
async fn a_result_over_the_frame_completes_with_its_body_declined_s20() {
    let peer = Peer::bind().await; // Frames of 128 KiB.
    let client = peer.builder().open().unwrap();
    let token = Token { fence: Fence::new(1).unwrap(), attempt_id: attempt_id() };
    let complete = async |size| {
        let body = vec![b'x'; size];
        let request = Complete { token, result: ResultRef::of(201, &body), fingerprint: None };
        client.complete(key().as_ref(), &request).await
    };
    let cases = [(100 * 1024, true), (128 * 1024, false), (2 * 1024 * 1024, false)];
    let script = async {
        let mut visitor = peer.welcome().await;
        for (size, kept) in cases {
            let Some(Asked::Complete { correlation, body }) = visitor.next().await else {
                panic!("not a complete")
            };
            let want =
                if kept { Body::Kept(vec![b'x'; size]) } else { Body::NotKept(NotKept::Declined) };
            assert!(body == want, "{size} bytes");
            let outcome = CompleteOutcome::Completed {
                not_kept: want.kept().map_or(Some(NotKept::Declined), |_| None),
            };
            visitor.answer(|replies, out| replies.complete(correlation, outcome, out)).await;
        }
    };
    let asking = async {
        for (size, kept) in cases {
            let outcome = complete(size).await.unwrap();
            let not_kept = if kept { None } else { Some(NotKept::Declined) };
            assert_eq!(outcome, CompleteOutcome::Completed { not_kept }, "{size} bytes");
        }
    };
    tokio::join!(asking, script);
}

#[tokio::test]
async fn the_last_client_takes_its_connection_along() {
    let peer = Peer::bind().await;
    let client = peer.builder().open().unwrap();
    let clone = client.clone();
    let (pong, mut visitor) = tokio::join!(client.ping(), async {
        let mut visitor = peer.welcome().await;
        let ping = visitor.ping().await;
        visitor.pong(ping).await;
        visitor
    });
    pong.unwrap();
    drop(client);
    let (pong, ()) = tokio::join!(clone.ping(), async {
        let ping = visitor.ping().await;
        visitor.pong(ping).await;
    });
    pong.expect("a clone is left");
    drop(clone);
    let end = timeout(Duration::from_secs(5), visitor.stream.read_u8()).await;
    assert!(end.expect("closed at once").is_err(), "end of input");
}

#[test]
fn a_client_outlives_the_runtime_it_connected_on() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let peer = server.block_on(Peer::bind());
    let client = peer.builder().request_timeout(Duration::from_secs(60)).open().unwrap();
    let serving = server.spawn(async move {
        for _ in 0..2 {
            let mut visitor = peer.welcome().await;
            let ping = visitor.ping().await;
            visitor.pong(ping).await;
            assert!(visitor.next().await.is_none(), "its runtime has ended");
        }
    });
    let start = Instant::now();
    for _ in 0..2 {
        runtime().block_on(client.ping()).unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(30), "noticed without a timeout");
    drop(client);
    server.block_on(serving).unwrap();
}
