//! Two documents side by side.

use onceward_bench::load::record::{Document, Run};
use onceward_bench::load::report;

use crate::sample;

/// The cells of the line that holds all of `words`.
fn cells(text: &str, words: &[&str]) -> Vec<String> {
    let line = text.lines().find(|line| words.iter().all(|word| line.contains(word)));
    let line = line.unwrap_or_else(|| panic!("no line with {words:?} in\n{text}"));
    line.split(['│', '┆'])
        .map(|cell| cell.trim().to_owned())
        .filter(|cell| !cell.is_empty())
        .collect()
}

fn each_run(document: &mut Document, change: impl Fn(&mut Run)) {
    document.series.iter_mut().flat_map(|series| &mut series.runs).for_each(change);
}

#[test]
fn a_document_beside_itself_has_not_changed() {
    let text = report::compare(&sample::full(), &sample::full()).table(None);
    assert!(
        !text.contains("better") && !text.contains("worse") && !text.contains("only "),
        "{text}"
    );
    assert!(!text.contains("warning"), "{text}");
    let row = cells(&text, &["echo at 320,000/s", "p99.9"]);
    assert_eq!(row[4..], ["+0.0 %", "within spread"]);
}

#[test]
fn a_change_is_told_beyond_the_spread_and_by_its_direction() {
    let before = sample::small();
    let mut after = sample::small();
    each_run(&mut after, |run| {
        run.server_cpu_ns = run.server_cpu_ns.map(|nanos| nanos * 3 / 2);
        run.seconds *= 0.8;
        for latency in run.latency.values_mut() {
            latency
                .percentile_ns
                .entry("50".to_owned())
                .and_modify(|nanos| *nanos = *nanos * 101 / 100);
        }
    });
    let text = report::compare(&before, &after).table(None);
    assert_eq!(cells(&text, &["echo", "server CPU"])[4..], ["+50.0 %", "worse"]);
    assert_eq!(cells(&text, &["echo", "rate"])[4..], ["+25.0 %", "better"]);
    assert_eq!(cells(&text, &["echo", "p50"])[5], "within spread");
    let text = report::compare(&after, &before).table(None);
    assert_eq!(cells(&text, &["echo", "server CPU"])[4..], ["−33.3 %", "better"]);
}

#[test]
fn one_run_and_none_are_no_verdict() {
    let mut before = sample::small();
    before.series[1].runs.truncate(1);
    before.series[2].runs.iter_mut().for_each(|run| run.invalid = Some("far".to_owned()));
    let mut after = sample::small();
    each_run(&mut after, |run| run.server_cpu_ns = run.server_cpu_ns.map(|nanos| nanos * 2));
    let text = report::compare(&before, &after).table(None);
    assert_eq!(cells(&text, &["echo", "server CPU"])[5], "one run has no spread");
    assert_eq!(cells(&text, &["redis", "server CPU"])[4..], ["–", "no run to use"]);
}

#[test]
fn what_one_alone_has_and_what_else_differs_is_named() {
    let before = sample::small();
    let mut after = sample::small();
    after.series.remove(1);
    after.series[1].load.server_threads = Some(2);
    after.machine.kernel = "6.19.0".to_owned();
    after.machine.load_at_start = 1.5;
    after.versions.insert("valkey".to_owned(), "9.1.2".to_owned());
    let comparison = report::compare(&before, &after);
    let text = comparison.table(None);
    for line in [
        "warning: another kernel: 6.18.5 before, 6.19.0 after\n",
        "warning: another version of valkey: none before, 9.1.2 after\n",
        "warning: the machine was not quiet after: load 1.50 at start\n",
        "only before: first, both on one core, 50 connections, closed loop: saturation: echo\n",
        "only before: first, both on one core, 50 connections, closed loop: saturation: redis\n",
        "only after: first, both on one core, 50 connections, closed loop: saturation: redis\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    let page = report::html(&after, Some(&comparison));
    assert!(page.contains("another kernel: 6.18.5 before") && page.contains("within spread</td>"));
    let none = report::compare(&Document::default(), &before).table(None);
    assert!(none.contains("no series is in both"), "{none}");
}
