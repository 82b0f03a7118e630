//! The response to come.

use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, request};
use http_body::Body;
use onceward_core::{Backend, ScopedKeyBuf};
use onceward_http::{Outcome, Problem};
use pin_project_lite::pin_project;
use tokio::sync::oneshot;
use tower_service::Service;
use tracing::Instrument as _;

use crate::body::{Collect, Collected, RequestBody, ResponseBody, Rest};
use crate::flow::{self, Answer, Exchange, Failure, Payload, rejected, with_outcome};
use crate::layer::Shared;
use crate::mark::NoSideEffect;

pin_project! {
    /// The response of [`Idempotency`](crate::Idempotency).
    ///
    /// Dropping it before the request's body has been read begins nothing. Dropping it later, when
    /// a client hangs up, ends neither the handler nor what follows it (H6).
    pub struct ResponseFuture<S, B, ReqB, ResB>
    where
        S: Service<Request<RequestBody<ReqB>>>,
        ResB: Body,
    {
        #[pin]
        phase: Phase<S, B, ReqB, ResB>,
    }
}

pin_project! {
    #[project = PhaseProjection]
    enum Phase<S, B, ReqB, ResB>
    where
        S: Service<Request<RequestBody<ReqB>>>,
        ResB: Body,
    {
        Bypassed { #[pin] future: S::Future },
        Rejected { response: Option<Response<ResponseBody<ResB>>> },
        /// Attached to the connection.
        Reading { body: Collect<ReqB>, guarded: Option<Guarded<S, B>> },
        /// Detached from it.
        Running { answer: oneshot::Receiver<Answer<ResB, S::Error>>, shared: Arc<Shared<B>> },
    }
}

/// A guarded request but for its body.
struct Guarded<S, B> {
    shared: Arc<Shared<B>>,
    service: S,
    key: ScopedKeyBuf,
    parts: request::Parts,
}

impl<S, B, ReqB, ResB> ResponseFuture<S, B, ReqB, ResB>
where
    S: Service<Request<RequestBody<ReqB>>>,
    ReqB: Body<Data = Bytes>,
    ResB: Body,
{
    pub(crate) const fn bypassed(future: S::Future) -> Self {
        Self { phase: Phase::Bypassed { future } }
    }

    pub(crate) fn rejected(shared: &Shared<B>, problem: Problem) -> Self {
        let mut response = rejected(shared, problem);
        response.extensions_mut().insert(NoSideEffect); // For a layer outside: nothing has run.
        Self { phase: Phase::Rejected { response: Some(response) } }
    }

    pub(crate) fn guarded(
        shared: Arc<Shared<B>>,
        service: S,
        key: ScopedKeyBuf,
        parts: request::Parts,
        body: ReqB,
    ) -> Self {
        let body = Collect::new(body, shared.policy.request_body_bytes_max());
        let guarded = Some(Guarded { shared, service, key, parts });
        Self { phase: Phase::Reading { body, guarded } }
    }
}

impl<S, B> Guarded<S, B> {
    /// The request with its body, or why it is not begun.
    fn with_body<ReqB: Body<Data = Bytes>>(
        self,
        body: Collected<ReqB>,
    ) -> Result<Exchange<S, B, ReqB>, Problem> {
        let Self { shared, service, key, parts } = self;
        let payload = match body {
            Collected::Whole(whole) => {
                let fingerprint = shared.policy.fingerprint().of(&parts, &whole.data)?;
                Payload::Whole(whole, fingerprint)
            }
            Collected::Over(read, body) => {
                let streams = shared.settings.streams;
                let fingerprint = shared.policy.fingerprint().streamed(&parts);
                let max = shared.policy.request_body_bytes_max();
                let fingerprint = fingerprint.filter(|_| streams);
                let fingerprint = fingerprint.ok_or(Problem::BodyTooLarge { max })?;
                Payload::Streamed(Rest::new(read, body, fingerprint))
            }
            Collected::Broken(..) => return Err(Problem::BodyUnreadable),
        };
        Ok(Exchange { shared, service, key, parts, payload })
    }
}

impl<S, B, ReqB, ResB> Future for ResponseFuture<S, B, ReqB, ResB>
where
    S: Service<Request<RequestBody<ReqB>>, Response = Response<ResB>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Backend<Bytes = Bytes> + Clone + 'static,
    ReqB: Body<Data = Bytes> + Send + 'static,
    ReqB::Error: Send,
    ResB: Body<Data = Bytes> + Send + 'static,
    ResB::Error: Send,
{
    type Output = Result<Response<ResponseBody<ResB>>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut phase = self.project().phase;
        loop {
            match phase.as_mut().project() {
                PhaseProjection::Bypassed { future } => {
                    let response = ready!(future.poll(context))?.map(ResponseBody::untouched);
                    return Poll::Ready(Ok(with_outcome(response, Outcome::Bypassed)));
                }
                PhaseProjection::Rejected { response } => {
                    return Poll::Ready(Ok(response.take().expect("polled after it was ready")));
                }
                PhaseProjection::Reading { body, guarded } => {
                    let body = ready!(Pin::new(body).poll(context));
                    let guarded = guarded.take().expect("polled after it was ready");
                    let shared = Arc::clone(&guarded.shared);
                    let exchange = match guarded.with_body(body) {
                        Ok(exchange) => exchange,
                        Err(problem) => return Poll::Ready(Ok(rejected(&shared, problem))),
                    };
                    let mut flow = flow::run(exchange);
                    // An answer that is there at once costs no task. Whatever waits for something
                    // does so in a task, from its first wait on.
                    if let Poll::Ready(answer) = flow.as_mut().poll(context) {
                        return Poll::Ready(hand_on(answer));
                    }
                    let (sender, answer) = oneshot::channel();
                    let (running, counters) =
                        (shared.detached.enter(), Arc::clone(&shared.counters));
                    let detached = async move {
                        if sender.send(flow.await).is_err() {
                            counters.hung_up();
                        }
                        drop(running);
                    };
                    tokio::spawn(detached.in_current_span());
                    phase.set(Phase::Running { answer, shared });
                }
                PhaseProjection::Running { answer, shared } => {
                    return Poll::Ready(match ready!(Pin::new(answer).poll(context)) {
                        Ok(answer) => hand_on(answer),
                        // The runtime is shutting down, or the store's client panicked: the lease
                        // decides.
                        Err(_) => Ok(rejected(shared, shared.not_stored())),
                    });
                }
            }
        }
    }
}

/// A panic goes on to whoever would have met it without the layer.
fn hand_on<ResB: Body, E>(answer: Answer<ResB, E>) -> Result<Response<ResponseBody<ResB>>, E> {
    match answer {
        Ok(response) => Ok(response),
        Err(Failure::Error(error)) => Err(error),
        Err(Failure::Panic(panic)) => resume_unwind(panic),
    }
}

impl<S, B, ReqB, ResB> fmt::Debug for ResponseFuture<S, B, ReqB, ResB>
where
    S: Service<Request<RequestBody<ReqB>>>,
    ResB: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.phase {
            Phase::Bypassed { .. } => "ResponseFuture(bypassed)",
            Phase::Rejected { .. } => "ResponseFuture(rejected)",
            Phase::Reading { .. } => "ResponseFuture(reading)",
            Phase::Running { .. } => "ResponseFuture(running)",
        })
    }
}
