//! What the journal asks of a disk. One directory, flat; a test may tear, lose and fill it.

#[cfg(test)]
mod memory;
mod system;

use std::fmt;
use std::io;

#[cfg(test)]
pub(crate) use memory::MemoryDisk;
pub use system::SystemDisk;

/// One directory that the journal has to itself. Names are plain file names.
///
/// Nothing is durable before the sync that covers it: a file's bytes before [`DiskFile::sync_data`],
/// a file's length before [`DiskFile::sync_all`], and that a name stands for a file, or no longer
/// does, before [`Disk::sync_directory`]. After an error of a sync nothing is known of what it
/// covered, and the same sync is not asked for again.
pub trait Disk: Send + Sync + fmt::Debug {
    /// The names in the directory, in any order.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// A new file with room for `bytes`, all zeros, and that length.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], [`io::ErrorKind::StorageFull`], what else the system says.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>>;

    /// A file that is there, to read and write.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], what else the system says.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, in place of a file that has it.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a name away.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all changes of names durable. Asked of a disk whose directory is locked: a file system
    /// that has shut down may be told by a file alone.
    ///
    /// # Errors
    /// What the system says.
    fn sync_directory(&self) -> io::Result<()>;

    /// Takes the directory for this process, until the guard goes: a file of that name, locked,
    /// says `text`.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if somebody has it, what else the system says.
    fn lock(&self, name: &str, text: &str) -> io::Result<Box<dyn Send + Sync>>;
}

/// One open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Its length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// What the system says.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// Fills `buffer` from `offset` on as far as the file reaches, and says how far.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// What the system says; then any part of `bytes` may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the bytes written so far durable.
    ///
    /// # Errors
    /// What the system says; then nothing is known of bytes written since the last sync.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes bytes and length durable.
    ///
    /// # Errors
    /// As [`DiskFile::sync_data`].
    fn sync_all(&self) -> io::Result<()>;

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
}
