//! Answers and failures as text: lines for people, one JSON object for programs.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use onceward_client::Millis;
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::answer::{Answer, Field, Value};
use crate::failure::Failure;
use crate::quantity;

/// Names the form of every JSON object. Fields may be added under it; what is there keeps its
/// meaning.
pub(crate) const SCHEMA: &str = "onceward/1";

/// One line of JSON, with its line end.
pub(crate) fn json(object: &impl Serialize) -> Vec<u8> {
    // Maps with string keys and no foreign types: nothing that JSON cannot hold.
    let mut line = serde_json::to_vec(object).unwrap_or_default();
    line.push(b'\n');
    line
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", SCHEMA)?;
        map.serialize_entry("outcome", self.outcome)?;
        for Field { name, value } in &self.fields {
            match value {
                Value::Nothing => map.serialize_entry(name, &())?,
                Value::Number(number) => map.serialize_entry(name, number)?,
                Value::Text(text) => map.serialize_entry(name, text)?,
                Value::Millis(length) => {
                    map.serialize_entry(&format!("{name}_ms"), &length.map(Millis::get))?;
                }
                Value::Micros(micros) => map.serialize_entry(&format!("{name}_us"), micros)?,
                Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) => map.serialize_entry(name, text)?,
                    Err(_) => {
                        map.serialize_entry(&format!("{name}_base64"), &STANDARD.encode(bytes))?;
                    }
                },
                Value::Pairs(pairs) => match texts(pairs) {
                    Some(texts) => map.serialize_entry(name, &texts)?,
                    None => map.serialize_entry(&format!("{name}_base64"), &encoded(pairs))?,
                },
            }
        }
        map.end()
    }
}

fn texts(pairs: &[(Bytes, Bytes)]) -> Option<Vec<[&str; 2]>> {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    pairs.iter().map(|(name, value)| Some([text(name)?, text(value)?])).collect()
}

fn encoded(pairs: &[(Bytes, Bytes)]) -> Vec<[String; 2]> {
    pairs.iter().map(|(name, value)| [STANDARD.encode(name), STANDARD.encode(value)]).collect()
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let error = serde_json::json!({
            "code": self.exit.word(),
            "message": self.message,
            "field": self.field,
            "retryable": self.retryable,
            "exit_code": self.exit.code(),
        });
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", SCHEMA)?;
        map.serialize_entry("error", &error)?;
        if let Some(attempt) = &self.attempt {
            map.serialize_entry("attempt_id", attempt)?;
        }
        map.end()
    }
}

/// The answer for people: the outcome, a line for each field, the body, what to do now.
pub(crate) fn lines(answer: &Answer) -> Vec<u8> {
    let mut text = format!("{}\n", answer.outcome);
    let mut body = None;
    let unknown = |value: &Value| matches!(value, Value::Nothing | Value::Millis(None));
    let shown = answer.fields.iter().filter(|field| !unknown(&field.value));
    let width = shown.clone().map(|field| field.name.len()).max().unwrap_or_default();
    for Field { name, value } in shown {
        let value = match value {
            Value::Nothing | Value::Millis(None) => continue,
            Value::Number(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            Value::Millis(Some(length)) => quantity::spelt(length.as_duration()),
            Value::Micros(micros) => format!("{:.3} ms", *micros as f64 / 1_000.0),
            Value::Bytes(bytes) => {
                body = body.or_else(|| printable(bytes));
                format!("{} bytes{}", bytes.len(), note(bytes))
            }
            Value::Pairs(pairs) if pairs.is_empty() => continue,
            Value::Pairs(pairs) => {
                let lines =
                    pairs.iter().map(|(name, value)| format!("{}: {}", plain(name), plain(value)));
                lines.collect::<Vec<_>>().join(&format!("\n  {:width$}  ", ""))
            }
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:<width$}  {value}", name.replace('_', " "));
    }
    if let Some(body) = body {
        text.push('\n');
        text.push_str(body);
        if !body.ends_with('\n') {
            text.push('\n');
        }
    }
    if let Some(advice) = answer.advice {
        let _ = writeln!(text, "\n{advice}");
    }
    text.into_bytes()
}

/// Bytes that can be shown: text without control characters, which could drive a terminal.
fn printable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty())?;
    let shown = |c: char| !c.is_control() || matches!(c, '\n' | '\t' | '\r');
    text.chars().all(shown).then_some(text)
}

fn note(bytes: &[u8]) -> &'static str {
    match printable(bytes) {
        None if !bytes.is_empty() => ", not printable: see --json or get --body-only",
        Some(_) | None => "",
    }
}

/// Text in one line; what is not printable is written as an escape.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use onceward_client::{MetadataBuf, NotKept, StoredResult};

    fn result(metadata: &[(&[u8], &[u8])], body: &'static [u8]) -> StoredResult<Bytes> {
        let mut built = MetadataBuf::new();
        for (name, value) in metadata {
            built.push(name, value).unwrap();
        }
        let metadata = Bytes::from(built.into_encoded());
        StoredResult {
            status: 201,
            metadata,
            body: onceward_client::Body::Kept(Bytes::from_static(body)),
        }
    }

    fn json_of(answer: &Answer) -> String {
        String::from_utf8(json(answer)).unwrap()
    }

    #[test]
    fn json_names_units_and_tells_text_from_bytes() {
        let answer = Answer::new(Exit::Ok, "replay")
            .with_result(&result(&[(b"location", b"/1")], "ä\n".as_bytes()))
            .with("age", Millis::new(5));
        assert_eq!(
            json_of(&answer),
            concat!(
                r#"{"schema":"onceward/1","outcome":"replay","status":201,"metadata":[["location","/1"]],"#,
                r#""not_kept":null,"body":"ä\n","age_ms":5}"#,
                "\n"
            )
        );
        let answer =
            Answer::new(Exit::Ok, "replay").with_result(&result(&[(b"n", b"\xff")], b"\xff"));
        assert_eq!(
            json_of(&answer),
            concat!(
                r#"{"schema":"onceward/1","outcome":"replay","status":201,"metadata_base64":[["bg==","/w=="]],"#,
                r#""not_kept":null,"body_base64":"/w=="}"#,
                "\n"
            )
        );
        let mut gone = result(&[], b"");
        gone.body = onceward_client::Body::NotKept(NotKept::TooLarge);
        let answer = Answer::new(Exit::Ok, "replay").with_result(&gone);
        assert!(json_of(&answer).contains(r#""not_kept":"too_large","body":null"#), "S12");
    }

    #[test]
    fn people_get_no_control_characters() {
        let cases: [(&str, &'static [u8], &str); 4] = [
            ("text is shown", b"order 1", "\n\norder 1\n"),
            ("a terminal is not driven", b"\x1b[2J", "4 bytes, not printable"),
            ("no UTF-8", b"\xff", "1 bytes, not printable"),
            ("nothing", b"", "0 bytes\n"),
        ];
        for (why, body, want) in cases {
            let answer =
                Answer::new(Exit::Ok, "replay").with_result(&result(&[(b"a", b"\x1b")], body));
            let text = String::from_utf8(lines(&answer)).unwrap();
            assert!(text.contains(want), "{why}: {text}");
            assert!(!text.contains('\x1b'), "{why}: {text:?}");
        }
    }
}
