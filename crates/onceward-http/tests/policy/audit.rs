//! What the key audit counts, holds and logs (S16).

use std::io::{self, Write};
use std::sync::{Arc, Barrier, Mutex};

use http::{Method, Request, request};
use onceward_core::{BeginOutcome, ScopedKey};
use onceward_http::audit::{ENTROPY_BITS_MIN, FINDINGS_MAX, Finding, FindingKind, entropy_bits};
use onceward_http::{Ambiguous, Ending, HttpPolicy, Scope};
use onceward_keys::ShortHash;
use tracing_subscriber::fmt::MakeWriter;

use crate::service::status;

const UUID: &str = "0190c0de-7f3a-7bb2-9d0b-6a3c5f0a9d11";

fn head(method: &str, key: Option<&str>) -> request::Parts {
    let builder = Request::builder().method(method).uri("/orders");
    let builder = match key {
        Some(key) => builder.header("idempotency-key", key),
        None => builder,
    };
    builder.body(()).unwrap().into_parts().0
}

fn hash(key: &str) -> String {
    ShortHash(ScopedKey::new(b"", key.as_bytes()).unwrap()).to_string()
}

#[test]
fn it_counts_who_sends_no_key_a_weak_one_or_one_twice() {
    let policy = HttpPolicy::new(Scope::global()).with_ambiguous(Ambiguous::Release);
    for (method, key) in [
        ("POST", None),
        ("POST", None),
        ("PATCH", None),
        ("PUT", None),
        ("GET", None),
        ("PATCH", Some("a,b")),
        ("POST", Some("order-17")),
        ("POST", Some(UUID)),
    ] {
        let _ = policy.admit(&head(method, key));
    }
    let key = ScopedKey::new(b"", UUID.as_bytes()).unwrap();
    let _ = policy.answer(key, BeginOutcome::Mismatch);
    let _ = policy.disposition(&Ending::Panicked);
    let _ = policy.disposition(&Ending::Response { status: status(429), no_side_effect: false });
    let counts = policy.clone().audit().counts();
    assert_eq!((counts.keys, counts.missing_required, counts.missing_optional), (2, 3, 1));
    assert_eq!((counts.malformed, counts.low_entropy, counts.other_payload), (1, 1, 1));
    assert_eq!(counts.released, 1, "what was refused is no ambiguity");

    let found = |kind, method, key_hash, times| Finding { kind, method, key_hash, times };
    let want = [
        found(FindingKind::MissingRequired, Some(Method::POST), None, 2),
        found(FindingKind::MissingRequired, Some(Method::PATCH), None, 1),
        found(FindingKind::MissingOptional, Some(Method::PUT), None, 1),
        found(FindingKind::Malformed, Some(Method::PATCH), None, 1),
        found(FindingKind::LowEntropy, Some(Method::POST), Some(hash("order-17")), 1),
        found(FindingKind::OtherPayload, None, Some(hash(UUID)), 1),
    ];
    assert_eq!(policy.audit().recent(), want);
    let shown = format!("{policy:?} {:?}", policy.audit().recent());
    assert!(!shown.contains("order-17") && !shown.contains(UUID), "S16: {shown}");
}

/// Lines that were logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn its_memory_and_its_log_are_bounded_and_hold_no_key_s16() {
    let policy = HttpPolicy::new(Scope::global());
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, || {
        for number in 1..=10_000 {
            let _ = policy.admit(&head("POST", Some(&format!("weak{number}"))));
        }
    });
    assert_eq!(policy.audit().counts().low_entropy, 10_000);
    let recent = policy.audit().recent();
    assert_eq!(recent.len(), FINDINGS_MAX);
    assert_eq!(recent.last().unwrap().key_hash, Some(hash("weak10000")));

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.lines().count(), 14, "the 1st, 2nd, 4th, … 8192nd:\n{log}");
    let first = log.lines().next().unwrap();
    for part in ["WARN", "finding=\"low_entropy\"", "method=\"POST\"", &hash("weak1"), "found=1"] {
        assert!(first.contains(part), "{part}: {first}");
    }
    assert!(!log.contains("weak"), "{log}");
}

#[test]
fn every_finding_of_many_threads_is_counted() {
    let policy = HttpPolicy::new(Scope::global());
    let barrier = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..1_000 {
                    let _ = policy.admit(&head("POST", None));
                }
            });
        }
    });
    assert_eq!(policy.audit().counts().missing_required, 4_000);
    let recent = policy.audit().recent();
    assert_eq!(recent.len(), 1);
    assert!((1..=4_000).contains(&recent[0].times), "held unless another held the list just then");
}

#[test]
fn a_key_looks_random_or_does_not() {
    for (key, good) in [
        (UUID, true),
        ("c9bf9e57-1685-4c89-bafb-ff5af830be8a", true),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", true),
        ("1d7b9dc0959e7f6e80f45decc570db83f724f2825fd6577eceba5c44196ebc30", true),
        ("1", false),
        ("order-17", false),
        ("2026-11-24", false),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ("00000000-0000-0000-0000-000000000001", false),
        ("123456789012345", false),
    ] {
        let bits = entropy_bits(key.as_bytes());
        assert_eq!(bits >= ENTROPY_BITS_MIN, good, "{key}: {bits} bits");
    }
    assert_eq!(entropy_bits(b""), 0);
}
