//! Recorded calls of a carrier's API: each is answered first as it was recorded, and replayed with
//! equal status, body and allowed headers (H4).

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use onceward_http::{IDEMPOTENCY_REPLAYED, KEPT};
use onceward_tower::{IdempotencyLayer, Outcome};
use serde::Deserialize;

use crate::call::{Handling, Runs, guard, handler, send};
use crate::stores::on_each;

/// Headers that belong to the recorded connection: HTTP frames every answer anew.
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];
const NUMBER: &str = "x-number";

#[derive(Deserialize)]
struct Recorded {
    method: String,
    path: String,
    request_content_type: Option<String>,
    request_body: Option<String>,
    status: u16,
    response_headers: Vec<(String, String)>,
    response_body: String,
}

impl Recorded {
    fn request(&self, number: usize) -> Request<Body> {
        let mut request = Request::builder()
            .method(self.method.as_str())
            .uri(&self.path)
            .header("idempotency-key", format!("recorded-call-{number}"))
            .header(NUMBER, number);
        if let Some(kind) = &self.request_content_type {
            request = request.header("content-type", kind);
        }
        let body = self.request_body.clone().unwrap_or_default();
        request.body(body.into()).expect("it was a request once")
    }

    fn headers(&self) -> HeaderMap {
        let pairs = self.response_headers.iter().map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a header");
            (name, HeaderValue::from_str(value).expect("a value"))
        });
        pairs.filter(|(name, _)| !FRAMING.contains(&name.as_str())).collect()
    }

    fn answer(&self) -> Response<Body> {
        let mut answer = Response::new(Body::from(self.response_body.clone()));
        *answer.status_mut() = StatusCode::from_u16(self.status).expect("a status");
        // Repeats of one header are appended, in their order.
        for (name, value) in &self.headers() {
            answer.headers_mut().append(name, value.clone());
        }
        answer
    }

    fn replayed_headers(&self) -> HeaderMap {
        let all = self.headers();
        let mut kept = HeaderMap::new();
        for (name, value) in all.iter().filter(|(name, _)| KEPT.contains(name)) {
            kept.append(name, value.clone());
        }
        kept.insert("content-length", self.response_body.len().into());
        kept.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        kept
    }
}

/// `None`, said aloud, where a fresh clone has no such data.
fn recorded() -> Option<Vec<Recorded>> {
    let shared = std::env::var_os("ONCEWARD_SHARED").map(PathBuf::from);
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared"));
    let path = shared.unwrap_or_else(beside).join("data/carrier-api.jsonl");
    let Ok(text) = std::fs::read_to_string(path) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs the shared data");
        println!("skipped: the shared data is not beside the repository");
        return None;
    };
    Some(text.lines().map(|line| serde_json::from_str(line).expect("a recorded call")).collect())
}

#[tokio::test]
async fn every_recorded_call_is_answered_once_and_replayed_equal_h4() {
    let Some(recorded) = recorded() else { return };
    assert_eq!(recorded.len(), 95);
    let recorded = Arc::new(recorded);
    on_each(async |store, client| {
        let layer = IdempotencyLayer::new(client).global();
        let runs = Runs::default();
        let service = guard(&layer, {
            let (recorded, runs) = (Arc::clone(&recorded), runs.clone());
            handler(move |request: Handling| {
                runs.add();
                let number = request.headers()[NUMBER].to_str().map(str::parse::<usize>);
                let number = number.expect("text").expect("a number");
                let answer = recorded[number].answer();
                async move { Ok(answer) }
            })
        });
        for (number, call) in recorded.iter().enumerate() {
            let first = send(&service, call.request(number)).await;
            assert_eq!(first.outcome, Some(Outcome::Fresh), "{store}, call {number}");
            assert_eq!(first.status, call.status, "{store}, call {number}");
            assert_eq!(first.headers, call.headers(), "{store}, call {number}");
            assert!(first.body == call.response_body, "{store}, call {number}: another body");
        }
        for (number, call) in recorded.iter().enumerate().rev() {
            let again = send(&service, call.request(number)).await;
            assert_eq!(again.outcome, Some(Outcome::Replayed), "{store}, call {number}");
            assert_eq!(again.status, call.status, "{store}, call {number}");
            assert_eq!(again.headers, call.replayed_headers(), "{store}, call {number}");
            assert!(again.body == call.response_body, "{store}, call {number}: another body");
        }
        assert_eq!(runs.count(), recorded.len(), "{store}: once each");
    })
    .await;
}
