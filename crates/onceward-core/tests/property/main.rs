//! The lifecycle beside the naive model, in random runs of several callers; and the proof that
//! such runs would catch a lifecycle with a fault in it.
//!
//! `ONCEWARD_SEED=N` replays one seed.

mod entries;
mod faults;
mod lifecycle;

use onceward_testkit::{Coverage, Failure, Plan, Why, run, seeds};

use entries::Entries;
use lifecycle::{Lifecycle, Shipped};

/// How many runs the shipped lifecycle must stand.
const RUNS: u64 = 1_000;

/// How many runs a fault may take at most.
const RUNS_PER_FAULT: u64 = 200;

/// Every third run lacks room for one of its identities, so that Refused is met too (S11).
fn plan(seed: u64) -> Plan {
    let plan = Plan::default();
    if seed % 3 == 2 { Plan { entries_max: Some(2), ..plan } } else { plan }
}

fn run_with(
    lifecycle: &dyn Lifecycle,
    seed: u64,
    coverage: &mut Coverage,
) -> Result<(), Box<Failure>> {
    let plan = plan(seed);
    run(seed, &plan, &mut Entries::new(lifecycle, &plan), coverage)
}

#[test]
fn the_lifecycle_answers_as_the_model_does_s1_to_s9_s11_s12_s19() {
    let mut coverage = Coverage::new();
    for seed in seeds(RUNS) {
        if let Err(failure) = run_with(&Shipped, seed, &mut coverage) {
            panic!("{failure}");
        }
    }
    if seeds(RUNS) != (0..RUNS) {
        return; // A replay of one seed need not meet everything.
    }
    for (operation, words) in EVERY_OUTCOME {
        for word in *words {
            let met = coverage.get(&(*operation, *word)).copied().unwrap_or(0);
            assert!(met >= 20, "{operation} was {word} {met} times: the runs prove nothing of it");
        }
    }
}

/// The table of SEMANTICS, without Expired and Unavailable, which no lifecycle answers (S23), and
/// without a Refused checkpoint, which is the store's to answer.
const EVERY_OUTCOME: &[(&str, &[&str])] = &[
    (
        "begin",
        &[
            "acquired",
            "replay",
            "in_progress",
            "mismatch",
            "need_fingerprint",
            "in_doubt",
            "refused",
            "gone",
            "bad_input",
        ],
    ),
    (
        "complete",
        &[
            "completed",
            "already_completed",
            "conflict",
            "mismatch",
            "need_fingerprint",
            "fenced",
            "gone",
        ],
    ),
    ("abandon", &["abandoned", "conflict", "fenced", "gone"]),
    ("renew", &["renewed", "mismatch", "conflict", "fenced", "gone"]),
    ("checkpoint", &["saved", "need_fingerprint", "conflict", "fenced", "gone"]),
    ("get", &["absent", "reserved", "in_doubt", "completed"]),
    (
        "resolve",
        &["resolved", "in_progress", "mismatch", "need_fingerprint", "conflict", "fenced", "gone"],
    ),
    ("forget", &["forgotten", "in_progress", "fenced", "gone"]),
];

/// The first failures that runs with a fault in them end in, one per seed.
fn failures(lifecycle: &dyn Lifecycle) -> impl Iterator<Item = Failure> {
    let run = |seed| run_with(lifecycle, seed, &mut Coverage::new()).err();
    (0..RUNS_PER_FAULT).filter_map(run).map(|failure| *failure)
}

#[test]
fn each_planted_fault_is_caught() {
    for (fault, lifecycle) in faults::all() {
        let Some(failure) = failures(*lifecycle).next() else {
            panic!("{RUNS_PER_FAULT} runs did not notice: {fault}");
        };
        println!("planted: {fault}. Caught by {failure}\n");
    }
}

/// A mistake made in the model and in the lifecycle alike would pass the comparison; what breaks
/// the promise itself is noticed without the model.
#[test]
fn faults_that_break_the_promise_are_caught_without_the_model_s2_s4_s5_s7() {
    for promise_breaker in [
        "begin takes the lease to end one millisecond early",
        "begin takes the identity to be absent one millisecond early",
        "a takeover keeps the fence",
        "a first acquisition starts again at the first fence",
        "a second result overwrites the first",
        "abandon after complete removes the result",
        "resolve as never done removes a stored result",
    ] {
        let Some((_, lifecycle)) = faults::all().find(|(fault, _)| *fault == promise_breaker)
        else {
            panic!("no such fault: {promise_breaker}");
        };
        let broken = failures(*lifecycle).any(|failure| matches!(failure.why, Why::Broken(_)));
        assert!(broken, "the promise was not seen broken: {promise_breaker}");
    }
}
