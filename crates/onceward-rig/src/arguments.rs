//! The command line.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use onceward_rig::image;
use onceward_rig::injection;
use onceward_rig::oracle::Level;
use onceward_rig::planted::{PLANTED, Planted};
use onceward_rig::run::{RunName, clock};
use tempfile::TempDir;

/// Drive a daemon through crashes and faults under load, and judge its answers
///
/// Exit status: 0 nothing was broken and all was done; 1 a promise was broken; 2 the rig cannot
/// work here; 3 not all was done, or the load was too low to prove anything.
#[derive(Debug, Parser)]
#[command(name = "onceward-rig", version)]
pub(crate) struct Arguments {
    /// The program to drive: `onceward`
    #[arg(long, value_name = "PATH")]
    pub(crate) daemon: PathBuf,
    /// Everything random is drawn from this [default: the time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The rig ends by then, done or not
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = humantime::parse_duration)]
    pub(crate) budget: Duration,
    /// Durability levels, taken in turn by the lanes
    #[arg(
        long,
        value_name = "LEVEL",
        value_delimiter = ',',
        default_value = "always,interval,memory"
    )]
    level: Vec<LevelName>,
    /// Of the level interval
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// Daemons side by side, each with a directory or an image of its own
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) lanes: u32,
    /// Data directories and images are made in here [default: the system's folder for temporary
    /// files, and /dev/shm, if there is one, for images]
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
    /// Fewer answers per second of load than this prove nothing
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) rate_min: u32,
    /// Give the daemon no data directory, and judge it as if it had one: shows that the oracle sees
    #[arg(long)]
    pub(crate) no_data_dir: bool,
    /// The daemon was built with the feature `planted-bugs`: plant each of these, or all, in turn, do
    /// the run that is to catch it, and fail unless each is caught within 20 s
    #[arg(long, value_name = "BUG", value_delimiter = ',', conflicts_with = "runs")]
    planted: Vec<String>,
    /// Print a summary as JSON on stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// What to do, and how often: kill, loop, power, faults, damage, clock, still, twins, full, or all [default: all]
    #[arg(value_name = "RUN[:TIMES]", value_parser = run)]
    runs: Vec<Wanted>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LevelName {
    Memory,
    Interval,
    Always,
}

#[derive(Clone, Debug)]
struct Wanted {
    runs: Vec<RunName>,
    times: Option<u64>,
}

fn run(text: &str) -> Result<Wanted, String> {
    let (name, times) = match text.split_once(':') {
        None => (text, None),
        Some((name, times)) => {
            let times = times.parse().map_err(|_| "write RUN:TIMES, such as kill:150")?;
            (name, Some(times))
        }
    };
    let named: Vec<_> =
        RunName::ALL.iter().copied().filter(|run| name == "all" || run.name() == name).collect();
    if named.is_empty() {
        let names: Vec<_> = RunName::ALL.iter().map(|run| run.name()).collect();
        return Err(format!("there are: all, {}", names.join(", ")));
    }
    Ok(Wanted { runs: named, times })
}

impl Arguments {
    pub(crate) fn runs(&self) -> Vec<(RunName, u64)> {
        let all = Wanted { runs: RunName::ALL.to_vec(), times: None };
        let wanted = if self.runs.is_empty() { std::slice::from_ref(&all) } else { &self.runs };
        wanted
            .iter()
            .flat_map(|wanted| {
                let times = wanted.times;
                wanted.runs.iter().map(move |run| (*run, times.unwrap_or(run.times_default())))
            })
            .collect()
    }

    /// The bugs to hunt, if that is what is wanted.
    pub(crate) fn planted(&self) -> Option<Vec<Planted>> {
        let all = self.planted.iter().any(|bug| bug == "all");
        let wanted = |planted: &&Planted| all || self.planted.iter().any(|bug| bug == planted.bug);
        (!self.planted.is_empty()).then(|| PLANTED.iter().filter(wanted).copied().collect())
    }

    pub(crate) fn levels(&self) -> Vec<Level> {
        let level = |name: &LevelName| match name {
            LevelName::Memory => Level::Memory,
            LevelName::Interval => Level::Interval(self.interval),
            LevelName::Always => Level::Always,
        };
        self.level.iter().map(level).collect()
    }

    pub(crate) fn seed(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.seed.unwrap_or(now.as_micros() as u64)
    }

    /// # Errors
    /// What is missing on this machine for the runs that were asked for.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !self.daemon.is_file() {
            return Err(format!("--daemon: there is no file {}", self.daemon.display()));
        }
        if self.runs().iter().any(|(run, _)| *run == RunName::Clock) {
            clock::library()?;
        }
        let known =
            |bug: &&String| *bug != "all" && !PLANTED.iter().any(|known| known.bug == **bug);
        if let Some(unknown) = self.planted.iter().find(known) {
            return Err(format!("--planted: no run catches a bug called {unknown}"));
        }
        let needing: Vec<_> = self
            .runs()
            .iter()
            .filter(|(run, _)| run.needs_root())
            .map(|(run, _)| run.name())
            .collect();
        if needing.is_empty() {
            return Ok(());
        }
        let needing = needing.join(", ");
        if !nix::unistd::geteuid().is_root() {
            return Err(format!(
                "{needing} mount images and need root: run as root, or name other runs"
            ));
        }
        if !PathBuf::from("/dev/loop-control").exists() {
            return Err(format!("{needing} need loop devices: there is no /dev/loop-control"));
        }
        let missing: Vec<_> = image::TOOLS
            .iter()
            .chain(injection::TOOLS)
            .filter(|tool| which::which(tool).is_err())
            .collect();
        if !missing.is_empty() {
            return Err(format!(
                "{needing} need commands that are missing: {missing:?} (packages mount, e2fsprogs, xfsprogs, strace)"
            ));
        }
        Ok(())
    }

    /// One for data directories, and one for images, which are faster in memory. A data directory is
    /// not: there the files that a daemon lays out in advance would take memory at once.
    ///
    /// # Errors
    /// If no folder can be made there.
    pub(crate) fn scratch_folders(&self) -> std::io::Result<(TempDir, TempDir)> {
        let memory = PathBuf::from("/dev/shm");
        let temporary = std::env::temp_dir();
        let images = if memory.is_dir() { memory } else { temporary.clone() };
        let within = |default| {
            let within = self.scratch.as_ref().unwrap_or(default);
            tempfile::Builder::new().prefix("onceward-rig-").tempdir_in(within)
        };
        Ok((within(&temporary)?, within(&images)?))
    }
}
