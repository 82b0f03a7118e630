//! Files that hold nothing and keep their room: a new facts file that takes one has its blocks
//! already, and its syncs need not wait for the file system to find some.

use crate::disk::{Disk, DiskFile};
use crate::error::JournalError;
use crate::file_name;
use crate::options::SPARES_MAX;

/// The spares, and who makes facts files.
#[derive(Debug)]
pub(crate) struct Spares {
    file_bytes: u64,
    numbers: Vec<u64>,
}

impl Spares {
    /// Spares that are in the directory; what cannot serve as one is taken away.
    pub(crate) fn find(disk: &dyn Disk, names: &[String], file_bytes: u64) -> Self {
        let mut spares = Self { file_bytes, numbers: Vec::new() };
        for name in names {
            let Some(number) = file_name::spare_number(name) else { continue };
            let has_room =
                disk.open(name).and_then(|file| file.len()).is_ok_and(|len| len == file_bytes);
            if has_room && spares.numbers.len() < SPARES_MAX {
                spares.numbers.push(number);
            } else {
                take_away(disk, name);
            }
        }
        spares
    }

    /// A file by the name of a facts file, with room for `bytes` at least. What it holds is not
    /// defined. Says its size.
    pub(crate) fn make(
        &mut self,
        disk: &dyn Disk,
        number: u64,
        bytes: u64,
    ) -> Result<(Box<dyn DiskFile>, u64), JournalError> {
        let name = file_name::facts(number);
        if bytes <= self.file_bytes
            && let Some(spare) = self.numbers.pop()
        {
            let spare = file_name::spare(spare);
            disk.rename(&spare, &name).map_err(JournalError::disk("rename", &spare))?;
            let file = disk.open(&name).map_err(JournalError::disk("open", &name))?;
            return Ok((file, self.file_bytes));
        }
        let size = bytes.max(self.file_bytes);
        let file = disk.create(&name, size).map_err(JournalError::disk("create", &name))?;
        Ok((file, size))
    }

    /// Makes a spare if there is none. That it does not come about harms nothing.
    pub(crate) fn prepare(&mut self, disk: &dyn Disk, number: u64) {
        if !self.numbers.is_empty() {
            return;
        }
        let name = file_name::spare(number);
        match disk.create(&name, self.file_bytes) {
            Ok(_) => self.numbers.push(number),
            Err(error) => tracing::debug!(name, %error, "no spare file was made"),
        }
    }

    /// Takes a facts file away that no manifest names any more, or keeps it as a spare.
    pub(crate) fn retire(&mut self, disk: &dyn Disk, number: u64, is_whole: bool) {
        let name = file_name::facts(number);
        if is_whole && self.numbers.len() < SPARES_MAX {
            match disk.rename(&name, &file_name::spare(number)) {
                Ok(()) => return self.numbers.push(number),
                Err(error) => tracing::debug!(name, %error, "a file was not kept as a spare"),
            }
        }
        take_away(disk, &name);
    }

    /// Bytes of a facts file, unless one fact is larger.
    pub(crate) const fn file_bytes(&self) -> u64 {
        self.file_bytes
    }
}

/// Takes away a file that nobody needs. If it stays it is a leftover, which the next start finds.
pub(crate) fn take_away(disk: &dyn Disk, name: &str) {
    if let Err(error) = disk.remove(name) {
        tracing::debug!(name, %error, "a file that nobody needs was not taken away");
    }
}
