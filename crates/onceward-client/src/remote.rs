//! A store over one connection at a time: connects on use, reconnects, repeats what got no answer.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use onceward_claim::Backoff;
use onceward_core::{Millis, Namespace};
use onceward_proto::Request;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::builder::Options;
use crate::connection::{Connection, Terms};
use crate::dial::{Introduction, dial};
use crate::error::ClientError;
use crate::figures::{Figure, Figures};
use crate::reply::Reply;
#[cfg(feature = "test-util")]
use crate::testing::StandIn;
use crate::url::Address;

pub(crate) struct Remote {
    address: Address,
    namespace: String,
    options: Options,
    current: Mutex<Option<Arc<Connection>>>,
    /// Held while connecting, so that one caller connects for all.
    dialing: tokio::sync::Mutex<Dialing>,
    /// How often connecting has failed: a caller that waited for `dialing` meanwhile shares the
    /// failure instead of trying at once again.
    failures: AtomicU64,
    /// How many batches are being asked, see [`Remote::gather`].
    batches: AtomicUsize,
    figures: Arc<Figures>,
    /// Answers in a connection's place, in a service's own tests.
    #[cfg(feature = "test-util")]
    stand_in: Option<Arc<StandIn>>,
}

/// Of one operation.
struct Repeats {
    pauses: Backoff,
    retries: u32,
}

/// See [`Remote::gather`].
pub(crate) struct Gathers<'r>(&'r Remote);

impl Drop for Gathers<'_> {
    fn drop(&mut self) {
        self.0.batches.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Dialing {
    pauses: Backoff,
    not_before: Instant,
    failure: Option<ClientError>,
}

impl Remote {
    pub(crate) fn new(address: Address, namespace: String, options: Options) -> Self {
        let dialing = Dialing {
            pauses: Backoff::new(options.pause_min, options.pause_max),
            not_before: Instant::now(),
            failure: None,
        };
        Self {
            address,
            figures: Figures::new(&namespace),
            namespace,
            options,
            current: Mutex::new(None),
            dialing: tokio::sync::Mutex::new(dialing),
            failures: AtomicU64::new(0),
            batches: AtomicUsize::new(0),
            #[cfg(feature = "test-util")]
            stand_in: None,
        }
    }

    /// Asks `stand_in` wherever another would ask a connection: deadlines and retries are the same.
    #[cfg(feature = "test-util")]
    pub(crate) fn over(stand_in: Arc<StandIn>, namespace: String, options: Options) -> Self {
        let mut remote = Self::new(Address::Memory, namespace, options);
        remote.stand_in = Some(stand_in);
        remote
    }

    pub(crate) const fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// As the connection has it, or the options where there is none.
    pub(crate) async fn in_flight_max(&self) -> usize {
        #[cfg(feature = "test-util")]
        if self.stand_in.is_some() {
            return self.options.in_flight_max;
        }
        let connection = self.connection().await;
        connection.map_or(self.options.in_flight_max, |connection| connection.in_flight_max())
    }

    /// Until what is given back goes, no request is written alone: others follow at once.
    pub(crate) fn gather(&self) -> Gathers<'_> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        Gathers(self)
    }

    /// Asks until there is an answer, the retries are used up, or the deadline has come: connect
    /// timeout, request timeout and wait together. Every repeat is the same request but for what
    /// is left of its wait, so it carries the same attempt id or token (S3).
    pub(crate) async fn ask<'r>(
        &self,
        wait: Millis,
        request: impl Fn(Millis) -> Request<'r>,
    ) -> Result<Reply, ClientError> {
        let Options { connect_timeout, request_timeout, .. } = self.options;
        let in_batch = self.batches.load(Ordering::Relaxed) > 0;
        let mut terms = Terms { wait, connect_timeout, request_timeout, in_batch, started: None };
        let mut now = None;
        let mut repeats = None;
        loop {
            let answer = match self.open_connection() {
                Some(connection) => connection.ask(now, &mut terms, &request).await,
                // Boxed, as all that is rare, so that the future of the usual case stays small.
                None => Box::pin(self.connect_and_ask(&mut terms, &request)).await,
            };
            let Err(error @ ClientError::Unavailable { .. }) = answer else { return answer };
            Box::pin(self.pause(error, terms.deadline(), &mut repeats)).await?;
            now = Some(Instant::now());
        }
    }

    async fn connect_and_ask<'r>(
        &self,
        terms: &mut Terms,
        request: &impl Fn(Millis) -> Request<'r>,
    ) -> Result<Reply, ClientError> {
        let deadline = terms.deadline();
        let asking = async {
            #[cfg(feature = "test-util")]
            if let Some(stand_in) = &self.stand_in {
                let namespace = Namespace::new(&self.namespace)?;
                let (wait_until, request_timeout) = (terms.wait_until(), terms.request_timeout);
                return stand_in.ask(namespace, wait_until, request_timeout, request).await;
            }
            self.connection().await?.ask(Some(Instant::now()), terms, request).await
        };
        timeout_at(deadline, asking).await.unwrap_or_else(|_| {
            self.figures.add(Figure::Timeouts);
            Err(ClientError::unavailable("no answer before the deadline"))
        })
    }

    /// Pauses before a repeat, or gives the error back if there is to be none.
    async fn pause(
        &self,
        error: ClientError,
        deadline: Instant,
        repeats: &mut Option<Repeats>,
    ) -> Result<(), ClientError> {
        let Options { pause_min, pause_max, retries_max, .. } = self.options;
        let start = || Repeats { pauses: Backoff::new(pause_min, pause_max), retries: 0 };
        let Repeats { pauses, retries } = repeats.get_or_insert_with(start);
        let pause = pauses.next();
        if *retries >= retries_max || Instant::now() + pause >= deadline {
            return Err(error);
        }
        tracing::debug!(%error, retries, "repeating the request");
        *retries += 1;
        sleep(pause).await;
        self.figures.add(Figure::Retries);
        Ok(())
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Connection>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_connection(&self) -> Option<Arc<Connection>> {
        self.current().as_ref().filter(|connection| connection.is_open()).cloned()
    }

    async fn connection(&self) -> Result<Arc<Connection>, ClientError> {
        if let Some(connection) = self.open_connection() {
            return Ok(connection);
        }
        let failures = self.failures.load(Ordering::Acquire);
        let mut dialing = self.dialing.lock().await;
        if let Some(connection) = self.open_connection() {
            return Ok(connection);
        }
        if let Some(failure) = &dialing.failure
            && failures != self.failures.load(Ordering::Acquire)
        {
            return Err(failure.clone());
        }
        sleep_until(dialing.not_before).await;
        let introduction = Introduction {
            namespace: Namespace::new(&self.namespace)?,
            credential: &self.options.credential,
            in_flight_max: self.options.in_flight_max,
            figures: &self.figures,
        };
        let dialed = timeout(self.options.connect_timeout, dial(&self.address, &introduction));
        let error = match dialed.await {
            Ok(Ok(connection)) => {
                tracing::debug!("connected");
                self.figures.add(Figure::ConnectionsMade);
                *self.current() = Some(Arc::clone(&connection));
                let Options { pause_min, pause_max, .. } = self.options;
                dialing.pauses = Backoff::new(pause_min, pause_max);
                // A server that accepts and at once closes is not dialed in a tight loop either.
                dialing.not_before = Instant::now() + pause_min;
                dialing.failure = None;
                return Ok(connection);
            }
            Ok(Err(error)) => error,
            Err(_) => {
                let limit = self.options.connect_timeout.as_millis();
                ClientError::unavailable(format!("cannot connect within {limit} ms"))
            }
        };
        tracing::debug!(%error, "cannot connect");
        self.figures.add(Figure::ConnectionsFailed);
        dialing.not_before = Instant::now() + dialing.pauses.next();
        dialing.failure = Some(error.clone());
        self.failures.fetch_add(1, Ordering::Release);
        Err(error)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if let Some(connection) = self.current().take() {
            connection.end_after_output();
        }
    }
}
