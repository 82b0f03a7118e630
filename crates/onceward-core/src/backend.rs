//! The port: what middleware, doors and helpers know of a store, embedded or remote.

use core::future::Future;

use crate::error::BackendError;
use crate::identity::{Namespace, ScopedKey};
use crate::operator::{ListPage, ListQuery, Stats};
use crate::outcome::{
    AbandonOutcome, BeginOutcome, CheckpointOutcome, CompleteOutcome, ForgetOutcome, GetOutcome,
    RenewOutcome, ResolveOutcome,
};
use crate::request::{Abandon, Begin, Complete, Forget, Get, Renew, Resolve, SaveCheckpoint};

/// A store bound to one namespace. Each operation is one attempt: retries, with the same attempt
/// id or token, are the implementor's or the caller's documented choice.
///
/// Dropping a future gives up the answer, not the effect: the operation may still happen.
pub trait Backend: Send + Sync {
    /// How results are handed out.
    type Bytes: AsRef<[u8]> + Send + Sync + 'static;

    /// The namespace of every operation: a part of each key's identity.
    fn namespace(&self) -> Namespace<'_>;

    /// Asks to execute an identity once.
    fn begin(
        &self,
        key: ScopedKey<'_>,
        request: &Begin,
    ) -> impl Future<Output = Result<BeginOutcome<Self::Bytes>, BackendError>> + Send;

    /// Ends an acquisition with a result.
    fn complete(
        &self,
        key: ScopedKey<'_>,
        request: &Complete<'_>,
    ) -> impl Future<Output = Result<CompleteOutcome, BackendError>> + Send;

    /// Gives an acquisition up.
    fn abandon(
        &self,
        key: ScopedKey<'_>,
        request: &Abandon,
    ) -> impl Future<Output = Result<AbandonOutcome, BackendError>> + Send;

    /// Starts the lease anew.
    fn renew(
        &self,
        key: ScopedKey<'_>,
        request: &Renew,
    ) -> impl Future<Output = Result<RenewOutcome, BackendError>> + Send;

    /// Leaves bytes for a successor.
    fn checkpoint(
        &self,
        key: ScopedKey<'_>,
        request: &SaveCheckpoint<'_>,
    ) -> impl Future<Output = Result<CheckpointOutcome, BackendError>> + Send;

    /// Looks without acting.
    fn get(
        &self,
        key: ScopedKey<'_>,
        request: &Get,
    ) -> impl Future<Output = Result<GetOutcome<Self::Bytes>, BackendError>> + Send;

    /// Ends a doubt. Needs the operate right.
    fn resolve(
        &self,
        key: ScopedKey<'_>,
        request: &Resolve<'_>,
    ) -> impl Future<Output = Result<ResolveOutcome, BackendError>> + Send;

    /// Makes an identity absent. Needs the operate right.
    fn forget(
        &self,
        key: ScopedKey<'_>,
        request: &Forget,
    ) -> impl Future<Output = Result<ForgetOutcome, BackendError>> + Send;

    /// Lists entries page by page. Needs the operate right.
    fn list(
        &self,
        query: &ListQuery,
    ) -> impl Future<Output = Result<ListPage, BackendError>> + Send;

    /// Figures of the whole store.
    fn stats(&self) -> impl Future<Output = Result<Stats, BackendError>> + Send;
}
