//! Rows and columns, before they are a table of one kind or another.

use std::collections::BTreeSet;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::block::{Block, FLOOR, Row};
use super::measure::Measure;
use super::number::{number, ratio};
use super::spread::Spread;

/// A table's content as text.
#[derive(Debug)]
pub(super) struct Grid {
    /// Name and unit of each column; the unit may be empty.
    pub(super) columns: Vec<(&'static str, &'static str)>,
    /// As many columns, from the first, hold words; the others hold numbers.
    pub(super) words: usize,
    pub(super) rows: Vec<Vec<String>>,
}

impl Grid {
    /// For the terminal: cells wrap within `width`, if there is one.
    pub(super) fn text(&self, width: Option<u16>) -> Table {
        let mut table = Table::new();
        table.load_preset(UTF8_FULL_CONDENSED);
        if let Some(width) = width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        table.set_header(self.columns.iter().map(|(name, unit)| {
            if unit.is_empty() { (*name).to_owned() } else { format!("{name}\n{unit}") }
        }));
        for column in table.column_iter_mut().skip(self.words) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.add_rows(&self.rows);
        table
    }
}

/// The figures of a block. A column that no row has is left out.
pub(super) fn figures(block: &Block<'_>) -> Grid {
    let measures = block.measures();
    let mut grid = frame(block);
    grid.columns.push(("runs", ""));
    grid.columns.extend(measures.iter().map(|of| (of.name(), of.unit())));
    for row in &block.rows {
        let mut cells = start(block, row);
        cells.push(row.runs());
        let found = |of: &Measure| row.figure(*of).map_or_else(dash, ToString::to_string);
        cells.extend(measures.iter().map(found));
        grid.rows.push(cells);
    }
    grid
}

/// Medians against the floor's, and ours against each other target's, each with its title.
pub(super) fn ratios(block: &Block<'_>) -> Vec<(String, Grid)> {
    let median = |row: &Row<'_>, of| Some(row.figure(of)?.median);
    let own = block.rows.iter().find_map(|row| block.own(row));
    let own = own.map(|own| own.label.clone()).unwrap_or_default();
    let to_floor = ratio_grid(
        block,
        |row| !row.is_floor(),
        |row, of| multiple(median(row, of)?, median(block.floor(row)?, of)?),
    );
    let to_each = ratio_grid(
        block,
        |row| !row.is_floor() && !row.is_own(),
        |row, of| multiple(median(block.own(row)?, of)?, median(row, of)?),
    );
    [
        (format!("medians as multiples of those of {FLOOR}, the kernel's floor"), to_floor),
        (format!("medians of {own} as multiples of each one's"), to_each),
    ]
    .into_iter()
    .filter_map(|(title, grid)| Some((title, grid?)))
    .collect()
}

/// None where one is not positive: memory may shrink, and then a quotient says nothing.
fn multiple(of: f64, base: f64) -> Option<f64> {
    (of > 0.0 && base > 0.0).then_some(of / base)
}

fn ratio_grid<'a>(
    block: &Block<'a>,
    shown: impl Fn(&Row<'a>) -> bool,
    found: impl Fn(&Row<'a>, Measure) -> Option<f64>,
) -> Option<Grid> {
    let rows: Vec<_> = block.rows.iter().filter(|row| shown(row)).collect();
    let had = |of: &Measure| rows.iter().any(|row| found(row, *of).is_some());
    let mut measures: Vec<_> = Measure::OF_TARGET.into_iter().filter(had).collect();
    if block.is_open() {
        // All get the rate that was offered, or fail to.
        measures.retain(|of| *of != Measure::Rate);
    }
    let mut grid = frame(block);
    grid.columns.extend(measures.iter().map(|of| (of.name(), "")));
    for row in rows {
        let mut cells = start(block, row);
        cells.extend(measures.iter().map(|of| found(row, *of).map_or_else(dash, ratio)));
        grid.rows.push(cells);
    }
    (!measures.is_empty()).then_some(grid)
}

fn frame(block: &Block<'_>) -> Grid {
    let mut columns = vec![("target", "")];
    if block.rates().len() > 1 {
        columns.push(("offered", "round trips/s"));
    }
    Grid { columns, words: 1, rows: Vec::new() }
}

fn start(block: &Block<'_>, row: &Row<'_>) -> Vec<String> {
    let mut cells = vec![row.label.clone()];
    if block.rates().len() > 1 {
        cells.push(row.rate().map_or_else(dash, number));
    }
    cells
}

/// What stands where there is no figure.
pub(super) fn dash() -> String {
    "–".to_owned()
}

/// Times of each operation: medians over the runs that are used.
pub(super) fn operations(block: &Block<'_>) -> Option<Grid> {
    const PERCENTS: [(&str, &str); 6] = [
        ("50", "p50"),
        ("90", "p90"),
        ("99", "p99"),
        ("99.9", "p99.9"),
        ("99.99", "p99.99"),
        ("100", "longest"),
    ];
    let mut grid = frame(block);
    let words = grid.columns.len();
    grid.columns.push(("operation", ""));
    grid.columns.extend(PERCENTS.map(|(_, name)| (name, "µs")));
    for row in &block.rows {
        let names: BTreeSet<&String> = row.used().flat_map(|run| run.latency.keys()).collect();
        for name in names {
            let mut cells = start(block, row);
            cells.push(name.clone());
            for (percent, _) in PERCENTS {
                let found = row
                    .used()
                    .filter_map(|run| run.latency.get(name)?.percentile_ns.get(percent))
                    .map(|nanos| *nanos as f64 / 1e3);
                cells.push(Spread::of(found).map_or_else(dash, |found| number(found.median)));
            }
            grid.rows.push(cells);
        }
    }
    // Words up to the operation; an offered rate before it is the one number among them.
    grid.words = if words == 1 { 2 } else { 1 };
    (!grid.rows.is_empty()).then_some(grid)
}
