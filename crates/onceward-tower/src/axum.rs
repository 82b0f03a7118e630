//! For axum: the context as an extractor, and rejections before the handler as "not done".

use std::fmt;

use axum_core::extract::{FromRequest, FromRequestParts, OptionalFromRequestParts, Request};
use axum_core::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use http::{StatusCode, request};

use crate::context::Context;
use crate::mark::NoSideEffect;

/// A handler that takes a [`Context`] runs guarded or not at all: 500 without the layer, and for a
/// request without a key where none is required. `Option<Context>` takes those too.
impl<S: Sync> FromRequestParts<S> for Context {
    type Rejection = NotGuarded;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, NotGuarded> {
        parts.extensions.get().cloned().ok_or(NotGuarded)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Context {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut request::Parts,
        _: &S,
    ) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get().cloned())
    }
}

/// The request is not guarded, and the handler asked for its [`Context`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NotGuarded;

impl fmt::Display for NotGuarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the request is not guarded: put IdempotencyLayer around the route and require a key, or take Option<Context>",
        )
    }
}

impl std::error::Error for NotGuarded {}

impl IntoResponse for NotGuarded {
    fn into_response(self) -> Response {
        tracing::error!("{self}");
        (StatusCode::INTERNAL_SERVER_ERROR, NoSideEffect, "this request is not guarded")
            .into_response()
    }
}

/// Runs the extractor `E`. If it refuses the request, its answer carries the mark
/// [`NoSideEffect`]: the handler did not begin, so the key may be used again for a request that is
/// put right (H5).
///
/// ```
/// # use axum::{Json, Router, http::StatusCode, routing::post};
/// # use onceward_tower::axum::Started;
/// # #[derive(serde::Deserialize)]
/// # struct Order { sku: String }
/// async fn create_order(Started(Json(order)): Started<Json<Order>>) -> (StatusCode, String) {
///     (StatusCode::CREATED, order.sku)
/// }
/// # let _: Router = Router::new().route("/orders", post(create_order));
/// ```
///
/// Without it the answer of [`Json`](https://docs.rs/axum/latest/axum/struct.Json.html) to a body
/// that does not parse is a 4xx like any other, and is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Started<E>(pub E);

impl<S: Sync, E: FromRequest<S>> FromRequest<S> for Started<E> {
    type Rejection = NotStarted<E::Rejection>;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        E::from_request(request, state).await.map(Self).map_err(NotStarted)
    }
}

impl<S: Sync, E: FromRequestParts<S>> FromRequestParts<S> for Started<E> {
    type Rejection = NotStarted<E::Rejection>;

    async fn from_request_parts(
        parts: &mut request::Parts,
        state: &S,
    ) -> Result<Self, Self::Rejection> {
        E::from_request_parts(parts, state).await.map(Self).map_err(NotStarted)
    }
}

/// A rejection before the handler began.
#[derive(Clone, Copy, Debug)]
pub struct NotStarted<R>(pub R);

impl<R: IntoResponse> IntoResponse for NotStarted<R> {
    fn into_response(self) -> Response {
        (NoSideEffect, self.0).into_response()
    }
}

/// `(NoSideEffect, StatusCode::BAD_REQUEST, "…")` is an answer with the mark.
impl IntoResponseParts for NoSideEffect {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}
