//! Named runs: what is done to daemons, how often, on how many lanes side by side.

pub mod clock;
mod damage;
mod faults;
mod full;
mod kill;
mod power;
mod still;
mod twins;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::image::{FileSystem, Image};
use crate::interrupt::interrupted;
use crate::lane::{Done, Lane};
use crate::oracle::{Judged, Level, Violation};

/// Size of an image: room for the files that a daemon lays out in advance. Sparse.
const IMAGE_BYTES: u64 = 3 << 30;

/// Where the first lane's daemons listen; all of 127.0.0.0/8 is loopback.
const FIRST_HOST: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);

/// What all runs share.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The program under test.
    pub daemon: PathBuf,
    /// Where data directories are made; removed at the end.
    pub scratch: PathBuf,
    /// Where images are made; removed at the end.
    pub images: PathBuf,
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
    /// The bug that all daemons are to have.
    pub planted: Option<String>,
}

/// A run by its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunName {
    /// Daemons under load are killed at random moments.
    Kill,
    /// One daemon after another is killed as it starts.
    Loop,
    /// The power of their disks is cut.
    Power,
    /// System calls of their journals fail.
    Faults,
    /// Their files are damaged while they do not run.
    Damage,
    /// The wall clock steps.
    Clock,
    /// The process stands still for longer than a lease.
    Still,
    /// Two daemons on one directory.
    Twins,
    /// Disks that are full, or read-only.
    Full,
}

impl RunName {
    /// All of them, in the order in which `all` takes them.
    pub const ALL: &[Self] = &[
        Self::Kill,
        Self::Loop,
        Self::Power,
        Self::Faults,
        Self::Damage,
        Self::Clock,
        Self::Still,
        Self::Twins,
        Self::Full,
    ];

    /// The word used on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Loop => "loop",
            Self::Power => "power",
            Self::Faults => "faults",
            Self::Damage => "damage",
            Self::Clock => "clock",
            Self::Still => "still",
            Self::Twins => "twins",
            Self::Full => "full",
        }
    }

    /// How often, unless told otherwise: as often as continuous integration does it.
    #[must_use]
    pub const fn times_default(self) -> u64 {
        match self {
            Self::Kill | Self::Faults | Self::Damage => 150,
            Self::Clock => 40,
            Self::Still | Self::Twins | Self::Full => 20,
            Self::Loop => 200,
            Self::Power => 100,
        }
    }

    /// Whether it mounts images, and so needs root and loop devices.
    #[must_use]
    pub const fn needs_root(self) -> bool {
        match self {
            Self::Kill | Self::Loop | Self::Clock | Self::Still | Self::Twins => false,
            Self::Power | Self::Faults | Self::Damage | Self::Full => true,
        }
    }
}

impl RunName {
    /// Whether its daemons are at work all the time, so that a low rate means a weak load. Others
    /// halt them, or make them stand still.
    #[must_use]
    pub const fn needs_rate(self) -> bool {
        match self {
            Self::Kill | Self::Power | Self::Damage | Self::Clock => true,
            Self::Loop | Self::Faults | Self::Still | Self::Twins | Self::Full => false,
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
    /// Whether that must not be low.
    pub needs_rate: bool,
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
pub(crate) struct Turns {
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
    pub(crate) fn take(&self) -> Option<u64> {
        let over =
            interrupted() || self.halted.load(Ordering::Relaxed) || Instant::now() >= self.deadline;
        if over {
            return None;
        }
        let one_more = |taken| (taken < self.wanted).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()
    }

    /// A turn came to nothing: another is due in its place.
    pub(crate) fn put_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }

    /// One turn was done and judged.
    pub(crate) fn count(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

/// What one lane of a run reports.
#[derive(Debug, Default)]
pub(crate) struct LaneReport {
    done: Done,
    events: BTreeMap<String, u64>,
    violations: Vec<Violation>,
    error: Option<String>,
}

impl LaneReport {
    /// Counts something that was done, or how it went.
    pub(crate) fn note(&mut self, event: impl Into<String>) {
        *self.events.entry(event.into()).or_default() += 1;
    }

    fn end(mut self, lane: &Lane, went: Result<(), Broken>) -> Self {
        self.done = lane.done();
        match went {
            Ok(()) => {}
            Err(Broken::Promises(violations)) => {
                self.violations = violations;
                for violation in &mut self.violations {
                    violation.what = format!("at {}: {}", lane.launch.level.name(), violation.what);
                }
            }
            Err(Broken::Rig(error)) => self.error = Some(error),
        }
        self
    }
}

/// Why a lane stops early.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The daemon broke promises.
    Promises(Vec<Violation>),
    /// The rig could not go on.
    Rig(String),
}

impl From<Vec<Violation>> for Broken {
    fn from(violations: Vec<Violation>) -> Self {
        Self::Promises(violations)
    }
}

impl From<Violation> for Broken {
    fn from(violation: Violation) -> Self {
        Self::Promises(vec![violation])
    }
}

impl From<String> for Broken {
    fn from(error: String) -> Self {
        Self::Rig(error)
    }
}

/// A lane over a plain folder.
fn on_folder(
    run: RunName,
    setting: &Setting,
    number: u32,
    work: impl FnOnce(&mut Lane, &mut LaneReport) -> Result<(), Broken>,
) -> LaneReport {
    let mut report = LaneReport::default();
    let made = setting
        .folder(run, number, &setting.scratch)
        .and_then(|folder| setting.lane(run, number, &folder))
        .map_err(|error| format!("making a folder for {}: {error}", run.name()));
    match made {
        Ok(mut lane) => {
            let went = work(&mut lane, &mut report);
            report.end(&lane, went)
        }
        Err(error) => LaneReport { error: Some(error), ..report },
    }
}

/// A lane over an image of its own.
fn on_image(
    run: RunName,
    setting: &Setting,
    number: u32,
    file_system: FileSystem,
    work: impl FnOnce(&mut Lane, &mut Image, &mut LaneReport) -> Result<(), Broken>,
) -> LaneReport {
    let mut report = LaneReport::default();
    let made = setting
        .folder(run, number, &setting.images)
        .map_err(|error| format!("making a folder for {}: {error}", run.name()))
        .and_then(|folder| Image::new(&folder, file_system, IMAGE_BYTES))
        .and_then(|image| {
            let lane = setting.lane(run, number, image.path());
            let lane = lane.map_err(|error| format!("{}: {error}", image.path().display()))?;
            Ok((image, lane))
        });
    match made {
        Ok((mut image, mut lane)) => {
            let went = work(&mut lane, &mut image, &mut report);
            let report = report.end(&lane, went);
            drop(lane); // Its daemon, which may have files open, before the image.
            report
        }
        Err(error) => LaneReport { error: Some(error), ..report },
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
                        RunName::Damage => damage::damage(setting, number, turns),
                        RunName::Clock => clock::clock(setting, number, turns),
                        RunName::Still => still::still(setting, number, turns),
                        RunName::Twins => twins::twins(setting, number, turns),
                        RunName::Full => full::full(setting, number, turns),
                        RunName::Faults => faults::faults(setting, number, turns),
                        RunName::Power => power::power(setting, number, turns),
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
        needs_rate: run.needs_rate(),
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
        let mut lane = Lane::new(self.daemon.clone(), data_dir, level, seed);
        lane.launch.planted.clone_from(&self.planted);
        lane.launch.host = Ipv4Addr::from_bits(FIRST_HOST.to_bits() + number);
        Ok(lane)
    }

    /// Has the next daemon start at another time. Not one without files, whose fences nothing but the
    /// wall clock keeps growing (S22).
    fn shift_clock(&self, lane: &mut Lane) {
        if !self.without_data_dir {
            clock::shift(lane);
        }
    }

    /// A new folder for one lane of a run.
    ///
    /// # Errors
    /// If it cannot be made.
    fn folder(&self, run: RunName, number: u32, within: &Path) -> std::io::Result<PathBuf> {
        let folder = within.join(format!("{}-{number}", run.name()));
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?; // The same run before.
        }
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}
