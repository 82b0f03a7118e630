//! Other systems that do the nearest thing to begin, complete and replay: maps and caches in
//! memory.
//!
//! None of them has a fingerprint, a fence, an owner's lease, a budget in bytes or waiters. Each
//! inserts a pending record under the key, puts the value in its place, and copies it out again.

mod dashmap;
mod held;
mod moka;
mod papaya;
mod quick;
mod scc;
mod sharded;

use clap::ValueEnum;
use onceward_bench::engine::{Fault, Values, phases};
use serde::{Deserialize, Serialize};

/// A system that can be measured.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum SystemName {
    /// Ours.
    Onceward,
    /// `dashmap` 6.
    Dashmap,
    /// `papaya` 0.2.
    Papaya,
    /// `scc` 3: its `HashMap`.
    Scc,
    /// `moka` 0.12: its synchronous cache, with a time to live.
    Moka,
    /// 64 mutexes, each over a `hashbrown` table.
    Sharded,
    /// `quick_cache` 0.6.
    Quick,
}

/// How a rival is set up.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct RivalSettings {
    /// Entries that will come.
    pub entries: u64,
    /// Whether it gets room for all of them at its start, where it can.
    pub presized: bool,
}

/// Runs an expression generic over the system with a maker of the one that is named.
macro_rules! on_rival {
    ($name:expr, $settings:expr, |$make:ident| $run:expr) => {
        match $name {
            Self::Onceward => Err("onceward is no rival".into()),
            Self::Dashmap => on_rival!($settings, dashmap::Dashmap, $make, $run),
            Self::Papaya => on_rival!($settings, papaya::Papaya, $make, $run),
            Self::Scc => on_rival!($settings, scc::Scc, $make, $run),
            Self::Moka => on_rival!($settings, moka::Moka, $make, $run),
            Self::Sharded => on_rival!($settings, sharded::Sharded, $make, $run),
            Self::Quick => on_rival!($settings, quick::Quick, $make, $run),
        }
    };
    ($settings:expr, $rival:ty, $make:ident, $run:expr) => {{
        let $make = || Ok(<$rival>::new($settings));
        $run
    }};
}

impl SystemName {
    /// All of them, ours first, the one that ratios refer to second.
    pub const ALL: &'static [Self] = &[
        Self::Onceward,
        Self::Dashmap,
        Self::Papaya,
        Self::Scc,
        Self::Moka,
        Self::Sharded,
        Self::Quick,
    ];

    /// The name on the command line and in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Onceward => "onceward",
            Self::Dashmap => "dashmap",
            Self::Papaya => "papaya",
            Self::Scc => "scc",
            Self::Moka => "moka",
            Self::Sharded => "sharded",
            Self::Quick => "quick",
        }
    }

    /// What it may hold for an entry beyond key and value, for the estimate of its process.
    pub(crate) const fn beyond_bytes_most(self) -> f64 {
        match self {
            Self::Onceward => 200.0,
            Self::Dashmap | Self::Papaya | Self::Scc | Self::Sharded => 250.0,
            Self::Moka | Self::Quick => 440.0,
        }
    }

    /// What it is, and what it does not do that ours does.
    #[must_use]
    pub const fn lacks(self) -> &'static str {
        match self {
            Self::Onceward => {
                "begin with fingerprint, attempt id, fence, lease, retention, set-aside; SipHash-1-3"
            }
            Self::Dashmap => {
                "insert, get_mut, get under shard locks; no fingerprint, fence, lease, expiry, budget, waiting; SipHash-1-3"
            }
            Self::Papaya => {
                "insert, update (a second key), get without locks; lacks what dashmap lacks; SipHash-1-3"
            }
            Self::Scc => {
                "insert_sync, update_sync, read_sync; lacks what dashmap lacks; SipHash-1-3"
            }
            Self::Moka => {
                "two inserts and a get, values shared; expiry by time, eviction at its bound; no fingerprint, fence, lease, waiting; SipHash-1-3"
            }
            Self::Sharded => "64 mutexes over hashbrown; lacks what dashmap lacks; SipHash-1-3",
            Self::Quick => {
                "two inserts and a get, values shared; evicts at its bound; lacks what dashmap lacks; SipHash-1-3"
            }
        }
    }

    /// Runs all phases on this rival.
    ///
    /// # Errors
    /// A wrong answer; or it is not a rival but ours.
    pub fn measure(
        self,
        settings: RivalSettings,
        plan: &phases::Plan,
        values: &Values,
        progress: phases::Progress<'_>,
    ) -> Result<phases::Measured, Fault> {
        on_rival!(self, settings, |make| phases::measure(plan, values, progress, make))
    }

    /// Fills this rival. Returns the bytes that the process grew by, per entry.
    ///
    /// # Errors
    /// As [`SystemName::measure`].
    pub fn measure_memory(
        self,
        settings: RivalSettings,
        plan: &phases::Plan,
        values: &Values,
    ) -> Result<f64, Fault> {
        on_rival!(self, settings, |make| phases::measure_memory(plan, values, make))
    }
}

impl RivalSettings {
    fn capacity(&self) -> usize {
        if self.presized { usize::try_from(self.entries).unwrap_or(usize::MAX) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onceward_bench::engine::figures;

    #[test]
    fn every_rival_gives_back_what_it_was_given() {
        let cores = onceward_bench::engine::cores::available().unwrap();
        let values = Values::sized(64).unwrap();
        for threads in 1..=cores.len().min(2) {
            let cores = cores[..threads].to_vec();
            let plan = phases::Plan { entries: 3_000, window: 1_000, cores, seed: 1 };
            for rival in &SystemName::ALL[1..] {
                for presized in [false, true] {
                    // The batches' keys come on top.
                    let settings = RivalSettings { entries: 4_000, presized };
                    let measured = rival
                        .measure(settings, &plan, &values, &|_| {})
                        .unwrap_or_else(|fault| panic!("{}: {fault}", rival.name()));
                    let names: Vec<_> =
                        measured.values.iter().map(|value| value.name.as_str()).collect();
                    for name in [figures::BOTH, figures::REPLAY, figures::BATCH_REPLAY] {
                        assert!(names.contains(&name), "{}: no {name}", rival.name());
                    }
                }
            }
        }
    }
}
