//! Frames read back by their places, mostly in the order in which they lie.

use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::error::JournalError;
use crate::facts_file::FactsFile;
use crate::frame::{FrameBytes, PREFIX_BYTES, length_of};
use crate::header::FileId;
use crate::merge::Place;

/// Read at a place that follows none before it.
const READ_BYTES_MIN: usize = 4 * 1024;
/// Read at once where places follow one another: fits into a core's own cache.
const READ_BYTES_MAX: usize = 256 * 1024;
/// Files that one thread holds open.
const OPEN_MAX: usize = 64;

/// One thread's handles of files.
pub(crate) struct Handles<'a> {
    disk: &'a dyn Disk,
    files: &'a [FactsFile],
    open: Vec<Option<Arc<dyn DiskFile>>>,
    count: usize,
}

impl<'a> Handles<'a> {
    pub(crate) fn new(disk: &'a dyn Disk, files: &'a [FactsFile]) -> Self {
        Self { disk, files, open: vec![None; files.len()], count: 0 }
    }

    /// The file of a place.
    pub(crate) fn file(&self, place: Place) -> &FactsFile {
        &self.files[place.file()]
    }

    fn get(&mut self, file: usize) -> Result<Arc<dyn DiskFile>, JournalError> {
        if let Some(handle) = &self.open[file] {
            return Ok(Arc::clone(handle));
        }
        if self.count == OPEN_MAX {
            self.open.fill(None);
            self.count = 0;
        }
        let handle: Arc<dyn DiskFile> = self.files[file].open(self.disk)?.into();
        self.open[file] = Some(Arc::clone(&handle));
        self.count += 1;
        Ok(handle)
    }
}

/// Some bytes of one file, of which frames are lent.
pub(crate) struct Window {
    file: usize,
    start: u64,
    /// As long as the largest read so far; the first `len` bytes are the file's.
    buffer: Vec<u8>,
    len: usize,
    /// Bytes of the last read: they double while places follow one another.
    read_bytes: usize,
}

impl Window {
    pub(crate) const fn new() -> Self {
        Self { file: usize::MAX, start: 0, buffer: Vec::new(), len: 0, read_bytes: READ_BYTES_MIN }
    }

    /// The frame at a place where one was seen before; refused if it is not there any more.
    pub(crate) fn frame<'w>(
        &'w mut self,
        place: Place,
        handles: &mut Handles<'_>,
    ) -> Result<FrameBytes<'w>, JournalError> {
        if !self.holds(place) {
            self.read(place, handles)?;
        }
        let from = (place.offset() - self.start) as usize;
        let frame = FrameBytes::first(&self.buffer[from..self.len]).ok();
        // Looked at again, for these are other bytes: the cache may have lost those of the scan.
        let file = handles.file(place);
        let id = FileId::from_bytes(file.entry.id);
        frame.filter(|frame| frame.crc(id) == frame.stated_crc()).ok_or_else(|| {
            file.damaged(place.offset(), "a frame has changed since it was scanned".to_owned())
        })
    }

    fn holds(&self, place: Place) -> bool {
        let from = match place.offset().checked_sub(self.start) {
            Some(from) if self.file == place.file() => from as usize,
            Some(_) | None => return false,
        };
        self.buffer[..self.len].get(from..).is_some_and(|rest| FrameBytes::first(rest).is_ok())
    }

    fn read(&mut self, place: Place, handles: &mut Handles<'_>) -> Result<(), JournalError> {
        let reach = self.start..=self.start + (self.len + READ_BYTES_MAX) as u64;
        let follows = self.file == place.file() && reach.contains(&place.offset());
        self.read_bytes =
            if follows { (2 * self.read_bytes).min(READ_BYTES_MAX) } else { READ_BYTES_MIN };
        self.fill(place, self.read_bytes, handles)?;
        // A frame longer than the read.
        if let Some((word, _)) = self.buffer[..self.len].split_first_chunk::<4>() {
            let length = length_of(*word).max(PREFIX_BYTES);
            if self.len < length {
                self.fill(place, length, handles)?;
            }
        }
        Ok(())
    }

    fn fill(
        &mut self,
        place: Place,
        bytes: usize,
        handles: &mut Handles<'_>,
    ) -> Result<(), JournalError> {
        if self.buffer.len() < bytes {
            self.buffer.resize(bytes, 0);
        }
        self.len = 0;
        (self.file, self.start) = (place.file(), place.offset());
        self.len = handles
            .get(place.file())?
            .read_at(&mut self.buffer[..bytes], place.offset())
            .map_err(|error| {
                JournalError::disk_at("read", &handles.file(place).name(), place.offset())(error)
            })?;
        Ok(())
    }
}
