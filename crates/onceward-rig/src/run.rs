//! Named runs: what is done to daemons, how often, on how many lanes side by side.

pub mod kill;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::interrupt::interrupted;
use crate::lane::{Done, Lane};
use crate::oracle::{Judged, Level, Violation};

/// What all runs share.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The program under test.
    pub daemon: PathBuf,
    /// Where directories and images are made; removed at the end.
    pub scratch: PathBuf,
    /// Everything random is drawn from this.
    pub seed: u64,
    /// Taken in turn by the lanes.
    pub levels: Vec<Level>,
    /// Daemons side by side.
    pub lanes: u32,
    /// The whole rig ends by then.
    pub deadline: Instant,
    /// Daemons get no data directory, and are judged as if they had one.
    pub without_data_dir: bool,
}

/// A run by its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunName {
    /// Daemons under load are killed at random moments.
    Kill,
    /// One daemon after another is killed as it starts.
    Loop,
}

impl RunName {
    /// All of them, in the order in which `all` takes them.
    pub const ALL: &[Self] = &[Self::Kill, Self::Loop];

    /// The word used on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Loop => "loop",
        }
    }

    /// How often, unless told otherwise: as often as continuous integration does it.
    #[must_use]
    pub const fn times_default(self) -> u64 {
        match self {
            Self::Kill => 150,
            Self::Loop => 200,
        }
    }

    /// Whether it mounts images, and so needs root and loop devices.
    #[must_use]
    pub const fn needs_root(self) -> bool {
        match self {
            Self::Kill | Self::Loop => false,
        }
    }
}

/// What came of a run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Which run.
    pub run: String,
    /// How often it was to be done.
    pub wanted: u64,
    /// How often it was done.
    pub times: u64,
    /// What was done, and how it went, by word.
    pub events: BTreeMap<String, u64>,
    /// Processes started.
    pub starts: u64,
    /// Answers to the load.
    pub answered: u64,
    /// Answers per second of load and daemon.
    pub answered_per_second: f64,
    /// Wall time.
    pub seconds: f64,
    /// What the oracles judged.
    pub judged: Judged,
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// What kept the rig itself from working.
    pub errors: Vec<String>,
}

/// The turns of a run, which its lanes take one at a time.
#[derive(Debug)]
pub struct Turns {
    wanted: u64,
    taken: AtomicU64,
    done: AtomicU64,
    halted: AtomicBool,
    deadline: Instant,
}

impl Turns {
    fn new(wanted: u64, deadline: Instant) -> Self {
        let (taken, done) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { wanted, taken, done, halted: AtomicBool::new(false), deadline }
    }

    /// The number of the next turn; `None` if there is none, or no time for it.
    pub fn take(&self) -> Option<u64> {
        let over =
            interrupted() || self.halted.load(Ordering::Relaxed) || Instant::now() >= self.deadline;
        if over {
            return None;
        }
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        (number < self.wanted).then_some(number)
    }

    /// One turn was done and judged.
    pub fn count(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

/// What one lane of a run reports.
#[derive(Debug, Default)]
pub struct LaneReport {
    /// Of its daemon and oracle.
    pub done: Done,
    /// What happened, by word.
    pub events: BTreeMap<String, u64>,
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// What kept the rig from working.
    pub error: Option<String>,
}

impl LaneReport {
    /// Counts something that was done, or how it went.
    pub fn note(&mut self, event: impl Into<String>) {
        *self.events.entry(event.into()).or_default() += 1;
    }

    fn of(lane: &Lane, went: Result<(), Vec<Violation>>) -> Self {
        let mut violations = went.err().unwrap_or_default();
        for violation in &mut violations {
            violation.what = format!("at {}: {}", lane.launch.level.name(), violation.what);
        }
        Self { done: lane.done(), violations, ..Self::default() }
    }
}

/// Does `run` `wanted` times; `tell` gets a line of progress about once a second.
pub fn perform(run: RunName, wanted: u64, setting: &Setting, tell: impl Fn(&str)) -> Report {
    let turns = Turns::new(wanted, setting.deadline);
    let since = Instant::now();
    let lanes = if run == RunName::Loop { setting.lanes.min(2) } else { setting.lanes };
    let reports = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..lanes)
            .map(|number| {
                let turns = &turns;
                scope.spawn(move || {
                    let report = match run {
                        RunName::Kill => kill::kill(setting, number, turns),
                        RunName::Loop => kill::crash_loop(setting, number, turns),
                    };
                    if !report.violations.is_empty() || report.error.is_some() {
                        turns.halted.store(true, Ordering::Relaxed);
                    }
                    report
                })
            })
            .collect();
        let mut last = Instant::now();
        while workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            if last.elapsed() >= Duration::from_secs(1) {
                last = Instant::now();
                let seconds = since.elapsed().as_secs();
                tell(&format!("{} {}/{wanted}, {seconds} s", run.name(), turns.done()));
            }
        }
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    let mut report = Report {
        run: run.name().to_owned(),
        wanted,
        times: turns.done(),
        seconds: since.elapsed().as_secs_f64(),
        ..Report::default()
    };
    let mut loaded = Duration::ZERO;
    for lane in reports {
        report.starts += lane.done.starts;
        report.answered += lane.done.answered;
        report.judged.add(&lane.done.judged);
        loaded += lane.done.loaded;
        report.violations.extend(lane.violations);
        report.errors.extend(lane.error);
        for (event, times) in lane.events {
            *report.events.entry(event).or_default() += times;
        }
    }
    report.answered_per_second = report.answered as f64 / loaded.as_secs_f64().max(1e-3);
    report
}

impl Setting {
    /// The lane with this number, over a directory of its own below `folder`.
    ///
    /// # Errors
    /// If the directory cannot be made.
    pub fn lane(
        &self,
        run: RunName,
        number: u32,
        folder: &std::path::Path,
    ) -> std::io::Result<Lane> {
        let level = self.levels[number as usize % self.levels.len()];
        let data_dir = folder.join("data");
        std::fs::create_dir_all(&data_dir)?;
        let data_dir = (!self.without_data_dir).then_some(data_dir);
        let seed = self.seed ^ u64::from(number) << 40 ^ (run as u64) << 48;
        Ok(Lane::new(self.daemon.clone(), data_dir, level, seed))
    }

    /// A folder for one lane of a run.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn folder(&self, run: RunName, number: u32) -> std::io::Result<PathBuf> {
        let folder = self.scratch.join(format!("{}-{number}", run.name()));
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}
