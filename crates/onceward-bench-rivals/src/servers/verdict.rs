//! What makes a comparison worthless: a wrong answer, answers that do not add up, or a floor that
//! moved other bytes than we did. Timings are never among it.

use onceward_bench::load::record::{Document, Load, Run, Series};

use super::figures::wrong_answers;
use super::target::TargetName;

/// All faults of a document, each with whom and where.
#[must_use]
pub fn faults(document: &Document) -> Vec<String> {
    let mut faults = Vec::new();
    for series in &document.series {
        for (round, run) in (1..).zip(&series.runs) {
            let wrong = wrong_answers(run).or_else(|| uneven(&series.load, run));
            let floor = || floor_fault(document, series, run);
            if let Some(fault) = wrong.or_else(floor) {
                let Load { mix, mode, connections, pipeline, .. } = &series.load;
                let name = &series.target.name;
                faults.push(format!(
                    "{name}, {mix}, mode {mode}, {connections} × {pipeline}, round {round}: {fault}"
                ));
            }
        }
        if series.runs.is_empty() {
            faults.push(format!("{}: no run", series.target.name));
        }
    }
    faults
}

/// Every operation has one right answer, so the answers are as many as the operations.
fn uneven(load: &Load, run: &Run) -> Option<String> {
    let counters = &run.counters;
    let (acquired, completed) = (counters.acquired, counters.completed);
    if acquired != completed && load.mix != "conflict" {
        return Some(format!("{acquired} keys acquired and {completed} completed"));
    }
    let answers = acquired
        + completed
        + counters.replayed
        + counters.in_progress
        + counters.mismatched
        + counters.waited;
    let asked_for = match &*load.mix {
        "first" => (acquired, "acquired"),
        "replay" => (counters.replayed, "replayed"),
        "mixed" => (acquired.min(counters.replayed), "both acquired and replayed"),
        "conflict" => (counters.in_progress, "in progress"),
        "mismatch" => (counters.mismatched, "mismatched"),
        _ => (answers, "answered"),
    };
    if answers != run.round_trips {
        return Some(format!("{} round trips, {answers} answers", run.round_trips));
    }
    let (count, what) = asked_for;
    (count == 0).then(|| format!("nothing was {what}"))
}

/// The floor must move the lengths that we moved under the same load.
fn floor_fault(document: &Document, series: &Series, run: &Run) -> Option<String> {
    if series.target.name != TargetName::Echo.name() {
        return None;
    }
    let load = &series.load;
    let same = |other: &&Series| {
        let other_load = &other.load;
        other.target.name == TargetName::Onceward.name()
            && (&other_load.mix, &other_load.values) == (&load.mix, &load.values)
    };
    let own = document.series.iter().find(same)?.runs.first()?;
    let each = |run: &Run| -> Vec<_> {
        let kinds = run.wire.iter().filter(|(_, wire)| wire.requests > 0);
        kinds
            .map(|(kind, wire)| {
                let requests = wire.requests;
                (kind.clone(), wire.request_bytes / requests, wire.reply_bytes / requests)
            })
            .collect()
    };
    let (floor, ours) = (each(run), each(own));
    (floor != ours).then(|| format!("it moved {floor:?}, ours moved {ours:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use onceward_bench::load::record::{Counters, Target, Wire};

    fn series(name: &str, counters: Counters, reply_bytes: u64) -> Series {
        let wire = Wire { requests: 10, request_bytes: 1_000, reply_bytes };
        let run = Run {
            round_trips: 10,
            counters,
            wire: [("replay".to_owned(), wire)].into(),
            ..Run::default()
        };
        let load = Load { mix: "replay".to_owned(), ..Load::default() };
        let target = Target { name: name.to_owned(), ..Target::default() };
        Series { target, load, runs: vec![run] }
    }

    #[test]
    fn each_way_to_be_worthless_is_named() {
        let right = Counters { replayed: 10, ..Counters::default() };
        let good = || vec![series("onceward", right, 5_000), series("echo", right, 5_000)];
        let judge = |series: Vec<Series>| faults(&Document { series, ..Document::default() });
        assert_eq!(judge(good()), [""; 0]);
        type Break = fn(&mut Run);
        let breaks: [(&str, Break); 7] = [
            ("1 keys executed more than once", |run| run.counters.executed_twice = 1),
            ("1 keys not executed", |run| run.counters.not_executed = 1),
            ("2 replays with other bytes", |run| run.counters.wrong_replays = 2),
            ("3 errors", |run| run.counters.errors = 3),
            ("lost", |run| run.failure = Some("lost".to_owned())),
            ("11 round trips, 10 answers", |run| run.round_trips = 11),
            ("1 keys acquired and 0 completed", |run| run.counters.acquired = 1),
        ];
        for (want, break_it) in breaks {
            let mut series = good();
            break_it(&mut series[0].runs[0]);
            let found = judge(series);
            assert_eq!(found.len(), 1, "{want}: {found:?}");
            assert!(found[0].contains(want), "{want}: {found:?}");
        }
        let floor = vec![series("onceward", right, 5_000), series("echo", right, 4_990)];
        assert!(judge(floor)[0].contains("it moved"));
        let none = vec![series("onceward", Counters::default(), 5_000)];
        assert!(judge(none)[0].contains("10 round trips, 0 answers"));
        let mut empty = good();
        empty[1].runs.clear();
        assert_eq!(judge(empty), ["echo: no run"]);
    }
}
