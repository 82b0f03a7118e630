//! Tables for people.

use comfy_table::{CellAlignment, Table, presets};
use onceward_bench::Figure;
use onceward_bench::engine::figures;

use crate::bars::bars;
use crate::comparison::{Comparison, Group};
use crate::rivals::SystemName;
use crate::task;

/// All of a comparison as text.
#[must_use]
pub fn text(comparison: &Comparison) -> String {
    let machine = &comparison.machine;
    let mut text = format!(
        "{}, {} cores, Linux {}, transparent huge pages: {}, load at start {:.2}\n",
        machine.cpu, machine.cores, machine.kernel, machine.huge_pages, machine.load_at_start
    );
    for (name, value) in &comparison.settings {
        text += &format!("{name}: {value}\n");
    }
    for skipped in &comparison.skipped {
        text += &format!("left out: {skipped}\n");
    }
    for group in comparison.groups.iter().chain(&comparison.memory) {
        text += &format!("\n{}\nmedian [least-greatest]\n{}\n", group.title(), figures_of(group));
        if !group.floors.figures.is_empty() {
            text += &format!("{}\n", floors_of(group));
        }
    }
    let bars = bars(comparison);
    if !bars.is_empty() {
        let mut table = plain(&["bar", "found", "bound", "verdict"]);
        for bar in bars {
            let sign = if bar.at_least { "≥" } else { "≤" };
            let (got, bound) = (format!("{:.2}", bar.got), format!("{sign} {}", bar.bound));
            let verdict = bar.verdict();
            table.add_row([bar.what, got, bound, verdict]);
        }
        text += &format!("\n{table}\n");
    }
    text
}

fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(header.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn figures_of(group: &Group) -> Table {
    let (own, rival) = (SystemName::Onceward.name(), SystemName::Dashmap.name());
    let known = SystemName::ALL.iter().map(|system| system.name());
    let mut systems: Vec<&str> = known.filter(|name| group.systems.contains_key(*name)).collect();
    // Lines of their own, such as ours with a number of entries.
    let others = group.systems.keys().map(String::as_str).filter(|name| !systems.contains(name));
    systems = others.chain(systems.iter().copied()).collect();
    let mut header = vec!["figure"];
    header.extend(&systems);
    header.push("ours / dashmap");
    let mut table = plain(&header);
    let distances = [task::DISTANCE_FILL, task::DISTANCE_REPLAY];
    let own_figures = [task::BYTES_BEYOND, task::HUGE_PART, distances[0], distances[1]];
    for name in figures::FIGURES.iter().chain(&own_figures) {
        let found = |system: &&str| group.systems.get(*system)?.figure(name);
        let Some(unit) = systems.iter().find_map(found).map(|figure| figure.unit.clone()) else {
            continue;
        };
        let mut row = vec![format!("{name}, {unit}")];
        row.extend(systems.iter().map(|system| found(system).map_or_else(dash, cell)));
        let ratio = group.median(own, name).zip(group.median(rival, name));
        let ratio = ratio.filter(|_| unit == "ns" && !distances.contains(name));
        row.push(ratio.map_or_else(dash, |(own, rival)| format!("{:.2}", own / rival)));
        table.add_row(row);
    }
    table
}

fn floors_of(group: &Group) -> Table {
    let mut table = plain(&["floor", "found"]);
    for figure in &group.floors.figures {
        table.add_row([format!("{}, {}", figure.name, figure.unit), cell(figure)]);
    }
    table
}

fn dash() -> String {
    "-".to_owned()
}

fn cell(figure: &Figure) -> String {
    let (low, high) = figure.spread();
    let median = figure.median().unwrap_or(f64::NAN);
    format!("{median:.0} [{low:.0}-{high:.0}]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use onceward_bench::{Measurement, Report};

    #[test]
    fn a_system_that_lacks_a_figure_has_a_dash() {
        let mut both = Report::default();
        for nanos in [3.0, 1.0, 2.0] {
            both.add_run(vec![Measurement::new(figures::BEGIN, "ns", nanos)]);
        }
        let mut own = both.clone();
        own.add_run(vec![Measurement::new(figures::EXPIRY, "ns", 9.0)]);
        let systems = [("onceward".to_owned(), own), ("dashmap".to_owned(), both)];
        let group = Group {
            entries: 3,
            values: "64 B".to_owned(),
            threads: 1,
            window: 1,
            systems: systems.into(),
            floors: Report::default(),
        };
        let text = text(&Comparison { groups: vec![group], ..Comparison::default() });
        let row = |name: &str| {
            let line = text.lines().find(|line| line.contains(name)).unwrap_or_default();
            line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(row("begin, ns")[2..5], ["2 [1-3]", "2 [1-3]", "1.00"]);
        assert_eq!(row(figures::EXPIRY)[2..5], ["9 [9-9]", "-", "-"]);
    }
}
