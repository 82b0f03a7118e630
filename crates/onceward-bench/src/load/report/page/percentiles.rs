//! The whole distribution of times, by percentile.

use hdrhistogram::Histogram;
use maud::{Markup, html};

use super::axis::{Axis, time};
use super::figure::{Frame, figure};
use super::style::{Style, Styles, legend};
use crate::load::report::block::{Block, Row};
use crate::load::report::histogram::merged;
use crate::load::report::measure::overall;
use crate::load::report::number::number;

/// Samples beyond the last percentile that is drawn: of fewer, a curve is chance.
const SAMPLES_BEYOND: f64 = 10.0;
const STEPS: u32 = 160;
const MARKED: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];

/// Nothing if no row has its histogram.
pub(super) fn of(block: &Block<'_>, styles: &Styles) -> Markup {
    let rate = widest_rate(block);
    let rows = block.rows.iter().filter(|row| row.rate() == rate);
    let curves: Vec<(&Row<'_>, Style, Histogram<u64>)> = rows
        .filter_map(|row| {
            let times = merged(row.used().filter_map(overall))?;
            Some((row, styles.get(&row.series.target.name), times))
        })
        .collect();
    let last = |times: &Histogram<u64>| 1.0 - SAMPLES_BEYOND / times.len() as f64;
    let to = curves.iter().map(|(_, _, times)| last(times)).fold(0.0, f64::max);
    if to < 0.5 {
        return html! {};
    }
    let least = curves.iter().map(|(_, _, times)| times.min()).min().unwrap_or(1);
    let greatest = curves.iter().map(|(_, _, times)| times.value_at_quantile(last(times))).max();
    let frame =
        Frame { x: Axis::nines(to), y: Axis::times(least as f64, greatest.unwrap_or(1) as f64) };
    let draw = html! {
        @for (row, style, times) in &curves {
            path class={ "trace " (style.class) } d=(frame.path(points(times, last(times)))) {
                title { (row.label) }
            }
            @for quantile in MARKED.into_iter().filter(|quantile| *quantile <= last(times)) {
                @let nanos = times.value_at_quantile(quantile) as f64;
                (style.mark(
                    frame.at(quantile, nanos),
                    false,
                    &format!("{}, p{}: {}", row.label, quantile * 100.0, time(nanos)),
                ))
            }
        }
    };
    let about = match rate {
        Some(rate) => {
            format!("At {} round trips/s offered. All runs that are used, together.", number(rate))
        }
        None => {
            "All runs that are used, together. At saturation, so no service's latency.".to_owned()
        }
    };
    let entries: Vec<_> =
        curves.iter().map(|(row, style, _)| (row.label.clone(), *style)).collect();
    let title = format!("Time by percentile, {}", block.title());
    figure("Time by percentile", &about, &frame.draw(&title, &draw), &legend(&entries))
}

/// The highest rate at which most rows have a run that is used.
fn widest_rate(block: &Block<'_>) -> Option<f64> {
    let rows = |rate: f64| {
        let rows = block.rows.iter().filter(|row| row.rate() == Some(rate));
        rows.filter(|row| row.used().next().is_some()).count()
    };
    block.rates().into_iter().max_by(|a, b| rows(*a).cmp(&rows(*b)).then(a.total_cmp(b)))
}

/// Evenly spaced on an axis by nines.
fn points(times: &Histogram<u64>, last: f64) -> Vec<(f64, f64)> {
    let nines = -(1.0 - last).log10();
    let quantiles =
        (0..=STEPS).map(|step| 1.0 - 10_f64.powf(-nines * f64::from(step) / f64::from(STEPS)));
    quantiles.map(|quantile| (quantile, times.value_at_quantile(quantile) as f64)).collect()
}
