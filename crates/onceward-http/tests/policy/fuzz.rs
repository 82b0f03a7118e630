//! Heads with whatever a hostile caller, or a careless service, may write into them: no panic, no
//! 5xx, no key or scope but the one that stands there, no header in a replay that is not allowed.

use std::collections::HashMap;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode, request};
use onceward_core::{Fingerprint, Millis, Replay};
use onceward_http::{
    Admission, FingerprintPolicy, HeaderPolicy, HttpPolicy, ProblemTypes, Scope, replay,
};
use onceward_testkit::{SplitMix64, seeds};

use crate::oracle;

const CASES: u32 = 100_000;
const ACCOUNT: HeaderName = HeaderName::from_static("x-account");

fn bytes(random: &mut SplitMix64, alphabet: &[u8], most: u64) -> Vec<u8> {
    let size = random.within(0..most + 1);
    (0..size).map(|_| *random.pick(alphabet).unwrap()).collect()
}

/// A value for the header: one that is right, or one that is a byte or two from being right.
fn value(random: &mut SplitMix64) -> Vec<u8> {
    let bare = b"abcXYZ019._:~+/=-";
    let printable: Vec<u8> = (b' '..=b'~').collect();
    let mut value = match random.within(0..9) {
        0 | 1 => bytes(random, bare, 40),
        2 => [b"\"", &*bytes(random, &printable, 30), b"\""].concat(),
        3 => [b"\"", &*bytes(random, b"ab \\\"\\\\", 30), b"\""].concat(),
        4 => {
            let parameters = bytes(random, b";;;===ab*1?0\":%@ ", 16);
            [b"\"", &*bytes(random, bare, 20), b"\"", &*parameters].concat()
        }
        5 => bytes(random, b"\"\\;=, a1*?:%@-.\t\xff\xc3", 24),
        6 => (0..random.within(0..20)).map(|_| random.next_u64() as u8).collect(),
        7 => vec![b'k'; random.within(250..260) as usize],
        _ => [b"\"", &*vec![b'"'; 1], &*bytes(random, bare, 300), b"\""].concat(),
    };
    for _ in 0..random.within(0..3) {
        let at = random.within(0..value.len() as u64 + 1) as usize;
        match random.within(0..4) {
            0 if at < value.len() => value[at] = random.next_u64() as u8,
            1 if at < value.len() => drop(value.remove(at)),
            2 => value.insert(at, *random.pick(b"\" \\,;\t\x80").unwrap()),
            _ => {}
        }
    }
    value
}

fn name(random: &mut SplitMix64) -> HeaderName {
    let names: &[&[u8]] = &[
        b"Idempotency-Key",
        b"idempotency-key",
        b"IDEMPOTENCY-KEY",
        b"idempotency-key2",
        b"idempotency_key",
        b"x-idempotency-key",
        b"x-account",
        b"X-Account",
        b"content-type",
        b"connection",
    ];
    HeaderName::from_bytes(random.pick(names).unwrap()).unwrap()
}

fn head(random: &mut SplitMix64) -> request::Parts {
    let methods = [Method::POST, Method::PATCH, Method::PUT, Method::DELETE, Method::GET];
    let queries = ["", "?", "?a=1&b=2", "?b=2&a=1", "?a=1&a=2", "?a=2&a=1", "?&&=", "?%61=1"];
    let (mut parts, ()) = Request::builder()
        .method(random.pick(&methods).unwrap())
        .uri(format!("/orders{}", random.pick(&queries).unwrap()))
        .body(())
        .unwrap()
        .into_parts();
    let mut lines = vec![];
    if random.chance(90) {
        lines.push((HeaderName::from_static("idempotency-key"), value(random)));
    }
    if random.chance(80) {
        let most = if random.chance(5) { 300 } else { 3 };
        lines.push((ACCOUNT, bytes(random, b"ab7", most)));
    }
    if random.chance(30) {
        lines.push((CONTENT_TYPE, b"application/json".to_vec()));
    }
    for _ in 0..random.within(0..3) {
        lines.push((name(random), value(random)));
    }
    for (name, value) in lines {
        // What is no value of a header at all never reaches the policy.
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            parts.headers.append(name, value);
        }
    }
    parts
}

type Expected = Result<Option<(Vec<u8>, Vec<u8>)>, u16>;

/// What the rules ask for, as plainly as it can be written: a status, or scope and key, or neither.
fn expected(parts: &request::Parts) -> Expected {
    let lines = |headers: &HeaderMap, name: &str| -> Vec<Vec<u8>> {
        headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
    };
    if parts.method == Method::GET {
        return Ok(None);
    }
    let key = match &lines(&parts.headers, "idempotency-key")[..] {
        [] if matches!(parts.method, Method::POST | Method::PATCH) => return Err(400),
        [] => return Ok(None),
        [line] => oracle::key(line).ok_or(400_u16)?,
        _ => return Err(400),
    };
    match &lines(&parts.headers, "x-account")[..] {
        [scope] if scope.len() > 255 => Err(400),
        [scope] if !scope.is_empty() => Ok(Some((scope.clone(), key))),
        _ => Err(401),
    }
}

#[test]
fn hostile_heads_get_what_the_rules_say_and_never_a_5xx_h1_h2_h3() {
    let policy = HttpPolicy::new(Scope::header(ACCOUNT))
        .with_fingerprint(FingerprintPolicy::canonical_json());
    let json: &[u8] = b" {}[]\"a1,:.e-";
    for seed in seeds(1) {
        println!("seed {seed}, {CASES} cases");
        let mut random = SplitMix64::new(seed);
        let mut tally: HashMap<&str, u32> = HashMap::new();
        for case in 0..CASES {
            let parts = head(&mut random);
            let place = || format!("ONCEWARD_SEED={seed}, case {case}: {:?}", parts.headers);
            let got = match policy.admit(&parts) {
                Admission::Bypass => Ok(None),
                Admission::Guard(key) => {
                    let key = key.as_ref();
                    Ok(Some((key.scope().to_vec(), key.key().to_vec())))
                }
                Admission::Reject(problem) => {
                    let (response, _) = policy.respond(&problem);
                    let body: serde_json::Value =
                        serde_json::from_slice(response.body()).expect("a document");
                    assert_eq!(body["status"], response.status().as_u16(), "{}", place());
                    Err(response.status().as_u16())
                }
            };
            assert_eq!(got, expected(&parts), "{}", place());
            *tally
                .entry(match got {
                    Ok(None) => "bypassed",
                    Ok(Some(_)) => "guarded",
                    Err(400) => "400",
                    Err(401) => "401",
                    Err(other) => panic!("{other}: {}", place()),
                })
                .or_default() += 1;
            let body = bytes(&mut random, json, 12);
            let fingerprint = policy.fingerprint().of(&parts, &body);
            assert!(matches!(fingerprint, Ok(Fingerprint::Digest(_)) | Err(_)), "{}", place());
        }
        println!("{tally:?}");
        for kind in ["bypassed", "guarded", "400", "401"] {
            assert!(tally[kind] > CASES / 50, "hardly any case is {kind}: {tally:?}");
        }
    }
}

/// Names that a handler, its framework or a proxy may send, some allowed and some not.
const SENT: &[&str] = &[
    "content-type",
    "content-encoding",
    "location",
    "etag",
    "link",
    "cache-control",
    "x-order",
    "x-other",
    "connection",
    "keep-alive",
    "set-cookie",
    "transfer-encoding",
    "content-length",
    "date",
    "server",
    "idempotency-replayed",
];

/// H4 in its own words: what of these headers a replay has.
fn kept(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let connection: Vec<_> = headers
        .get_all("connection")
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|option| option.trim_ascii().to_ascii_lowercase())
        .collect();
    let allowed = [
        "content-type",
        "content-encoding",
        "location",
        "etag",
        "link",
        "cache-control",
        "x-order",
    ];
    let pairs = headers.iter().filter(|(name, _)| {
        allowed.contains(&name.as_str()) && !connection.contains(&name.as_str().into())
    });
    pairs.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

#[test]
fn hostile_answers_keep_what_is_allowed_and_nothing_else_h4() {
    let headers =
        HeaderPolicy::new().with(HeaderName::from_static("x-order")).expect("allowed to be kept");
    let cases = 20_000;
    for seed in seeds(1) {
        println!("seed {seed}, {cases} cases");
        let mut random = SplitMix64::new(seed);
        let mut with_connection = 0;
        for case in 0..cases {
            let mut sent = HeaderMap::new();
            for _ in 0..random.within(0..12) {
                let name = HeaderName::from_static(random.pick(SENT).unwrap());
                let value = match name.as_str() {
                    "connection" => {
                        let options: Vec<_> = (0..random.within(0..3))
                            .map(|_| random.pick(&["close", " X-Order", "LINK ", "etag", "lin"]))
                            .map(|option| *option.unwrap())
                            .collect();
                        options.join(",").into_bytes()
                    }
                    _ => value(&mut random),
                };
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    sent.append(name, value);
                }
            }
            let place = format!("ONCEWARD_SEED={seed}, case {case}: {sent:?}");
            let body = bytes(&mut random, b"ab\0\xff", 20);
            let head = headers.keep(StatusCode::CREATED, &sent);
            let result = head.result(Some(&body)).map(Bytes::copy_from_slice);
            let (age, retention_left) = (Millis::ZERO, Millis::ZERO);
            let stored = Replay { result, age, attempt_number: 1, retention_left };
            let answer = replay(&stored, &ProblemTypes::default()).expect(&place);
            let mut want = kept(&sent);
            with_connection += u32::from(sent.contains_key("connection") && !want.is_empty());
            want.push(("content-length".into(), body.len().to_string().into_bytes()));
            want.push(("idempotency-replayed".into(), b"true".to_vec()));
            let pairs = answer.headers().iter();
            let got: Vec<_> = pairs
                .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                .collect();
            assert_eq!(got, want, "{place}");
            assert_eq!(answer.body(), &body, "{place}");
        }
        assert!(with_connection > cases / 10, "hardly any names a header: {with_connection}");
    }
}
