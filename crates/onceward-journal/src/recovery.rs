//! What a directory knows after a restart: read by several threads, put together, told to a store.
//!
//! Two passes. The first reads every file from front to back, judges its end, and keeps a row of
//! fixed size per frame; the rows decide which frames count ([`crate::merge`]). The second reads
//! those again, in the order in which they lie, and tells them. So memory holds rows, never bodies.
//!
//! Nothing here changes the directory but for taking away what nobody names.

mod collect;
mod deciding;
mod read_back;
mod window;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use onceward::planted::{Bug, planted};
use onceward::{Millis, Restored, Timestamp};
use parking_lot::Mutex;

use crate::clock::{ClockReading, ClockRecord, resume};
use crate::directory;
use crate::disk::Disk;
use crate::error::JournalError;
use crate::facts_file::{FactsFile, FileReading};
use crate::file_name;
use crate::lock::Lock;
use crate::manifest::{FileState, Manifest};
use crate::merge::Place;
use crate::names::Names;
use crate::progress::Progress;
use crate::recovery::collect::Collected;
use crate::recovery::deciding::{Plan, decide};
use crate::recovery::read_back::Reader;
use crate::recovery::window::Handles;

pub use crate::recovery::read_back::EndedAttempt;

/// Every fence is at least the wall clock's milliseconds times this power of two (S13).
const WALL_SHIFT: u32 = 20;

/// How to recover.
#[derive(Clone, Debug)]
pub struct RecoveryOptions {
    /// Tells others who has the directory.
    pub owner: String,
    /// Threads that read; 0 for as many as there are cores.
    pub threads: usize,
    /// What the machine's clocks say.
    pub clocks: ClockReading,
    /// How much of the time that the machine was down passes for the store (S15).
    pub count_downtime: Millis,
    /// How long an ended attempt is remembered (S3).
    pub attempt_memory: Millis,
    /// Of a directory that is new: 16 random bytes for its id, and as many for its hash key.
    pub random: [[u8; 16]; 2],
}

/// How far recovery is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RecoveryProgress {
    /// What it is at.
    pub pass: Pass,
    /// Bytes of files read, or identities told.
    pub done: u64,
    /// Of so many.
    pub total: u64,
}

/// What recovery is at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pass {
    /// Files are read and checked; counts bytes.
    Scan,
    /// What counts is told to the store; counts identities.
    Restore,
}

/// Who is told how far recovery is: called by every thread, about once per file or thousand
/// identities.
pub type OnProgress<'a> = &'a (dyn Fn(RecoveryProgress) + Sync);

/// Who takes in what a journal knows; a store. Called by several threads.
pub trait RestoreInto: Sync {
    /// Takes in one identity; each comes once.
    ///
    /// # Errors
    /// Why it cannot: recovery ends.
    fn restore(&self, restored: &Restored<'_>) -> Result<(), String>;

    /// Remembers an attempt that has ended.
    fn restore_ended(&self, ended: &EndedAttempt<'_>);
}

impl RestoreInto for onceward::Store {
    fn restore(&self, restored: &Restored<'_>) -> Result<(), String> {
        Self::restore(self, restored).map_err(|error| error.to_string())
    }

    fn restore_ended(&self, ended: &EndedAttempt<'_>) {
        Self::restore_ended(self, ended.identity, ended.attempt_id, ended.ended_at);
    }
}

/// A facts file as recovery found it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RecoveredFile {
    /// As in its name.
    pub number: u64,
    /// Its valid bytes, header included. What follows, if anything does, is a torn tail.
    pub end: u64,
    /// Bytes of these that somebody says are synced, up to the end of a batch. The rest may be in
    /// the system's memory only.
    pub synced: u64,
    /// Whether a torn tail follows.
    pub is_torn: bool,
    /// Checksum of its last batch; 0 without one.
    pub last_crc: u32,
    /// Batches in it.
    pub batches: u64,
    /// Latest end of retention of any acquisition with a frame in it.
    pub expires_at: Timestamp,
}

/// A directory that has been read: locked, sound, and ready to be told and written on.
pub struct Recovered {
    /// The directory.
    pub disk: Arc<dyn Disk>,
    /// Ours until it is dropped; `None` once a journal has it.
    pub lock: Option<Lock>,
    /// As it stands in the directory; new and not written yet if there was none. Its clock is the
    /// latest that was recorded anywhere.
    pub manifest: Manifest,
    /// Every facts file of the manifest, by number.
    pub files: Vec<RecoveredFile>,
    /// Numbers of files kept for their room.
    pub spares: Vec<u64>,
    /// The store's time when this was read (S15): what had expired then is gone.
    pub now: Timestamp,
    /// Larger than every fence that was ever given (S13). Not durable before a ceiling above it is.
    pub fence_floor: u64,
    /// Larger than every round that is in any file.
    pub next_round: u64,
    read: Vec<FactsFile>,
    names: Names,
    plan: Plan,
    threads: usize,
}

impl fmt::Debug for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovered")
            .field("files", &self.files)
            .field("now", &self.now)
            .field("fence_floor", &self.fence_floor)
            .finish_non_exhaustive()
    }
}

/// What a store was told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RestoredCounts {
    /// Identities that are present.
    pub identities: u64,
    /// Attempts remembered as ended.
    pub ended: u64,
}

impl Recovered {
    /// Takes the directory, reads it and decides what it says.
    ///
    /// # Errors
    /// [`JournalError`]: nothing may start on this directory. It was not changed, but that files
    /// which nobody names may be gone.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: &RecoveryOptions,
        on_progress: OnProgress<'_>,
    ) -> Result<Self, JournalError> {
        let lock = Lock::take(&*disk, &options.owner)?;
        let names = disk.list().map_err(JournalError::disk("list", ""))?;
        let mut manifest = match Manifest::read(&*disk)? {
            Some(manifest) => manifest,
            None if names.iter().any(|name| file_name::facts_number(name).is_some()) => {
                return Err(JournalError::Missing { file: file_name::MANIFEST.to_owned() });
            }
            None => Manifest::new(options.random[0], options.random[1]),
        };
        let read = named_files(&*disk, &mut manifest, &names)?;
        let spares = remove_unnamed(&*disk, &manifest, &names)?;
        let known = Names::new(&manifest.names, &manifest.hash_key);
        let threads = threads(options.threads);
        let (scanned, readings) = scan_all(&*disk, &read, &known, threads, on_progress)?;
        let largest = readings.iter().map(|(_, reading)| reading.scan.largest_fence);
        let largest = largest.max().unwrap_or(0);
        let last_at = readings.iter().map(|(_, reading)| reading.scan.last_at).max();
        manifest.clock = latest_record(manifest.clock, last_at.unwrap_or_default());
        let now = resume(&manifest.clock, &options.clocks, options.count_downtime);
        let mut files: Vec<_> = readings.iter().zip(&read).map(recovered_file).collect();
        let plan = decide(scanned, now, options.attempt_memory, threads, &mut files)?;
        let index = readings.iter().map(|(_, reading)| reading.scan.index).max();
        Ok(Self {
            fence_floor: fence_floor(manifest.fence_ceiling, largest, options.clocks.wall_ms),
            next_round: index.unwrap_or(0) + 1,
            disk,
            lock: Some(lock),
            manifest,
            files,
            spares,
            now,
            read,
            names: known,
            plan,
            threads,
        })
    }

    /// How many identities there are to tell.
    #[must_use]
    pub fn identities(&self) -> u64 {
        self.plan.winners()
    }

    /// Tells `into` everything, by several threads, and forgets what was only of use for that.
    ///
    /// # Errors
    /// [`JournalError::Damaged`], [`JournalError::Disk`] if files are not what they were when they
    /// were scanned; [`JournalError::NotTaken`].
    pub fn restore(
        &mut self,
        into: &dyn RestoreInto,
        on_progress: OnProgress<'_>,
    ) -> Result<RestoredCounts, JournalError> {
        let (plan, starts) = (std::mem::take(&mut self.plan), self.manifest.instance);
        let total = plan.winners();
        let (next, told, ended) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let tell = |tasks: &mut dyn FnMut() -> Option<usize>| -> Result<(), JournalError> {
            let handles = Handles::new(&*self.disk, &self.read);
            let mut reader = Reader::new(handles, &self.names, starts);
            while let Some(task) = tasks() {
                let winners = plan.task(task);
                for winner in &winners {
                    let answer = reader
                        .restored(winner, plan.extra(winner), |restored| into.restore(restored))?;
                    answer.map_err(|why| JournalError::NotTaken { why })?;
                }
                let done = told.fetch_add(winners.len() as u64, Relaxed) + winners.len() as u64;
                on_progress(RecoveryProgress { pass: Pass::Restore, done, total });
                for one in plan.ended(task) {
                    reader.ended(one, |attempt| into.restore_ended(attempt))?;
                    ended.fetch_add(1, Relaxed);
                }
            }
            Ok(())
        };
        let task = || Some(next.fetch_add(1, Relaxed)).filter(|&task| task < plan.tasks());
        in_threads(self.threads, |failed| {
            tell(&mut || if failed.load(Relaxed) { None } else { task() })
        })?;
        Ok(RestoredCounts { identities: told.into_inner(), ended: ended.into_inner() })
    }
}

/// Every file that the manifest names, with what is known of it.
fn named_files(
    disk: &dyn Disk,
    manifest: &mut Manifest,
    names: &[String],
) -> Result<Vec<FactsFile>, JournalError> {
    let progress = Progress::read(disk)?;
    let is_open = |entry: &crate::manifest::FileEntry| entry.state == FileState::Open;
    if progress.is_none() && manifest.files.values().any(is_open) {
        let file = file_name::PROGRESS.to_owned();
        return Err(if names.contains(&file) {
            let what = "neither slot is valid".to_owned();
            JournalError::Damaged { file, offset: 0, what }
        } else {
            JournalError::Missing { file }
        });
    }
    let progress = progress.unwrap_or_default();
    if manifest.clock.store_ms < progress.at.as_millis() {
        manifest.clock.store_ms = progress.at.as_millis();
        manifest.clock.wall_ms = progress.wall_ms;
    }
    let synced = |number| progress.synced(number);
    Ok(files_of(&manifest.files, synced))
}

/// The files of a manifest, by number.
pub(crate) fn files_of(
    files: &BTreeMap<u64, crate::manifest::FileEntry>,
    synced: impl Fn(u64) -> u64,
) -> Vec<FactsFile> {
    files
        .iter()
        .map(|(&number, &entry)| FactsFile { number, entry, synced: synced(number) })
        .collect()
}

/// Takes away facts files that no manifest names, for nothing in them was acknowledged, and half
/// made files. Says the numbers of spares.
///
/// The directory is synced first: the manifest that was read may not be durable yet, and the one
/// before it may name what goes.
fn remove_unnamed(
    disk: &dyn Disk,
    manifest: &Manifest,
    names: &[String],
) -> Result<Vec<u64>, JournalError> {
    let is_leftover = |name: &&String| {
        let facts = file_name::facts_number(name);
        facts.is_some_and(|number| !manifest.files.contains_key(&number))
            || [file_name::MANIFEST_NEW, file_name::PROGRESS_NEW].contains(&name.as_str())
    };
    let leftovers: Vec<_> = names.iter().filter(is_leftover).collect();
    if !leftovers.is_empty() {
        directory::sync(disk)?;
        for name in leftovers {
            tracing::info!(name, "taking away a file that was half made, or has expired");
            directory::remove_if_there(disk, name)?;
        }
        directory::sync(disk)?;
    }
    Ok(names.iter().filter_map(|name| file_name::spare_number(name)).collect())
}

/// One reading per file, in their order, and what all of them say. `Timestamp`: the latest end of
/// an acquisition granted in the file.
type Scanned = (Vec<Collected>, Vec<(Timestamp, FileReading)>);

fn scan_all(
    disk: &dyn Disk,
    files: &[FactsFile],
    names: &Names,
    threads: usize,
    on_progress: OnProgress<'_>,
) -> Result<Scanned, JournalError> {
    let mut total = 0;
    for file in files {
        total += file.open(disk)?.len().map_err(JournalError::disk("read", &file.name()))?;
    }
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let readings = Mutex::new(vec![None; files.len()]);
    let all = Mutex::new(Vec::new());
    in_threads(threads, |failed| {
        let mut collected = Collected::new();
        let mut buffer = Vec::new();
        loop {
            let number = next.fetch_add(1, Relaxed);
            let Some(file) = files.get(number).filter(|_| !failed.load(Relaxed)) else { break };
            let mut expires_at = Timestamp::ZERO;
            let reading = file.read(disk, &mut buffer, |at, frame| {
                let place = Place::new(number as u32, at);
                collected.take(place, frame, names, &mut expires_at);
            })?;
            if let Some(refusal) = file.refusal(&reading) {
                return Err(refusal);
            }
            if let Some(place) = collected.nameless {
                let what = "a frame names a namespace that the manifest does not have";
                return Err(file.damaged(place.offset(), what.to_owned()));
            }
            readings.lock()[number] = Some((expires_at, reading));
            let done = done.fetch_add(reading.bytes, Relaxed) + reading.bytes;
            on_progress(RecoveryProgress { pass: Pass::Scan, done: done.min(total), total });
        }
        all.lock().push(collected);
        Ok(())
    })?;
    let readings = readings.into_inner().into_iter().flatten().collect();
    Ok((all.into_inner(), readings))
}

fn recovered_file(
    ((expires_at, reading), file): (&(Timestamp, FileReading), &FactsFile),
) -> RecoveredFile {
    RecoveredFile {
        number: file.number,
        end: reading.scan.end,
        synced: file.synced_of(reading),
        is_torn: reading.verdict == crate::damage::Verdict::TornTail,
        last_crc: reading.scan.crc,
        batches: reading.scan.batches,
        expires_at: *expires_at,
    }
}

/// The clock's latest record: batches say the store's time later than manifest and progress may.
fn latest_record(record: ClockRecord, last_at: Timestamp) -> ClockRecord {
    // As much later by the wall clock: else the time between would count twice as downtime.
    let later = last_at.as_millis().saturating_sub(record.store_ms);
    ClockRecord {
        store_ms: record.store_ms + later,
        wall_ms: record.wall_ms.saturating_add(later),
        ..record
    }
}

/// Above every fence that was given: below the synced ceiling all were, and the wall clock helps
/// where a directory is older than what others know of it (S13).
fn fence_floor(ceiling: u64, largest: u64, wall_ms: u64) -> u64 {
    if planted(Bug::FenceReusedAfterRestore) {
        return 1;
    }
    let wall = wall_ms.checked_mul(1 << WALL_SHIFT).unwrap_or(0);
    ceiling.max(largest + 1).max(wall)
}

fn threads(asked: usize) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if asked == 0 { cores() } else { asked }
}

/// Runs `work` in so many threads; the first error counts, and tells the others to stop.
fn in_threads<F>(threads: usize, work: F) -> Result<(), JournalError>
where
    F: Fn(&AtomicBool) -> Result<(), JournalError> + Sync,
{
    let failed = AtomicBool::new(false);
    let first = Mutex::new(None);
    let run = || {
        if let Err(error) = work(&failed) {
            failed.store(true, Relaxed);
            first.lock().get_or_insert(error);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let spawned = std::thread::Builder::new()
                .name("onceward-recovery".to_owned())
                .spawn_scoped(scope, run);
            // This thread does the work alone, if need be.
            if let Err(why) = spawned {
                tracing::warn!(%why, "recovery goes on with fewer threads");
            }
        }
        run();
    });
    first.into_inner().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
