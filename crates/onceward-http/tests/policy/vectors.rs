//! The fingerprints of `docs/http.md`, read from that very document.

use http::{HeaderName, Request, request};
use onceward_core::Fingerprint;
use onceward_http::FingerprintPolicy;
use serde_json::Value;

const DOCUMENT: &str = include_str!("../../../../docs/http.md");

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Bytes as the document writes them: text, or hexadecimal.
fn octets(value: &Value) -> Vec<u8> {
    if let Some(text) = value.as_str() {
        return text.as_bytes().to_vec();
    }
    let pairs = value["hex"].as_str().expect("text or hexadecimal").as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

fn policy(vector: &Value) -> FingerprintPolicy {
    let policy = match text(&vector["form"]) {
        "raw" => FingerprintPolicy::raw(),
        "json" => FingerprintPolicy::canonical_json(),
        "fields" => {
            FingerprintPolicy::json_fields(list(&vector["pointers"]).iter().map(text)).unwrap()
        }
        other => panic!("an unknown form: {other}"),
    };
    let names = list(&vector["headers"]).iter();
    names.fold(policy, |policy, name| {
        policy.with_header(HeaderName::from_bytes(text(name).as_bytes()).unwrap())
    })
}

fn head(vector: &Value) -> request::Parts {
    let builder = Request::builder().method(text(&vector["method"])).uri(text(&vector["target"]));
    let headers = list(&vector["request_headers"]).iter();
    let builder =
        headers.fold(builder, |builder, pair| builder.header(text(&pair[0]), text(&pair[1])));
    builder.body(()).unwrap().into_parts().0
}

#[test]
fn every_fingerprint_of_the_document_holds_h2() {
    let (_, vectors) = DOCUMENT.split_once("```jsonl\n").expect("a block of vectors");
    let (vectors, _) = vectors.split_once("```").expect("its end");
    let mut seen = 0;
    for line in vectors.lines() {
        let vector: Value =
            serde_json::from_str(line).unwrap_or_else(|why| panic!("{line}: {why}"));
        let (parts, body) = (head(&vector), octets(&vector["body"]));
        let Fingerprint::Digest(digest) = policy(&vector).of(&parts, &body).expect(line) else {
            panic!("no digest: {line}")
        };
        assert_eq!(digest.to_string(), text(&vector["fingerprint"]), "{line}");
        if let Some(mut streamed) = policy(&vector).streamed(&parts) {
            streamed.update(&body);
            assert_eq!(streamed.finish(), digest, "streamed: {line}");
        }
        seen += 1;
    }
    assert!(seen > 10, "only {seen} vectors");
}
