//! `kill -9`: under load at random moments, and again and again at the start.

use std::time::Duration;

use crate::lane::Lane;
use crate::oracle::{Promise, Violation};
use crate::run::{Broken, LaneReport, RunName, Setting, Turns, on_folder};

/// Restarts in one crash loop between two lives under load.
const LOOP_LENGTH: u64 = 50;

/// Kills a daemon under load again and again.
pub(super) fn kill(setting: &Setting, number: u32, turns: &Turns) -> LaneReport {
    on_folder(RunName::Kill, setting, number, |lane, _| {
        while turns.take().is_some() {
            setting.shift_clock(lane);
            lane.begin_life()?;
            // Now and then longer than any of the short leases.
            let longest = if lane.random.chance(35) { 1_200 } else { 400 };
            let time = lane.random.within(1..longest);
            lives_on(lane, Duration::from_millis(time))?;
            lane.kill()?;
            turns.count();
        }
        lane.last_look().map_err(Broken::from)
    })
}

/// Kills a daemon as it starts, many times between two lives under load.
pub(super) fn crash_loop(setting: &Setting, number: u32, turns: &Turns) -> LaneReport {
    on_folder(RunName::Loop, setting, number, |lane, _| {
        loop {
            lane.begin_life()?;
            lives_on(lane, Duration::from_millis(300))?;
            lane.kill()?;
            for _ in 0..LOOP_LENGTH {
                if turns.take().is_none() {
                    return lane.last_look().map_err(Broken::from);
                }
                let after = Duration::from_micros(lane.random.within(0..60_000));
                lane.stillborn(after, || ())?;
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
