//! Every message survives the wire, and no part of one passes for a whole.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use onceward_core::Stats;

use super::samples::{replies, requests};
use super::{Message, decode_reply, encode_reply, extended, only_frame};
use crate::frame::{self, BODY_BYTES_MAX_CEILING, Direction, HEADER_SIZE};
use crate::reply_encoder::ReplyEncoder;
use crate::{DecodeError, ErrorCode, Malformed, Opcode, OutcomeCode, Reply};

const CORRELATION: u64 = 0x0102_0304_0506_0708;

/// An optional field of no version: the highest tag, with a value that looks like another field.
const UNKNOWN_OPTION: [u8; 8] = [0xff, 3, 0, 0, 0, 1, 2, 3];

/// The bodies to cut are long only where a test says so; every cut of a long one is too slow.
const CUT_BYTES_MAX: usize = 2_000;

#[test]
fn every_request_survives_the_wire() {
    let mut seen = BTreeSet::new();
    for (opcode, message) in requests() {
        let bytes = message.encode(CORRELATION);
        let frame = only_frame(&bytes, Direction::Request);
        assert_eq!((frame.opcode, frame.correlation), (opcode.as_u8(), CORRELATION));
        assert_eq!(Message::decode(opcode, frame.body), Ok(message));
        seen.insert(opcode);
    }
    assert!(seen.into_iter().eq(Opcode::ALL), "there is a sample of every opcode");
}

#[test]
fn every_reply_survives_the_wire_s23() {
    let mut seen = BTreeSet::new();
    for (opcode, reply) in replies() {
        let bytes = encode_reply(opcode, &reply, CORRELATION);
        let frame = only_frame(&bytes, Direction::Reply);
        assert_eq!((frame.opcode, frame.correlation), (opcode.as_u8(), CORRELATION));
        assert_eq!(decode_reply(opcode, frame.body).as_ref(), Ok(&reply), "{opcode:?}");
        seen.insert(frame.body[0]);
    }
    let outcomes = OutcomeCode::ALL.map(OutcomeCode::as_u8);
    let errors = ErrorCode::ALL.map(ErrorCode::as_u8);
    for code in outcomes.into_iter().chain(errors) {
        assert!(seen.contains(&code), "there is a sample of code {code:#04x}");
    }
}

#[test]
fn figures_survive_the_wire_with_names_of_later_versions() {
    let mut stats = Stats::default();
    stats.entries = 7;
    stats.expired_unfinished = u64::MAX;
    let mut bytes = Vec::new();
    ReplyEncoder::new(BODY_BYTES_MAX_CEILING).stats(1, &stats, &mut bytes);
    let frame = only_frame(&bytes, Direction::Reply);
    let Ok(Reply::Stats(rows)) = decode_reply(Opcode::Stats, frame.body) else { panic!() };
    assert!(rows.iter().eq(stats.rows().into_iter().map(|row| (row.name, row.value))));
    assert_eq!(rows.to_stats(), stats);

    let later = b"\x01\x02\x00\x05later\x01\0\0\0\0\0\0\0\x07entries\x02\0\0\0\0\0\0\0";
    let Ok(Reply::Stats(rows)) = decode_reply(Opcode::Stats, later) else { panic!() };
    assert!(rows.iter().eq([("later", 1), ("entries", 2)]), "shown, though unknown");
    assert_eq!(rows.to_stats().entries, 2);
}

#[test]
fn unknown_optional_fields_are_skipped_s23() {
    for (opcode, message) in requests() {
        let longer = extended(&message.encode(1), &UNKNOWN_OPTION);
        let frame = only_frame(&longer, Direction::Request);
        assert_eq!(Message::decode(opcode, frame.body), Ok(message), "{opcode:?}");
    }
    for (opcode, reply) in replies() {
        let longer = extended(&encode_reply(opcode, &reply, 1), &UNKNOWN_OPTION);
        let frame = only_frame(&longer, Direction::Reply);
        assert_eq!(decode_reply(opcode, frame.body).as_ref(), Ok(&reply), "{opcode:?}");
    }
}

#[test]
fn optional_fields_out_of_order_are_malformed() {
    let tag_zero = [0, 0, 0, 0, 0];
    let repeated = [UNKNOWN_OPTION, UNKNOWN_OPTION].concat();
    for (opcode, message) in requests() {
        for (more, tag) in [(&tag_zero[..], 0), (&repeated, 0xff)] {
            let bytes = extended(&message.encode(1), more);
            let body = only_frame(&bytes, Direction::Request).body;
            let want = Err(DecodeError::Malformed(Malformed::OptionOrder { tag }));
            assert_eq!(Message::decode(opcode, body), want, "{opcode:?}");
        }
    }
    for (opcode, reply) in replies() {
        if matches!(reply, Reply::Unknown { .. }) {
            continue; // Nothing behind an unknown code is read.
        }
        for (more, tag) in [(&tag_zero[..], 0), (&repeated, 0xff)] {
            let bytes = extended(&encode_reply(opcode, &reply, 1), more);
            let body = only_frame(&bytes, Direction::Reply).body;
            let want = Err(Malformed::OptionOrder { tag });
            assert_eq!(decode_reply(opcode, body), want, "{opcode:?}");
        }
    }
}

#[test]
fn half_a_frame_is_no_frame() {
    for (_, message) in requests() {
        let bytes = message.encode(1);
        for cut in 0..bytes.len().min(CUT_BYTES_MAX) {
            let part = &bytes[..cut];
            let found = frame::decode(part, Direction::Request, BODY_BYTES_MAX_CEILING);
            assert_eq!(found, Ok(None));
            let size = if cut < HEADER_SIZE { HEADER_SIZE } else { bytes.len() };
            assert_eq!(frame::size_on_wire(part), size);
        }
    }
}

/// A body that ends early is malformed. Only between optional fields may it end, and is then the
/// message without the rest of them, to the byte.
#[test]
fn every_cut_of_every_request_is_refused() {
    for (opcode, message) in requests() {
        let bytes = message.encode(1);
        let body = only_frame(&bytes, Direction::Request).body;
        let mut whole = 0;
        for cut in 0..body.len().min(CUT_BYTES_MAX) {
            match Message::decode(opcode, &body[..cut]) {
                Err(DecodeError::Malformed(Malformed::Cut { .. })) => {}
                Ok(shorter) => {
                    whole += 1;
                    let only = shorter.encode(1);
                    assert_eq!(only_frame(&only, Direction::Request).body, &body[..cut]);
                }
                other => panic!("{opcode:?} cut at {cut}: {other:?}"),
            }
        }
        assert!(whole <= 2, "no request has more than two optional fields");
    }
}

#[test]
fn every_cut_of_every_reply_is_refused() {
    for (opcode, reply) in replies() {
        let bytes = encode_reply(opcode, &reply, 1);
        let body = only_frame(&bytes, Direction::Reply).body;
        for cut in 0..body.len().min(CUT_BYTES_MAX) {
            match decode_reply(opcode, &body[..cut]) {
                Err(Malformed::Cut { .. } | Malformed::Missing { .. }) => {}
                Ok(shorter) => {
                    let only = encode_reply(opcode, &shorter, 1);
                    assert_eq!(only_frame(&only, Direction::Reply).body, &body[..cut]);
                }
                other => panic!("{opcode:?} cut at {cut}: {other:?}"),
            }
        }
    }
}
