//! The wall clock steps by 49 hours, live and between two lives. First the run proves that the daemon
//! sees such steps: its log tells the time.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::lane::Lane;
use crate::run::kill::lives_on;
use crate::run::{Broken, LaneReport, RunName, Setting, Turns, on_folder};

/// Where Debian's package `libfaketime` puts the library for programs with threads.
const LIBRARIES: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

const STEP: Duration = Duration::from_secs(49 * 3_600);

/// From the line that says where the daemon listens, which comes by another pipe, to its log's first.
const WORDS_WITHIN: Duration = Duration::from_secs(5);

/// How far the daemon's clock may be from where it was put.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// The library that shows another time to a program.
///
/// # Errors
/// If it is not installed.
pub fn library() -> Result<PathBuf, String> {
    let found = LIBRARIES.iter().map(PathBuf::from).find(|path| path.is_file());
    found
        .ok_or_else(|| "clock needs libfaketime, which is missing (package libfaketime)".to_owned())
}

/// Where the wall clock is, as against the real one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Offset {
    None,
    Ahead,
    Behind,
}

impl Offset {
    const fn text(self) -> &'static str {
        match self {
            Self::None => "+0",
            Self::Ahead => "+49h",
            Self::Behind => "-49h",
        }
    }

    fn from(self, real: SystemTime) -> SystemTime {
        match self {
            Self::None => real,
            Self::Ahead => real + STEP,
            Self::Behind => real - STEP,
        }
    }
}

/// A start at another time than the last: fences must grow all the same (S13).
pub(super) fn shift(lane: &mut Lane) {
    let Ok(library) = library() else { return };
    let offset = match lane.random.within(0..10) {
        0..2 => Offset::Ahead,
        2..4 => Offset::Behind,
        _ => Offset::None,
    };
    lane.launch.environment = match offset {
        Offset::None => Vec::new(),
        Offset::Ahead | Offset::Behind => vec![
            ("LD_PRELOAD".into(), library.into_os_string()),
            ("FAKETIME".into(), offset.text().into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC".into(), "1".into()),
        ],
    };
}

pub(super) fn clock(setting: &Setting, number: u32, turns: &Turns) -> LaneReport {
    on_folder(RunName::Clock, setting, number, |lane, report| {
        let file = setting.scratch.join(format!("faketime-{number}"));
        lane.launch.environment = vec![
            ("LD_PRELOAD".into(), library()?.into_os_string()),
            ("FAKETIME_TIMESTAMP_FILE".into(), file.clone().into_os_string()),
            ("FAKETIME_NO_CACHE".into(), "1".into()),
            // The clock since boot is what the store goes by (S15): it is not what is tested here.
            ("FAKETIME_DONT_FAKE_MONOTONIC".into(), "1".into()),
        ];
        prove(lane, &file, report)?;
        while turns.take().is_some() {
            step(lane, &file, report)?;
            turns.count();
        }
        set(&file, Offset::None)?;
        lane.last_look().map_err(Broken::from)
    })
}

fn set(file: &Path, offset: Offset) -> Result<(), String> {
    std::fs::write(file, offset.text()).map_err(|error| format!("{}: {error}", file.display()))
}

/// That the daemon sees a step, at its start and live: its log tells the time.
fn prove(lane: &mut Lane, file: &Path, report: &mut LaneReport) -> Result<(), Broken> {
    for (at_start, live) in [(Offset::Ahead, Offset::Behind), (Offset::Behind, Offset::Ahead)] {
        set(file, at_start)?;
        lane.begin_life()?;
        let first = lane.first_words(WORDS_WITHIN);
        sees(first.lines().next(), at_start)?;
        lives_on(lane, Duration::from_millis(100))?;
        set(file, live)?;
        lives_on(lane, Duration::from_millis(100))?;
        lane.stop()?;
        let last = lane.log();
        sees(last.lines().last(), live)?;
        report.note("steps seen in the daemon's log");
    }
    Ok(())
}

fn sees(line: Option<&str>, offset: Offset) -> Result<(), String> {
    let told = line.and_then(|line| line.split_whitespace().next());
    let told = told.and_then(|time| humantime::parse_rfc3339_weak(time).ok());
    let want = offset.from(SystemTime::now());
    let apart = told.map(|told| told.duration_since(want).unwrap_or_else(|error| error.duration()));
    if apart.is_some_and(|apart| apart < SEEN_WITHIN) {
        return Ok(());
    }
    let line = line.unwrap_or("nothing");
    Err(format!("the daemon does not see the clock at {}: it logs {line}", offset.text()))
}

fn step(lane: &mut Lane, file: &Path, report: &mut LaneReport) -> Result<(), Broken> {
    let offsets = [Offset::None, Offset::Ahead, Offset::Behind];
    let mut draw = || lane.random.pick(&offsets).copied().unwrap_or(Offset::None);
    let (at_start, live) = (draw(), draw());
    set(file, at_start)?;
    lane.begin_life()?;
    let (before, after) = (lane.random.within(20..200), lane.random.within(20..250));
    lives_on(lane, Duration::from_millis(before))?;
    set(file, live)?;
    lives_on(lane, Duration::from_millis(after))?;
    report.note(format!("{} at the start, {} live", at_start.text(), live.text()));
    if lane.random.chance(70) {
        lane.kill()?
    } else {
        lane.stop()?
    }
    Ok(())
}
