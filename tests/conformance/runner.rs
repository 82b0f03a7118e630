//! Runs a case on a world, step by step.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use onceward_core::{Backend, Millis};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::act::{Acted, act};
use crate::answer::Answer;
use crate::case::{Action, Case, Expect, Operation, Step, Target};
use crate::value::Tokens;
use crate::world::World;

/// A step that did not go as the case says.
pub(crate) struct Failure {
    place: String,
    case: String,
    rules: String,
    pub(crate) step: usize,
    line: usize,
    pub(crate) why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, case, rules, step, line, why } = self;
        write!(f, "{place}: {case} [{rules}]\n  step {step} (line {line}): {why}")
    }
}

/// Runs every step, or fails at the first that goes wrong. `patience` is how long an answer that
/// is due, or a count that must settle, may take.
///
/// # Errors
/// Which step, what was expected and what came.
pub(crate) async fn run<B: Backend + 'static>(
    case: &Case,
    world: &World<B>,
    patience: Duration,
) -> Result<(), Failure> {
    let mut course = Course { world, tokens: Tokens::new(), pending: HashMap::new(), patience };
    for step in &case.steps {
        if let Err(why) = course.take(step).await {
            course.pending.into_values().for_each(|handle| handle.abort());
            return Err(Failure {
                place: case.place.clone(),
                case: case.name.clone(),
                rules: case.rules.join(", "),
                step: step.number,
                line: step.line,
                why,
            });
        }
    }
    course.pending.into_values().for_each(|handle| handle.abort());
    Ok(())
}

type Handle = JoinHandle<Result<Acted, String>>;

struct Course<'a, B> {
    world: &'a World<B>,
    tokens: Tokens,
    pending: HashMap<String, Handle>,
    patience: Duration,
}

impl<B: Backend + 'static> Course<'_, B> {
    async fn take(&mut self, step: &Step) -> Result<(), String> {
        match &step.action {
            Action::Do { target, operation, expect } => {
                let backend = &*self.world.backend;
                let acted = self.within(act(backend, target, operation, &self.tokens)).await??;
                self.judge(acted, expect)
            }
            Action::Pending { target, operation, name } => {
                self.send(target, operation, name.clone()).await
            }
            Action::Answered { name, expect } => {
                let handle = self.pending.remove(name).ok_or("no such pending step")?;
                // A waiter is counted a moment before its deadline is: a tick in between passes it
                // over, and its driver, told of an earlier deadline, ticks again.
                let deadline = Instant::now() + self.patience;
                while !handle.is_finished() && Instant::now() < deadline {
                    self.world.advance(Millis::ZERO)?;
                    pause().await;
                }
                let acted = match self.within(handle).await {
                    Ok(joined) => joined.map_err(|why| why.to_string())??,
                    Err(_) => return Err(format!("`{name}` still waits; expected {expect:?}")),
                };
                self.judge(acted, expect)
            }
            Action::Unanswered { name } => self.still_waits(name).await,
            Action::Race { target, operation, callers, counts } => {
                self.race(target, operation, *callers, counts).await
            }
            Action::Advance { ms } => self.world.advance(Millis::new(*ms)),
            Action::Shutdown => {
                self.world.store.close();
                Ok(())
            }
        }
    }

    /// Compares first: a step's `>A` means the token from before its own answer.
    fn judge(&mut self, acted: Acted, expect: &Expect) -> Result<(), String> {
        if let Some(fault) = acted.answer.fault(expect, &self.tokens) {
            return Err(format!("{fault}\n  answer: {}", acted.answer));
        }
        self.tokens.extend(acted.token);
        Ok(())
    }

    /// Sends an operation that must wait, and sees it registered.
    async fn send(
        &mut self,
        target: &Target,
        operation: &Operation,
        name: String,
    ) -> Result<(), String> {
        let before = self.waiters().await?;
        let handle = self.spawn(target, operation);
        let deadline = Instant::now() + self.patience;
        while self.waiters().await? != before + 1 {
            if handle.is_finished() {
                let acted = handle.await.map_err(|why| why.to_string())??;
                return Err(format!("`{name}` must wait, and was answered {}", acted.answer));
            }
            if Instant::now() > deadline {
                return Err(format!("`{name}` was neither answered nor counted as waiting"));
            }
            pause().await;
        }
        match self.pending.insert(name, handle) {
            None => Ok(()),
            Some(_) => Err("a pending step of this name is there already".into()),
        }
    }

    /// The store takes a waiter off its count as it answers it; so once the count is that of the
    /// unfinished, whatever was answered has arrived, and the rest still waits.
    async fn still_waits(&self, name: &str) -> Result<(), String> {
        let handle = self.pending.get(name).ok_or("no such pending step")?;
        let deadline = Instant::now() + self.patience;
        loop {
            let unfinished = self.pending.values().filter(|handle| !handle.is_finished()).count();
            let waiters = self.waiters().await?;
            if handle.is_finished() {
                return Err(format!("`{name}` was answered, and must still wait"));
            }
            if waiters == unfinished as u64 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{waiters} waiters counted while {unfinished} wait"));
            }
            pause().await;
        }
    }

    async fn race(
        &mut self,
        target: &Target,
        operation: &Operation,
        callers: usize,
        expected: &BTreeMap<String, usize>,
    ) -> Result<(), String> {
        let mut racing = JoinSet::new();
        for caller in 0..callers {
            let mut operation = operation.clone();
            if let Operation::Begin { attempt, .. } = &mut operation {
                *attempt = format!("race-{caller}");
            }
            let (backend, target) = (Arc::clone(&self.world.backend), target.clone());
            racing.spawn(async move { act(&*backend, &target, &operation, &Tokens::new()).await });
        }
        let mut counts = BTreeMap::new();
        while let Some(joined) = self.within(racing.join_next()).await? {
            let acted = joined.map_err(|why| why.to_string())??;
            *counts.entry(acted.answer.word().to_owned()).or_insert(0) += 1;
        }
        if counts == *expected {
            return Ok(());
        }
        Err(format!("expected {expected:?}, got {counts:?}"))
    }

    fn spawn(&self, target: &Target, operation: &Operation) -> Handle {
        let backend = Arc::clone(&self.world.backend);
        let (target, operation, tokens) = (target.clone(), operation.clone(), self.tokens.clone());
        tokio::spawn(async move { act(&*backend, &target, &operation, &tokens).await })
    }

    async fn waiters(&self) -> Result<u64, String> {
        let stats = self.world.backend.stats().await.map_err(|why| why.to_string())?;
        Answer::from(&stats).figure("waiters").ok_or_else(|| "no `waiters` in stats".into())
    }

    async fn within<T>(&self, future: impl Future<Output = T>) -> Result<T, String> {
        let patience = self.patience;
        tokio::time::timeout(patience, future)
            .await
            .map_err(|_| format!("no answer in {patience:?}"))
    }
}

/// Between two looks of a poll with a deadline.
async fn pause() {
    sleep(Duration::from_millis(1)).await;
}
