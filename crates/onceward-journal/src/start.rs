//! What a journal starts from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use onceward::Timestamp;

use crate::batch::Batch;
use crate::clock::ClockRecord;
use crate::disk::Disk;
use crate::error::JournalError;
use crate::file_name;
use crate::files::{Closed, Files, WallClock};
use crate::header::{FileId, HEADER_BYTES};
use crate::level::Level;
use crate::lock::Lock;
use crate::manifest::{FileState, Manifest};
use crate::options::{FILE_BYTES_MAX, FILE_BYTES_MIN, JournalOptions};
use crate::pending::{Stamp, batches};
use crate::progress::Progress;
use crate::recovery::Recovered;
use crate::spares::Spares;
use crate::stripes::Buffer;

/// What a journal starts from: what recovery found, or a new directory.
pub struct Start {
    /// The directory is this process's.
    pub lock: Lock,
    /// As it was read, or [`Manifest::new`].
    pub manifest: Manifest,
    /// Of every facts file that the manifest names, by number.
    pub files: BTreeMap<u64, KnownFile>,
    /// No fence at or above it was ever given: above the manifest's ceiling, above every fence in
    /// any file, and at least as large as the wall clock asks (S13).
    pub fence_floor: u64,
    /// Larger than the number of every round in any file; 1 in a new directory.
    pub next_round: u64,
    /// Of the store's clock as it goes on.
    pub clock: ClockRecord,
    /// The wall clock in milliseconds, which is only ever recorded.
    pub wall_clock: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// What recovery knows of a facts file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KnownFile {
    /// Latest end of an acquisition with a frame in it; [`Timestamp::ZERO`] if there is none.
    pub end: Timestamp,
    /// Bytes that were read as valid batches, the header included.
    pub valid: u64,
    /// Bytes of these that a witness says are synced, up to the end of a batch. The rest may be
    /// in memory only, also where a sync of it failed: it is written anew before anything that
    /// rests on it is acknowledged.
    pub synced: u64,
}

impl Start {
    /// From a directory that was recovered, which need not have told everything yet: the journal
    /// leaves its files alone until it is run. Says where the disk is, too. `None` if another
    /// journal has started from it.
    #[must_use]
    pub fn of(
        recovered: &mut Recovered,
        clock: ClockRecord,
        wall_clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Option<(Arc<dyn Disk>, Self)> {
        let known = recovered.files.iter().map(|file| {
            let known = KnownFile { end: file.expires_at, valid: file.end, synced: file.synced };
            (file.number, known)
        });
        let start = Self {
            files: known.collect(),
            lock: recovered.lock.take()?,
            manifest: recovered.manifest.clone(),
            fence_floor: recovered.fence_floor,
            next_round: recovered.next_round,
            clock,
            wall_clock,
        };
        Some((Arc::clone(&recovered.disk), start))
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

/// The facts files as a journal goes on with them: all that were open are to be sealed, and what
/// of them is not known to be synced waits to be written anew.
pub(crate) fn files(
    disk: Arc<dyn Disk>,
    manifest: Manifest,
    known: &BTreeMap<u64, KnownFile>,
    wall_clock: WallClock,
    options: &JournalOptions,
    now: Timestamp,
) -> Result<Files, JournalError> {
    let names = disk.list().map_err(JournalError::disk("list", ""))?;
    let file_bytes = options.file_bytes.clamp(FILE_BYTES_MIN, FILE_BYTES_MAX);
    let spares = Spares::find(&*disk, &names, file_bytes);
    let numbers = names
        .iter()
        .filter_map(|name| file_name::facts_number(name).or_else(|| file_name::spare_number(name)));
    let named = manifest.largest_file().max(Progress::largest_file(&*disk)?);
    let next_number = numbers.max().unwrap_or(0).max(named) + 1;

    let mut closed = BTreeMap::new();
    let (mut open, mut uncut) = (Vec::new(), Vec::new());
    for (&number, entry) in &manifest.files {
        let name = file_name::facts(number);
        let Some(known) = known.get(&number) else {
            return Err(JournalError::Missing { file: name });
        };
        let file = disk.open(&name).map_err(JournalError::disk("open", &name))?;
        let len = file.len().map_err(JournalError::disk("read", &name))?;
        closed.insert(number, Closed { end: known.end, is_whole: len == file_bytes });
        if let FileState::Sealed { length } = entry.state {
            uncut.extend((len > length).then_some((number, length)));
        }
        if entry.state == FileState::Open {
            let synced = known.synced.clamp(HEADER_BYTES as u64, known.valid);
            let mut tail = vec![0; usize::try_from(known.valid - synced).unwrap_or(0)];
            let read = file.read_at(&mut tail, synced);
            read.map_err(JournalError::disk_at("read", &name, synced))?;
            let frames = frames_of(&tail, FileId::from_bytes(entry.id), &name, synced)?;
            open.push((number, Level::numbered(entry.level), synced, frames, known.end));
        }
    }

    let mut files = Files::new(disk, wall_clock, manifest, closed, spares, next_number);
    for (number, length) in uncut {
        files.cut_again(number, length);
    }
    for (number, level, synced, frames, end) in open {
        files.seal_earlier(number, synced);
        let stamp = Stamp { at: now, largest_fence: 0, index: 0 };
        let tail = batches([Buffer { frames, end }], stamp, &mut Vec::new());
        files.enqueue(level, tail);
    }
    Ok(files)
}

/// The frames of all batches in `tail`, which begins at `offset` of the file.
fn frames_of(tail: &[u8], id: FileId, name: &str, offset: u64) -> Result<Vec<u8>, JournalError> {
    let (mut frames, mut at) = (Vec::new(), 0);
    while at < tail.len() {
        let batch = Batch::decode(&tail[at..], id).map_err(|error| JournalError::Damaged {
            file: name.to_owned(),
            offset: offset + at as u64,
            what: error.to_string(),
        })?;
        for (from, frame) in batch.frames() {
            frames.extend_from_slice(&tail[at + from..at + from + frame.len()]);
        }
        at += batch.len;
    }
    Ok(frames)
}
