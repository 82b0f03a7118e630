//! JSON, the default.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::codec::{Codec, CodecError};

/// JSON under the id `json`: the body is plain JSON for any reader.
///
/// A map's keys must be text or numbers. A number that JSON has no form for, such as `NaN`,
/// becomes `null`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Json;

impl Codec for Json {
    const ID: &'static str = "json";

    fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, CodecError> {
        serde_json::to_vec(value).map_err(|_| CodecError::new("the value has no form in JSON"))
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, CodecError> {
        serde_json::from_slice(bytes).map_err(|error| {
            let reason = match error.classify() {
                Category::Eof => "the JSON is cut off",
                Category::Data => "the JSON is of another shape",
                Category::Syntax | Category::Io => "the bytes are no JSON",
            };
            CodecError::new(reason).at(offset(bytes, error.line(), error.column()))
        })
    }
}

/// The offset of a column, which serde_json counts from 1 in each line and 0 before the first.
fn offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1));
    lines.map(<[u8]>::len).sum::<usize>() + column.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn errors_say_where_and_quote_nothing_s16() {
        let cases = [
            ("", "the JSON is cut off", 0),
            (r#"["secret"#, "the JSON is cut off", 7),
            (r#"["secret"]"#, "the JSON is of another shape", 8),
            ("[1]secret", "the bytes are no JSON", 3),
            ("[1,\n2,\nsecret]", "the bytes are no JSON", 7),
        ];
        for (text, reason, at) in cases {
            let error = Json.decode::<Vec<u32>>(text.as_bytes()).unwrap_err();
            assert_eq!(error, CodecError::new(reason).at(at), "{text}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{text}");
        }
    }

    #[test]
    fn a_map_without_text_for_keys_has_no_form() {
        let map = BTreeMap::from([((1, 2), "secret")]);
        let error = Json.encode(&map).unwrap_err();
        assert_eq!(error.to_string(), "the value has no form in JSON");
    }
}
