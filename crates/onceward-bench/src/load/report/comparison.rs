//! What changed from one document to another.

use std::collections::BTreeSet;

use super::block::{Block, Row, same};
use super::grid::Grid;
use super::measure::Measure;
use super::number::number;
use super::spread::Spread;
use crate::load::record::Document;

/// The series that two documents share, measure by measure, and what sets the documents apart.
#[derive(Debug)]
pub struct Comparison {
    /// Why the figures may differ for another reason than the code.
    pub(super) warnings: Vec<String>,
    /// Title and changes of each load that both have.
    pub(super) loads: Vec<(String, Grid)>,
    /// Series that only one of them has.
    pub(super) alone: Vec<String>,
}

/// Pairs the series of two documents by target and load.
#[must_use]
pub fn compare(before: &Document, after: &Document) -> Comparison {
    let (old, new) = (Block::of(before), Block::of(after));
    let partner = |block: &Block<'_>, row: &Row<'_>, blocks: &[Block<'_>]| {
        let block = blocks.iter().position(|other| same(other.load, block.load))?;
        let at = blocks[block].rows.iter().position(|other| pairs(other, row))?;
        Some((block, at))
    };
    let mut loads = Vec::new();
    let mut alone = Vec::new();
    for block in &new {
        let mut grid = Grid {
            columns: vec![
                ("target", ""),
                ("measure", ""),
                ("before", "median [least–greatest]"),
                ("after", "median [least–greatest]"),
                ("change", "of the median"),
                ("verdict", ""),
            ],
            words: 2,
            rows: Vec::new(),
        };
        for row in &block.rows {
            let place = format!("{}: {}", block.title(), at_rate(block, row));
            match partner(block, row, &old) {
                Some((other, at)) => {
                    changes(&mut grid, &at_rate(block, row), &old[other].rows[at], row);
                }
                None => alone.push(format!("only after: {place}")),
            }
        }
        if !grid.rows.is_empty() {
            loads.push((block.title(), grid));
        }
    }
    for block in &old {
        let rows = block.rows.iter().filter(|row| partner(block, row, &new).is_none());
        alone.extend(
            rows.map(|row| format!("only before: {}: {}", block.title(), at_rate(block, row))),
        );
    }
    Comparison { warnings: warnings(before, after), loads, alone }
}

impl Comparison {
    /// Tables for the terminal, at most `width` columns wide, or as wide as they need.
    #[must_use]
    pub fn table(&self, width: Option<u16>) -> String {
        let mut text = String::new();
        for warning in &self.warnings {
            text += &format!("warning: {warning}\n");
        }
        for (title, grid) in &self.loads {
            text += &format!("\n{title}\n{}\n", grid.text(width));
        }
        if self.loads.is_empty() {
            text += "no series is in both\n";
        }
        if !self.alone.is_empty() {
            text.push('\n');
        }
        for line in &self.alone {
            text += &format!("{line}\n");
        }
        text
    }
}

/// Whether two rows of one load are of one target under one rate.
fn pairs(a: &Row<'_>, b: &Row<'_>) -> bool {
    let of = |row: &Row<'_>| {
        let load = &row.series.load;
        (row.series.target.name.clone(), row.rate().map(f64::to_bits), load.server_threads)
    };
    of(a) == of(b)
}

fn at_rate(block: &Block<'_>, row: &Row<'_>) -> String {
    match row.rate() {
        Some(rate) if block.rates().len() > 1 => format!("{} at {}/s", row.label, number(rate)),
        _ => row.label.clone(),
    }
}

fn changes(grid: &mut Grid, label: &str, before: &Row<'_>, after: &Row<'_>) {
    for measure in Measure::OF_TARGET {
        // In the open loop a rate is what was asked for.
        if measure == Measure::Rate && after.rate().is_some() {
            continue;
        }
        let (old, new) = (before.figure(measure), after.figure(measure));
        if old.is_none() && new.is_none() {
            continue;
        }
        let text = |found: Option<&Spread>| found.map_or("none".to_owned(), ToString::to_string);
        let (change, verdict) = match old.zip(new) {
            Some((old, new)) => (percent(old.median, new.median), verdict(measure, old, new)),
            None => ("–".to_owned(), "no run to use"),
        };
        let name = format!("{}, {}", measure.name(), measure.unit());
        let cells = [label.to_owned(), name, text(old), text(new), change, verdict.to_owned()];
        grid.rows.push(cells.to_vec());
    }
}

fn percent(old: f64, new: f64) -> String {
    if old == 0.0 {
        return "–".to_owned();
    }
    let change = (new / old - 1.0) * 100.0;
    let sign = if change < 0.0 { "−" } else { "+" };
    format!("{sign}{:.1} %", change.abs())
}

/// A change is told only where no run before lies among those after.
fn verdict(measure: Measure, old: &Spread, new: &Spread) -> &'static str {
    if old.overlaps(new) {
        "within spread"
    } else if old.runs < 2 || new.runs < 2 {
        "one run has no spread"
    } else if (new.median > old.median) == measure.more_is_better() {
        "better"
    } else {
        "worse"
    }
}

fn warnings(before: &Document, after: &Document) -> Vec<String> {
    let (old, new) = (&before.machine, &after.machine);
    let mut warnings: Vec<String> = [
        ("processor", old.cpu.clone(), new.cpu.clone()),
        ("cores", old.cores.to_string(), new.cores.to_string()),
        ("kernel", old.kernel.clone(), new.kernel.clone()),
        ("system", old.system.clone(), new.system.clone()),
        ("memory", gibibytes(old.memory_bytes), gibibytes(new.memory_bytes)),
    ]
    .into_iter()
    .filter(|(_, old, new)| old != new)
    .map(|(what, old, new)| format!("another {what}: {old} before, {new} after"))
    .collect();
    let names: BTreeSet<_> = before.versions.keys().chain(after.versions.keys()).collect();
    for name in names {
        let text = |document: &Document| {
            document.versions.get(name).map_or("none".to_owned(), Clone::clone)
        };
        let (old, new) = (text(before), text(after));
        if old != new {
            warnings.push(format!("another version of {name}: {old} before, {new} after"));
        }
    }
    for (when, machine) in [("before", old), ("after", new)] {
        if machine.load_at_start > LOAD_MAX {
            let load = machine.load_at_start;
            warnings.push(format!("the machine was not quiet {when}: load {load:.2} at start"));
        }
    }
    warnings
}

/// Above this, something else ran when measuring began.
const LOAD_MAX: f64 = 0.3;

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64)
}
