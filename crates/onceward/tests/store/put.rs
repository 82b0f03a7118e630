//! Any operation, put to a store.

use onceward::{BeginOutcome, Identity, Refusal, Store, StoreError};
use onceward_testkit::{Operation, Outcome, Request};

/// Puts one operation to the store. The model knows one reason to refuse, so quota reads as
/// capacity.
pub(crate) fn put(store: &Store, identity: Identity<'_>, operation: &Operation) -> Outcome {
    let done = match operation.request() {
        Request::Begin(begin) => store
            .begin(identity, begin, |outcome| outcome.map(<[u8]>::to_vec))
            .map(|answer| Outcome::Begin(as_capacity(answer.value))),
        Request::Complete(complete) => {
            store.complete(identity, &complete).map(|answer| Outcome::Complete(answer.value))
        }
        Request::Renew(renew) => {
            store.renew(identity, renew).map(|answer| Outcome::Renew(answer.value))
        }
        Request::Abandon(abandon) => {
            store.abandon(identity, abandon).map(|answer| Outcome::Abandon(answer.value))
        }
        Request::Checkpoint(checkpoint) => {
            store.checkpoint(identity, &checkpoint).map(|answer| Outcome::Checkpoint(answer.value))
        }
        Request::Get(_) => store
            .get(identity, |outcome| outcome.map(<[u8]>::to_vec))
            .map(|answer| Outcome::Get(answer.value)),
        Request::Resolve(resolve) => {
            store.resolve(identity, &resolve).map(|answer| Outcome::Resolve(answer.value))
        }
        Request::Forget(forget) => {
            store.forget(identity, forget).map(|answer| Outcome::Forget(answer.value))
        }
    };
    match done {
        Ok(outcome) => outcome,
        Err(StoreError::BadInput(bad)) => Outcome::BadInput(bad),
        Err(other) => panic!("the store is open: {other}"),
    }
}

pub(crate) fn as_capacity(outcome: BeginOutcome<Vec<u8>>) -> BeginOutcome<Vec<u8>> {
    match outcome {
        BeginOutcome::Refused { reason: Refusal::Quota, retry_after } => {
            BeginOutcome::Refused { reason: Refusal::Capacity, retry_after }
        }
        other => other,
    }
}
