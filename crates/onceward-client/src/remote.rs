//! A store over one connection at a time: connects on use, reconnects, repeats what got no answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use onceward_core::{Millis, Namespace};
use onceward_proto::Request;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::builder::Options;
use crate::connection::Connection;
use crate::dial::{Introduction, dial};
use crate::error::ClientError;
use crate::figures::{Figure, Figures};
use crate::reply::Reply;
use crate::retry::Backoff;
use crate::span::after;
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
    figures: Arc<Figures>,
    /// Answers in a connection's place, in a service's own tests.
    #[cfg(feature = "test-util")]
    stand_in: Option<Arc<StandIn>>,
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

    /// Asks until there is an answer, the retries are used up, or the deadline has come: connect
    /// timeout, request timeout and wait together. Every repeat is the same request but for what
    /// is left of its wait, so it carries the same attempt id or token (S3).
    pub(crate) async fn ask<'r>(
        &self,
        wait: Millis,
        request: impl Fn(Millis) -> Request<'r>,
    ) -> Result<Reply, ClientError> {
        let options = &self.options;
        let wait_until = after(Instant::now(), wait);
        let deadline = wait_until + options.connect_timeout + options.request_timeout;
        let mut pauses = Backoff::new(options.pause_min, options.pause_max);
        let mut retries = 0;
        loop {
            let attempt = async {
                #[cfg(feature = "test-util")]
                if let Some(stand_in) = &self.stand_in {
                    let namespace = Namespace::new(&self.namespace)?;
                    let timeout = options.request_timeout;
                    return stand_in.ask(namespace, wait_until, timeout, &request).await;
                }
                let connection = self.connection().await?;
                connection.ask(wait_until, options.request_timeout, &request).await
            };
            let error = match timeout_at(deadline, attempt).await {
                Ok(Err(error)) => error,
                Ok(reply) => return reply,
                Err(_) => {
                    self.figures.add(Figure::Timeouts);
                    ClientError::unavailable("no answer before the deadline")
                }
            };
            let pause = pauses.next();
            let repeats = matches!(error, ClientError::Unavailable { .. })
                && retries < options.retries_max
                && Instant::now() + pause < deadline;
            if !repeats {
                return Err(error);
            }
            tracing::debug!(%error, retries, "repeating the request");
            retries += 1;
            sleep(pause).await;
            self.figures.add(Figure::Retries);
        }
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
