//! One handle for every kind of store.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onceward::Store;
use onceward_core::{
    Abandon, AbandonOutcome, BadInput, Begin, BeginOutcome, CheckpointOutcome, Complete,
    CompleteOutcome, Fingerprint, Forget, ForgetOutcome, Get, GetOutcome, Identity, ListPage,
    ListQuery, Millis, Namespace, Renew, RenewOutcome, Resolve, ResolveOutcome, SaveCheckpoint,
    ScopedKey, ScopedKeyBuf, Stats,
};
use onceward_proto::Request;
use tokio::time::Instant;

use crate::builder::{ClientBuilder, Options};
use crate::context::Context;
use crate::embedded::Embedded;
use crate::error::{ClientError, OpenError};
use crate::execution::Execution;
use crate::figures::{ClientStats, Figure, Figures, OPERATION_SECONDS, Since};
use crate::flight::Flights;
use crate::outcome::{ExecuteError, Executed, ExecutionResult};
use crate::remote::{Gathers, Remote};
use crate::reply::Reply;
use crate::typed::{TypedDone, TypedError, TypedOutput};
use crate::url::{Address, Target};
use onceward_keys::derived_key;

/// A store, embedded or remote, bound to one namespace.
///
/// Clones share one connection, which is made on first use, multiplexed and made anew when lost;
/// dropping the last clone ends it. Runs on any tokio runtime with I/O and time enabled.
///
/// # Retries
/// An operation that gets no answer, because the connection was lost, timed out or could not be
/// made, or because the store said Unavailable, is repeated with pauses that grow, until its
/// deadline (connect timeout + request timeout + its own wait) or until the retries are used up.
/// Each repeat is the same request but for what is left of its wait: a begin keeps its attempt
/// id, a token operation its token, so the store takes it for the same call (S3). What a repeat
/// answers may differ from what the lost reply said, and means the same: AlreadyCompleted for
/// Completed; Fenced or Gone after an abandon, a resolve or a forget that was done.
///
/// Dropping an operation's future gives up its answer, not its effect. A wait ends then, at the
/// server too.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    namespace: String,
    store: Kind,
    flights: Arc<Flights>,
    figures: Arc<Figures>,
}

enum Kind {
    Embedded(Embedded),
    Remote(Box<Remote>),
}

/// What a ping tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Pong {
    /// From asking to answer.
    pub round_trip: Duration,
    /// Changes whenever the store may have lost its memory of keys.
    pub boot_epoch: u64,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.inner.store {
            Kind::Embedded(_) => "embedded",
            Kind::Remote(_) => "remote",
        };
        f.debug_struct("Client")
            .field("namespace", &self.inner.namespace)
            .field("store", &kind)
            .finish()
    }
}

impl Client {
    /// A client with default options for one of
    ///
    /// - `mem://` or `mem://NAMESPACE`: a store of its own in this process, with one thread that
    ///   ends its leases and waits,
    /// - `onceward://HOST[:PORT][/NAMESPACE]`: a server over TCP, port 7977 unless named,
    /// - `onceward+unix:///PATH[?namespace=NAME]`: a server over a Unix socket,
    ///   where the platform has them.
    ///
    /// The namespace is `default` unless named. A credential does not go into the URL but to
    /// [`ClientBuilder::credential`].
    ///
    /// # Errors
    /// See [`OpenError`]. That a server is there shows on first use.
    pub fn open(url: &str) -> Result<Self, OpenError> {
        Self::builder(url).open()
    }

    /// The same with options.
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder::new(url)
    }

    /// A client over a store of this process, made with the crate `onceward` of this version. Its
    /// owner ticks it (see [`onceward::Ticker`]), or waits and leases end only when something else
    /// happens. A `mem://` URL needs neither: [`Client::open`].
    ///
    /// # Errors
    /// As [`Namespace::new`].
    pub fn embedded(store: Store, namespace: &str) -> Result<Self, BadInput> {
        let namespace = Namespace::new(namespace)?.as_str().to_owned();
        Ok(Self::of(namespace, Kind::Embedded(Embedded::over(store))))
    }

    pub(crate) fn of_target(target: Target, options: Options) -> Result<Self, OpenError> {
        let Target { address, namespace } = target;
        let store = match address {
            Address::Memory => Kind::Embedded(Embedded::start()?),
            Address::Tcp { .. } | Address::Unix { .. } => {
                Kind::Remote(Box::new(Remote::new(address, namespace.clone(), options)))
            }
        };
        Ok(Self::of(namespace, store))
    }

    #[cfg(feature = "test-util")]
    pub(crate) fn of_remote(namespace: String, remote: Remote) -> Self {
        Self::of(namespace, Kind::Remote(Box::new(remote)))
    }

    fn of(namespace: String, store: Kind) -> Self {
        let figures = match &store {
            Kind::Embedded(_) => Figures::new(&namespace),
            Kind::Remote(remote) => Arc::clone(remote.figures()),
        };
        let flights = Arc::default();
        Self { inner: Arc::new(Inner { namespace, store, flights, figures }) }
    }

    /// The namespace of every operation.
    #[must_use]
    pub fn namespace(&self) -> Namespace<'_> {
        Namespace::new(&self.inner.namespace).expect("checked when it was set")
    }

    fn identity<'a>(&'a self, key: ScopedKey<'a>) -> Identity<'a> {
        key.within(self.namespace())
    }

    /// The key for calls downstream on behalf of `key`; see [`derived_key`].
    #[must_use]
    pub fn derived_key<'k>(&'k self, key: impl Into<ScopedKey<'k>>) -> String {
        derived_key(self.identity(key.into()))
    }

    /// Executions with settings of their own.
    #[must_use]
    pub fn execution(&self) -> Execution<Self> {
        let (flights, figures) = (&self.inner.flights, &self.inner.figures);
        Execution::new(self.clone(), Arc::clone(flights), Arc::clone(figures))
    }

    /// Runs `work` unless the key's work is done, running or in doubt, with the defaults of
    /// [`Execution`].
    ///
    /// # Errors
    /// See [`ExecuteError`].
    ///
    /// # Panics
    /// As [`Execution::execute`].
    pub async fn execute<W, F, T, E>(
        &self,
        key: impl Into<ScopedKeyBuf>,
        fingerprint: impl Into<Fingerprint>,
        work: W,
    ) -> Result<Executed, ExecuteError<E>>
    where
        W: FnOnce(Context<Self>) -> F,
        F: Future<Output = Result<T, E>>,
        T: Into<ExecutionResult>,
    {
        self.execution().execute(key, fingerprint, work).await
    }

    /// The same for a value, stored as JSON, with the defaults of [`Execution`].
    ///
    /// ```
    /// use onceward_client::{Client, Fingerprint, Key, PayloadFingerprint as _, Schema};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Order {
    ///     id: u64,
    /// }
    ///
    /// impl Schema for Order {
    ///     const TAG: &'static str = "order/1";
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::open("mem://orders")?;
    /// let key = Key::new("8f14e45f")?.in_scope("customer-7")?;
    /// let executed = client
    ///     .execute_typed(key, Fingerprint::of("payload"), |_| async {
    ///         Ok::<_, std::io::Error>(Order { id: 7 })
    ///     })
    ///     .await?;
    /// let done = executed.into_done().expect("nobody else asked");
    /// assert_eq!(done.value.id, 7);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`TypedError`].
    ///
    /// # Panics
    /// As [`Execution::execute`].
    pub async fn execute_typed<W, F, O, E>(
        &self,
        key: impl Into<ScopedKeyBuf>,
        fingerprint: impl Into<Fingerprint>,
        work: W,
    ) -> Result<Executed<TypedDone<O::Value>>, TypedError<O::Value, E>>
    where
        W: FnOnce(Context<Self>) -> F,
        F: Future<Output = Result<O, E>>,
        O: TypedOutput,
    {
        self.execution().execute_typed(key, fingerprint, work).await
    }

    /// Asks to execute an identity once. Waits as long as the request says.
    ///
    /// # Errors
    /// See [`ClientError`], here and below.
    pub async fn begin<'k>(
        &self,
        key: impl Into<ScopedKey<'k>>,
        request: &Begin,
    ) -> Result<BeginOutcome<Bytes>, ClientError> {
        let key = key.into();
        let asked = self.asked(Figure::Begins);
        let answer = match &self.inner.store {
            Kind::Embedded(embedded) => embedded.begin(self.identity(key), request).await,
            Kind::Remote(remote) => {
                let ask = |wait| Request::Begin { key, begin: Begin { wait, ..*request } };
                match remote.ask(request.wait, ask).await {
                    Ok(Reply::Begin(outcome)) => Ok(outcome),
                    other => Err(into_error(other)),
                }
            }
        };
        self.answered(Figure::Begins, asked, BeginOutcome::name, &answer);
        answer
    }

    /// Looks without acting. Waits as long as the request says.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get<'k>(
        &self,
        key: impl Into<ScopedKey<'k>>,
        request: &Get,
    ) -> Result<GetOutcome<Bytes>, ClientError> {
        let key = key.into();
        let asked = self.asked(Figure::Gets);
        let answer = match &self.inner.store {
            Kind::Embedded(embedded) => embedded.get(self.identity(key), request).await,
            Kind::Remote(remote) => {
                let ask = |wait| Request::Get { key, get: Get { wait } };
                match remote.ask(request.wait, ask).await {
                    Ok(Reply::Get(outcome)) => Ok(outcome),
                    other => Err(into_error(other)),
                }
            }
        };
        self.answered(Figure::Gets, asked, GetOutcome::name, &answer);
        answer
    }

    /// Asks whether the store is there.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ping(&self) -> Result<Pong, ClientError> {
        let asked = self.asked(Figure::Pings);
        let started = Instant::now();
        let boot_epoch = match &self.inner.store {
            Kind::Embedded(embedded) => Ok(embedded.store.boot_epoch()),
            Kind::Remote(remote) => match remote.ask(Millis::ZERO, |_| ping()).await {
                Ok(Reply::Pong { boot_epoch }) => Ok(boot_epoch),
                other => Err(into_error(other)),
            },
        };
        let answer =
            boot_epoch.map(|boot_epoch| Pong { round_trip: started.elapsed(), boot_epoch });
        self.answered(Figure::Pings, asked, |_| "pong", &answer);
        answer
    }

    /// Lists entries page by page. Needs the operate right.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn list(&self, query: &ListQuery) -> Result<ListPage, ClientError> {
        let asked = self.asked(Figure::Operator);
        let answer = match &self.inner.store {
            Kind::Embedded(embedded) => {
                embedded.store.list(self.namespace(), query).map_err(ClientError::from)
            }
            Kind::Remote(remote) => {
                match remote.ask(Millis::ZERO, |_| Request::List(*query)).await {
                    Ok(Reply::List(page)) => Ok(page),
                    other => Err(into_error(other)),
                }
            }
        };
        self.answered(Figure::Operator, asked, |_| "listed", &answer);
        answer
    }

    /// Figures of the whole store, not of this client. Needs the operate right where it is remote.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn store_stats(&self) -> Result<Stats, ClientError> {
        let asked = self.asked(Figure::Operator);
        let answer = match &self.inner.store {
            Kind::Embedded(embedded) => Ok(embedded.store.stats()),
            Kind::Remote(remote) => match remote.ask(Millis::ZERO, |_| Request::Stats).await {
                Ok(Reply::Stats(stats)) => Ok(*stats),
                other => Err(into_error(other)),
            },
        };
        self.answered(Figure::Operator, asked, |_| "figures", &answer);
        answer
    }

    /// What this client and its clones have done. No round trip; the store's own figures are
    /// [`Client::store_stats`].
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.inner.figures.stats()
    }

    /// Most requests in flight that the connection allows, as far as it is known.
    pub(crate) async fn in_flight_max(&self) -> usize {
        match &self.inner.store {
            Kind::Embedded(_) => usize::MAX,
            Kind::Remote(remote) => remote.in_flight_max().await,
        }
    }

    /// Has the requests of a batch go out together while what is given back is there.
    pub(crate) fn gather(&self) -> Option<Gathers<'_>> {
        match &self.inner.store {
            Kind::Embedded(_) => None,
            Kind::Remote(remote) => Some(remote.gather()),
        }
    }

    /// Counts an operation; [`Client::answered`] is told when. Two calls around the awaiting, and
    /// not one that is given the future: moving that would copy more than a kilobyte, twice.
    #[inline]
    fn asked(&self, figure: Figure) -> Since {
        self.inner.figures.add(figure);
        Since::now()
    }

    /// Counts how an operation ended, and tells those who trace it.
    #[inline]
    fn answered<T>(
        &self,
        figure: Figure,
        asked: Since,
        name: impl FnOnce(&T) -> &'static str,
        answer: &Result<T, ClientError>,
    ) {
        let figures = &self.inner.figures;
        let label @ (_, operation) = figure.metric().label.unwrap_or_default();
        figures.took(OPERATION_SECONDS, label, asked);
        match answer {
            Ok(outcome) => tracing::trace!(operation, outcome = name(outcome), "answered"),
            Err(error) => {
                figures.add(Figure::OperationErrors);
                tracing::debug!(operation, %error, "not answered");
            }
        }
    }
}

/// Why there is no outcome of the kind that was asked for.
#[cold]
fn into_error(answer: Result<Reply, ClientError>) -> ClientError {
    answer.map_or_else(|error| error, Reply::into_error)
}

const fn ping<'r>() -> Request<'r> {
    Request::Ping { echo: 0 }
}

macro_rules! operations {
    ($($(#[doc = $doc:literal])+ $name:ident($request:ty) -> $outcome:ty {
        $figure:ident, $store:ident, $variant:ident { $field:ident }, $reply:ident
    })+) => {
        impl Client {$(
            $(#[doc = $doc])+
            ///
            /// # Errors
            /// See [`ClientError`].
            pub async fn $name<'k>(
                &self,
                key: impl Into<ScopedKey<'k>>,
                request: &$request,
            ) -> Result<$outcome, ClientError> {
                let key = key.into();
                let asked = self.asked(Figure::$figure);
                let answer = match &self.inner.store {
                    Kind::Embedded(embedded) => {
                        let done = embedded.store.$store(self.identity(key), request);
                        done.map(|done| done.value).map_err(ClientError::from)
                    }
                    Kind::Remote(remote) => {
                        let ask = |_| Request::$variant { key, $field: *request };
                        match remote.ask(Millis::ZERO, ask).await {
                            Ok(Reply::$reply(outcome)) => Ok(outcome),
                            other => Err(into_error(other)),
                        }
                    }
                };
                self.answered(Figure::$figure, asked, |outcome| outcome.name(), &answer);
                answer
            }
        )+}
    };
}

operations! {
    /// Ends an acquisition with a result. One that no frame of the connection can carry goes
    /// without its body, as declined (S20).
    complete(Complete<'_>) -> CompleteOutcome { Completes, complete, Complete { complete }, Complete }
    /// Gives an acquisition up.
    abandon(Abandon) -> AbandonOutcome { Abandons, abandon, Abandon { abandon }, Abandon }
    /// Starts the lease anew. Count it from when this was called (S6).
    renew(Renew) -> RenewOutcome { Renewals, renew, Renew { renew }, Renew }
    /// Leaves bytes for a successor (S19).
    checkpoint(SaveCheckpoint<'_>) -> CheckpointOutcome { Checkpoints, checkpoint, Checkpoint { checkpoint }, Checkpoint }
    /// Ends a doubt. Needs the operate right.
    resolve(Resolve<'_>) -> ResolveOutcome { Operator, resolve, Resolve { resolve }, Resolve }
    /// Makes an identity absent. Needs the operate right.
    forget(Forget) -> ForgetOutcome { Operator, forget, Forget { forget }, Forget }
}
