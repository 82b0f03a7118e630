//! The warehouse service: a process of its own that takes orders over HTTP, with Onceward or
//! without, and is killed now and then.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use clap::Args;
use onceward_client::{
    Client, Context, ExecuteError, Executed, Execution, ExecutionResult, Fingerprint, OnFailure,
    PayloadFingerprint as _, Policy, ScopedKeyBuf,
};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{OwnedRwLockReadGuard, RwLock, watch};
use tokio::time::sleep;

use super::document::{Document, REPLAYED};
use super::event::{Event, Hex};
use super::http::{CRASH, INTENT, KEY, REFUSAL, Refusal, WORK_US};
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
    onceward: Option<Onceward>,
    /// Held for reading from a repeatable side effect until its complete, and for writing while
    /// the process is about to be killed.
    gate: Arc<RwLock<()>>,
    /// Requests taken whose work has not ended, hung-up ones included.
    in_hand: watch::Sender<u32>,
}

struct Onceward {
    client: Client,
    scope: String,
    break_keys: bool,
}

/// Serves until stdin ends, then answers what it has in hand.
pub(super) async fn run(args: ServiceArgs) -> Result<(), DemoError> {
    let onceward = match &args.store {
        Some(url) => Some(Onceward {
            client: open_client(url)?,
            scope: args.scope,
            break_keys: args.break_keys,
        }),
        None => None,
    };
    let service = Arc::new(Service {
        traffic: Traffic::open(args.traffic.as_deref(), args.seed)?,
        ledger: LedgerClient::new(args.ledger),
        onceward,
        gate: Arc::default(),
        in_hand: watch::Sender::new(0),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(DemoError::io)?;
    let address = listener.local_addr().map_err(DemoError::io)?;
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true); // Only slower without.
    });
    let app = match service.traffic {
        Traffic::Generated { .. } => Router::new()
            .route("/orders", post(handle))
            .route("/shipments", post(handle))
            .route("/inventory", post(handle)),
        // Whatever was called when it was recorded.
        Traffic::Recorded { .. } => Router::new().fallback(handle),
    };
    let app = app.with_state(Arc::clone(&service));
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

/// What a request says of itself.
struct Task {
    intent: u32,
    key: String,
    work: Duration,
    crash: Option<Moment>,
    method: String,
    path: String,
    body: Bytes,
}

impl Task {
    fn new(parts: &axum::http::request::Parts, body: Bytes) -> Option<Self> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        Some(Self {
            intent: header(&parts.headers, INTENT)?,
            key: unquoted(&header::<String>(&parts.headers, KEY)?).to_owned(),
            work: Duration::from_micros(header(&parts.headers, WORK_US)?),
            crash: header::<String>(&parts.headers, CRASH).and_then(|m| Moment::from_name(&m)),
            method: parts.method.to_string(),
            path: path.to_owned(),
            body,
        })
    }

    /// What makes two requests the same request (H2).
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_fields()
            .field("method", &self.method)
            .field("path", &self.path)
            .field("body", &self.body)
            .finish()
            .expect("three fields, within the limit of a body")
    }
}

fn header<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// `"abc"` and `abc` are one key (H1).
fn unquoted(key: &str) -> &str {
    key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key)
}

async fn handle(State(service): State<Arc<Service>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, REQUEST_BYTES_MAX).await else {
        return refuse(Refusal::Unavailable, "the request's body did not arrive");
    };
    let Some(task) = Task::new(&parts, body) else {
        return refuse(Refusal::Unavailable, "a header that the demonstration sends is missing");
    };
    // A caller that hangs up cancels its connection, not the work (H6).
    let working = tokio::spawn(async move { service.serve(task).await });
    working.await.unwrap_or_else(|_| refuse(Refusal::Unavailable, "the work panicked"))
}

/// A reply, and how long it took if it is a replay that did not wait.
type Served = (Response, Option<u64>);

impl Service {
    async fn serve(&self, task: Task) -> Response {
        let intent = task.intent;
        self.in_hand.send_modify(|requests| *requests += 1);
        Event::Asked { intent }.tell();
        let (reply, replay_us) = match &self.onceward {
            None => (self.serve_plainly(&task).await, None),
            Some(onceward) => self.serve_once(onceward, &task).await,
        };
        Event::Answered { intent, replay_us }.tell();
        self.in_hand.send_modify(|requests| *requests -= 1);
        reply
    }

    /// Executes whatever is asked.
    async fn serve_plainly(&self, task: &Task) -> Response {
        Event::Began { intent: task.intent, attempt: 1, begin_us: None }.tell();
        let mut guard = None;
        let worked = self.work(task, None, &mut guard).await;
        let digest = None; // Two executions differ, and nobody claims otherwise.
        Event::Ended { intent: task.intent, attempt: 1, complete_us: None, digest }.tell();
        match worked {
            Ok(document) => reply(&document, false),
            Err(problem) => refuse(Refusal::Unavailable, &problem),
        }
    }

    /// Executes what was not executed yet, and answers the rest with what is stored.
    async fn serve_once(&self, onceward: &Onceward, task: &Task) -> Served {
        let intent = task.intent;
        let key = if onceward.break_keys {
            format!("{}-{}", task.key, rand::random::<u64>())
        } else {
            task.key.clone()
        };
        let Ok(key) = ScopedKeyBuf::new(&onceward.scope, key) else {
            return (refuse(Refusal::Unavailable, "the key is none"), None);
        };
        let repeatable = self.traffic.repeatable(intent);
        let execution = onceward.execution(repeatable);
        let mut guard = None;
        // Attempt number, and when its work ended.
        let mut ran = None;
        let asked = Instant::now();
        let (held, told) = (&mut guard, &mut ran);
        let work = move |context: Context| async move {
            let attempt = context.attempt_number();
            // An owner out of a takeover waited for a lease to end: no measure of begin.
            let begin_us = (attempt == 1).then(|| micros(asked));
            Event::Began { intent, attempt, begin_us }.tell();
            let worked = self.work(task, Some(&context), held).await;
            *told = Some((attempt, Instant::now()));
            let result = worked?.to_result().map_err(|bad| bad.to_string())?;
            Ok::<ExecutionResult, String>(result)
        };
        let executed = execution.execute(key, task.fingerprint(), work).await;
        if let Some((attempt, ended)) = ran {
            let stored = match &executed {
                Ok(Executed::Ran(done)) => Some(Document::from_result(&done.result)),
                Ok(_) | Err(_) => None,
            };
            let complete_us = stored.is_some().then(|| micros(ended));
            let digest = stored.map(|document| Hex(document.digest()));
            Event::Ended { intent, attempt, complete_us, digest }.tell();
        }
        drop(guard); // Only now may this process be killed again.
        answer(executed, asked)
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

impl Onceward {
    fn execution(&self, repeatable: Repeatable) -> Execution {
        let policy = match repeatable {
            Repeatable::Yes => Policy::Takeover,
            Repeatable::No => Policy::InDoubt,
        };
        // Work errs where the ledger gave no clear answer: the row may be there or not.
        let execution = self.client.execution().policy(policy).on_failure(OnFailure::InDoubt);
        execution.lease(LEASE).wait(WAIT)
    }
}

fn answer(executed: Result<Executed, ExecuteError<String>>, asked: Instant) -> Served {
    let (refusal, problem) = match executed {
        Ok(Executed::Ran(done)) => {
            return (reply(&Document::from_result(&done.result), false), None);
        }
        Ok(Executed::Replayed(done)) => {
            let took = asked.elapsed();
            // Stored before it was asked for: the reply did not wait for another owner.
            let at_once = done.age.as_duration() >= took;
            let replay_us = at_once.then_some(took.as_micros() as u64);
            return (reply(&Document::from_result(&done.result), true), replay_us);
        }
        Ok(Executed::InProgress { .. }) => (Refusal::InProgress, "another request runs".to_owned()),
        Ok(Executed::InDoubt { .. }) => {
            (Refusal::InDoubt, "an earlier request may have been executed".to_owned())
        }
        Ok(Executed::Mismatch) => {
            (Refusal::Mismatch, "the key belongs to another payload".to_owned())
        }
        Ok(other) => (Refusal::Unavailable, format!("the store answers {}", other.name())),
        Err(error) => (Refusal::Unavailable, error.to_string()),
    };
    (refuse(refusal, &problem), None)
}

fn reply(document: &Document, replayed: bool) -> Response {
    let mut response = Response::builder().status(document.status);
    for (name, value) in document.headers() {
        response = response.header(name, value);
    }
    if replayed {
        response = response.header(REPLAYED, "true");
    }
    let response = response.body(Body::from(document.body.clone()));
    response.unwrap_or_else(|_| refuse(Refusal::Unavailable, "the answer is no HTTP reply"))
}

fn refuse(refusal: Refusal, detail: &str) -> Response {
    let problem = serde_json::json!({
        "type": refusal.name(),
        "status": refusal.status(),
        "detail": detail,
    });
    Response::builder()
        .status(refusal.status())
        .header("content-type", "application/problem+json")
        .header("retry-after", "1")
        .header(REFUSAL, refusal.name())
        .body(Body::from(problem.to_string()))
        .expect("every part is written out")
}

fn micros(since: Instant) -> u64 {
    since.elapsed().as_micros() as u64
}
