//! Executions of several steps, each finished step a fact that survives the process.
//!
//! A program of steps is an ordinary async function. Each step's result goes into one ledger, and
//! the ledger is the acquisition's checkpoint (S19). A successor runs the same program: steps in
//! the ledger give their recorded results without running, and the first that is not there runs.
//!
//! ```text
//!   forward ──every step done──▶ complete with the program's result
//!      │
//!      └──a step fails for good──▶ failed, recorded ──▶ compensate the finished steps, last one
//!                                                       first, each recorded ──▶ complete with
//!                                                       the failure
//! ```
//! Invariants:
//! 1. A fact, once the store confirmed it, is in every later ledger of the identity: ledgers only
//!    grow, and so do their ordinals, across successors too (S19).
//! 2. Facts stand in the order in which they came about, one step after the other: no step starts
//!    while another is neither a fact nor known to be harmless to repeat.
//! 3. No step runs while the ledger holds one that this program has not come to, and no program
//!    is done then: a program that takes another way than its predecessor stops before it acts.
//! 4. Once a failure is recorded no step runs forward, in this run or in a successor's.
//! 5. What a program sees of a result is what the ledger holds, so a successor sees the same.
//! 6. A ledger is never given up: while it holds a fact, or may, the identity is left to its lease
//!    or put in doubt, and never abandoned as not done, which would end the checkpoint (S3).
//! 7. No step, no try and no compensation starts once ownership is known to be lost.
//!
//! What no ledger can tell is whether a step that was cut off had its effect. It runs again with
//! the same derived key, and what it calls must take that key for the same call (S18).

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use onceward_claim::{Claim, Lost};
use onceward_core::limits::CHECKPOINT_BYTES_MAX;
use onceward_core::{AbandonOutcome, Backend, Certainty, Fingerprint, Policy, ScopedKeyBuf};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::call::{Call, execution_span};
use crate::client::Client;
use crate::codec::{CodecError, Json};
use crate::context::{CheckpointError, Context};
use crate::error::ClientError;
use crate::execution::{Execution, OnFailure};
use crate::flight::Lead;
use crate::outcome::{Done, ExecuteError, Executed, ExecutionResult};
use crate::run::Begun;
use crate::schema::Schema;
use crate::typed::{TypedError, TypedOutput};
use crate::unfinished::give_up;

mod compensate;
mod error;
mod failure;
mod ledger;
mod name;
mod progress;
mod run;
mod step_context;
mod step_key;
mod step_retry;

pub use error::{NextCall, StepError, Stopped};
pub use failure::{
    FAILED_STEP, FAILURE_MESSAGE, FAILURE_MESSAGE_BYTES_MAX, StepFailure, StepSource,
    TerminalFailure,
};
pub use ledger::{LEDGER_BYTES_MAX, LEDGER_VERSION};
pub use name::STEP_NAME_BYTES_MAX;
pub use run::{Run, Step};
pub use step_context::StepContext;
pub use step_key::{compensation_key, step_key};
pub use step_retry::StepRetry;

use progress::Progress;

/// Work of several steps that is done: every step, or what a failure left to be undone.
#[derive(Clone, Eq, PartialEq)]
pub struct StepsDone<T> {
    /// What the program returned, as it reads back from what is stored; or which step failed for
    /// good, in which case what had finished before it is compensated. The same for every retry.
    pub outcome: Result<T, TerminalFailure>,
    /// The rest: status, metadata, whether it was done before.
    pub done: Done,
}

/// `Debug` shows no value and no message (S16).
impl<T> fmt::Debug for StepsDone<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed_step = self.outcome.as_ref().err().map(|failure| &failure.step);
        f.debug_struct("StepsDone")
            .field("failed_step", &failed_step)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

/// Why a run gave no result, and whether the identity may be given up.
struct Halt {
    error: StepError,
    holds_nothing: bool,
}

impl Client {
    /// [`Execution::execute_steps`] with default settings.
    ///
    /// # Errors
    /// See [`TypedError`].
    ///
    /// # Panics
    /// As [`Execution::execute`].
    pub async fn execute_steps<P, F, O>(
        &self,
        key: impl Into<ScopedKeyBuf>,
        fingerprint: impl Into<Fingerprint>,
        program: P,
    ) -> Result<Executed<StepsDone<O::Value>>, TypedError<O::Value, Stopped>>
    where
        P: FnOnce(Run) -> F,
        F: Future<Output = Result<O, StepError>>,
        O: TypedOutput,
    {
        self.execution().execute_steps(key, fingerprint, program).await
    }
}

impl<B: Backend<Bytes = Bytes> + Clone + 'static> Execution<B> {
    /// Runs a program of steps unless the key's work is done, running or in doubt; a successor
    /// goes on where its predecessor stopped.
    ///
    /// `program` gets a [`Run`] and awaits [`Run::step`]s one after the other. It must take the
    /// same way each time, given the same results: what is read from a clock, a random source or
    /// a database belongs into a step, and so does what may fail: `?` passes on [`StepError`]s
    /// only. See `docs/steps.md`.
    ///
    /// | what happens | what becomes of the identity |
    /// |---|---|
    /// | a step fails for good | finished steps are compensated, last one first, and it completes with the failure: [`StepsDone::outcome`] is `Err`, for every retry too |
    /// | a step fails for now, each time | nothing recorded: as [`Execution::on_failure`] says, free at once unless told; something recorded: left to its lease, and the next call resumes |
    /// | a compensation fails for now, each time | left to its lease; the next call goes on compensating |
    /// | a compensation fails for good | in doubt: an operator resolves it |
    /// | a step panics, the process dies or the future is dropped | left to its lease; the next call resumes |
    /// | ownership is lost | no further step starts |
    /// | the ledger cannot be read, or is of a later version | nothing runs; left to its lease |
    ///
    /// Resuming takes policy takeover. Under in-doubt the same holds until something fails: then
    /// a resolver decides, whose verdict ends the ledger too. [`Execution::on_failure`] and
    /// [`Execution::on_drop`] never release a key with a recorded step.
    ///
    /// Unless [`Execution::checkpoint_hint`] says otherwise, 64 KiB are set aside for the ledger,
    /// of which steps may use [`LEDGER_BYTES_MAX`]; with a smaller hint the store may refuse to
    /// record a step. The fingerprint must be known at begin.
    ///
    /// The program's value is stored as [`Execution::execute_typed`] stores one: as JSON, with its
    /// schema's tag.
    ///
    /// # Errors
    /// See [`TypedError`]; its [`ExecuteError::Work`] holds [`Stopped`]: the [`StepError`], and
    /// what the next call finds.
    ///
    /// # Panics
    /// As [`Execution::execute`].
    pub async fn execute_steps<P, F, O>(
        &self,
        key: impl Into<ScopedKeyBuf>,
        fingerprint: impl Into<Fingerprint>,
        program: P,
    ) -> Result<Executed<StepsDone<O::Value>>, TypedError<O::Value, Stopped>>
    where
        P: FnOnce(Run<B>) -> F,
        F: Future<Output = Result<O, StepError>>,
        O: TypedOutput,
    {
        let (key, fingerprint) = (key.into(), fingerprint.into());
        if fingerprint == Fingerprint::Later {
            let bad = ClientError::BadInput {
                field: "fingerprint".to_owned(),
                message: "fingerprint is still to come: steps need it at begin, for no checkpoint is taken before (S9)".to_owned(),
            };
            return Err(ExecuteError::NotRun(bad).into());
        }
        let call = Call::start(&self.figures, execution_span!("execute_steps", key));
        let span = call.span();
        let running = async {
            match self.for_steps().acquire(&call, key, fingerprint).await {
                Ok(Begun::Claimed(claim, lead)) => self.run_steps(call, claim, lead, program).await,
                Ok(Begun::Answered(answer)) => {
                    call.answered(&answer);
                    answer.try_map(read)
                }
                Err(error) => {
                    let error = ExecuteError::NotRun(error);
                    call.failed(&error);
                    Err(error.into())
                }
            }
        };
        running.instrument(span).await
    }

    /// These settings, but for what would end a ledger (invariant 6): what becomes of the
    /// identity after an error is decided in [`Self::run_steps`].
    fn for_steps(&self) -> Self {
        let mut execution = self.clone();
        execution.on_failure = Some(OnFailure::Leave);
        if self.drop_does() == OnFailure::Release {
            execution.on_drop = Some(OnFailure::Leave);
        }
        if self.checkpoint_hint == 0 {
            execution.checkpoint_hint = CHECKPOINT_BYTES_MAX;
        }
        execution
    }

    async fn run_steps<P, F, O>(
        &self,
        call: Call,
        claim: Arc<Claim<B>>,
        lead: Option<Arc<Lead>>,
        program: P,
    ) -> Result<Executed<StepsDone<O::Value>>, TypedError<O::Value, Stopped>>
    where
        P: FnOnce(Run<B>) -> F,
        F: Future<Output = Result<O, StepError>>,
        O: TypedOutput,
    {
        let mut unencoded = None;
        let work = |context| run_program(context, program, &mut unencoded);
        let ran = self.for_steps().run(&call, Arc::clone(&claim), lead.as_ref(), work).await;
        call.ended(&ran);
        let executed = match ran {
            Ok(executed) => executed,
            Err(ExecuteError::Work(halt)) => {
                return Err(ExecuteError::Work(self.stop(&claim, halt).await).into());
            }
            Err(ExecuteError::LostOwnership { why, result }) => {
                return Err(ExecuteError::LostOwnership { why, result }.into());
            }
            Err(ExecuteError::NotStored { cause, result }) => {
                return Err(ExecuteError::NotStored { cause, result }.into());
            }
            Err(ExecuteError::NotRun(error)) => return Err(ExecuteError::NotRun(error).into()),
        };
        if let Some((why, value)) = unencoded
            && let Executed::Ran(done) = executed
        {
            return Err(TypedError::NotEncoded { why, value, done: Box::new(done) });
        }
        executed.try_map(read)
    }

    /// Gives the identity up as far as that loses nothing (invariant 6).
    async fn stop(&self, claim: &Claim<B>, halt: Halt) -> Stopped {
        let certainty = self.end_of(&halt).certainty();
        let given_up = match certainty {
            Some(certainty) => give_up(claim, certainty).await,
            None => None,
        };
        let next = match (certainty, given_up) {
            _ if is_another_owners(&halt.error) => NextCall::AsItsOwnerDecides,
            // Gone: done by an earlier try whose reply was lost (S3).
            (Some(Certainty::NotDone), Some(AbandonOutcome::Abandoned | AbandonOutcome::Gone)) => {
                NextCall::StartsAnew
            }
            (Some(Certainty::InDoubt), Some(AbandonOutcome::Abandoned)) => NextCall::InDoubt,
            (_, Some(_)) => NextCall::AsItsOwnerDecides,
            // Left to its lease, or no word of the store.
            (_, None) if self.policy == Policy::InDoubt => NextCall::InDoubt,
            (_, None) => NextCall::Resumes {
                after: claim.lease_until().saturating_duration_since(Instant::now()).into(),
            },
        };
        Stopped { error: halt.error, next }
    }

    /// What becomes of the identity after a run that gave no result.
    fn end_of(&self, halt: &Halt) -> OnFailure {
        match (&halt.error, self.failure_does()) {
            (error, _) if is_another_owners(error) => OnFailure::Leave,
            (StepError::LedgerVersion { .. } | StepError::LedgerUnreadable { .. }, _) => {
                OnFailure::Leave
            }
            (StepError::CompensationFailed { .. }, _) => OnFailure::InDoubt,
            (_, OnFailure::Release) if !halt.holds_nothing => OnFailure::Leave,
            (_, does) => does,
        }
    }
}

/// Whether the store said that another owns the identity, or nobody.
const fn is_another_owners(error: &StepError) -> bool {
    matches!(
        error,
        StepError::Lost { why: Lost::Fenced | Lost::Gone | Lost::Conflict | Lost::Mismatch, .. }
            | StepError::NotRecorded { cause: CheckpointError::Lost(_), .. }
    )
}

/// Ends a run with its execution, however that ends: the program may have let the run out, and
/// nobody would renew for its steps.
struct EndsRun<B: Backend<Bytes = Bytes>>(Arc<Progress<B>>);

impl<B: Backend<Bytes = Bytes>> Drop for EndsRun<B> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Leaves in `unencoded` a value that has no JSON.
async fn run_program<P, F, O, B>(
    context: Context<B>,
    program: P,
    unencoded: &mut Option<(CodecError, O::Value)>,
) -> Result<ExecutionResult, Halt>
where
    P: FnOnce(Run<B>) -> F,
    F: Future<Output = Result<O, StepError>>,
    O: TypedOutput,
    B: Backend<Bytes = Bytes> + 'static,
{
    let progress = match Progress::new(context) {
        Ok(progress) => Arc::new(progress),
        Err(error) => return Err(Halt { error, holds_nothing: false }),
    };
    let _ends = EndsRun(Arc::clone(&progress));
    let returned = program(Run::new(Arc::clone(&progress))).await;
    let result = match progress.failure() {
        Some(failure) => {
            let compensated = compensate::all(&progress, returned.err()).await;
            compensated.map(|()| failure.to_result())
        }
        None => returned.and_then(|output| {
            progress.conclude()?;
            let output = output.into_result();
            let (result, fault) = output.encode(&Json);
            *unencoded = fault.map(|why| (why, output.value));
            Ok(result)
        }),
    };
    result.map_err(|error| Halt { error, holds_nothing: progress.holds_nothing() })
}

fn read<T: Schema + DeserializeOwned>(done: Done) -> Result<StepsDone<T>, TypedError<T, Stopped>> {
    if let Some(failure) = TerminalFailure::of(&done) {
        return Ok(StepsDone { outcome: Err(failure), done });
    }
    match done.decode() {
        Ok(value) => Ok(StepsDone { outcome: Ok(value), done }),
        Err(why) => Err(TypedError::Unreadable { why, done: Box::new(done) }),
    }
}
