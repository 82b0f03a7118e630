//! The client as a `Backend`, the port that middleware knows.

use bytes::Bytes;
use onceward_core::{
    Abandon, AbandonOutcome, Backend, BackendError, Begin, BeginOutcome, CheckpointOutcome,
    Complete, CompleteOutcome, Forget, ForgetOutcome, Get, GetOutcome, ListPage, ListQuery,
    Namespace, Renew, RenewOutcome, Resolve, ResolveOutcome, SaveCheckpoint, ScopedKey, Stats,
};

use crate::client::Client;

/// With the retries that [`Client`] describes.
impl Backend for Client {
    type Bytes = Bytes;

    fn namespace(&self) -> Namespace<'_> {
        Self::namespace(self)
    }

    async fn begin(
        &self,
        key: ScopedKey<'_>,
        request: &Begin,
    ) -> Result<BeginOutcome<Bytes>, BackendError> {
        Ok(Self::begin(self, key, request).await?)
    }

    async fn complete(
        &self,
        key: ScopedKey<'_>,
        request: &Complete<'_>,
    ) -> Result<CompleteOutcome, BackendError> {
        Ok(Self::complete(self, key, request).await?)
    }

    async fn abandon(
        &self,
        key: ScopedKey<'_>,
        request: &Abandon,
    ) -> Result<AbandonOutcome, BackendError> {
        Ok(Self::abandon(self, key, request).await?)
    }

    async fn renew(
        &self,
        key: ScopedKey<'_>,
        request: &Renew,
    ) -> Result<RenewOutcome, BackendError> {
        Ok(Self::renew(self, key, request).await?)
    }

    async fn checkpoint(
        &self,
        key: ScopedKey<'_>,
        request: &SaveCheckpoint<'_>,
    ) -> Result<CheckpointOutcome, BackendError> {
        Ok(Self::checkpoint(self, key, request).await?)
    }

    async fn get(
        &self,
        key: ScopedKey<'_>,
        request: &Get,
    ) -> Result<GetOutcome<Bytes>, BackendError> {
        Ok(Self::get(self, key, request).await?)
    }

    async fn resolve(
        &self,
        key: ScopedKey<'_>,
        request: &Resolve<'_>,
    ) -> Result<ResolveOutcome, BackendError> {
        Ok(Self::resolve(self, key, request).await?)
    }

    async fn forget(
        &self,
        key: ScopedKey<'_>,
        request: &Forget,
    ) -> Result<ForgetOutcome, BackendError> {
        Ok(Self::forget(self, key, request).await?)
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage, BackendError> {
        Ok(Self::list(self, query).await?)
    }

    async fn stats(&self) -> Result<Stats, BackendError> {
        Ok(Self::store_stats(self).await?)
    }
}
