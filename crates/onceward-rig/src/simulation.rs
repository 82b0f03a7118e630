//! The shipped store, journal and protocol in a simulated world.
//!
//! One seed decides everything: what callers ask and when, what the network loses, delays and
//! duplicates, how the disk tears, fails and fills, when the process dies or the power goes, and
//! what the clocks show. There is no thread, and no clock but the simulated one, so the same seed
//! gives the same run, event by event, on every machine; [`Outcome::trace_hash`] says so.
//!
//! What is judged is what callers were told, by the [`oracle`](crate::oracle) of the whole rig, one
//! per durability level, for every namespace has its own.

mod caller;
pub mod campaign;
mod content;
mod desk;
mod disk;
#[cfg(feature = "planted-bugs")]
pub mod hunt;
mod interruption;
mod life;
mod plan;
mod question;
mod time;
mod trace;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;

use crate::oracle::{Promise, Violation};
use world::World;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Calls of one run.
    pub steps: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { steps: 160 }
    }
}

/// How one run went.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What decided it.
    pub seed: u64,
    /// Over every event in order.
    pub trace_hash: u64,
    /// How many there were.
    pub events: u64,
    /// What happened in it.
    pub counts: Counts,
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// The last events in words, if a promise was broken.
    pub last_events: Vec<String>,
}

pub use world::Counts;

/// Runs one seed. If a promise is broken, the run is repeated to tell the last events.
#[must_use]
pub fn simulate(seed: u64, settings: Settings) -> Outcome {
    let outcome = run(seed, settings, false);
    if outcome.violation.is_some() { run(seed, settings, true) } else { outcome }
}

fn run(seed: u64, settings: Settings, keeps_lines: bool) -> Outcome {
    let mut world = World::new(seed, settings.steps, keeps_lines);
    // A broken assertion is a broken promise, with the same events to show for it.
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    let violation = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let text = format!("it panicked: {}", text.unwrap_or("without words"));
        Some(Violation::new(Promise::Available, text))
    });
    let (trace_hash, events, last_events) = world.trace();
    Outcome { seed, trace_hash, events, counts: world.counts.clone(), violation, last_events }
}

#[cfg(test)]
mod tests;
