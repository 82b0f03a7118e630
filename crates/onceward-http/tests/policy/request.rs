//! Heads of requests: methods, scopes, fingerprints (H1, H2, H8).

use bytes::Bytes;
use http::{HeaderName, Method, Request, request};
use onceward_core::{Digest, Fingerprint, ScopedKey};
use onceward_http::{
    Admission, FingerprintPolicy, HttpPolicy, JsonProblem, PointerError, Problem, Scope,
};

type Header<'a> = (&'a str, &'a str);

fn head(method: &str, uri: &str, headers: &[Header<'_>]) -> request::Parts {
    let builder = headers
        .iter()
        .fold(Request::builder(), |builder, (name, value)| builder.header(*name, *value));
    builder.method(method).uri(uri).body(()).unwrap().into_parts().0
}

#[test]
fn methods_pass_or_need_a_key_h8() {
    let policy = HttpPolicy::new(Scope::global());
    let key: &[Header<'_>] = &[("idempotency-key", "k")];
    let bad: &[Header<'_>] = &[("idempotency-key", "a,b")];
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "CONNECT"] {
        for headers in [&[][..], key, bad] {
            let got = policy.admit(&head(method, "/", headers));
            assert_eq!(got, Admission::Bypass, "{method} {headers:?}");
        }
    }
    for (method, required) in
        [("POST", true), ("PATCH", true), ("PUT", false), ("DELETE", false), ("BREW", false)]
    {
        let want = match required {
            true => Admission::Reject(Problem::KeyMissing),
            false => Admission::Bypass,
        };
        assert_eq!(policy.admit(&head(method, "/", &[])), want, "{method}");
        assert!(matches!(policy.admit(&head(method, "/", key)), Admission::Guard(_)), "{method}");
        let got = policy.admit(&head(method, "/", bad));
        assert!(matches!(got, Admission::Reject(Problem::KeyMalformed(_))), "{method}: {got:?}");
    }
    let none = policy.with_required_methods([Method::DELETE, Method::GET]);
    assert_eq!(none.admit(&head("POST", "/", &[])), Admission::Bypass);
    assert_eq!(none.admit(&head("GET", "/", &[])), Admission::Bypass, "safe ones never");
    assert_eq!(none.admit(&head("DELETE", "/", &[])), Admission::Reject(Problem::KeyMissing));
}

#[derive(Clone)]
struct Account(&'static str);

#[test]
fn a_scope_is_somebody_or_401_h2() {
    let long = "s".repeat(256);
    let by_header = || Scope::header(HeaderName::from_static("x-account"));
    type Case<'a> = (&'a str, Scope, Vec<Header<'a>>, Result<&'a str, Problem>);
    let cases: [Case<'_>; 9] = [
        ("a header", by_header(), vec![("x-account", "7")], Ok("7")),
        ("missing", by_header(), vec![], Err(Problem::ScopeMissing)),
        ("empty", by_header(), vec![("x-account", "")], Err(Problem::ScopeMissing)),
        (
            "twice: a caller's beside the gateway's",
            by_header(),
            vec![("x-account", "7"), ("x-account", "8")],
            Err(Problem::ScopeMissing),
        ),
        ("255 bytes", by_header(), vec![("x-account", &long[1..])], Ok(&long[1..])),
        ("256", by_header(), vec![("x-account", &long)], Err(Problem::ScopeTooLong { got: 256 })),
        ("everyone's", Scope::global(), vec![], Ok("")),
        ("a function's", Scope::of(|_| Some(Bytes::from_static(b"f"))), vec![], Ok("f")),
        ("a function's that knows nobody", Scope::of(|_| None), vec![], Err(Problem::ScopeMissing)),
    ];
    for (why, scope, mut headers, want) in cases {
        headers.push(("idempotency-key", "k"));
        let got = HttpPolicy::new(scope).admit(&head("POST", "/", &headers));
        match want {
            Ok(scope) => {
                let Admission::Guard(key) = got else { panic!("{why}: {got:?}") };
                assert_eq!(key.as_ref(), ScopedKey::new(scope.as_bytes(), b"k").unwrap(), "{why}");
            }
            Err(problem) => assert_eq!(got, Admission::Reject(problem), "{why}"),
        }
    }

    let scope = Scope::extension(|account: &Account| Bytes::from_static(account.0.as_bytes()));
    let mut parts = head("POST", "/", &[]);
    assert_eq!(scope.scope_of(&parts), Err(Problem::ScopeMissing));
    parts.extensions.insert(Account("7"));
    assert_eq!(scope.scope_of(&parts).as_deref(), Ok(&b"7"[..]));
}

const JSON: Header<'_> = ("content-type", "application/json");

fn fingerprint(policy: &FingerprintPolicy, parts: &request::Parts, body: &str) -> Fingerprint {
    policy.of(parts, body.as_bytes()).unwrap()
}

#[test]
fn what_counts_makes_another_request_and_nothing_else_does_h2() {
    let raw = FingerprintPolicy::raw().with_header(HeaderName::from_static("api-version"));
    let json = FingerprintPolicy::canonical_json();
    let fields = FingerprintPolicy::json_fields(["/cart", "/who/0", "/a~1b"]).unwrap();
    let post = |uri| head("POST", uri, &[JSON]);
    let order = r#"{"cart":[1,2],"who":["x",9],"a/b":3,"sent":"10:04"}"#;
    let twice = [JSON, ("api-version", "1"), ("api-version", "2")];
    let with = |headers: &[Header<'_>]| head("POST", "/o", headers);
    // Same, or not, beside POST /o?b=2&a=1&b=1 with that order.
    let first = || post("/o?b=2&a=1&b=1");
    #[rustfmt::skip]
    let cases: [(&str, &FingerprintPolicy, request::Parts, &str, request::Parts, &str, bool); 26] = [
        ("itself",                   &raw, first(), order, first(), order, true),
        ("another method",           &raw, first(), order, head("PUT", "/o?b=2&a=1&b=1", &[JSON]), order, false),
        ("another path",             &raw, first(), order, post("/p?b=2&a=1&b=1"), order, false),
        ("names in another order",   &raw, first(), order, post("/o?a=1&b=2&b=1"), order, true),
        ("values of one name in another", &raw, first(), order, post("/o?a=1&b=1&b=2"), order, false),
        ("another spelling",         &raw, first(), order, post("/o?b=2&%61=1&b=1"), order, false),
        ("a pair less",              &raw, first(), order, post("/o?b=2&a=1"), order, false),
        ("no query and an empty one", &raw, post("/o"), order, post("/o?"), order, true),
        ("another host",             &raw, post("http://a/o"), order, post("http://b/o"), order, true),
        ("another body",             &raw, first(), order, first(), "{}", false),
        ("white space counts",       &raw, first(), "{}", first(), "{ }", false),
        ("path and query do not run together", &raw, post("/oa"), "", post("/o?a"), "", false),
        ("a chosen header",          &raw, with(&[JSON, ("api-version", "1")]), "", with(&[JSON]), "", false),
        ("its lines in another order", &raw, with(&twice), "", with(&[twice[2], twice[1]]), "", false),
        ("a header that is not chosen", &raw, with(&[("date", "1")]), "", with(&[("date", "2")]), "", true),
        ("JSON in another form",     &json, first(), order, first(),
            r#"{ "who": ["x",9.0], "a\/b": 3, "cart": [1,2], "sent": "10:04" }"#, true),
        ("JSON with another value",  &json, first(), order, first(), r#"{"cart":[1,2]}"#, false),
        ("JSON and raw",             &json, first(), "{}", with(&[]), "{}", false),
        ("raw without its media type", &json, with(&[]), "{}", with(&[]), "{ }", false),
        ("+json is JSON",            &json, with(&[("content-type", "Application/Vnd.X+JSON; charset=utf-8")]), "{}",
                                            with(&[("content-type", "Application/Vnd.X+JSON; charset=utf-8")]), "{ }", true),
        ("no bytes are raw",         &json, first(), "", first(), "", true),
        ("a field that does not count", &fields, first(), order, first(),
            r#"{"cart":[1,2],"who":["x",8],"a/b":3,"sent":"11:00"}"#, true),
        ("one that does",            &fields, first(), order, first(),
            r#"{"cart":[1,2],"who":["y",9],"a/b":3}"#, false),
        ("one that is gone",         &fields, first(), order, first(), r#"{"cart":[1,2],"who":["x"]}"#, false),
        ("gone and null differ",     &fields, first(), r#"{"cart":null}"#, first(), "{}", false),
        ("a value under another field", &fields, first(), r#"{"cart":1}"#, first(), r#"{"who":[1]}"#, false),
    ];
    for (why, policy, one, one_body, other, other_body, same) in cases {
        let one = fingerprint(policy, &one, one_body);
        let other = fingerprint(policy, &other, other_body);
        assert_eq!(one == other, same, "{why}");
    }
    let names = ["x-b", "api-version", "x-a", "x-b"].map(HeaderName::from_static);
    let chosen =
        names.iter().cloned().fold(FingerprintPolicy::raw(), FingerprintPolicy::with_header);
    let reversed =
        names.into_iter().rev().fold(FingerprintPolicy::raw(), FingerprintPolicy::with_header);
    assert_eq!(chosen, reversed, "the order of choosing is no matter, nor is choosing twice");
    let whole = fingerprint(&json, &first(), order);
    assert_ne!(whole, fingerprint(&fields, &first(), order), "forms do not agree");
    assert_ne!(whole, fingerprint(&raw, &first(), order), "forms do not agree");
}

#[test]
fn the_fingerprints_bytes_are_what_the_document_says_h2() {
    use sha2::{Digest as _, Sha256};
    let parts = |parts: &[&[u8]]| {
        let mut all = Vec::new();
        for part in parts {
            all.extend((part.len() as u32).to_le_bytes());
            all.extend(*part);
        }
        Fingerprint::from(Digest::new(&Sha256::digest(&all)).unwrap())
    };
    let label: &[u8] = b"onceward http fingerprint v1";
    let request = head("POST", "/o?b=2&a=1", &[JSON, ("api-version", "1")]);
    let policy = FingerprintPolicy::raw().with_header(HeaderName::from_static("api-version"));
    let body = Sha256::digest(b"{ }");
    let want = parts(&[label, b"POST", b"/o", b"a=1&b=2", b"api-version", b"1", b"raw", &body]);
    assert_eq!(fingerprint(&policy, &request, "{ }"), want);
    let want = parts(&[label, b"POST", b"/o", b"a=1&b=2", b"json", b"{}"]);
    assert_eq!(fingerprint(&FingerprintPolicy::canonical_json(), &request, "{ }"), want);
    let want = parts(&[label, b"POST", b"/o", b"a=1&b=2", b"fields", b"/a", b"1", b"/b", b"[]"]);
    let policy = FingerprintPolicy::json_fields(["/c", "/b", "/a", "/b"]).unwrap();
    assert_eq!(fingerprint(&policy, &request, r#"{"b":[ ],"a":1.0}"#), want);
}

#[test]
fn a_streamed_body_has_the_fingerprint_of_the_whole_s9() {
    let request = head("POST", "/o", &[JSON]);
    let upload = head("POST", "/o", &[("content-type", "image/png")]);
    let raw = FingerprintPolicy::raw();
    let json = FingerprintPolicy::canonical_json();
    for (policy, parts) in [(&raw, &request), (&json, &upload)] {
        let whole = fingerprint(policy, parts, "a body in pieces");
        for at in 0..16 {
            let mut streamed = policy.streamed(parts).unwrap();
            let (one, other) = "a body in pieces".split_at(at);
            streamed.update(one.as_bytes());
            streamed.update(other.as_bytes());
            assert_eq!(Fingerprint::from(streamed.finish()), whole);
        }
    }
    assert!(json.streamed(&request).is_none(), "JSON is read as a whole");
}

#[test]
fn a_body_that_cannot_be_compared_is_the_callers_fault_h3() {
    let request = head("POST", "/o", &[JSON]);
    let deep = "[".repeat(65);
    let large = format!("\"{}\"", "x".repeat(1024 * 1024));
    let cases = [
        ("no JSON", "{", Problem::BodyNotJson(JsonProblem::Syntax), 400),
        ("a name twice", r#"{"a":1,"a":1}"#, Problem::BodyNotJson(JsonProblem::NameTwice), 400),
        ("a number", "9007199254740993", Problem::BodyNotJson(JsonProblem::Number), 400),
        ("too deep", &deep, Problem::BodyNotJson(JsonProblem::Depth), 400),
        ("too large", &large, Problem::BodyTooLarge { max: 1024 * 1024 }, 413),
    ];
    for (why, body, want, code) in cases {
        for policy in
            [FingerprintPolicy::canonical_json(), FingerprintPolicy::json_fields(["/a"]).unwrap()]
        {
            let problem = Problem::from(policy.of(&request, body.as_bytes()).unwrap_err());
            assert_eq!((problem, problem.status().as_u16()), (want, code), "{why}");
        }
        assert!(FingerprintPolicy::raw().of(&request, body.as_bytes()).is_ok(), "{why}");
    }
}

#[test]
fn fields_are_named_by_json_pointers() {
    let none: [&str; 0] = [];
    let many: Vec<_> = (0..65).map(|number| format!("/{number}")).collect();
    for (pointers, want) in [
        (&none[..], Err(PointerError::Count { got: 0 })),
        (&["/a", "b"], Err(PointerError::Syntax { at: 2 })),
        (&["/a~"], Err(PointerError::Syntax { at: 1 })),
        (&["/a~2"], Err(PointerError::Syntax { at: 1 })),
        (&["", "/~0~1", "/a//b"], Ok(())),
    ] {
        let got = FingerprintPolicy::json_fields(pointers.iter().copied()).map(|_| ());
        assert_eq!(got, want, "{pointers:?}");
    }
    let got = FingerprintPolicy::json_fields(many.clone()).map(|_| ());
    assert_eq!(got, Err(PointerError::Count { got: 65 }));
    assert!(FingerprintPolicy::json_fields(many[..64].to_vec()).is_ok());
}
