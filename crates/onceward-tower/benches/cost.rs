//! What the layer costs: processor time per request, beside the same axum service without it.
//!
//! `cargo bench -p onceward-tower --bench cost` measures; without `--bench`, as `cargo test --benches`
//! calls it, a tiny run shows that the benchmark works. Each run measures all ways in turn, over a new
//! embedded store; shown is the median of the runs. Processor time is that of the whole process, by
//! `getrusage`: tasks, timers and the store's own thread count, and over loopback the callers do too,
//! in each way alike.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode};
use axum::routing::post;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use onceward_client::Client;
use onceward_tower::{IdempotencyLayer, Outcome};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

/// Of the request, and of the answer.
const BODY_BYTES: usize = 512;
const CONNECTIONS: usize = 8;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Handler {
    /// Its answer is there at once.
    AtOnce,
    /// It waits for something once, as for a database.
    WaitsOnce,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    /// Without the layer.
    Bare,
    Fresh,
    Replay,
}

fn api(handler: Handler, layer: Option<IdempotencyLayer<Client>>) -> Router {
    let handle = move |body: Bytes| async move {
        if handler == Handler::WaitsOnce {
            tokio::task::yield_now().await;
        }
        (StatusCode::CREATED, body)
    };
    let router = Router::new().route("/orders", post(handle));
    let router = match layer {
        Some(layer) => router.layer(layer),
        None => router,
    };
    router.with_state(()) // As `axum::serve` does: else each request makes its services anew.
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the process' own usage");
    let spent = usage.user_time() + usage.system_time();
    Duration::from_micros(u64::try_from(spent.num_microseconds()).expect("time goes on"))
}

fn key(number: usize) -> String {
    format!("0190c0de-7f3a-7bb2-9d0b-{number:012x}")
}

/// Which key comes at this place: stored in one order, asked for again in another.
fn place(way: Way, at: usize, requests: usize) -> usize {
    const STRIDE: usize = 7_919; // A prime, so that each comes once.
    if way == Way::Replay { at * STRIDE % requests } else { at }
}

/// Calls of the router, one after the other.
async fn in_process(api: &Router, way: Way, requests: usize) -> Duration {
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let before = cpu();
    for at in 0..requests {
        let key = key(place(way, at, requests));
        let request = Request::post("/orders").header("idempotency-key", key);
        let request = request.body(Body::from(body.clone())).expect("a request");
        let response = api.clone().oneshot(request).await.expect("infallible");
        let outcome = response.extensions().get().copied();
        check(way, response.status(), outcome);
        let answer = to_bytes(response.into_body(), BODY_BYTES).await.expect("an answer");
        assert_eq!(answer.len(), BODY_BYTES);
    }
    cpu() - before
}

fn check(way: Way, status: StatusCode, outcome: Option<Outcome>) {
    assert_eq!(status, StatusCode::CREATED);
    let want = match way {
        Way::Bare => None,
        Way::Fresh => Some(Outcome::Fresh),
        Way::Replay => Some(Outcome::Replayed),
    };
    assert_eq!(outcome, want);
}

/// Requests on kept connections, each of which waits for its answer.
async fn over_loopback(address: SocketAddr, way: Way, requests: usize) -> Duration {
    let each = requests / CONNECTIONS;
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("an option of the socket");
        streams.push(stream);
    }
    let before = cpu();
    let callers = streams.into_iter().enumerate().map(|(caller, mut stream)| {
        tokio::spawn(async move {
            let mut answer = vec![0; 4 * BODY_BYTES];
            for at in caller * each..(caller + 1) * each {
                let mut request = format!(
                    "POST /orders HTTP/1.1\r\nhost: shop\r\nidempotency-key: {}\r\ncontent-length: {BODY_BYTES}\r\n\r\n",
                    key(place(way, at, requests))
                )
                .into_bytes();
                request.resize(request.len() + BODY_BYTES, b'x');
                stream.write_all(&request).await.expect("a request leaves");
                let mut size = 0;
                let end = loop {
                    size += stream.read(&mut answer[size..]).await.expect("an answer comes");
                    let head = answer[..size].windows(4).position(|end| end == b"\r\n\r\n");
                    if let Some(head) = head.filter(|head| head + 4 + BODY_BYTES <= size) {
                        break head;
                    }
                };
                let head = std::str::from_utf8(&answer[..end]).expect("an ASCII head");
                assert!(head.starts_with("HTTP/1.1 201"), "{head}");
                assert_eq!(head.contains("idempotency-replayed"), way == Way::Replay, "{head}");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("a caller ends");
    }
    cpu() - before
}

/// Median, least and greatest.
fn spread(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    [figures[figures.len() / 2], figures[0], figures[figures.len() - 1]]
}

/// Microseconds of processor time per request: bare, fresh, replay.
async fn run(
    handler: Handler,
    loopback: bool,
    requests: usize,
) -> Result<[f64; 3], Box<dyn Error>> {
    let layer = IdempotencyLayer::new(Client::open("mem://orders")?).global();
    let (bare, guarded) = (api(handler, None), api(handler, Some(layer)));
    let mut figures = [0.0; 3];
    for (figure, (way, api)) in figures.iter_mut().zip([
        (Way::Bare, &bare),
        (Way::Fresh, &guarded),
        (Way::Replay, &guarded),
    ]) {
        let spent = if loopback {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let (address, api) = (listener.local_addr()?, api.clone());
            let server = tokio::spawn(async move { axum::serve(listener, api).await });
            let spent = over_loopback(address, way, requests).await;
            server.abort();
            spent
        } else {
            // As a server does: in a task, not in the thread that blocks on the runtime.
            let api = api.clone();
            tokio::spawn(async move { in_process(&api, way, requests).await }).await?
        };
        *figure = spent.as_secs_f64() * 1e6 / requests as f64;
    }
    Ok(figures)
}

fn main() -> Result<(), Box<dyn Error>> {
    let full = std::env::args().any(|argument| argument == "--bench");
    let (runs, requests) = if full { (5, 40_000) } else { (1, 80) };
    println!("{runs} runs of {requests} requests of {BODY_BYTES} B, answers of {BODY_BYTES} B");
    println!("processor time per request in µs: median (least to greatest), what the layer adds\n");
    println!("| | bare | fresh | adds | replay | adds | replay / fresh |");
    println!("|---|---|---|---|---|---|---|");
    for (name, handler, loopback) in [
        ("in process, at once", Handler::AtOnce, false),
        ("in process, waits once", Handler::WaitsOnce, false),
        ("loopback, at once", Handler::AtOnce, true),
        ("loopback, waits once", Handler::WaitsOnce, true),
    ] {
        let mut by_way = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..runs {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let figures = runtime.block_on(run(handler, loopback, requests))?;
            by_way.iter_mut().zip(figures).for_each(|(way, figure)| way.push(figure));
        }
        let [bare, fresh, replay] = by_way.map(spread);
        let shown =
            |[median, least, most]: [f64; 3]| format!("{median:.2} ({least:.2} to {most:.2})");
        println!(
            "| {name} | {} | {} | {:.2} | {} | {:.2} | {:.2} |",
            shown(bare),
            shown(fresh),
            fresh[0] - bare[0],
            shown(replay),
            replay[0] - bare[0],
            replay[0] / fresh[0],
        );
    }
    Ok(())
}
