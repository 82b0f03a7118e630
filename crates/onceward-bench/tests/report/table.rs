//! Tables for the terminal.

use onceward_bench::load::report;

use crate::sample;

const SMALL: &str = include_str!("small.txt");

#[test]
fn a_small_document_reads_as_follows() {
    let text = report::table(&sample::small(), None);
    assert_eq!(text, SMALL, "got:\n{text}");
}

#[test]
fn a_narrow_terminal_wraps_cells() {
    let text = report::table(&sample::full(), Some(80));
    let tables = text.lines().filter(|line| line.starts_with(['┌', '│', '╞', '└', '├']));
    let widest = tables.map(|line| line.chars().count()).max();
    assert!(widest.is_some_and(|width| width <= 80), "{widest:?}:\n{text}");
}
