//! Requests to a guarded handler, and what a caller sees of the answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use onceward_client::Client;
use onceward_tower::{Idempotency, IdempotencyLayer, Outcome, RequestBody, ResponseBody};
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _};

pub(crate) type Handling = Request<RequestBody<Body>>;
pub(crate) type Error = &'static str;
pub(crate) type Handler = BoxCloneSyncService<Handling, Response<Body>, Error>;
pub(crate) type Guarded = Idempotency<Handler, Client>;

/// How often a handler has begun.
#[derive(Clone, Default)]
pub(crate) struct Runs(Arc<AtomicUsize>);

impl Runs {
    pub(crate) fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A handler as a service whose type has a name.
pub(crate) fn handler<F>(handle: impl Fn(Handling) -> F + Clone + Send + Sync + 'static) -> Handler
where
    F: Future<Output = Result<Response<Body>, Error>> + Send + 'static,
{
    BoxCloneSyncService::new(tower::service_fn(handle))
}

/// A handler that answers 201 with its number.
pub(crate) fn counting(runs: &Runs) -> Handler {
    let runs = runs.clone();
    handler(move |_| {
        let number = runs.add();
        async move { Ok(answer(201, format!("order {number}"))) }
    })
}

pub(crate) fn guard(layer: &IdempotencyLayer<Client>, handler: Handler) -> Guarded {
    layer.layer(handler)
}

pub(crate) fn answer(status: u16, body: impl Into<Body>) -> Response<Body> {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer
}

pub(crate) fn post(key: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post("/orders").header("idempotency-key", key);
    request.body(body.into()).expect("a request")
}

/// An answer as a caller sees it, and what the layer says about it.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) outcome: Option<Outcome>,
}

impl Reply {
    /// The end of a problem's `type`.
    pub(crate) fn problem(&self) -> Option<String> {
        let is_problem = self.headers.get("content-type")? == "application/problem+json";
        let document: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        let kind = document["type"].as_str()?.rsplit(':').next()?.to_owned();
        is_problem.then_some(kind)
    }

    /// Status and problem, or status and body.
    pub(crate) fn shown(&self) -> (u16, String) {
        let body = || String::from_utf8_lossy(&self.body).into_owned();
        (self.status, self.problem().unwrap_or_else(body))
    }
}

pub(crate) async fn read<B>(response: Response<B>) -> Reply
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    let outcome = parts.extensions.get().copied();
    Reply { status: parts.status.as_u16(), headers: parts.headers, body, outcome }
}

/// One request, read to its end.
pub(crate) async fn send(service: &Guarded, request: Request<Body>) -> Reply {
    read(call(service, request).await.expect("an answer")).await
}

/// What the layer gives a server.
pub(crate) type Answered = Result<Response<ResponseBody<Body>>, Error>;

pub(crate) fn call(
    service: &Guarded,
    request: Request<Body>,
) -> impl Future<Output = Answered> + Send + 'static + use<> {
    service.clone().oneshot(request)
}
