//! Many seeds, on as many threads as there are cores. Each run has a thread to itself while it
//! lasts, so it is the same run wherever it takes place.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use serde::Serialize;

use super::{Counts, Outcome, Settings, simulate};

/// Failures that are looked for; more say nothing new.
const FAILURES_MAX: usize = 3;

/// How many runs went.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Campaign {
    /// Runs that ended.
    pub seeds: u64,
    /// Runs that were asked for.
    pub wanted: u64,
    /// Over all trace hashes: the same for the same seeds, whatever the order.
    pub trace_hash: u64,
    /// Events of all.
    pub events: u64,
    /// What happened in all.
    pub counts: Counts,
    /// How long it took.
    pub seconds: f64,
    /// Runs in which a promise was broken.
    pub failures: Vec<Outcome>,
}

/// Runs `seeds`, until all are done, a few have failed, or `stops` says so. Tells `progress` of
/// every hundred.
pub fn run(
    seeds: &Range<u64>,
    settings: Settings,
    stops: &(dyn Fn() -> bool + Sync),
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Campaign {
    run_until(seeds, settings, FAILURES_MAX, stops, progress)
}

/// Runs seeds from `from` on until one fails, or `stops` says so.
pub fn until_failure(from: u64, settings: Settings, stops: &(dyn Fn() -> bool + Sync)) -> Campaign {
    run_until(&(from..u64::MAX), settings, 1, stops, &|_, _| {})
}

fn run_until(
    seeds: &Range<u64>,
    settings: Settings,
    failures_max: usize,
    stops: &(dyn Fn() -> bool + Sync),
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Campaign {
    let started = Instant::now();
    let wanted = seeds.end.saturating_sub(seeds.start);
    let (next, is_over) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let campaign = Mutex::new(Campaign { wanted, ..Campaign::default() });
    let work = || {
        while !is_over.load(Relaxed) && !stops() {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end {
                break;
            }
            let outcome = simulate(seed, settings);
            let mut campaign = campaign.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            campaign.add(outcome);
            if campaign.failures.len() >= failures_max {
                is_over.store(true, Relaxed);
            }
            if campaign.seeds.is_multiple_of(100) {
                progress(campaign.seeds, wanted);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut campaign = campaign.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    campaign.failures.sort_by_key(|outcome| outcome.seed);
    campaign.seconds = started.elapsed().as_secs_f64();
    campaign
}

impl Campaign {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.events += outcome.events;
        self.trace_hash = self.trace_hash.wrapping_add(outcome.trace_hash);
        self.counts.add(&outcome.counts);
        if outcome.violation.is_some() {
            self.failures.push(outcome);
        }
    }
}
