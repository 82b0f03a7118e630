//! The header against the HTTP working group's vectors and against another crate's reader (H1).

use std::cell::Cell;
use std::path::PathBuf;

use http::{HeaderMap, HeaderValue};
use onceward_http::{IDEMPOTENCY_KEY, KeyHeaderError, key_of};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
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

/// Text that is a structured field, or nearly.
fn nearly() -> impl Strategy<Value = String> {
    let string = || {
        let inside = prop_oneof![
            3 => r#"([ !#-\[\]-~]|\\["\\]){0,12}"#,
            1 => "[ -~]{0,12}",
        ];
        inside.prop_map(|text: String| format!("\"{text}\""))
    };
    let value = prop_oneof![
        Just(String::new()),
        string(),
        "-?[0-9]{0,16}(\\.[0-9]{0,4})?",
        "@-?[0-9]{0,16}(\\.[0-9])?",
        "[a-zA-Z*][!-~]{0,6}",
        ":[A-Za-z0-9+/]{0,6}={0,3}:",
        "\\?[012]",
        "%\"[ -$&-~]{0,4}(%[0-9a-fA-F]{2}){0,3}\"",
    ];
    let parameter = (";( ){0,2}[a-z*][a-z0-9_.*-]{0,3}[A-Z]{0,1}", any::<bool>(), value).prop_map(
        |(name, has_value, value)| if has_value { format!("{name}={value}") } else { name },
    );
    let parameters = prop::collection::vec(parameter, 0..3).prop_map(|all| all.concat());
    prop_oneof![
        6 => (" {0,2}", string(), parameters, " {0,2}")
            .prop_map(|(before, key, parameters, after)| [before, key, parameters, after].concat()),
        1 => " {0,2}[A-Za-z0-9._:~+/=-]{0,12} {0,2}",
        1 => r#"["\\;= a-c1*?:%@,.-]{0,16}"#,
        1 => "[ -~\t]{0,16}",
    ]
}

#[test]
fn another_reader_of_structured_fields_agrees_h1() {
    let (accepted, with_parameters) = (Cell::new(0), Cell::new(0));
    let cases = 10_000;
    let config = Config { cases, source_file: Some(file!()), ..Config::default() };
    let agrees = TestRunner::new(config).run(&nearly(), |value| {
        let mut headers = HeaderMap::new();
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_str(&value).unwrap());
        let got = key_of(&headers).ok().map(|key| key.unwrap().into_owned().into_bytes());
        if got.is_some() {
            accepted.set(accepted.get() + 1);
            let has_parameters =
                value.trim_end().len() > value.trim_end().rfind('"').unwrap_or(value.len()) + 1;
            with_parameters.set(with_parameters.get() + u32::from(has_parameters));
        }
        prop_assert_eq!(got, oracle::key(value.as_bytes()), "{:?}", value);
        Ok(())
    });
    // Says the seed and the smallest value that differs.
    agrees.unwrap_or_else(|difference| panic!("{difference}"));
    // Two readers that refuse everything agree as well.
    let seen = format!("{} accepted, {} with parameters", accepted.get(), with_parameters.get());
    assert!(accepted.get() > cases / 4 && with_parameters.get() > cases / 20, "{seen}");
}
