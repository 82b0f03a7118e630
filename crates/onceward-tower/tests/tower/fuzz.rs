//! Headers, methods and bodies at random through the whole layer: never a 5xx of its own, never an
//! answer to somebody else's request.

use std::collections::HashMap;

use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt as _;
use onceward_client::Client;
use onceward_tower::{IdempotencyLayer, Outcome};

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use crate::call::{Handling, Runs, answer, guard, handler, send};

const CASES: usize = 100_000;
const SEED: u64 = 7;

const NAMES: [&str; 10] = [
    "idempotency-key",
    "Idempotency-Key",
    "IDEMPOTENCY-KEY",
    "idempotency_key",
    "x-idempotency-key",
    "connection",
    "content-type",
    "content-length",
    "accept",
    "expect",
];

/// Spellings of one key, and what is none.
const SPELLINGS: [&str; 12] = [
    "K",
    "\"K\"",
    " \"K\" ",
    "\"K\";p=1",
    "\"K\";p=?1;q=\"r\"",
    "\"K",
    "K\"",
    "K,K",
    "\"K\",\"K\"",
    "\"\\K\"",
    "",
    "\"\"",
];

fn value(random: &mut ChaCha8Rng, key: &str) -> HeaderValue {
    if random.random_ratio(5, 6) {
        let spelling =
            if random.random_ratio(1, 2) { "K" } else { SPELLINGS.choose(random).unwrap() };
        return HeaderValue::from_str(&spelling.replace('K', key)).unwrap();
    }
    let size = if random.random_ratio(1, 20) { 400 } else { random.random_range(0..12) };
    let alphabet: &[u8] = b"\"\\;,=ab01 \t~\x80\xff:./";
    let bytes: Vec<u8> = (0..size).map(|_| *alphabet.choose(random).unwrap()).collect();
    HeaderValue::from_bytes(&bytes).unwrap_or(HeaderValue::from_static("c"))
}

/// What of a request makes it that request, as the test sees it: raw lines, nothing parsed.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Seen {
    lines: Vec<HeaderValue>,
    account: &'static str,
    method: Method,
    body: &'static str,
}

fn draw(random: &mut ChaCha8Rng) -> (Request<Body>, Seen) {
    let methods = [Method::POST, Method::POST, Method::PUT, Method::DELETE, Method::GET];
    // Few keys, so that they meet again; most of them with the payload they came with first.
    let number = random.random_range(0..2_000);
    let pick = if random.random_ratio(1, 8) { random.random_range(0..60) } else { number };
    let method = methods[pick % methods.len()].clone();
    let account = ["7", "8", "", "7"][pick % 4];
    let body = ["one", "two", ""][pick % 3];
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = method.clone();
    let headers = request.headers_mut();
    if !account.is_empty() {
        headers.append("x-account", HeaderValue::from_static(account));
    }
    for _ in 0..random.random_range(0..3) {
        let name = if random.random_ratio(2, 3) { NAMES[0] } else { NAMES.choose(random).unwrap() };
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value(random, &format!("k{number}")),
        );
    }
    let lines = headers.get_all("idempotency-key").iter().cloned().collect();
    (request, Seen { lines, account, method, body })
}

#[tokio::test]
async fn headers_at_random_meet_no_fault_and_no_wrong_replay() {
    println!("seed {SEED}");
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let runs = Runs::default();
    let layer = IdempotencyLayer::new(Client::open("mem://orders").expect("a store"))
        .scope_header(HeaderName::from_static("x-account"));
    let echo = {
        let runs = runs.clone();
        handler(move |request: Handling| {
            let run = runs.add();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map_err(|_| "no body")?.to_bytes();
                let account = parts.headers.get("x-account").map(HeaderValue::as_bytes);
                let account = String::from_utf8_lossy(account.unwrap_or_default()).into_owned();
                let body = String::from_utf8_lossy(&body).into_owned();
                Ok(answer(201, format!("{run}|{}|{account}|{body}", parts.method)))
            }
        })
    };
    let service = guard(&layer, echo);
    let mut first: HashMap<Seen, bytes::Bytes> = HashMap::new();
    let mut replays = 0;
    for case in 0..CASES {
        let (request, seen) = draw(&mut random);
        let before = runs.count();
        let reply = send(&service, request).await;
        let at = format!("seed {SEED}, case {case}: {seen:?}: {:?}", reply.shown());
        assert!(matches!(reply.status, 201 | 400 | 401 | 422), "{at}");
        let outcome = reply.outcome.unwrap_or_else(|| panic!("no outcome: {at}"));
        let ran = matches!(outcome, Outcome::Fresh | Outcome::Bypassed);
        assert_eq!(runs.count() - before, usize::from(ran), "{at}");
        let echo = format!("|{}|{}|{}", seen.method, seen.account, seen.body);
        match outcome {
            Outcome::Fresh => {
                assert!(reply.shown().1.ends_with(&echo), "{at}");
                assert_eq!(seen.lines.len(), 1, "guarded by one line: {at}");
                assert!(first.insert(seen, reply.body).is_none(), "ran twice: {at}");
            }
            Outcome::Replayed => {
                assert!(reply.shown().1.ends_with(&echo), "somebody else's answer: {at}");
                // Another spelling of the key may have run first; its answer is learnt here.
                let held = first.entry(seen).or_insert_with(|| reply.body.clone());
                assert_eq!(*held, reply.body, "{at}");
                replays += 1;
            }
            Outcome::Bypassed => {
                let safe = seen.method == Method::GET;
                assert!(safe || (seen.method != Method::POST && seen.lines.is_empty()), "{at}");
            }
            _ => assert!(matches!(reply.status, 400 | 401 | 422), "{at}"),
        }
    }
    assert!(replays > CASES / 20, "keys must meet again: {replays}");
}
