//! When operations start: at once (closed loop), or at instants fixed beforehand (open loop).

use std::time::Duration;

use crate::workload::mix;

/// How operations follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Each slot starts its next operation at once: shows saturation, and no latency that a
    /// service would see.
    Closed,
    /// Operations start at their own times, whatever becomes of earlier ones.
    Open {
        /// Operations per second over all connections.
        rate: f64,
        /// What lies between two.
        arrivals: Arrivals,
    },
}

/// How the starts of an open loop are spread.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Arrivals {
    /// At equal distances.
    Constant,
    /// As of many callers who know nothing of each other.
    Poisson,
}

/// How long a phase goes on: until the first of these.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Bound {
    /// Operations.
    pub operations: Option<u64>,
    /// Time.
    pub duration: Option<Duration>,
}

/// Where one thread's operations come from: the steps that are its own, each with its start.
#[derive(Clone, Debug)]
pub(super) struct Source {
    step: u64,
    stride: u64,
    end: u64,
    stop_ns: u64,
    schedule: Option<Schedule>,
}

#[derive(Clone, Debug)]
struct Schedule {
    gap_ns: f64,
    arrivals: Arrivals,
    due_ns: f64,
    drawn: u64,
    seed: u64,
}

impl Schedule {
    fn advance(&mut self) {
        self.drawn += 1;
        self.due_ns += match self.arrivals {
            Arrivals::Constant => self.gap_ns,
            Arrivals::Poisson => {
                let drawn = mix(self.seed.wrapping_add(self.drawn.wrapping_mul(GOLDEN)));
                // Above zero, so that the logarithm is finite.
                let uniform = ((drawn >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
                -uniform.ln() * self.gap_ns
            }
        };
    }
}

/// Odd, and far from any pattern: numbers that follow each other become far apart.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Source {
    /// What thread `thread` of `threads` does of a phase.
    #[must_use]
    pub(super) fn new(pace: Pace, bound: Bound, thread: usize, threads: usize, seed: u64) -> Self {
        let (thread, threads) = (thread as u64, threads.max(1) as u64);
        let schedule = match pace {
            Pace::Closed => None,
            Pace::Open { rate, arrivals } => {
                let between_all = 1e9 / rate.max(1e-3);
                let mut schedule = Schedule {
                    gap_ns: between_all * threads as f64,
                    arrivals,
                    due_ns: between_all * thread as f64,
                    drawn: 0,
                    seed: mix(seed ^ (thread + 1).wrapping_mul(GOLDEN)),
                };
                if arrivals == Arrivals::Poisson {
                    schedule.due_ns = 0.0;
                    schedule.advance();
                }
                Some(schedule)
            }
        };
        let stop_ns = bound.duration.map_or(u64::MAX, |length| length.as_nanos() as u64);
        let end = bound.operations.unwrap_or(u64::MAX);
        Self { step: thread, stride: threads, end, stop_ns, schedule }
    }

    /// The next operation that is due, with its intended start.
    pub(super) fn take(&mut self, now_ns: u64) -> Option<(u64, u64)> {
        let due = self.due()?;
        if due > now_ns {
            return None;
        }
        if self.schedule.is_none() && now_ns >= self.stop_ns {
            self.stop();
            return None;
        }
        let step = self.step;
        self.step += self.stride;
        let intended = match &mut self.schedule {
            None => now_ns,
            Some(schedule) => {
                schedule.advance();
                due
            }
        };
        Some((step, intended))
    }

    /// When the next operation starts; `None` after the last.
    #[must_use]
    pub(super) fn due(&self) -> Option<u64> {
        if self.step >= self.end {
            return None;
        }
        match &self.schedule {
            None => Some(0),
            Some(schedule) => {
                let due = schedule.due_ns as u64;
                (due < self.stop_ns).then_some(due)
            }
        }
    }

    /// The step after the last that was taken.
    #[must_use]
    pub(super) const fn next_step(&self) -> u64 {
        self.step
    }

    /// Ends it.
    pub(super) const fn stop(&mut self) {
        self.end = 0;
    }

    /// Whether starts are fixed beforehand.
    #[must_use]
    pub(super) const fn is_open(&self) -> bool {
        self.schedule.is_some()
    }

    /// Operations whose start has passed and that were not taken.
    #[must_use]
    pub(super) fn overdue(&self, now_ns: u64) -> u64 {
        let mut rest = self.clone();
        let mut overdue = 0;
        while rest.take(now_ns).is_some() {
            overdue += 1;
        }
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(pace: Pace, bound: Bound, threads: usize) -> Vec<(u64, u64)> {
        let mut all = Vec::new();
        for thread in 0..threads {
            let mut source = Source::new(pace, bound, thread, threads, 7);
            while let Some(due) = source.due() {
                all.push(source.take(due).expect("it is due"));
            }
        }
        all.sort_unstable_by_key(|(step, _)| *step);
        all
    }

    #[test]
    fn every_step_is_taken_once_by_some_thread() {
        let bound = Bound { operations: Some(1_001), duration: None };
        let open = |arrivals| Pace::Open { rate: 1_000.0, arrivals };
        for pace in [Pace::Closed, open(Arrivals::Constant), open(Arrivals::Poisson)] {
            for threads in [1, 3] {
                let steps: Vec<_> = starts(pace, bound, threads).iter().map(|s| s.0).collect();
                assert_eq!(steps, (0..1_001).collect::<Vec<_>>(), "{pace:?}, {threads}");
            }
        }
    }

    #[test]
    fn an_open_loop_offers_its_rate() {
        let bound = Bound { operations: None, duration: Some(Duration::from_secs(10)) };
        for threads in [1, 2, 3] {
            let pace = Pace::Open { rate: 5_000.0, arrivals: Arrivals::Constant };
            assert_eq!(starts(pace, bound, threads).len(), 50_000, "{threads}: 5,000 a second");
            let pace = Pace::Open { rate: 5_000.0, arrivals: Arrivals::Poisson };
            let mut starts = starts(pace, bound, threads);
            // The standard deviation of the count is its root, 224.
            assert!(starts.len().abs_diff(50_000) < 1_200, "{}", starts.len());
            starts.sort_unstable_by_key(|(_, start)| *start);
            let gaps: Vec<_> = starts.windows(2).map(|two| (two[1].1 - two[0].1) as f64).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let square = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>();
            let deviation = (square / gaps.len() as f64).sqrt() / mean;
            assert!((0.95..1.05).contains(&deviation), "exponential gaps: {deviation}");
        }
    }

    #[test]
    fn nothing_is_taken_early_and_nothing_is_skipped() {
        let pace = Pace::Open { rate: 1_000.0, arrivals: Arrivals::Constant };
        let bound = Bound { operations: Some(10), duration: None };
        let mut source = Source::new(pace, bound, 0, 1, 7);
        assert_eq!(source.take(0), Some((0, 0)));
        assert_eq!(source.take(999_999), None);
        assert_eq!(source.overdue(5_000_000), 5);
        // Late: each keeps the start that it was to have.
        for step in 1..=5 {
            assert_eq!(source.take(5_000_000), Some((step, step * 1_000_000)));
        }
        assert_eq!(source.take(5_000_000), None);
        source.stop();
        assert_eq!(source.due(), None);
    }
}
