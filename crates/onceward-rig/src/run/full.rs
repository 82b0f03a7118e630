//! A disk that is full for a while, or that cannot be written: what was acknowledged stays, reads go
//! on, and begins are taken again when there is room.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;

use crate::image::{FileSystem, Image};
use crate::lane::Lane;
use crate::oracle::{Level, Promise, Violation};
use crate::run::kill::lives_on;
use crate::run::{Broken, LaneReport, RunName, Setting, Turns, on_image};

/// From when the disk is full until the daemon notices at the latest: files of keys that are kept
/// for seconds are rotated twice a second, and few are laid out in advance.
const NOTICED_WITHIN: Duration = Duration::from_secs(6);

/// From when there is room until begins are taken again: the daemon tries once a second.
const HEALED_WITHIN: Duration = Duration::from_secs(8);

const READ_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn full(setting: &Setting, number: u32, turns: &Turns) -> LaneReport {
    let file_system = if number.is_multiple_of(2) { FileSystem::Ext4 } else { FileSystem::Xfs };
    on_image(RunName::Full, setting, number, file_system, |lane, image, report| {
        lane.begin_life()?;
        lives_on(lane, Duration::from_millis(400))?;
        lane.kill()?;
        while turns.take().is_some() {
            match lane.random.within(0..10) {
                0..6 => disk_full(lane, image, report)?,
                6..8 => read_only_at_start(lane, image, report)?,
                _ if file_system == FileSystem::Ext4 => read_only_under_way(lane, image, report)?,
                _ => disk_full(lane, image, report)?,
            }
            turns.count();
        }
        lane.last_look().map_err(Broken::from)
    })
}

fn disk_full(lane: &mut Lane, image: &mut Image, report: &mut LaneReport) -> Result<(), Broken> {
    lane.begin_life()?;
    lives_on(lane, Duration::from_millis(100))?;
    let left = lane.random.within(0..300_000);
    let filler = fill(image, left)?;
    let since = Instant::now();
    let mut noticed = false;
    while !noticed && since.elapsed() < NOTICED_WITHIN {
        lives_on(lane, Duration::from_millis(200))?;
        noticed = !lane.takes_begins(Duration::ZERO);
    }
    report.note(if noticed { "full" } else { "full: not noticed" });
    let goes_on = lane.reads_go_on(READ_WITHIN);
    std::fs::remove_file(&filler).map_err(|error| format!("{}: {error}", filler.display()))?;
    if !goes_on {
        let what = format!(
            "on a full disk what rests on old facts is not answered within {READ_WITHIN:?}"
        );
        return Err(Violation::new(Promise::Available, what).into());
    }
    if !lane.takes_begins(HEALED_WITHIN) {
        let what =
            format!("begins are not taken within {HEALED_WITHIN:?} after the disk has room again");
        return Err(Violation::new(Promise::Available, what).into());
    }
    lives_on(lane, Duration::from_millis(100))?;
    if lane.random.chance(50) {
        image.cut_power()?;
    }
    lane.kill()?;
    image.remount()?;
    // Its removal was not synced: a cut may have brought it back.
    let _ = std::fs::remove_file(&filler);
    Ok(())
}

/// A file that takes all room but `left` bytes.
fn fill(image: &Image, left: u64) -> Result<PathBuf, String> {
    let path = image.path().join("filler");
    let fails = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = File::create(&path).map_err(|error| fails(&error))?;
    let room = statvfs(image.path()).map_err(|error| fails(&error))?;
    // Root's reserve as well: the daemon runs as root here.
    let mut bytes = (room.blocks_free() * room.fragment_size()).saturating_sub(left);
    let mut at = 0;
    // The file system needs some room to account for the rest: smaller and smaller pieces.
    while bytes > 4_096 {
        match posix_fallocate(&file, at, bytes.cast_signed()) {
            Ok(()) => {
                at += bytes.cast_signed();
                let room = statvfs(image.path()).map_err(|error| fails(&error))?;
                bytes = (room.blocks_free() * room.fragment_size()).saturating_sub(left).min(bytes);
                if bytes < 65_536 {
                    break;
                }
            }
            Err(nix::errno::Errno::ENOSPC) => bytes = bytes / 8 * 7,
            Err(error) => return Err(fails(&error)),
        }
    }
    Ok(path)
}

fn read_only_at_start(
    lane: &mut Lane,
    image: &mut Image,
    report: &mut LaneReport,
) -> Result<(), Broken> {
    report.note("read-only at the start");
    image.remount_read_only()?;
    match lane.try_begin_life() {
        Ok(()) if lane.launch.level != Level::Memory => {
            lane.kill()?;
            let what = "the daemon started on a directory that it cannot write";
            return Err(Violation::new(Promise::Available, what).into());
        }
        Ok(()) => lane.kill()?,
        Err(not) => not.refusal().map_err(|why| {
            let what = format!("on a read-only disk: {why}:\n{}", not.log);
            Violation::new(Promise::Available, what)
        })?,
    }
    Ok(image.remount()?)
}

fn read_only_under_way(
    lane: &mut Lane,
    image: &mut Image,
    report: &mut LaneReport,
) -> Result<(), Broken> {
    report.note("read-only under way");
    lane.begin_life()?;
    lives_on(lane, Duration::from_millis(100))?;
    image.abort()?;
    lives_on(lane, Duration::from_millis(300))?;
    if !lane.reads_go_on(READ_WITHIN) {
        let what = format!(
            "on a disk that became read-only what rests on old facts is not answered within {READ_WITHIN:?}"
        );
        return Err(Violation::new(Promise::Available, what).into());
    }
    lane.kill()?;
    Ok(image.remount()?)
}
