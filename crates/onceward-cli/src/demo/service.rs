//! The warehouse service: a process of its own that takes orders over HTTP, with Onceward or
//! without, and is killed now and then.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{self, HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::post_service;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use clap::Args;
use onceward_client::{Client, Policy};
use onceward_http::{IDEMPOTENCY_KEY, PROBLEM_JSON};
use onceward_tower::{
    Ambiguous, Context, Idempotency, IdempotencyLayer, Outcome, RequestBody, Scope, StoredAnswer,
};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{OwnedRwLockReadGuard, RwLock, watch};
use tokio::time::sleep;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::document::Document;
use super::event::{Event, Hex};
use super::http::{CRASH, FAILED, INTENT, WORK_US};
use super::ledger::{Entry, LedgerClient};
use super::recorded::REQUEST_BYTES_MAX;
use super::schedule::Moment;
use super::traffic::{Confirmation, Repeatable, Traffic};
use super::{DemoError, LEASE, open_client};

/// How long a request waits for another owner: past the end of any lease, so that a takeover
/// comes out of a wait too.
const WAIT: Duration = Duration::from_millis(LEASE.as_millis() as u64 + 2_000);
/// How long requests in hand may take once the service is told to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// What a service process is started with.
#[derive(Args, Debug)]
pub(crate) struct ServiceArgs {
    /// Where the ledger is.
    #[arg(long)]
    pub(super) ledger: SocketAddr,
    /// The store; without it the service executes whatever it is asked.
    #[arg(long)]
    pub(super) store: Option<String>,
    /// Whose keys they are.
    #[arg(long, default_value = "")]
    pub(super) scope: String,
    #[arg(long)]
    pub(super) traffic: Option<PathBuf>,
    #[arg(long)]
    pub(super) seed: u64,
    /// Makes a key of its own for every request, as a service does that gets keys wrong.
    #[arg(long)]
    pub(super) break_keys: bool,
}

struct Service {
    traffic: Traffic,
    ledger: LedgerClient,
    /// Makes a key of its own for every request.
    breaks_keys: bool,
    /// Held for reading from a repeatable side effect until its complete, and for writing while
    /// the process is about to be killed.
    gate: Arc<RwLock<()>>,
    /// Requests taken whose work has not ended, hung-up ones included.
    in_hand: watch::Sender<u32>,
}

/// Serves until stdin ends, then answers what it has in hand.
pub(super) async fn run(args: ServiceArgs) -> Result<(), DemoError> {
    let client = args.store.as_deref().map(open_client).transpose()?;
    let service = Arc::new(Service {
        traffic: Traffic::open(args.traffic.as_deref(), args.seed)?,
        ledger: LedgerClient::new(args.ledger),
        breaks_keys: args.break_keys,
        gate: Arc::default(),
        in_hand: watch::Sender::new(0),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(DemoError::io)?;
    let address = listener.local_addr().map_err(DemoError::io)?;
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true); // Only slower without.
    });
    let warehouse = match client {
        Some(client) => guarded(&service, &client, &args.scope),
        None => plain(&service),
    };
    let app = match service.traffic {
        Traffic::Generated { .. } => Router::new()
            .route_service("/orders", post_service(warehouse.clone()))
            .route_service("/shipments", post_service(warehouse.clone()))
            .route_service("/inventory", post_service(warehouse)),
        // Whatever was called when it was recorded.
        Traffic::Recorded { .. } => Router::new().fallback_service(warehouse),
    };
    let app = app.layer(from_fn_with_state(Arc::clone(&service), observe));
    Event::Ready { address }.tell();
    let (stopping, stop) = tokio::sync::oneshot::channel();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async {
        let _ = tokio::io::stdin().read(&mut [0]).await;
        let _ = stopping.send(());
    });
    let late = async {
        let _ = stop.await;
        sleep(STOP_TIMEOUT).await;
    };
    let finished = async {
        serving.await.map_err(DemoError::io)?;
        // The sender is the service's own, so this cannot fail.
        let _ = service.in_hand.subscribe().wait_for(|requests| *requests == 0).await;
        Ok(())
    };
    tokio::select! {
        ended = finished => ended,
        () = late => Ok(()),
    }
}

/// What serves the intents.
type Warehouse = BoxCloneSyncService<Request, Response, Infallible>;

/// The warehouse behind the layer: each intent once. Work that may safely run again is taken over
/// when its owner falls silent, other work is in doubt (S8); so there are two layers.
fn guarded(service: &Arc<Service>, client: &Client, scope: &str) -> Warehouse {
    let layered = |policy| -> Idempotency<_, Client> {
        let scope = Bytes::copy_from_slice(scope.as_bytes());
        let layer = IdempotencyLayer::new(client.clone())
            .scope(Scope::of(move |_| Some(scope.clone())))
            .with_policy(|settings| {
                settings
                    // Work fails where the ledger gave no clear answer: the row may be there or not.
                    .with_ambiguous(Ambiguous::InDoubt)
                    .with_begin_policy(policy)
                    .with_lease(LEASE.into())
                    .with_wait(WAIT.into())
                    .with_request_body_bytes_max(REQUEST_BYTES_MAX)
            });
        let service = Arc::clone(service);
        let handler = service_fn(move |request: http::Request<RequestBody<Body>>| {
            let service = Arc::clone(&service);
            async move { Ok::<_, Infallible>(service.handle(request).await) }
        });
        layer.layer(handler)
    };
    let (takeover, in_doubt) = (layered(Policy::Takeover), layered(Policy::InDoubt));
    let service = Arc::clone(service);
    BoxCloneSyncService::new(service_fn(move |request: Request| {
        let intent = header(request.headers(), INTENT).unwrap_or(0);
        let layer = match service.traffic.repeatable(intent) {
            Repeatable::Yes => &takeover,
            Repeatable::No => &in_doubt,
        };
        let answering = layer.clone().oneshot(request);
        async move { Ok(answering.await?.map(Body::new)) }
    }))
}

/// The warehouse as it is without Onceward: it executes whatever it is asked. A caller that hangs up
/// does not stop it, for nor does it with the layer.
fn plain(service: &Arc<Service>) -> Warehouse {
    let service = Arc::clone(service);
    BoxCloneSyncService::new(service_fn(move |request: Request| {
        let service = Arc::clone(&service);
        let working = tokio::spawn(async move { service.handle(request).await });
        async move { Ok(working.await.unwrap_or_else(|_| failed("the work panicked"))) }
    }))
}

/// A request in hand, from its arrival until its work has ended and been answered. It travels with
/// the request and then with the response: wherever these are dropped last, it is over, also when
/// nobody reads the answer.
struct InHand {
    service: Arc<Service>,
    intent: u32,
    since: Instant,
    replay_us: OnceLock<u64>,
}

impl Drop for InHand {
    fn drop(&mut self) {
        Event::Answered { intent: self.intent, replay_us: self.replay_us.get().copied() }.tell();
        self.service.in_hand.send_modify(|requests| *requests -= 1);
    }
}

/// An execution whose work has ended. It travels with the response, which the layer holds until the
/// result is stored.
struct Execution {
    intent: u32,
    attempt: u32,
    since: Instant,
    digest: Option<u128>,
    /// How long storing took; set once somebody has seen that it is stored.
    complete_us: OnceLock<u64>,
    /// Only after that may this process be killed again.
    _gate: Option<OwnedRwLockReadGuard<()>>,
}

impl Drop for Execution {
    fn drop(&mut self) {
        let complete_us = self.complete_us.get().copied();
        let digest = complete_us.and(self.digest).map(Hex);
        Event::Ended { intent: self.intent, attempt: self.attempt, complete_us, digest }.tell();
    }
}

/// Sees every request arrive and every answer leave, outside of the layer.
async fn observe(
    State(service): State<Arc<Service>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(intent) = header(request.headers(), INTENT) else {
        return failed("a header that the demonstration sends is missing");
    };
    service.in_hand.send_modify(|requests| *requests += 1);
    Event::Asked { intent }.tell();
    if service.breaks_keys
        && let Some(key) = header::<String>(request.headers(), IDEMPOTENCY_KEY.as_str())
    {
        let other = format!("{}-{}", key.trim_matches('"'), rand::random::<u64>());
        let other = HeaderValue::try_from(other).expect("a key and a number");
        request.headers_mut().insert(IDEMPOTENCY_KEY, other);
    }
    let (since, replay_us) = (Instant::now(), OnceLock::new());
    let in_hand = Arc::new(InHand { service, intent, since, replay_us });
    request.extensions_mut().insert(Arc::clone(&in_hand));
    let response = next.run(request).await;
    let extensions = response.extensions();
    match extensions.get::<Outcome>() {
        Some(Outcome::Fresh) => {
            if let Some(execution) = extensions.get::<Arc<Execution>>() {
                let _ = execution.complete_us.set(micros(execution.since)); // Set once.
            }
        }
        Some(Outcome::Replayed) => {
            // Stored before it was asked for: the reply did not wait for another owner.
            let stored = extensions.get::<StoredAnswer>();
            if stored.is_some_and(|stored| stored.age.as_duration() >= in_hand.since.elapsed()) {
                let _ = in_hand.replay_us.set(micros(in_hand.since)); // Set once.
            }
        }
        Some(_) | None => {}
    }
    response
}

/// What a request says of itself.
struct Task {
    intent: u32,
    work: Duration,
    crash: Option<Moment>,
    body: Bytes,
}

impl Task {
    fn new(headers: &HeaderMap, body: Bytes) -> Option<Self> {
        Some(Self {
            intent: header(headers, INTENT)?,
            work: Duration::from_micros(header(headers, WORK_US)?),
            crash: header::<String>(headers, CRASH).and_then(|m| Moment::from_name(&m)),
            body,
        })
    }
}

fn header<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

impl Service {
    /// The handler. Behind the layer the request has a [`Context`].
    async fn handle<B>(&self, request: http::Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let (parts, body) = request.into_parts();
        let Ok(body) = to_bytes(Body::new(body), REQUEST_BYTES_MAX).await else {
            return failed("the request's body did not arrive");
        };
        let Some(task) = Task::new(&parts.headers, body) else {
            return failed("a header that the demonstration sends is missing");
        };
        let owner = parts.extensions.get::<Context>();
        let in_hand = parts.extensions.get::<Arc<InHand>>();
        let (intent, attempt) = (task.intent, owner.map_or(1, Context::attempt_number));
        // An owner out of a takeover waited for a lease to end: no measure of begin.
        let began = in_hand.filter(|_| owner.is_some() && attempt == 1);
        let begin_us = began.map(|in_hand| micros(in_hand.since));
        Event::Began { intent, attempt, begin_us }.tell();
        let mut gate = None;
        let worked = self.work(&task, owner, &mut gate).await;
        // Without an owner two executions differ, and nobody claims otherwise.
        let stored = owner.and(worked.as_ref().ok());
        let execution = Execution {
            intent,
            attempt,
            since: Instant::now(),
            digest: stored.map(Document::digest),
            complete_us: OnceLock::new(),
            _gate: gate,
        };
        let mut response = match worked {
            Ok(document) => reply(&document),
            Err(problem) => failed(&problem),
        };
        response.extensions_mut().insert(Arc::new(execution));
        if let Some(in_hand) = in_hand {
            response.extensions_mut().insert(Arc::clone(in_hand));
        }
        response
    }

    /// The work itself: some thought, one side effect, some thought, an answer.
    async fn work(
        &self,
        task: &Task,
        owner: Option<&Context>,
        guard: &mut Option<OwnedRwLockReadGuard<()>>,
    ) -> Result<Document, String> {
        sleep(task.work / 2).await;
        if task.crash == Some(Moment::Before) {
            self.stand_still(task.intent).await;
        }
        if self.traffic.repeatable(task.intent) == Repeatable::Yes {
            *guard = Some(Arc::clone(&self.gate).read_owned().await);
        }
        if owner.is_some_and(|context| !context.is_owner()) {
            return Err("the lease ended before the side effect".to_owned());
        }
        let confirmation = self.record(task, owner).await?;
        if task.crash == Some(Moment::After) {
            self.stand_still(task.intent).await;
        }
        sleep(task.work / 2).await; // A crash may find the side effect done and nothing stored.
        let answer = self.traffic.answer(task.intent, &task.body, confirmation);
        answer.map_err(|error| format!("the payload: {error}"))
    }

    async fn record(&self, task: &Task, owner: Option<&Context>) -> Result<Confirmation, String> {
        let entry = Entry {
            reference: Traffic::reference(task.intent),
            client_reference: owner.map(Context::derived_key),
        };
        self.ledger.append(&entry).await.map_err(|error| error.to_string())
    }

    /// Waits to be killed, once no other work of this process is between a repeatable side effect
    /// and its complete: such work would run again, and rightly be called a duplicate.
    async fn stand_still(&self, intent: u32) -> Infallible {
        let _closed = self.gate.write().await;
        Event::Parked { intent }.tell();
        std::future::pending().await
    }
}

fn reply(document: &Document) -> Response {
    let mut response = Response::builder().status(document.status);
    for (name, value) in document.headers() {
        response = response.header(name, value);
    }
    let response = response.body(Body::from(document.body.clone()));
    response.unwrap_or_else(|_| failed("the answer is no HTTP reply"))
}

/// Nobody knows how far it came: behind the layer the key is in doubt.
fn failed(detail: &str) -> Response {
    let title = "The warehouse failed";
    let problem = serde_json::json!({ "type": FAILED, "title": title, "detail": detail });
    let mut response = Response::new(Body::from(problem.to_string()));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn micros(since: Instant) -> u64 {
    since.elapsed().as_micros() as u64
}
