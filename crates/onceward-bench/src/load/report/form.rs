//! The document's form on disk: JSON with the name of its schema.

use std::error::Error;
use std::fmt;

use serde::Deserialize;

use crate::load::record::{Document, SCHEMA};

/// Why a text is no document that this version reads.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// It is not JSON, or a field has another type.
    Json(serde_json::Error),
    /// It is JSON of another kind.
    Foreign {
        /// The schema it names, if any.
        got: Option<String>,
    },
    /// A later version wrote it.
    Newer {
        /// The schema it names.
        got: String,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not a record of the load harness: {error}"),
            Self::Foreign { got: None } => {
                write!(f, "not a record of the load harness: it has no `schema`, {SCHEMA} is read")
            }
            Self::Foreign { got: Some(got) } => write!(
                f,
                "not a record of the load harness: its schema is {got:?}, {SCHEMA} is read"
            ),
            Self::Newer { got } => write!(
                f,
                "a later version wrote this record ({got:?}), this one reads {SCHEMA}: use that version"
            ),
        }
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::Foreign { .. } | Self::Newer { .. } => None,
        }
    }
}

/// The document as JSON, with its schema's name whatever `document` says.
///
/// # Errors
/// None is known; the writer's own are passed on.
pub fn write(document: &Document) -> Result<String, serde_json::Error> {
    let document = Document { schema: SCHEMA.to_owned(), ..document.clone() };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    Ok(text)
}

/// Reads what [`write()`] wrote, in this version or in another one with the same schema.
///
/// # Errors
/// The text is not JSON, of another kind, or from a later version.
pub fn read(text: &str) -> Result<Document, ReadError> {
    #[derive(Deserialize)]
    struct Head {
        schema: Option<serde_json::Value>,
    }
    // Alone and first: another schema may not fit the fields, and that is not what is wrong with it.
    let head: Head = serde_json::from_str(text).map_err(ReadError::Json)?;
    let got = match head.schema {
        None => return Err(ReadError::Foreign { got: None }),
        Some(serde_json::Value::String(name)) => name,
        Some(other) => other.to_string(),
    };
    if got != SCHEMA {
        let number = |name: &str| {
            let (family, number) = name.rsplit_once('/')?;
            Some((family.to_owned(), number.parse::<u32>().ok()?))
        };
        let newer = number(&got).zip(number(SCHEMA)).is_some_and(|(got, ours)| {
            let (got_family, got) = got;
            got_family == ours.0 && got > ours.1
        });
        let foreign = || ReadError::Foreign { got: Some(got.clone()) };
        return Err(if newer { ReadError::Newer { got } } else { foreign() });
    }
    serde_json::from_str(text).map_err(ReadError::Json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::record::{Run, Series};

    #[test]
    fn what_is_written_is_read() {
        let run = Run { round_trips: 7, server_resident_bytes: Some((1, 2)), ..Run::default() };
        let series = Series { runs: vec![run], ..Series::default() };
        let document = Document { series: vec![series], ..Document::default() };
        let text = write(&document).expect("written");
        let again = read(&text).expect("read");
        assert_eq!(again.schema, SCHEMA);
        assert_eq!(again.series[0].runs[0].server_resident_bytes, Some((1, 2)));
        assert_eq!(write(&again).expect("written"), text);
    }

    #[test]
    fn fields_may_be_missing_or_unknown() {
        let text = r#"{"schema": "onceward-bench/1", "later": {"x": []},
            "series": [{"load": {"mix": "first", "later": 1}, "runs": [{"counters": {}}]}]}"#;
        let document = read(text).expect("read");
        assert_eq!(document.series[0].load.mix, "first");
        assert_eq!(document.series[0].load.connections, 0);
        assert_eq!(document.series[0].runs[0].invalid, None);
    }

    #[test]
    fn what_is_no_document_of_this_version_is_refused() {
        let cases = [
            ("", "EOF while parsing"),
            ("3", "invalid type"),
            ("[3]", "its schema is \"3\""),
            ("{\"figures\": []}", "no `schema`"),
            ("{\"schema\": \"onceward-demo/1\"}", "\"onceward-demo/1\""),
            ("{\"schema\": 1}", "its schema is \"1\""),
            ("{\"schema\": \"onceward-bench/0\"}", "its schema is \"onceward-bench/0\""),
            ("{\"schema\": \"onceward-bench/2\", \"series\": 5}", "a later version"),
            ("{\"schema\": \"onceward-bench/1\", \"series\": 5}", "invalid type: integer `5`"),
        ];
        for (text, want) in cases {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
