//! Dialects against transcripts: what is sent, byte for byte, and what replies are read as.

use std::time::Duration;

use onceward_bench::load::{
    Answer, Ask, Dialect, FINGERPRINT_BYTES, Grant, KEY_BYTES, Known, OncewardDialect, Terms,
};

use super::echo::Lengths;
use super::resp::{self, Reply};
use super::*;

const KEY: &[u8; KEY_BYTES] = b"6f1c2d3e-4b5a-4968-8776-655443322110";
const FINGERPRINT: &[u8; FINGERPRINT_BYTES] = b"ffffffffffffffffffffffffffffffff";
const ATTEMPT: &[u8; 16] = b"aaaaaaaaaaaaaaaa";
const TERMS: Terms = Terms {
    lease: Duration::from_secs(30),
    retention: Duration::from_secs(86_400),
    fingerprint_bytes: FINGERPRINT_BYTES,
};

fn begin(known: Known) -> Ask<'static> {
    Ask::Begin {
        key: KEY,
        attempt: ATTEMPT,
        fingerprint: FINGERPRINT,
        wait: Duration::ZERO,
        result_bytes: 5,
        known,
    }
}

fn complete(fence: u64) -> Ask<'static> {
    let grant = Grant { fence, attempt: *ATTEMPT };
    Ask::Complete { key: KEY, grant, fingerprint: FINGERPRINT, value: b"value" }
}

/// What is sent, with escaped ends of lines, and the key's text as `KEY`.
fn sent(dialect: &mut impl Dialect, slot: u32, ask: &Ask<'_>) -> String {
    let mut out = Vec::new();
    dialect.encode(ask, slot, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    text.replace("\r\n", " ").replace(std::str::from_utf8(KEY).unwrap(), "KEY")
}

/// Reads one reply, which must not be read before its last byte is there, nor beyond it.
fn read<'a>(dialect: &mut impl Dialect, input: &'a [u8], slot: u32) -> Answer<'a> {
    for size in 0..input.len() {
        assert_eq!(dialect.decode(&input[..size]).unwrap(), None, "{size} bytes");
    }
    let got = dialect.decode(input).unwrap().unwrap();
    assert_eq!((got.consumed, got.slot), (input.len(), slot));
    got.answer
}

#[test]
fn plain_redis_claims_by_set_nx_and_completes_by_set_xx() {
    let mut dialect = RedisPlainDialect::new(TERMS);
    let claim = "*6 $3 SET $36 KEY $7 pending $2 NX $2 PX $5 30000 ";
    let both = "*7 $3 SET $36 KEY $7 pending $2 NX $3 GET $2 PX $5 30000 ";
    let store = "*6 $3 SET $36 KEY $5 value $2 XX $2 PX $8 86400000 ";
    let acquired = Answer::Acquired(Grant::default());
    for (slot, ask, want, reply, answer) in [
        (3, begin(Known::New), claim, &b"+OK\r\n"[..], acquired),
        (0, begin(Known::New), claim, b"$-1\r\n", Answer::Other("taken")),
        (
            1,
            begin(Known::Stored),
            "*2 $3 GET $36 KEY ",
            b"$5\r\nvalue\r\n",
            Answer::Replay(b"value"),
        ),
        (1, begin(Known::Stored), "*2 $3 GET $36 KEY ", b"$-1\r\n", Answer::Other("absent")),
        (2, begin(Known::Nothing), both, b"$-1\r\n", acquired),
        (2, begin(Known::Nothing), both, b"$7\r\npending\r\n", Answer::InProgress),
        (2, begin(Known::Nothing), both, b"$5\r\nvalue\r\n", Answer::Replay(b"value")),
        (4, complete(0), store, b"+OK\r\n", Answer::Completed),
        (4, complete(0), store, b"$-1\r\n", Answer::Other("gone")),
        (5, complete(0), store, b"-OOM command not allowed 'KEY'\r\n", Answer::Error("OOM")),
    ] {
        assert_eq!(sent(&mut dialect, slot, &ask), want);
        assert_eq!(read(&mut dialect, reply, slot), answer, "{want}");
    }
    assert!(dialect.decode(b"+OK\r\n").is_err(), "nothing is outstanding");
    sent(&mut dialect, 0, &complete(0));
    assert!(dialect.decode(b":1\r\n").is_err(), "no such answer");
}

#[test]
fn replies_are_matched_in_the_order_of_requests() {
    let mut dialect = RedisPlainDialect::new(TERMS);
    for slot in [7, 2, 5] {
        sent(&mut dialect, slot, &begin(Known::Stored));
    }
    let mut input = &b"$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"[..];
    for (slot, body) in [(7, b"a"), (2, b"b"), (5, b"c")] {
        let got = dialect.decode(input).unwrap().unwrap();
        assert_eq!((got.slot, got.answer), (slot, Answer::Replay(body)));
        input = &input[got.consumed..];
    }
    assert!(input.is_empty());
}

#[test]
fn scripts_are_loaded_once_and_called_by_name() {
    let mut dialect = RedisLuaDialect::new(TERMS);
    let mut out = Vec::new();
    dialect.handshake(&mut out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches("$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n").count(), 2);
    let (begin_name, complete_name) = ("b".repeat(40), "c".repeat(40));
    let welcome = format!("$40\r\n{begin_name}\r\n$40\r\n{complete_name}\r\n");
    for size in 0..welcome.len() {
        assert_eq!(dialect.greeted(&welcome.as_bytes()[..size]).unwrap(), None);
    }
    assert_eq!(dialect.greeted(welcome.as_bytes()).unwrap(), Some(welcome.len()));
    assert!(RedisLuaDialect::new(TERMS).greeted(b"-NOPERM for 'KEY'\r\n").is_err());

    let fingerprint = "f".repeat(32);
    let attempt = "a".repeat(16);
    let want = format!(
        "*8 $7 EVALSHA $40 {begin_name} $1 2 $36 KEY $6 fences $32 {fingerprint} $16 {attempt} $5 30000 "
    );
    let grant = Grant { fence: 42, attempt: *ATTEMPT };
    for (reply, answer) in [
        (&b":42\r\n"[..], Answer::Acquired(grant)),
        (b":0\r\n", Answer::InProgress),
        (b":-1\r\n", Answer::Mismatch),
        (b"$5\r\nvalue\r\n", Answer::Replay(b"value")),
        (b"-NOSCRIPT No matching script.\r\n", Answer::Error("NOSCRIPT")),
    ] {
        assert_eq!(sent(&mut dialect, 9, &begin(Known::New)), want);
        assert_eq!(read(&mut dialect, reply, 9), answer);
    }
    let want = format!(
        "*7 $7 EVALSHA $40 {complete_name} $1 1 $36 KEY $51 P{fingerprint}{attempt}42 $38 C{fingerprint}value $8 86400000 "
    );
    for (reply, answer) in
        [(&b":1\r\n"[..], Answer::Completed), (b":0\r\n", Answer::Other("fenced"))]
    {
        assert_eq!(sent(&mut dialect, 0, &complete(42)), want);
        assert_eq!(read(&mut dialect, reply, 0), answer);
    }
}

#[test]
fn memcached_adds_replaces_and_gets() {
    let mut dialect = MemcachedDialect::new(TERMS);
    let (add, get, both) = ("ms KEY 7 T30 ME pending ", "mg KEY v ", "mg KEY v N30 ");
    let store = "ms KEY 5 T86400 MR value ";
    let acquired = Answer::Acquired(Grant::default());
    for (ask, want, reply, answer) in [
        (begin(Known::New), add, &b"HD\r\n"[..], acquired),
        (begin(Known::New), add, b"NS\r\n", Answer::Other("taken")),
        (begin(Known::Stored), get, b"VA 5\r\nvalue\r\n", Answer::Replay(b"value")),
        (begin(Known::Stored), get, b"VA 7\r\npending\r\n", Answer::InProgress),
        (begin(Known::Stored), get, b"EN\r\n", Answer::Other("absent")),
        (begin(Known::Nothing), both, b"VA 0 W\r\n\r\n", acquired),
        (begin(Known::Nothing), both, b"VA 0 Z\r\n\r\n", Answer::InProgress),
        (begin(Known::Nothing), both, b"VA 7\r\npending\r\n", Answer::InProgress),
        (begin(Known::Nothing), both, b"VA 5\r\nvalue\r\n", Answer::Replay(b"value")),
        (complete(0), store, b"HD\r\n", Answer::Completed),
        (complete(0), store, b"NS\r\n", Answer::Other("gone")),
        (complete(0), store, b"SERVER_ERROR out of memory\r\n", Answer::Error("SERVER_ERROR")),
    ] {
        assert_eq!(sent(&mut dialect, 6, &ask), want);
        assert_eq!(read(&mut dialect, reply, 6), answer, "{want}");
    }
    for wrong in [&b"VA x\r\n"[..], b"VA 2\r\nvalue\r\n", b"OK\r\n"] {
        sent(&mut dialect, 6, &begin(Known::Stored));
        assert!(dialect.decode(wrong).is_err(), "{}", wrong.escape_ascii());
    }
}

#[test]
fn the_floor_moves_the_lengths_of_our_own_frames() {
    for terms in [TERMS, Terms { fingerprint_bytes: 16, ..TERMS }] {
        the_floor_moves_ours(terms);
    }
}

fn the_floor_moves_ours(terms: Terms) {
    let mut echo = EchoDialect::new(terms).unwrap();
    let lengths = Lengths::measure(terms).unwrap();
    let mut ours = OncewardDialect::new("default", b"", terms);
    for (ask, reply) in [
        (begin(Known::New), lengths.acquired),
        (begin(Known::Stored), lengths.replay + 5),
        (complete(1), lengths.completed),
    ] {
        let (mut floor, mut real) = (Vec::new(), Vec::new());
        echo.encode(&ask, 3, &mut floor).unwrap();
        ours.encode(&ask, 3, &mut real).unwrap();
        assert_eq!(floor.len(), real.len());
        assert_eq!(floor[..4], (real.len() as u32).to_le_bytes());
        assert_eq!(floor[4..8], (reply as u32).to_le_bytes());
        let mut answer = vec![0; reply];
        answer[..4].copy_from_slice(&(reply as u32).to_le_bytes());
        assert_eq!(read(&mut echo, &answer, 3), Answer::Moved);
    }
    echo.encode(&complete(1), 0, &mut Vec::new()).unwrap();
    assert!(echo.decode(&[3, 0, 0, 0]).is_err(), "shorter than its header");
}

#[test]
fn numbers_and_replies_are_strict() {
    for (text, want) in [
        ("0", Some(0)),
        ("-1", Some(-1)),
        ("86400000", Some(86_400_000)),
        ("", None),
        ("-", None),
        ("1x", None),
        ("+1", None),
        ("99999999999999999999", None),
    ] {
        assert_eq!(number(text.as_bytes()), want, "{text:?}");
    }
    for value in [0, 9, 10, 12_345, u64::MAX] {
        let mut out = Vec::new();
        push_number(value, &mut out);
        assert_eq!(out, value.to_string().as_bytes());
    }
    assert_eq!(resp::reply(b"$0\r\n\r\n").unwrap(), Some((Reply::Bulk(b""), 6)));
    for wrong in [&b"*1\r\n"[..], b":x\r\n", b"$-2\r\n", b"$1\r\nabc"] {
        assert!(resp::reply(wrong).is_err(), "{}", wrong.escape_ascii());
    }
}
