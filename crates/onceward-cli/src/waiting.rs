//! Waiting for somebody else's work: pushed by the store in waits of bounded length, asked for
//! again until it is over or patience is (S10).

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use bytes::Bytes;
use onceward_client::{Client, ClientError, Get, GetOutcome, Millis, ScopedKey};
use tokio::time::{Instant, sleep};

use crate::failure::Failure;

/// Longest patience that can be asked for: the longest retention there is.
const PATIENCE_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Longest wait asked for at once: what stores allow by default. It also bounds how long the
/// silence of a peer that is gone can go unnoticed.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A wait that ended sooner than this was not one: the store has no room for another waiter.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// Between asking where nobody waits for us: the store is away, or full of waiters.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// When patience ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    until: Instant,
}

impl Patience {
    /// # Errors
    /// More than 30 days, which `--option` asked for.
    pub(crate) fn of(option: &str, length: Duration) -> Result<Self, Failure> {
        if length > PATIENCE_MAX {
            let message = format!("--{option} is too long: give at most 30d");
            return Err(Failure::bad_input(option, message));
        }
        Ok(Self { until: Instant::now() + length })
    }

    pub(crate) fn left(self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    pub(crate) fn is_over(self) -> bool {
        self.left().is_zero()
    }
}

/// What goes on while somebody waits, for whoever watches.
pub(crate) enum Meanwhile {
    Reserved { attempt_number: u32 },
    Unavailable,
}

/// Gets `key` until it is anything but reserved, or patience is over. An unavailable store is
/// asked again, so that a restart of the daemon does not end the wait.
///
/// # Errors
/// The last error where patience ended without an answer, and every error that asking again
/// cannot mend.
pub(crate) async fn wait_out(
    client: &Client,
    key: ScopedKey<'_>,
    patience: Patience,
    mut watch: impl FnMut(&Meanwhile),
) -> Result<GetOutcome<Bytes>, ClientError> {
    let mut pauses = Pauses::new();
    // The first look does not wait, so that whoever watches learns at once how things stand.
    let mut wait = Duration::ZERO;
    loop {
        let asked = Instant::now();
        match client.get(key, &Get { wait: Millis::covering(wait) }).await {
            Ok(outcome) => {
                let GetOutcome::Reserved { attempt_number, .. } = outcome else {
                    return Ok(outcome);
                };
                if patience.is_over() {
                    return Ok(outcome);
                }
                watch(&Meanwhile::Reserved { attempt_number });
                if wait.is_zero() || asked.elapsed() >= WAIT_MIN {
                    pauses = Pauses::new();
                } else {
                    sleep(pauses.next().min(patience.left())).await;
                }
            }
            Err(error @ ClientError::Unavailable { .. }) => {
                let pause = pauses.next();
                if pause >= patience.left() {
                    return Err(error);
                }
                watch(&Meanwhile::Unavailable);
                sleep(pause).await;
            }
            Err(error) => return Err(error),
        }
        wait = patience.left().min(WAIT_MAX);
    }
}

/// Waits until the lease that runs on `key` has ended or somebody has ended the acquisition, once,
/// and at most as long as patience lasts. Says nothing of what is there now.
///
/// # Errors
/// See [`ClientError`].
pub(crate) async fn wait_for_lease(
    client: &Client,
    key: ScopedKey<'_>,
    patience: Patience,
    pauses: &mut Pauses,
) -> Result<(), ClientError> {
    let GetOutcome::Reserved { lease_left, .. } =
        client.get(key, &Get { wait: Millis::ZERO }).await?
    else {
        return Ok(());
    };
    // A lapsed lease is waited out by get too, where a takeover may follow: so no longer than it.
    let wait = lease_left.as_duration().min(patience.left()).min(WAIT_MAX);
    if wait.is_zero() {
        return Ok(());
    }
    let asked = Instant::now();
    let outcome = client.get(key, &Get { wait: Millis::covering(wait) }).await?;
    let short = asked.elapsed() < WAIT_MIN.min(wait);
    if short && matches!(outcome, GetOutcome::Reserved { .. }) {
        sleep(pauses.next().min(patience.left())).await;
    }
    Ok(())
}

/// Pauses that grow, with jitter.
pub(crate) struct Pauses(ExponentialBackoff);

impl Pauses {
    pub(crate) fn new() -> Self {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(PAUSE_MIN)
            .with_max_delay(PAUSE_MAX)
            .without_max_times()
            .with_jitter();
        Self(pauses.build())
    }

    fn next(&mut self) -> Duration {
        self.0.next().unwrap_or(PAUSE_MAX)
    }
}
