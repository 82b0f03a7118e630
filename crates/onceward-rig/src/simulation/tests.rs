use onceward_testkit::seeds;

use super::*;

#[test]
fn no_seed_breaks_a_promise() {
    for seed in seeds(40) {
        let outcome = simulate(seed, Settings::default());
        assert!(
            outcome.violation.is_none(),
            "seed {seed}: {}\n{}",
            outcome.violation.as_ref().map(ToString::to_string).unwrap_or_default(),
            outcome.last_events.join("\n")
        );
    }
}

#[test]
fn a_seed_repeats_its_run_event_by_event() {
    let run = |seed| {
        let outcome = run(seed, Settings::default(), false);
        (outcome.trace_hash, outcome.events)
    };
    let hashes: std::collections::BTreeSet<_> = seeds(12)
        .map(|seed| {
            let first = run(seed);
            assert_eq!(first, run(seed), "seed {seed}");
            first
        })
        .collect();
    assert!(hashes.len() == 12 || std::env::var_os("ONCEWARD_SEED").is_some());
}
