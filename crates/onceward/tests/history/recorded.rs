//! Histories of the store itself.

use onceward::{Body, CompleteOutcome};
use onceward_testkit::{Event, Happened, Outcome, seeds};

use crate::recorder::{Shown, run};

/// How many runs, unless `ONCEWARD_HISTORIES` says otherwise.
const RUNS: u64 = 40;

fn runs() -> u64 {
    match std::env::var("ONCEWARD_HISTORIES") {
        Ok(text) => text.parse().expect("ONCEWARD_HISTORIES must be a decimal number"),
        Err(_) => RUNS,
    }
}

#[test]
fn what_eight_threads_see_has_an_order_that_the_rules_allow_s1_to_s10_s19() {
    let mut shown = Shown::default();
    for seed in seeds(runs()) {
        if let Err(impossible) = run(seed, &mut shown, &mut |_, _| ()) {
            panic!("seed {seed} (replay with ONCEWARD_SEED={seed}):\n{impossible}");
        }
    }
    println!(
        "{} calls, {} of them while another was under way, {} waits, at most {} pairs",
        shown.calls, shown.overlapping, shown.waits, shown.pairs_most
    );
    if seeds(1) != (0..1) {
        return; // A replay of one seed need not meet everything.
    }
    for (operation, words) in MET {
        for word in *words {
            let met = shown.coverage.get(&(*operation, *word)).copied().unwrap_or(0);
            assert!(met >= 10, "{operation} was {word} {met} times: the runs prove nothing of it");
        }
    }
    assert!(shown.overlapping > 0 && shown.waits > 0, "threads did not meet");
}

#[rustfmt::skip]
const MET: &[(&str, &[&str])] = &[
    ("begin", &["acquired", "replay", "in_progress", "mismatch", "need_fingerprint", "in_doubt",
        "gone"]),
    ("complete", &["completed", "already_completed", "conflict", "mismatch", "fenced", "gone"]),
    ("abandon", &["abandoned", "conflict", "fenced", "gone"]),
    ("renew", &["renewed", "mismatch", "conflict", "fenced", "gone"]),
    ("checkpoint", &["saved", "conflict", "fenced", "gone"]),
    ("get", &["absent", "reserved", "in_doubt", "completed"]),
    ("resolve", &["resolved", "in_progress", "fenced", "gone"]),
    ("forget", &["forgotten", "in_progress", "fenced", "gone"]),
];

/// One change to one answer; whether there was such an answer.
type Alteration = fn(&mut Outcome) -> bool;

#[test]
fn a_recorded_history_with_one_answer_altered_is_rejected() {
    let alterations: &[(&str, Alteration)] = &[
        ("a body of which one byte is another", |outcome| {
            let Outcome::Begin(onceward::BeginOutcome::Replay(replay)) = outcome else {
                return false;
            };
            match &mut replay.result.body {
                Body::Kept(body) if !body.is_empty() => body[0] ^= 1,
                _ => return false,
            }
            true
        }),
        ("a complete that was not fenced", |outcome| {
            let accepted = Outcome::Complete(CompleteOutcome::Completed { not_kept: None });
            let fenced = *outcome == Outcome::Complete(CompleteOutcome::Fenced);
            if fenced {
                *outcome = accepted;
            }
            fenced
        }),
        ("an attempt number too high", |outcome| match outcome {
            Outcome::Begin(onceward::BeginOutcome::Acquired(acquired)) => {
                acquired.attempt_number += 1;
                true
            }
            _ => false,
        }),
    ];
    for (why, alter) in alterations {
        let mut altered = false;
        let mut alter_one = |_: usize, events: &mut Vec<Event>| {
            for event in events {
                if let Happened::Call { outcome, .. } = &mut event.what
                    && !altered
                {
                    altered = alter(outcome);
                }
            }
        };
        let impossible = run(1, &mut Shown::default(), &mut alter_one);
        let text = impossible.expect_err(why).to_string();
        assert!(text.contains("the rules allow no order"), "{why}: {text}");
    }
}
