//! Executes work on the caller's thread once per key.

use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;

use onceward_core::{Fingerprint, Millis, Policy, ScopedKeyBuf};
use tokio::task::block_in_place;

use super::{Context, Inner, StepsAnswer, TypedAnswer};
use crate::codec::{Codec, Json};
use crate::execution::OnFailure;
use crate::outcome::{ExecuteError, Executed, ExecutionResult};
use crate::steps::{Run, StepError};
use crate::typed::TypedOutput;

/// Settings of executions, with the defaults and the meaning that [`crate::Execution`] gives them.
/// Made by [`Client::execution`](super::Client::execution). Reuse it: executing borrows it.
///
/// A closure cannot be dropped half-way, so there is no `on_drop`: a thread or a process that dies
/// leaves the identity to its lease.
#[derive(Clone)]
pub struct Execution {
    execution: crate::Execution,
    inner: Arc<Inner>,
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.execution.fmt(f)
    }
}

impl Execution {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { execution: inner.client.execution(), inner }
    }

    /// How long the owner may be silent, 100 ms to 24 h.
    #[must_use]
    pub fn lease(self, lease: impl Into<Millis>) -> Self {
        self.with(|execution| execution.lease(lease))
    }

    /// How long the key is remembered, from its first acquisition; at least the lease.
    #[must_use]
    pub fn retention(self, retention: impl Into<Millis>) -> Self {
        self.with(|execution| execution.retention(retention))
    }

    /// What the end of the lease means for the next begin (S8).
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        self.with(|execution| execution.policy(policy))
    }

    /// How long to wait out another owner (S10); zero answers InProgress at once. The store cuts it
    /// to its own limit, 60 s unless configured.
    #[must_use]
    pub fn wait(self, wait: impl Into<Millis>) -> Self {
        self.with(|execution| execution.wait(wait))
    }

    /// Bytes to set aside for the result, where larger than the namespace's figure (S11).
    #[must_use]
    pub fn result_hint(self, bytes: usize) -> Self {
        self.with(|execution| execution.result_hint(bytes))
    }

    /// Bytes to set aside for checkpoints (S19).
    #[must_use]
    pub fn checkpoint_hint(self, bytes: usize) -> Self {
        self.with(|execution| execution.checkpoint_hint(bytes))
    }

    /// What an error or a panic of the work does. Unless set: release under policy takeover, in
    /// doubt under in-doubt.
    #[must_use]
    pub fn on_failure(self, on_failure: OnFailure) -> Self {
        self.with(|execution| execution.on_failure(on_failure))
    }

    /// Whether concurrent calls of one key and payload through this client share one execution; see
    /// [`crate::Execution`]. On unless turned off.
    #[must_use]
    pub fn coalesce(self, coalesce: bool) -> Self {
        self.with(|execution| execution.coalesce(coalesce))
    }

    fn with(self, set: impl FnOnce(crate::Execution) -> crate::Execution) -> Self {
        Self { execution: set(self.execution), inner: self.inner }
    }

    /// Executions with these settings that write through `codec`; without, they write JSON.
    #[must_use]
    pub fn codec<C: Codec>(self, codec: C) -> TypedExecution<C> {
        TypedExecution { execution: self.execution.codec(codec), inner: self.inner }
    }

    /// Runs `work` on this thread unless the key's work is done, running or in doubt, and stores
    /// its result for every retry. The lease is renewed while it runs, however long it blocks.
    ///
    /// # Errors
    /// See [`ExecuteError`].
    ///
    /// # Panics
    /// Goes on with a panic of the work, after giving the identity up. If called from asynchronous
    /// code; see the [module](super).
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
        let work = on_this_thread(&self.inner, work);
        self.inner.block_on(self.execution.execute(key, fingerprint, work))
    }

    /// Runs a program of steps on this thread, with the meaning of
    /// [`crate::Execution::execute_steps`]. The program is asynchronous, as there; a step may block
    /// for all that, for the lease is kept elsewhere.
    ///
    /// # Errors
    /// See [`TypedError`](crate::TypedError).
    ///
    /// # Panics
    /// As [`Execution::execute`].
    #[track_caller]
    pub fn execute_steps<P, F, O>(
        &self,
        key: impl Into<ScopedKeyBuf>,
        fingerprint: impl Into<Fingerprint>,
        program: P,
    ) -> StepsAnswer<O::Value>
    where
        P: FnOnce(Run) -> F,
        F: Future<Output = Result<O, StepError>>,
        O: TypedOutput,
    {
        self.inner.block_on(self.execution.execute_steps(key, fingerprint, program))
    }

    /// [`TypedExecution::execute_typed`] with the codec [`Json`].
    ///
    /// # Errors
    /// See [`TypedError`](crate::TypedError).
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
        let work = on_this_thread(&self.inner, work);
        self.inner.block_on(self.execution.execute_typed(key, fingerprint, work))
    }
}

/// An [`Execution`] that stores values through a codec of choice; see [`crate::TypedExecution`].
#[derive(Clone)]
pub struct TypedExecution<C = Json> {
    execution: crate::TypedExecution<crate::Client, C>,
    inner: Arc<Inner>,
}

impl<C: Codec> fmt::Debug for TypedExecution<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.execution.fmt(f)
    }
}

impl<C: Codec> TypedExecution<C> {
    /// Runs `work` on this thread unless the key's work is done, running or in doubt, and stores
    /// its value for every retry, with the codec's id and the schema's tag.
    ///
    /// # Errors
    /// See [`TypedError`](crate::TypedError).
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
        let work = on_this_thread(&self.inner, work);
        self.inner.block_on(self.execution.execute_typed(key, fingerprint, work))
    }
}

/// The work as an execution takes it. It runs within `block_on`; leaving the runtime for so long
/// lets it block, call the client, and drive runtimes of its own.
fn on_this_thread<R>(
    inner: &Arc<Inner>,
    work: impl FnOnce(Context) -> R,
) -> impl FnOnce(crate::Context) -> Ready<R> {
    let inner = Arc::clone(inner);
    move |context| {
        let context = Context::new(context, inner);
        ready(block_in_place(|| work(context)))
    }
}
