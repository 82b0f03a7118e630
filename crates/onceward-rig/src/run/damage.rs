//! Damage at rest: flipped bits, shortened files, the newest file deleted, leftovers of files that
//! were half made. The daemon starts and has lost nothing, or it refuses and names the file, and for
//! a flipped bit the offset.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use onceward_testkit::SplitMix64;

use crate::daemon::NotStarted;
use crate::image::FileSystem;
use crate::oracle::{Promise, Violation};
use crate::run::kill::lives_on;
use crate::run::{Broken, LaneReport, RunName, Setting, Turns, on_image};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Flip,
    Tear,
    Truncate,
    DeleteNewest,
    Leftover,
}

/// What was done to which file.
#[derive(Debug)]
struct Damage {
    kind: Kind,
    file: String,
    what: String,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Flip => "bit flip",
            Self::Tear => "torn end",
            Self::Truncate => "truncation",
            Self::DeleteNewest => "newest file deleted",
            Self::Leftover => "leftover",
        }
    }
}

pub(super) fn damage(setting: &Setting, number: u32, turns: &Turns) -> LaneReport {
    on_image(RunName::Damage, setting, number, FileSystem::Ext4, |lane, image, report| {
        let data = image.path().join("data");
        let backup = image.path().join("backup");
        while turns.take().is_some() {
            lane.begin_life()?;
            let time = lane.random.within(60..350);
            lives_on(lane, Duration::from_millis(time))?;
            if lane.random.chance(50) {
                lane.kill()?
            } else {
                lane.stop()?
            }
            copy(&data, &backup)?;
            let made = make(&data, &mut lane.random);
            let damage = made.map_err(|error| format!("damaging {}: {error}", data.display()))?;
            match lane.try_begin_life() {
                Ok(()) => {
                    report.note(format!("{}: started", damage.kind.name()));
                    lives_on(lane, Duration::from_millis(50))
                        .map_err(|broken| after(&damage, broken))?;
                    lane.kill().map_err(|broken| after(&damage, broken))?;
                }
                Err(not) => {
                    report.note(format!("{}: refused", damage.kind.name()));
                    judge_refusal(&damage, &not)?;
                    let put_back = std::fs::remove_dir_all(&data)
                        .and_then(|()| std::fs::rename(&backup, &data));
                    put_back.map_err(|error| format!("{}: {error}", data.display()))?;
                }
            }
            turns.count();
        }
        lane.last_look().map_err(Broken::from)
    })
}

/// Broken promises, and what they came after.
fn after(damage: &Damage, mut broken: Vec<Violation>) -> Vec<Violation> {
    for violation in &mut broken {
        violation.what = format!("after {} in {}: {}", damage.what, damage.file, violation.what);
    }
    broken
}

fn judge_refusal(damage: &Damage, not: &NotStarted) -> Result<(), Violation> {
    let Damage { kind, file, what } = damage;
    let broken = |why: &str| {
        let what = format!("{what} in {file}: {why}:\n{}", not.log);
        Violation::new(Promise::Damage, what)
    };
    if *kind == Kind::Leftover {
        return Err(broken("nothing acknowledged was in it, and the daemon did not start"));
    }
    not.refusal().map_err(|why| broken(&why))?;
    if !not.log.contains(file.as_str()) {
        return Err(broken("the refusal does not name the file"));
    }
    let offset = ["offset ", "byte ", "bytes "].iter().any(|word| {
        not.log.match_indices(word).any(|(at, word)| {
            not.log[at + word.len()..].starts_with(|next: char| next.is_ascii_digit())
        })
    });
    if *kind == Kind::Flip && file.starts_with("facts-") && !offset {
        return Err(broken("the refusal does not name an offset"));
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let _ = std::fs::remove_dir_all(to);
    let copied = Command::new("cp").args(["-a", "--sparse=auto"]).arg(from).arg(to).output();
    let copied = copied.map_err(|error| format!("cp: {error}"))?;
    if copied.status.success() {
        Ok(())
    } else {
        Err(format!("cp: {}", String::from_utf8_lossy(&copied.stderr).trim()))
    }
}

fn make(data: &Path, random: &mut SplitMix64) -> std::io::Result<Damage> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(data)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let named = |prefix: &str| {
        let matches = |path: &&PathBuf| name(path).starts_with(prefix);
        files.iter().filter(matches).cloned().collect::<Vec<_>>()
    };
    let facts = named("facts-");
    // At the level memory there are no facts.
    let victim = match random.within(if facts.is_empty() { 8 } else { 0 }..10) {
        8 => named("manifest").first().cloned(),
        9 => named("progress").first().cloned(),
        _ => random.pick(&facts).cloned(),
    };
    let kind = match random.within(0..20) {
        0..8 => Kind::Flip,
        8..12 => Kind::Tear,
        12..15 => Kind::Truncate,
        15..17 => Kind::DeleteNewest,
        _ => Kind::Leftover,
    };
    // A file that was only just made has nothing to damage.
    let victim = victim.filter(|path| path.metadata().is_ok_and(|file| file.len() > 0));
    match (kind, victim, facts.last()) {
        (Kind::Flip, Some(victim), _) => flip(&victim, random),
        (Kind::Tear, Some(victim), _) => tear(&victim, random),
        (Kind::Truncate, Some(victim), _) => truncate(&victim, random),
        (Kind::DeleteNewest, _, Some(newest)) => {
            std::fs::remove_file(newest)?;
            Ok(Damage { kind, file: name(newest), what: "deletion".to_owned() })
        }
        _ => leave_something(data, random, &facts),
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Bytes up to the last that is not zero: files are laid out in advance.
pub(super) fn used(path: &Path) -> std::io::Result<u64> {
    let bytes = std::fs::read(path)?;
    Ok(bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u64 + 1))
}

fn flip(path: &Path, random: &mut SplitMix64) -> std::io::Result<Damage> {
    let used = used(path)?.max(1);
    // The end is where a torn tail and damage are told apart.
    let from = match random.within(0..10) {
        0..3 => used.saturating_sub(600),
        3..6 => used.saturating_sub(30_000),
        _ => 0,
    };
    let (at, bit) = (random.within(from..used), random.within(0..8));
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ 1 << bit], at)?;
    let what = format!("a flip of bit {bit} of byte {at} of {used}");
    Ok(Damage { kind: Kind::Flip, file: name(path), what })
}

/// Pages from somewhere near the end on that never reached the disk.
fn tear(path: &Path, random: &mut SplitMix64) -> std::io::Result<Damage> {
    let used = used(path)?;
    let from = random.within(used.saturating_sub(30_000)..used.max(1)) / 512 * 512;
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&vec![0; (used - from) as usize], from)?;
    let what = format!("zeros from byte {from} to {used}");
    Ok(Damage { kind: Kind::Tear, file: name(path), what })
}

fn truncate(path: &Path, random: &mut SplitMix64) -> std::io::Result<Damage> {
    let used = used(path)?;
    let left = match random.within(0..4) {
        0 => 0,
        1 => used.saturating_sub(random.within(1..200)),
        _ => random.within(0..used.max(1)),
    };
    OpenOptions::new().write(true).open(path)?.set_len(left)?;
    let what = format!("a truncation to {left} of {used} bytes");
    Ok(Damage { kind: Kind::Truncate, file: name(path), what })
}

fn leave_something(
    data: &Path,
    random: &mut SplitMix64,
    facts: &[PathBuf],
) -> std::io::Result<Damage> {
    let number = match facts.last() {
        Some(newest) => {
            let name = name(newest);
            let digits = name.trim_start_matches("facts-").trim_end_matches(".log");
            u64::from_str_radix(digits, 16).unwrap_or(0)
        }
        None => 0,
    };
    let next = number + random.within(1..4);
    let file = match random.within(0..4) {
        0 => "manifest.new".to_owned(),
        1 => format!("facts-{next:016x}.log"),
        2 => format!("facts-{next:016x}.log.new"),
        _ => format!("spare-{next:016x}.log"),
    };
    let size = random.within(0..200);
    let bytes: Vec<u8> = (0..size).map(|_| random.next_u64() as u8).collect();
    let mut left = File::create(data.join(&file))?;
    left.write_all(&bytes)?;
    let what = format!("{size} bytes of a file that was half made");
    Ok(Damage { kind: Kind::Leftover, file, what })
}
