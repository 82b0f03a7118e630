//! bincode: values by position, without names.

use ::bincode::config::standard;
use ::bincode::error::DecodeError;
use ::bincode::serde::DecodeError as Unsupported;
use ::bincode::serde::{decode_from_slice, encode_to_vec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{Codec, CodecError};

/// bincode 2 in its standard configuration under the id `bincode`: the smallest, and read by Rust
/// alone. Feature `bincode`.
///
/// It stores values by position, without names or types. **Bytes of another shape may decode
/// without an error to a wrong value**, so give every change of a struct a new tag and do not list
/// the old one in [`Schema::READS`](crate::Schema::READS). Attributes that look at the data, such as
/// `untagged`, `flatten` and `skip_serializing_if`, do not decode, or decode wrongly. A type that
/// contains itself is as deep as the bytes say, up to the end of the stack, and a list whose items
/// take no bytes, such as `Vec<()>` or one of structs with skipped fields only, is as long as the
/// bytes say, up to 2^64: keep such types for a store that you trust.
///
/// The crate `bincode` is no longer maintained; prefer [`Json`](crate::Json) or `MessagePack` for
/// new services.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Bincode;

/// A decoder counts what the bytes claim to hold, 16 bytes at most for each that is there (a small
/// `u128`). A claim over this is a lie, refused before memory is taken for it.
const CLAIM_PER_BYTE: usize = 16;

/// Bodies up to this size are decoded under its limit, larger ones under the next.
const SMALL_BYTES_MAX: usize = 64 * 1024;

/// Largest encoding decoded: the ceiling of `result_bytes_max`, so that all that can be kept can be
/// read; over: an error, in encoding too.
const BYTES_MAX: usize = 16 * 1024 * 1024;

const TOO_LARGE: CodecError = CodecError::new("the bincode is over 16 MiB");

impl Codec for Bincode {
    const ID: &'static str = "bincode";

    fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, CodecError> {
        let bytes = encode_to_vec(value, standard())
            .map_err(|_| CodecError::new("the value has no form in bincode"))?;
        if bytes.len() > BYTES_MAX { Err(TOO_LARGE) } else { Ok(bytes) }
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, CodecError> {
        let decoded = match bytes.len() {
            ..=SMALL_BYTES_MAX => decode_from_slice(
                bytes,
                standard().with_limit::<{ CLAIM_PER_BYTE * SMALL_BYTES_MAX }>(),
            ),
            size if size <= BYTES_MAX => {
                decode_from_slice(bytes, standard().with_limit::<{ CLAIM_PER_BYTE * BYTES_MAX }>())
            }
            _ => return Err(TOO_LARGE),
        };
        let (value, read) = decoded.map_err(|error| {
            CodecError::new(match error {
                DecodeError::UnexpectedEnd { .. } => "the bincode is cut off",
                DecodeError::LimitExceeded => "the bincode claims more than its bytes can hold",
                DecodeError::Serde(
                    Unsupported::AnyNotSupported
                    | Unsupported::IdentifierNotSupported
                    | Unsupported::IgnoredAnyNotSupported,
                ) => "the type looks at its data, and bincode has no names or types",
                _ => "the bincode is of another shape",
            })
        })?;
        if read == bytes.len() {
            Ok(value)
        } else {
            Err(CodecError::new("bytes are left over after the bincode").at(read))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_and_quote_nothing_s16() {
        let huge = [&[253][..], &u64::MAX.to_le_bytes()].concat();
        let cases = [
            ("nothing", vec![], "the bincode is cut off"),
            ("cut", vec![6, b's', b'e', b'c'], "the bincode is cut off"),
            ("claims 16 EiB", huge, "the bincode claims more than its bytes can hold"),
            ("not UTF-8", vec![1, 0xff], "the bincode is of another shape"),
            ("over the largest", vec![0; BYTES_MAX + 1], TOO_LARGE.reason()),
        ];
        for (why, bytes, reason) in cases {
            let error = Bincode.decode::<String>(&bytes).unwrap_err();
            assert_eq!(error, CodecError::new(reason), "{why}");
        }
        let error = Bincode.decode::<String>(b"\x06secretsecret").unwrap_err();
        assert_eq!(error, CodecError::new("bytes are left over after the bincode").at(7));
        let error = Bincode.decode::<serde_json::Value>(&[1]).unwrap_err();
        assert_eq!(error.reason(), "the type looks at its data, and bincode has no names or types");
    }

    #[test]
    fn what_encodes_is_within_the_limit_of_its_decoder() {
        // The widest claim for the fewest bytes, on both sides of the first bound.
        for count in [SMALL_BYTES_MAX - 8, SMALL_BYTES_MAX + 8] {
            let values = vec![1_u128; count];
            let bytes = Bincode.encode(&values).unwrap();
            assert!(bytes.len() < count + 8, "{}", bytes.len());
            assert_eq!(Bincode.decode::<Vec<u128>>(&bytes), Ok(values));
        }
        assert_eq!(Bincode.encode(&"x".repeat(BYTES_MAX)), Err(TOO_LARGE), "with its length");
    }
}
