//! What is read off a run.

use crate::load::record::{Latency, Run};

/// One figure of a run.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Measure {
    ServerCpu,
    Rate,
    P50,
    P99,
    P999,
    SendLag,
    GeneratorCpu,
    BytesBeyond,
}

impl Measure {
    /// In the order of the columns.
    pub(super) const ALL: [Self; 8] = [
        Self::ServerCpu,
        Self::Rate,
        Self::P50,
        Self::P99,
        Self::P999,
        Self::SendLag,
        Self::GeneratorCpu,
        Self::BytesBeyond,
    ];

    /// Those that say something of the target, and so may be set against another one's.
    pub(super) const OF_TARGET: [Self; 6] =
        [Self::ServerCpu, Self::Rate, Self::P50, Self::P99, Self::P999, Self::BytesBeyond];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ServerCpu => "server CPU",
            Self::Rate => "rate",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::SendLag => "send lag p99",
            Self::GeneratorCpu => "generator CPU",
            Self::BytesBeyond => "memory per key",
        }
    }

    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::ServerCpu | Self::GeneratorCpu => "µs/round trip",
            Self::Rate => "round trips/s",
            Self::P50 | Self::P99 | Self::P999 | Self::SendLag => "µs",
            Self::BytesBeyond => "bytes beyond key + value",
        }
    }

    /// More is better for a rate, less for all else.
    pub(super) const fn more_is_better(self) -> bool {
        matches!(self, Self::Rate)
    }

    pub(super) fn of(self, run: &Run) -> Option<f64> {
        let each = |nanos: Option<u64>| {
            (run.round_trips > 0).then_some(nanos? as f64 / 1e3 / run.round_trips as f64)
        };
        match self {
            Self::ServerCpu => each(run.server_cpu_ns),
            Self::GeneratorCpu => each(run.generator_cpu_ns),
            Self::Rate => (run.seconds > 0.0).then(|| run.round_trips as f64 / run.seconds),
            Self::P50 => micros(overall(run)?, "50"),
            Self::P99 => micros(overall(run)?, "99"),
            Self::P999 => micros(overall(run)?, "99.9"),
            Self::SendLag => micros(run.send_lag.as_ref()?, "99"),
            Self::BytesBeyond => {
                let ((before, after), keys) = (run.server_resident_bytes?, run.stored_keys?);
                let beyond = after as f64 - before as f64 - run.stored_bytes? as f64;
                (keys > 0).then_some(beyond / keys as f64)
            }
        }
    }
}

/// The distribution of all operations together.
pub(super) fn overall(run: &Run) -> Option<&Latency> {
    let alone = || run.latency.values().next().filter(|_| run.latency.len() == 1);
    run.latency.get("all").or_else(alone)
}

fn micros(latency: &Latency, percent: &str) -> Option<f64> {
    latency.percentile_ns.get(percent).map(|nanos| *nanos as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_per_round_trip_and_per_key() {
        let latency = |nanos| Latency {
            percentile_ns: [("50".to_owned(), nanos)].into(),
            ..Latency::default()
        };
        let run = Run {
            seconds: 2.0,
            round_trips: 1_000,
            server_cpu_ns: Some(1_500_000),
            server_resident_bytes: Some((5_000, 66_000)),
            stored_bytes: Some(54_800),
            stored_keys: Some(100),
            latency: [("begin".to_owned(), latency(7_000))].into(),
            ..Run::default()
        };
        let found: Vec<_> = Measure::ALL.iter().map(|measure| measure.of(&run)).collect();
        let want = [Some(1.5), Some(500.0), Some(7.0), None, None, None, None, Some(62.0)];
        assert_eq!(found, want);
        assert_eq!(Measure::ServerCpu.of(&Run { round_trips: 0, ..run.clone() }), None);

        let two = [("all".to_owned(), latency(8_000)), ("begin".to_owned(), latency(7_000))];
        assert_eq!(Measure::P50.of(&Run { latency: two.into(), ..run }), Some(8.0));
    }
}
