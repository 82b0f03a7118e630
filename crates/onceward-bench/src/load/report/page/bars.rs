//! One measure of each target as a bar.

use maud::{Markup, html};

use super::figure::{drawing, figure, px, width};
use super::style::Styles;
use crate::load::report::block::{Block, FLOOR, Row};
use crate::load::report::measure::Measure;
use crate::load::report::number::number;

/// Height of a label and its bar.
const ROW: f64 = 40.0;
const BAR: f64 = 14.0;
const EDGE: f64 = 8.0;

/// Nothing if no row has the measure.
pub(super) fn of(block: &Block<'_>, styles: &Styles, measure: Measure, heading: &str) -> Markup {
    let rows: Vec<_> = block.rows.iter().filter(|row| row.figure(measure).is_some()).collect();
    // A ladder of rates has a figure of its own; its bars would be too many to read.
    if rows.is_empty() || block.rates().len() > 1 {
        return html! {};
    }
    let greatest = rows.iter().filter_map(|row| row.figure(measure)).map(|found| found.greatest);
    let greatest = greatest.fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| EDGE + (width() - 2.0 * EDGE) * (value / greatest).clamp(0.0, 1.0);
    let floor = rows.iter().find(|row| row.is_floor()).and_then(|row| row.figure(measure));
    let height = ROW * rows.len() as f64 + 6.0;
    let draw = html! {
        @for (at, row) in rows.iter().enumerate() {
            (bar(row, styles, measure, ROW * at as f64, &x))
        }
        @if let Some(floor) = floor {
            // Beside the bars only: through a label it could not be read.
            @for at in 0..rows.len() {
                path.at-floor d={ "M" (px(x(floor.median))) " " (px(ROW * at as f64 + 17.0)) "v20" } {
                    title { (FLOOR) ", the kernel's floor: " (number(floor.median)) }
                }
            }
        }
    };
    let unit = measure.unit();
    let about = if floor.is_some() {
        format!("{unit}; less is better. The dotted line is {FLOOR}, the kernel's floor.")
    } else {
        format!("{unit}; less is better.")
    };
    let title = format!("{heading}, {}", block.title());
    figure(heading, &about, &drawing(height, &title, &draw), &html! {})
}

fn bar(
    row: &Row<'_>,
    styles: &Styles,
    measure: Measure,
    top: f64,
    x: &impl Fn(f64) -> f64,
) -> Markup {
    let Some(found) = row.figure(measure) else { return html! {} };
    let (y, middle) = (top + 20.0, top + 20.0 + BAR / 2.0);
    let style = styles.get(&row.series.target.name);
    html! {
        text x=(EDGE) y=(px(top + 15.0)) { (row.label) }
        text.soft x=(width() - EDGE) y=(px(top + 15.0)) text-anchor="end" { (found) }
        rect class={ "bar " (style.class) } x=(EDGE) y=(px(y)) width=(px(x(found.median) - EDGE))
            height=(BAR) { title { (row.label) ": " (found) " " (measure.unit()) } }
        @if found.runs > 1 {
            path.whisker d={
                "M" (px(x(found.least))) " " (px(middle)) "H" (px(x(found.greatest)))
                "M" (px(x(found.least))) " " (px(middle - 4.0)) "v8"
                "M" (px(x(found.greatest))) " " (px(middle - 4.0)) "v8"
            } {}
        }
    }
}
