//! A guarded request from its begin to its answer, detached from the connection (H6).
//!
//! ```text
//!   begin ──owned──▶ handler ──▶ its body, up to a bound ──▶ complete or abandon ──▶ response
//!     └──any other answer──▶ replay or problem
//! ```
//! Invariants:
//! 1. The handler runs only between an Acquired and the one operation that ends it, or where the
//!    policy fails open.
//! 2. No byte of the handler's answer leaves before that operation has been answered.
//! 3. Nothing here ends with the connection: dropping the response future drops no part of this.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response, request};
use http_body::Body;
use onceward_claim::{LateDigest, surely_not_done};
use onceward_core::{Backend, BeginOutcome, Certainty, Fingerprint, ScopedKeyBuf};
use onceward_http::{Outcome, Problem, Step};
use onceward_keys::ShortHash;
use tokio::sync::oneshot;
use tower_service::Service;
use tracing::{Instrument as _, Span};

use crate::attempt::{Begun, acquire};
use crate::body::{RequestBody, ResponseBody, Rest, Streamed, Whole};
use crate::execution::Execution;
use crate::layer::Shared;
use crate::settle;

/// What the flow of a request ends with.
pub(crate) type Answer<ResB, E> = Result<Response<ResponseBody<ResB>>, Failure<E>>;

/// The handler's own way of not answering, handed on as without the layer.
pub(crate) enum Failure<E> {
    Error(E),
    Panic(Box<dyn Any + Send>),
}

/// A guarded request whose body has been read as far as it is to be.
pub(crate) struct Exchange<S, B, ReqB> {
    pub(crate) shared: Arc<Shared<B>>,
    /// Ready, as its `poll_ready` said.
    pub(crate) service: S,
    pub(crate) key: ScopedKeyBuf,
    pub(crate) parts: request::Parts,
    pub(crate) payload: Payload<ReqB>,
}

/// The body, and what stands for it.
pub(crate) enum Payload<ReqB> {
    Whole(Whole, Fingerprint),
    Streamed(Rest<ReqB>),
}

/// Of a streamed body: its digest, once there is one, and what the handler leaves unread.
pub(crate) struct Late<ReqB> {
    pub(crate) digest: LateDigest,
    pub(crate) unread: oneshot::Receiver<Rest<ReqB>>,
}

/// A flow, on the heap: it is to be moved into a task.
///
/// What an answer to a retry does not need is boxed apart inside of it, for a future is copied as a
/// whole when it is boxed: with all in one, of 5.7 KiB, a replay took 0.1 µs more.
pub(crate) type Flow<ResB, E> = Pin<Box<dyn Future<Output = Answer<ResB, E>> + Send>>;

/// The whole flow, in a span of its own: the key as a short hash (S16), how it ended, and the number
/// of the attempt if the handler ran.
pub(crate) fn run<S, B, ReqB, ResB>(exchange: Exchange<S, B, ReqB>) -> Flow<ResB, S::Error>
where
    S: Service<Request<RequestBody<ReqB>>, Response = Response<ResB>> + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Backend<Bytes = Bytes> + Clone + 'static,
    ReqB: Body<Data = Bytes> + Send + 'static,
    ReqB::Error: Send,
    ResB: Body<Data = Bytes> + Send + 'static,
    ResB::Error: Send,
{
    let span = tracing::debug_span!(
        "guarded_request",
        key = %ShortHash(exchange.key.as_ref()),
        outcome = tracing::field::Empty,
        attempt_number = tracing::field::Empty,
    );
    if span.is_disabled() {
        return Box::pin(answer(exchange));
    }
    let flow = async move {
        let answer = answer(exchange).await;
        Span::current().record("outcome", name(&answer));
        answer
    };
    Box::pin(flow.instrument(span))
}

fn name<ResB: Body, E>(answer: &Answer<ResB, E>) -> &'static str {
    match answer {
        Ok(response) => match response.extensions().get() {
            Some(Outcome::Rejected(problem)) => problem,
            Some(outcome) => outcome.name(),
            None => "",
        },
        Err(Failure::Error(_)) => "error",
        Err(Failure::Panic(_)) => "panic",
    }
}

async fn answer<S, B, ReqB, ResB>(exchange: Exchange<S, B, ReqB>) -> Answer<ResB, S::Error>
where
    S: Service<Request<RequestBody<ReqB>>, Response = Response<ResB>>,
    B: Backend<Bytes = Bytes> + Clone + 'static,
    ReqB: Body<Data = Bytes>,
    ResB: Body<Data = Bytes>,
{
    let Exchange { shared, service, key, parts, payload } = exchange;
    let (fingerprint, body, late) = match payload {
        Payload::Whole(whole, fingerprint) => (fingerprint, RequestBody::buffered(whole), None),
        Payload::Streamed(rest) => {
            let digest = LateDigest::default();
            let (streamed, unread) = Streamed::new(rest, Arc::clone(&digest));
            let late = Some(Late { digest, unread });
            (Fingerprint::Later, RequestBody::streamed(streamed), late)
        }
    };
    let digest = late.as_ref().map(|late| &late.digest);
    let step = match acquire(&shared, &key, fingerprint, digest).await {
        Begun::Owned(claim) => {
            let request = Request::from_parts(parts, body);
            return Box::pin(Execution::new(&shared, claim, late).run(service, request)).await;
        }
        Begun::Answered(outcome) => shared.answer(&key, outcome),
        Begun::Unanswered(error) => {
            tracing::warn!(key = %ShortHash(key.as_ref()), %error, "a begin got no answer");
            shared.policy.answer_error(&error)
        }
    };
    match step {
        Step::Respond(response, outcome) => Ok(respond(response, outcome)),
        Step::RunUnguarded => {
            Box::pin(run_unguarded(service, Request::from_parts(parts, body))).await
        }
        Step::NeedFingerprint if late.is_some() => {
            drop(body); // Nothing is read yet: all of it comes back.
            let unread = late.and_then(|mut late| late.unread.try_recv().ok());
            Ok(Box::pin(told_by_digest(&shared, &key, unread)).await)
        }
        // Whoever may run, or must begin anew, has been told apart before.
        Step::Run(_) | Step::BeginAnew | Step::NeedFingerprint => {
            Ok(rejected(&shared, shared.unavailable()))
        }
    }
}

impl<B> Shared<B> {
    /// What to do after a begin that may not run.
    fn answer(&self, key: &ScopedKeyBuf, outcome: BeginOutcome<Bytes>) -> Step {
        self.counters.answered(&outcome);
        self.policy.answer(key.as_ref(), outcome)
    }

    pub(crate) fn unavailable(&self) -> Problem {
        Problem::Unavailable { retry_after: self.policy.unavailable_retry_after() }
    }

    pub(crate) fn not_stored(&self) -> Problem {
        Problem::ResultNotStored { retry_after: self.policy.unavailable_retry_after() }
    }
}

/// The identity is bound (S9): reads the body for its digest alone and begins with that.
async fn told_by_digest<B, ReqB, ResB>(
    shared: &Arc<Shared<B>>,
    key: &ScopedKeyBuf,
    unread: Option<Rest<ReqB>>,
) -> Response<ResponseBody<ResB>>
where
    B: Backend<Bytes = Bytes> + Clone + 'static,
    ReqB: Body<Data = Bytes>,
    ResB: Body,
{
    let unread_bytes_max = shared.settings.unread_bytes_max;
    let digest = match unread {
        Some(unread) => unread.drain(unread_bytes_max).await,
        None => None,
    };
    let Some(digest) = digest else {
        let max = usize::try_from(unread_bytes_max).unwrap_or(usize::MAX);
        return rejected(shared, Problem::BodyTooLarge { max });
    };
    let step = match acquire(shared, key, Fingerprint::Digest(digest), None).await {
        // The identity became free meanwhile, and the body is read away: the next try has it.
        Begun::Owned(claim) => {
            if surely_not_done(claim.acquired()) {
                // Whatever it answers: nothing ran here.
                let _ = settle::abandon(shared, &claim, Certainty::NotDone).await;
            }
            return rejected(shared, shared.unavailable());
        }
        Begun::Answered(outcome) => shared.answer(key, outcome),
        Begun::Unanswered(error) => shared.policy.answer_error(&error),
    };
    match step {
        Step::Respond(response, outcome) => respond(response, outcome),
        // There is no body left to run with.
        Step::RunUnguarded | Step::Run(_) | Step::BeginAnew | Step::NeedFingerprint => {
            rejected(shared, shared.unavailable())
        }
    }
}

/// Runs the handler without a guard, as the policy chose for a store that cannot answer (H3).
async fn run_unguarded<S, ReqB, ResB>(
    mut service: S,
    request: Request<RequestBody<ReqB>>,
) -> Answer<ResB, S::Error>
where
    S: Service<Request<RequestBody<ReqB>>, Response = Response<ResB>>,
    ResB: Body,
{
    tracing::warn!("the store cannot answer: running without a guard");
    let handling = async move { service.call(request).await };
    match AssertUnwindSafe(handling).catch_unwind().await {
        Ok(Ok(response)) => {
            Ok(with_outcome(response.map(ResponseBody::untouched), Outcome::Bypassed))
        }
        Ok(Err(error)) => Err(Failure::Error(error)),
        Err(panic) => Err(Failure::Panic(panic)),
    }
}

fn respond<ResB: Body>(
    response: Response<Bytes>,
    outcome: Outcome,
) -> Response<ResponseBody<ResB>> {
    with_outcome(response.map(ResponseBody::from), outcome)
}

pub(crate) fn rejected<B, ResB: Body>(
    shared: &Shared<B>,
    problem: Problem,
) -> Response<ResponseBody<ResB>> {
    let (response, outcome) = shared.policy.respond(&problem);
    respond(response, outcome)
}

pub(crate) fn with_outcome<T>(mut response: Response<T>, outcome: Outcome) -> Response<T> {
    response.extensions_mut().insert(outcome);
    response
}
