//! A picture of a comparison: bars for each system, one panel for each group.

use std::path::Path;

use onceward_bench::engine::{Fault, figures};
use plotters::prelude::*;

use crate::comparison::{Comparison, Group};
use crate::rivals::SystemName;
use crate::task;

const PANEL: (u32, u32) = (900, 340);
const LABEL_FONT: (&str, u32) = ("sans-serif", 14);
/// Figures of a panel, with what they are called below their bars.
const SHOWN: &[(&str, &str)] = &[
    (figures::BOTH, "begin + complete"),
    (figures::REPLAY, "replay"),
    (figures::DUPLICATE, "duplicate"),
    (figures::BATCH_BOTH, "16: begin + complete"),
    (figures::BATCH_REPLAY, "16: replay"),
];
const SHOWN_MEMORY: &[(&str, &str)] = &[(task::BYTES_BEYOND, "bytes beyond key and value")];

/// Writes the picture.
///
/// # Errors
/// Nothing to show, or the file cannot be written.
pub fn write(comparison: &Comparison, path: &Path) -> Result<(), Fault> {
    let timed = comparison.groups.iter().map(|group| (group, SHOWN, "ns"));
    let panels: Vec<_> =
        timed.chain(comparison.memory.iter().map(|group| (group, SHOWN_MEMORY, "B"))).collect();
    if panels.is_empty() {
        return Err("there is no figure to plot".into());
    }
    let size = (PANEL.0, PANEL.1 * u32::try_from(panels.len())?);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    for ((group, shown, unit), area) in panels.iter().zip(root.split_evenly((panels.len(), 1))) {
        panel(group, shown, unit, &area)?;
    }
    root.present().map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn panel(group: &Group, shown: &[(&str, &str)], unit: &str, area: &Area<'_>) -> Result<(), Fault> {
    let systems: Vec<&String> = ordered(group);
    let heights = systems
        .iter()
        .flat_map(|system| shown.iter().filter_map(|(figure, _)| group.median(system, figure)));
    let most = heights.fold(1.0, f64::max) * 1.1;
    // Each figure is one unit wide, a fifth of it empty.
    let width = 0.8 / systems.len().max(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(group.title(), LABEL_FONT)
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..shown.len() as f64 + 1.0, 0.0..most)?;
    let label = |at: &f64| {
        let place = (*at - 0.5).round();
        let near = (at - 0.5 - place).abs() < 0.01 && place >= 0.0;
        shown.get(place as usize).filter(|_| near).map_or("", |(_, name)| name).to_owned()
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(2 * shown.len() + 3)
        .x_label_formatter(&label)
        .y_desc(unit)
        .draw()?;
    for (index, system) in systems.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let bars = shown.iter().enumerate().filter_map(|(at, (figure, _))| {
            let height = group.median(system, figure)?;
            let left = at as f64 + 0.1 + index as f64 * width;
            Some(Rectangle::new([(left, 0.0), (left + 0.9 * width, height)], color.filled()))
        });
        chart
            .draw_series(bars)?
            .label(system.as_str())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], color.filled()));
    }
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
    Ok(())
}

/// Ours first, the rest as everywhere.
fn ordered(group: &Group) -> Vec<&String> {
    let place = |name: &str| SystemName::ALL.iter().position(|system| system.name() == name);
    let mut systems: Vec<_> = group.systems.keys().collect();
    systems.sort_by_key(|name| place(name));
    systems
}
