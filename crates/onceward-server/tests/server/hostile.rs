//! Peers that break the protocol, fall silent, or do not read. Each gets an error where one can
//! reach it, and costs nobody else anything.

use std::time::{Duration, Instant};

use onceward_proto::{ErrorCode, Hello, Request, frame};
use onceward_server::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::peer::{Got, Peer, begin, complete};
use crate::running::{Running, until};

/// A header, and a body of zeros.
fn frame(
    length: u32,
    opcode: u8,
    flags: u8,
    reserved: u16,
    correlation: u64,
    body: usize,
) -> Vec<u8> {
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend([opcode, flags]);
    bytes.extend(reserved.to_le_bytes());
    bytes.extend(correlation.to_le_bytes());
    bytes.resize(bytes.len() + body, 0);
    bytes
}

#[tokio::test]
async fn a_malformed_frame_is_answered_and_the_connection_closes() {
    let server = Running::start();
    let mut bystander = Peer::connect(server.address).await;
    let max = frame::BODY_BYTES_MAX_DEFAULT;
    let noise: Vec<u8> =
        (0_u32..4_096).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    #[rustfmt::skip]
    let cases = [
        ("length 0",                 frame(0, 2, 0, 0, 9, 0),               ErrorCode::Malformed),
        ("the maximum + 1",          frame(max + 1, 2, 0, 0, 9, 0),         ErrorCode::FrameTooLarge),
        ("length 0xFFFFFFFF",        frame(u32::MAX, 2, 0, 0, 9, 0),        ErrorCode::FrameTooLarge),
        ("reserved flags",           frame(8, 2, 0x80, 0, 9, 8),            ErrorCode::Malformed),
        ("reserved half-word",       frame(8, 2, 0, 1, 9, 8),               ErrorCode::Malformed),
        ("a reply from a client",    frame(8, 2, 1, 0, 9, 8),               ErrorCode::Malformed),
        ("correlation 0",            frame(8, 2, 0, 0, 0, 8),               ErrorCode::Malformed),
        ("a body cut short",         frame(4, 2, 0, 0, 9, 4),               ErrorCode::Malformed),
        ("a second HELLO",           frame(8, 1, 0, 0, 9, 8),               ErrorCode::HelloAgain),
        ("noise",                    noise.clone(),                         ErrorCode::Malformed),
        ("HTTP",                     b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), ErrorCode::Malformed),
    ];
    for (why, bytes, code) in cases {
        let mut peer = Peer::connect(server.address).await;
        // What was good before it in the same batch is still answered.
        peer.push(&Request::Ping { echo: 5 });
        let mut batch = std::mem::take(&mut peer.outbox);
        batch.extend_from_slice(&bytes);
        batch.extend_from_slice(&[0; 64]);
        peer.send_raw(&batch).await;
        assert_eq!(peer.next().await.1.name(), "other", "{why}: the ping");
        let reply = peer.raw_frame().await;
        assert_eq!(reply[16], code.as_u8(), "{why}");
        assert_eq!((reply[4], &reply[8..16]), (bytes[4], &bytes[8..16]), "{why}: its own header");
        peer.expect_end().await;
        bystander.ping().await;
    }
}

#[tokio::test]
async fn random_bytes_hurt_nobody() {
    let server = Running::start();
    let mut bystander = Peer::connect(server.address).await;
    for seed in 1..=300_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut noise: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .take(16 + (seed as usize * 7) % 600)
        .collect();
        // Half of them past the header's checks: a length that fits, a known opcode.
        if seed % 2 == 0 {
            let body = (noise.len() - 16) as u32;
            noise[..4].copy_from_slice(&body.to_le_bytes());
            noise[4] = [0x02, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x20, 0x21, 0x22, 0x23]
                [(seed / 2) as usize % 11];
            noise[5..8].fill(0);
        }
        let mut peer = Peer::connect(server.address).await;
        peer.send_raw(&noise).await;
        peer.socket.shutdown().await.expect("half closed");
        // Whatever it is told, it is told and closed; nothing hangs.
        let mut told = Vec::new();
        let read = peer.socket.read_to_end(&mut told);
        let read = tokio::time::timeout(crate::peer::SOON, read).await;
        read.unwrap_or_else(|_| panic!("seed {seed}: it hangs")).expect("no reset");
        assert!(told.len() > 16 || noise.len() == 16, "seed {seed}: an error is told");
        if seed % 50 == 0 {
            bystander.ping().await;
        }
    }
    bystander.ping().await;
    drop(bystander);
    assert_eq!(server.stop().await.connections, 301);
}

#[tokio::test]
async fn a_stranger_says_hello_or_goes() {
    let server = Running::start();
    #[rustfmt::skip]
    let cases = [
        ("a request first",      frame(8, 2, 0, 0, 1, 8),            ErrorCode::HelloFirst),
        ("an unknown opcode",    frame(8, 0x7f, 0, 0, 1, 8),         ErrorCode::HelloFirst),
        ("no magic",             frame(24, 1, 0, 0, 1, 24),          ErrorCode::Malformed),
        ("a large HELLO",        frame(9 * 1024, 1, 0, 0, 1, 0),     ErrorCode::FrameTooLarge),
    ];
    for (why, bytes, code) in cases {
        let mut peer = Peer::silent(server.address).await;
        peer.send_raw(&bytes).await;
        assert_eq!(peer.raw_frame().await[16], code.as_u8(), "{why}");
        peer.expect_end().await;
    }
    // No common version: patched into a good HELLO.
    let mut peer = Peer::silent(server.address).await;
    peer.conn.hello(&Hello::new(onceward::Namespace::DEFAULT, b""), &mut peer.outbox);
    let mut hello = std::mem::take(&mut peer.outbox);
    hello[20..24].copy_from_slice(&[9, 0, 9, 0]);
    peer.send_raw(&hello).await;
    let Got::Error(error) = peer.next().await.1 else { panic!("refused") };
    assert_eq!((error.code, error.max), (ErrorCode::Version, Some(1)));
    peer.expect_end().await;
    // Nothing but an end.
    let mut peer = Peer::silent(server.address).await;
    peer.socket.shutdown().await.expect("half closed");
    peer.expect_end().await;
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_frame_is_told_so() {
    let server = Running::start();
    let mut peer = Peer::connect(server.address).await;
    peer.send_raw(&frame(8, 2, 0, 0, 9, 3)).await;
    peer.socket.shutdown().await.expect("half closed");
    let (correlation, got) = peer.next().await;
    let Got::Error(error) = got else { panic!("told: {got:?}") };
    assert_eq!((correlation, error.code), (0, ErrorCode::Malformed));
    assert!(error.message.contains("19 of 24"), "{error}");
    peer.expect_end().await;
}

#[tokio::test]
async fn an_end_behind_whole_frames_hides_none_of_them() {
    const TIMES: usize = 40;
    let server = Running::start();
    let mut peer = Peer::connect(server.address).await;
    // Far more replies than the outbox holds, so that the end is there long before the last.
    ask_for_too_much(&mut peer, TIMES).await;
    peer.socket.shutdown().await.expect("half closed");
    for _ in 0..TIMES {
        assert_eq!(peer.next().await.1.body().len(), 256 * 1024);
    }
    peer.expect_end().await; // And no word of half a frame.
}

/// Times short enough to run out, each in its own test, for they are real time.
const SHORT: Duration = Duration::from_millis(100);

async fn expect_timed_out(peer: &mut Peer) {
    let (correlation, got) = peer.next().await;
    let Got::Error(error) = got else { panic!("timed out: {got:?}") };
    assert_eq!((correlation, error.code), (0, ErrorCode::TimedOut));
    assert_eq!(error.max, Some(100));
    peer.expect_end().await;
}

#[tokio::test]
async fn no_hello_is_timed_out() {
    let server = Running::with(ServerConfig { hello_timeout: SHORT, ..ServerConfig::default() });
    let mut spoken = Peer::connect(server.address).await;
    let mut silent = Peer::silent(server.address).await;
    expect_timed_out(&mut silent).await;
    spoken.ping().await;
}

#[tokio::test]
async fn half_a_frame_and_silence_is_timed_out() {
    let server = Running::with(ServerConfig { frame_timeout: SHORT, ..ServerConfig::default() });
    for (why, size) in [("part of a header", 7), ("a header", 16), ("part of a body", 20)] {
        let mut peer = Peer::connect(server.address).await;
        peer.ping().await;
        peer.push(&Request::Ping { echo: 1 });
        let half = std::mem::take(&mut peer.outbox)[..size].to_vec();
        peer.send_raw(&half).await;
        println!("{why}");
        let (correlation, got) = peer.next().await;
        let Got::Error(error) = got else { panic!("{why}: timed out: {got:?}") };
        assert_eq!((correlation, error.code, error.max), (0, ErrorCode::TimedOut, Some(100)));
        peer.expect_end().await;
    }
}

#[tokio::test]
async fn idle_is_closed_and_waiting_is_not_idle() {
    let config = ServerConfig { idle_timeout: SHORT, ..ServerConfig::default() };
    let server = Running::with(config);
    let mut owner = Peer::connect(server.address).await;
    let token = owner.begin("job", 0, 0).await.token();
    let mut waiter = Peer::connect(server.address).await;
    waiter.push(&begin("job", 1, 60_000));
    waiter.ping_behind().await;
    owner.expect_end().await; // Without a frame.
    assert_eq!(server.store.stats().waiters, 1, "a wait in flight keeps its connection");
    let mut owner = Peer::connect(server.address).await;
    owner.complete("job", token, b"done").await;
    assert_eq!(waiter.next().await.1.body(), b"done");
    waiter.expect_end().await;
    let _ = owner.next_or_end().await;
}

#[tokio::test]
async fn a_connection_outlives_its_buffers() {
    // They are given back after a second of silence.
    let server = Running::start();
    let mut peer = Peer::connect(server.address).await;
    let token = peer.begin("a", 1, 0).await.token();
    peer.complete("a", token, &[1; 100_000]).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(peer.begin("a", 2, 0).await.body().len(), 100_000);
}

/// Begins one completed key of 256 KiB so often that no buffer on the way holds the replies.
async fn ask_for_too_much(peer: &mut Peer, times: usize) {
    let token = peer.begin("large", 1, 0).await.token();
    peer.complete("large", token, &vec![7; 256 * 1024]).await;
    for _ in 0..times {
        peer.push(&begin("large", 2, 0));
    }
    peer.flush().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_wait_for_a_slow_reader_and_nobody_else_does() {
    const TIMES: usize = 400;
    let server = Running::start();
    let mut slow = Peer::connect(server.address).await;
    ask_for_too_much(&mut slow, TIMES).await;
    let mut other = Peer::connect(server.address).await;
    let asked = Instant::now();
    for round in 0..100 {
        other.begin(&format!("other-{round}"), 1, 0).await.token();
    }
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    // A server that did not hold back would have judged all: each counts as a replay.
    let judged = server.store.stats().begin_replay;
    assert!(judged < TIMES as u64, "{judged} replies of 256 KiB were encoded for nobody");
    for _ in 0..TIMES {
        assert_eq!(slow.next().await.1.body().len(), 256 * 1024, "none is dropped");
    }
    slow.ping().await;
}

#[tokio::test]
async fn a_peer_that_takes_no_replies_is_cut() {
    let server = Running::with(ServerConfig { write_timeout: SHORT, ..ServerConfig::default() });
    let mut slow = Peer::connect(server.address).await;
    let mut other = Peer::connect(server.address).await;
    let token = other.begin("job", 0, 0).await.token();
    slow.push(&begin("job", 9, 60_000)); // Its wait goes with it.
    ask_for_too_much(&mut slow, 400).await;
    until("it is cut", || server.store.stats().waiters == 0).await;
    other.complete("job", token, b"done").await;
    drop((slow, other));
    let report = server.stop().await;
    assert!(report.unanswered > 0, "{report:?}");
}

#[tokio::test]
async fn results_up_to_the_limit_travel_and_larger_ones_are_not_kept_s12_s20() {
    let server = Running::start();
    let mut peer = Peer::connect(server.address).await;
    let limit = 1024 * 1024;
    for (name, size, kept) in
        [("0", 0, true), ("1", 1, true), ("limit", limit, true), ("over", limit + 1, false)]
    {
        let token = peer.begin(name, 1, 0).await.token();
        let body = vec![b'b'; size];
        let Got::Other(done) = peer.ask(&complete(name, token, &body)).await else {
            panic!("{name}: completed")
        };
        assert_eq!(done.contains("not_kept: None"), kept, "{name}: {done}");
        let replay = peer.begin(name, 2, 0).await;
        assert_eq!(replay.name(), "replay", "{name}");
        if kept {
            assert_eq!(replay.body(), body, "{name}");
        }
    }
}
