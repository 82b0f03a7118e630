//! Bugs that a daemon has on purpose, by name, and the run that catches each. A rig that catches none
//! proves nothing.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::oracle::{Level, Promise};
use crate::run::{RunName, Setting, perform};

/// A bug is to be caught within that time of its own run.
const CAUGHT_WITHIN: Duration = Duration::from_secs(20);

/// Of that time, what the ends of a run may take.
const RESERVE: Duration = Duration::from_secs(3);

/// More turns than there is time for.
const TURNS: u64 = 1 << 40;

/// A bug and the run that catches it.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    /// Its name, as the daemon takes it from its environment.
    pub bug: &'static str,
    run: RunName,
    level: Level,
}

const fn at_always(bug: &'static str, run: RunName) -> Planted {
    Planted { bug, run, level: Level::Always }
}

/// The bugs that need the process, its disk or its clock to be seen.
pub const PLANTED: &[Planted] = &[
    at_always("ack-before-sync", RunName::Power),
    at_always("already-completed-before-sync", RunName::Power),
    at_always("repeated-acquired-before-sync", RunName::Power),
    at_always("replay-before-sync", RunName::Power),
    at_always("unsealed-result-flushed", RunName::Power),
    at_always("fenced-result-accepted-at-recovery", RunName::Kill),
    at_always("body-less-complete-not-logged", RunName::Kill),
    at_always("bind-not-logged", RunName::Kill),
    at_always("longer-renew-not-logged", RunName::Kill),
    at_always("no-directory-sync", RunName::Power),
    Planted { bug: "fence-ceiling-not-synced", run: RunName::Power, level: Level::Memory },
    at_always("fence-reused-after-restore", RunName::Kill),
    at_always("abandon-in-shorter-lived-file", RunName::Kill),
    at_always("lease-not-rearmed", RunName::Kill),
    at_always("lease-granted-from-cached-time", RunName::Still),
    at_always("early-end-after-clock-step", RunName::Clock),
    Planted {
        bug: "torn-tail-accepted-as-whole",
        run: RunName::Damage,
        // Only here does a kill leave facts that nobody has synced.
        level: Level::Interval(Duration::from_secs(1)),
    },
    at_always("retry-of-failed-sync", RunName::Faults),
    Planted {
        bug: "hint-beyond-durable-cut",
        run: RunName::Power,
        // Only here is anything written long before it is synced.
        level: Level::Interval(Duration::from_secs(1)),
    },
    at_always("segment-recycled-before-facts-dropped", RunName::Kill),
];

impl Planted {
    /// Whether its run mounts images.
    #[must_use]
    pub const fn needs_root(&self) -> bool {
        self.run.needs_root()
    }
}

/// What became of one bug.
#[derive(Clone, Debug, Serialize)]
pub struct Caught {
    /// Which.
    pub bug: &'static str,
    /// By which run.
    pub run: &'static str,
    /// The promise that was seen broken; `None` if the bug got away.
    pub promise: Option<Promise>,
    /// In one sentence.
    pub what: String,
    /// From the start of its run.
    pub seconds: f64,
}

/// Runs daemons with the bug until it is caught or the time is over.
pub fn hunt(planted: &Planted, setting: &Setting, tell: impl Fn(&str)) -> Caught {
    let since = Instant::now();
    let setting = Setting {
        planted: Some(planted.bug.to_owned()),
        levels: vec![planted.level],
        deadline: (since + CAUGHT_WITHIN - RESERVE).min(setting.deadline),
        ..setting.clone()
    };
    let report = perform(planted.run, TURNS, &setting, tell);
    let first = report.violations.first();
    let what = match (first, report.errors.first()) {
        (Some(violation), _) => violation.what.lines().next().unwrap_or_default().to_owned(),
        (None, Some(error)) => error.clone(),
        (None, None) => format!("not caught in {} turns", report.times),
    };
    Caught {
        bug: planted.bug,
        run: planted.run.name(),
        promise: first.map(|violation| violation.promise),
        what,
        seconds: since.elapsed().as_secs_f64(),
    }
}
