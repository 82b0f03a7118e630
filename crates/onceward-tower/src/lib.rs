//! Idempotency for tower services: one execution per key, its answer for every retry.
//!
//! [`IdempotencyLayer`] stands before a service, asks a store who may run, and stores what the
//! handler answered before its first byte is sent. What it decides by is [`HttpPolicy`]; what it
//! asks is any [`Backend`](onceward_core::Backend), such as `onceward_client::Client`, embedded or
//! remote.
//!
//! ```
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use bytes::Bytes;
//! use onceward_client::Client;
//! use onceward_tower::{Context, IdempotencyLayer, Outcome, RequestBody};
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Client::open("mem://orders")?;
//! let orders = ServiceBuilder::new()
//!     .layer(IdempotencyLayer::new(store).global())
//!     .service(service_fn(async |request: Request<RequestBody<Full<Bytes>>>| {
//!         let run = request.extensions().get::<Context>().expect("the request is guarded");
//!         Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(run.derived_key()))))
//!     }));
//!
//! let order = || {
//!     let request = Request::post("/orders").header("idempotency-key", "8f14e45f");
//!     request.body(Full::new(Bytes::from_static(b"1 x A-17"))).unwrap()
//! };
//! let first = orders.clone().oneshot(order()).await?;
//! let again = orders.oneshot(order()).await?;
//! assert_eq!(first.extensions().get(), Some(&Outcome::Fresh));
//! assert_eq!(again.extensions().get(), Some(&Outcome::Replayed));
//! # Ok(())
//! # }
//! ```
//!
//! `docs/axum.md` is the guide: ten lines, the order of layers, streaming, hang-ups.
//!
//! # Promise
//! One owner per lease, at most one stored answer per key. A fence protects the store, not a side
//! effect already fired (S18): hand [`Context::fence`] or [`Context::derived_key`] downstream.

mod attempt;
#[cfg(feature = "axum")]
pub mod axum;
mod body;
mod context;
mod detached;
mod execution;
mod flow;
pub mod future;
mod layer;
mod mark;
mod service;
mod settle;
mod stats;

pub use body::{RequestBody, ResponseBody};
pub use context::{CheckpointError, Context};
pub use layer::{BEGIN_PATIENCE, IdempotencyLayer, IdempotencyLayerBuilder, UNREAD_BYTES_MAX};
pub use mark::NoSideEffect;
pub use onceward_claim::Lost;
pub use onceward_http::{
    Ambiguous, Audit, FingerprintPolicy, HeaderPolicy, HttpPolicy, Outcome, Preset, Scope,
    StoredAnswer,
};
pub use service::Idempotency;
pub use stats::LayerStats;

/// The guide's code compiles and runs.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../../../docs/axum.md")]
struct AxumGuide;
