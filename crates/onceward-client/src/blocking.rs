//! The client for callers without a runtime of their own (feature `blocking`).
//!
//! The work runs on the caller's thread, as a plain closure that may borrow; a runtime of the
//! client's own, one thread named `onceward-client` and shared by its clones, keeps the lease
//! meanwhile and moves bytes.
//!
//! ```
//! use onceward_client::{Executed, Fingerprint, Key, PayloadFingerprint as _, blocking};
//!
//! let client = blocking::Client::open("mem://orders")?;
//! let key = Key::new("8f14e45f")?.in_scope("customer-7")?;
//! let payload = r#"{"sku":"A-17","quantity":2}"#;
//!
//! let mut orders = Vec::new();
//! let first = client.execute(key.clone(), Fingerprint::of(payload), |run| {
//!     orders.push(run.derived_key());
//!     Ok::<_, std::io::Error>((201, "order 1"))
//! })?;
//! let Executed::Ran(first) = first else { panic!("nobody else asked") };
//!
//! // A retry does not run the work, and gets the same result.
//! let retry = client.execute(key, Fingerprint::of(payload), |_| {
//!     Err::<(), _>(std::io::Error::other("this is not run"))
//! })?;
//! let Executed::Replayed(replayed) = retry else { panic!("the work is done") };
//! assert_eq!(replayed.result, first.result);
//! assert_eq!(orders.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Within a runtime
//! A call from asynchronous code would stop the thread that the runtime needs. It panics and says
//! so: use [`crate::Client`] there. Threads that may block, such as those of
//! `tokio::task::spawn_blocking`, may call it. Opening and dropping are allowed everywhere.

mod context;
mod execution;
mod runtime;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use onceward_core::{
    Abandon, AbandonOutcome, Begin, BeginOutcome, CheckpointOutcome, Complete, CompleteOutcome,
    Fingerprint, Forget, ForgetOutcome, Get, GetOutcome, ListPage, ListQuery, Namespace, Renew,
    RenewOutcome, Resolve, ResolveOutcome, SaveCheckpoint, ScopedKey, ScopedKeyBuf, Stats,
};

use crate::batch::Each;
use crate::builder::ClientBuilder;
use crate::client::Pong;
use crate::error::{ClientError, OpenError};
use crate::figures::ClientStats;
use crate::outcome::{ExecuteError, Executed, ExecutionResult};
use crate::steps::{StepsDone, Stopped};
use crate::typed::{TypedDone, TypedError, TypedOutput};

pub use context::Context;
pub use execution::{Execution, TypedExecution};

use runtime::Runtime;

/// What a typed execution comes to: `T` is the value, `E` the work's own error.
pub type TypedAnswer<T, E> = Result<Executed<TypedDone<T>>, TypedError<T, E>>;

/// What a program of steps comes to: `T` is its value.
pub type StepsAnswer<T> = Result<Executed<StepsDone<T>>, TypedError<T, Stopped>>;

/// A store, embedded or remote, bound to one namespace, for callers that block.
///
/// What [`crate::Client`] says of retries holds here. Clones share one connection and one runtime;
/// dropping the last, contexts included, ends both without waiting, on any thread.
///
/// # Panics
/// Every operation does, if called from asynchronous code; see the [module](self).
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    // Dropped first: its connection may still write what is queued.
    client: crate::Client,
    runtime: Runtime,
}

impl Inner {
    #[track_caller]
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("blocking::Client").field(&self.inner.client).finish()
    }
}

impl Client {
    /// A client with default options; the URL is one of [`crate::Client::open`]'s.
    ///
    /// # Errors
    /// See [`OpenError`]. That a server is there shows on first use.
    pub fn open(url: &str) -> Result<Self, OpenError> {
        Self::builder(url).open_blocking()
    }

    /// The same with options; ends in [`ClientBuilder::open_blocking`].
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder::new(url)
    }

    /// A blocking client over another client's store, e.g. an embedded one or one of a test. The
    /// connection of a remote one belongs to the runtime that made it first, so leave that client to
    /// this one.
    ///
    /// # Errors
    /// [`OpenError::Runtime`] if the operating system gives no thread or no poll.
    pub fn over(client: crate::Client) -> Result<Self, OpenError> {
        let runtime =
            Runtime::start().map_err(|error| OpenError::Runtime { message: error.to_string() })?;
        Ok(Self { inner: Arc::new(Inner { client, runtime }) })
    }

    /// The namespace of every operation.
    #[must_use]
    pub fn namespace(&self) -> Namespace<'_> {
        self.inner.client.namespace()
    }

    /// The key for calls downstream on behalf of `key`; see [`derived_key`](crate::derived_key).
    #[must_use]
    pub fn derived_key<'k>(&'k self, key: impl Into<ScopedKey<'k>>) -> String {
        self.inner.client.derived_key(key)
    }

    /// Executions with settings of their own.
    #[must_use]
    pub fn execution(&self) -> Execution {
        Execution::new(Arc::clone(&self.inner))
    }

    /// Runs `work` on this thread unless the key's work is done, running or in doubt, with the
    /// defaults of [`crate::Execution`].
    ///
    /// # Errors
    /// See [`ExecuteError`].
    ///
    /// # Panics
    /// As [`Execution::execute`].
    #[track_caller]
    pub fn execute<W, T, E>(
        &self,
        key: impl Into<ScopedKeyBuf>,
        fingerprint: impl Into<Fingerprint>,
        work: W,
    ) -> Result<Executed, ExecuteError<E>>
    where
        W: FnOnce(Context) -> Result<T, E>,
        T: Into<ExecutionResult>,
    {
        self.execution().execute(key, fingerprint, work)
    }

    /// The same for work that gives back a value, stored as JSON; see
    /// [`crate::Client::execute_typed`].
    ///
    /// # Errors
    /// See [`TypedError`].
    ///
    /// # Panics
    /// As [`Execution::execute`].
    #[track_caller]
    pub fn execute_typed<W, O, E>(
        &self,
        key: impl Into<ScopedKeyBuf>,
        fingerprint: impl Into<Fingerprint>,
        work: W,
    ) -> TypedAnswer<O::Value, E>
    where
        W: FnOnce(Context) -> Result<O, E>,
        O: TypedOutput,
    {
        self.execution().execute_typed(key, fingerprint, work)
    }

    /// Asks whether the store is there.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn ping(&self) -> Result<Pong, ClientError> {
        self.inner.block_on(self.inner.client.ping())
    }

    /// Lists entries page by page. Needs the operate right.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn list(&self, query: &ListQuery) -> Result<ListPage, ClientError> {
        self.inner.block_on(self.inner.client.list(query))
    }

    /// [`crate::Client::begin_many`].
    ///
    /// # Errors
    /// As there.
    #[track_caller]
    pub fn begin_many(
        &self,
        items: &[(ScopedKey<'_>, Begin)],
    ) -> Result<Each<BeginOutcome<Bytes>>, ClientError> {
        self.inner.block_on(self.inner.client.begin_many(items))
    }

    /// [`crate::Client::complete_many`].
    ///
    /// # Errors
    /// As there.
    #[track_caller]
    pub fn complete_many(
        &self,
        items: &[(ScopedKey<'_>, Complete<'_>)],
    ) -> Result<Each<CompleteOutcome>, ClientError> {
        self.inner.block_on(self.inner.client.complete_many(items))
    }

    /// Figures of the whole store. Needs the operate right where it is remote.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn store_stats(&self) -> Result<Stats, ClientError> {
        self.inner.block_on(self.inner.client.store_stats())
    }

    /// What this client and its clones have done. No round trip.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.inner.client.stats()
    }
}

macro_rules! operations {
    ($($(#[doc = $doc:literal])+ $name:ident($request:ty) -> $outcome:ty;)+) => {
        impl Client {$(
            $(#[doc = $doc])+
            ///
            /// # Errors
            /// See [`ClientError`].
            #[track_caller]
            pub fn $name<'k>(
                &self,
                key: impl Into<ScopedKey<'k>>,
                request: &$request,
            ) -> Result<$outcome, ClientError> {
                self.inner.block_on(self.inner.client.$name(key, request))
            }
        )+}
    };
}

operations! {
    /// Asks to execute an identity once. Waits as long as the request says. Nobody renews for the
    /// caller; [`Client::execute`] does.
    begin(Begin) -> BeginOutcome<Bytes>;
    /// Looks without acting. Waits as long as the request says.
    get(Get) -> GetOutcome<Bytes>;
    /// Ends an acquisition with a result.
    complete(Complete<'_>) -> CompleteOutcome;
    /// Gives an acquisition up.
    abandon(Abandon) -> AbandonOutcome;
    /// Starts the lease anew. Count it from when this was called (S6).
    renew(Renew) -> RenewOutcome;
    /// Leaves bytes for a successor (S19).
    checkpoint(SaveCheckpoint<'_>) -> CheckpointOutcome;
    /// Ends a doubt. Needs the operate right.
    resolve(Resolve<'_>) -> ResolveOutcome;
    /// Makes an identity absent. Needs the operate right.
    forget(Forget) -> ForgetOutcome;
}
