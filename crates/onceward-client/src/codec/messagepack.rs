//! MessagePack with field names.

use rmp_serde::Deserializer;
use rmp_serde::decode::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{Codec, CodecError};

/// MessagePack under the id `messagepack`, with the names of fields, so that structs may grow as
/// they may in JSON. Smaller than JSON, most of all for bytes (`serde_bytes`); takes `NaN` and maps
/// with any keys. Feature `messagepack`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MessagePack;

/// Deepest nesting that is decoded, as JSON's; over: an error, before the stack is used up.
const DEPTH_MAX: usize = 128;

impl Codec for MessagePack {
    const ID: &'static str = "messagepack";

    fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, CodecError> {
        rmp_serde::to_vec_named(value)
            .map_err(|_| CodecError::new("the value has no form in MessagePack"))
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, CodecError> {
        let mut rest = bytes;
        let mut deserializer = Deserializer::new(&mut rest);
        deserializer.set_max_depth(DEPTH_MAX);
        let decoded = T::deserialize(&mut deserializer);
        let at = bytes.len() - rest.len();
        let value = decoded.map_err(|error| {
            let reason = match error {
                Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => {
                    "the MessagePack is cut off"
                }
                Error::DepthLimitExceeded => "the MessagePack is nested deeper than 128",
                Error::Utf8Error(_) => "the text in the MessagePack is not UTF-8",
                Error::TypeMismatch(_)
                | Error::OutOfRange
                | Error::LengthMismatch(_)
                | Error::Uncategorized(_)
                | Error::Syntax(_) => "the MessagePack is of another shape",
            };
            CodecError::new(reason).at(at)
        })?;
        if rest.is_empty() {
            Ok(value)
        } else {
            Err(CodecError::new("bytes are left over after the MessagePack").at(at))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many arrays in one another.
    fn nested(depth: usize) -> Vec<u8> {
        let mut bytes = vec![0x91; depth - 1];
        bytes.push(0x90);
        bytes
    }

    #[derive(Debug, serde::Deserialize)]
    struct Nested(#[expect(dead_code, reason = "only its decoding counts")] Vec<Nested>);

    #[test]
    fn errors_say_where_and_quote_nothing_s16() {
        let text = |text: &str| [&[0xa0 | text.len() as u8], text.as_bytes()].concat();
        let cases = [
            ("nothing", vec![], "the MessagePack is cut off", 0),
            ("cut", vec![0x92, 1], "the MessagePack is cut off", 2),
            ("text for a list", text("secret"), "the MessagePack is of another shape", 7),
            (
                "more",
                [&[0x91, 1], &text("secret")[..]].concat(),
                "bytes are left over after the MessagePack",
                2,
            ),
        ];
        for (why, bytes, reason, at) in cases {
            let error = MessagePack.decode::<Vec<u32>>(&bytes).unwrap_err();
            assert_eq!(error, CodecError::new(reason).at(at), "{why}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{why}");
        }
        let error = MessagePack.decode::<String>(&[0xa1, 0xff]).unwrap_err();
        assert_eq!(error.reason(), "the text in the MessagePack is not UTF-8");
    }

    #[test]
    fn hostile_bytes_use_up_neither_stack_nor_memory() {
        assert!(MessagePack.decode::<Nested>(&nested(100)).is_ok());
        let error = MessagePack.decode::<Nested>(&nested(100_000)).unwrap_err();
        assert_eq!(error.reason(), "the MessagePack is nested deeper than 128");
        // A list and a text that claim 4 GiB.
        for marker in [0xdd, 0xdb] {
            let claim = [marker, 0xff, 0xff, 0xff, 0xff];
            assert!(MessagePack.decode::<Vec<u64>>(&claim).is_err());
            assert!(MessagePack.decode::<String>(&claim).is_err());
        }
    }
}
