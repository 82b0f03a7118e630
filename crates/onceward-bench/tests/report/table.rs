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

#[test]
fn bars_say_whether_they_are_met_and_whether_they_could_be() {
    let (text, page) = (report::table(&sample::full(), None), report::html(&sample::full(), None));
    let at = text.find("\nBars\n").expect("bars");
    let rows: Vec<_> = text[at..].lines().filter(|line| line.contains("connections")).collect();
    let below = "missed by 1.29 ×, below the floor on this host";
    let verdicts = ["met", "missed by 1.05 ×", below];
    for (row, verdict) in rows.iter().zip(verdicts) {
        assert!(row.starts_with(&format!("│ {verdict} ")), "{verdict}: {row}");
        assert!(page.contains(&format!("{verdict}</th>")), "{verdict}");
    }
    assert_eq!(rows.len(), verdicts.len());
    assert!(rows[1].contains("0.650 [0.640–0.670]") && rows[1].contains("0.620"), "{}", rows[1]);
    assert!(rows[1].contains("0.47") && rows[1].contains("0.4"), "{}", rows[1]);
    assert!(page.contains("href=\"#bars\"") && page.contains("id=\"bars\""));
}
