//! Bodies over the bounds, streams, and bodies that break off, both ways (H7, S9, S12).

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Request};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use onceward_client::Client;
use onceward_tower::{CheckpointError, Context, FingerprintPolicy, IdempotencyLayer, Outcome};
use tokio::sync::{Semaphore, mpsc};

use crate::call::{Handling, Runs, answer, call, counting, guard, handler, post, send};

const BYTES_MAX: usize = 1_000;

fn layer() -> IdempotencyLayer<Client> {
    let store = Client::open("mem://orders").expect("a store");
    IdempotencyLayer::new(store).global().with_policy(|policy| {
        policy.with_request_body_bytes_max(BYTES_MAX).with_result_body_bytes_max(BYTES_MAX)
    })
}

/// A body of unknown length, in chunks.
fn chunks(chunks: usize, byte: u8) -> Body {
    let chunk = move |_| Ok::<_, &'static str>(Bytes::from(vec![byte; 100]));
    Body::from_stream(stream::iter((0..chunks).map(chunk)))
}

fn broken(byte: u8) -> Body {
    let chunk = Ok(Bytes::from(vec![byte; 100]));
    Body::from_stream(stream::iter([chunk, Err("broke off")]))
}

/// Reads its body, and says how much there was.
fn measuring(runs: &Runs) -> crate::call::Handler {
    let runs = runs.clone();
    handler(move |request: Handling| {
        let run = runs.add();
        async move {
            let body = request.into_body().collect().await.map_err(|_| "no body")?.to_bytes();
            Ok(answer(201, format!("run {run}, {} bytes", body.len())))
        }
    })
}

#[tokio::test]
async fn a_request_over_the_bound_is_413_and_begins_nothing_h7() {
    let runs = Runs::default();
    let service = guard(&layer(), measuring(&runs));
    for (why, body, want) in [
        ("at the bound, declared", Body::from(vec![0; BYTES_MAX]), 201),
        ("over it, declared", Body::from(vec![0; BYTES_MAX + 1]), 413),
        ("at the bound, in chunks", chunks(10, 0), 201),
        ("over it, in chunks", chunks(11, 0), 413),
        ("broken", broken(0), 400),
    ] {
        let reply = send(&service, post(&why.replace([' ', ','], "-"), body)).await;
        assert_eq!(reply.status, want, "{why}: {:?}", reply.shown());
        if want != 201 {
            let again = send(&service, post(&why.replace([' ', ','], "-"), "short")).await;
            assert_eq!(again.outcome, Some(Outcome::Fresh), "{why}: the key is unused");
        }
    }
    assert_eq!(runs.count(), 5);
}

#[tokio::test]
async fn a_streamed_body_is_bound_by_its_digest_s9() {
    let runs = Runs::default();
    let layer = layer().with_streamed_bodies(1_000_000);
    let service = guard(&layer, measuring(&runs));
    let first = send(&service, post("k", chunks(50, 1))).await;
    assert_eq!(first.shown(), (201, "run 1, 5000 bytes".to_owned()));
    assert_eq!(first.outcome, Some(Outcome::Fresh));
    for (why, body, want, outcome) in [
        ("the same, streamed", chunks(50, 1), 201, Outcome::Replayed),
        ("the same, declared", Body::from(vec![1; 5_000]), 201, Outcome::Replayed),
        ("another", chunks(50, 2), 422, Outcome::Rejected("mismatch")),
        ("a short one", Body::from("1"), 422, Outcome::Rejected("mismatch")),
    ] {
        let reply = send(&service, post("k", body)).await;
        assert_eq!((reply.status, reply.outcome), (want, Some(outcome)), "{why}");
    }
    let cut = send(&service, post("k", broken(1))).await;
    assert_eq!(cut.shown().1, "body-unreadable", "under the bound, so it is not streamed");
    assert_eq!(runs.count(), 1);
}

#[tokio::test]
async fn a_body_that_is_compared_as_json_does_not_stream() {
    let layer = layer()
        .with_streamed_bodies(1_000_000)
        .with_policy(|policy| policy.with_fingerprint(FingerprintPolicy::canonical_json()));
    let runs = Runs::default();
    let service = guard(&layer, measuring(&runs));
    let mut request = post("k", chunks(50, b' '));
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    assert_eq!(send(&service, request).await.status, 413);
    assert_eq!(runs.count(), 0);
}

#[tokio::test]
async fn what_a_handler_leaves_unread_is_read_for_the_digest() {
    let runs = Runs::default();
    let service = guard(&layer().with_streamed_bodies(5_000), counting(&runs));
    for (key, chunks_sent, want) in [("fits", 50, 201), ("over", 51, 409)] {
        let first = send(&service, post(key, chunks(chunks_sent, 1))).await;
        assert_eq!(first.status, want, "{key}: {:?}", first.shown());
    }
    assert_eq!(runs.count(), 2);
    let again = send(&service, post("fits", chunks(50, 1))).await;
    assert_eq!((again.shown().1, again.outcome), ("order 1".to_owned(), Some(Outcome::Replayed)));
    let again = send(&service, post("over", chunks(51, 1))).await;
    assert_eq!(again.status, 409, "in doubt, and nothing runs again: {:?}", again.shown());
    assert_eq!(runs.count(), 2);
}

#[tokio::test]
async fn a_streamed_body_that_breaks_off_leaves_a_doubt() {
    let runs = Runs::default();
    let service = guard(&layer().with_streamed_bodies(1_000_000), {
        let runs = runs.clone();
        handler(move |request: Handling| {
            runs.add();
            async move {
                let read = request.into_body().collect().await.is_ok();
                Ok(answer(201, format!("read: {read}")))
            }
        })
    });
    let chunk = |_| Ok(Bytes::from(vec![1; 100]));
    let cut = Body::from_stream(stream::iter((0..20).map(chunk).chain([Err("broke off")])));
    let reply = send(&service, post("k", cut)).await;
    assert_eq!(reply.shown(), (409, "in-doubt".to_owned()), "no digest, no result");
    assert_eq!(send(&service, post("k", chunks(20, 1))).await.shown().1, "in-doubt");
    assert_eq!(runs.count(), 1);
}

#[tokio::test]
async fn a_checkpoint_follows_the_end_of_a_streamed_body_s9() {
    let layer = layer().with_streamed_bodies(1_000_000).with_checkpoint_hint(64);
    let service = guard(
        &layer,
        handler(|request: Handling| async move {
            let run = request.extensions().get::<Context>().expect("guarded").clone();
            let early = run.save_checkpoint(1, "early").await;
            assert_eq!(early, Err(CheckpointError::NeedFingerprint));
            request.into_body().collect().await.map_err(|_| "no body")?;
            assert_eq!(run.save_checkpoint(1, "read").await, Ok(1));
            Ok(answer(201, "done"))
        }),
    );
    let reply = send(&service, post("k", chunks(50, 1))).await;
    assert_eq!((reply.status, reply.outcome), (201, Some(Outcome::Fresh)));
}

#[tokio::test]
async fn an_answer_over_the_bound_is_not_kept_and_reaches_its_caller_s12() {
    let runs = Runs::default();
    for (why, body) in [
        ("declared", (|| Body::from(vec![7; BYTES_MAX + 1])) as fn() -> Body),
        ("chunks", || chunks(11, 7)),
    ] {
        let runs = runs.clone();
        let service = guard(
            &layer(),
            handler(move |_| {
                runs.add();
                async move {
                    let mut answer = answer(201, body());
                    answer.headers_mut().insert("location", HeaderValue::from_static("/orders/1"));
                    Ok(answer)
                }
            }),
        );
        let first = send(&service, post("k", "1")).await;
        assert!(first.body.len() > BYTES_MAX && first.body.iter().all(|byte| *byte == 7), "{why}");
        let again = send(&service, post("k", "1")).await;
        assert_eq!(again.shown(), (201, "result-not-kept".to_owned()), "{why}");
        assert_eq!(again.headers["location"], "/orders/1", "{why}");
        assert_eq!(again.headers["idempotency-replayed"], "true", "{why}");
    }
    assert_eq!(runs.count(), 2);
}

#[tokio::test]
async fn events_flow_and_their_request_is_done_before_the_first_h7() {
    let (events, source) = mpsc::channel::<&'static str>(1);
    let source = Arc::new(std::sync::Mutex::new(Some(source)));
    let service = guard(
        &layer(),
        handler(move |_| {
            let source = source.lock().unwrap().take().expect("runs once");
            let frames = stream::unfold(source, async |mut source| {
                let event = source.recv().await?;
                Some((Ok::<_, &'static str>(Bytes::from_static(event.as_bytes())), source))
            });
            async move {
                let mut answer = answer(200, Body::from_stream(frames));
                let kind = HeaderValue::from_static("Text/Event-Stream; charset=utf-8");
                answer.headers_mut().insert("content-type", kind);
                Ok(answer)
            }
        }),
    );
    let mut body = call(&service, post("k", "1")).await.unwrap().into_body();
    let again = send(&service, post("k", "1")).await;
    assert_eq!(again.shown(), (200, "result-not-kept".to_owned()), "while the stream is open");
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        events.send(event).await.unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), event);
    }
    drop(events);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn an_upgrade_passes_and_is_done() {
    let runs = Runs::default();
    let service = guard(&layer(), {
        let runs = runs.clone();
        handler(move |_| {
            runs.add();
            async { Ok(answer(101, "")) }
        })
    });
    assert_eq!(send(&service, post("k", "1")).await.status, 101);
    let again = send(&service, post("k", "1")).await;
    assert_eq!((again.status, again.outcome), (409, Some(Outcome::Replayed)));
    assert_eq!(runs.count(), 1);
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let service = guard(
        &layer(),
        handler(|request: Handling| async move {
            let collected = request.into_body().collect().await.map_err(|_| "no body")?;
            let trailers = collected.trailers().cloned().unwrap_or_default();
            let frames = [
                Ok::<_, &'static str>(Frame::data(Bytes::from("done"))),
                Ok(Frame::trailers(trailers)),
            ];
            Ok(answer(200, Body::new(StreamBody::new(stream::iter(frames)))))
        }),
    );
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("9"));
    let frames = [
        Ok::<_, &'static str>(Frame::data(Bytes::from("1"))),
        Ok(Frame::trailers(trailers.clone())),
    ];
    let body = Body::new(StreamBody::new(stream::iter(frames)));
    let answered =
        call(&service, post("k", body)).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(answered.trailers(), Some(&trailers));
    assert_eq!(answered.to_bytes(), "done");
}

#[tokio::test]
async fn a_digest_to_come_is_in_progress_for_others_s9() {
    let (entered, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let service = {
        let (entered, go) = (Arc::clone(&entered), Arc::clone(&go));
        guard(
            &layer().with_streamed_bodies(1_000_000),
            handler(move |request: Handling| {
                let (entered, go) = (Arc::clone(&entered), Arc::clone(&go));
                async move {
                    entered.add_permits(1);
                    go.acquire().await.expect("never closed").forget();
                    request.into_body().collect().await.map_err(|_| "no body")?;
                    Ok(answer(201, "done"))
                }
            }),
        )
    };
    let first = tokio::spawn(call(&service, post("k", chunks(20, 1))));
    entered.acquire().await.unwrap().forget();
    for body in [chunks(20, 1), chunks(20, 2), Body::from("1")] {
        assert_eq!(send(&service, post("k", body)).await.shown().1, "in-progress");
    }
    go.add_permits(1);
    assert_eq!(first.await.unwrap().unwrap().status(), 201);
    let request: Request<Body> = post("k", chunks(20, 2));
    assert_eq!(send(&service, request).await.shown().1, "mismatch");
}
