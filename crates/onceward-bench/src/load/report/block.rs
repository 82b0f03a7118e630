//! Series that may be set against each other: one load, several targets.

use std::fmt;
use std::time::Duration;

use super::measure::Measure;
use super::number::{count, number};
use super::spread::Spread;
use crate::load::record::{Document, Load, Run, Series};

/// The name of the target that shows what the kernel alone takes.
pub(super) const FLOOR: &str = "echo";
/// The name of ours, or what it begins with.
pub(super) const OWN: &str = "onceward";

/// All series of one load. Rates offered in the open loop are rows, not loads of their own.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) load: &'a Load,
    /// By offered rate, else in the order of the document.
    pub(super) rows: Vec<Row<'a>>,
}

/// One series.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) series: &'a Series,
    /// The target's name, with what tells it apart where two have the same.
    pub(super) label: String,
    figures: Vec<(Measure, Spread)>,
    /// Number, from 1, and reason of each run that is not used.
    pub(super) unused: Vec<(usize, Unused)>,
}

/// Why a run enters no figure.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Unused {
    /// Its figures mean nothing.
    Invalid(String),
    /// An answer was wrong, so what it measured is not the work.
    Failed(String),
}

impl fmt::Display for Unused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(reason) => write!(f, "invalid: {reason}"),
            Self::Failed(reason) => write!(f, "FAILED: {reason}"),
        }
    }
}

impl Unused {
    /// `None` if the run can be used.
    pub(super) fn of(run: &Run) -> Option<Self> {
        let counters = &run.counters;
        let faults = [
            (counters.errors, "answers were errors"),
            (counters.executed_twice, "keys were executed more than once"),
            (counters.not_executed, "keys were never executed"),
            (counters.wrong_replays, "replays had other bytes"),
        ];
        let faults: Vec<_> = faults
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| format!("{} {what}", count(*number)))
            .collect();
        let faults: Vec<_> = faults.into_iter().chain(run.failure.clone()).collect();
        if faults.is_empty() {
            run.invalid.clone().map(Self::Invalid)
        } else {
            Some(Self::Failed(faults.join("; ")))
        }
    }
}

impl Row<'_> {
    pub(super) fn figure(&self, measure: Measure) -> Option<&Spread> {
        self.figures.iter().find(|(name, _)| *name == measure).map(|(_, spread)| spread)
    }

    pub(super) fn used(&self) -> impl Iterator<Item = &Run> {
        self.series.runs.iter().filter(|run| Unused::of(run).is_none())
    }

    /// `3`, or `2 of 3` if not all can be used.
    pub(super) fn runs(&self) -> String {
        let all = self.series.runs.len();
        let used = all - self.unused.len();
        if used == all { all.to_string() } else { format!("{used} of {all}") }
    }

    pub(super) fn rate(&self) -> Option<f64> {
        self.series.load.offered_rate
    }

    pub(super) fn is_floor(&self) -> bool {
        self.series.target.name == FLOOR
    }

    pub(super) fn is_own(&self) -> bool {
        self.series.target.name.starts_with(OWN)
    }
}

impl<'a> Block<'a> {
    /// All blocks of a document, in its order.
    pub(super) fn of(document: &'a Document) -> Vec<Self> {
        let mut blocks: Vec<Self> = Vec::new();
        for series in &document.series {
            let row = row(series);
            match blocks.iter_mut().find(|block| same(block.load, &series.load)) {
                Some(block) => block.rows.push(row),
                None => blocks.push(Self { load: &series.load, rows: vec![row] }),
            }
        }
        for block in &mut blocks {
            block.rows.sort_by(|a, b| {
                a.rate().unwrap_or_default().total_cmp(&b.rate().unwrap_or_default())
            });
            let names: Vec<_> = block.rows.iter().map(Row::identity).collect();
            for row in &mut block.rows {
                let twice = names.iter().filter(|name| **name == row.identity()).count() > 1;
                if let (true, Some(threads)) = (twice, row.series.load.server_threads) {
                    let s = if threads == 1 { "" } else { "s" };
                    row.label += &format!(", {threads} thread{s}");
                }
            }
        }
        blocks
    }

    pub(super) fn is_open(&self) -> bool {
        self.load.offered_rate.is_some()
    }

    /// The offered rates, ascending.
    pub(super) fn rates(&self) -> Vec<f64> {
        let mut rates: Vec<f64> = self.rows.iter().filter_map(Row::rate).collect();
        rates.dedup();
        rates
    }

    /// `first, same core, 50 connections × 16 in flight, closed loop: saturation`.
    pub(super) fn title(&self) -> String {
        let load = self.load;
        let s = if load.connections == 1 { "" } else { "s" };
        let mut title = format!(
            "{}, {}, {} connection{s}",
            load.mix,
            mode(load),
            count(load.connections as u64)
        );
        if load.pipeline > 1 {
            title += &format!(" × {} in flight", load.pipeline);
        }
        title += if self.is_open() { ", open loop" } else { ", closed loop: saturation" };
        if let [rate] = self.rates()[..] {
            title += &format!(" at {} round trips/s", number(rate));
        }
        title
    }

    /// What the times of this block are.
    pub(super) fn about_times(&self) -> &'static str {
        if self.is_open() {
            "Times run from the instant at which a request was due, sent late or not."
        } else {
            "The next request waits for a reply: rates are the most that is reached, and times are \
             spent in full queues. They are no service's latency."
        }
    }

    /// What else was asked, in a line.
    pub(super) fn settings(&self) -> String {
        let load = self.load;
        let mut parts = vec![
            format!("{} keys ({})", count(load.keys), load.key_distribution),
            format!("values {}", load.values),
            format!(
                "retention {}",
                humantime::format_duration(Duration::from_millis(load.retention_ms))
            ),
            format!("warm-up {}", load.warm_up),
            format!("generator threads {}", load.threads),
        ];
        let mut seeds: Vec<_> =
            self.rows.iter().map(|row| row.series.load.seed.to_string()).collect();
        seeds.dedup();
        parts.push(format!("seed {}", seeds.join(", ")));
        if let Some(bytes) = load.fingerprint_bytes {
            parts.push(format!("fingerprints of {bytes} bytes"));
        }
        if let Some(near) = load.near_ns {
            parts.push(format!("cores near within {near} ns"));
        }
        parts.join(", ")
    }

    /// One way of a cache line between the two cores, over all runs that are used.
    pub(super) fn cache_line(&self) -> Option<Spread> {
        Spread::of(self.rows.iter().flat_map(Row::used).filter_map(|run| run.cache_line_ns))
    }

    /// Measures that a row has.
    pub(super) fn measures(&self) -> Vec<Measure> {
        let had = |measure: &Measure| self.rows.iter().any(|row| row.figure(*measure).is_some());
        Measure::ALL.into_iter().filter(had).collect()
    }

    /// The row of the floor under the same rate.
    pub(super) fn floor(&self, row: &Row<'a>) -> Option<&Row<'a>> {
        self.rows.iter().find(|other| other.is_floor() && other.rate() == row.rate())
    }

    /// Our row under the same rate: the one called so, else the first whose name begins so.
    pub(super) fn own(&self, row: &Row<'a>) -> Option<&Row<'a>> {
        let mut own = self.rows.iter().filter(|other| other.is_own() && other.rate() == row.rate());
        own.clone().find(|own| own.series.target.name == OWN).or_else(|| own.next())
    }
}

impl Row<'_> {
    fn identity(&self) -> (String, Option<u64>) {
        (self.series.target.name.clone(), self.rate().map(f64::to_bits))
    }
}

/// Whether two loads differ at most in what a row shows.
pub(super) fn same(a: &Load, b: &Load) -> bool {
    let of = |load: &Load| {
        let shape = (load.connections, load.pipeline, load.threads, load.keys, load.retention_ms);
        let words =
            [&load.mix, &load.mode, &load.key_distribution, &load.values].map(String::clone);
        (words, shape, load.fingerprint_bytes, load.offered_rate.is_some())
    };
    of(a) == of(b)
}

fn row(series: &Series) -> Row<'_> {
    let unused = series.runs.iter().enumerate();
    let unused = unused.filter_map(|(at, run)| Some((at + 1, Unused::of(run)?))).collect();
    let mut row = Row { series, label: series.target.name.clone(), figures: Vec::new(), unused };
    // The floor keeps nothing, so what it has per key kept is no figure.
    let told = |measure: &Measure| *measure != Measure::BytesBeyond || !row.is_floor();
    row.figures = Measure::ALL
        .into_iter()
        .filter(told)
        .filter_map(|measure| {
            let found = Spread::of(row.used().filter_map(|run| measure.of(run)))?;
            Some((measure, found))
        })
        .collect();
    row
}

/// How server and generator share the cores, in words.
fn mode(load: &Load) -> &str {
    match load.mode.as_str() {
        "same" => "both on one core",
        "two" => "one core each",
        "both" => "both on either core",
        "free" => "not pinned",
        other => other,
    }
}
