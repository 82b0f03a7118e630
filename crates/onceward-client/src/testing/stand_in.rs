//! Answers requests in a connection's place: what the script lets through, the store decides.

use std::sync::Arc;
use std::time::Duration;

use onceward_core::{BeginOutcome, CheckpointOutcome, Millis, Namespace, Refusal, ScopedKey};
use onceward_proto::Request;
use tokio::time::{Instant, sleep, timeout_at};

use super::outage::{Operation, Outage};
use super::script::Script;
use crate::embedded::Embedded;
use crate::error::ClientError;
use crate::reply::Reply;
use onceward_claim::after;

/// One for all clients of a test store.
pub(crate) struct StandIn {
    pub(crate) embedded: Embedded,
    pub(crate) script: Arc<Script>,
}

impl StandIn {
    /// One attempt, as over a connection: `request_timeout` beyond the wait at most, and a wait
    /// ends with its caller.
    pub(crate) async fn ask<'r>(
        &self,
        namespace: Namespace<'_>,
        wait_until: Instant,
        request_timeout: Duration,
        request: &impl Fn(Millis) -> Request<'r>,
    ) -> Result<Reply, ClientError> {
        let sent = Instant::now();
        let wait: Millis = wait_until.saturating_duration_since(sent).into();
        let answer_by = after(sent + request_timeout, wait);
        let request = request(wait);
        match timeout_at(answer_by, self.answer(namespace, &request)).await {
            Ok(reply) => reply,
            Err(_) => {
                let message = format!("no answer within {} ms", (answer_by - sent).as_millis());
                Err(ClientError::Unavailable { message })
            }
        }
    }

    async fn answer(
        &self,
        namespace: Namespace<'_>,
        request: &Request<'_>,
    ) -> Result<Reply, ClientError> {
        let operation = Operation::of(request);
        let (outage, place) = self.script.next(operation, key_of(request));
        if let Some(outage @ (Outage::RequestLost | Outage::Unavailable)) = outage {
            return Err(scripted(outage));
        }
        let refused = match outage {
            Some(Outage::Refused { retry_after }) => refusal(operation, retry_after),
            _ => None,
        };
        let reply = match refused {
            Some(reply) => Ok(reply),
            None => self.perform(namespace, request).await,
        };
        self.script.ended(place, word_of(&reply));
        match outage {
            Some(outage @ Outage::ReplyLost) => Err(scripted(outage)),
            Some(Outage::Slow(by)) => {
                sleep(by).await;
                reply
            }
            _ => reply,
        }
    }

    async fn perform(
        &self,
        namespace: Namespace<'_>,
        request: &Request<'_>,
    ) -> Result<Reply, ClientError> {
        let Self { embedded, .. } = self;
        let store = &embedded.store;
        Ok(match request {
            Request::Ping { .. } => Reply::Pong { boot_epoch: store.boot_epoch() },
            Request::Begin { key, begin } => {
                Reply::Begin(embedded.begin(key.within(namespace), begin).await?)
            }
            Request::Get { key, get } => {
                Reply::Get(embedded.get(key.within(namespace), get).await?)
            }
            Request::Complete { key, complete } => {
                Reply::Complete(store.complete(key.within(namespace), complete)?.value)
            }
            Request::Abandon { key, abandon } => {
                Reply::Abandon(store.abandon(key.within(namespace), abandon)?.value)
            }
            Request::Renew { key, renew } => {
                Reply::Renew(store.renew(key.within(namespace), renew)?.value)
            }
            Request::Checkpoint { key, checkpoint } => {
                Reply::Checkpoint(store.checkpoint(key.within(namespace), checkpoint)?.value)
            }
            Request::Resolve { key, resolve } => {
                Reply::Resolve(store.resolve(key.within(namespace), resolve)?.value)
            }
            Request::Forget { key, forget } => {
                Reply::Forget(store.forget(key.within(namespace), forget)?.value)
            }
            Request::List(query) => Reply::List(store.list(namespace, query)?),
            Request::Stats => Reply::Stats(Box::new(store.stats())),
        })
    }
}

fn scripted(outage: Outage) -> ClientError {
    ClientError::unavailable(format!("scripted outage: {outage}"))
}

fn refusal(operation: Operation, retry_after: Option<Millis>) -> Option<Reply> {
    let reason = Refusal::Capacity;
    match operation {
        Operation::Begin => Some(Reply::Begin(BeginOutcome::Refused { reason, retry_after })),
        Operation::Checkpoint => Some(Reply::Checkpoint(CheckpointOutcome::Refused { reason })),
        _ => None, // The script refuses no other operation.
    }
}

const fn key_of<'r>(request: &Request<'r>) -> Option<ScopedKey<'r>> {
    match request {
        Request::Begin { key, .. }
        | Request::Complete { key, .. }
        | Request::Abandon { key, .. }
        | Request::Renew { key, .. }
        | Request::Checkpoint { key, .. }
        | Request::Get { key, .. }
        | Request::Resolve { key, .. }
        | Request::Forget { key, .. } => Some(*key),
        Request::Ping { .. } | Request::List(_) | Request::Stats => None,
    }
}

fn word_of(reply: &Result<Reply, ClientError>) -> &'static str {
    match reply {
        Ok(Reply::Pong { .. }) => "pong",
        Ok(Reply::Begin(outcome)) => outcome.name(),
        Ok(Reply::Complete(outcome)) => outcome.name(),
        Ok(Reply::Abandon(outcome)) => outcome.name(),
        Ok(Reply::Renew(outcome)) => outcome.name(),
        Ok(Reply::Checkpoint(outcome)) => outcome.name(),
        Ok(Reply::Get(outcome)) => outcome.name(),
        Ok(Reply::Resolve(outcome)) => outcome.name(),
        Ok(Reply::Forget(outcome)) => outcome.name(),
        Ok(Reply::List(_)) => "listed",
        Ok(Reply::Stats(_)) => "told",
        Err(ClientError::BadInput { .. }) => "bad input",
        Ok(Reply::Error(_)) | Err(_) => "error",
    }
}
