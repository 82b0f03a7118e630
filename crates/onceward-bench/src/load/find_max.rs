//! The highest rate at which a percentile of latency stays below a bound.

use std::time::Duration;

use super::record::Run;
use super::report::histogram;
use crate::engine::Fault;

/// A search ends when it knows the rate to this part.
const PRECISION: f64 = 0.02;
/// Rates tried at most: enough for twenty doublings and the bisection after them.
const RATES_MAX: usize = 40;
/// The lowest rate that is tried, in operations per second.
const RATE_MIN: f64 = 1.0;

/// What must hold: `p99<1ms`.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    /// As it was written.
    pub text: String,
    percent: f64,
    below: Duration,
}

impl Goal {
    /// A goal from a percentile, as `p99.9`, and its bound.
    ///
    /// # Errors
    /// The percentile is none.
    pub fn new(percentile: &str, below: Duration) -> Result<Self, Fault> {
        let number = percentile.strip_prefix('p').and_then(|number| number.parse::<f64>().ok());
        let percent = number.filter(|number| (0.0..=100.0).contains(number));
        let percent = percent.ok_or("a percentile is written as p50, p99 or p99.9")?;
        if below.is_zero() {
            return Err("no latency is below 0".into());
        }
        Ok(Self { text: format!("{percentile}<{below:?}"), percent, below })
    }

    /// Whether a run reached it: it is valid, and all its latencies together stay below the bound.
    ///
    /// # Errors
    /// Its histogram cannot be read.
    pub fn is_met(&self, run: &Run) -> Result<bool, Fault> {
        if run.invalid.is_some() || run.failure.is_some() {
            return Ok(false);
        }
        let Some(all) = run.latency.get("all") else { return Ok(false) };
        let Some(times) = histogram(all)? else { return Ok(false) };
        Ok(Duration::from_nanos(times.value_at_percentile(self.percent)) < self.below)
    }
}

/// Which rate to try next: doubled until one fails, then halved between the two.
#[derive(Clone, Debug)]
pub struct Search {
    start: f64,
    held: Option<f64>,
    failed: Option<f64>,
    tried: usize,
}

impl Search {
    /// A search that begins at `start` operations per second.
    #[must_use]
    pub const fn new(start: f64) -> Self {
        Self { start: start.max(RATE_MIN), held: None, failed: None, tried: 0 }
    }

    /// The next rate; `None` when the search is over.
    #[must_use]
    pub fn next_rate(&self) -> Option<f64> {
        if self.tried == RATES_MAX {
            return None;
        }
        match (self.held, self.failed) {
            (None, None) => Some(self.start),
            (Some(held), None) => Some(2.0 * held),
            (None, Some(failed)) => (failed > RATE_MIN).then(|| (failed / 2.0).max(RATE_MIN)),
            (Some(held), Some(failed)) => {
                (failed / held > 1.0 + PRECISION).then(|| (failed * held).sqrt())
            }
        }
    }

    /// Takes down what came of the last rate.
    pub const fn tell(&mut self, rate: f64, held: bool) {
        self.tried += 1;
        if held {
            self.held = Some(rate);
        } else {
            self.failed = Some(rate);
        }
    }

    /// The highest rate that held.
    #[must_use]
    pub const fn found(&self) -> Option<f64> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_finds_the_rate_to_two_percent() {
        for limit in [0.5, 1.0, 3.0, 999.0, 1_000.0, 123_456.0, 3e7] {
            for start in [1.0, 1_000.0, 1e6] {
                let mut search = Search::new(start);
                let mut last = None;
                while let Some(rate) = search.next_rate() {
                    assert_ne!(last, Some(rate), "no rate is tried twice");
                    search.tell(rate, rate <= limit);
                    last = Some(rate);
                }
                match search.found() {
                    Some(found) => {
                        assert!(found <= limit, "{found} of {limit}");
                        assert!(found > limit / (1.0 + PRECISION), "{found} of {limit}");
                    }
                    None => assert!(limit < RATE_MIN, "{limit} from {start}"),
                }
            }
        }
    }

    #[test]
    fn a_goal_is_a_percentile_and_a_bound() {
        let goal = Goal::new("p99.9", Duration::from_millis(1)).unwrap();
        assert!(!goal.is_met(&Run::default()).unwrap(), "nothing was measured");
        for wrong in ["99", "p", "p101", "p-1", "pX"] {
            assert!(Goal::new(wrong, Duration::from_millis(1)).is_err(), "{wrong}");
        }
        assert!(Goal::new("p99", Duration::ZERO).is_err());
    }
}
