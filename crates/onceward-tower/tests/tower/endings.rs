//! Handlers that end otherwise than with an answer (H5), and whom nobody waits for (H6).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt as _;
use http::{Method, Response};
use onceward_client::Client;
use onceward_tower::{Ambiguous, IdempotencyLayer, Outcome};
use tokio::sync::Semaphore;
use tower::timeout::Timeout;
use tower::timeout::error::Elapsed;
use tower::{BoxError, Layer as _, ServiceExt as _};

use crate::call::{Handling, Runs, answer, call, counting, guard, handler, post, send};

fn mem() -> IdempotencyLayer<Client> {
    IdempotencyLayer::new(Client::open("mem://orders").expect("a store")).global()
}

#[tokio::test]
async fn safe_methods_pass_and_required_ones_need_a_key_h8() {
    let runs = Runs::default();
    let layer = mem();
    let service = guard(&layer, counting(&runs));
    for (method, key, want, outcome) in [
        (Method::GET, Some("k"), 201, Some(Outcome::Bypassed)),
        (Method::GET, Some("\u{1}"), 201, Some(Outcome::Bypassed)),
        (Method::HEAD, None, 201, Some(Outcome::Bypassed)),
        (Method::OPTIONS, Some("k"), 201, Some(Outcome::Bypassed)),
        (Method::PUT, None, 201, Some(Outcome::Bypassed)),
        (Method::POST, None, 400, Some(Outcome::Rejected("key-missing"))),
        (Method::PATCH, None, 400, Some(Outcome::Rejected("key-missing"))),
        (Method::POST, Some("a,b"), 400, Some(Outcome::Rejected("key-malformed"))),
        (Method::PUT, Some("k"), 201, Some(Outcome::Fresh)),
        (Method::PUT, Some("\"k\""), 201, Some(Outcome::Replayed)),
        (Method::POST, Some("k"), 422, Some(Outcome::Rejected("mismatch"))),
    ] {
        let mut request = post("", "");
        request.headers_mut().clear();
        *request.method_mut() = method.clone();
        if let Some(Ok(key)) = key.map(str::parse) {
            request.headers_mut().insert("idempotency-key", key);
        }
        let reply = send(&service, request).await;
        assert_eq!((reply.status, reply.outcome), (want, outcome), "{method} {key:?}");
    }
    assert_eq!(runs.count(), 6, "five that passed, one that was guarded");
    assert_eq!(layer.audit().counts().missing_required, 2);
}

#[tokio::test]
async fn a_panic_is_the_callers_whether_it_is_met_at_once_or_later() {
    for at_once in [true, false] {
        let service = guard(
            &mem(),
            handler(move |_| async move {
                if !at_once {
                    tokio::task::yield_now().await;
                }
                panic!("planted")
            }),
        );
        let met = std::panic::AssertUnwindSafe(call(&service, post("k", "1"))).catch_unwind().await;
        let panic = met.expect_err("the panic goes on");
        assert_eq!(panic.downcast_ref(), Some(&"planted"), "at once: {at_once}");
        let retry = send(&service, post("k", "1")).await;
        assert_eq!(retry.shown(), (500, "handler-failed".to_owned()), "at once: {at_once}");
    }
}

#[tokio::test]
async fn a_caller_that_waits_gets_the_first_answer_s10() {
    let go = Arc::new(Semaphore::new(0));
    let runs = Runs::default();
    let layer = mem().with_policy(|policy| policy.with_wait(onceward_core::Millis::from_secs(30)));
    let service = {
        let (go, runs) = (Arc::clone(&go), runs.clone());
        guard(
            &layer,
            handler(move |_: Handling| {
                let (go, run) = (Arc::clone(&go), runs.add());
                async move {
                    go.acquire().await.expect("never closed").forget();
                    Ok(answer(201, format!("run {run}")))
                }
            }),
        )
    };
    let first = tokio::spawn(call(&service, post("k", "1")));
    let others: Vec<_> = (0..8).map(|_| tokio::spawn(call(&service, post("k", "1")))).collect();
    tokio::task::yield_now().await;
    go.add_permits(1);
    let mut outcomes = Vec::new();
    for call in std::iter::once(first).chain(others) {
        let reply = crate::call::read(call.await.unwrap().unwrap()).await;
        assert_eq!(reply.shown(), (201, "run 1".to_owned()));
        outcomes.push(reply.outcome);
    }
    assert_eq!(runs.count(), 1);
    let fresh = outcomes.iter().filter(|outcome| **outcome == Some(Outcome::Fresh));
    assert_eq!(fresh.count(), 1, "{outcomes:?}");
}

#[tokio::test]
async fn a_process_can_end_after_what_goes_on_without_a_caller_h6() {
    let go = Arc::new(Semaphore::new(0));
    let layer = mem();
    let service = {
        let go = Arc::clone(&go);
        guard(
            &layer,
            handler(move |_: Handling| {
                let go = Arc::clone(&go);
                async move {
                    go.acquire().await.expect("never closed").forget();
                    Ok(answer(201, "done"))
                }
            }),
        )
    };
    assert_eq!(layer.settled().now_or_never(), Some(()), "nothing has begun");
    let calls: Vec<_> = ["a", "b"].map(|key| Box::pin(call(&service, post(key, "1")))).into();
    for mut call in calls {
        assert!(call.as_mut().now_or_never().is_none());
        drop(call); // The client hangs up.
    }
    let mut settled = std::pin::pin!(layer.settled());
    assert!(settled.as_mut().now_or_never().is_none());
    go.add_permits(1);
    tokio::task::yield_now().await;
    assert!(settled.as_mut().now_or_never().is_none(), "one of two goes on");
    go.add_permits(1);
    settled.await;
    assert_eq!((layer.stats().completed, layer.stats().hung_up), (2, 2));
}

#[tokio::test]
async fn who_hangs_up_before_the_body_has_ended_begins_nothing_h6() {
    let runs = Runs::default();
    let service = guard(&mem(), counting(&runs));
    let never =
        Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let mut cut = Box::pin(call(&service, post("k", never)));
    assert!(cut.as_mut().now_or_never().is_none());
    drop(cut);
    let next = send(&service, post("k", "1")).await;
    assert_eq!((next.shown(), next.outcome), ((201, "order 1".to_owned()), Some(Outcome::Fresh)));
    assert_eq!(runs.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_the_work_is_an_error_like_any_other_h5() {
    for (ambiguous, want) in [
        (Ambiguous::Keep, (500, "handler-failed".to_owned())),
        (Ambiguous::InDoubt, (409, "in-doubt".to_owned())),
    ] {
        let layer = mem().with_policy(|policy| policy.with_ambiguous(ambiguous));
        let work = tower::service_fn(|_: Handling| async {
            std::future::pending::<Result<Response<Body>, BoxError>>().await
        });
        let limited = Timeout::new(work, Duration::from_secs(5));
        let service = layer.layer(limited);
        let failed = service.clone().oneshot(post("k", "1")).await.expect_err("no answer");
        assert!(failed.is::<Elapsed>(), "{failed}");
        let retry = crate::call::read(service.oneshot(post("k", "1")).await.unwrap()).await;
        assert_eq!(retry.shown(), want, "{ambiguous:?}");
    }
}
