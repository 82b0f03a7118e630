//! The feature `axum`: the context as an extractor, and refusals before the handler.

use axum::extract::Path;
use axum::routing::post;
use axum::{Json, Router};
use http::{Request, StatusCode};
use onceward_client::Client;
use onceward_tower::axum::Started;
use onceward_tower::{Context, IdempotencyLayer, NoSideEffect, Outcome};
use serde::Deserialize;
use tower::ServiceExt as _;

use crate::call::{Reply, read};

#[derive(Deserialize)]
struct Order {
    quantity: u32,
}

async fn create(
    run: Context,
    Started(Path(shop)): Started<Path<u32>>,
    Started(Json(order)): Started<Json<Order>>,
) -> (StatusCode, String) {
    (StatusCode::CREATED, format!("{} of shop {shop}, {}", order.quantity, run.derived_key()))
}

async fn strict(Json(order): Json<Order>) -> (StatusCode, String) {
    (StatusCode::CREATED, order.quantity.to_string())
}

async fn picky() -> (StatusCode, NoSideEffect, &'static str) {
    (StatusCode::CONFLICT, NoSideEffect, "sold out")
}

async fn lenient(run: Option<Context>) -> String {
    run.is_some().to_string()
}

fn api() -> Router {
    let layer = IdempotencyLayer::new(Client::open("mem://orders").expect("a store")).global();
    Router::new()
        .route("/{shop}/orders", post(create))
        .route("/strict", post(strict))
        .route("/picky", post(picky))
        .route("/lenient", post(lenient).put(lenient))
        .layer(layer)
        .route("/bare", post(|_: Context| async {}))
}

async fn ask(api: &Router, method: &str, path: &str, key: Option<&str>, body: &str) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let request = request.body(axum::body::Body::from(body.to_owned())).unwrap();
    read(api.clone().oneshot(request).await.unwrap()).await
}

#[tokio::test]
async fn a_refusal_before_the_handler_frees_the_key_h5() {
    let api = api();
    for (path, key, body, want, outcome) in [
        ("/1/orders", "a", "{", 400, Outcome::Fresh),
        ("/1/orders", "a", "{}", 422, Outcome::Fresh),
        ("/x/orders", "a", "{}", 400, Outcome::Fresh),
        ("/1/orders", "a", r#"{"quantity":2}"#, 201, Outcome::Fresh),
        ("/1/orders", "a", r#"{"quantity":2}"#, 201, Outcome::Replayed),
        ("/1/orders", "a", "{}", 422, Outcome::Rejected("mismatch")),
        // Without the wrapper the refusal is kept, as any answer of a handler that began.
        ("/strict", "b", "{", 400, Outcome::Fresh),
        ("/strict", "b", "{", 400, Outcome::Replayed),
        ("/strict", "b", r#"{"quantity":2}"#, 422, Outcome::Rejected("mismatch")),
        ("/picky", "c", "", 409, Outcome::Fresh),
        ("/picky", "c", "", 409, Outcome::Fresh),
    ] {
        let reply = ask(&api, "POST", path, Some(key), body).await;
        let got = (reply.status, reply.outcome);
        assert_eq!(got, (want, Some(outcome)), "{path} {key} {body}: {:?}", reply.shown());
    }
}

#[tokio::test]
async fn the_context_is_there_where_the_layer_is_h9() {
    let api = api();
    assert_eq!(ask(&api, "POST", "/bare", Some("k"), "").await.status, 500);
    assert_eq!(ask(&api, "POST", "/lenient", Some("k"), "").await.shown().1, "true");
    assert_eq!(ask(&api, "PUT", "/lenient", None, "").await.shown().1, "false");
}

#[tokio::test]
async fn a_request_is_guarded_once() {
    let layer = IdempotencyLayer::new(Client::open("mem://orders").expect("a store")).global();
    let twice = Router::new().route("/lenient", post(lenient)).layer(layer.clone()).layer(layer);
    for _ in 0..2 {
        let refused = ask(&twice, "POST", "/lenient", Some("k"), "").await;
        assert_eq!(refused.shown(), (500, "misconfigured".to_owned()));
        assert_eq!(refused.outcome, Some(Outcome::Fresh), "the outer one keeps no such answer");
    }
}
