//! Figures of a series: medians over its valid runs, with least and greatest.

use onceward_bench::load::record::{Run, Series};

/// A figure of several runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median; of an even number, the lower of the two in the middle.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
}

impl Spread {
    /// Of these values, if there are any.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, greatest) = (*values.first()?, *values.last()?);
        Some(Self { median: values[(values.len() - 1) / 2], least, greatest })
    }
}

/// The server's processor time for each round trip, in microseconds.
#[must_use]
pub fn cpu_micros(run: &Run) -> Option<f64> {
    let trips = run.round_trips.max(1) as f64;
    Some(run.server_cpu_ns? as f64 / trips / 1_000.0)
}

/// A percentile of all round trips, in microseconds.
#[must_use]
pub fn latency_micros(run: &Run, percentile: &str) -> Option<f64> {
    let nanos = *run.latency.get("all")?.percentile_ns.get(percentile)?;
    Some(nanos as f64 / 1_000.0)
}

/// Round trips per second.
#[must_use]
pub fn rate(run: &Run) -> Option<f64> {
    (run.seconds > 0.0).then(|| run.round_trips as f64 / run.seconds)
}

/// A figure over the runs of a series that count.
#[must_use]
pub fn spread(series: &Series, figure: impl Fn(&Run) -> Option<f64>) -> Option<Spread> {
    let valid = series.runs.iter().filter(|run| run.invalid.is_none());
    Spread::of(valid.filter_map(figure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_invalid_counts_for_nothing() {
        let run = |cpu, invalid: Option<&str>| Run {
            round_trips: 1_000,
            server_cpu_ns: Some(cpu),
            seconds: 0.5,
            invalid: invalid.map(str::to_owned),
            ..Run::default()
        };
        let runs = vec![run(3_000_000, None), run(1_000_000, None), run(9_000_000, Some("far"))];
        let mut series = Series { runs, ..Series::default() };
        let want = Spread { median: 1.0, least: 1.0, greatest: 3.0 };
        assert_eq!(spread(&series, cpu_micros), Some(want));
        assert_eq!(spread(&series, rate).unwrap().median, 2_000.0);
        assert_eq!(spread(&series, |run| latency_micros(run, "99")), None);
        series.runs.drain(..2);
        assert_eq!(spread(&series, cpu_micros), None);
    }
}
