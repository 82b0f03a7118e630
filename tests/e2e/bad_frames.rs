//! Whatever a peer sends, it gets the error that `docs/protocol.md` names, and nobody else
//! notices: after every row a healthy connection still executes a key and replays it.

use std::time::Duration;

use onceward_core::{
    AttemptId, Begin, BeginOutcome, Complete, CompleteOutcome, Fingerprint, ResultRef, ScopedKey,
};
use onceward_proto::frame::{BODY_BYTES_MAX_DEFAULT, HELLO_BODY_BYTES_MAX};
use onceward_proto::{ErrorCode, Opcode, Reply, Request};
use onceward_testkit::{SplitMix64, seeds};

use crate::server::Server;
use crate::wire::{Peer, header, hello};

/// How long a server here waits for HELLO and for the rest of a frame. Short, for a test waits it
/// out; long enough for what is whole to arrive on a busy machine.
const SHORT: Duration = Duration::from_secs(2);

const BEGIN: u8 = Opcode::Begin.as_u8();

/// A connection that goes on working beside the bad ones.
struct Healthy {
    peer: Peer,
    keys: u64,
}

impl Healthy {
    fn beside(server: &Server) -> Self {
        Self { peer: Peer::welcome(server.address), keys: 0 }
    }

    /// Executes a new key and replays it.
    fn works(&mut self, why: &str) {
        self.keys += 1;
        let name = self.keys.to_le_bytes();
        let key = ScopedKey::new(b"healthy", &name).expect("a key");
        let begin = |attempt| Begin::new(Fingerprint::None, AttemptId::from_bytes([attempt; 16]));
        let first = self.peer.ask(&Request::Begin { key, begin: begin(1) });
        let Reply::Begin(BeginOutcome::Acquired(acquired)) = first.reply() else {
            panic!("{why}: {:?}", first.reply())
        };
        let result = ResultRef::of(200, b"done");
        let complete = Complete { token: acquired.token, result, fingerprint: None };
        let done = self.peer.ask(&Request::Complete { key, complete });
        let completed = Reply::Complete(CompleteOutcome::Completed { not_kept: None });
        assert_eq!(done.reply(), completed, "{why}");
        let again = self.peer.ask(&Request::Begin { key, begin: begin(2) });
        let Reply::Begin(BeginOutcome::Replay(replay)) = again.reply() else {
            panic!("{why}: {:?}", again.reply())
        };
        assert_eq!(replay.result, result, "{why}");
    }
}

#[test]
fn a_frame_that_breaks_the_protocol_gets_its_error_and_a_close() {
    let server = Server::start();
    let mut healthy = Healthy::beside(&server);
    let max = BODY_BYTES_MAX_DEFAULT;
    #[rustfmt::skip]
    let rows = [
        ("length 0",                header(0, BEGIN, 0, 0, 2),           ErrorCode::Malformed),
        ("the maximum + 1",         header(max + 1, BEGIN, 0, 0, 2),     ErrorCode::FrameTooLarge),
        ("the largest length",      header(u32::MAX, BEGIN, 0, 0, 2),    ErrorCode::FrameTooLarge),
        ("a reserved flag",         header(8, BEGIN, 0b10, 0, 2),        ErrorCode::Malformed),
        ("every reserved flag",     header(8, BEGIN, 0xfe, 0, 2),        ErrorCode::Malformed),
        ("a reserved bit",          header(8, BEGIN, 0, 1, 2),           ErrorCode::Malformed),
        ("the last reserved bit",   header(8, BEGIN, 0, 0x8000, 2),      ErrorCode::Malformed),
        ("a reply from a client",   header(8, BEGIN, 1, 0, 2),           ErrorCode::Malformed),
        ("correlation 0",           header(8, BEGIN, 0, 0, 0),           ErrorCode::Malformed),
        ("a second HELLO",          hello(),                             ErrorCode::HelloAgain),
        ("a body that ends early",  frame(BEGIN, &[0; 20]),              ErrorCode::Malformed),
        ("an optional field that overruns its body",
         [frame_header(BEGIN, begin_body(b"k", 30_000, 0).len() + 5), begin_body(b"k", 30_000, 0),
          vec![9, 0xff, 0xff, 0xff, 0xff]].concat(),                     ErrorCode::Malformed),
        ("a PING of 7 bytes",       frame(Opcode::Ping.as_u8(), &[0; 7]), ErrorCode::Malformed),
    ];
    for (why, bytes, code) in rows {
        let mut peer = Peer::welcome(server.address);
        peer.send_bytes(&bytes);
        let last = peer.read().expect(why).expect(why);
        assert_eq!(last.error().code, code, "{why}: {}", last.error().message);
        peer.expect_closed(why);
        healthy.works(why);
    }
}

#[test]
fn a_length_over_the_maximum_is_refused_on_the_header_alone() {
    let server = Server::start();
    let before = server.store.stats().memory_used_bytes;
    let mut peers: Vec<Peer> = (0..64).map(|_| Peer::welcome(server.address)).collect();
    for peer in &mut peers {
        peer.send_bytes(&header(u32::MAX, BEGIN, 0, 0, 2));
    }
    for peer in &mut peers {
        let last = peer.read().expect("an error in time").expect("an error before the close");
        let error = last.error();
        assert_eq!(error.code, ErrorCode::FrameTooLarge);
        assert_eq!(
            (error.got, error.max),
            (Some(u32::MAX.into()), Some(BODY_BYTES_MAX_DEFAULT.into()))
        );
        peer.expect_closed("no body was waited for");
    }
    assert_eq!(server.store.stats().memory_used_bytes, before);
}

#[test]
fn before_hello_only_hello_is_taken_and_no_more_than_it_needs() {
    let server = Server::start();
    let mut healthy = Healthy::beside(&server);
    let mut magic = hello();
    magic[16] = b'X';
    let mut version = hello();
    version[20..24].copy_from_slice(&[2, 0, 9, 0]);
    let ping = frame(Opcode::Ping.as_u8(), &[0; 8]);
    #[rustfmt::skip]
    let rows = [
        ("another opcode first",    ping,                                            ErrorCode::HelloFirst),
        ("another magic",           magic,                                           ErrorCode::Malformed),
        ("no common version",       version,                                         ErrorCode::Version),
        ("more than HELLO needs",   header(HELLO_BODY_BYTES_MAX + 1, 1, 0, 0, 1),    ErrorCode::FrameTooLarge),
        ("length 0",                header(0, 1, 0, 0, 1),                           ErrorCode::Malformed),
        ("the largest length",      header(u32::MAX, 1, 0, 0, 1),                    ErrorCode::FrameTooLarge),
        ("text of another protocol", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),  ErrorCode::Malformed),
    ];
    for (why, bytes, code) in rows {
        let mut peer = Peer::silent(server.address);
        peer.send_bytes(&bytes);
        let last = peer.read().expect(why).expect(why);
        assert_eq!(last.error().code, code, "{why}: {}", last.error().message);
        peer.expect_closed(why);
        healthy.works(why);
    }
}

#[test]
fn an_unknown_opcode_gets_an_error_and_the_connection_stays() {
    let server = Server::start();
    let mut peer = Peer::welcome(server.address);
    let known: Vec<u8> = (0..=u8::MAX).filter(|&byte| Opcode::from_u8(byte).is_some()).collect();
    for opcode in (1..=u8::MAX).filter(|opcode| !known.contains(opcode)) {
        peer.send_bytes(&header(3, opcode, 0, 0, 1_000 + u64::from(opcode)));
        peer.send_bytes(b"abc");
        let answer = peer.read().expect("a reply in time").expect("an open connection");
        assert_eq!(answer.error().code, ErrorCode::UnknownOpcode, "opcode {opcode:#04x}");
        assert_eq!(answer.correlation, 1_000 + u64::from(opcode));
        assert_eq!(answer.opcode, opcode, "a reply repeats its request's opcode");
        assert_eq!(answer.error().got, Some(opcode.into()));
    }
    peer.ping();
}

#[test]
fn bad_input_names_its_field_and_the_connection_stays() {
    let server = Server::start();
    let mut peer = Peer::welcome(server.address);
    let long = [b'k'; 256];
    #[rustfmt::skip]
    let rows = [
        ("an empty key",                 begin_body(b"", 30_000, 0),        "key"),
        ("a key of 256 bytes",           begin_body(&long, 30_000, 0),      "key"),
        ("a lease of zero",              begin_body(b"k", 0, 0),            "lease"),
        ("a lease too short",            begin_body(b"k", 99, 0),           "lease"),
        ("a lease of -1 as bits",        begin_body(b"k", u64::MAX, 0),     "lease"),
        ("a lease above its retention",  begin_body(b"k", 86_400_000, -1),  "retention"),
        ("a scope of 256 bytes",         scoped_begin_body(&long, b"k"),    "scope"),
        ("policy 0",                     patched(40, 0),                    "policy"),
        ("policy 3",                     patched(40, 3),                    "policy"),
        ("fingerprint kind 3",           patched(41, 3),                    "fingerprint"),
    ];
    for (why, body, field) in rows {
        peer.send_bytes(&frame(BEGIN, &body));
        let answer = peer.read().expect(why).expect(why);
        let error = answer.error();
        assert_eq!(error.code, ErrorCode::BadInput, "{why}: {}", error.message);
        assert_eq!(error.field.as_deref(), Some(field), "{why}: {}", error.message);
        peer.ping();
    }
    assert_eq!(server.store.stats().entries, 0, "bad input changes nothing");
    // Any bytes are a key, and 255 of them are not too many.
    for key in [&long[..255], b"\xff\xfe\x00"] {
        peer.send_bytes(&frame(BEGIN, &begin_body(key, 30_000, 0)));
        let answer = peer.read().expect("a reply in time").expect("an open connection");
        assert!(matches!(answer.reply(), Reply::Begin(BeginOutcome::Acquired(_))));
    }
}

#[test]
fn half_a_frame_and_silence_is_timed_out() {
    let server = Server::with_patience(SHORT);
    let mut healthy = Healthy::beside(&server);
    let whole = frame(BEGIN, &begin_body(b"k", 30_000, 0));
    let rows: [(&str, bool, &[u8]); 7] = [
        ("no byte of HELLO", false, b""),
        ("half of HELLO", false, &hello()[..20]),
        ("one byte", true, &whole[..1]),
        ("half a header", true, &whole[..8]),
        ("a header and no body", true, &whole[..16]),
        ("all but one byte", true, &whole[..whole.len() - 1]),
        ("the header of the largest frame", true, &header(BODY_BYTES_MAX_DEFAULT, BEGIN, 0, 0, 2)),
    ];
    // All at once, for each waits out the whole time.
    let sent = rows.map(|(why, greeted, bytes)| {
        let mut peer =
            if greeted { Peer::welcome(server.address) } else { Peer::silent(server.address) };
        peer.send_bytes(bytes);
        (why, peer)
    });
    healthy.works("while they are silent");
    for (why, mut peer) in sent {
        let last = peer.read().expect(why).expect(why);
        assert_eq!(last.error().code, ErrorCode::TimedOut, "{why}");
        peer.expect_closed(why);
        healthy.works(why);
    }
    assert_eq!(server.store.stats().entries, healthy.keys, "none was begun");
}

#[test]
fn a_peer_that_hangs_up_within_a_frame_is_forgotten() {
    let server = Server::start();
    let mut healthy = Healthy::beside(&server);
    let whole = frame(BEGIN, &begin_body(b"k", 30_000, 0));
    for cut in 1..whole.len() {
        let mut peer = Peer::welcome(server.address);
        peer.send_bytes(&whole[..cut]);
        drop(peer);
    }
    let mut peer = Peer::welcome(server.address);
    peer.send_bytes(&whole[..whole.len() - 1]);
    peer.finish_sending();
    let ending = peer.read().expect("an end in time");
    assert!(ending.is_none_or(|frame| frame.error().code == ErrorCode::Malformed));
    healthy.works("after the cut frames");
    assert_eq!(server.store.stats().entries, healthy.keys);
}

/// 200 peers send noise: with no header at all, and behind a header that is right.
#[test]
fn random_bytes_cost_nobody_else_anything() {
    let server = Server::with_patience(SHORT);
    let mut healthy = Healthy::beside(&server);
    for seed in seeds(100) {
        let mut random = SplitMix64::new(seed);
        let mut noise = vec![0; random.within(1..2_000) as usize];
        noise.fill_with(|| random.within(0..256) as u8);

        let mut stranger = Peer::silent(server.address);
        let _ = stranger.try_send_bytes(&noise);
        ends_with_an_error(&mut stranger, seed);

        let mut peer = Peer::welcome(server.address);
        let opcode = random.within(2..0x24) as u8;
        peer.send_bytes(&frame(opcode, &noise));
        if answered_or_closed(&mut peer, opcode, seed) {
            peer.ping();
        }
        healthy.works(&format!("seed {seed}"));
    }
}

/// Noise is no HELLO: the server says so, or that it waits for more than comes, and closes.
fn ends_with_an_error(stranger: &mut Peer, seed: u64) {
    let last = stranger.read().unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    let Some(last) = last else { return };
    let code = last.error().code;
    assert!(code.closes(), "seed {seed}: {code:?} must close");
    stranger.expect_closed(&format!("seed {seed}"));
}

/// Whether the connection stays: any error may come, or an outcome if the noise made sense.
fn answered_or_closed(peer: &mut Peer, opcode: u8, seed: u64) -> bool {
    if opcode == Opcode::Cancel.as_u8() {
        // CANCEL has no reply when it is well formed; a PING tells whether it was.
        let _ = peer.try_send_bytes(&frame(Opcode::Ping.as_u8(), &[1; 8]));
    }
    match peer.read().unwrap_or_else(|why| panic!("seed {seed}: {why}")) {
        None => false,
        Some(frame) => match frame.reply() {
            Reply::Error(error) => !error.code.closes(),
            _ => true,
        },
    }
}

/// A whole frame with correlation 2.
fn frame(opcode: u8, body: &[u8]) -> Vec<u8> {
    [frame_header(opcode, body.len()), body.to_vec()].concat()
}

fn frame_header(opcode: u8, body_size: usize) -> Vec<u8> {
    header(body_size as u32, opcode, 0, 0, 2)
}

/// BEGIN as the document draws it, without an encoder that would refuse it. The retention is
/// the lease and `beyond` more.
fn begin_body(key: &[u8], lease: u64, beyond: i64) -> Vec<u8> {
    let retention = lease.saturating_add_signed(beyond);
    begin_with(b"", key, lease, retention)
}

fn scoped_begin_body(scope: &[u8], key: &[u8]) -> Vec<u8> {
    begin_with(scope, key, 30_000, 30_000)
}

fn begin_with(scope: &[u8], key: &[u8], lease: u64, retention: u64) -> Vec<u8> {
    let mut body = vec![7; 16];
    for time in [lease, retention, 0] {
        body.extend_from_slice(&time.to_le_bytes());
    }
    body.extend_from_slice(&[1, 0, 0]);
    for size in [scope.len(), key.len()] {
        body.extend_from_slice(&(size as u16).to_le_bytes());
    }
    body.extend_from_slice(scope);
    body.extend_from_slice(key);
    body
}

/// A good BEGIN with one byte changed.
fn patched(at: usize, byte: u8) -> Vec<u8> {
    let mut body = begin_body(b"k", 30_000, 0);
    body[at] = byte;
    body
}
