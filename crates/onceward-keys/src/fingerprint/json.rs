//! The canonical form of a JSON document (RFC 8785), for documents that lose nothing by it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Number, Value};

/// Most bytes of a document; over: [`JsonFingerprintError::Size`]. Its tree takes many times that.
const JSON_BYTES_MAX: usize = 1024 * 1024;
/// How deep arrays and objects may lie in one another; over: [`JsonFingerprintError::Depth`]. Less
/// than the parser's own bound.
const JSON_DEPTH_MAX: usize = 64;

/// A JSON document that loses nothing in its canonical form, read once for several parts of it.
///
/// ```
/// use onceward_keys::JsonDocument;
///
/// let order = JsonDocument::parse(br#"{"sent":"10:04","cart":{"sku":"A-17","quantity":2.0}}"#)?;
/// let cart = order.canonical_at("/cart").expect("there is one");
/// assert_eq!(cart, br#"{"quantity":2,"sku":"A-17"}"#);
/// assert_eq!(order.canonical_at("/coupon"), None);
/// # Ok::<(), onceward_keys::JsonFingerprintError>(())
/// ```
#[derive(Clone)]
pub struct JsonDocument(
    /// Invariant: numbers are finite, names within an object differ.
    Value,
);

impl JsonDocument {
    /// Reads a document, if no two documents of other meaning share its canonical form.
    ///
    /// # Errors
    /// See [`JsonFingerprintError`].
    pub fn parse(document: &[u8]) -> Result<Self, JsonFingerprintError> {
        if document.len() > JSON_BYTES_MAX {
            return Err(JsonFingerprintError::Size { got: document.len() });
        }
        // Before the parser, which recurses, and which forgets how a number was written.
        check_depth_and_numbers(document)?;
        let Unique(value) = serde_json::from_slice(document).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            match error.classify() {
                Category::Data => JsonFingerprintError::NameTwice { line, column },
                Category::Io | Category::Syntax | Category::Eof => {
                    JsonFingerprintError::Syntax { line, column }
                }
            }
        })?;
        Ok(Self(value))
    }

    /// The canonical form of the whole document (RFC 8785).
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        canonical(&self.0)
    }

    /// The canonical form of the value at a JSON Pointer (RFC 6901); `None` where there is none.
    #[must_use]
    pub fn canonical_at(&self, pointer: &str) -> Option<Vec<u8>> {
        self.0.pointer(pointer).map(canonical)
    }
}

/// Shows nothing: documents are in no log (S16).
impl fmt::Debug for JsonDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonDocument(…)")
    }
}

fn canonical(value: &Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).expect("finite numbers and names that differ")
}

/// Walks the tokens of a document that need not be valid: what the parser will refuse may pass.
fn check_depth_and_numbers(document: &[u8]) -> Result<(), JsonFingerprintError> {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(&byte) = document.get(at) {
        at += match byte {
            b'"' => string_size(&document[at..]),
            b'-' | b'0'..=b'9' => {
                let size = number_size(&document[at..]);
                if !is_kept(&document[at..at + size]) {
                    return Err(JsonFingerprintError::Number { at });
                }
                size
            }
            b'[' | b'{' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(JsonFingerprintError::Depth { at });
                }
                1
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                1
            }
            _ => 1,
        };
    }
    Ok(())
}

/// Bytes of the string at the front, both quotes included; all there are if it does not end.
fn string_size(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

fn number_size(text: &[u8]) -> usize {
    let joins = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    text.iter().position(|byte| !joins(byte)).unwrap_or(text.len())
}

/// Whether the canonical form of a number, the shortest text that gives the same double, has the
/// value that is written here. True of what is no number, for the parser to refuse.
fn is_kept(number: &[u8]) -> bool {
    // A double keeps every whole number of 15 digits. Most numbers are such, and asking the
    // canonical text about each makes a document full of them five times as dear.
    if number.len() <= 15 && number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-') {
        return true;
    }
    let written = std::str::from_utf8(number).expect("digits and signs");
    let Ok(double) = written.parse::<f64>() else { return true };
    // The canonical text itself, so that no other notion of "shortest" comes in. None if infinite.
    serde_json_canonicalizer::to_string(&double)
        .is_ok_and(|canonical| Decimal::of(&canonical) == Decimal::of(written))
}

/// A decimal number by value: ± 0.DIGITS × 10^exponent, without zeros at either end.
#[derive(Eq, PartialEq)]
struct Decimal {
    is_negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Of a text that parses as a double. An exponent too large to be told saturates; with digits
    /// before it such a number is infinite or rounds to zero, and so is no number's equal.
    fn of(text: &str) -> Self {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent = exponent.parse().unwrap_or(match exponent.starts_with('-') {
            true => i64::MIN,
            false => i64::MAX,
        });
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        let significant = digits.trim_start_matches('0');
        if significant.is_empty() {
            return Self { is_negative: false, digits: Vec::new(), exponent: 0 };
        }
        let point = whole.len() as i64 - (digits.len() - significant.len()) as i64;
        Self {
            is_negative,
            digits: significant.trim_end_matches('0').into(),
            exponent: point.saturating_add(exponent),
        }
    }
}

/// Any JSON value whose objects name each member once.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Unique(value)) = elements.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some((name, Unique(value))) = members.next_entry::<String, _>()? {
            if values.insert(name, value).is_some() {
                return Err(A::Error::custom("a member's name occurs twice"));
            }
        }
        Ok(Value::Object(values))
    }
}

/// Why a JSON document has no canonical fingerprint: its author's fault. Says where, and shows
/// nothing of the document (S16).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum JsonFingerprintError {
    /// The document has more than 1 MiB.
    Size {
        /// Bytes it has.
        got: usize,
    },
    /// Arrays and objects lie more than 64 deep.
    Depth {
        /// Offset of the one too many, in bytes from 0.
        at: usize,
    },
    /// The bytes are no JSON: also where a string holds half of a surrogate pair.
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// Two members of one object have one name; readers differ over which one counts.
    NameTwice {
        /// Line at which reading the object stopped, behind the second member, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// A number has another value in the canonical form, which knows doubles only.
    Number {
        /// Offset of the number, in bytes from 0.
        at: usize,
    },
}

impl fmt::Display for JsonFingerprintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { got } => write!(
                f,
                "JSON document has {got} bytes: at most {JSON_BYTES_MAX} are made canonical; fingerprint its bytes instead"
            ),
            Self::Depth { at } => write!(
                f,
                "JSON document is too deep at byte {at}: nest arrays and objects at most {JSON_DEPTH_MAX} deep"
            ),
            Self::Syntax { line, column } => {
                write!(f, "not a JSON document: line {line}, column {column}")
            }
            Self::NameTwice { line, column } => write!(
                f,
                "an object of the JSON document names a member twice, before line {line}, column {column}: name each once"
            ),
            Self::Number { at } => write!(
                f,
                "number at byte {at} of the JSON document is more exact than a double: send it as a string, or fingerprint the bytes"
            ),
        }
    }
}

impl std::error::Error for JsonFingerprintError {}
