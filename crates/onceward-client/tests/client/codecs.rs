//! Results of yesterday read by today's types, for each codec as it truly behaves.

use std::collections::BTreeMap;

use bytes::Bytes;
use onceward_client::*;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The codecs that this build has.
pub(crate) const CODECS: &[&str] = &[
    "json",
    #[cfg(feature = "messagepack")]
    "messagepack",
    #[cfg(feature = "bincode")]
    "bincode",
];

fn encode<T: Serialize>(codec: &str, value: &T) -> Vec<u8> {
    match codec {
        "json" => Json.encode(value),
        #[cfg(feature = "messagepack")]
        "messagepack" => MessagePack.encode(value),
        #[cfg(feature = "bincode")]
        "bincode" => Bincode.encode(value),
        other => panic!("{other} is not built in"),
    }
    .unwrap()
}

/// A result as a store gives it back.
fn stored(pairs: &[(&str, &str)], body: impl Into<Bytes>) -> Done {
    let mut metadata = MetadataBuf::new();
    for (name, value) in pairs {
        metadata.push(name, value).unwrap();
    }
    let result = ExecutionResult::new(201, body).with_metadata(metadata).into();
    let retention_left = Millis::from_secs(60);
    Replay { result, age: Millis::ZERO, attempt_number: 1, retention_left }.into()
}

fn stored_as(codec: &str, tag: &str, body: impl Into<Bytes>) -> Done {
    stored(&[(CODEC_METADATA, codec), (SCHEMA_METADATA, tag)], body)
}

#[derive(Serialize)]
struct Yesterday {
    id: u64,
    note: String,
    total: u32,
}

fn yesterday() -> Yesterday {
    Yesterday { id: 7, note: "fragile".to_owned(), total: 1_250 }
}

/// Reads what yesterday's service stored in `codec` under `tag`.
fn read<T: DeserializeOwned + Schema>(codec: &str, tag: &str) -> Result<T, ReadError> {
    stored_as(codec, tag, encode(codec, &yesterday())).decode()
}

macro_rules! today {
    ($(#[$attribute:meta])* $name:ident($tag:literal, reads $reads:expr) { $($fields:tt)* }) => {
        #[derive(Debug, Deserialize, PartialEq)]
        $(#[$attribute])*
        struct $name { $($fields)* }

        impl Schema for $name {
            const TAG: &'static str = $tag;
            const READS: &'static [&'static str] = $reads;
        }
    };
}

today! { Grown("order/1", reads &[]) { id: u64, note: String, total: u32, currency: Option<String> } }
today! { Defaulted("order/1", reads &[]) { id: u64, #[serde(default)] gift: bool, note: String, total: u32 } }
today! { Shrunk("order/1", reads &[]) { id: u64, note: String } }
today! { Renamed("order/2", reads &["order/1"]) { id: u64, note: String, #[serde(alias = "total")] cents: u32 } }
today! { Swapped("order/1", reads &[]) { total: u32, note: String, id: u64 } }
today! { Remade("order/2", reads &[]) { total: u32, note: String, id: u64 } }

fn malformed<T: std::fmt::Debug>(read: Result<T, ReadError>, reason: &str) {
    match read {
        Err(ReadError::Malformed { schema, cause, .. }) => {
            assert_eq!((schema.as_str(), cause.reason()), ("order/1", reason));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn codecs_with_field_names_let_a_struct_grow_shrink_and_rename() {
    let note = || "fragile".to_owned();
    for codec in CODECS.iter().filter(|codec| **codec != "bincode") {
        let grown = Grown { id: 7, note: note(), total: 1_250, currency: None };
        assert_eq!(read(codec, "order/1"), Ok(grown), "{codec}: an optional field more");
        let defaulted = Defaulted { id: 7, gift: false, note: note(), total: 1_250 };
        assert_eq!(read(codec, "order/1"), Ok(defaulted), "{codec}: a field with a default more");
        assert_eq!(read(codec, "order/1"), Ok(Shrunk { id: 7, note: note() }), "{codec}: one less");
        let renamed = Renamed { id: 7, note: note(), cents: 1_250 };
        assert_eq!(read(codec, "order/1"), Ok(renamed), "{codec}: renamed, the old tag listed");
        let swapped = Swapped { id: 7, note: note(), total: 1_250 };
        assert_eq!(read(codec, "order/1"), Ok(swapped), "{codec}: reordered");
    }
}

/// The danger that `Bincode` documents, and what its remedy is.
#[cfg(feature = "bincode")]
#[test]
fn bincode_has_no_names_and_only_a_new_tag_saves_a_changed_struct() {
    malformed(read::<Grown>("bincode", "order/1"), "the bincode is cut off");
    malformed(read::<Shrunk>("bincode", "order/1"), "bytes are left over after the bincode");
    // The length of `note` is taken for `gift`, and its text for what follows.
    malformed(read::<Defaulted>("bincode", "order/1"), "the bincode is of another shape");
    let renamed = Renamed { id: 7, note: "fragile".to_owned(), cents: 1_250 };
    assert_eq!(read("bincode", "order/1"), Ok(renamed), "a new name is the same position");

    let swapped = read::<Swapped>("bincode", "order/1").unwrap();
    assert_eq!((swapped.id, swapped.total), (1_250, 7), "misread without an error");
    let error = read::<Remade>("bincode", "order/1").unwrap_err();
    let stored = "order/1".to_owned();
    assert_eq!(error, ReadError::OtherSchema { stored, expected: "order/2" }, "saved by its tag");
}

#[test]
fn another_tag_is_an_error_in_every_codec_whatever_the_bytes() {
    for codec in CODECS {
        for tag in ["order/1", "order", "order/22", "ORDER/2"] {
            let error = read::<Remade>(codec, tag).unwrap_err();
            let want = ReadError::OtherSchema { stored: tag.to_owned(), expected: "order/2" };
            assert_eq!(error, want, "{codec}");
        }
        assert!(read::<Renamed>(codec, "order/2").is_ok(), "{codec}: its own tag");
        assert!(read::<Renamed>(codec, "order/3").is_err(), "{codec}: a later one");
    }
}

#[test]
fn a_result_without_both_labels_is_untyped() {
    let body = || encode("json", &yesterday());
    let cases = [
        ("none", stored(&[], body())),
        ("codec alone", stored(&[(CODEC_METADATA, "json")], body())),
        ("schema alone", stored(&[(SCHEMA_METADATA, "order/1")], body())),
        ("others", stored(&[("content-type", "application/json")], body())),
    ];
    for (why, done) in cases {
        assert_eq!(done.decode::<Shrunk>(), Err(ReadError::Untyped), "{why}");
        assert_eq!(done.body().unwrap(), &body(), "{why}: the raw bytes are there");
    }
    // Written by hand, in another language: other pairs may come first, and the first of a name
    // counts.
    let pairs = [
        ("content-type", "application/json"),
        (SCHEMA_METADATA, "order/1"),
        (CODEC_METADATA, "json"),
        (SCHEMA_METADATA, "invoice/9"),
    ];
    assert!(stored(&pairs, body()).decode::<Shrunk>().is_ok());
}

#[test]
fn an_unknown_codec_and_bytes_that_do_not_fit_are_errors_that_quote_no_body_s16() {
    let secret = r#"{"id":"secret","note":"secret"}"#;
    let errors = [
        stored_as("cbor", "order/1", secret).decode::<Shrunk>().unwrap_err(),
        stored_as("JSON", "order/1", secret).decode::<Shrunk>().unwrap_err(),
        stored_as("json", "order/1", secret).decode::<Shrunk>().unwrap_err(),
        stored_as("json", "a secret\n", secret).decode::<Shrunk>().unwrap_err(),
        stored_as(&"secret".repeat(99), "order/1", secret).decode::<Shrunk>().unwrap_err(),
    ];
    assert_eq!(errors[0], ReadError::UnknownCodec { stored: "cbor".to_owned() });
    assert_eq!(errors[1], ReadError::UnknownCodec { stored: "JSON".to_owned() });
    malformed::<()>(Err(errors[2].clone()), "the JSON is of another shape");
    let shown = [
        "stored in the codec cbor, which is not built in",
        "stored in the codec JSON",
        "stored as order/1 in json, which does not fit the type: the JSON is of another shape, at byte 13",
        "stored as (9 bytes that are no label), not as order/1",
        "stored in the codec (594 bytes that are no label)",
    ];
    for (error, shown) in errors.iter().zip(shown) {
        let text = error.to_string();
        assert!(text.contains(shown), "{text}");
        assert!(text.ends_with("The work is done: do not run it again"), "{text}");
        assert!(!format!("{text} {error:?}").contains("secret"), "{text}");
    }
}

/// Every shape of serde that all three codecs carry.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Everything {
    unit: (),
    flag: bool,
    small: i8,
    large: u64,
    wide: u128,
    ratio: f64,
    text: String,
    bytes: Vec<u8>,
    maybe: Option<Option<char>>,
    pair: (u16, String),
    map: BTreeMap<String, Shape>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
enum Shape {
    Unit,
    Newtype(i64),
    Tuple(u8, String),
    Struct { width: u32, inner: Vec<Shape> },
}

impl Schema for Everything {
    const TAG: &'static str = "everything/1";
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Unit),
        any::<i64>().prop_map(Shape::Newtype),
        any::<(u8, String)>().prop_map(|(number, text)| Shape::Tuple(number, text)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        (any::<u32>(), prop::collection::vec(inner, 0..4))
            .prop_map(|(width, inner)| Shape::Struct { width, inner })
    })
}

/// Any that JSON has a form for.
fn number() -> impl Strategy<Value = f64> {
    use prop::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    NORMAL | SUBNORMAL | ZERO | POSITIVE | NEGATIVE
}

fn everything() -> impl Strategy<Value = Everything> {
    let numbers = (any::<bool>(), any::<i8>(), any::<u64>(), any::<u128>(), number());
    let texts = (any::<String>(), any::<Vec<u8>>(), any::<Option<char>>(), any::<(u16, String)>());
    let map = prop::collection::btree_map(any::<String>(), shape(), 0..4);
    (numbers, texts, map).prop_map(|((flag, small, large, wide, ratio), texts, map)| {
        let (text, bytes, letter, pair) = texts;
        // `Some(None)` has no form of its own in JSON and MessagePack.
        let maybe = letter.map(Some);
        Everything { unit: (), flag, small, large, wide, ratio, text, bytes, maybe, pair, map }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_value_survives_every_codec(value in everything()) {
        for codec in CODECS {
            let bytes = encode(codec, &value);
            let read = stored_as(codec, Everything::TAG, bytes).decode::<Everything>();
            prop_assert_eq!(read.as_ref(), Ok(&value), "{}", codec);
        }
    }

    #[test]
    fn bytes_cut_off_or_left_over_are_errors(
        value in everything(),
        cut in any::<prop::sample::Index>(),
        more in any::<u8>(),
    ) {
        for codec in CODECS {
            let mut bytes = encode(codec, &value);
            let cut = bytes[..cut.index(bytes.len())].to_vec();
            // White space after JSON is JSON.
            bytes.push(if *codec == "json" { more | 0x80 } else { more });
            for bytes in [cut, bytes] {
                let read = stored_as(codec, Everything::TAG, bytes).decode::<Everything>();
                prop_assert!(matches!(read, Err(ReadError::Malformed { .. })), "{}", codec);
            }
        }
    }

    #[test]
    fn bytes_of_any_kind_are_a_value_or_an_error(bytes in any::<Vec<u8>>()) {
        for codec in CODECS {
            let read = stored_as(codec, Everything::TAG, bytes.clone()).decode::<Everything>();
            prop_assert!(matches!(read, Ok(_) | Err(ReadError::Malformed { .. })), "{}", codec);
        }
    }
}
