//! A store with a clock of the test's own, a booking of three steps, and a script of what happens
//! in each.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use onceward::{Store, StoreConfig};
use onceward_client::*;
use onceward_testkit::ManualClock;
use serde::{Deserialize, Serialize};

pub(crate) const LEASE: Millis = Begin::LEASE_DEFAULT;

pub(crate) const STEPS: [&str; 3] = ["truck", "ferry", "driver"];

pub(crate) fn key() -> ScopedKeyBuf {
    ScopedKeyBuf::new("tenant-9", "booking-1").unwrap()
}

/// The attempts that ran the steps: what the booking returns.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct RanBy(pub(crate) Vec<u32>);

impl Schema for RanBy {
    const TAG: &'static str = "ran-by/1";
}

pub(crate) type Answer = Result<Executed<StepsDone<RanBy>>, TypedError<RanBy, Stopped>>;

/// Why and with what prospect a run stopped.
pub(crate) fn stopped(answer: Answer) -> (StepError, NextCall) {
    match answer {
        Err(TypedError::Execute(ExecuteError::Work(Stopped { error, next }))) => (error, next),
        other => panic!("it did not stop: {other:?}"),
    }
}

pub(crate) fn outcome(answer: Answer) -> Result<RanBy, TerminalFailure> {
    answer.unwrap().into_done().unwrap().outcome
}

/// What happens in one call of a step or of a compensation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Act {
    Succeed,
    FailForNow,
    FailForGood,
    /// The run's future is dropped here, and its lease ends.
    Crash,
    Panic,
}

/// A store, and what happens in it.
pub(crate) struct Scene {
    pub(crate) client: Client,
    pub(crate) script: Script,
    store: Store,
    clock: Arc<ManualClock>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new(1_000));
        let store = Store::new(StoreConfig::default(), Arc::clone(&clock) as _).unwrap();
        let client = Client::embedded(store.clone(), "orders").unwrap();
        Self { client, script: Script::default(), store, clock }
    }

    /// Ends every lease that runs.
    pub(crate) fn lapse(&self) {
        let now = self.clock.advance(LEASE);
        self.store.tick(now, usize::MAX);
    }

    pub(crate) async fn book(&self) -> Answer {
        self.book_with(&self.client.execution()).await
    }

    /// Three steps, each with a compensation. Crash-free, or it never returns.
    pub(crate) async fn book_with(&self, execution: &Execution) -> Answer {
        execution
            .execute_steps(key(), Fingerprint::None, |run| booking(run, self.script.clone()))
            .await
    }

    /// Books until [`Act::Crash`], and drops the run there. The lease is over afterwards.
    pub(crate) async fn crash(&self) {
        self.crash_with(self.book()).await;
    }

    pub(crate) async fn crash_with<T: std::fmt::Debug>(&self, running: impl Future<Output = T>) {
        tokio::select! {
            biased;
            () = self.script.crashed() => {}
            answer = running => panic!("it was to crash: {answer:?}"),
        }
        self.lapse();
    }

    pub(crate) async fn state(&self) -> &'static str {
        self.client.get(key().as_ref(), &Get::default()).await.unwrap().name()
    }
}

pub(crate) async fn booking(mut run: Run, script: Script) -> Result<RanBy, StepError> {
    let mut ran_by = Vec::new();
    for name in STEPS {
        let undo = script.clone();
        let step = run.step(name, |context| script.act(context, None));
        let step = step.compensate(move |ran_by: u32, context| {
            let undo = undo.clone();
            async move { undo.act(context, Some(ran_by)).await.map(drop) }
        });
        ran_by.push(step.await?);
    }
    Ok(RanBy(ran_by))
}

/// What is to happen in each call, and what did.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<ScriptState>);

#[derive(Default)]
struct ScriptState {
    acts: Mutex<HashMap<String, VecDeque<Act>>>,
    diary: Mutex<Vec<String>>,
    crash: tokio::sync::Notify,
}

impl Script {
    /// Calls of `name` (a step, or `undo` and a step) do this in turn, and then succeed.
    pub(crate) fn plan(&self, name: &str, acts: impl IntoIterator<Item = Act>) {
        self.0.acts.lock().unwrap().entry(name.to_owned()).or_default().extend(acts);
    }

    pub(crate) fn note(&self, line: impl Into<String>) {
        self.0.diary.lock().unwrap().push(line.into());
    }

    /// Calls since last asked.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.diary.lock().unwrap())
    }

    /// What is planned for this call; another one comes next.
    pub(crate) fn planned(&self, name: &str) -> Act {
        let planned = self.0.acts.lock().unwrap().get_mut(name).and_then(VecDeque::pop_front);
        planned.unwrap_or(Act::Succeed)
    }

    pub(crate) async fn crashed(&self) {
        self.0.crash.notified().await;
    }

    /// Never returns: the run is dropped.
    pub(crate) async fn crash_here(&self) -> ! {
        self.0.crash.notify_one();
        std::future::pending().await
    }

    /// A step without compensation that does what is planned.
    pub(crate) async fn act_as(&self, run: &mut Run, name: &str) -> Result<u32, StepError> {
        run.step(name, |context| self.act(context, None)).await
    }

    /// One call: notes it, and returns the number of the attempt.
    pub(crate) async fn act(
        &self,
        context: StepContext,
        undoes: Option<u32>,
    ) -> Result<u32, StepFailure> {
        let name = match undoes {
            Some(_) => format!("undo {}", context.name()),
            None => context.name().to_owned(),
        };
        self.note(match undoes {
            Some(ran_by) => format!("{name} of {ran_by}"),
            None => name.clone(),
        });
        match self.planned(&name) {
            Act::Succeed => Ok(context.attempt_number()),
            Act::FailForNow => Err(StepFailure::retryable("busy")),
            Act::FailForGood => Err(StepFailure::terminal("sold out")),
            Act::Crash => self.crash_here().await,
            // Past the panic hook: what is scripted is no news.
            Act::Panic => std::panic::resume_unwind(Box::new("scripted")),
        }
    }
}
