//! System calls of the journal that fail, do less than they were asked, take long, or are the last
//! that the process makes.

use std::path::Path;
use std::time::Duration;

use crate::image::{FileSystem, Image};
use crate::injection::{Injection, traced};
use crate::lane::Lane;
use crate::oracle::{Promise, Violation};
use crate::run::{Broken, LaneReport, RunName, Setting, Turns, on_image};

/// From the last fault until begins are taken again: the daemon tries once a second.
const HEALED_WITHIN: Duration = Duration::from_secs(8);

/// While it is halted, what rests on old facts is answered at once.
const READ_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn faults(setting: &Setting, number: u32, turns: &Turns) -> LaneReport {
    let file_system = if number.is_multiple_of(2) { FileSystem::Ext4 } else { FileSystem::Xfs };
    on_image(RunName::Faults, setting, number, file_system, |lane, image, report| {
        let log = image.path().with_file_name("strace.log");
        // Something to read while nothing can be written.
        lane.begin_life()?;
        lane.work(Duration::from_millis(500));
        lane.kill()?;
        while turns.take().is_some() {
            let injection = Injection::draw(&mut lane.random);
            if one_fault(lane, image, &log, injection, report)? {
                turns.count();
            } else {
                turns.put_back();
            }
        }
        lane.last_look().map_err(Broken::from)
    })
}

/// Whether the fault came about.
fn one_fault(
    lane: &mut Lane,
    image: &mut Image,
    log: &Path,
    injection: Injection,
    report: &mut LaneReport,
) -> Result<bool, Broken> {
    let _ = std::fs::remove_file(log);
    lane.launch.wrapper = injection.wrapper(log);
    let started = lane.try_begin_life();
    lane.launch.wrapper.clear();
    let mut died = false;
    if started.is_ok() {
        let time = lane.random.within(150..600);
        let lives = lane.work(Duration::from_millis(time));
        died = !lives;
        if !lives && !injection.kills() {
            let log = lane.daemon().map(crate::daemon::Daemon::log).unwrap_or_default();
            let what = format!("the daemon ended by itself after a fault of {injection}:\n{log}");
            return Err(Violation::new(Promise::Available, what).into());
        }
        if lives && !injection.kills() {
            if injection.heals() {
                let within = HEALED_WITHIN + injection.costs();
                if !lane.takes_begins(within) {
                    let log = lane.log();
                    let what = format!(
                        "{injection:?}: begins are not taken again within {within:?}:\n{log}"
                    );
                    return Err(Violation::new(Promise::Available, what).into());
                }
            } else if !lane.reads_go_on(READ_WITHIN) {
                let what = format!(
                    "{injection}: what rests on old facts is not answered within {READ_WITHIN:?}"
                );
                return Err(Violation::new(Promise::Available, what).into());
            }
        }
    }
    // What a sync that failed did not write is still in memory, and only a power cut takes it.
    if lane.random.chance(60) {
        image.cut_power()?;
    }
    lane.kill()?;
    let traced = traced(&std::fs::read_to_string(log).unwrap_or_default());
    // A killed process does not tell what it was killed at.
    let reached = if injection.kills() { died || started.is_err() } else { traced.injected > 0 };
    match &started {
        Err(not) if !reached => {
            let what = format!("the daemon did not start, and no fault was why:\n{}", not.log);
            return Err(Violation::new(Promise::Available, what).into());
        }
        Err(_) => report.note(format!("{injection}, at the start")),
        Ok(()) if reached => report.note(format!("{injection}")),
        Ok(()) => report.note("not reached"),
    }
    if let Some(file) = traced.used_again {
        let what = format!("{injection}: {file} was written or synced again after it had failed");
        return Err(Violation::new(Promise::FailedFile, what).into());
    }
    image.remount()?;
    Ok(reached)
}
