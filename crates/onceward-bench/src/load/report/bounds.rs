//! What had to be reached, and whether it was, as a table.

use super::grid::{Grid, dash};
use super::number::{number, ratio};
use super::spread::Spread;
use crate::load::record::{Bar, Document};

/// One row for each bar; `None` without any.
pub(super) fn grid(document: &Document) -> Option<Grid> {
    let bars = &document.bars;
    let against_rivals = bars.iter().any(|bar| bar.floor.is_some());
    let mut columns = vec![("verdict", ""), ("what", ""), ("found", ""), ("at most", "")];
    if against_rivals {
        columns.extend([("the floor has", ""), ("beyond the floor", "")]);
    }
    let mut grid = Grid { columns, words: 2, rows: Vec::new() };
    for bar in bars {
        let Bar { found: median, least, greatest, rounds: runs, bound, .. } = *bar;
        let found = Spread { median, least, greatest, runs };
        let mut cells = vec![bar.verdict(), bar.name.clone(), found.to_string(), number(bound)];
        if against_rivals {
            cells.extend([bar.floor, bar.beyond_floor].map(|part| part.map_or_else(dash, ratio)));
        }
        grid.rows.push(cells);
    }
    (!bars.is_empty()).then_some(grid)
}

/// What the columns are.
pub(super) const CAPTION: &str = "median [least–greatest] over the rounds; where a bar is set \
    against a rival, what the kernel's floor itself has of that rival, and what ours takes beyond \
    the floor of what the rival takes beyond it";
