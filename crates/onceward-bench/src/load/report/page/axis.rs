//! Scales with their ticks.

use crate::load::report::number::number;

/// Maps a value to a part of the length, 0 to 1, with the ticks to draw.
#[derive(Debug)]
pub(super) struct Axis {
    from: f64,
    to: f64,
    scale: Scale,
    /// Value and text.
    pub(super) ticks: Vec<(f64, String)>,
    pub(super) label: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Scale {
    Linear,
    Log,
    /// Quantiles, each further nine as long as the one before.
    Nines,
}

impl Scale {
    fn of(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.max(f64::MIN_POSITIVE).log10(),
            Self::Nines => -(1.0 - value).max(1e-12).log10(),
        }
    }
}

impl Axis {
    /// Where a value lies, from 0 to 1.
    pub(super) fn part(&self, value: f64) -> f64 {
        let (from, to) = (self.scale.of(self.from), self.scale.of(self.to));
        ((self.scale.of(value) - from) / (to - from)).clamp(0.0, 1.0)
    }

    /// From zero to at least `greatest`, in some five steps of 1, 2 or 5.
    pub(super) fn linear(greatest: f64, label: &'static str) -> Self {
        let greatest = if greatest > 0.0 { greatest } else { 1.0 };
        let power = 10_f64.powf((greatest / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = step.into_iter().find(|step| greatest / step <= 5.0).unwrap_or(greatest);
        let steps = (greatest / step - 1e-9).ceil() as usize;
        let ticks = (0..=steps).map(|at| step * at as f64);
        let ticks = ticks.map(|value| (value, short(value))).collect();
        Self { from: 0.0, to: step * steps as f64, scale: Scale::Linear, ticks, label }
    }

    /// Nanoseconds by powers of ten, or by 1, 2 and 5 where there are few of them.
    pub(super) fn times(least: f64, greatest: f64) -> Self {
        let least = least.max(1.0);
        let greatest = greatest.max(least * 1.01);
        let fine = (greatest / least).log10() < 2.0;
        let factors: &[f64] = if fine { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let all =
            (0..13).flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)));
        let all: Vec<f64> = all.collect();
        let from = all.iter().copied().rfind(|tick| *tick <= least).unwrap_or(least);
        let to = all.iter().copied().find(|tick| *tick >= greatest).unwrap_or(greatest);
        let ticks = all.into_iter().filter(|tick| (from..=to).contains(tick));
        let ticks = ticks.map(|value| (value, time(value))).collect();
        Self { from, to, scale: Scale::Log, ticks, label: "time" }
    }

    /// Quantiles from 0 to `to`, marked at 50, 90, 99 and so on.
    pub(super) fn nines(to: f64) -> Self {
        let marks = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999];
        let names = ["0", "50", "90", "99", "99.9", "99.99", "99.999", "99.9999"];
        let ticks = marks.into_iter().zip(names).filter(|(mark, _)| *mark <= to);
        let ticks = ticks.map(|(mark, name)| (mark, name.to_owned())).collect();
        Self { from: 0.0, to, scale: Scale::Nines, ticks, label: "percentile" }
    }
}

/// A time in the unit that suits it.
pub(super) fn time(nanos: f64) -> String {
    let (unit, name) = match nanos {
        ..1e3 => (1.0, "ns"),
        ..1e6 => (1e3, "µs"),
        ..1e9 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    let value = number(nanos / unit);
    // Ticks are whole: 1 ms, not 1.00 ms.
    let value = if value.contains('.') {
        value.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        value
    };
    format!("{value} {name}")
}

/// Thousands and millions by letter.
fn short(value: f64) -> String {
    let (unit, name) = match value {
        ..1e4 => (1.0, ""),
        ..1e6 => (1e3, "k"),
        _ => (1e6, "M"),
    };
    // Steps of 1, 2 and 5 need no more digits than this shows; 0.1 + 0.2 would show more.
    format!("{}{name}", (value / unit * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(axis: &Axis) -> String {
        axis.ticks.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(names(&Axis::linear(7.7, "")), "0 2 4 6 8");
        assert_eq!(names(&Axis::linear(0.0, "")), "0 0.2 0.4 0.6 0.8 1");
        assert_eq!(names(&Axis::linear(0.13, "")), "0 0.05 0.1 0.15");
        assert_eq!(names(&Axis::linear(400_000.0, "")), "0 100k 200k 300k 400k");
        assert_eq!(
            names(&Axis::times(31_000.0, 1_900_000.0)),
            "20 µs 50 µs 100 µs 200 µs 500 µs 1 ms 2 ms"
        );
        assert_eq!(
            names(&Axis::times(900.0, 2e9)),
            "100 ns 1 µs 10 µs 100 µs 1 ms 10 ms 100 ms 1 s 10 s"
        );
        assert_eq!(names(&Axis::nines(0.9995)), "0 50 90 99 99.9");
    }

    #[test]
    fn each_nine_is_as_long_as_the_one_before() {
        let axis = Axis::nines(0.9999);
        for (quantile, want) in [(0.0, 0.0), (0.9, 0.25), (0.99, 0.5), (0.9999, 1.0), (1.0, 1.0)] {
            assert!(
                (axis.part(quantile) - want).abs() < 1e-9,
                "{quantile}: {}",
                axis.part(quantile)
            );
        }
    }
}
