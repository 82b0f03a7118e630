//! What ours must reach, as ratios of figures of one run.

use onceward_bench::engine::{cores, figures};

use crate::comparison::{Comparison, Group, SIZED};
use crate::floors;
use crate::rivals::SystemName;
use crate::task;

const OWN: &str = SystemName::Onceward.name();
const RIVAL: &str = SystemName::Dashmap.name();
/// The size for which bars are set; elsewhere they are shown to compare.
const ENTRIES: u64 = 10_000_000;
const VALUES: &str = "512 B";

/// One bar, at one size.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What is held against what.
    pub what: String,
    /// What was found.
    pub got: f64,
    /// What it may be.
    pub bound: f64,
    /// Whether more is better.
    pub at_least: bool,
    /// What makes the figure doubtful.
    pub doubt: Option<String>,
}

impl Bar {
    /// Whether it is reached.
    #[must_use]
    pub fn is_met(&self) -> bool {
        if self.at_least { self.got >= self.bound } else { self.got <= self.bound }
    }

    /// By what factor it is missed: over 1 where it is.
    #[must_use]
    pub fn missed_by(&self) -> f64 {
        if self.at_least { self.bound / self.got } else { self.got / self.bound }
    }

    /// `met`, or by how much it is missed.
    #[must_use]
    pub fn verdict(&self) -> String {
        let verdict = if self.is_met() {
            "met".to_owned()
        } else {
            format!("missed by {:.2} ×", self.missed_by())
        };
        self.doubt.as_ref().map_or(verdict.clone(), |doubt| format!("{verdict} ({doubt})"))
    }
}

/// All bars for which there are figures.
#[must_use]
pub fn bars(comparison: &Comparison) -> Vec<Bar> {
    let mut bars = Vec::new();
    for group in &comparison.groups {
        if group.threads == 1 {
            bars.extend(one_thread(group));
        } else {
            let same = |other: &&Group| {
                other.threads == 1 && other.entries == group.entries && other.values == group.values
            };
            if let Some(one) = comparison.groups.iter().find(same) {
                bars.extend(two_threads(one, group));
            }
        }
    }
    for group in &comparison.memory {
        for (system, bound) in [(SIZED, 72.0), (OWN, 100.0)] {
            if let Some(got) = group.median(system, task::BYTES_BEYOND) {
                let Group { entries, values, .. } = group;
                let what = format!("{system}: bytes beyond key and value, {entries} × {values}");
                bars.push(Bar { what, got, bound, at_least: false, doubt: None });
            }
        }
    }
    bars
}

fn at(group: &Group) -> String {
    let bar = if group.entries == ENTRIES && group.values == VALUES { " (the bar)" } else { "" };
    format!("{} × {}{bar}", group.entries, group.values)
}

fn one_thread(group: &Group) -> Vec<Bar> {
    let own = |figure| group.median(OWN, figure);
    let rival = |figure| group.median(RIVAL, figure);
    let huge = own(task::HUGE_PART).is_some_and(|percent| percent > 50.0);
    let (miss, pages) =
        if huge { (floors::MISS_HUGE_PAGES, "huge") } else { (floors::MISS_SMALL_PAGES, "4 KiB") };
    let misses = group.floor(miss).map(|nanos| 3.0 * nanos);
    let rows = [
        (
            "begin + complete / dashmap insert + update".to_owned(),
            own(figures::BOTH).zip(rival(figures::BOTH)),
            0.6,
        ),
        (
            format!("replay with copy / three dependent misses, {pages} pages"),
            own(figures::REPLAY).zip(misses),
            1.3,
        ),
        (
            "replay with copy / dashmap get".to_owned(),
            own(figures::REPLAY).zip(rival(figures::REPLAY)),
            0.9,
        ),
        (
            "replay in batches of 16 / dashmap get".to_owned(),
            own(figures::BATCH_REPLAY).zip(rival(figures::REPLAY)),
            0.4,
        ),
    ];
    let row = |(what, pair, bound): (String, Option<(f64, f64)>, f64)| {
        let (own, other) = pair?;
        let what = format!("{what}, {}", at(group));
        Some(Bar { what, got: own / other, bound, at_least: false, doubt: None })
    };
    rows.into_iter().filter_map(row).collect()
}

fn two_threads(one: &Group, two: &Group) -> Vec<Bar> {
    let row = |(figure, distance): &(&str, &str)| {
        let got = one.median(OWN, figure)? / two.median(OWN, figure)?;
        let what = format!("rate of two threads / one, {figure}, {}", at(two));
        let distance = two.median(OWN, distance).unwrap_or(f64::INFINITY);
        let far = distance > cores::NEAR_NANOS_MAX;
        let doubt = far.then(|| format!("cores far: {distance:.0} ns"));
        Some(Bar { what, got, bound: 1.8, at_least: true, doubt })
    };
    let figures = [(figures::BOTH, task::DISTANCE_FILL), (figures::REPLAY, task::DISTANCE_REPLAY)];
    figures.iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use onceward_bench::{Measurement, Report};
    use std::collections::BTreeMap;

    fn report(figures: &[(&str, f64)]) -> Report {
        let mut report = Report::default();
        let values = figures.iter().map(|(name, value)| Measurement::new(*name, "ns", *value));
        report.add_run(values.collect());
        report
    }

    fn group(threads: usize, systems: &[(&str, Report)], floors: Report) -> Group {
        let systems: BTreeMap<_, _> =
            systems.iter().map(|(name, report)| ((*name).to_owned(), report.clone())).collect();
        let values = VALUES.to_owned();
        Group { entries: ENTRIES, values, threads, window: 1, systems, floors }
    }

    #[test]
    fn bars_are_met_at_their_bound_and_missed_beyond_it() {
        let own = |both, replay, batch| {
            let figures =
                [(figures::BOTH, both), (figures::REPLAY, replay), (figures::BATCH_REPLAY, batch)];
            report(&figures)
        };
        let floors = report(&[(floors::MISS_SMALL_PAGES, 100.0), (floors::MISS_HUGE_PAGES, 1.0)]);
        let rival = report(&[(figures::BOTH, 1_000.0), (figures::REPLAY, 500.0)]);
        let one = group(1, &[(OWN, own(600.0, 400.0, 300.0)), (RIVAL, rival)], floors);
        let two = group(2, &[(OWN, own(333.0, 400.0, 1.0))], Report::default());
        let memory = report(&[(task::BYTES_BEYOND, 72.0)]);
        let memory = group(1, &[(SIZED, memory)], Report::default());
        let comparison =
            Comparison { groups: vec![one, two], memory: vec![memory], ..Comparison::default() };
        let found = bars(&comparison);
        let met: Vec<_> = found.iter().map(Bar::is_met).collect();
        // 0.6 · 400 of 390 · 0.8 · 0.6 instead of 0.4; 1.80 · 1.0; 72.
        assert_eq!(met, [true, false, true, false, true, false, true], "{found:#?}");
        assert_eq!(found[3].verdict(), "missed by 1.50 ×");
        assert!(found[4].verdict().contains("cores far"), "no distance was measured");
    }
}
