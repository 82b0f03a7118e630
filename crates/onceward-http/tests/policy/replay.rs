//! What of an answer is kept, and what a retry gets of it (H4, S12).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use onceward_core::{Body, Metadata, MetadataBuf, Millis, NotKept, Replay, StoredResult};
use onceward_http::{
    HeaderPolicy, KEPT, NEVER_KEPT, NeverKept, Problem, ProblemTypes, StoredAnswer, replay,
};

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn kept(policy: &HeaderPolicy, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let head = policy.keep(StatusCode::CREATED, &headers(pairs));
    let result = head.result(Some(b"body"));
    assert_eq!((result.status, result.body), (201, Body::Kept(&b"body"[..])));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let metadata = Metadata::decode(result.metadata).unwrap();
    metadata.pairs().map(|(name, value)| (text(name), text(value))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn allowed_headers_are_kept_in_order_with_repeats_and_nothing_else_h4() {
    let policy = HeaderPolicy::new()
        .with(HeaderName::from_static("x-order"))
        .and_then(|policy| policy.with(HeaderName::from_static("x-order")))
        .and_then(|policy| policy.with(HeaderName::from_static("etag")))
        .unwrap();
    for name in KEPT {
        assert_eq!(kept(&policy, &[(name.as_str(), "v")]), pairs(&[(name.as_str(), "v")]));
    }
    for name in NEVER_KEPT {
        assert_eq!(policy.clone().with(name.clone()), Err(NeverKept { name: name.clone() }));
        assert_eq!(kept(&policy, &[(name.as_str(), "v")]), [], "{name}");
    }
    // Those that the rule names, and those of RFC 9110 §7.6.1.
    for name in [
        "connection",
        "proxy-connection",
        "keep-alive",
        "te",
        "transfer-encoding",
        "upgrade",
        "set-cookie",
        "authorization",
        "www-authenticate",
        "date",
        "age",
        "server",
    ] {
        assert!(NEVER_KEPT.iter().any(|never| never == name), "{name}");
    }
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, Pairs<'_>, Pairs<'_>); 5] = [
        ("unknown ones go", &[("x-request-id", "7"), ("x-order", "1")], &[("x-order", "1")]),
        (
            "repeats stay in their order",
            &[("link", "a"), ("etag", "e"), ("link", "b"), ("link", "a")],
            &[("link", "a"), ("link", "b"), ("link", "a"), ("etag", "e")],
        ),
        (
            "what Connection names goes, however it is spelt",
            &[
                ("connection", "close, X-ORDER"),
                ("connection", " etag"),
                ("x-order", "1"),
                ("etag", "e"),
            ],
            &[],
        ),
        (
            "a name that only begins alike stays",
            &[("connection", "x-ord"), ("x-order", "1")],
            &[("x-order", "1")],
        ),
        ("bytes beyond ASCII stay", &[("location", "/ü")], &[("location", "/ü")]),
    ];
    for (why, from, want) in cases {
        assert_eq!(kept(&policy, from), pairs(want), "{why}");
    }
}

#[test]
fn what_does_not_fit_is_cut_behind_the_last_pair_that_does_s12() {
    let policy = HeaderPolicy::new();
    let mut many = HeaderMap::new();
    for number in 0..70 {
        many.append("link", HeaderValue::from(number));
    }
    let head = policy.keep(StatusCode::OK, &many);
    let metadata = Metadata::decode(head.result(None).metadata).unwrap();
    assert_eq!((metadata.pairs().count(), head.pairs_cut()), (64, 6));
    assert_eq!(metadata.pairs().last(), Some((&b"link"[..], &b"63"[..])));

    let mut large = HeaderMap::new();
    large.append("link", HeaderValue::from_static("first"));
    large.append("link", HeaderValue::from_bytes(&[b'x'; 16 * 1024]).unwrap());
    large.append("link", HeaderValue::from_static("small, but behind"));
    let head = policy.keep(StatusCode::OK, &large);
    let metadata = Metadata::decode(head.result(None).metadata).unwrap();
    assert_eq!((metadata.pairs().count(), head.pairs_cut()), (1, 2), "order is not broken");
    assert_eq!(head.result(None).body, Body::NotKept(NotKept::Declined));
}

fn stored(status: u16, metadata: &[(&str, &str)], body: Body<Bytes>) -> Replay<Bytes> {
    let mut encoded = MetadataBuf::new();
    for (name, value) in metadata {
        encoded.push(name, value).unwrap();
    }
    let metadata = encoded.into_encoded().into();
    Replay {
        result: StoredResult { status, metadata, body },
        age: Millis::new(1_500),
        attempt_number: 2,
        retention_left: Millis::new(1),
    }
}

fn kept_body(body: &'static [u8]) -> Body<Bytes> {
    Body::Kept(Bytes::from_static(body))
}

fn replayed(stored: &Replay<Bytes>) -> Response<Bytes> {
    replay(stored, &ProblemTypes::default()).unwrap()
}

#[test]
fn a_replay_is_the_first_answer_framed_anew_h4() {
    let body = b"\x1f\x8b\0not text";
    let answer = replayed(&stored(
        201,
        &[("content-encoding", "gzip"), ("link", "a"), ("link", "b"), ("content-length", "9999")],
        kept_body(body),
    ));
    assert_eq!(answer.status(), 201);
    assert_eq!(&answer.body()[..], body);
    let want = headers(&[
        ("content-encoding", "gzip"),
        ("link", "a"),
        ("link", "b"),
        ("content-length", "11"),
        ("idempotency-replayed", "true"),
    ]);
    assert_eq!(answer.headers(), &want);

    // Whoever stored it: another service, an older policy, a hostile neighbour of the namespace.
    let answer = replayed(&stored(
        200,
        &[
            ("set-cookie", "session=1"),
            ("Transfer-Encoding", "chunked"),
            ("idempotency-replayed", "false"),
            ("bad name", "v"),
            ("x-split", "a\r\nset-cookie: b"),
            ("x-other", "stays"),
        ],
        kept_body(b""),
    ));
    let want =
        headers(&[("x-other", "stays"), ("content-length", "0"), ("idempotency-replayed", "true")]);
    assert_eq!(answer.headers(), &want);
}

#[test]
fn a_body_that_is_not_kept_leaves_status_headers_and_a_problem_s12_h4() {
    for (reason, word) in [
        (NotKept::TooLarge, "too_large"),
        (NotKept::Declined, "declined"),
        (NotKept::Capacity, "capacity"),
    ] {
        let metadata = [
            ("content-type", "text/csv"),
            ("content-encoding", "gzip"),
            ("content-language", "de"),
            ("content-disposition", "attachment"),
            ("content-location", "/report"),
            ("location", "/orders/1"),
            ("etag", "\"7\""),
        ];
        let answer = replayed(&stored(201, &metadata, Body::NotKept(reason)));
        assert_eq!(answer.status(), 201, "the stored one");
        let body: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        let want = serde_json::json!({
            "type": "urn:onceward:problem:result-not-kept",
            "title": "Answer's body was not kept",
            "status": 201,
            "detail": "The request was carried out 1500 ms ago; this is not its body.",
            "age_ms": 1_500,
            "attempt_number": 2,
            "reason": word,
        });
        assert_eq!(body, want);
        let size = answer.body().len().to_string();
        let want = headers(&[
            ("location", "/orders/1"),
            ("etag", "\"7\""),
            ("content-type", "application/problem+json"),
            ("content-length", &size),
            ("idempotency-replayed", "true"),
        ]);
        assert_eq!(answer.headers(), &want);
    }
}

#[test]
fn what_is_no_answer_of_http_is_not_sent_h4() {
    for status in [0, 99, 1_000, u16::MAX] {
        let stored = stored(status, &[], kept_body(b"{}"));
        assert_eq!(replay(&stored, &ProblemTypes::default()).err(), Some(Problem::Misconfigured));
    }
    let mut cut = stored(200, &[("link", "a")], kept_body(b"{}"));
    cut.result.metadata.truncate(7);
    assert_eq!(replay(&cut, &ProblemTypes::default()).err(), Some(Problem::Misconfigured));

    // A stream or an upgrade completes as not kept; nobody speaks it on another connection.
    let upgrade = replayed(&stored(101, &[("upgrade", "ws")], Body::NotKept(NotKept::Declined)));
    assert_eq!(upgrade.status(), 409);
    assert!(!upgrade.headers().contains_key("upgrade"));
    for status in [204, 304] {
        for body in [kept_body(b""), kept_body(b"odd"), Body::NotKept(NotKept::Capacity)] {
            let answer = replayed(&stored(status, &[("etag", "e")], body));
            assert_eq!((answer.status().as_u16(), answer.body().len()), (status, 0));
            assert_eq!(
                answer.headers(),
                &headers(&[("etag", "e"), ("idempotency-replayed", "true")])
            );
        }
    }
}

#[test]
fn a_replay_says_how_old_it_is_to_layers_outside() {
    let response = replayed(&stored(201, &[], kept_body(b"{}")));
    let told = response.extensions().get::<StoredAnswer>().expect("it says so");
    assert_eq!((told.age, told.attempt_number), (Millis::new(1_500), 2));
}
