//! Runs work once per key, and answers every retry with the first result.
//!
//! One URL chooses the store, one API serves all: `mem://` in this process,
//! `onceward://host:port/namespace` over TCP, `onceward+unix:///path?namespace=name` over a Unix
//! socket.
//!
//! ```
//! use onceward_client::{Client, Executed, Fingerprint, Key, PayloadFingerprint as _};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::open("mem://orders")?;
//! let payload = r#"{"sku":"A-17","quantity":2}"#;
//! let key = Key::new("8f14e45f")?.in_scope("customer-7")?;
//!
//! // The first request runs the work ...
//! let first = client
//!     .execute(&key, Fingerprint::of(payload), |run| async move {
//!         // ... and hands this key to any system downstream that takes one.
//!         let _downstream_key = run.derived_key();
//!         Ok::<_, std::io::Error>((201, "order 1"))
//!     })
//!     .await?;
//! let Executed::Ran(first) = first else { panic!("nobody else asked") };
//!
//! // ... its retry does not, and gets the same result.
//! let retry = client
//!     .execute(&key, Fingerprint::of(payload), |_| async {
//!         Err::<(), _>(std::io::Error::other("this is not run"))
//!     })
//!     .await?;
//! let Executed::Replayed(replayed) = retry else { panic!("the work is done") };
//! assert_eq!(replayed.result, first.result);
//!
//! // The same key with another payload is refused.
//! let other = client
//!     .execute(key, Fingerprint::of("something else"), |_| async {
//!         Ok::<_, std::io::Error>(())
//!     })
//!     .await?;
//! assert_eq!(other, Executed::Mismatch);
//! # Ok(())
//! # }
//! ```
//!
//! A [`Key`] is generated, taken from the caller, or derived from what is intended, and gets a scope
//! before it is used; [`PayloadFingerprint`] makes fingerprints of bytes, of JSON and of fields.
//! [`Client::execute`] is the main road; [`Execution`] has its settings and says what happens to
//! work that errs, panics, is dropped, loses its lease or finds the store unavailable. The single
//! operations are methods of [`Client`], and its `Backend` is the port that middleware knows.
//! [`Client::execute_typed`] stores a value instead of bytes, as JSON unless another [`Codec`] is
//! chosen, and a [`Schema`] tag with it, so that no retry misreads what an older version stored.
//! [`Client::execute_steps`] is for several side effects under one key: a successor goes on after the
//! last that is recorded, and a failure undoes them; `docs/steps.md` is its guide.
//! What a fence does not protect is a side effect already fired: hand
//! [`Context::derived_key`] or [`Context::fence`] on.
//!
//! Callers without a runtime use the client in the module `blocking`. A team's own tests use the
//! store in `testing`, whose time they move and whose failures they script.
//!
//! # Features
//! None is on unless asked for.
//!
//! | feature | adds |
//! |---|---|
//! | `blocking` | the module `blocking`: the same client for threads |
//! | `messagepack` | the [`Codec`] `MessagePack` |
//! | `bincode` | the [`Codec`] `Bincode`, over a crate that is no longer maintained: prefer another |
//! | `metrics` | what [`Client::stats`] counts, and durations, through the `metrics` facade |
//! | `test-util` | the module `testing`. For `[dev-dependencies]`; it turns on tokio's own |
//!
//! # Platforms
//! Tested on Linux; built, not tested, for `x86_64-pc-windows-gnu`, where `onceward+unix://` is an
//! [`OpenError`]; declared, neither built nor tested, for macOS.

mod backend;
mod batch;
#[cfg(feature = "blocking")]
pub mod blocking;
mod builder;
mod call;
mod calls;
mod client;
mod codec;
mod connection;
mod context;
mod dial;
mod embedded;
mod error;
mod execution;
mod figures;
mod flight;
mod outcome;
mod output;
mod reading;
mod remote;
mod reply;
mod run;
mod schema;
mod steps;
#[cfg(feature = "test-util")]
pub mod testing;
mod typed;
mod unfinished;
mod url;
mod work_error;

pub use batch::{BATCH_ITEMS_MAX, Each};
pub use builder::ClientBuilder;
pub use client::{Client, Pong};
#[cfg(feature = "bincode")]
pub use codec::Bincode;
#[cfg(feature = "messagepack")]
pub use codec::MessagePack;
pub use codec::{CODEC_ID_BYTES_MAX, Codec, CodecError, Json};
pub use context::{CheckpointError, Context};
pub use error::{ClientError, OpenError};
pub use execution::{Execution, OnFailure};
pub use figures::ClientStats;
pub use outcome::{Done, ExecuteError, Executed, ExecutionResult};
pub use reading::{CODEC_METADATA, ReadError, SCHEMA_METADATA};
pub use schema::{SCHEMA_TAG_BYTES_MAX, Schema};
pub use steps::{
    FAILED_STEP, FAILURE_MESSAGE, FAILURE_MESSAGE_BYTES_MAX, LEDGER_BYTES_MAX, LEDGER_VERSION,
    NextCall, Run, STEP_NAME_BYTES_MAX, Step, StepContext, StepError, StepFailure, StepRetry,
    StepSource, StepsDone, Stopped, TerminalFailure, compensation_key, step_key,
};
pub use typed::{TypedDone, TypedError, TypedExecution, TypedOutput, TypedResult};
pub use url::PORT_DEFAULT;
pub use work_error::WorkError;

pub use onceward_keys::{
    DeriveError, FieldsError, FingerprintFields, JsonFingerprintError, Key, KeyDerivation,
    PayloadFingerprint, attempt_id, derived_key,
};

// The words of the API's own signatures, so that a service needs this crate alone.
pub use onceward_claim::Lost;
pub use onceward_core::{
    Abandon, AbandonOutcome, Acquired, AttemptId, Backend, BackendError, BadInput, Begin,
    BeginOutcome, Body, Certainty, CheckpointOutcome, Checkpointed, Complete, CompleteOutcome,
    Completed, Digest, Fence, Fingerprint, Forget, ForgetOutcome, Get, GetOutcome, Identity,
    IdentityBuf, Limits, ListEntry, ListPage, ListQuery, Metadata, MetadataBuf, MetadataPairs,
    Millis, Namespace, NotKept, PageCursor, Policy, Refusal, Renew, RenewOutcome, Replay, Resolve,
    ResolveOutcome, ResultRef, SaveCheckpoint, ScopedKey, ScopedKeyBuf, StateName, Stats, StatsRow,
    StoredResult, Token, TokenParseError, Verdict, limits,
};

/// The examples of the guide for those who come from Redis.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/replacing-set-nx-and-lua.md")]
struct ReplacingSetNxAndLua;

/// The README's examples, as they stand there. Here because this crate may use the store as well.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The guide to steps, likewise.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/steps.md")]
struct StepsGuide;
