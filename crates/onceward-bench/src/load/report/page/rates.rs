//! Times against the rate that was offered.

use maud::{Markup, html};

use super::axis::Axis;
use super::figure::{Frame, figure, px};
use super::style::{Style, Styles, legend};
use crate::load::report::block::{Block, Row, Unused};
use crate::load::report::measure::Measure;
use crate::load::report::number::number;
use crate::load::report::spread::Spread;

/// One point: the rate, what was found, and why it is not to be relied on.
struct Point {
    rate: f64,
    found: Spread,
    invalid: Option<String>,
}

/// Nothing unless there are several rates.
pub(super) fn of(block: &Block<'_>, styles: &Styles, measure: Measure) -> Markup {
    let rates = block.rates();
    let mut curves: Vec<(String, Style, Vec<Point>)> = Vec::new();
    for row in &block.rows {
        let Some(point) = point(row, measure) else { continue };
        let style = styles.get(&row.series.target.name);
        match curves.iter_mut().find(|(label, _, _)| *label == row.label) {
            Some((_, _, points)) => points.push(point),
            None => curves.push((row.label.clone(), style, vec![point])),
        }
    }
    let points = || curves.iter().flat_map(|(_, _, points)| points);
    if rates.len() < 2 || points().next().is_none() {
        return html! {};
    }
    let least = points().map(|point| point.found.least).fold(f64::INFINITY, f64::min);
    let greatest = points().map(|point| point.found.greatest).fold(0.0, f64::max);
    let most = rates.last().copied().unwrap_or(1.0);
    let frame = Frame {
        x: Axis::linear(most, "offered, round trips/s"),
        y: Axis::times(least * 1e3, greatest * 1e3),
    };
    let draw = html! {
        @for (label, style, points) in &curves {
            path class={ "trace " (style.class) } d=(frame.path(
                points.iter().filter(|point| point.invalid.is_none())
                    .map(|point| (point.rate, point.found.median * 1e3))
            )) { title { (label) } }
            @for point in points { (drawn(&frame, label, *style, point)) }
        }
    };
    let invalid = points().any(|point| point.invalid.is_some());
    let name = measure.name();
    let about = if invalid {
        "From the instant a request was due. Hollow: no run at this rate is valid."
    } else {
        "From the instant a request was due."
    };
    let entries: Vec<_> = curves.iter().map(|(label, style, _)| (label.clone(), *style)).collect();
    let title = format!("{name} against the offered rate, {}", block.title());
    let heading = format!("{name} against the offered rate");
    figure(&heading, about, &frame.draw(&title, &draw), &legend(&entries))
}

/// What is used of a row; if nothing is, what its invalid runs found.
fn point(row: &Row<'_>, measure: Measure) -> Option<Point> {
    let rate = row.rate()?;
    if let Some(found) = row.figure(measure) {
        return Some(Point { rate, found: *found, invalid: None });
    }
    let reasons = row.unused.iter().filter_map(|(number, unused)| match unused {
        Unused::Invalid(reason) => Some((row.series.runs.get(number - 1)?, reason)),
        // What answers wrongly has no times.
        Unused::Failed(_) => None,
    });
    let found = Spread::of(reasons.clone().filter_map(|(run, _)| measure.of(run)))?;
    let reason = reasons.map(|(_, reason)| reason.clone()).next();
    Some(Point { rate, found, invalid: reason })
}

fn drawn(frame: &Frame, label: &str, style: Style, point: &Point) -> Markup {
    let at = |micros: f64| frame.at(point.rate, micros * 1e3);
    let ((x, low), (_, high)) = (at(point.found.least), at(point.found.greatest));
    let mut says = format!("{label} at {}/s: {} µs", number(point.rate), point.found);
    if let Some(reason) = &point.invalid {
        says += &format!(", invalid: {reason}");
    }
    html! {
        @if point.found.runs > 1 && (low - high).abs() > 1.0 {
            path.whisker d={ "M" (px(x)) " " (px(low)) "V" (px(high)) } {}
        }
        (style.mark(at(point.found.median), point.invalid.is_some(), &says))
    }
}
