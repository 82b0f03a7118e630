//! The header against the HTTP working group's vectors and against another crate's reader (H1).

use std::path::PathBuf;

use http::{HeaderMap, HeaderValue};
use onceward_http::{IDEMPOTENCY_KEY, KeyHeaderError, key_of};
use proptest::prelude::*;
use serde_json::Value;

use crate::oracle;

/// Beside the repository, or where `ONCEWARD_SHARED` says.
fn vectors(file: &str) -> Option<Vec<Value>> {
    let shared = std::env::var_os("ONCEWARD_SHARED").map(PathBuf::from);
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let path = shared.unwrap_or_else(|| beside.into()).join("data/structured-fields").join(file);
    match std::fs::read(&path) {
        Ok(text) => Some(serde_json::from_slice(&text).expect("a list of vectors")),
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs {file}: {error}");
            println!("skipped: {file} of structured-field-tests is not beside the repository");
            None
        }
    }
}

/// Where H1 is stricter than the vectors, or has them otherwise, each with the reason.
fn deviation(name: &str) -> Option<Option<KeyHeaderError>> {
    match name {
        // A key has 1 to 255 bytes.
        "empty string" => Some(Some(KeyHeaderError::Empty)),
        "long string" => Some(Some(KeyHeaderError::TooLong { got: 260 })),
        // Two lines are two keys, and joining them would make a third.
        "two lines string" => Some(Some(KeyHeaderError::Lines { got: 2 })),
        // Items of other types, which stand bare: `1` is a key.
        "leading and trailing space" | "leading and trailing whitespace" => Some(None),
        _ => None,
    }
}

fn answer(vector: &Value) -> Result<Vec<u8>, Option<KeyHeaderError>> {
    let mut headers = HeaderMap::new();
    for line in vector["raw"].as_array().expect("lines") {
        // What is no value of a header at all never reaches the policy.
        let value = HeaderValue::from_str(line.as_str().expect("text"))
            .or_else(|_| HeaderValue::from_bytes(line.as_str().expect("text").as_bytes()));
        headers.append(IDEMPOTENCY_KEY, value.map_err(|_| None)?);
    }
    let key = key_of(&headers).map_err(Some)?;
    Ok(key.expect("the header is there").into_owned().into_bytes())
}

#[test]
fn the_working_groups_vectors_hold_but_for_the_stated_deviations_h1() {
    let mut seen = 0;
    for file in ["string.json", "item.json"] {
        let Some(vectors) = vectors(file) else { return };
        for vector in vectors {
            let name = vector["name"].as_str().expect("a name");
            let got = answer(&vector);
            let must_fail = vector["must_fail"].as_bool() == Some(true);
            match deviation(name) {
                Some(Some(error)) => assert_eq!(got, Err(Some(error)), "{name}"),
                Some(None) => assert_eq!(got, Ok(b"1".to_vec()), "{name}"),
                None if must_fail => assert!(got.is_err(), "{name}: {got:?}"),
                None => {
                    let want = vector["expected"][0].as_str().expect("a string");
                    assert_eq!(got, Ok(want.as_bytes().to_vec()), "{name}");
                }
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 14 + 5, "vectors of strings and of items");
}

/// Text that is nearly a structured field.
fn nearly() -> impl Strategy<Value = String> {
    let string = r#""[ -~]{0,12}""#.prop_map(|text: String| format!("\"{text}\""));
    let value = prop_oneof![
        Just(String::new()),
        string.clone(),
        "-?[0-9]{0,16}(\\.[0-9]{0,4})?",
        "@-?[0-9]{0,16}(\\.[0-9])?",
        "[a-zA-Z*][!-~]{0,6}",
        ":[A-Za-z0-9+/]{0,6}={0,3}:",
        "\\?[012]",
        "%\"[ -~]{0,4}(%[0-9a-fA-F]{2}){0,3}\"",
    ];
    let parameter = (";( ){0,2}[a-z*][a-zA-Z0-9_.*-]{0,3}", any::<bool>(), value).prop_map(
        |(name, has_value, value)| if has_value { format!("{name}={value}") } else { name },
    );
    let parameters = prop::collection::vec(parameter, 0..4).prop_map(|all| all.concat());
    prop_oneof![
        4 => (" {0,2}", string, parameters, " {0,2}").prop_map(|(a, b, c, d)| [a, b, c, d].concat()),
        1 => " {0,2}[A-Za-z0-9._:~+/=-]{0,12} {0,2}",
        1 => r#"["\\;= a-c1*?:%@,.-]{0,16}"#,
        1 => "[ -~\t]{0,16}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, ..ProptestConfig::default() })]

    #[test]
    fn another_reader_of_structured_fields_agrees_h1(value in nearly()) {
        let mut headers = HeaderMap::new();
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_str(&value).unwrap());
        let got = key_of(&headers).ok().map(|key| key.unwrap().into_owned().into_bytes());
        prop_assert_eq!(got, oracle::key(value.as_bytes()), "{:?}", value);
    }
}
