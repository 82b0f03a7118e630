//! Tables for the terminal.

use std::time::{Duration, SystemTime};

use super::block::Block;
use super::bounds;
use super::grid;
use super::number::number;
use crate::load::record::{Document, Target};

/// The whole document as text: machine, one block of tables for each load, targets, notes, bars.
///
/// Tables are at most `width` columns wide, their cells wrap; without a width, as for a file or a
/// pipe, they are as wide as they need.
#[must_use]
pub fn table(document: &Document, width: Option<u16>) -> String {
    let mut text = head(document);
    for block in Block::of(document) {
        text += &block_text(&block, width);
    }
    let targets = targets(document);
    if !targets.is_empty() {
        text += "\nTargets\n";
    }
    for target in targets {
        text += &target_text(target);
    }
    if !document.notes.is_empty() {
        text += "\nNotes\n";
    }
    for note in &document.notes {
        text += &format!("  {note}\n");
    }
    if let Some(grid) = bounds::grid(document) {
        text += &format!("\nBars\n{}\n{}\n", bounds::CAPTION, grid.text(width));
    }
    text
}

/// Each target once.
pub(super) fn targets(document: &Document) -> Vec<&Target> {
    let mut targets: Vec<&Target> = Vec::new();
    for series in &document.series {
        if !targets.iter().any(|target| target.name == series.target.name) {
            targets.push(&series.target);
        }
    }
    targets
}

/// When it began, as people write it.
pub(super) fn started(document: &Document) -> String {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(document.started_at_s.min(1 << 36));
    humantime::format_rfc3339_seconds(at).to_string()
}

/// The machine in a line.
pub(super) fn machine(document: &Document) -> String {
    let machine = &document.machine;
    format!(
        "{}, {} cores, {:.1} GiB, Linux {}, {}, load at start {:.2}",
        machine.cpu,
        machine.cores,
        machine.memory_bytes as f64 / (1 << 30) as f64,
        machine.kernel,
        machine.system,
        machine.load_at_start
    )
}

fn head(document: &Document) -> String {
    let versions: Vec<_> =
        document.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let mut text = format!("{}\n{}\n", started(document), machine(document));
    if !versions.is_empty() {
        text += &format!("{}\n", versions.join(", "));
    }
    text + &format!("{}\n", document.command_line.join(" "))
}

fn target_text(target: &Target) -> String {
    let mut text = format!("  {}", target.name);
    for part in [&target.version, &target.address] {
        if !part.is_empty() {
            text += &format!(", {part}");
        }
    }
    for (name, value) in &target.settings {
        text += &format!(", {name} {value}");
    }
    text.push('\n');
    if !target.lacks.is_empty() {
        text += &format!("    lacks: {}\n", target.lacks);
    }
    text
}

fn block_text(block: &Block<'_>, width: Option<u16>) -> String {
    let mut text = format!("\n{}\n{}\n{}\n", block.title(), block.about_times(), block.settings());
    text += &format!("{}\n", grid::figures(block).text(width));
    if let Some(spread) = block.cache_line() {
        text += &format!("cache line between the cores, one way: {spread} ns\n");
    }
    for line in unused(block) {
        text += &format!("not used: {line}\n");
    }
    for (title, grid) in grid::ratios(block) {
        text += &format!("{title}\n{}\n", grid.text(width));
    }
    text
}

/// A line for each reason for which runs of a row enter no figure.
pub(super) fn unused(block: &Block<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for row in &block.rows {
        let at = row.rate().map(|rate| format!(" at {}/s", number(rate))).unwrap_or_default();
        let all = row.series.runs.len();
        let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
        for (run, reason) in &row.unused {
            let (run, reason) = (run.to_string(), reason.to_string());
            match reasons.iter_mut().find(|(other, _)| *other == reason) {
                Some((_, runs)) => runs.push(run),
                None => reasons.push((reason, vec![run])),
            }
        }
        for (reason, runs) in reasons {
            let s = if runs.len() == 1 { "" } else { "s" };
            let runs = runs.join(", ");
            lines.push(format!("{}{at}, run{s} {runs} of {all}, {reason}", row.label));
        }
    }
    lines
}
