//! Bad input, named: each fault gets its error, and costs nobody else anything.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use std::fs;

use onceward_core::{BadInput, Metadata};

use super::samples::{replies, requests};
use super::{Message, ORDERS, extended, hello};
use crate::frame::{BODY_BYTES_MAX_DEFAULT, HEADER_SIZE, Header};
use crate::operator::entries_room;
use crate::{
    BadField, ErrorCode, ErrorReply, FrameError, Greeting, Hello, Incoming, Malformed, Opcode,
    ProtocolError, Reply, Request, ServerConfig, ServerConn,
};

pub(super) fn stranger() -> ServerConn {
    ServerConn::new(&ServerConfig::default())
}

pub(super) fn open() -> ServerConn {
    let mut server = stranger();
    let bytes = Message::Hello(hello(ORDERS)).encode(1);
    let Ok(Some((Incoming::Hello { negotiated, .. }, _))) = server.next(&bytes) else { panic!() };
    server.accept(negotiated, &Greeting::default(), &mut Vec::new());
    server
}

pub(super) const GOOD: Header =
    Header { length: 8, opcode: 0x02, flags: 0, reserved: 0, correlation: 7 };

fn code_sent(error: &ProtocolError) -> ErrorCode {
    ErrorReply::from(error).code
}

#[test]
fn a_header_that_cannot_be_trusted_closes_before_its_body_comes() {
    let max = BODY_BYTES_MAX_DEFAULT;
    let malformed = ErrorCode::Malformed;
    let reserved = |flags, reserved| FrameError::Reserved { flags, reserved };
    #[rustfmt::skip]
    let cases = [
        ("length 0",                Header { length: 0, ..GOOD },          FrameError::Empty,                       malformed),
        ("one over the maximum",    Header { length: max + 1, ..GOOD },    FrameError::TooLarge { got: max + 1, max }, ErrorCode::FrameTooLarge),
        ("the largest length",      Header { length: u32::MAX, ..GOOD },   FrameError::TooLarge { got: u32::MAX, max }, ErrorCode::FrameTooLarge),
        ("lowest reserved flag",    Header { flags: 0x02, ..GOOD },        reserved(0x02, 0),                       malformed),
        ("highest reserved flag",   Header { flags: 0x81, ..GOOD },        reserved(0x81, 0),                       malformed),
        ("reserved half-word, low", Header { reserved: 1, ..GOOD },        reserved(0, 1),                          malformed),
        ("reserved half-word, high", Header { reserved: 0x8000, ..GOOD },  reserved(0, 0x8000),                     malformed),
        ("a reply",                 Header { flags: 1, ..GOOD },           FrameError::Direction,                   malformed),
        ("correlation 0",           Header { correlation: 0, ..GOOD },     FrameError::Correlation,                 malformed),
        ("all bits set",            Header { length: u32::MAX, opcode: 0xff, flags: 0xff, reserved: 0xffff, correlation: u64::MAX }, reserved(0xff, 0xffff), malformed),
    ];
    for (why, header, error, code) in cases {
        let mut server = open();
        // The header alone, not a byte of the body.
        let rejection = server.next(&header.encode()).unwrap_err();
        assert_eq!(rejection.error, ProtocolError::Frame(error), "{why}");
        assert_eq!(code_sent(&rejection.error), code, "{why}");
        assert!(rejection.closes() && code.closes(), "{why}");
        assert_eq!(
            (rejection.opcode, rejection.correlation),
            (header.opcode, header.correlation),
            "{why}: the answer goes where the fault was"
        );
        let mut good = Message::Operation(Request::Ping { echo: 1 }).encode(8);
        assert_eq!(server.next(&good).unwrap_err(), rejection, "{why}: nothing is read after it");
        good.clear();
        rejection.encode(&mut good);
        assert_eq!(good[HEADER_SIZE], code.as_u8(), "{why}");
    }
    let mut server = open();
    let largest = Header { length: max, ..GOOD }.encode();
    assert!(matches!(server.next(&largest), Ok(None)), "the maximum itself is waited for");
    assert_eq!(server.frame_size(&largest), HEADER_SIZE + max as usize);
}

#[test]
fn half_a_frame_is_named_when_the_peer_is_gone() {
    let whole = Message::Operation(Request::Ping { echo: 1 }).encode(2);
    for cut in 1..whole.len() {
        let mut server = open();
        let part = &whole[..cut];
        assert!(matches!(server.next(part), Ok(None)), "silence is no fault of the protocol");
        let need = if cut < HEADER_SIZE { HEADER_SIZE } else { whole.len() };
        assert_eq!(server.end_of_input(part), Err(FrameError::Half { got: cut, need }));
    }
    assert_eq!(open().end_of_input(&[]), Ok(()));
}

#[test]
fn a_connection_starts_with_hello() {
    for (opcode, message) in requests() {
        let mut server = stranger();
        let bytes = message.encode(5);
        if bytes.len() > 8_000 {
            continue; // Too large for a stranger before it is read.
        }
        match server.next(&bytes) {
            Ok(Some((Incoming::Hello { .. }, _))) => assert_eq!(opcode, Opcode::Hello),
            Err(rejection) => {
                assert_ne!(opcode, Opcode::Hello);
                assert_eq!(rejection.error, ProtocolError::HelloFirst);
                assert_eq!(rejection.correlation, 5);
            }
            other => panic!("{opcode:?}: {other:?}"),
        }
    }
    let again = open().next(&Message::Hello(hello(ORDERS)).encode(9)).unwrap_err();
    assert_eq!(again.error, ProtocolError::HelloAgain);
    assert!(again.closes());
}

#[test]
fn a_version_that_is_not_common_closes_and_says_which_are() {
    let said = |version_min, version_max| {
        Message::Hello(Hello { version_min, version_max, ..hello(ORDERS) }).encode(1)
    };
    for (min, max) in [(0, 0), (2, 2), (2, u16::MAX), (1, 0)] {
        let rejection = stranger().next(&said(min, max)).unwrap_err();
        assert_eq!(rejection.error, ProtocolError::Version { min, max });
        let reply = ErrorReply::from(&rejection.error);
        assert_eq!((reply.code, reply.min, reply.max), (ErrorCode::Version, Some(1), Some(1)));
    }
    for (min, max) in [(0, 1), (1, 1), (1, u16::MAX)] {
        let bytes = said(min, max);
        assert!(matches!(stranger().next(&bytes), Ok(Some((Incoming::Hello { .. }, _)))));
    }
    // A later version's HELLO may hold anything behind the versions.
    let mut later = said(7, 9);
    later.truncate(HEADER_SIZE + 8);
    later[0] = 8;
    let rejection = stranger().next(&later).unwrap_err();
    assert_eq!(rejection.error, ProtocolError::Version { min: 7, max: 9 });
    later[HEADER_SIZE] = b'X';
    let rejection = stranger().next(&later).unwrap_err();
    assert_eq!(rejection.error, ProtocolError::Malformed(Malformed::Magic));
}

#[test]
fn an_unknown_opcode_is_an_error_and_the_connection_stays() {
    let known = Opcode::ALL.map(Opcode::as_u8);
    let mut server = open();
    for opcode in (0..=u8::MAX).filter(|opcode| !known.contains(opcode)) {
        let mut bytes = Header { opcode, ..GOOD }.encode().to_vec();
        bytes.extend_from_slice(&[0xff; 8]);
        let Ok(Some((Incoming::Rejected(rejection), size))) = server.next(&bytes) else { panic!() };
        assert_eq!(rejection.error, ProtocolError::UnknownOpcode { opcode });
        assert_eq!((size, rejection.closes()), (bytes.len(), false));
        let reply = ErrorReply::from(&rejection.error);
        assert_eq!((reply.code, reply.got), (ErrorCode::UnknownOpcode, Some(opcode.into())));
    }
    assert!(server.is_open());
}

/// A frame of `opcode` whose body is a sample's with `edit` applied.
fn edited(opcode: Opcode, edit: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let sample = requests().into_iter().find(|(of, message)| match message {
        Message::Operation(Request::Begin { begin, .. }) => {
            *of == opcode && matches!(begin.fingerprint, onceward_core::Fingerprint::Digest(_))
        }
        _ => *of == opcode,
    });
    let mut body = sample.unwrap().1.encode(7).split_off(HEADER_SIZE);
    edit(&mut body);
    let header = Header { opcode: opcode.as_u8(), length: 0, ..GOOD };
    extended(&header.encode(), &body)
}

/// Replaces fixed bytes.
fn at(offset: usize, bytes: &'static [u8]) -> impl Fn(&mut Vec<u8>) {
    move |body| body[offset..offset + bytes.len()].copy_from_slice(bytes)
}

/// A FORGET for a scope and a key of these sizes; only its identity may be at fault.
fn forget(scope: usize, key: usize) -> Vec<u8> {
    edited(Opcode::Forget, |body| {
        body.truncate(8);
        body.extend_from_slice(&(scope as u16).to_le_bytes());
        body.extend_from_slice(&(key as u16).to_le_bytes());
        body.resize(body.len() + scope + key, 0xff);
    })
}

/// A COMPLETE with this metadata.
fn complete_with(metadata: Vec<u8>) -> Vec<u8> {
    edited(Opcode::Complete, move |body| {
        let (scope, key) = (8, 10);
        body.truncate(31);
        body.extend_from_slice(&(metadata.len() as u32).to_le_bytes());
        body.extend_from_slice(&[0; 4]);
        body.resize(body.len() + scope + key, b'k');
        body.extend_from_slice(&metadata);
    })
}

fn bad_value(field: &'static str, got: u64) -> impl Fn(BadField) -> bool {
    move |bad| matches!(bad, BadField::Value { field: f, got: g, .. } if (f, g) == (field, got))
}

fn bad_input(want: BadInput) -> impl Fn(BadField) -> bool {
    move |bad| bad == BadField::Input(want)
}

type Check = alloc::boxed::Box<dyn Fn(BadField) -> bool>;

fn row(
    why: &'static str,
    bytes: Vec<u8>,
    check: impl Fn(BadField) -> bool + 'static,
) -> (&'static str, Vec<u8>, Check) {
    (why, bytes, alloc::boxed::Box::new(check))
}

#[test]
fn a_field_out_of_bounds_is_named_and_the_connection_stays_s20() {
    const NULL_FENCE: &[u8] = &[0; 8];
    const LARGE_FENCE: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0x80];
    let pairs = |count: usize| vec![0; 4 * count];
    let too_long = Metadata::ENCODED_BYTES_MAX + 1;
    let cases = [
        row("empty key", forget(0, 0), bad_input(BadInput::KeyLength { got: 0 })),
        row("key of 256 bytes", forget(255, 256), bad_input(BadInput::KeyLength { got: 256 })),
        row("scope of 256 bytes", forget(256, 1), bad_input(BadInput::ScopeLength { got: 256 })),
        row("fence 0", edited(Opcode::Forget, at(0, NULL_FENCE)), bad_value("fence", 0)),
        row("fence 2^63", edited(Opcode::Renew, at(0, LARGE_FENCE)), bad_value("fence", 1 << 63)),
        row(
            "fence 0 in a resolve",
            edited(Opcode::Resolve, at(0, NULL_FENCE)),
            bad_value("fence", 0),
        ),
        row("no policy", edited(Opcode::Begin, at(40, &[0])), bad_value("policy", 0)),
        row("policy 3", edited(Opcode::Begin, at(40, &[3])), bad_value("policy", 3)),
        row("fingerprint kind 3", edited(Opcode::Begin, at(41, &[3])), bad_value("fingerprint", 3)),
        row(
            "a digest of 15 bytes",
            edited(Opcode::Begin, |body| {
                let size = usize::from(core::mem::replace(&mut body[42], 15));
                body.drain(47..47 + size - 15);
            }),
            bad_input(BadInput::DigestLength { got: 15 }),
        ),
        row(
            "a binding digest of 33 bytes",
            edited(Opcode::Renew, |body| {
                body.extend_from_slice(&[1, 33, 0, 0, 0]);
                body.resize(body.len() + 33, 1);
            }),
            bad_input(BadInput::DigestLength { got: 33 }),
        ),
        row("certainty 0", edited(Opcode::Abandon, at(24, &[0])), bad_value("certainty", 0)),
        row("verdict 3", edited(Opcode::Resolve, at(12, &[3])), bad_value("verdict", 3)),
        row("kept 4", edited(Opcode::Complete, at(26, &[4])), bad_value("kept", 4)),
        row("state 4", edited(Opcode::List, at(10, &[4])), bad_value("state", 4)),
        row("part 1", edited(Opcode::Stats, at(0, &[1])), bad_value("part", 1)),
        row(
            "metadata cut in a pair",
            complete_with(vec![1]),
            bad_input(BadInput::MetadataTruncated),
        ),
        row(
            "metadata of 65 pairs",
            complete_with(pairs(65)),
            bad_input(BadInput::MetadataPairs { got: 65 }),
        ),
        row(
            "metadata over 16 KiB",
            complete_with(vec![0; too_long]),
            bad_input(BadInput::MetadataBytes { got: too_long }),
        ),
    ];
    let mut server = open();
    for (why, bytes, expected) in cases {
        let Ok(Some((Incoming::Rejected(rejection), size))) = server.next(&bytes) else {
            panic!("{why}: {:?}", server.next(&bytes))
        };
        assert_eq!(size, bytes.len(), "{why}");
        let ProtocolError::BadField(bad) = rejection.error else { panic!("{why}") };
        assert!(expected(bad), "{why}: {bad:?}");
        named_in_the_document(bad.field());
        let reply = ErrorReply::from(&rejection.error);
        assert_eq!((reply.code, reply.field.as_deref()), (ErrorCode::BadInput, Some(bad.field())));
        assert!(reply.message.contains(bad.field()), "{why}: {}", reply.message);
        let ping = Message::Operation(Request::Ping { echo: 1 }).encode(8);
        assert!(matches!(server.next(&ping), Ok(Some((Incoming::Request { .. }, _)))), "{why}");
    }
    for of_the_store in ["lease", "retention", "result_hint", "checkpoint", "ordinal", "page"] {
        named_in_the_document(of_the_store);
    }
    for good in [forget(0, 1), forget(255, 255), complete_with(pairs(64)), complete_with(vec![])] {
        assert!(matches!(server.next(&good), Ok(Some((Incoming::Request { .. }, _)))));
    }
}

#[test]
fn a_bad_hello_leaves_a_stranger() {
    let said = |at: usize, bytes: &[u8]| {
        let mut frame = Message::Hello(hello(ORDERS)).encode(1);
        frame[HEADER_SIZE + at..HEADER_SIZE + at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    let credential = |size: usize| {
        let credential = vec![b'c'; size];
        Message::Hello(Hello { credential: &credential, ..hello(ORDERS) }).encode(1)
    };
    let namespace = |name: &[u8]| {
        let mut body = Message::Hello(hello(ORDERS)).encode(1)[HEADER_SIZE..][..20].to_vec();
        body.extend_from_slice(&(name.len() as u16).to_le_bytes());
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(name);
        extended(&Header { opcode: 0x01, length: 0, ..GOOD }.encode(), &body)
    };
    let cases = [
        row(
            "a frame too small",
            said(16, &131_071_u32.to_le_bytes()),
            bad_value("max_frame", 131_071),
        ),
        row("a credential too long", credential(4_097), bad_value("credential", 4_097)),
        row("no namespace", namespace(b""), bad_input(BadInput::NamespaceLength { got: 0 })),
        row("65 bytes", namespace(&[b'n'; 65]), bad_input(BadInput::NamespaceLength { got: 65 })),
        row("a slash", namespace(b"a/b"), bad_input(BadInput::NamespaceByte { at: 1 })),
        row("no text", namespace(b"ab\xff"), bad_input(BadInput::NamespaceByte { at: 2 })),
    ];
    for (why, bytes, expected) in cases {
        let mut server = stranger();
        let Ok(Some((Incoming::Rejected(rejection), _))) = server.next(&bytes) else {
            panic!("{why}: {:?}", server.next(&bytes))
        };
        let ProtocolError::BadField(bad) = rejection.error else { panic!("{why}") };
        assert!(expected(bad), "{why}: {bad:?}");
        named_in_the_document(bad.field());
        assert!(!rejection.closes() && !server.is_open(), "{why}");
        let good = credential(4_096);
        assert!(matches!(server.next(&good), Ok(Some((Incoming::Hello { .. }, _)))), "{why}");
    }
}

fn named_in_the_document(field: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
    let document = fs::read_to_string(path).unwrap();
    let (_, list) = document.split_once("Fields are named").unwrap();
    let (list, _) = list.split_once("If several").unwrap();
    assert!(list.contains(&format!("`{field}`")), "{field} is on the document's list");
}

#[test]
fn a_body_that_contradicts_itself_is_malformed_and_closes() {
    let combination = |field| Malformed::Combination { field };
    #[rustfmt::skip]
    let cases = [
        ("a digest of no kind", edited(Opcode::Begin, at(41, &[0])), combination("digest length")),
        ("a digest of kind later", edited(Opcode::Begin, at(41, &[1])), combination("digest length")),
        ("a body that is not kept", edited(Opcode::Complete, at(26, &[2])), combination("body length")),
        ("a result never done", edited(Opcode::Resolve, at(13, &[1])), combination("result")),
        ("a hint of 9 bytes", edited(Opcode::Begin, |body| {
            let end = 47 + 32 + 255 + 255; // Digest, scope and key of this sample.
            body.truncate(end);
            body.extend_from_slice(&[1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        }), Malformed::OptionSize { field: "result_hint" }),
        ("a body longer than the frame", edited(Opcode::Checkpoint, at(32, &[0xff; 4])), Malformed::Cut { field: "checkpoint" }),
        ("a key longer than the frame", edited(Opcode::Forget, at(10, &[0xff; 2])), Malformed::Cut { field: "key" }),
        ("an optional field longer than the frame", edited(Opcode::Stats, |body| {
            body.extend_from_slice(&[1, 0xff, 0xff, 0xff, 0xff]);
        }), Malformed::Cut { field: "optional field" }),
    ];
    for (why, bytes, malformed) in cases {
        let mut server = open();
        let rejection = server.next(&bytes).unwrap_err();
        assert_eq!(rejection.error, ProtocolError::Malformed(malformed), "{why}");
        assert_eq!(code_sent(&rejection.error), ErrorCode::Malformed, "{why}");
        assert!(!server.is_open(), "{why}");
    }
}

#[test]
fn no_error_tells_a_key_or_a_body_s16() {
    let bytes = edited(Opcode::Complete, at(0, &[0; 8]));
    let mut server = open();
    let incoming = server.next(&bytes);
    let text = format!("{incoming:?}");
    let Ok(Some((Incoming::Rejected(rejection), _))) = incoming else { panic!() };
    let mut out = Vec::new();
    rejection.encode(&mut out);
    for secret in [&b"tenant-7"[..], b"order-1042", b"body", &[0xa5; 16]] {
        assert!(bytes.windows(secret.len()).any(|part| part == secret), "it was sent");
        assert!(!out.windows(secret.len()).any(|part| part == secret), "it does not come back");
    }
    assert!(!text.contains("order-1042") && !text.contains("tenant-7"));
    assert!(!format!("{:?}", hello(ORDERS)).contains("credential: "));
}

/// `Debug` writes bytes as a bracketed list, so that a bracket gives them away.
#[test]
fn no_message_shows_its_bytes_in_a_log_s16() {
    for (_, message) in requests() {
        let text = format!("{message:?}");
        assert!(!text.contains('['), "{text}");
    }
    for (_, reply) in replies() {
        let text = format!("{reply:?}");
        assert!(!text.contains('[') || matches!(reply, Reply::List(_)), "{text}");
        assert!(!text.contains("255, 255"), "{text}");
    }
}

/// A page is the only message that allocates by a count. It trusts the bytes at hand instead.
#[test]
fn a_page_is_sized_by_its_bytes_and_not_by_its_count() {
    for (count, bytes, room) in [(0xffff, 0, 0), (0xffff, 36, 0), (0xffff, 100, 2), (1, 100, 1)] {
        assert_eq!(entries_room(count, bytes), room);
    }
    let lie = [&[0x01, 0xff, 0xff][..], &[1; 37]].concat();
    assert_eq!(Reply::decode(Opcode::List, &lie), Err(Malformed::Cut { field: "scope" }));
}
