//! Executes work once per key: begin, keep the lease while the work runs, complete.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use onceward_core::{Backend, Begin, Certainty, Fingerprint, Millis, Policy, ScopedKeyBuf};
use tracing::Instrument as _;

use crate::call::{Call, execution_span};
use crate::client::Client;
use crate::context::Context;
use crate::figures::{ClientStats, Figures};
use crate::flight::Flights;
use crate::outcome::{ExecuteError, Executed, ExecutionResult};
use crate::run::Begun;

/// What becomes of the identity when the work errs, panics or is dropped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnFailure {
    /// Absent again: the next begin runs. Right where the work may safely run again, or where its
    /// failure proves that nothing happened.
    Release,
    /// In doubt until resolved: nobody runs. Right where a side effect may have happened.
    InDoubt,
    /// Left alone: the end of the lease decides, by the policy.
    Leave,
}

impl OnFailure {
    pub(crate) const fn certainty(self) -> Option<Certainty> {
        match self {
            Self::Release => Some(Certainty::NotDone),
            Self::InDoubt => Some(Certainty::InDoubt),
            Self::Leave => None,
        }
    }
}

/// Settings of executions, and the store they run over. Made by [`Client::execution`], or by
/// [`Execution::over`] for any [`Backend`]. Reuse it: executing borrows it.
///
/// Defaults: lease 30 s, retention 24 h, policy takeover, no wait, no hints. What happens when
/// things go wrong:
///
/// | what happens | under policy takeover | under policy in-doubt |
/// |---|---|---|
/// | the work returns `Err` | abandoned as not done: the next begin runs; [`ExecuteError::Work`] | abandoned as in doubt: nobody runs until resolved; [`ExecuteError::Work`] |
/// | the work panics | as above, then the panic goes on | as above, then the panic goes on |
/// | the future is dropped while the work runs | renewals stop, the end of the lease lets the next begin run | renewals stop, abandoned as in doubt in the background |
/// | the future is dropped before the work ran | given back in the background; after a takeover its lease decides, for a predecessor may have run some of the work | the same |
/// | the future is dropped after the work ran | the result is still stored, in the background | the same |
/// | the lease ends by our count, the store being out of reach | [`Context::lost_ownership`] fires; the result is still offered, and stands if the store takes it | the same |
/// | the store says that another owns it | the signal fires; [`ExecuteError::LostOwnership`] | the same |
/// | the store is unavailable at begin | the work is not run; [`ExecuteError::NotRun`]. If the begin arrived all the same, its lease has to end first | the same; it may then be in doubt though nothing ran |
/// | the store is unavailable at complete | repeated with the same token until the lease ends, then [`ExecuteError::NotStored`] | the same |
///
/// The first three rows are [`Execution::on_failure`] and [`Execution::on_drop`]. Background work
/// is best effort: one operation with the client's own retries.
///
/// # Concurrent calls in one process
/// Calls of one key and payload, made at the same time through one client or one execution and
/// their clones, share one begin: the first, the leader, asks the store, and the others follow it
/// and send nothing. They get its answer, a result as [`Executed::Replayed`]. The work's own error
/// is the leader's alone, as is a lost or unstored result: then, and when the leader panics or is
/// dropped, the next in line asks the store itself, one at a time.
///
/// - A follower waits until the work that runs here has ended, whatever its [`Execution::wait`]
///   says: that is how long to wait for owners elsewhere.
/// - Another payload is [`Executed::Mismatch`] at once while the leader's work runs.
/// - Do not wait for a follower where its leader cannot go on: not in a task that the leader's work
///   spawned and waits for, and not while the leader's future is held without being polled: neither
///   would end, and all that shows is a warning in the log after a minute. A call made directly
///   within the work of another follows nobody and asks the store itself.
/// - Calls with [`Fingerprint::Later`] share nothing (S9).
///
/// [`Execution::coalesce`] turns all of this off.
///
/// The lease is counted from when the request was sent (S6), and renewed at a third of it by a
/// task of its own: work must not block its thread (use `spawn_blocking`), or nothing renews on a
/// single-threaded runtime.
pub struct Execution<B = Client> {
    pub(crate) backend: B,
    pub(crate) lease: Millis,
    pub(crate) retention: Millis,
    pub(crate) policy: Policy,
    pub(crate) wait: Millis,
    pub(crate) result_hint: Option<usize>,
    pub(crate) checkpoint_hint: usize,
    pub(crate) on_failure: Option<OnFailure>,
    pub(crate) on_drop: Option<OnFailure>,
    pub(crate) coalesce: bool,
    pub(crate) flights: Arc<Flights>,
    pub(crate) figures: Arc<Figures>,
}

impl<B: Clone> Clone for Execution<B> {
    fn clone(&self) -> Self {
        Self {
            backend: self.backend.clone(),
            flights: Arc::clone(&self.flights),
            figures: Arc::clone(&self.figures),
            ..*self
        }
    }
}

impl<B: Backend<Bytes = Bytes>> fmt::Debug for Execution<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execution")
            .field("namespace", &self.backend.namespace().as_str())
            .field("lease", &self.lease)
            .field("retention", &self.retention)
            .field("policy", &self.policy)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

impl<B: Backend<Bytes = Bytes> + Clone + 'static> Execution<B> {
    /// Executions over any store; the name of its namespace goes into derived keys.
    #[must_use]
    pub fn over(backend: B) -> Self {
        let figures = Figures::new(backend.namespace().as_str());
        Self::new(backend, Arc::default(), figures)
    }

    pub(crate) fn new(backend: B, flights: Arc<Flights>, figures: Arc<Figures>) -> Self {
        Self {
            backend,
            lease: Begin::LEASE_DEFAULT,
            retention: Begin::RETENTION_DEFAULT,
            policy: Policy::Takeover,
            wait: Millis::ZERO,
            result_hint: None,
            checkpoint_hint: 0,
            on_failure: None,
            on_drop: None,
            coalesce: true,
            flights,
            figures,
        }
    }

    /// How long the owner may be silent, 100 ms to 24 h.
    #[must_use]
    pub fn lease(mut self, lease: impl Into<Millis>) -> Self {
        self.lease = lease.into();
        self
    }

    /// How long the key is remembered, from its first acquisition; at least the lease.
    #[must_use]
    pub fn retention(mut self, retention: impl Into<Millis>) -> Self {
        self.retention = retention.into();
        self
    }

    /// What the end of the lease means for the next begin (S8).
    #[must_use]
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// How long to wait out an owner elsewhere (S10); zero answers InProgress at once. The store
    /// cuts it to its own limit, 60 s unless configured.
    #[must_use]
    pub fn wait(mut self, wait: impl Into<Millis>) -> Self {
        self.wait = wait.into();
        self
    }

    /// Bytes to set aside for the result, where larger than the namespace's figure (S11).
    #[must_use]
    pub const fn result_hint(mut self, bytes: usize) -> Self {
        self.result_hint = Some(bytes);
        self
    }

    /// Bytes to set aside for checkpoints (S19).
    #[must_use]
    pub const fn checkpoint_hint(mut self, bytes: usize) -> Self {
        self.checkpoint_hint = bytes;
        self
    }

    /// What an error or a panic of the work does. Unless set: release under policy takeover, in
    /// doubt under in-doubt.
    #[must_use]
    pub const fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = Some(on_failure);
        self
    }

    /// What dropping the future does while the work runs. Unless set: leave under policy takeover,
    /// in doubt under in-doubt.
    #[must_use]
    pub const fn on_drop(mut self, on_drop: OnFailure) -> Self {
        self.on_drop = Some(on_drop);
        self
    }

    /// Whether concurrent calls of one key and payload through this client share one execution; see
    /// the type. On unless turned off.
    #[must_use]
    pub const fn coalesce(mut self, coalesce: bool) -> Self {
        self.coalesce = coalesce;
        self
    }

    /// Runs `work` unless the key's work is done, running or in doubt, and stores its result for
    /// every retry.
    ///
    /// Two round trips and one spawned task where the work runs, one round trip otherwise. See
    /// the type for what happens when something fails.
    ///
    /// # Errors
    /// See [`ExecuteError`].
    ///
    /// # Panics
    /// Goes on with a panic of the work, after giving the identity up. Outside a tokio runtime.
    pub async fn execute<W, F, T, E>(
        &self,
        key: impl Into<ScopedKeyBuf>,
        fingerprint: impl Into<Fingerprint>,
        work: W,
    ) -> Result<Executed, ExecuteError<E>>
    where
        W: FnOnce(Context<B>) -> F,
        F: Future<Output = Result<T, E>>,
        T: Into<ExecutionResult>,
    {
        let key = key.into();
        let call = Call::start(&self.figures, execution_span!("execute", key));
        let span = call.span();
        let running = async {
            let ended = match self.acquire(&call, key, fingerprint.into()).await {
                Ok(Begun::Claimed(claim, lead)) => {
                    self.run(&call, claim, lead.as_ref(), work).await
                }
                Ok(Begun::Answered(answer)) => Ok(answer),
                Err(error) => Err(ExecuteError::NotRun(error)),
            };
            call.ended(&ended);
            ended
        };
        running.instrument(span).await
    }

    /// What executions of this and its clones have come to: for an execution of [`Client`], the
    /// client's own figures; over another backend, those of executions alone. No round trip.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.figures.stats()
    }

    pub(crate) fn failure_does(&self) -> OnFailure {
        self.on_failure.unwrap_or(match self.policy {
            Policy::Takeover => OnFailure::Release,
            Policy::InDoubt => OnFailure::InDoubt,
        })
    }

    pub(crate) fn drop_does(&self) -> OnFailure {
        self.on_drop.unwrap_or(match self.policy {
            Policy::Takeover => OnFailure::Leave,
            Policy::InDoubt => OnFailure::InDoubt,
        })
    }
}
