//! `kill -9`: under load at random moments, and again and again at the start.

use std::time::Duration;

use crate::lane::Lane;
use crate::oracle::{Promise, Violation};
use crate::run::{LaneReport, RunName, Setting, Turns};

/// Restarts in one crash loop between two lives under load.
const LOOP_LENGTH: u64 = 50;

/// Kills a daemon under load again and again.
pub(super) fn kill(setting: &Setting, number: u32, turns: &Turns) -> LaneReport {
    on_lane(RunName::Kill, setting, number, |lane| {
        let mut first = true;
        while turns.take().is_some() {
            lane.begin_life()?;
            let time = if first { 400 } else { lane.random.within(1..400) };
            first = false;
            lives_on(lane, Duration::from_millis(time))?;
            lane.kill()?;
            turns.count();
        }
        lane.last_look()
    })
}

/// Kills a daemon as it starts, many times between two lives under load.
pub(super) fn crash_loop(setting: &Setting, number: u32, turns: &Turns) -> LaneReport {
    on_lane(RunName::Loop, setting, number, |lane| {
        loop {
            lane.begin_life()?;
            lives_on(lane, Duration::from_millis(300))?;
            lane.kill()?;
            for _ in 0..LOOP_LENGTH {
                if turns.take().is_none() {
                    return lane.last_look();
                }
                let after = Duration::from_micros(lane.random.within(0..60_000));
                lane.stillborn(after)?;
                turns.count();
            }
        }
    })
}

/// # Errors
/// If the daemon ends although nobody ended it.
pub(super) fn lives_on(lane: &mut Lane, time: Duration) -> Result<(), Vec<Violation>> {
    if lane.work(time) {
        return Ok(());
    }
    let log = lane.daemon().map(crate::daemon::Daemon::log).unwrap_or_default();
    let mut broken = lane.kill().err().unwrap_or_default();
    broken.push(Violation::new(Promise::Available, format!("the daemon ended by itself:\n{log}")));
    Err(broken)
}

fn on_lane(
    run: RunName,
    setting: &Setting,
    number: u32,
    work: impl FnOnce(&mut Lane) -> Result<(), Vec<Violation>>,
) -> LaneReport {
    let lane = setting.folder(run, number).and_then(|folder| setting.lane(run, number, &folder));
    match lane {
        Ok(mut lane) => {
            let went = work(&mut lane);
            LaneReport::of(&lane, went)
        }
        Err(error) => {
            let error = Some(format!("making a folder for {}: {error}", run.name()));
            LaneReport { error, ..LaneReport::default() }
        }
    }
}
