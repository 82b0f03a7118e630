//! A thousand clients that hang up while their request is carried out (H6).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::post;
use http::StatusCode;
use onceward_client::{Client, GetOutcome, Key};
use onceward_core::Millis;
use onceward_tower::{IdempotencyLayer, Outcome};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use crate::call::{Runs, read};
use crate::stores::on_each;

const CLIENTS: usize = 1_000;
/// Few enough for the open files of a process, twice: both ends are here.
const CLIENTS_AT_ONCE: usize = 200;

async fn send(address: SocketAddr, key: &str, declared: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!(
        "POST /orders HTTP/1.1\r\nhost: shop\r\nidempotency-key: {key}\r\ncontent-length: {declared}\r\n\r\n1 x A-17"
    );
    stream.write_all(request.as_bytes()).await.expect("a request leaves");
    stream
}

/// Says that a request is over for its server: answered, or dropped because its client hung up.
struct AtEnd(Arc<Semaphore>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_hang_ups_lose_nothing_and_leave_nothing() {
    on_each(async |store, client| hang_up(store, client).await).await;
}

async fn hang_up(store: &str, client: Client) {
    // Makes the client's connection, which stays.
    client.store_stats().await.expect("the store answers");
    let layer = IdempotencyLayer::new(client.clone()).global();
    let (runs, go) = (Runs::default(), Arc::new(Semaphore::new(0)));
    let entered = Arc::new(Semaphore::new(0));
    let create_order = {
        let (runs, entered, go) = (runs.clone(), Arc::clone(&entered), Arc::clone(&go));
        move || async move {
            let run = runs.add();
            entered.add_permits(1);
            go.acquire().await.expect("never closed").forget();
            (StatusCode::CREATED, format!("order {run}"))
        }
    };
    let gone = Arc::new(Semaphore::new(0));
    let noticing = {
        let gone = Arc::clone(&gone);
        move |request: Request, next: Next| {
            let noticed = AtEnd(Arc::clone(&gone));
            async move {
                let response = next.run(request).await;
                drop(noticed);
                response
            }
        }
    };
    let router = Router::new().route("/orders", post(create_order)).layer(layer.clone());
    let router = router.layer(from_fn(noticing));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let tasks_before = Handle::current().metrics().num_alive_tasks();
    let server = tokio::spawn(async move { ::axum::serve(listener, router).await });

    let whole = "1 x A-17".len();
    for batch in 0..CLIENTS / CLIENTS_AT_ONCE {
        let mut streams = Vec::new();
        for number in 0..CLIENTS_AT_ONCE {
            // One in four hangs up before its body has ended.
            let key = format!("k-{batch}-{number}");
            let declared = if number % 4 == 0 { whole + 1 } else { whole };
            streams.push(send(address, &key, declared).await);
        }
        let carried_out = u32::try_from(CLIENTS_AT_ONCE / 4 * 3).expect("a small number");
        entered.acquire_many(carried_out).await.expect("never closed").forget();
        drop(streams);
        let all = u32::try_from(CLIENTS_AT_ONCE).expect("a small number");
        gone.acquire_many(all).await.expect("never closed").forget();
    }
    let carried_out = CLIENTS / 4 * 3;
    assert_eq!(runs.count(), carried_out);
    go.add_permits(2 * CLIENTS);

    // A retry that waits meets each: the answer of an execution that went on, or the first run of
    // one that never began.
    let patient = layer.clone().with_policy(|policy| policy.with_wait(Millis::from_secs(20)));
    let retry = {
        let runs = runs.clone();
        Router::new()
            .route("/orders", post(move || async move { format!("retry {}", runs.add()) }))
            .layer(patient)
    };
    for batch in 0..CLIENTS / CLIENTS_AT_ONCE {
        for number in 0..CLIENTS_AT_ONCE {
            let key = format!("k-{batch}-{number}");
            let request = crate::call::post(&key, "1 x A-17");
            let reply = read(retry.clone().oneshot(request).await.unwrap()).await;
            let want = if number % 4 == 0 { Outcome::Fresh } else { Outcome::Replayed };
            assert_eq!(reply.outcome, Some(want), "{store}, {key}: {:?}", reply.shown());
            let key = Key::new(&key).unwrap().in_scope("").unwrap();
            let held = client.get(&key, &onceward_core::Get::default()).await.unwrap();
            assert!(matches!(held, GetOutcome::Completed(_)), "{key:?}: {}", held.name());
        }
    }
    assert_eq!(runs.count(), CLIENTS, "{store}: each intent was carried out once");

    server.abort();
    let _ = server.await;
    // What is left ends by itself: connections that notice that they are closed.
    let gone = async {
        while Handle::current().metrics().num_alive_tasks() > tasks_before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .unwrap_or_else(|_| panic!("{store}: a task is left"));
    let stats = layer.stats();
    assert_eq!(stats.completed, CLIENTS as u64, "{store}");
    assert_eq!(stats.hung_up, carried_out as u64, "{store}: {stats:?}");
}
