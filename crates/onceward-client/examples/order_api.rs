//! An order API: `POST /customers/{customer}/orders` with an `Idempotency-Key`.
//!
//! ```text
//! cargo run -p onceward-client --example order_api
//! ONCEWARD_URL=onceward://127.0.0.1:7977/orders cargo run -p onceward-client --example order_api
//! ```
//!
//! The handler answers what an API consumer may see: the order, its replay, 409 while the first
//! call runs, 422 for another payload, 503 where nothing may be concluded. Then the example plays a
//! consumer whose replies get lost, and counts the orders.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use onceward_client::{
    Client, Done, ExecuteError, Executed, Fingerprint, Key, PayloadFingerprint as _,
};
use tower::ServiceExt as _;

/// The service's own database: the only place where an order exists.
#[derive(Clone, Default)]
struct Orders {
    rows: Arc<Mutex<Vec<String>>>,
}

impl Orders {
    async fn insert(&self, customer: &str, body: &[u8]) -> Result<String, std::io::Error> {
        tokio::task::yield_now().await; // A real database takes its time here.
        let mut rows = self.rows.lock().expect("no thread panics while it holds the rows");
        rows.push(format!("{customer}: {}", String::from_utf8_lossy(body)));
        Ok(format!(r#"{{"order":"A-{}"}}"#, 1000 + rows.len()))
    }

    fn count(&self) -> usize {
        self.rows.lock().expect("no thread panics while it holds the rows").len()
    }
}

#[derive(Clone)]
struct Service {
    onceward: Client,
    orders: Orders,
}

async fn create_order(
    State(service): State<Service>,
    Path(customer): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(key) = headers.get("idempotency-key") else {
        return (StatusCode::BAD_REQUEST, "send an Idempotency-Key, new for each order")
            .into_response();
    };
    // The scope is who the key belongs to, as the service has authenticated it: two customers may
    // draw the same key. A bad key names its field and bound.
    let key = match Key::new(key.as_bytes()).and_then(|key| key.in_scope(customer.as_str())) {
        Ok(key) => key,
        Err(bad) => return (StatusCode::BAD_REQUEST, bad.to_string()).into_response(),
    };
    let fingerprint = Fingerprint::of(&body);
    let orders = service.orders;
    let executed = service
        .onceward
        .execution()
        .lease(Duration::from_secs(10))
        .wait(Duration::from_secs(5)) // A double click gets the first call's answer.
        .execute(key, fingerprint, |_run| async move {
            let order = orders.insert(&customer, &body).await?;
            Ok::<_, std::io::Error>((StatusCode::CREATED.as_u16(), order))
        })
        .await;
    match executed {
        Ok(Executed::Ran(done) | Executed::Replayed(done)) => answer(&done),
        Ok(Executed::InProgress { retry_after, .. }) => later(
            StatusCode::CONFLICT,
            retry_after.get(),
            "the first call with this key still runs",
        ),
        Ok(Executed::Mismatch) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "this key was used for another payload: draw a new key for a new order",
        )
            .into_response(),
        Ok(Executed::Refused { retry_after, .. }) => later(
            StatusCode::SERVICE_UNAVAILABLE,
            retry_after.map_or(1_000, |millis| millis.get()),
            "no room for new keys",
        ),
        Ok(_) => {
            later(StatusCode::CONFLICT, 60_000, "the first call's outcome is being looked into")
        }
        Err(ExecuteError::Work(error)) => {
            (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
        // Nothing may be concluded, so nothing is run: the consumer repeats with the same key.
        Err(_) => later(StatusCode::SERVICE_UNAVAILABLE, 1_000, "repeat with the same key"),
    }
}

fn answer(done: &Done) -> Response {
    let status = StatusCode::from_u16(done.result.status).unwrap_or(StatusCode::OK);
    let replayed = [("idempotency-replayed", if done.replayed { "true" } else { "false" })];
    match done.body() {
        Some(body) => (status, replayed, body.clone()).into_response(),
        None => (status, replayed, "done, but the answer was too large to keep").into_response(),
    }
}

fn later(status: StatusCode, millis: u64, why: &'static str) -> Response {
    let seconds = millis.div_ceil(1_000).max(1).to_string();
    (status, [(header::RETRY_AFTER, seconds)], why).into_response()
}

/// Plays a consumer against the service over `onceward`, and checks what it gets.
pub(crate) async fn run(onceward: Client) -> Result<(), Box<dyn Error>> {
    let orders = Orders::default();
    let service = Service { onceward, orders: orders.clone() };
    let api =
        Router::new().route("/customers/{customer}/orders", post(create_order)).with_state(service);
    // New for each run, for a daemon remembers.
    let key = Key::generate();
    let key = std::str::from_utf8(key.as_bytes())?;

    let post = async |customer: &str, body: &str| -> Result<(StatusCode, Bytes), Box<dyn Error>> {
        let request = Request::post(format!("/customers/{customer}/orders"))
            .header("idempotency-key", key)
            .body(Body::from(body.to_owned()))?;
        let response = api.clone().oneshot(request).await?;
        let status = response.status();
        Ok((status, to_bytes(response.into_body(), 1 << 20).await?))
    };

    let first = post("north", r#"{"sku":"A-17"}"#).await?;
    println!("first call      {} {}", first.0, String::from_utf8_lossy(&first.1));
    // Its reply is lost; the ERP repeats it, twice at once.
    let (retry, again) =
        tokio::join!(post("north", r#"{"sku":"A-17"}"#), post("north", r#"{"sku":"A-17"}"#));
    println!(
        "its retries     {} and {}",
        retry.as_ref().map_or(StatusCode::OK, |it| it.0),
        again.as_ref().map_or(StatusCode::OK, |it| it.0)
    );
    assert_eq!(first, retry?);
    assert_eq!(first, again?);
    let other = post("north", r#"{"sku":"B-4"}"#).await?;
    println!("other payload   {}", other.0);
    assert_eq!(other.0, StatusCode::UNPROCESSABLE_ENTITY);
    let neighbour = post("south", r#"{"sku":"A-17"}"#).await?;
    println!("other customer  {} {}", neighbour.0, String::from_utf8_lossy(&neighbour.1));
    assert_eq!(neighbour.0, StatusCode::CREATED);
    println!("orders placed   {}", orders.count());
    assert_eq!(orders.count(), 2, "one per customer");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("ONCEWARD_URL").unwrap_or_else(|_| "mem://orders".to_owned());
    run(Client::open(&url)?).await
}
