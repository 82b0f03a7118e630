//! One facts file that takes batches.

use onceward::Timestamp;

use crate::disk::{Disk, DiskFile};
use crate::error::JournalError;
use crate::file_name;
use crate::header::{FileHeader, FileId, HEADER_BYTES};
use crate::level::Level;
use crate::manifest::{FileEntry, FileState};
use crate::pending::{Pending, Place};

/// A facts file that takes batches.
///
/// Invariant: what was written since the last sync that succeeded stands in `unsynced`, whole.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) number: u64,
    pub(crate) level: Level,
    pub(crate) created_at: Timestamp,
    /// Latest end of an acquisition with a frame in it.
    pub(crate) end: Timestamp,
    /// The directory is synced since it has its name.
    pub(crate) has_durable_name: bool,
    /// A manifest that names it may be on the disk.
    pub(crate) is_named: bool,
    /// Facts in it were synced, and no trailer follows yet.
    pub(crate) lacks_trailer: bool,
    name: String,
    id: FileId,
    file: Box<dyn DiskFile>,
    size: u64,
    written: u64,
    synced: u64,
    batches: u64,
    crc: u32,
    unsynced: Vec<Pending>,
}

impl OpenFile {
    /// Makes a file that is there a facts file: writes its header.
    pub(crate) fn begin(
        file: Box<dyn DiskFile>,
        header: &FileHeader,
    ) -> Result<Self, JournalError> {
        let name = file_name::facts(header.number);
        file.write_at(&header.encode(), 0).map_err(JournalError::disk_at("write", &name, 0))?;
        Ok(Self {
            number: header.number,
            level: Level::numbered(header.level),
            created_at: header.created_at,
            end: Timestamp::ZERO,
            has_durable_name: false,
            is_named: false,
            lacks_trailer: false,
            name,
            id: header.id,
            file,
            size: header.size,
            written: HEADER_BYTES as u64,
            synced: 0,
            batches: 0,
            crc: 0,
            unsynced: Vec::new(),
        })
    }

    pub(crate) fn entry(&self) -> FileEntry {
        let id = *self.id.as_bytes();
        FileEntry { id, level: self.level.number(), state: FileState::Open }
    }

    /// Whether it takes a batch of so many bytes at `now`.
    pub(crate) fn takes(&self, bytes: usize, now: Timestamp) -> bool {
        let is_young = now < self.created_at.after(self.level.open_for());
        is_young && self.size - self.written >= bytes as u64
    }

    /// Whether more than half of its room is used.
    pub(crate) fn is_half_full(&self) -> bool {
        self.written > self.size / 2
    }

    /// Bytes that are synced.
    pub(crate) const fn synced(&self) -> u64 {
        self.synced
    }

    /// Bytes that are written.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// Bytes it was made with.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Whether a sync has something to do.
    pub(crate) const fn is_touched(&self) -> bool {
        self.synced < self.written
    }

    /// Whether a fact in it is not synced.
    pub(crate) const fn has_unsynced_facts(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// Appends a batch, for which there is room. After an error the file takes nothing more; the
    /// batch stands in what [`OpenFile::into_unsynced`] gives.
    pub(crate) fn append(&mut self, mut batch: Pending) -> Result<(), JournalError> {
        let place = Place { previous_crc: self.crc, number: self.batches + 1, synced: self.synced };
        let at = self.written;
        let (bytes, crc) = batch.seal(place, self.id);
        let length = bytes.len() as u64;
        let done = self.file.write_at(bytes, at);
        self.end = self.end.max(batch.end);
        self.lacks_trailer = false;
        if !batch.is_empty() {
            self.unsynced.push(batch);
        }
        done.map_err(JournalError::disk_at("write", &self.name, at))?;
        self.written += length;
        self.batches += 1;
        self.crc = crc;
        Ok(())
    }

    /// Syncs what is written. It counts as synced once [`OpenFile::settle`] is told.
    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        // The first sync makes the length durable, too.
        let done = if self.synced == 0 { self.file.sync_all() } else { self.file.sync_data() };
        done.map_err(JournalError::disk_at("sync", &self.name, self.synced))
    }

    /// All that is written is durable, the name included. Gives what was not before.
    pub(crate) fn settle(&mut self) -> std::vec::Drain<'_, Pending> {
        self.has_durable_name = true;
        self.synced = self.written;
        self.lacks_trailer |= !self.unsynced.is_empty();
        self.unsynced.drain(..)
    }

    /// What is to be written to another file, in order.
    pub(crate) fn into_unsynced(self) -> Vec<Pending> {
        self.unsynced
    }

    /// Cuts off room that it does not need any more. Only of a file that the manifest seals.
    pub(crate) fn cut(disk: &dyn Disk, number: u64, length: u64) -> Result<(), JournalError> {
        let name = file_name::facts(number);
        let file = disk.open(&name).map_err(JournalError::disk("open", &name))?;
        file.set_len(length).map_err(JournalError::disk_at("cut", &name, length))
    }
}
