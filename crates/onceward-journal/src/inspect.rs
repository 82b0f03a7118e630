//! Looking at a directory that no journal has open, or beside one that has: verify, repair, dump.
//! What they find is data; the command line prints it.

mod dump;
mod repair;
mod verify;

pub use dump::{DumpOptions, dump};
pub use repair::{Cut, RepairMode, RepairReport, repair};
pub use verify::{FileReport, Finding, VerifyReport, verify};

use crate::disk::Disk;
use crate::error::JournalError;
use crate::facts_file::FactsFile;
use crate::file_name;
use crate::manifest::Manifest;
use crate::progress::Progress;
use crate::recovery::files_of;

/// A directory as manifest and progress describe it.
struct Described {
    manifest: Manifest,
    /// `None`: no slot of it is valid, or it is not there.
    progress: Option<Progress>,
    files: Vec<FactsFile>,
    names: Vec<String>,
}

impl Described {
    fn read(disk: &dyn Disk) -> Result<Self, JournalError> {
        let names = disk.list().map_err(JournalError::disk("list", ""))?;
        let Some(manifest) = Manifest::read(disk)? else {
            return Err(JournalError::Missing { file: file_name::MANIFEST.to_owned() });
        };
        let progress = Progress::read(disk)?;
        let synced = |number| progress.as_ref().map_or(0, |progress| progress.synced(number));
        let files = files_of(&manifest.files, synced);
        Ok(Self { manifest, progress, files, names })
    }

    /// Whether nobody but the files themselves says what of open ones is synced.
    fn lacks_witness(&self) -> bool {
        let is_open = |entry: &crate::manifest::FileEntry| {
            matches!(entry.state, crate::manifest::FileState::Open)
        };
        self.progress.is_none() && self.manifest.files.values().any(is_open)
    }
}

#[cfg(test)]
mod tests;
