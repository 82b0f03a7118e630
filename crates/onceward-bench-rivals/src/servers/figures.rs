//! What bars are made from.

use onceward_bench::load::record::Run;

/// Whether its figures may be used.
#[must_use]
pub fn is_usable(run: &Run) -> bool {
    run.invalid.is_none() && wrong_answers(run).is_none()
}

/// What was wrong with its answers, if anything was: such a run has failed.
#[must_use]
pub fn wrong_answers(run: &Run) -> Option<String> {
    let counters = &run.counters;
    let wrong = [
        (counters.executed_twice, "keys executed more than once"),
        (counters.not_executed, "keys not executed"),
        (counters.wrong_replays, "replays with other bytes"),
        (counters.errors, "errors"),
    ];
    let wrong: Vec<_> = wrong
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .chain(run.failure.clone())
        .collect();
    (!wrong.is_empty()).then(|| wrong.join(", "))
}

/// The server's processor time for each round trip, in microseconds.
#[must_use]
pub fn cpu_micros(run: &Run) -> Option<f64> {
    (run.round_trips > 0).then_some(run.server_cpu_ns? as f64 / run.round_trips as f64 / 1e3)
}

/// A percentile of all round trips, in microseconds.
#[must_use]
pub fn latency_micros(run: &Run, percentile: &str) -> Option<f64> {
    let nanos = *run.latency.get("all")?.percentile_ns.get(percentile)?;
    Some(nanos as f64 / 1e3)
}

/// Growth of the server's resident memory for each stored key, beyond the key's text and value.
#[must_use]
pub fn bytes_beyond(run: &Run) -> Option<f64> {
    let (before, after) = run.server_resident_bytes?;
    let keys = run.stored_keys.filter(|keys| *keys > 0)?;
    Some((after as f64 - before as f64 - run.stored_bytes? as f64) / keys as f64)
}
