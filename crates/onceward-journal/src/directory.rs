//! Changes of names in the data directory.

use std::io;

use onceward::planted::{Bug, planted};

use crate::disk::Disk;
use crate::error::JournalError;

/// Makes changes of names durable.
pub(crate) fn sync(disk: &dyn Disk) -> Result<(), JournalError> {
    if planted(Bug::NoDirectorySync) {
        return Ok(());
    }
    disk.sync_directory().map_err(JournalError::disk("sync", ""))
}

/// Takes a name away if it is there.
pub(crate) fn remove_if_there(disk: &dyn Disk, name: &str) -> Result<(), JournalError> {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(JournalError::disk("remove", name)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
