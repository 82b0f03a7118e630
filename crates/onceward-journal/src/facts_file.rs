//! One facts file of a directory: read whole, held against what the manifest says of it.

use crate::damage::{Known, Verdict, judge};
use crate::disk::{Disk, DiskFile};
use crate::error::JournalError;
use crate::file_name;
use crate::frame::Frame;
use crate::header::{FORMAT_VERSION, FileHeader, FileId, HEADER_BYTES, HeaderError};
use crate::manifest::{FileEntry, FileState};
use crate::scan::{Scan, scan};
use crate::stream::{Bytes as _, Stream};

/// A facts file that the manifest names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FactsFile {
    pub(crate) number: u64,
    pub(crate) entry: FileEntry,
    /// Bytes that the `progress` file says are synced.
    pub(crate) synced: u64,
}

/// What reading it gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileReading {
    pub(crate) scan: Scan,
    pub(crate) verdict: Verdict,
    /// Bytes that were to be read.
    pub(crate) bytes: u64,
}

impl FactsFile {
    pub(crate) fn name(&self) -> String {
        file_name::facts(self.number)
    }

    fn known(&self) -> Known {
        match self.entry.state {
            FileState::Open => Known::Open { synced: self.synced },
            FileState::Sealed { length: len } | FileState::Failed { good_length: len } => {
                Known::Closed { len }
            }
        }
    }

    /// The file, opened.
    ///
    /// # Errors
    /// [`JournalError::Missing`], [`JournalError::Disk`].
    pub(crate) fn open(&self, disk: &dyn Disk) -> Result<Box<dyn DiskFile>, JournalError> {
        let name = self.name();
        disk.open(&name).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => JournalError::Missing { file: name },
            _ => JournalError::disk("open", &name)(error),
        })
    }

    /// Reads all of it that counts by way of `buffer`, and shows each frame that counts.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] for a header that is not this file's, and for a file that was cut;
    /// what is wrong behind the header is in the reading. As [`FactsFile::open`], and
    /// [`JournalError::NewerFormat`].
    pub(crate) fn read(
        &self,
        disk: &dyn Disk,
        buffer: &mut Vec<u8>,
        visit: impl FnMut(u64, &Frame<'_>),
    ) -> Result<FileReading, JournalError> {
        let file = self.open(disk)?;
        let len = file.len().map_err(JournalError::disk("read", &self.name()))?;
        let counts = match self.known() {
            Known::Open { .. } => len,
            Known::Closed { len: counts } => len.min(counts),
        };
        let mut bytes = Stream::new(&*file, counts, buffer);
        let header =
            bytes.get(0, HEADER_BYTES).map_err(JournalError::disk("read", &self.name()))?;
        let header = self.header(header)?;
        let whole = match self.known() {
            Known::Open { .. } => header.size,
            Known::Closed { len } => len,
        };
        if len < whole {
            return Err(self.damaged(len, format!("it was cut: {whole} bytes were written")));
        }
        let scan = scan(&mut bytes, header.id, visit);
        let scan = scan.map_err(JournalError::disk("read", &self.name()))?;
        Ok(FileReading { scan, verdict: judge(&scan, self.known()), bytes: counts })
    }

    /// The header, which is to be the one that the manifest speaks of.
    fn header(&self, bytes: &[u8]) -> Result<FileHeader, JournalError> {
        let header = FileHeader::decode(bytes).map_err(|error| match error {
            HeaderError::Version { got } if got > FORMAT_VERSION => {
                JournalError::NewerFormat { file: self.name(), got, reads: FORMAT_VERSION }
            }
            HeaderError::Magic if bytes.len() < HEADER_BYTES => {
                self.damaged(bytes.len() as u64, "it was cut within its header".to_owned())
            }
            error => self.damaged(0, error.to_string()),
        })?;
        let expected = (FileId::from_bytes(self.entry.id), self.number, self.entry.level);
        if (header.id, header.number, header.level) != expected {
            return Err(self.damaged(0, "its header is another file's".to_owned()));
        }
        Ok(header)
    }

    /// Bytes known to be synced once the file is found sound: up to the end of a batch.
    pub(crate) fn synced_of(&self, reading: &FileReading) -> u64 {
        let synced = match self.known() {
            Known::Open { synced } => synced.max(reading.scan.synced),
            Known::Closed { len } => len,
        };
        synced.clamp(HEADER_BYTES as u64, reading.scan.end)
    }

    /// The refusal that a reading's verdict asks for.
    pub(crate) fn refusal(&self, reading: &FileReading) -> Option<JournalError> {
        match reading.verdict {
            Verdict::Whole | Verdict::TornTail => None,
            Verdict::Damaged { synced } => {
                let what = format!("{}, and {synced} bytes were synced", reading.scan.stop);
                Some(self.damaged(reading.scan.fault_at(), what))
            }
        }
    }

    pub(crate) fn damaged(&self, offset: u64, what: String) -> JournalError {
        JournalError::Damaged { file: self.name(), offset, what }
    }
}
