//! How a client is set up.

use std::fmt;
#[cfg(feature = "test-util")]
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::client::Client;
use crate::error::OpenError;
#[cfg(feature = "test-util")]
use crate::remote::Remote;
#[cfg(feature = "test-util")]
use crate::testing::StandIn;
use crate::url;

/// Most requests in flight that may be configured; servers allow no more (S20).
const IN_FLIGHT_MAX_CEILING: usize = 65_536;

/// Longest time-out and pause that may be configured: sums of them with instants never overflow.
const TIMEOUT_CEILING: Duration = Duration::from_secs(24 * 3_600);

/// What a client over a connection insists on.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) retries_max: u32,
    pub(crate) pause_min: Duration,
    pub(crate) pause_max: Duration,
    pub(crate) in_flight_max: usize,
    pub(crate) credential: Bytes,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_millis(500),
            retries_max: 10,
            pause_min: Duration::from_millis(10),
            pause_max: Duration::from_millis(500),
            in_flight_max: 16_384,
            credential: Bytes::new(),
        }
    }
}

/// A client to be. Made by [`Client::builder`].
///
/// The options speak of connections; a `mem://` client has none and ignores them.
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder {
    url: String,
    options: Options,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the URL, which may wrongly hold a password, nor the credential (S16).
        f.debug_struct("ClientBuilder")
            .field("connect_timeout", &self.options.connect_timeout)
            .field("request_timeout", &self.options.request_timeout)
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), options: Options::default() }
    }

    /// How long one connection may take to stand, name resolution and HELLO included, at most
    /// 24 h. Default 1 s.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options.connect_timeout = timeout;
        self
    }

    /// How long one request may take, besides its own wait, at most 24 h. Default 500 ms.
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.options.request_timeout = timeout;
        self
    }

    /// How often an operation that got no answer is repeated, with the same attempt id or token,
    /// before its deadline. Default 10; 0 makes every operation a single attempt.
    pub const fn retries_max(mut self, retries: u32) -> Self {
        self.options.retries_max = retries;
        self
    }

    /// The first and the longest pause between attempts, and between connections; each is about
    /// twice the one before, plus up to its own length at random. At most 24 h; default 10 ms to
    /// 500 ms.
    pub const fn back_off(mut self, min: Duration, max: Duration) -> Self {
        self.options.pause_min = min;
        self.options.pause_max = max;
        self
    }

    /// Most requests in flight on the connection; further ones queue in the client. Default
    /// 16,384, and never more than the server states. Of these at most 7 in 8 may be requests that wait,
    /// so that the owner they wait for can still complete over the same connection.
    pub const fn in_flight_max(mut self, requests: usize) -> Self {
        self.options.in_flight_max = requests;
        self
    }

    /// Proof of who the client is, sent with HELLO. Read it from a file or the environment, not
    /// from a command line. Default none.
    pub fn credential(mut self, credential: impl Into<Bytes>) -> Self {
        self.options.credential = credential.into();
        self
    }

    /// The client. Connects on first use; starts the store of a `mem://` URL at once.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(self) -> Result<Client, OpenError> {
        let target = url::parse(&self.url)?;
        Client::of_target(target, self.checked_options()?)
    }

    /// The same for callers that block. Starts its runtime, of one thread, at once.
    ///
    /// # Errors
    /// See [`OpenError`].
    #[cfg(feature = "blocking")]
    pub fn open_blocking(self) -> Result<crate::blocking::Client, OpenError> {
        crate::blocking::Client::over(self.open()?)
    }

    /// The client of the URL's namespace, whose connection is `stand_in`.
    #[cfg(feature = "test-util")]
    pub(crate) fn open_over(self, stand_in: Arc<StandIn>) -> Result<Client, OpenError> {
        let namespace = url::parse(&self.url)?.namespace;
        let remote = Remote::over(stand_in, namespace.clone(), self.checked_options()?);
        Ok(Client::of_remote(namespace, remote))
    }

    fn checked_options(self) -> Result<Options, OpenError> {
        let options = self.options;
        if !(2..=IN_FLIGHT_MAX_CEILING).contains(&options.in_flight_max) {
            return Err(OpenError::Option { name: "in_flight_max", accepted: "give 2 to 65536" });
        }
        for (name, timeout) in [
            ("connect_timeout", options.connect_timeout),
            ("request_timeout", options.request_timeout),
        ] {
            if timeout.is_zero() || timeout > TIMEOUT_CEILING {
                return Err(OpenError::Option {
                    name,
                    accepted: "give more than zero and at most 24 h",
                });
            }
        }
        let Options { pause_min, pause_max, .. } = options;
        if pause_min.is_zero() || pause_min > pause_max || pause_max > TIMEOUT_CEILING {
            return Err(OpenError::Option {
                name: "back_off",
                accepted: "give a first pause of more than zero, no more than the longest, which is at most 24 h",
            });
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_bounds_are_named_s20() {
        let max = Duration::MAX;
        let ms = Duration::from_millis;
        let builder = || Client::builder("onceward://localhost");
        let cases = [
            ("in_flight_max", builder().in_flight_max(1)),
            ("in_flight_max", builder().in_flight_max(usize::MAX)),
            ("connect_timeout", builder().connect_timeout(Duration::ZERO)),
            ("connect_timeout", builder().connect_timeout(max)),
            ("request_timeout", builder().request_timeout(Duration::ZERO)),
            ("request_timeout", builder().request_timeout(TIMEOUT_CEILING + ms(1))),
            ("back_off", builder().back_off(Duration::ZERO, ms(1))),
            ("back_off", builder().back_off(ms(2), ms(1))),
            ("back_off", builder().back_off(ms(1), max)),
        ];
        for (want, builder) in cases {
            match builder.open() {
                Err(OpenError::Option { name, .. }) => assert_eq!(name, want),
                other => panic!("{want}: {other:?}"),
            }
        }
    }

    /// The ceilings are low enough for every sum that the client makes.
    #[tokio::test(start_paused = true)]
    async fn the_longest_timeouts_are_no_panic() {
        let client = Client::builder("onceward+unix:///no/such/onceward.sock")
            .connect_timeout(TIMEOUT_CEILING)
            .request_timeout(TIMEOUT_CEILING)
            .back_off(TIMEOUT_CEILING, TIMEOUT_CEILING)
            .open()
            .expect("the ceilings are within bounds");
        client.ping().await.expect_err("nobody listens there");
    }
}
