//! The header `Idempotency-Key`: one line, one key (H1).

mod parameters;

use std::borrow::Cow;
use std::fmt;

use http::header::{HeaderMap, HeaderName};
use onceward_core::limits::KEY_BYTES_MAX;

/// The header that carries the key.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The key that a request names; `None` if it has no such header.
///
/// A key is a Structured-Fields String (RFC 9651), `"…"` with the escapes `\"` and `\\`, whose
/// parameters are read and ignored; or it stands bare, of `[A-Za-z0-9._:~+/=-]`. `"abc"` and `abc`
/// are one key. Borrowed but for a string with escapes.
///
/// ```
/// use http::HeaderMap;
/// use onceward_http::key_of;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("idempotency-key", r#""8f14e45f";v=1"#.parse()?);
/// assert_eq!(key_of(&headers).unwrap().as_deref(), Some("8f14e45f"));
/// headers.append("idempotency-key", "8f14e45f".parse()?);
/// assert!(key_of(&headers).is_err(), "two lines");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`KeyHeaderError`] for anything else: 400.
pub fn key_of(headers: &HeaderMap) -> Result<Option<Cow<'_, str>>, KeyHeaderError> {
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    match lines.count() {
        0 => parse(line.as_bytes()).map(Some),
        more => Err(KeyHeaderError::Lines { got: more + 1 }),
    }
}

/// Whether a key may stand without quotes.
const fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'.' | b'_' | b':' | b'~' | b'+' | b'/' | b'=' | b'-')
}

fn parse(line: &[u8]) -> Result<Cow<'_, str>, KeyHeaderError> {
    // Spaces only, as RFC 9651 has it: a tab that an HTTP stack left in place is refused.
    let from = line.iter().position(|byte| *byte != b' ').unwrap_or(line.len());
    let until = line.iter().rposition(|byte| *byte != b' ').map_or(from, |last| last + 1);
    let key = match &line[from..until] {
        [] => return Err(KeyHeaderError::Empty),
        [b'"', string @ ..] => quoted(string, from + 1)?,
        bare => match bare.iter().position(|byte| !is_bare(*byte)) {
            Some(at) => return Err(KeyHeaderError::Byte { at: from + at }),
            None => Cow::Borrowed(text(bare)),
        },
    };
    match key.len() {
        0 => Err(KeyHeaderError::Empty),
        got if got > KEY_BYTES_MAX => Err(KeyHeaderError::TooLong { got }),
        _ => Ok(key),
    }
}

/// The string behind an opening quote, and its parameters. `from` is where it starts in the line.
fn quoted(string: &[u8], from: usize) -> Result<Cow<'_, str>, KeyHeaderError> {
    let mut unescaped: Option<String> = None;
    let mut at = 0;
    let end = loop {
        let byte = *string.get(at).ok_or(KeyHeaderError::Unbalanced)?;
        let kept = match byte {
            b'"' => break at,
            b'\\' => {
                let so_far = unescaped.get_or_insert_with(|| text(&string[..at]).to_owned());
                at += 1;
                match string.get(at) {
                    Some(escaped @ (b'"' | b'\\')) => so_far.push(char::from(*escaped)),
                    Some(_) => return Err(KeyHeaderError::Escape { at: from + at - 1 }),
                    None => return Err(KeyHeaderError::Unbalanced),
                }
                at += 1;
                continue;
            }
            0x20..=0x7e => char::from(byte),
            _ => return Err(KeyHeaderError::Byte { at: from + at }),
        };
        if let Some(so_far) = &mut unescaped {
            so_far.push(kept);
        }
        at += 1;
    };
    parameters::check(&string[end + 1..])
        .map_err(|at| KeyHeaderError::Parameters { at: from + end + 1 + at })?;
    Ok(unescaped.map_or_else(|| Cow::Borrowed(text(&string[..end])), Cow::Owned))
}

fn text(ascii: &[u8]) -> &str {
    std::str::from_utf8(ascii).expect("every byte was found to be ASCII")
}

/// Why a header `Idempotency-Key` names no key: the caller's fault, and the same at every try.
/// Says where and which bound, and shows no byte of the key (S16).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeyHeaderError {
    /// There is more than one line of it.
    Lines {
        /// Lines there are.
        got: usize,
    },
    /// The key has no bytes.
    Empty,
    /// The key has more than 255 bytes.
    TooLong {
        /// Bytes it has, without quotes and escapes.
        got: usize,
    },
    /// A byte that may not stand there: outside the bare form's alphabet (a comma, a quote), or in
    /// quotes one that is neither printable ASCII nor a space.
    Byte {
        /// Where in the header's value, in bytes from 0.
        at: usize,
    },
    /// A backslash before something other than a quote or a backslash.
    Escape {
        /// Where the backslash is, in bytes from 0.
        at: usize,
    },
    /// The closing quote is missing.
    Unbalanced,
    /// Behind the closing quote stands something that is no parameter.
    Parameters {
        /// Where in the header's value, in bytes from 0.
        at: usize,
    },
}

impl fmt::Display for KeyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("header Idempotency-Key ")?;
        match self {
            Self::Lines { got } => write!(f, "has {got} lines: send one"),
            Self::Empty => write!(f, "has an empty key: send 1 to {KEY_BYTES_MAX} bytes"),
            Self::TooLong { got } => {
                write!(f, "has a key of {got} bytes: send 1 to {KEY_BYTES_MAX}")
            }
            Self::Byte { at } => write!(
                f,
                "has a byte at offset {at} that no key holds there: send [A-Za-z0-9._:~+/=-], or printable ASCII in quotes"
            ),
            Self::Escape { at } => write!(
                f,
                "has a backslash at offset {at} before something else than a quote or a backslash"
            ),
            Self::Unbalanced => f.write_str("has a string without a closing quote"),
            Self::Parameters { at } => {
                write!(f, "has something at offset {at}, behind the string, that is no parameter")
            }
        }
    }
}

impl std::error::Error for KeyHeaderError {}
