//! A listed entry: a row for people, an object for programs. Key and scope are the answer here,
//! so they are shown; in no log and no error they are (S16).

use onceward_client::{ListEntry, Millis};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::hex;
use crate::quantity::short;
use crate::render::SCHEMA;

/// The heads of a row's columns.
pub(crate) const COLUMNS: [&str; 8] =
    ["KEY", "SCOPE", "STATE", "AGE", "ATTEMPT", "FENCE", "DOUBT", "RETENTION"];

/// The cells of a row. None holds a blank or is empty, so that awk splits them as a person would.
pub(crate) fn cells(entry: &ListEntry) -> [String; 8] {
    let identity = entry.scoped_key.as_ref();
    [
        word(identity.key()),
        word(identity.scope()),
        entry.state.name().to_owned(),
        short(entry.age),
        entry.attempt_number.to_string(),
        entry.fence.to_string(),
        entry.doubt_number.to_string(),
        short(entry.retention_left),
    ]
}

const EMPTY: &str = "-";
const HEX: &str = "hex:";

/// Bytes as one word: letters, digits and marks as they are, `-` for none, else `hex:` and digits,
/// also for what would read as either of these.
fn word(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return EMPTY.to_owned();
    }
    // Nothing that drives a terminal, splits a row, or turns the direction of the text.
    let plain = |c: char| c.is_ascii_graphic() || (!c.is_ascii() && c.is_alphanumeric());
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(plain) && text != EMPTY && !text.starts_with(HEX) => {
            text.to_owned()
        }
        _ => format!("{HEX}{}", hex::encode(bytes)),
    }
}

/// An entry as JSON, alone on its line or in a list of them.
pub(crate) struct Listed<'a> {
    pub(crate) entry: &'a ListEntry,
    /// Whether it stands alone and names its schema itself.
    pub(crate) alone: bool,
}

impl Serialize for Listed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { entry, alone } = self;
        let identity = entry.scoped_key.as_ref();
        let mut map = serializer.serialize_map(None)?;
        if *alone {
            map.serialize_entry("schema", SCHEMA)?;
        }
        // The text to read, the digits to hand to --key-hex: those hold whatever the bytes are.
        map.serialize_entry("key", &std::str::from_utf8(identity.key()).ok())?;
        map.serialize_entry("key_hex", &hex::encode(identity.key()))?;
        map.serialize_entry("scope", &std::str::from_utf8(identity.scope()).ok())?;
        map.serialize_entry("scope_hex", &hex::encode(identity.scope()))?;
        map.serialize_entry("state", entry.state.name())?;
        map.serialize_entry("age_ms", &Millis::get(entry.age))?;
        map.serialize_entry("attempt_number", &entry.attempt_number)?;
        map.serialize_entry("fence", &entry.fence.to_string())?;
        map.serialize_entry("doubt_number", &entry.doubt_number)?;
        map.serialize_entry("retention_left_ms", &Millis::get(entry.retention_left))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_column_and_cannot_be_taken_for_another_s16() {
        let cases: [(&str, &[u8], &str); 9] = [
            ("text", b"order-17/a:b", "order-17/a:b"),
            ("letters of any script", "größe-日本".as_bytes(), "größe-日本"),
            ("nothing", b"", "-"),
            ("a dash is not nothing", b"-", "hex:2d"),
            ("a blank would split it", b"a b", "hex:612062"),
            ("it would drive the terminal", b"\x1b[2J", "hex:1b5b324a"),
            ("it would turn the text", "a\u{202e}b".as_bytes(), "hex:61e280ae62"),
            ("no UTF-8", b"\xff\x00", "hex:ff00"),
            ("it would read as digits", b"hex:ff", "hex:6865783a6666"),
        ];
        for (why, bytes, want) in cases {
            assert_eq!(word(bytes), want, "{why}");
        }
    }
}
