//! A process that stands still for longer than a lease while both parties' requests wait in its
//! sockets, as a machine does that is suspended or starved.

use std::time::Duration;

use crate::oracle::{Promise, Violation};
use crate::run::kill::lives_on;
use crate::run::{Broken, LaneReport, RunName, Setting, Turns, on_folder};

pub(super) fn still(setting: &Setting, number: u32, turns: &Turns) -> LaneReport {
    on_folder(RunName::Still, setting, number, |lane, _| {
        while turns.take().is_some() {
            lane.begin_life()?;
            lives_on(lane, Duration::from_millis(50))?;
            if !lane.duel() {
                let what = "a daemon that stood still for a second does not answer";
                return Err(Violation::new(Promise::Available, what).into());
            }
            lives_on(lane, Duration::from_millis(50))?;
            lane.kill()?;
            turns.count();
        }
        lane.last_look().map_err(Broken::from)
    })
}
