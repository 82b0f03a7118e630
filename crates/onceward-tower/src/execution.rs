//! One run of the handler under a claim, and what becomes of its answer (H5, H6, H7).

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderValue, Request, Response, StatusCode, header, response};
use http_body::Body;
use onceward_claim::{Claim, Keeper, Lost, NotStored, store};
use onceward_core::{Backend, Certainty, ResultRef};
use onceward_http::{Disposition, Ending, Outcome, Problem};
use tower_service::Service;
use tracing::Span;

use crate::body::{Chunks, Collect, Collected, RequestBody, ResponseBody, Whole};
use crate::context::Context;
use crate::flow::{Answer, Failure, Late, rejected, with_outcome};
use crate::layer::Shared;
use crate::mark::NoSideEffect;
use crate::settle;

/// The body of a handler's answer, as far as it has been read.
enum Content<ResB: Body> {
    Whole(Whole),
    /// Not kept: over the bound, a stream of events, or another protocol from here on.
    Passing(Chunks, Pin<Box<ResB>>),
    Broken(Chunks, ResB::Error),
}

pub(crate) struct Execution<'a, B, ReqB> {
    shared: &'a Arc<Shared<B>>,
    claim: Arc<Claim<B>>,
    late: Option<Late<ReqB>>,
    /// Started when something is first waited for: an answer that is there at once needs no
    /// renewal, and no task. Stopped before the acquisition is ended.
    keeper: Option<Keeper>,
}

impl<'a, B, ReqB> Execution<'a, B, ReqB>
where
    B: Backend<Bytes = Bytes> + Clone + 'static,
    ReqB: Body<Data = Bytes>,
{
    pub(crate) const fn new(
        shared: &'a Arc<Shared<B>>,
        claim: Arc<Claim<B>>,
        late: Option<Late<ReqB>>,
    ) -> Self {
        Self { shared, claim, late, keeper: None }
    }

    pub(crate) async fn run<S, ResB>(
        mut self,
        mut service: S,
        mut request: Request<RequestBody<ReqB>>,
    ) -> Answer<ResB, S::Error>
    where
        S: Service<Request<RequestBody<ReqB>>, Response = Response<ResB>>,
        ResB: Body<Data = Bytes>,
    {
        Span::current().record("attempt_number", self.claim.acquired().attempt_number);
        request.extensions_mut().insert(Context::new(Arc::clone(&self.claim)));
        let handling = async move { service.call(request).await };
        match self.keeping(handling).await {
            Ok(Ok(response)) => self.answer(response).await,
            Ok(Err(error)) => {
                self.end_without_answer(Ending::Failed).await;
                Err(Failure::Error(error))
            }
            Err(panic) => {
                self.end_without_answer(Ending::Panicked).await;
                Err(Failure::Panic(panic))
            }
        }
    }

    /// Runs code of the application, catching its panics, with the lease kept.
    async fn keeping<F: Future>(&mut self, work: F) -> std::thread::Result<F::Output> {
        // The panic goes on once the identity is given up; what it leaves behind in the
        // application is the application's, as ever.
        let mut work = pin!(AssertUnwindSafe(work).catch_unwind());
        let (claim, keeper) = (&self.claim, &mut self.keeper);
        poll_fn(|context| {
            let polled = work.as_mut().poll(context);
            if polled.is_pending() && keeper.is_none() {
                *keeper = Some(Keeper::start(Arc::clone(claim)));
            }
            polled
        })
        .await
    }

    async fn answer<ResB, E>(mut self, response: Response<ResB>) -> Answer<ResB, E>
    where
        ResB: Body<Data = Bytes>,
    {
        let (parts, body) = response.into_parts();
        let no_side_effect = parts.extensions.get::<NoSideEffect>().is_some();
        let ending = Ending::Response { status: parts.status, no_side_effect };
        let disposition = self.shared.policy.disposition(&ending);
        if let Some(certainty) = certainty(disposition) {
            return Ok(match self.give_up(certainty).await {
                Ok(()) => fresh(parts, ResponseBody::untouched(body)),
                Err(problem) => rejected(self.shared, problem),
            });
        }
        let content = if is_endless(&parts) {
            Content::Passing(Chunks::default(), Box::pin(body))
        } else {
            let bytes_max = self.shared.policy.result_body_bytes_max();
            match self.keeping(Collect::new(body, bytes_max)).await {
                Ok(Collected::Whole(whole)) => Content::Whole(whole),
                Ok(Collected::Over(read, rest)) => Content::Passing(read, rest),
                Ok(Collected::Broken(read, error)) => Content::Broken(read, error),
                Err(panic) => {
                    self.end_without_answer(Ending::Truncated).await;
                    return Err(Failure::Panic(panic));
                }
            }
        };
        let settled = match &content {
            Content::Whole(whole) => {
                let head = self.shared.policy.keep(&parts);
                self.complete(head.result(Some(&whole.data))).await
            }
            Content::Passing(..) => {
                let head = self.shared.policy.keep(&parts);
                self.complete(head.result(None)).await
            }
            Content::Broken(..) => self.settle_without_answer(Ending::Truncated).await,
        };
        Ok(match settled {
            Ok(()) => fresh(parts, content.into_body()),
            Err(problem) => rejected(self.shared, problem),
        })
    }

    /// The handler's error or panic goes on in any case; why its end is not stored is logged.
    async fn end_without_answer(&mut self, ending: Ending) {
        let _ = self.settle_without_answer(ending).await;
    }

    /// Settles an execution that has no answer to keep: what retries get is a problem.
    async fn settle_without_answer(&mut self, ending: Ending) -> Result<(), Problem> {
        let disposition = self.shared.policy.disposition(&ending);
        if let Some(certainty) = certainty(disposition) {
            return self.give_up(certainty).await;
        }
        let problem = ending.problem().unwrap_or(Problem::HandlerFailed);
        let (parts, body) = self.shared.policy.respond(&problem).0.into_parts();
        let head = self.shared.policy.keep(&parts);
        self.complete(head.result(Some(&body))).await
    }

    async fn complete(&mut self, result: ResultRef<'_>) -> Result<(), Problem> {
        if !self.bind().await {
            // Without its digest a request cannot be completed (S9), nor is it undone.
            let key = self.claim.key_hash();
            tracing::warn!(%key, "the body broke off or is held: the result cannot be stored");
            self.give_up(Certainty::InDoubt).await?;
            return Err(Problem::LostOwnership);
        }
        self.keeper = None; // From here on the lease only runs out.
        match store(&self.claim, result, || ()).await {
            Ok(not_kept) => {
                self.shared.counters.completed(not_kept);
                Ok(())
            }
            Err(NotStored::Lost(why)) => {
                tracing::warn!(key = %self.claim.key_hash(), %why, "the handler ran but lost ownership");
                self.shared.counters.lost_ownership();
                Err(if why == Lost::Mismatch { Problem::Mismatch } else { Problem::LostOwnership })
            }
            Err(NotStored::Unanswered(error)) => {
                let key = self.claim.key_hash();
                tracing::warn!(%key, %error, "the handler ran but its result is not stored");
                self.shared.counters.not_stored();
                Err(self.shared.not_stored())
            }
        }
    }

    /// Sees to it that the digest of a streamed body is known; reads what the handler left unread.
    async fn bind(&mut self) -> bool {
        let Some(Late { digest, mut unread }) = self.late.take() else { return true };
        if digest.get().is_some() {
            return true;
        }
        // Not there: somebody still holds the body, or it broke off.
        let Ok(rest) = unread.try_recv() else { return false };
        let draining = rest.drain(self.shared.settings.unread_bytes_max);
        match self.keeping(draining).await {
            Ok(Some(known)) => {
                let _ = digest.set(known); // Set once: the body is here.
                true
            }
            Ok(None) | Err(_) => false,
        }
    }

    async fn give_up(&mut self, certainty: Certainty) -> Result<(), Problem> {
        self.keeper = None;
        self.shared.counters.gave_up(certainty);
        settle::abandon(self.shared, &self.claim, certainty).await
    }
}

/// `None`: it is kept.
const fn certainty(disposition: Disposition) -> Option<Certainty> {
    match disposition {
        Disposition::Keep => None,
        Disposition::NotDone => Some(Certainty::NotDone),
        Disposition::InDoubt => Some(Certainty::InDoubt),
    }
}

impl<ResB: Body<Data = Bytes>> Content<ResB> {
    fn into_body(self) -> ResponseBody<ResB> {
        match self {
            Self::Whole(whole) => ResponseBody::whole(whole),
            Self::Passing(read, rest) => ResponseBody::started(read, rest),
            Self::Broken(read, error) => ResponseBody::broken(read, error),
        }
    }
}

fn fresh<ResB: Body>(
    parts: response::Parts,
    body: ResponseBody<ResB>,
) -> Response<ResponseBody<ResB>> {
    with_outcome(Response::from_parts(parts, body), Outcome::Fresh)
}

/// Answers without an end in sight: completed as not kept before their first byte (S12).
fn is_endless(parts: &response::Parts) -> bool {
    let is_event_stream = |value: &HeaderValue| {
        let kind = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    };
    parts.status == StatusCode::SWITCHING_PROTOCOLS
        || parts.headers.get(header::CONTENT_TYPE).is_some_and(is_event_stream)
}
