//! An order API with a database of its own, SQLite in a file: `POST /orders`, one row per intent.
//!
//! ```text
//! cargo run -p onceward-tower --all-features --example orders
//! ONCEWARD_URL=onceward://127.0.0.1:7977/orders cargo run -p onceward-tower --all-features --example orders
//! ORDERS_LISTEN=127.0.0.1:8080 cargo run -p onceward-tower --all-features --example orders
//! ```
//!
//! With `ORDERS_LISTEN` it serves until it is interrupted. Without, it plays customers over loopback
//! who click twice, hang up, mistype and lose replies, and then counts the rows.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use onceward_client::Client;
use onceward_tower::axum::Started;
use onceward_tower::{Ambiguous, Context, FingerprintPolicy, IdempotencyLayer, NoSideEffect};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_blocking;

#[derive(Deserialize)]
struct NewOrder {
    sku: String,
    quantity: u32,
}

#[derive(Serialize)]
struct Order {
    id: i64,
    sku: String,
    quantity: u32,
}

/// The only place where an order exists.
#[derive(Clone)]
struct Orders {
    connection: Arc<Mutex<Connection>>,
}

impl Orders {
    fn open(file: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(file)?;
        // The derived key is unique: should the work run again after its process died between row
        // and answer, it finds its row.
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS orders (
                 id INTEGER PRIMARY KEY,
                 request TEXT NOT NULL UNIQUE,
                 sku TEXT NOT NULL,
                 quantity INTEGER NOT NULL
             )",
        )?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Off the runtime's threads: SQLite blocks, and a lease is renewed meanwhile.
    async fn insert(&self, request: String, new: NewOrder) -> rusqlite::Result<Order> {
        let connection = Arc::clone(&self.connection);
        let inserting = move || {
            let mut connection = connection.lock().expect("no thread panics under this lock");
            let transaction = connection.transaction()?;
            let find = "SELECT id FROM orders WHERE request = ?1";
            let known = transaction.query_row(find, [&request], |row| row.get(0)).optional()?;
            let id = match known {
                Some(id) => id,
                None => {
                    transaction.execute(
                        "INSERT INTO orders (request, sku, quantity) VALUES (?1, ?2, ?3)",
                        params![request, new.sku, new.quantity],
                    )?;
                    transaction.last_insert_rowid()
                }
            };
            transaction.commit()?;
            Ok(Order { id, sku: new.sku, quantity: new.quantity })
        };
        spawn_blocking(inserting).await.expect("inserting does not panic")
    }

    fn count(&self) -> rusqlite::Result<i64> {
        let connection = self.connection.lock().expect("no thread panics under this lock");
        connection.query_row("SELECT count(*) FROM orders", [], |row| row.get(0))
    }
}

async fn create_order(
    State(orders): State<Orders>,
    run: Context,
    Started(Json(new)): Started<Json<NewOrder>>,
) -> Response {
    if new.quantity == 0 {
        // Nothing has happened: the key is free for a request that is put right.
        return (StatusCode::UNPROCESSABLE_ENTITY, NoSideEffect, "order at least one")
            .into_response();
    }
    match orders.insert(run.derived_key(), new).await {
        Ok(order) => {
            let location = format!("/orders/{}", order.id);
            (StatusCode::CREATED, [(header::LOCATION, location)], Json(order)).into_response()
        }
        // Ambiguous, and so in doubt: see the layer's policy.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn guard(store: Client) -> IdempotencyLayer<Client> {
    IdempotencyLayer::new(store).scope_header(HeaderName::from_static("x-customer")).with_policy(
        |policy| {
            policy
                .with_fingerprint(FingerprintPolicy::canonical_json())
                .with_ambiguous(Ambiguous::InDoubt)
        },
    )
}

fn api(orders: Orders, once: IdempotencyLayer<Client>) -> Router {
    Router::new().route("/orders", post(create_order)).with_state(orders).layer(once)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("ONCEWARD_URL").unwrap_or_else(|_| "mem://orders".to_owned());
    let file = std::env::temp_dir().join(format!("onceward-orders-{}.db", std::process::id()));
    let orders = Orders::open(&file)?;
    let once = guard(Client::open(&url)?);
    let api = api(orders.clone(), once.clone());
    let played = match std::env::var("ORDERS_LISTEN") {
        Ok(listen) => {
            let listener = TcpListener::bind(&listen).await?;
            println!("listening on {}, rows in {}", listener.local_addr()?, file.display());
            axum::serve(listener, api)
                .with_graceful_shutdown(interrupted())
                .await
                .map_err(Into::into)
        }
        Err(_) => {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let server = tokio::spawn(async move { axum::serve(listener, api).await });
            let played = play(address, &orders).await;
            server.abort();
            played
        }
    };
    once.settled().await; // Orders of customers who have hung up are carried out to their end.
    std::fs::remove_file(&file)?;
    played
}

async fn interrupted() {
    // An error means that there is no such signal here: serve on.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A customer: sends one request on a connection of its own.
async fn send(address: SocketAddr, key: &str, body: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "POST /orders HTTP/1.1\r\nhost: shop\r\nconnection: close\r\nx-customer: 7\r\n\
         idempotency-key: {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

/// Status, whether it says that it is a replay, and body.
async fn reply(mut stream: TcpStream) -> Result<(u16, bool, String), Box<dyn Error>> {
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no whole head")?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    Ok((status, head.contains("idempotency-replayed: true"), body.to_owned()))
}

async fn play(address: SocketAddr, orders: &Orders) -> Result<(), Box<dyn Error>> {
    const ORDER: &str = r#"{"sku":"A-17","quantity":2}"#;
    /// The same order as another client library spells it.
    const RESPELT: &str = r#"{ "quantity": 2, "sku": "A-17" }"#;

    let first = reply(send(address, "order-1", ORDER).await?).await?;
    println!("an order:              {first:?}");
    let again = reply(send(address, "order-1", RESPELT).await?).await?;
    println!("its retry:             {again:?}");
    assert_eq!((first.0, &first.2), (again.0, &again.2));
    assert!(!first.1 && again.1);

    let other = reply(send(address, "order-1", r#"{"sku":"B-2","quantity":1}"#).await?).await?;
    println!("another under its key: {other:?}");
    assert_eq!(other.0, 422);

    let typo = reply(send(address, "order-2", r#"{"sku":"A-17"}"#).await?).await?;
    let none = reply(send(address, "order-2", r#"{"sku":"A-17","quantity":0}"#).await?).await?;
    let right = reply(send(address, "order-2", ORDER).await?).await?;
    println!("a typo, put right:     {}, {}, {}", typo.0, none.0, right.0);
    assert_eq!((typo.0, none.0, right.0), (422, 422, 201));

    // A hundred customers whose replies are lost, and who click twice besides.
    for number in 0..100 {
        let key = format!("lost-{number}");
        drop(send(address, &key, ORDER).await?);
        let (one, two) =
            tokio::join!(settled(address, &key, ORDER), settled(address, &key, RESPELT));
        assert_eq!(one?, two?);
    }
    let rows = orders.count()?;
    println!("rows: {rows}, for 102 intents");
    assert_eq!(rows, 102);
    Ok(())
}

/// Asks again while the first request runs.
async fn settled(address: SocketAddr, key: &str, body: &str) -> Result<String, Box<dyn Error>> {
    loop {
        match reply(send(address, key, body).await?).await? {
            (201, _, order) => return Ok(order),
            (409, _, problem) if problem.contains("in-progress") => {
                // `Retry-After` is for another lease; this one ends in a moment.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            other => return Err(format!("{key}: {other:?}").into()),
        }
    }
}
