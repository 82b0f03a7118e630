//! How far facts files are synced, recorded beside them: the witness that a file's end is a torn
//! tail and no loss.
//!
//! There are two slots, and the one that is written is never the one that was synced last, so that
//! a power cut in the middle leaves that. A slot only ever names what was synced before it was
//! written; it is itself synced lazily, so what it names may be less than what is.

use onceward::Timestamp;

use crate::bytes::Reader;
use crate::directory;
use crate::disk::{Disk, DiskFile};
use crate::error::JournalError;
use crate::file_name::{PROGRESS, PROGRESS_NEW};

/// Bytes of a slot.
pub(crate) const SLOT_BYTES: usize = 512;
/// Where the slots begin: on blocks of their own.
pub(crate) const SLOTS_AT: [u64; 2] = [0, 4_096];
/// Open files that a slot has room for, which is more than there are levels.
pub(crate) const FILES_MAX: usize = (SLOT_BYTES - FIXED_BYTES) / FILE_BYTES;

const FIXED_BYTES: usize = 40;
const FILE_BYTES: usize = 16;
const FILE_LEN: u64 = 8_192;
const MAGIC: [u8; 8] = *b"ONCEPROG";
const CRC_AT: std::ops::Range<usize> = 8..12;

/// What one slot says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Progress {
    /// Counts the slots written; the larger counts.
    pub(crate) sequence: u64,
    /// When it was written.
    pub(crate) at: Timestamp,
    /// The wall clock then.
    pub(crate) wall_ms: u64,
    /// Numbers of open files, and how many bytes of each are synced.
    pub(crate) synced: Vec<(u64, u64)>,
}

impl Progress {
    /// The latest valid slot; `None` if there is none.
    pub(crate) fn read(disk: &dyn Disk) -> Result<Option<Self>, JournalError> {
        Ok(Self::valid(disk)?.into_iter().max_by_key(|slot| slot.sequence))
    }

    /// The largest number of a file in any valid slot; 0 without one. A new file with a number that
    /// a slot names still would be held to the bytes of an earlier one.
    pub(crate) fn largest_file(disk: &dyn Disk) -> Result<u64, JournalError> {
        let slots = Self::valid(disk)?;
        let numbers = slots.iter().flat_map(|slot| &slot.synced).map(|(number, _)| *number);
        Ok(numbers.max().unwrap_or(0))
    }

    fn valid(disk: &dyn Disk) -> Result<Vec<Self>, JournalError> {
        let file = match disk.open(PROGRESS) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(JournalError::disk("open", PROGRESS)(error)),
        };
        let mut valid = Vec::new();
        for at in SLOTS_AT {
            let mut slot = [0; SLOT_BYTES];
            file.read_at(&mut slot, at).map_err(JournalError::disk_at("read", PROGRESS, at))?;
            valid.extend(Self::decode(&slot));
        }
        Ok(valid)
    }

    /// Bytes of that file which are synced; 0 if it says nothing of it.
    pub(crate) fn synced(&self, number: u64) -> u64 {
        let file = self.synced.iter().find(|(named, _)| *named == number);
        file.map_or(0, |(_, synced)| *synced)
    }

    fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut slot = [0; SLOT_BYTES];
        let files = &self.synced[..self.synced.len().min(FILES_MAX)];
        slot[..8].copy_from_slice(&MAGIC);
        slot[12..16].copy_from_slice(&(files.len() as u32).to_le_bytes());
        let fields = [self.sequence, self.at.as_millis(), self.wall_ms];
        let numbers = fields.into_iter().chain(files.iter().flat_map(|&(a, b)| [a, b]));
        for (number, place) in numbers.zip(slot[16..].chunks_exact_mut(8)) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let crc = crc32c::crc32c(&slot);
        slot[CRC_AT].copy_from_slice(&crc.to_le_bytes());
        slot
    }

    fn decode(slot: &[u8; SLOT_BYTES]) -> Option<Self> {
        let mut fields = Reader::new(slot);
        let magic = fields.array::<8>()?;
        let crc = fields.u32()?;
        let mut unsummed = *slot;
        unsummed[CRC_AT].fill(0);
        let count = fields.u32()? as usize;
        if *magic != MAGIC || crc32c::crc32c(&unsummed) != crc || count > FILES_MAX {
            return None;
        }
        let sequence = fields.u64()?;
        let (at, wall_ms) = (Timestamp::from_millis(fields.u64()?), fields.u64()?);
        let synced: Option<_> = (0..count).map(|_| Some((fields.u64()?, fields.u64()?))).collect();
        Some(Self { sequence, at, wall_ms, synced: synced? })
    }
}

/// The file with the slots, while a journal runs.
#[derive(Debug)]
pub(crate) struct ProgressFile {
    file: Box<dyn DiskFile>,
    sequence: u64,
    /// The slot that was written last.
    slot: usize,
    is_synced: bool,
}

impl ProgressFile {
    /// A new file in place of one that may be there, durable with one slot.
    pub(crate) fn create(disk: &dyn Disk, mut first: Progress) -> Result<Self, JournalError> {
        directory::remove_if_there(disk, PROGRESS_NEW)?;
        let file = disk
            .create(PROGRESS_NEW, FILE_LEN)
            .map_err(JournalError::disk("create", PROGRESS_NEW))?;
        let mut progress = Self { file, sequence: first.sequence, slot: 0, is_synced: false };
        progress.write(&mut first)?;
        progress.file.sync_all().map_err(JournalError::disk("sync", PROGRESS_NEW))?;
        disk.rename(PROGRESS_NEW, PROGRESS).map_err(JournalError::disk("replace", PROGRESS))?;
        directory::sync(disk)?;
        progress.is_synced = true;
        Ok(progress)
    }

    /// Number of the last slot written.
    pub(crate) const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Writes the next slot, and gives it its number.
    pub(crate) fn write(&mut self, progress: &mut Progress) -> Result<(), JournalError> {
        let sequence = self.sequence + 1;
        // Over what a power cut may take anyway; the other slot is all that is sure to be there.
        if self.is_synced {
            self.slot = 1 - self.slot;
        }
        let at = SLOTS_AT[self.slot];
        progress.sequence = sequence;
        self.file
            .write_at(&progress.encode(), at)
            .map_err(JournalError::disk_at("write", PROGRESS, at))?;
        self.sequence = sequence;
        self.is_synced = false;
        Ok(())
    }

    /// Whether all slots written are durable.
    pub(crate) const fn is_synced(&self) -> bool {
        self.is_synced
    }

    /// Makes the slots durable.
    pub(crate) fn sync(&mut self) -> Result<(), JournalError> {
        self.file.sync_data().map_err(JournalError::disk("sync", PROGRESS))?;
        self.is_synced = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SystemDisk;

    fn progress(synced: &[(u64, u64)]) -> Progress {
        Progress {
            sequence: 0,
            at: Timestamp::from_millis(7),
            wall_ms: 1 << 40,
            synced: synced.to_vec(),
        }
    }

    #[test]
    fn the_latest_slot_counts_and_a_torn_one_leaves_the_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = SystemDisk::open(folder.path()).expect("a disk");
        assert_eq!(Progress::read(&disk).expect("none"), None);
        let mut file = ProgressFile::create(&disk, progress(&[(1, 64)])).expect("created");
        for synced in [128, 192, 256] {
            file.write(&mut progress(&[(1, synced), (2, 64)])).expect("written");
            let read = Progress::read(&disk).expect("read").expect("a slot");
            assert_eq!((read.synced(1), read.synced(2), read.synced(3)), (synced, 64, 0));
        }
        assert!(!file.is_synced());
        file.sync().expect("synced");
        for synced in [320, 384] {
            file.write(&mut progress(&[(1, synced)])).expect("written");
        }
        let torn = disk.open(PROGRESS).expect("there");
        torn.write_at(&[0xff; 8], SLOTS_AT[file.slot] + 30).expect("torn");
        let read = Progress::read(&disk).expect("read").expect("the other slot");
        assert_eq!(read.synced(1), 256, "what was synced last is not written over");
        assert_eq!(Progress::largest_file(&disk).expect("read"), 2, "of either slot");
    }

    #[test]
    fn no_flipped_bit_passes_and_as_many_files_fit_as_can_be_open() {
        let full: Vec<_> = (0..FILES_MAX as u64).map(|number| (number, number * 8)).collect();
        const { assert!(FILES_MAX >= crate::level::LEVELS, "a file per level") };
        let slot = progress(&full).encode();
        assert_eq!(Progress::decode(&slot), Some(progress(&full)));
        for bit in 0..slot.len() * 8 {
            let mut flipped = slot;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Progress::decode(&flipped), None, "bit {bit}");
        }
    }
}
