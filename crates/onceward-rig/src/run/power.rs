//! Power cuts: the disk takes nothing more at a random moment, the daemon is killed, the disk is
//! mounted again.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use crate::image::{FileSystem, Image};
use crate::injection::Injection;
use crate::lane::Lane;
use crate::run::damage::used;
use crate::run::kill::lives_on;
use crate::run::{Broken, LaneReport, RunName, Setting, Turns, on_image};

/// What stands around a cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Under load.
    Loaded,
    /// Under load long enough for files to be rotated.
    Rotating,
    /// While the next process recovers from a kill.
    Recovering,
    /// Right after the daemon was killed.
    Dead,
    /// Right after the daemon stopped by itself: it had synced all.
    Stopped,
}

impl Cut {
    const fn name(self) -> &'static str {
        match self {
            Self::Loaded => "cut under load",
            Self::Rotating => "cut about rotation",
            Self::Recovering => "cut in recovery",
            Self::Dead => "cut after a kill",
            Self::Stopped => "cut after a stop",
        }
    }
}

pub(super) fn power(setting: &Setting, number: u32, turns: &Turns) -> LaneReport {
    let file_system = if number.is_multiple_of(2) { FileSystem::Ext4 } else { FileSystem::Xfs };
    on_image(RunName::Power, setting, number, file_system, |lane, image, report| {
        while turns.take().is_some() {
            let cut = match lane.random.within(0..10) {
                0..4 => Cut::Loaded,
                4..6 => Cut::Rotating,
                6..8 => Cut::Recovering,
                8 => Cut::Dead,
                _ => Cut::Stopped,
            };
            report.note(cut.name());
            report.note(file_system.name());
            // Answers wait longer for their syncs, and more of them are caught waiting.
            if lane.random.chance(60) {
                report.note("slow syncs");
                let slow = Injection::slow_syncs(lane.random.within(8..60));
                lane.launch.wrapper = slow.wrapper(&image.path().with_file_name("strace.log"));
            }
            setting.shift_clock(lane);
            let went = one_cut(lane, image, cut);
            lane.launch.wrapper.clear();
            went?;
            turns.count();
        }
        lane.last_look().map_err(Broken::from)
    })
}

fn one_cut(lane: &mut Lane, image: &mut Image, cut: Cut) -> Result<(), Broken> {
    lane.begin_life()?;
    let time = match cut {
        Cut::Rotating => lane.random.within(500..900),
        Cut::Loaded | Cut::Recovering | Cut::Dead | Cut::Stopped => lane.random.within(1..350),
    };
    lives_on(lane, Duration::from_millis(time))?;
    match cut {
        Cut::Loaded | Cut::Rotating => {
            if lane.random.chance(70) {
                write_something_back(lane, image)?;
            }
            image.cut_power()?;
            // Callers go on for a while: nothing that rests on the disk may be acknowledged.
            let after = lane.random.within(0..40);
            std::thread::sleep(Duration::from_millis(after));
            lane.kill()?;
        }
        Cut::Recovering => {
            lane.kill()?;
            // A tracer whose program dies before it is attached would stand still for ever.
            lane.launch.wrapper.clear();
            let after = Duration::from_micros(lane.random.within(0..40_000));
            let mut cut = Ok(());
            lane.stillborn(after, || cut = image.cut_power())?;
            cut?;
        }
        Cut::Dead => {
            lane.kill()?;
            image.cut_power()?;
        }
        Cut::Stopped => {
            lane.stop()?;
            image.cut_power()?;
        }
    }
    Ok(image.remount()?)
}

/// What nobody has synced may be on the disk all the same: a hint without what it speaks of, or some
/// pages of a batch.
fn write_something_back(lane: &mut Lane, image: &Image) -> Result<(), Broken> {
    const PAGE: u64 = 4_096;
    let data = image.path().join("data");
    let files = |prefix: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&data).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths
            .filter(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
            })
            .collect()
    };
    if lane.random.chance(60) {
        for path in files("progress") {
            // It may have been replaced by now.
            let _ = File::open(&path).and_then(|file| file.sync_data());
        }
        return Ok(());
    }
    let facts = files("facts-");
    let Some(path) = lane.random.pick(&facts) else { return Ok(()) };
    // Every other page of where the file ends by now, or nearly.
    let Ok(end) = used(path) else { return Ok(()) };
    let first = (end / PAGE).saturating_sub(lane.random.within(0..12)) * PAGE;
    let pages = lane.random.within(1..4);
    if path.exists() {
        image.write_back(path, first, pages * PAGE)?;
    }
    Ok(())
}
