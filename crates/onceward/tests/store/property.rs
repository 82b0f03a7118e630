//! Random operations of several callers on the store and on the naive model, and the proof that
//! such runs catch a store with a fault in it.

use onceward::Limits;
use onceward_testkit::{Coverage, Failure, Plan, run, seeds};

use crate::embedded::{Embedded, Fault};

/// How many runs the store must stand.
const RUNS: u64 = 300;
/// How many runs with little memory.
const BULK_RUNS: u64 = 60;
/// How many runs a fault may take at most.
const RUNS_PER_FAULT: u64 = 100;

/// Every third run has room for fewer entries than identities, so that Refused is met too.
fn plan(seed: u64) -> Plan {
    let plan = Plan::default();
    if seed % 3 == 2 { Plan { entries_max: Some(2), ..plan } } else { plan }
}

fn run_with(seed: u64, fault: Option<Fault>, coverage: &mut Coverage) -> Result<(), Box<Failure>> {
    let plan = plan(seed);
    run(seed, &plan, &mut Embedded::new(seed, &plan, fault), coverage)
}

#[test]
fn the_store_answers_as_the_model_does_s1_to_s9_s11_s12_s19_s21() {
    let mut coverage = Coverage::new();
    for seed in seeds(RUNS) {
        if let Err(failure) = run_with(seed, None, &mut coverage) {
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

fn bulk_plan() -> Plan {
    let limits = Limits { result_bytes_max: 200_000, ..Plan::default().limits };
    Plan { limits, steps: 500, identities: 40, bulk: true, ..Plan::default() }
}

/// Little memory, and much to put there: what is refused or not kept is the store's to say, but it
/// is held to that, keeps every byte of the rest, and gives all of it back.
#[test]
fn what_is_large_is_kept_whole_or_not_at_all_s5_s7_s11_s12_s19() {
    let plan = bulk_plan();
    let mut coverage = Coverage::new();
    for seed in seeds(BULK_RUNS) {
        let mut store = Embedded::new(seed, &plan, None);
        if let Err(failure) = run(seed, &plan, &mut store, &mut coverage) {
            panic!("{failure}");
        }
        store.check_end();
    }
    if seeds(BULK_RUNS) != (0..BULK_RUNS) {
        return;
    }
    for (met, least) in [
        (("begin", "refused"), 50),
        (("begin", "acquired"), 500),
        (("begin", "replay"), 100),
        (("checkpoint", "refused"), 5),
        (("checkpoint", "saved"), 50),
    ] {
        let times = coverage.get(&met).copied().unwrap_or(0);
        assert!(times >= least, "{met:?} {times} times: the runs prove nothing of it");
    }
}

#[rustfmt::skip]
const EVERY_OUTCOME: &[(&str, &[&str])] = &[
    ("begin", &["acquired", "replay", "in_progress", "mismatch", "need_fingerprint", "in_doubt",
        "refused", "gone", "bad_input"]),
    ("complete", &["completed", "already_completed", "conflict", "mismatch", "need_fingerprint",
        "fenced", "gone"]),
    ("abandon", &["abandoned", "conflict", "fenced", "gone"]),
    ("renew", &["renewed", "mismatch", "conflict", "fenced", "gone", "bad_input"]),
    ("checkpoint", &["saved", "need_fingerprint", "conflict", "fenced", "gone", "bad_input"]),
    ("get", &["absent", "reserved", "in_doubt", "completed"]),
    ("resolve", &["resolved", "in_progress", "mismatch", "need_fingerprint", "conflict", "fenced",
        "gone"]),
    ("forget", &["forgotten", "in_progress", "fenced", "gone"]),
];

#[test]
fn the_runs_catch_every_planted_fault() {
    for fault in Fault::ALL {
        let mut coverage = Coverage::new();
        let caught =
            (0..RUNS_PER_FAULT).any(|seed| run_with(seed, Some(fault), &mut coverage).is_err());
        assert!(caught, "{fault:?} went unnoticed in {RUNS_PER_FAULT} runs");
    } // Those that a model which follows must not be led by.
    for fault in [Fault::BodyChanged, Fault::CompleteLost, Fault::LiveDropped] {
        let (plan, mut coverage) = (bulk_plan(), Coverage::new());
        let caught = (0..10).any(|seed| {
            let mut store = Embedded::new(seed, &plan, Some(fault));
            run(seed, &plan, &mut store, &mut coverage).is_err()
        });
        assert!(caught, "{fault:?} went unnoticed in bulk");
    }
}
