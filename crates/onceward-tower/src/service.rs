//! The service that stands before the guarded one.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use onceward_core::Backend;
use onceward_http::{Admission, Problem};
use tower_service::Service;

use crate::body::{RequestBody, ResponseBody};
use crate::context;
use crate::future::ResponseFuture;
use crate::layer::Shared;

/// Guards a service; made by [`IdempotencyLayer`](crate::IdempotencyLayer).
///
/// Bodies carry [`Bytes`]. Must be called within a tokio runtime with time enabled. The guarded service is called once its
/// key is owned, which may be some time after `poll_ready` said that it is ready: what a layer
/// inside reserves there, such as a permit, is held meanwhile.
#[derive(Debug)]
pub struct Idempotency<S, B> {
    inner: S,
    shared: Arc<Shared<B>>,
}

impl<S, B> Idempotency<S, B> {
    pub(crate) const fn new(inner: S, shared: Arc<Shared<B>>) -> Self {
        Self { inner, shared }
    }

    /// The guarded service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The guarded service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The guarded service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, B> Clone for Idempotency<S, B> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S, B, ReqB, ResB> Service<Request<ReqB>> for Idempotency<S, B>
where
    S: Service<Request<RequestBody<ReqB>>, Response = Response<ResB>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Backend<Bytes = Bytes> + Clone + 'static,
    ReqB: Body<Data = Bytes> + Send + 'static,
    ReqB::Error: Send,
    ResB: Body<Data = Bytes> + Send + 'static,
    ResB::Error: Send,
{
    type Response = Response<ResponseBody<ResB>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, ReqB, ResB>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let (parts, body) = request.into_parts();
        if parts.extensions.get::<context::Context>().is_some() {
            // The outer one holds the key: the inner one would wait for it in vain.
            tracing::error!("two layers guard one request: take one of them away");
            return ResponseFuture::rejected(&self.shared, Problem::Misconfigured);
        }
        match self.shared.policy.admit(&parts) {
            Admission::Bypass => {
                let request = Request::from_parts(parts, RequestBody::untouched(body));
                ResponseFuture::bypassed(self.inner.call(request))
            }
            Admission::Reject(problem) => ResponseFuture::rejected(&self.shared, problem),
            Admission::Guard(key) => {
                // The one that is ready goes with the request, its clone stays.
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                ResponseFuture::guarded(Arc::clone(&self.shared), ready, key, parts, body)
            }
        }
    }
}
