//! The embeddable idempotency store: run the work once per key, answer every retry with the
//! first result.
//!
//! It keeps one promise: one owner per lease, at most one accepted result per key, no live key
//! dropped. It spans this process's life; what survives a restart is the daemon's journal's
//! matter. A fence protects the store, not a side effect already fired: hand it on.
//!
//! ```
//! use std::sync::Arc;
//! use onceward::{BootClock, Store, StoreConfig, Ticker};
//! use onceward::{AttemptId, Begin, BeginOutcome, Complete, Fingerprint, Identity, ResultRef};
//!
//! let store = Store::new(StoreConfig::default(), Arc::new(BootClock::new()))?;
//! let _ticker = Ticker::start(&store)?;
//! let order = Identity::new("orders", b"customer-7", b"8f14e45f")?;
//!
//! // The first request runs the work, under an attempt id of 16 random bytes ...
//! let first = Begin::new(Fingerprint::None, AttemptId::from_bytes([1; 16]));
//! let token = store.begin(order, &first, |outcome| match outcome {
//!     BeginOutcome::Acquired(acquired) => Some(acquired.token),
//!     _ => None,
//! })?.value.expect("nobody else asked");
//! let result = ResultRef::of(201, b"order 1");
//! store.complete(order, &Complete { token, result, fingerprint: None })?;
//!
//! // ... and its retry gets the result, borrowed from the store.
//! let retry = Begin::new(Fingerprint::None, AttemptId::from_bytes([2; 16]));
//! let replayed = store.begin(order, &retry, |outcome| match outcome {
//!     BeginOutcome::Replay(replay) => replay.result == result,
//!     _ => false,
//! })?;
//! assert!(replayed.value);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Inside, the engine looks at an entry, lets `onceward-core` decide, and commits to the version
//! it looked at (see the private modules `engine` and `storage`); whoever waits is judged under a
//! lock of its own identity (`waits`). There is no runtime here, and `unsafe` in one file, which
//! gets memory from the operating system (`segments::mapping`).
#![deny(unsafe_code)]
#![cfg_attr(plain, expect(dead_code, reason = "the plain storage needs less than there is"))]

mod answer;
mod attempts;
mod budget;
mod clock;
mod compact_key;
mod config;
mod counters;
mod deadline;
mod engine;
mod facts;
mod hash_key;
mod hashed;
mod journaled;
mod namespaces;
#[cfg(any(plain, test))]
mod plain;
#[doc(hidden)]
pub mod planted;
mod restored;
mod result_copy;
mod segments;
mod storage;
mod store;
mod ticker;
mod ticket;
mod unfinished;
mod waits;
#[cfg(any(plain, test))]
mod wheel;

pub use answer::{Answer, StoreError, Waitable};
pub use clock::BootClock;
pub use config::{
    Durability, FENCE_FLOOR_MAX, MEMORY_BYTES_MIN, NamespaceConfig, SET_ASIDE_BYTES_MAX,
    SHARDS_MAX, StartError, StoreConfig,
};
pub use facts::{Event, Fact, FactLog, Halted, LogCounts, SetAside};
pub use onceward_core::*;
pub use restored::{Restored, RestoredState};
pub use result_copy::ResultBody;
pub use store::{Batch, Prepared, RestoreError, Store};
pub use ticker::Ticker;
pub use ticket::{BeginTicket, GetTicket};
