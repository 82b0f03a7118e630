//! Random programs with random failures and crashes, against a model too plain to be wrong.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use onceward_client::*;
use onceward_testkit::{SplitMix64, seeds};

use super::scene::{Act, Answer, RanBy, Scene, Script, key};

const RUNS: u64 = 1_000;
const STEPS_MAX: u64 = 6;
/// Most calls until a key has its last word: every planned crash, panic and exhaustion.
const CALLS_MAX: usize = 60;

/// A program: its steps' names, and whether each has a compensation.
type Program = Vec<(String, bool)>;
type Acts = HashMap<String, VecDeque<Act>>;

/// What a call comes to.
#[derive(Clone, Debug, Eq, PartialEq)]
enum End {
    Done(Vec<u32>),
    Failed(String),
    InDoubt,
    Resumes,
    StartsAnew,
    Crash,
    Panic,
}

impl End {
    const fn name(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Failed(_) => "failed",
            Self::InDoubt => "in doubt",
            Self::Resumes => "resumes",
            Self::StartsAnew => "starts anew",
            Self::Crash => "crash",
            Self::Panic => "panic",
        }
    }
}

/// Facts in a list, nothing saved, nothing encoded, no ordinals, no leases.
#[derive(Default)]
struct Model {
    attempt: u32,
    /// Step, the attempt that ran it, and whether it is still to be undone.
    facts: Vec<(String, u32, bool)>,
    failed: Option<String>,
}

impl Model {
    /// One call, and the lines that it leaves in the diary.
    fn call(&mut self, program: &Program, acts: &mut Acts) -> (Vec<String>, End) {
        let mut diary = Vec::new();
        self.attempt += 1;
        let end = self.forward(program, acts, &mut diary);
        let end = end.unwrap_or_else(|| self.backward(acts, &mut diary));
        if end == End::StartsAnew {
            *self = Self::default();
        }
        (diary, end)
    }

    /// `None`: a step has failed for good.
    fn forward(
        &mut self,
        program: &Program,
        acts: &mut Acts,
        diary: &mut Vec<String>,
    ) -> Option<End> {
        for (name, undo) in program {
            if next(acts, &format!("before {name}")) == Act::Crash {
                return Some(End::Crash);
            }
            if self.facts.iter().any(|(fact, ..)| fact == name) {
                continue;
            }
            if self.failed.is_some() {
                return None;
            }
            let mut tries = 3;
            loop {
                diary.push(name.clone());
                match next(acts, name) {
                    Act::Succeed => break,
                    Act::FailForNow if tries > 1 => tries -= 1,
                    Act::FailForNow if self.facts.is_empty() => return Some(End::StartsAnew),
                    Act::FailForNow => return Some(End::Resumes),
                    Act::FailForGood => {
                        self.failed = Some(name.clone());
                        return None;
                    }
                    Act::Crash => return Some(End::Crash),
                    Act::Panic => return Some(End::Panic),
                }
            }
            self.facts.push((name.clone(), self.attempt, *undo));
        }
        Some(End::Done(self.facts.iter().map(|(_, attempt, _)| *attempt).collect()))
    }

    fn backward(&mut self, acts: &mut Acts, diary: &mut Vec<String>) -> End {
        for (name, attempt, undo) in self.facts.iter_mut().rev().filter(|(.., undo)| *undo) {
            let mut tries = 8;
            loop {
                diary.push(format!("undo {name} of {attempt}"));
                match next(acts, &format!("undo {name}")) {
                    Act::Succeed => break,
                    Act::FailForNow if tries > 1 => tries -= 1,
                    Act::FailForNow => return End::Resumes,
                    Act::FailForGood => return End::InDoubt,
                    Act::Crash => return End::Crash,
                    Act::Panic => return End::Panic,
                }
            }
            *undo = false;
        }
        End::Failed(self.failed.clone().expect("else it does not go back"))
    }
}

fn next(acts: &mut Acts, call: &str) -> Act {
    acts.get_mut(call).and_then(VecDeque::pop_front).unwrap_or(Act::Succeed)
}

fn random_program(random: &mut SplitMix64) -> (Program, Acts) {
    let count = random.within(0..STEPS_MAX + 1);
    let mut acts = Acts::new();
    let mut draw = |random: &mut SplitMix64, call: String, weights: &[(Act, u64)]| {
        let count = if random.chance(60) { random.within(0..12) } else { 0 };
        let acts: &mut VecDeque<_> = acts.entry(call).or_default();
        for _ in 0..count {
            let mut left = random.within(0..100);
            let drawn = weights.iter().find(|(_, weight)| {
                let here = left < *weight;
                left = left.saturating_sub(*weight);
                here
            });
            acts.push_back(drawn.map_or(Act::Succeed, |(act, _)| *act));
        }
    };
    let program: Program =
        (0..count).map(|number| (format!("step-{number}"), random.chance(70))).collect();
    use Act::{Crash, FailForGood, FailForNow, Panic};
    for (name, _) in &program {
        draw(random, format!("before {name}"), &[(Crash, 20)]);
        let step = [(Crash, 15), (FailForNow, 40), (FailForGood, 8), (Panic, 5)];
        draw(random, name.clone(), &step);
        let undo = [(Crash, 8), (FailForNow, 85), (FailForGood, 1), (Panic, 2)];
        draw(random, format!("undo {name}"), &undo);
    }
    (program, acts)
}

async fn run_program(mut run: Run, program: &Program, script: Script) -> Result<RanBy, StepError> {
    let mut ran_by = Vec::new();
    for (name, has_undo) in program {
        if script.planned(&format!("before {name}")) == Act::Crash {
            script.crash_here().await;
        }
        let undo = script.clone();
        let mut step = run.step(name, |context| script.act(context, None));
        if *has_undo {
            step = step.compensate(move |ran_by, context| {
                let undo = undo.clone();
                async move { undo.act(context, Some(ran_by)).await.map(drop) }
            });
        }
        ran_by.push(step.await?);
    }
    Ok(RanBy(ran_by))
}

/// One call of the real thing; the lease is over afterwards.
async fn call(scene: &Scene, program: &Program) -> End {
    let execution = scene.client.execution();
    let running = execution.execute_steps(key(), Fingerprint::None, |run| {
        run_program(run, program, scene.script.clone())
    });
    let end = tokio::select! {
        biased;
        () = scene.script.crashed() => End::Crash,
        ended = AssertUnwindSafe(running).catch_unwind() => match ended {
            Ok(answer) => end_of(answer),
            Err(_) => End::Panic,
        },
    };
    scene.lapse();
    end
}

fn end_of(answer: Answer) -> End {
    match answer {
        Ok(executed) => match executed.into_done().unwrap().outcome {
            Ok(RanBy(attempts)) => End::Done(attempts),
            Err(failure) => End::Failed(failure.step),
        },
        Err(TypedError::Execute(ExecuteError::Work(stopped))) => match stopped.next {
            NextCall::Resumes { .. } => End::Resumes,
            NextCall::StartsAnew => End::StartsAnew,
            NextCall::InDoubt => End::InDoubt,
            NextCall::AsItsOwnerDecides => panic!("{stopped}"),
        },
        Err(other) => panic!("{other}"),
    }
}

async fn check(seed: u64, ends: &mut BTreeMap<&'static str, u64>) {
    let mut random = SplitMix64::new(seed);
    let (program, mut acts) = random_program(&mut random);
    let (scene, mut model) = (Scene::new(), Model::default());
    for (name, acts) in &acts {
        scene.script.plan(name, acts.iter().copied());
    }
    for number in 0..CALLS_MAX {
        let why = format!("ONCEWARD_SEED={seed}, call {number}, {program:?}");
        let (diary, end) = model.call(&program, &mut acts);
        let got = call(&scene, &program).await;
        assert_eq!(scene.script.take(), diary, "{why}: what ran");
        assert_eq!(got, end, "{why}: how it ended");
        *ends.entry(end.name()).or_default() += 1;
        match end {
            End::Done(_) | End::Failed(_) => {
                assert_eq!(call(&scene, &program).await, end, "{why}: a retry");
                assert!(scene.script.take().is_empty(), "{why}: a retry runs nothing");
                return;
            }
            End::InDoubt => return,
            End::Resumes | End::StartsAnew | End::Crash | End::Panic => {}
        }
    }
    panic!("ONCEWARD_SEED={seed}: no last word after {CALLS_MAX} calls");
}

#[test]
fn random_programs_with_random_crashes_do_what_the_model_does_s3_s8_s19() {
    let seeds = seeds(RUNS);
    let alone = seeds.end - seeds.start == 1;
    let mut ends = BTreeMap::new();
    for seed in seeds {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(check(seed, &mut ends));
    }
    println!("{ends:?}");
    assert!(alone || ends.len() == 7, "every end is met: {ends:?}");
}
