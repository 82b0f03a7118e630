//! Planted bugs, each hunted with seeds until one catches it.

use std::time::{Duration, Instant};

use onceward::planted::{Bug, plant};
use serde::Serialize;

use super::campaign;
use super::{Settings, campaign::Campaign};

/// A bug that is not caught within this is not caught.
pub const WITHIN: Duration = Duration::from_secs(20);

/// Bugs that no simulation can show, for they are in what it takes the place of, and why.
pub const BEYOND: &[(Bug, &str)] = &[(
    Bug::EarlyEndAfterClockStep,
    "it is in the clock that reads the machine's, in whose place the simulation has its own",
)];

/// How the hunt for one bug went.
#[derive(Clone, Debug, Serialize)]
pub struct Hunted {
    /// Its name.
    pub bug: &'static str,
    /// Whether a seed caught it.
    pub is_caught: bool,
    /// Seeds that it took, or that were tried.
    pub seeds: u64,
    /// How long it took.
    pub seconds: f64,
    /// The first seed that caught it.
    pub seed: Option<u64>,
    /// The promise that it broke there.
    pub promise: Option<String>,
    /// In words.
    pub what: Option<String>,
    /// Why no simulation can catch it.
    pub beyond: Option<&'static str>,
}

/// Plants one bug and runs seeds from `from` on until one of them breaks a promise.
#[must_use]
pub fn hunt(bug: Bug, from: u64, settings: Settings) -> Hunted {
    let beyond = BEYOND.iter().find(|(beyond, _)| *beyond == bug).map(|(_, why)| *why);
    let none = Campaign::default();
    plant(Some(bug));
    let deadline = Instant::now() + WITHIN;
    let campaign = if beyond.is_some() {
        none
    } else {
        campaign::until_failure(from, settings, &|| Instant::now() >= deadline)
    };
    plant(None);
    let first = campaign.failures.first();
    let violation = first.and_then(|outcome| outcome.violation.as_ref());
    Hunted {
        bug: bug.name(),
        is_caught: first.is_some(),
        seeds: campaign.seeds,
        seconds: campaign.seconds,
        seed: first.map(|outcome| outcome.seed),
        promise: violation.map(|violation| format!("{:?}", violation.promise)),
        what: violation.map(|violation| violation.what.clone()),
        beyond,
    }
}
