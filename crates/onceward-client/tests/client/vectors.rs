//! The vectors of `docs/keys.md`, read from that very document.

use onceward_client::{
    Fingerprint, Identity, JsonFingerprintError, Key, PayloadFingerprint as _, derived_key,
};
use serde_json::Value;

const DOCUMENT: &str = include_str!("../../../../docs/keys.md");
const KINDS: [&str; 6] = [
    "derive",
    "child",
    "derived_key",
    "fingerprint_of",
    "fingerprint_of_fields",
    "fingerprint_of_json",
];

/// Bytes as the document writes them: text, or hexadecimal.
fn octets(value: &Value) -> Vec<u8> {
    if let Some(text) = value.as_str() {
        return text.as_bytes().to_vec();
    }
    let pairs = value["hex"].as_str().expect("text or hexadecimal").as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn fields(value: &Value) -> Vec<(&str, Vec<u8>)> {
    let pairs = value.as_array().expect("pairs");
    pairs.iter().map(|pair| (text(&pair[0]), octets(&pair[1]))).collect()
}

/// What this crate answers to a vector, in the document's words.
fn answer(vector: &Value) -> String {
    let key = |key: Key| key.as_str().expect("hexadecimal digits").to_owned();
    let fingerprint = |fingerprint| match fingerprint {
        Fingerprint::Digest(digest) => digest.to_string(),
        other => panic!("not a digest: {other:?}"),
    };
    let kind = KINDS.iter().find(|kind| vector.get(**kind).is_some());
    match *kind.unwrap_or_else(|| panic!("an unknown kind: {vector}")) {
        "derive" => {
            let fields = fields(&vector["fields"]);
            let derivation = fields
                .iter()
                .fold(Key::derive(text(&vector["derive"])), |derivation, (name, value)| {
                    derivation.field(name, value)
                });
            key(derivation.finish().expect("a key"))
        }
        "child" => key(Key::new(octets(&vector["of"])).unwrap().child(octets(&vector["child"]))),
        "derived_key" => {
            let [namespace, scope, key] = &vector["derived_key"].as_array().unwrap()[..] else {
                panic!("three parts: {vector}")
            };
            let (scope, key) = (octets(scope), octets(key));
            derived_key(Identity::new(text(namespace), &scope, &key).unwrap())
        }
        "fingerprint_of" => fingerprint(Fingerprint::of(octets(&vector["fingerprint_of"]))),
        "fingerprint_of_fields" => {
            let fields = fields(&vector["fingerprint_of_fields"]);
            let builder = fields.iter().fold(Fingerprint::of_fields(), |builder, (name, value)| {
                builder.field(name, value)
            });
            fingerprint(builder.finish().expect("a fingerprint"))
        }
        _ => match Fingerprint::of_json_canonical(octets(&vector["fingerprint_of_json"])) {
            Ok(answer) => fingerprint(answer),
            Err(JsonFingerprintError::Number { .. }) => "number".to_owned(),
            Err(JsonFingerprintError::NameTwice { .. }) => "name twice".to_owned(),
            Err(JsonFingerprintError::Syntax { .. }) => "syntax".to_owned(),
            Err(JsonFingerprintError::Depth { .. }) => "depth".to_owned(),
            Err(other) => panic!("{other}"),
        },
    }
}

#[test]
fn every_vector_of_the_document_holds() {
    let (_, vectors) = DOCUMENT.split_once("```jsonl\n").expect("a block of vectors");
    let (vectors, _) = vectors.split_once("```").expect("its end");
    let mut count = 0;
    for line in vectors.lines() {
        let vector: Value =
            serde_json::from_str(line).unwrap_or_else(|why| panic!("{line}: {why}"));
        let want = ["key", "fingerprint", "refused"].iter().find_map(|name| vector[*name].as_str());
        assert_eq!(answer(&vector), want.expect("an answer"), "{line}");
        count += 1;
    }
    assert!(count > 40, "only {count} vectors");
}
