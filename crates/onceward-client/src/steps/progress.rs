//! How far a run has come: its ledger, and what has not become a fact yet.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use onceward_claim::{Backoff, Lost};
use onceward_core::{Backend, BackendError};
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::error::StepError;
use super::failure::{StepFailure, TerminalFailure};
use super::ledger::{Fact, LEDGER_BYTES_MAX, Ledger};
use super::name;
use super::step_context::StepContext;
use super::step_retry::StepRetry;
use crate::context::{CheckpointError, Context};

/// Pauses between saves that get no answer: from, to.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// A compensation under way.
pub(super) type Undoing = Pin<Box<dyn Future<Output = Result<(), StepFailure>> + Send>>;

/// Starts one try of a compensation, given the step's recorded result.
pub(super) type Undo<B> =
    Box<dyn FnMut(&RawValue, StepContext<B>) -> Result<Undoing, serde_json::Error> + Send>;

/// A compensation that the program gave, with its tries.
pub(super) struct Compensation<B> {
    pub(super) undo: Undo<B>,
    pub(super) retry: StepRetry,
}

/// Shared by the program's [`Run`](super::run::Run) and by what ends it. The lock is never held
/// across an await.
pub(super) struct Progress<B> {
    pub(super) context: Context<B>,
    state: Mutex<State<B>>,
}

struct State<B> {
    ledger: Ledger,
    /// Of the latest checkpoint, a predecessor's included; only grows (S19).
    ordinal: u32,
    /// What this program has come to, fact by fact; grows with the ledger.
    reached: Vec<Reached<B>>,
    /// The step that started and is no fact yet: its side effect may have happened.
    open: Option<String>,
    /// An error was given to the program, or it has returned: no step starts any more.
    ended: bool,
    /// A step failed for now, each time, and so is harmless to repeat.
    exhausted: bool,
}

/// What this program has done about one fact of the ledger.
enum Reached<B> {
    /// Nothing yet: a predecessor recorded it.
    NotYet,
    Passed(Option<Compensation<B>>),
}

/// A fact to be compensated.
pub(super) struct ToUndo<B> {
    pub(super) step: String,
    pub(super) result: Box<RawValue>,
    pub(super) compensation: Compensation<B>,
}

/// What a step finds.
pub(super) enum Arrival<B> {
    /// A predecessor finished it.
    Finished(Box<RawValue>),
    /// It runs, and takes its compensation along.
    Runs(Option<Compensation<B>>),
}

impl<B: Backend<Bytes = Bytes>> Progress<B> {
    /// Reads what a predecessor left.
    pub(super) fn new(context: Context<B>) -> Result<Self, StepError> {
        let (ledger, ordinal) = match context.checkpoint() {
            Some(left) => (Ledger::decode(&left.bytes)?, left.ordinal),
            None => (Ledger::new(), 0),
        };
        let reached = ledger.steps.iter().map(|_| Reached::NotYet).collect();
        let state = State { ledger, ordinal, reached, open: None, ended: false, exhausted: false };
        Ok(Self { context, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        // A panic under the lock can only come from an allocation; each change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arrive(
        &self,
        step: &str,
        compensation: Option<Compensation<B>>,
    ) -> Result<Arrival<B>, StepError> {
        name::check(step)?;
        let mut state = self.state();
        if let Some(open) = &state.open {
            return Err(StepError::CutOff { step: open.clone() });
        }
        if state.ended {
            return Err(StepError::Ended);
        }
        if let Some(at) = state.ledger.position(step) {
            if matches!(state.reached[at], Reached::Passed(_)) {
                return Err(StepError::Duplicate { step: step.to_owned() });
            }
            state.reached[at] = Reached::Passed(compensation);
            return Ok(Arrival::Finished(state.ledger.steps[at].result.clone()));
        }
        state.all_reached()?;
        if let Some(failed) = &state.ledger.failed {
            return Err(StepError::Failed(failed.failure()));
        }
        drop(state);
        self.check_owner(step)?;
        self.state().open = Some(step.to_owned());
        Ok(Arrival::Runs(compensation))
    }

    pub(super) fn check_owner(&self, step: &str) -> Result<(), StepError> {
        if self.context.is_owner() {
            return Ok(());
        }
        let why = self.context.lost().unwrap_or(Lost::LeaseEnded);
        Err(StepError::Lost { step: step.to_owned(), why })
    }

    /// The step that is open failed for now, each time: repeating it is harmless by its own word.
    pub(super) fn exhausted(&self) {
        let mut state = self.state();
        state.open = None;
        state.exhausted = true;
    }

    /// No step starts any more.
    pub(super) fn end(&self) {
        self.state().ended = true;
    }

    /// Makes a fact of the step that is open.
    pub(super) async fn finish(
        &self,
        step: &str,
        result: Box<RawValue>,
        compensation: Option<Compensation<B>>,
    ) -> Result<(), StepError> {
        let (ordinal, bytes) = {
            let mut state = self.state();
            let undo = compensation.is_some();
            state.ledger.steps.push(Fact { name: step.to_owned(), result, undo });
            let bytes = state.ledger.encode();
            if bytes.len() > LEDGER_BYTES_MAX {
                state.ledger.steps.pop();
                return Err(StepError::LedgerFull { step: step.to_owned(), bytes: bytes.len() });
            }
            state.reached.push(Reached::Passed(compensation));
            state.ordinal += 1;
            (state.ordinal, bytes)
        };
        self.save(step, ordinal, &bytes).await?;
        self.state().open = None;
        Ok(())
    }

    /// Records that the step that is open failed for good.
    pub(super) async fn fail(&self, failure: TerminalFailure) -> Result<(), StepError> {
        let step = failure.step.clone();
        let (ordinal, bytes) = {
            let mut state = self.state();
            state.ledger.failed = Some(failure.into());
            state.ordinal += 1;
            (state.ordinal, state.ledger.encode())
        };
        self.save(&step, ordinal, &bytes).await?;
        self.state().open = None;
        Ok(())
    }

    /// The failure that a step recorded, in this run or in a predecessor's.
    pub(super) fn failure(&self) -> Option<TerminalFailure> {
        self.state().ledger.failed.as_ref().map(super::ledger::Failed::failure)
    }

    /// Whether every step that started is a fact, or harmless to repeat.
    pub(super) fn check_closed(&self) -> Result<(), StepError> {
        match &self.state().open {
            Some(open) => Err(StepError::CutOff { step: open.clone() }),
            None => Ok(()),
        }
    }

    /// Ends a program that may be done: no step gave it an error, none is open, and it has come to
    /// every fact. No step starts from then on.
    pub(super) fn conclude(&self) -> Result<(), StepError> {
        let mut state = self.state();
        if let Some(open) = &state.open {
            return Err(StepError::CutOff { step: open.clone() });
        }
        if state.ended {
            return Err(StepError::Ended);
        }
        state.all_reached()?;
        state.ended = true;
        Ok(())
    }

    /// Whether the identity may be given up without losing anything: no fact is recorded, and no
    /// side effect may have happened unrecorded, by a predecessor in the first step either, unless
    /// this run has tried that step and it is harmless to repeat.
    pub(super) fn holds_nothing(&self) -> bool {
        let state = self.state();
        let ledger = &state.ledger;
        let first = self.context.attempt_number() == 1 || state.exhausted;
        first && ledger.steps.is_empty() && ledger.failed.is_none() && state.open.is_none()
    }

    /// The last fact that is still to be compensated, with what the program gave for it.
    pub(super) fn next_to_undo(&self) -> Result<Option<ToUndo<B>>, StepError> {
        let mut state = self.state();
        let state = &mut *state;
        let Some(failed) = &mut state.ledger.failed else { return Ok(None) };
        while let Some(at) = (state.ledger.steps.len() - failed.undone).checked_sub(1) {
            let fact = &state.ledger.steps[at];
            let given = match &mut state.reached[at] {
                Reached::NotYet => None,
                Reached::Passed(compensation) => compensation.take(),
            };
            if let Some(compensation) = given {
                let (step, result) = (fact.name.clone(), fact.result.clone());
                return Ok(Some(ToUndo { step, result, compensation }));
            }
            if fact.undo {
                return Err(StepError::NoCompensation { step: fact.name.clone() });
            }
            failed.undone += 1;
        }
        Ok(None)
    }

    /// Records that the compensation of `step`, the last fact not undone, is done.
    pub(super) async fn undone(&self, step: &str) -> Result<(), StepError> {
        let (ordinal, bytes) = {
            let mut state = self.state();
            let failed = state.ledger.failed.as_mut().expect("only a failed run compensates");
            failed.undone += 1;
            state.ordinal += 1;
            (state.ordinal, state.ledger.encode())
        };
        self.save(step, ordinal, &bytes).await
    }

    /// Saves the ledger, repeating the same save while it gets no answer and the lease runs.
    async fn save(&self, step: &str, ordinal: u32, bytes: &[u8]) -> Result<(), StepError> {
        let mut pauses = Backoff::new(PAUSE_MIN, PAUSE_MAX);
        let cause = loop {
            match self.context.save_checkpoint(ordinal, bytes).await {
                Ok(held) if held == ordinal => return Ok(()),
                // Somebody else saved under this token: what is held is not this ledger (S19).
                Ok(_) => {
                    let message = "another writer saves checkpoints under this token".to_owned();
                    break CheckpointError::Client(BackendError::Unavailable { message }.into());
                }
                Err(CheckpointError::Client(error)) if error.is_retryable() => {
                    let left = self.context.lease_left();
                    if left.is_zero() {
                        break CheckpointError::Client(error);
                    }
                    tracing::debug!(%error, step, "the ledger is not saved, repeating it");
                    sleep(pauses.next().min(left)).await;
                }
                Err(error) => break error,
            }
        };
        Err(StepError::NotRecorded { step: step.to_owned(), cause })
    }
}

impl<B> State<B> {
    fn all_reached(&self) -> Result<(), StepError> {
        match self.reached.iter().position(|reached| matches!(reached, Reached::NotYet)) {
            Some(at) => Err(StepError::Diverged { finished: self.ledger.steps[at].name.clone() }),
            None => Ok(()),
        }
    }
}
