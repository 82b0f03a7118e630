//! Whose the data directory is: one process at a time.

use std::fmt;
use std::io;

use crate::disk::Disk;
use crate::error::JournalError;
use crate::file_name;

/// Bytes of a lock's text that a refusal repeats.
const OWNER_BYTES_MAX: usize = 128;

/// The directory is this process's until it is dropped.
pub struct Lock {
    _guard: Box<dyn Send + Sync>,
}

impl Lock {
    /// Takes the directory. `owner` tells others who has it: the process, for instance.
    ///
    /// # Errors
    /// [`JournalError::Locked`] with what the other owner said, [`JournalError::Disk`].
    pub fn take(disk: &dyn Disk, owner: &str) -> Result<Self, JournalError> {
        match disk.lock(file_name::LOCK, owner) {
            Ok(guard) => Ok(Self { _guard: guard }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(JournalError::Locked { owner: owner_of(disk) })
            }
            Err(error) => Err(JournalError::disk("lock", file_name::LOCK)(error)),
        }
    }
}

/// What the lock says, as far as it can be read: it only makes the refusal clearer.
fn owner_of(disk: &dyn Disk) -> String {
    let mut bytes = [0; OWNER_BYTES_MAX];
    let read = disk.open(file_name::LOCK).and_then(|file| file.read_at(&mut bytes, 0));
    let text = String::from_utf8_lossy(&bytes[..read.unwrap_or(0)]);
    let text = text.trim_matches(|c: char| c.is_control() || c.is_whitespace());
    if text.is_empty() { "its lock says nothing more".to_owned() } else { text.to_owned() }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SystemDisk;

    #[test]
    fn a_second_owner_is_told_who_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let [first, second] = [(); 2].map(|()| SystemDisk::open(folder.path()).expect("a disk"));
        let lock = Lock::take(&first, "process 17\n").expect("free");
        let refused = Lock::take(&second, "process 18").expect_err("taken");
        assert!(refused.to_string().contains("(process 17)"), "{refused}");
        drop(lock);
        Lock::take(&second, "process 18").expect("free again");
    }
}
