//! What our server has to reach beside the others where the machine may stop at any time.

use onceward_bench::load::record::{Bar, Document, Run, Series};
use onceward_bench::load::report::Spread;

use super::figures::{cpu_micros, is_usable};
use super::target::TargetName;

const OWN: &str = TargetName::Onceward.name();

/// All bars for which there are figures.
pub(super) fn durable_bars(document: &Document) -> Vec<Bar> {
    let mut bars = Vec::new();
    let own = |suffix: &str| format!("{OWN}{suffix}");
    let rivals = |suffix: &str| {
        [TargetName::Valkey, TargetName::Redis].map(|rival| format!("{rival}{suffix}"))
    };
    for series in of_first(document, &own(" interval")) {
        if (series.load.connections, series.load.pipeline) != (50, 1) {
            continue;
        }
        let [valkey, redis] = rivals(" everysec");
        for (other, bound) in [(valkey, 0.55), (redis, 0.55), (OWN.to_owned(), 1.3)] {
            bars.extend(against(document, series, &other, "CPU", cpu_micros, bound));
        }
    }
    for series in of_first(document, &own(" always")) {
        for other in rivals(" always") {
            bars.extend(against(document, series, &other, "time", seconds, 0.5));
        }
    }
    bars
}

fn of_first<'a>(document: &'a Document, name: &str) -> Vec<&'a Series> {
    let wanted = |series: &&Series| series.target.name == name && series.load.mix == "first";
    document.series.iter().filter(wanted).collect()
}

/// Of one round trip, however many are under way: its inverse is the throughput.
fn seconds(run: &Run) -> Option<f64> {
    (run.round_trips > 0).then_some(run.seconds / run.round_trips as f64)
}

/// The ratio to another server under the same load, by rounds in which both can be used.
fn against(
    document: &Document,
    own: &Series,
    other: &str,
    what: &str,
    figure: fn(&Run) -> Option<f64>,
    bound: f64,
) -> Option<Bar> {
    let load = &own.load;
    let other = document.series.iter().find(|series| {
        let theirs = &series.load;
        series.target.name == other
            && (&theirs.mode, &theirs.mix, theirs.keys) == (&load.mode, &load.mix, load.keys)
            && (theirs.connections, theirs.pipeline) == (load.connections, load.pipeline)
            && theirs.server_threads == load.server_threads
    })?;
    let usable = |run: &Run| if is_usable(run) { figure(run) } else { None };
    let pairs = own.runs.iter().zip(&other.runs);
    let ratios = pairs.filter_map(|(own, other)| Some(usable(own)? / usable(other)?));
    let Spread { median, least, greatest, runs } = Spread::of(ratios)?;
    let (connections, pipeline, mode) = (load.connections, load.pipeline, &load.mode);
    let name = format!(
        "{what} of {} / {}, first, {connections} connections × {pipeline}, mode {mode}",
        own.target.name, other.target.name
    );
    Some(Bar { name, bound, found: median, least, greatest, rounds: runs, ..Bar::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use onceward_bench::load::record::{Load, Target};

    fn series(name: &str, pipeline: usize, cpu: u64, seconds: f64) -> Series {
        Series {
            target: Target { name: name.to_owned(), ..Target::default() },
            load: Load {
                mix: "first".to_owned(),
                mode: "same".to_owned(),
                connections: 50,
                pipeline,
                ..Load::default()
            },
            runs: vec![Run {
                round_trips: 1_000,
                server_cpu_ns: Some(cpu * 1_000),
                seconds,
                ..Run::default()
            }],
        }
    }

    #[test]
    fn each_level_is_held_to_its_own_bars() {
        let document = Document {
            series: vec![
                series("onceward", 1, 2_000, 1.0),
                series("onceward interval", 1, 2_500, 1.0),
                series("valkey everysec", 1, 5_000, 1.0),
                series("onceward always", 16, 2_000, 1.0),
                series("redis always", 16, 2_000, 4.0),
            ],
            ..Document::default()
        };
        let bars = durable_bars(&document);
        let found: Vec<_> = bars.iter().map(|bar| (bar.found, bar.bound, bar.is_met())).collect();
        assert_eq!(found, [(0.5, 0.55, true), (1.25, 1.3, true), (0.25, 0.5, true)], "{bars:?}");
    }
}
