//! What is logged: the key's hash, and nothing of a request (S16).
//!
//! In a process of its own, where every thread that logs has a subscriber: one without, the first
//! to come to an event, would switch that event off for all.

#[expect(dead_code, reason = "the suite it comes from asks more")]
#[path = "../tower/call.rs"]
mod call;

use std::io::Write;
use std::sync::{Arc, Mutex};

use onceward_client::testing::{Operation, Outage, TestStore};
use onceward_tower::{Ambiguous, Context, IdempotencyLayer};
use tracing_subscriber::fmt::format::FmtSpan;

use crate::call::{Handling, answer, guard, handler, post, send};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn logs_name_a_key_by_its_hash_and_hold_no_secret_s16() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let _logging = tracing::subscriber::set_default(subscriber.finish());

    let store = TestStore::new();
    let client = store.client_with("orders", |options| options.retries_max(0));
    let layer = IdempotencyLayer::new(client)
        .scope_header(http::HeaderName::from_static("x-account"))
        .with_policy(|policy| policy.with_ambiguous(Ambiguous::InDoubt));
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let service = {
        let attempts = Arc::clone(&attempts);
        guard(
            &layer,
            handler(move |request: Handling| {
                let run = request.extensions().get::<Context>().expect("guarded");
                attempts.lock().unwrap().push(run.token().to_string());
                let status = if request.uri().path().ends_with("fails") { 500 } else { 201 };
                async move { Ok(answer(status, "secret-answer")) }
            }),
        )
    };
    let ask = async |key: &str, path: &'static str, body: &'static str| {
        let mut request = post(key, body);
        request.headers_mut().insert("x-account", "secret-account".parse().unwrap());
        *request.uri_mut() = path.parse().unwrap();
        send(&service, request).await.status
    };
    assert_eq!(ask("secret-key-1", "/secret-path", "secret-body").await, 201);
    assert_eq!(ask("secret-key-1", "/secret-path", "secret-body").await, 201);
    assert_eq!(ask("secret-key-1", "/secret-path", "secret-other").await, 422);
    assert_eq!(ask("\"secret-key", "/secret-path", "secret-body").await, 400);
    assert_eq!(ask("secret-key-2", "/secret-path/fails", "secret-body").await, 500);
    store.fail_until_healed(Operation::Complete, Outage::Unavailable);
    assert_eq!(ask("secret-key-3", "/secret-path", "secret-body").await, 503);
    store.down();
    assert_eq!(ask("secret-key-4", "/secret-path", "secret-body").await, 503);

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("secret"), "{text}");
    for token in attempts.lock().unwrap().iter() {
        let (_, attempt_id) = token.split_once('-').unwrap();
        assert!(!text.contains(attempt_id), "{text}");
    }
    for said in [
        "attempt_number=1 outcome=\"fresh\"",
        "outcome=\"replayed\"",
        "outcome=\"mismatch\"",
        "outcome=\"result-not-stored\"",
        "a begin got no answer key=",
        "the handler ran but its result is not stored key=",
    ] {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
}
