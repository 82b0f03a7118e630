//! Two daemons on one directory: one has it, the other refuses and does no harm.

use std::time::Duration;

use crate::daemon::NotStarted;
use crate::lane::Lane;
use crate::oracle::{Promise, Violation};
use crate::run::kill::lives_on;
use crate::run::{Broken, LaneReport, RunName, Setting, Turns, on_folder};

const TAKES_BEGINS_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn twins(setting: &Setting, number: u32, turns: &Turns) -> LaneReport {
    on_folder(RunName::Twins, setting, number, |lane, report| {
        while turns.take().is_some() {
            if lane.random.chance(70) {
                report.note("a second beside the first");
                second(lane)?;
            } else {
                report.note("two at once");
                race(lane)?;
            }
            lane.kill()?;
            turns.count();
        }
        lane.last_look().map_err(Broken::from)
    })
}

fn second(lane: &mut Lane) -> Result<(), Broken> {
    lane.begin_life()?;
    lives_on(lane, Duration::from_millis(60))?;
    match lane.launch.start() {
        Ok(_) => return Err(two_at_once()),
        Err(not) => says_it_is_in_use(&not)?,
    }
    if !lane.takes_begins(TAKES_BEGINS_WITHIN) {
        let what = "after a second daemon was refused the first takes no begins";
        return Err(Violation::new(Promise::Available, what).into());
    }
    Ok(lives_on(lane, Duration::from_millis(60))?)
}

/// Both are started before either listens.
fn race(lane: &mut Lane) -> Result<(), Broken> {
    let starts = [lane.launch.spawn(), lane.launch.spawn()];
    let mut winners = Vec::new();
    let starts = starts.map(|start| start.map(|starting| std::thread::spawn(|| starting.ready())));
    for start in starts {
        let start = start.map_err(|error| format!("starting the daemon: {error}"))?;
        match start.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            Ok(daemon) => winners.push(daemon),
            Err(not) => says_it_is_in_use(&not)?,
        }
    }
    match winners.pop() {
        Some(daemon) if winners.is_empty() => {
            lane.adopt(daemon);
            Ok(lives_on(lane, Duration::from_millis(100))?)
        }
        Some(_) => Err(two_at_once()),
        None => {
            let what = "of two daemons that were started at once neither runs";
            Err(Violation::new(Promise::Available, what).into())
        }
    }
}

fn two_at_once() -> Broken {
    Violation::new(Promise::OneOwner, "two daemons run on one directory").into()
}

fn says_it_is_in_use(not: &NotStarted) -> Result<(), Violation> {
    let says = not.log.contains("in use");
    not.refusal()
        .and_then(|()| if says { Ok(()) } else { Err("it does not say why".to_owned()) })
        .map_err(|why| {
            let what = format!("a second daemon on one directory: {why}:\n{}", not.log);
            Violation::new(Promise::Available, what)
        })
}
