//! Waiting until two cores are near each other, for so long and no longer.

use std::cell::Cell;
use std::time::{Duration, Instant};

use onceward_bench::engine::{Fault, cores};

/// What runs of two cores pass before they start.
#[derive(Clone, Debug)]
pub struct Gate {
    near_nanos: f64,
    patience: Duration,
    /// What is left of the waiting that all runs may do together.
    left: Cell<Duration>,
}

impl Gate {
    /// Near is a cache line that goes from one to the other in `near_nanos`. A run waits for that
    /// as long as `patience`, all together as long as `in_all`: a host that never gets there costs
    /// that once and not for each run.
    #[must_use]
    pub const fn new(near_nanos: f64, patience: Duration, in_all: Duration) -> Self {
        Self { near_nanos, patience, left: Cell::new(in_all) }
    }

    /// The most that a cache line may take.
    #[must_use]
    pub const fn near_nanos(&self) -> f64 {
        self.near_nanos
    }

    /// Waits until the two are near or patience ends, and gives the last distance.
    ///
    /// # Errors
    /// A core cannot be had.
    pub fn pass(&self, (one, other): (usize, usize)) -> Result<f64, Fault> {
        let started = Instant::now();
        let patience = self.patience.min(self.left.get());
        let distance = cores::await_near(one, other, self.near_nanos, patience)?;
        self.left.set(self.left.get().saturating_sub(started.elapsed()));
        Ok(distance)
    }

    /// Why a run between cores at such a distance must not be used, if so.
    #[must_use]
    pub fn objection(&self, distance: f64) -> Option<String> {
        let most = self.near_nanos;
        (distance > most)
            .then(|| format!("cores far from each other: {distance:.0} ns, {most} ns is the most"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_wait_no_longer_together_than_they_may() {
        let available = cores::available().unwrap();
        let [one, other, ..] = available[..] else { return };
        let in_all = Duration::from_millis(1);
        // No line is that fast, so only the end of patience ends a wait.
        let gate = Gate::new(0.0, Duration::from_secs(3_600), in_all);
        assert!(gate.pass((one, other)).is_ok_and(|distance| distance > 0.0));
        assert_eq!(gate.left.get(), Duration::ZERO);
        assert!(gate.pass((one, other)).is_ok(), "and the next run does not wait at all");
    }

    #[test]
    fn the_bound_itself_is_near() {
        let gate = Gate::new(35.5, Duration::ZERO, Duration::ZERO);
        assert_eq!(gate.objection(35.5), None);
        let far = gate.objection(41.2).unwrap();
        assert!(far.contains("41 ns") && far.contains("35.5 ns"), "{far}");
    }
}
