//! The facts files of a running journal: one open per retention level, others until their end.
//!
//! Invariants:
//! 1. A batch is in `waiting`, or in its file's `unsynced`, until the file and its name are synced.
//! 2. Of a failed file nothing is written nor synced again: its unsynced batches wait anew, and go
//!    to another (S14).
//! 3. The manifest here is what the directory holds, or `is_stale`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use onceward::Timestamp;
use onceward::planted::{Bug, planted};

use crate::directory;
use crate::disk::Disk;
use crate::error::JournalError;
use crate::file_name;
use crate::header::{FileHeader, FileId, HEADER_BYTES};
use crate::level::Level;
use crate::manifest::{FileState, Manifest};
use crate::open_file::OpenFile;
use crate::pending::{Pending, Stamp};
use crate::spares::{Spares, take_away};
use crate::stripes::keep_room;

/// The wall clock in milliseconds, which only ever is recorded.
pub(crate) type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// All facts files.
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    wall_clock: WallClock,
    pub(crate) manifest: Manifest,
    /// The directory's manifest may be another.
    pub(crate) is_stale: bool,
    pub(crate) spares: Spares,
    next_number: u64,
    open: BTreeMap<Level, OpenFile>,
    closed: BTreeMap<u64, Closed>,
    /// Files that an earlier journal left open, and how much of each is known to be synced.
    earlier: Vec<(u64, u64)>,
    /// Batches in no file.
    waiting: BTreeMap<Level, VecDeque<Pending>>,
    /// Names have changed since the directory was synced.
    names_changed: bool,
    /// What the next manifest allows.
    afterwards: Vec<Afterwards>,
    /// Recovery may still read what was there: nothing of it is taken away.
    is_read: bool,
    /// Emptied buffers.
    pub(crate) room: Vec<Vec<u8>>,
}

/// A file that takes no batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    /// From then on nobody needs it.
    pub(crate) end: Timestamp,
    /// It has all its room, and can be a spare.
    pub(crate) is_whole: bool,
}

#[derive(Clone, Copy, Debug)]
enum Afterwards {
    /// Sealed: cut off what it does not use.
    Cut { number: u64, length: u64 },
    /// Not named any more.
    Retire { number: u64, is_whole: bool },
}

impl Files {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        wall_clock: WallClock,
        manifest: Manifest,
        closed: BTreeMap<u64, Closed>,
        spares: Spares,
        next_number: u64,
    ) -> Self {
        Self {
            disk,
            wall_clock,
            manifest,
            is_stale: true,
            spares,
            next_number,
            open: BTreeMap::new(),
            closed,
            earlier: Vec::new(),
            waiting: BTreeMap::new(),
            names_changed: true,
            afterwards: Vec::new(),
            is_read: true,
            room: Vec::new(),
        }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        (self.wall_clock)()
    }

    pub(crate) fn open_files(&self) -> impl Iterator<Item = &OpenFile> {
        self.open.values()
    }

    /// These are to be written next.
    pub(crate) fn enqueue(&mut self, level: Level, batches: impl IntoIterator<Item = Pending>) {
        self.waiting.entry(level).or_default().extend(batches);
    }

    /// A file that an earlier journal left open, whose facts behind `length` wait anew. It is
    /// sealed once these are durable elsewhere: a power cut before that leaves it as it was, and
    /// they may have been told as synced though no witness says so.
    pub(crate) fn seal_earlier(&mut self, number: u64, length: u64) {
        self.earlier.push((number, length));
    }

    /// A sealed file that is longer than what it uses: it is never synced after it was cut, so a
    /// power cut may have given it its room back.
    pub(crate) fn cut_again(&mut self, number: u64, length: u64) {
        self.afterwards.push(Afterwards::Cut { number, length });
    }

    /// Seals what an earlier journal left open, if nothing of it waits. What is written is synced.
    fn seal_superseded(&mut self) {
        if self.waiting.values().any(|waiting| !waiting.is_empty()) {
            return;
        }
        for (number, length) in std::mem::take(&mut self.earlier) {
            if let Some(entry) = self.manifest.files.get_mut(&number) {
                entry.state = FileState::Sealed { length };
                self.is_stale = true;
                self.afterwards.push(Afterwards::Cut { number, length });
            }
        }
    }

    /// Writes every batch that waits.
    pub(crate) fn write(&mut self, now: Timestamp) -> Result<(), JournalError> {
        let levels: Vec<_> = self.waiting.keys().copied().collect();
        for level in levels {
            while let Some(bytes) = self.next_waiting(level) {
                self.open_for(level, bytes, now)?;
                let batch = self.waiting.get_mut(&level).and_then(VecDeque::pop_front);
                if let (Some(file), Some(batch)) = (self.open.get_mut(&level), batch)
                    && let Err(error) = file.append(batch)
                {
                    self.fail(level);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn next_waiting(&self, level: Level) -> Option<usize> {
        self.waiting.get(&level)?.front().map(Pending::len)
    }

    /// Makes sure that the level's open file takes `bytes` more.
    fn open_for(&mut self, level: Level, bytes: usize, now: Timestamp) -> Result<(), JournalError> {
        if self.open.get(&level).is_some_and(|file| file.takes(bytes, now)) {
            return Ok(());
        }
        if self.open.contains_key(&level) {
            // What a seal names must be synced, and the old file's name with it.
            self.sync(now)?;
            self.seal(level);
        }
        let number = self.next_number;
        self.next_number += 1;
        let (file, size) = self.spares.make(&*self.disk, number, (bytes + HEADER_BYTES) as u64)?;
        self.names_changed = true;
        let header = FileHeader {
            id: self.id_of(number),
            number,
            level: level.number(),
            created_at: now,
            size,
        };
        let file = OpenFile::begin(file, &header)
            .inspect_err(|_| take_away(&*self.disk, &file_name::facts(number)))?;
        self.manifest.files.insert(number, file.entry());
        self.is_stale = true;
        self.open.insert(level, file);
        Ok(())
    }

    /// Unlike any other file's in this directory, also of a number that was used before: a number
    /// is used once between two starts, and every start has its own. Spread over all bits, so that
    /// checksums of neighbours have nothing in common.
    fn id_of(&self, number: u64) -> FileId {
        const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        let serial = u128::from(self.manifest.instance) << 64 | u128::from(number);
        let spread = serial.wrapping_mul(ODD);
        FileId::from_bytes((u128::from_be_bytes(self.manifest.store_id) ^ spread).to_be_bytes())
    }

    /// Makes everything durable that is written: files, then names, then the manifest.
    pub(crate) fn sync(&mut self, now: Timestamp) -> Result<(), JournalError> {
        let touched: Vec<_> = self.open.values().filter(|file| file.is_touched()).collect();
        if touched.is_empty() && !self.names_changed && !self.is_stale {
            return Ok(());
        }
        let mut failure = None;
        for file in touched {
            if let Err(error) = file.sync() {
                failure = Some((file.level, error));
                break;
            }
        }
        if let Some((level, error)) = failure {
            if planted(Bug::RetryOfFailedSync) {
                return Err(error);
            }
            self.fail(level);
            return Err(error);
        }
        if self.names_changed {
            if let Err(error) = directory::sync(&*self.disk) {
                // Nothing is known of these names: other files get others.
                let nameless = self.open.values().filter(|file| !file.has_durable_name);
                let nameless: Vec<_> = nameless.map(|file| file.level).collect();
                nameless.into_iter().for_each(|level| self.fail(level));
                return Err(error);
            }
            self.names_changed = false;
        }
        for file in self.open.values_mut() {
            for batch in file.settle() {
                keep_room(&mut self.room, batch.into_room());
            }
        }
        self.seal_superseded();
        self.replace_manifest(now)
    }

    /// Makes the directory's manifest that of memory, if it may be another.
    pub(crate) fn replace_manifest(&mut self, now: Timestamp) -> Result<(), JournalError> {
        if !self.is_stale {
            return Ok(());
        }
        let clock = &mut self.manifest.clock;
        clock.store_ms = clock.store_ms.max(now.as_millis());
        clock.wall_ms = (self.wall_clock)();
        // Before the attempt: after a failed one it may be there all the same.
        for file in self.open.values_mut() {
            file.is_named = true;
        }
        self.manifest.replace(&*self.disk)?;
        self.is_stale = false;
        if !self.is_read {
            self.follow_up();
        }
        Ok(())
    }

    /// Nobody reads what recovery found any more.
    pub(crate) fn let_go(&mut self) {
        if std::mem::take(&mut self.is_read) && !self.is_stale {
            self.follow_up();
        }
    }

    fn follow_up(&mut self) {
        for step in std::mem::take(&mut self.afterwards) {
            match step {
                Afterwards::Cut { number, length } => self.cut(number, length),
                Afterwards::Retire { number, is_whole } => {
                    self.spares.retire(&*self.disk, number, is_whole);
                }
            }
        }
    }

    /// Gives back room that a sealed file does not use, if that is worth its loss as a spare.
    fn cut(&mut self, number: u64, length: u64) {
        let Some(closed) = self.closed.get_mut(&number) else { return };
        if length >= self.spares.file_bytes() / 8 * 7 {
            return;
        }
        closed.is_whole = false;
        if let Err(error) = OpenFile::cut(&*self.disk, number, length) {
            tracing::debug!(number, %error, "room behind a sealed file was not given back");
        }
    }

    /// Ends the level's open file, all of which is synced.
    fn seal(&mut self, level: Level) {
        let Some(file) = self.open.remove(&level) else { return };
        let length = file.synced();
        let entry = self.manifest.files.get_mut(&file.number).expect("open files are named");
        entry.state = FileState::Sealed { length };
        self.is_stale = true;
        let is_whole = file.size() == self.spares.file_bytes();
        let end = if planted(Bug::SegmentRecycledBeforeFactsDropped) {
            file.created_at
        } else {
            file.end
        };
        self.closed.insert(file.number, Closed { end, is_whole });
        self.afterwards.push(Afterwards::Cut { number: file.number, length });
    }

    /// Seals every open file.
    pub(crate) fn seal_all(&mut self) {
        let levels: Vec<_> = self.open.keys().copied().collect();
        levels.into_iter().for_each(|level| self.seal(level));
    }

    /// Gives up the level's open file: what is not synced of it waits for another.
    fn fail(&mut self, level: Level) {
        let Some(file) = self.open.remove(&level) else { return };
        let (number, good_length) = (file.number, file.synced());
        self.is_stale = true;
        if file.is_named {
            let entry = self.manifest.files.get_mut(&number).expect("open files are named");
            entry.state = FileState::Failed { good_length };
            let has_facts = good_length > HEADER_BYTES as u64;
            let end = if has_facts { file.end } else { Timestamp::ZERO };
            self.closed.insert(number, Closed { end, is_whole: false });
        } else {
            self.manifest.files.remove(&number);
            take_away(&*self.disk, &file_name::facts(number));
        }
        let waiting = self.waiting.entry(level).or_default();
        for batch in file.into_unsynced().into_iter().rev() {
            waiting.push_front(batch);
        }
    }

    /// When the next file is to be dropped.
    pub(crate) fn next_end(&self) -> Option<Timestamp> {
        let open = self.open.values().filter(|file| !file.has_unsynced_facts());
        let open = open.filter(|file| self.next_waiting(file.level).is_none());
        let ends = self.closed.values().map(|closed| closed.end);
        ends.chain(open.map(|file| file.end)).min()
    }

    /// Drops files whose end has come, whole: from the manifest first.
    pub(crate) fn drop_expired(&mut self, now: Timestamp) -> Result<(), JournalError> {
        let is_over = |file: &&OpenFile| {
            file.end <= now
                && !file.has_unsynced_facts()
                && self.waiting.get(&file.level).is_none_or(VecDeque::is_empty)
        };
        let over: Vec<_> = self.open.values().filter(is_over).map(|file| file.level).collect();
        for level in over {
            if let Some(file) = self.open.remove(&level) {
                let is_whole = file.size() == self.spares.file_bytes();
                self.closed.insert(file.number, Closed { end: file.end, is_whole });
            }
        }
        let expired = self.closed.iter().filter(|(_, closed)| closed.end <= now);
        let expired: Vec<_> = expired.map(|(&number, &closed)| (number, closed)).collect();
        for (number, closed) in expired {
            self.closed.remove(&number);
            self.manifest.files.remove(&number);
            self.is_stale = true;
            self.afterwards.push(Afterwards::Retire { number, is_whole: closed.is_whole });
        }
        if self.is_stale && self.open.values().any(|file| !file.has_durable_name) {
            // A manifest names no file whose header may be lost, for then no start would follow.
            return self.sync(now);
        }
        self.replace_manifest(now)
    }

    /// Makes a spare ready if one is soon needed.
    pub(crate) fn prepare_spare(&mut self) {
        if self.open.values().any(OpenFile::is_half_full) {
            self.spares.prepare(&*self.disk, self.next_number);
            self.next_number += 1;
        }
    }

    /// Appends a batch without frames to every file whose last facts lack one.
    pub(crate) fn write_trailers(&mut self, stamp: Stamp) -> Result<(), JournalError> {
        let lacking = self.open.values().filter(|file| file.lacks_trailer);
        let lacking: Vec<_> = lacking.map(|file| file.level).collect();
        for level in lacking {
            let Some(file) = self.open.get_mut(&level) else { continue };
            let trailer = Pending::trailer(stamp);
            file.lacks_trailer = false;
            if file.takes(trailer.len(), stamp.at)
                && let Err(error) = file.append(trailer)
            {
                self.fail(level);
                return Err(error);
            }
        }
        Ok(())
    }
}
