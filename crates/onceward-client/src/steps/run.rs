//! What a program of steps is given.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use onceward_core::{Backend, Fence};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::error::StepError;
use super::failure::{StepFailure, StepSource, TerminalFailure};
use super::ledger::fault;
use super::progress::{Arrival, Compensation, Progress, Undoing};
use super::step_context::StepContext;
use super::step_retry::StepRetry;
use crate::client::Client;

/// One run of a program of steps; see [`Execution::execute_steps`].
///
/// Steps run one after the other: a step borrows the run, so two at once do not compile. Do what
/// belongs together at once inside one step.
///
/// ```compile_fail,E0499
/// # async fn example(mut run: onceward_client::Run) {
/// let one = run.step("one", async |_| Ok(1));
/// let two = run.step("two", async |_| Ok(2));
/// let _ = tokio::join!(one.into_future(), two.into_future());
/// # }
/// ```
///
/// [`Execution::execute_steps`]: crate::Execution::execute_steps
pub struct Run<B = Client> {
    progress: Arc<Progress<B>>,
}

impl<B: Backend<Bytes = Bytes> + 'static> fmt::Debug for Run<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("attempt_number", &self.attempt_number())
            .finish_non_exhaustive()
    }
}

impl<B: Backend<Bytes = Bytes> + 'static> Run<B> {
    pub(super) const fn new(progress: Arc<Progress<B>>) -> Self {
        Self { progress }
    }

    /// A step, which runs when awaited, unless a predecessor finished it: then it gives the
    /// recorded result. `name` is its own within the run, 1–64 bytes of `[a-z0-9._-]`; it goes
    /// into derived keys and logs.
    ///
    /// `work` is called once per try. Its result is recorded, and given to the program as it
    /// reads back from the record, so that this program sees what a successor will see. One round
    /// trip, which sends the whole ledger.
    pub fn step<T, W, F>(&mut self, name: impl Into<String>, work: W) -> Step<'_, T, W, B>
    where
        W: FnMut(StepContext<B>) -> F + Send,
        F: Future<Output = Result<T, StepFailure>> + Send,
        T: Serialize + DeserializeOwned + Send,
    {
        Step {
            run: self,
            name: name.into(),
            work,
            retry: StepRetry::STEP,
            compensation: None,
            result: PhantomData,
        }
    }

    /// 1, or more after takeovers: a predecessor may then have finished steps.
    #[must_use]
    pub fn attempt_number(&self) -> u32 {
        self.progress.context.attempt_number()
    }

    /// As [`Context::fence`](crate::Context::fence).
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.progress.context.fence()
    }

    /// As [`Context::is_owner`](crate::Context::is_owner).
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.progress.context.is_owner()
    }
}

/// A step that has not started. Await it; dropping it unawaited does nothing.
///
/// Once it runs, it must end: dropped half-way, by a time-out around it, it ends the run with
/// [`StepError::CutOff`].
#[must_use = "a step runs when awaited"]
pub struct Step<'r, T, W, B = Client> {
    run: &'r mut Run<B>,
    name: String,
    work: W,
    retry: StepRetry,
    compensation: Option<Compensation<B>>,
    result: PhantomData<fn() -> T>,
}

impl<T, W, B> fmt::Debug for Step<'_, T, W, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("name", &self.name)
            .field("retry", &self.retry)
            .field("compensates", &self.compensation.is_some())
            .finish_non_exhaustive()
    }
}

impl<T, W, B> Step<'_, T, W, B>
where
    T: DeserializeOwned + Send,
    B: Backend<Bytes = Bytes> + 'static,
{
    /// How often the step is tried; [`StepRetry::STEP`] unless told.
    pub fn retry(self, retry: StepRetry) -> Self {
        Self { retry, ..self }
    }

    /// How to undo the step, given its result as recorded, should a later step fail for good.
    /// Tried as [`StepRetry::COMPENSATION`] says.
    ///
    /// It must bear being called again with the same derived key, which is not the step's own. It
    /// is kept until the run ends, so it and its future own what they use: clone it in.
    pub fn compensate<C, F>(self, compensate: C) -> Self
    where
        C: FnMut(T, StepContext<B>) -> F + Send + 'static,
        F: Future<Output = Result<(), StepFailure>> + Send + 'static,
    {
        self.compensate_with(StepRetry::COMPENSATION, compensate)
    }

    /// The same with tries of its own.
    pub fn compensate_with<C, F>(self, retry: StepRetry, mut compensate: C) -> Self
    where
        C: FnMut(T, StepContext<B>) -> F + Send + 'static,
        F: Future<Output = Result<(), StepFailure>> + Send + 'static,
    {
        let undo = Box::new(move |result: &RawValue, context: StepContext<B>| {
            let result = serde_json::from_str(result.get())?;
            Ok(Box::pin(compensate(result, context)) as Undoing)
        });
        Self { compensation: Some(Compensation { undo, retry }), ..self }
    }
}

impl<'r, T, W, F, B> IntoFuture for Step<'r, T, W, B>
where
    W: FnMut(StepContext<B>) -> F + Send + 'r,
    F: Future<Output = Result<T, StepFailure>> + Send + 'r,
    T: Serialize + DeserializeOwned + Send + 'r,
    B: Backend<Bytes = Bytes> + 'static,
{
    type Output = Result<T, StepError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'r>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let progress = &*self.run.progress;
            let ran = perform(progress, &self.name, self.work, self.retry, self.compensation).await;
            if ran.is_err() {
                progress.end(); // Whatever the program makes of the error.
            }
            ran
        })
    }
}

async fn perform<T, W, F, B>(
    progress: &Progress<B>,
    step: &str,
    mut work: W,
    retry: StepRetry,
    compensation: Option<Compensation<B>>,
) -> Result<T, StepError>
where
    W: FnMut(StepContext<B>) -> F,
    F: Future<Output = Result<T, StepFailure>>,
    T: Serialize + DeserializeOwned,
    B: Backend<Bytes = Bytes> + 'static,
{
    let compensation = match progress.arrive(step, compensation)? {
        Arrival::Finished(result) => {
            tracing::debug!(step, "finished by a predecessor");
            return read_back(step, &result);
        }
        Arrival::Runs(compensation) => compensation,
    };
    let start = |context| Ok(work(context));
    match tried(progress, step, false, retry, start).await? {
        Tried::Done(result) => {
            let recorded = record(step, &result)?;
            let result = read_back(step, &recorded)?; // Before a successor would find it unreadable.
            progress.finish(step, recorded, compensation).await?;
            tracing::debug!(step, "recorded");
            Ok(result)
        }
        Tried::Terminal(source) => {
            tracing::debug!(step, "failed for good");
            let failure = TerminalFailure::new(step, &source);
            progress.fail(failure.clone()).await?;
            Err(StepError::Failed(failure))
        }
        Tried::Exhausted { tries, source } => {
            progress.exhausted();
            Err(StepError::Exhausted { step: step.to_owned(), tries, source })
        }
    }
}

/// What trying came to.
pub(super) enum Tried<T> {
    Done(T),
    Terminal(StepSource),
    Exhausted { tries: u32, source: StepSource },
}

/// Tries until it is done, fails for good, has been tried often enough or ownership is lost.
/// `start` fails where a recorded result does not read back.
pub(super) async fn tried<T, F, B>(
    progress: &Progress<B>,
    step: &str,
    compensates: bool,
    retry: StepRetry,
    mut start: impl FnMut(StepContext<B>) -> Result<F, serde_json::Error>,
) -> Result<Tried<T>, StepError>
where
    F: Future<Output = Result<T, StepFailure>>,
    B: Backend<Bytes = Bytes> + 'static,
{
    let mut pauses = retry.backoff();
    let mut tries = 1;
    loop {
        let context = StepContext::new(progress.context.clone(), step, compensates, tries);
        let started = start(context).map_err(|error| unreadable(step, &error))?;
        let StepFailure { terminal, source } = match started.await {
            Ok(result) => return Ok(Tried::Done(result)),
            Err(failure) => failure,
        };
        if terminal {
            return Ok(Tried::Terminal(source));
        }
        if tries >= retry.tries() {
            return Ok(Tried::Exhausted { tries, source });
        }
        tracing::debug!(step, compensates, tries, "failed for now");
        sleep(pauses.next()).await;
        progress.check_owner(step)?;
        tries += 1;
    }
}

fn record<T: Serialize>(step: &str, result: &T) -> Result<Box<RawValue>, StepError> {
    let encoded = serde_json::value::to_raw_value(result);
    encoded.map_err(|error| unreadable(step, &error))
}

fn read_back<T: DeserializeOwned>(step: &str, recorded: &RawValue) -> Result<T, StepError> {
    serde_json::from_str(recorded.get()).map_err(|error| unreadable(step, &error))
}

fn unreadable(step: &str, error: &serde_json::Error) -> StepError {
    StepError::ResultUnreadable { step: step.to_owned(), message: fault(error) }
}
