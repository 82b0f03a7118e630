//! One seeded run of a store beside the model.

use core::fmt;
use std::collections::BTreeMap;

use onceward_core::{Limits, Millis, Timestamp};

use crate::fences::{Difference, FenceMap};
use crate::generator::Generator;
use crate::model::Model;
use crate::operation::{Operation, Outcome, Step};
use crate::watch::{BrokenPromise, Watch};

/// What is held to the model. Its clock stands at [`Plan::start`] when a run begins.
pub trait Subject {
    /// Moves the clock forward to `now`, or leaves it there.
    fn move_clock(&mut self, now: Timestamp);

    /// Puts one operation, whose fences are the subject's own, to it. Waits are zero.
    fn apply(&mut self, identity: u32, operation: &Operation) -> Outcome;
}

/// The shape of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Where the clock stands at first.
    pub start: Timestamp,
    /// How many steps.
    pub steps: usize,
    /// How many callers.
    pub callers: u32,
    /// How many identities they share.
    pub identities: u32,
    /// What both the model and the subject are limited by.
    pub limits: Limits,
    /// Entries that both have room for; `None` for as many as there are identities.
    pub entries_max: Option<usize>,
    /// Results and checkpoints of every size, retentions of every length. What there is no room
    /// for is then the subject's to say, and is held to that.
    pub bulk: bool,
}

impl Default for Plan {
    /// 300 steps of 4 callers on 3 identities, and limits low enough to be met.
    fn default() -> Self {
        Self {
            start: Timestamp::from_millis(1_000),
            steps: 300,
            callers: 4,
            identities: 3,
            limits: Limits {
                result_bytes_max: 64,
                attempt_memory: Millis::new(300),
                ..Limits::DEFAULT
            },
            entries_max: None,
            bulk: false,
        }
    }
}

/// How often each outcome was seen, by operation and word: what a run has covered.
pub type Coverage = BTreeMap<(&'static str, &'static str), u64>;

/// Puts the steps of `seed` to `subject` and to a model, and adds what was seen to `coverage`.
///
/// After each operation the identity is looked at, and after each move of the clock all are, so
/// that a wrong change is found where it was made rather than where it first matters.
///
/// # Errors
/// The first [`Failure`]: an answer that differs from the model's, or breaks a promise.
pub fn run(
    seed: u64,
    plan: &Plan,
    subject: &mut impl Subject,
    coverage: &mut Coverage,
) -> Result<(), Box<Failure>> {
    let mut model = Model::new(plan.limits, plan.start);
    if let Some(entries_max) = plan.entries_max {
        model = model.with_room_for(entries_max);
    }
    let mut generator = Generator::new(seed, plan.callers, plan.identities, plan.limits);
    if plan.bulk {
        model = model.with_scarce_room();
        generator = generator.in_bulk();
    }
    let follows = plan.bulk;
    let mut pair = Pair {
        seed,
        follows,
        model,
        fences: FenceMap::new(),
        watch: Watch::new(),
        trace: Vec::new(),
    };
    for _ in 0..plan.steps {
        let step = generator.next(&pair.model);
        pair.trace.push(step.clone());
        match step {
            Step::MoveClock(now) => {
                pair.model.move_clock(now);
                subject.move_clock(now);
                for identity in 0..plan.identities {
                    pair.ask(identity, &Operation::Get, subject)?;
                }
            }
            Step::Ask { identity, operation, .. } => {
                let outcome = pair.ask(identity, &operation, subject)?;
                *coverage.entry((operation.name(), outcome.name())).or_default() += 1;
                generator.observe(identity, &outcome);
                pair.ask(identity, &Operation::Get, subject)?;
            }
        }
    }
    Ok(())
}

struct Pair {
    seed: u64,
    /// The model takes what it may leave to the subject from it.
    follows: bool,
    model: Model,
    fences: FenceMap,
    watch: Watch,
    trace: Vec<Step>,
}

impl Pair {
    /// Asks both; the model's outcome if they agree.
    fn ask(
        &mut self,
        identity: u32,
        operation: &Operation,
        subject: &mut impl Subject,
    ) -> Result<Outcome, Box<Failure>> {
        let translated = self.fences.translate(identity, operation);
        let actual = subject.apply(identity, &translated);
        let expected = if self.follows {
            self.model.follow(identity, operation, &actual)
        } else {
            self.model.apply(identity, operation)
        };
        let now = self.model.now();
        let watched = self.watch.see(now, identity, &translated, &actual);
        let compared = self.fences.compare(identity, &expected, &actual);
        let why = match (watched, compared) {
            (Ok(()), Ok(())) => return Ok(expected),
            (Err(broken), _) => Why::Broken(broken),
            (Ok(()), Err(difference)) => Why::Differs(difference),
        };
        let operation = operation.clone();
        let trace = core::mem::take(&mut self.trace);
        Err(Box::new(Failure { seed: self.seed, now, identity, operation, why, trace }))
    }
}

/// Why a run failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Why {
    /// The subject departs from the model.
    Differs(Difference),
    /// The subject's answers break a promise, whatever the model says.
    Broken(BrokenPromise),
}

/// A run that failed. Its text has the seed, the reason and the steps that led there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Repeats the run.
    pub seed: u64,
    /// When, on the run's clock.
    pub now: Timestamp,
    /// About which identity.
    pub identity: u32,
    /// Asked last. A look after a step is not in the trace.
    pub operation: Operation,
    /// What was wrong.
    pub why: Why,
    /// Every step so far.
    pub trace: Vec<Step>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} (replay with ONCEWARD_SEED={}):", self.seed, self.seed)?;
        let mut clock = None;
        for (number, step) in self.trace.iter().enumerate() {
            match step {
                Step::MoveClock(now) => clock = Some(now),
                Step::Ask { identity, .. } if *identity != self.identity => {}
                Step::Ask { caller, operation, .. } => {
                    if let Some(now) = clock.take() {
                        writeln!(f, "  step {number}: at {} ms", now.as_millis())?;
                    }
                    writeln!(f, "  step {number}: caller {caller}: {operation}")?;
                }
            }
        }
        let (now, identity) = (self.now.as_millis(), self.identity);
        writeln!(f, "  at {now} ms, identity {identity}, asked {}:", self.operation)?;
        match &self.why {
            Why::Differs(difference) => write!(f, "  {difference}"),
            Why::Broken(broken) => write!(f, "  {broken}"),
        }
    }
}

impl core::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model is a subject as well; this one may be told to mishear.
    struct Echo {
        model: Model,
        deaf_to_forget: bool,
    }

    impl Echo {
        fn new(plan: &Plan, deaf_to_forget: bool) -> Self {
            Self { model: Model::new(plan.limits, plan.start), deaf_to_forget }
        }
    }

    impl Subject for Echo {
        fn move_clock(&mut self, now: Timestamp) {
            self.model.move_clock(now);
        }

        fn apply(&mut self, identity: u32, operation: &Operation) -> Outcome {
            if self.deaf_to_forget
                && let Operation::Forget(_) = operation
            {
                let mut copy = self.model.clone();
                return copy.apply(identity, operation);
            }
            self.model.apply(identity, operation)
        }
    }

    #[test]
    fn a_run_is_repeated_by_its_seed_and_tells_how_it_failed() {
        let plan = Plan::default();
        let covered = |seed| {
            let mut coverage = Coverage::new();
            run(seed, &plan, &mut Echo::new(&plan, false), &mut coverage).map(|()| coverage)
        };
        assert_eq!(covered(3), covered(3));
        assert_ne!(covered(3), covered(4));
        let failure = run(3, &plan, &mut Echo::new(&plan, true), &mut Coverage::new());
        let text = failure.expect_err("what is forgotten must be absent").to_string();
        assert!(text.starts_with("seed 3 (replay with ONCEWARD_SEED=3):"), "{text}");
        assert!(text.contains("forget fence"), "{text}");
        assert!(text.contains("the rules say: Absent; got: "), "{text}");
    }
}
