//! `docs/protocol.md` tells the truth: its examples are decoded and encoded again to the byte.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::fs;

use super::samples::replies;
use super::{Message, decode_reply, encode_reply, only_frame};
use crate::frame::{self, CONNECTION, Direction};
use crate::{ErrorCode, Opcode, OutcomeCode, Reply};

pub(super) fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
    fs::read_to_string(path).expect("docs/protocol.md belongs to this repository")
}

pub(super) struct Example {
    pub(super) direction: Direction,
    /// `BEGIN acquired`, as the document heads it.
    pub(super) title: String,
    pub(super) bytes: Vec<u8>,
}

/// Blocks fenced as `hex request …` or `hex reply …`; `#` starts a remark.
pub(super) fn examples(document: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(head) = line.strip_prefix("```hex ") else { continue };
        let (kind, title) = head.split_once(' ').expect("kind and title");
        let direction = match kind {
            "request" => Direction::Request,
            "reply" => Direction::Reply,
            other => panic!("{other} is no kind of example"),
        };
        let bytes = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace())
            .map(|byte| u8::from_str_radix(byte, 16).expect("two hexadecimal digits"))
            .collect();
        examples.push(Example { direction, title: title.into(), bytes });
    }
    examples
}

#[test]
fn every_example_decodes_and_encodes_to_the_same_bytes() {
    let examples = examples(&document());
    for Example { direction, title, bytes } in &examples {
        let frame = only_frame(bytes, *direction);
        let opcode = Opcode::from_u8(frame.opcode);
        let operation = title.split(' ').next().unwrap();
        let named = match opcode {
            Some(opcode) => opcode.name().to_uppercase(),
            None if frame.opcode == CONNECTION => "CONNECTION".into(),
            None => format!("{:#04x}", frame.opcode),
        };
        assert_eq!(operation, named, "{title}: names its opcode");
        let again = match direction {
            Direction::Request => {
                let message = Message::decode(opcode.unwrap(), frame.body);
                message.unwrap_or_else(|error| panic!("{title}: {error}")).encode(frame.correlation)
            }
            Direction::Reply => {
                // An error is read alike whatever was asked.
                let asked = opcode.unwrap_or(Opcode::Ping);
                let reply = decode_reply(asked, frame.body);
                match reply.unwrap_or_else(|error| panic!("{title}: {error}")) {
                    Reply::Error(error) => {
                        assert!(title.ends_with(error.code.name()), "{title}: names its code");
                        let mut out = Vec::new();
                        error.encode(frame.opcode, frame.correlation, &mut out);
                        out
                    }
                    Reply::Unknown { code } => panic!("{title}: code {code:#04x} is not known"),
                    reply => {
                        let word = OutcomeCode::from_u8(frame.body[0]).unwrap().name();
                        let named = title.split([' ', ',']).nth(1);
                        assert_eq!(named, Some(word), "{title}: names its code");
                        encode_reply(asked, &reply, frame.correlation)
                    }
                }
            }
        };
        assert_eq!(&again, bytes, "{title}");
    }
    assert!(examples.len() >= 80, "found {} examples", examples.len());
}

#[test]
fn every_opcode_and_every_outcome_has_an_example() {
    let examples = examples(&document());
    let of = |direction| examples.iter().filter(move |it| it.direction == direction);
    let asked: BTreeSet<_> = of(Direction::Request).map(|it| it.bytes[4]).collect();
    assert!(asked.into_iter().eq(Opcode::ALL.map(Opcode::as_u8)), "every request");

    let code_at = frame::HEADER_SIZE;
    let shown: BTreeSet<_> =
        of(Direction::Reply).map(|it| (it.bytes[4], it.bytes[code_at])).collect();
    for (opcode, reply) in replies() {
        if matches!(reply, Reply::Error(_) | Reply::Expired { .. } | Reply::Unknown { .. }) {
            continue; // Alike for every opcode; looked for by code below.
        }
        let code = encode_reply(opcode, &reply, 1)[code_at];
        assert!(shown.contains(&(opcode.as_u8(), code)), "{opcode:?} with code {code:#04x}");
    }
    assert!(shown.contains(&(Opcode::Stats.as_u8(), OutcomeCode::Ok.as_u8())));
    let codes: BTreeSet<_> = shown.iter().map(|(_, code)| *code).collect();
    for code in ErrorCode::ALL {
        assert!(codes.contains(&code.as_u8()), "an example of {}", code.name());
    }
    assert!(shown.contains(&(Opcode::Complete.as_u8(), OutcomeCode::Expired.as_u8())), "S23");
}

#[test]
fn the_tables_hold_every_number() {
    let document = document();
    for opcode in Opcode::ALL {
        let row = format!("| {:#04x} | {} |", opcode.as_u8(), opcode.name().to_uppercase());
        assert!(document.contains(&row), "{row}");
    }
    for code in OutcomeCode::ALL {
        let row = format!("| {:#04x} | {} |", code.as_u8(), code.name());
        assert!(document.contains(&row), "{row}");
    }
    for code in ErrorCode::ALL {
        let connection = if code.closes() { "closes" } else { "stays" };
        let row = format!("| {:#04x} | {} | {connection} |", code.as_u8(), code.name());
        assert!(document.contains(&row), "{row}");
    }
    let limits = [
        frame::BODY_BYTES_MAX_DEFAULT,
        frame::BODY_BYTES_MAX_FLOOR,
        frame::BODY_BYTES_MAX_CEILING,
        frame::HELLO_BODY_BYTES_MAX,
        crate::TCP_PORT_DEFAULT.into(),
    ];
    for limit in limits {
        let text = if limit < 8_000 { limit.to_string() } else { grouped(limit) };
        assert!(document.contains(&text), "{text}");
    }
}

/// `1114112` as `1,114,112`.
fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
