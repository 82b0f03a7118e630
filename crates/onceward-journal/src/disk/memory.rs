//! A directory in memory, for tests that damage every byte of one.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskFile};

type Bytes = Arc<Mutex<Vec<u8>>>;

/// Files by name. Clones are other directories.
#[derive(Debug, Default)]
pub(crate) struct MemoryDisk {
    files: Mutex<BTreeMap<String, Bytes>>,
}

impl Clone for MemoryDisk {
    fn clone(&self) -> Self {
        let copy = |(name, bytes): (&String, &Bytes)| {
            (name.clone(), Arc::new(Mutex::new(bytes.lock().clone())))
        };
        Self { files: Mutex::new(self.files.lock().iter().map(copy).collect()) }
    }
}

impl MemoryDisk {
    /// The bytes of a file, to look at and to change.
    pub(crate) fn bytes(&self, name: &str) -> Bytes {
        Arc::clone(&self.files.lock()[name])
    }

    /// Writes a whole file.
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        self.files.lock().insert(name.to_owned(), Arc::new(Mutex::new(bytes)));
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.files.lock().keys().cloned().collect()
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        if self.files.lock().contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.put(name, vec![0; usize::try_from(bytes).expect("a small file")]);
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        match self.files.lock().get(name) {
            Some(bytes) => Ok(Box::new(MemoryFile(Arc::clone(bytes)))),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files.lock();
        let bytes = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _name: &str, _text: &str) -> io::Result<Box<dyn Send + Sync>> {
        Ok(Box::new(()))
    }
}

#[derive(Debug)]
struct MemoryFile(Bytes);

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock();
        let rest = usize::try_from(offset).ok().and_then(|from| bytes.get(from..));
        let rest = rest.unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, new: &[u8], offset: u64) -> io::Result<()> {
        let mut bytes = self.0.lock();
        let from = usize::try_from(offset).expect("a small file");
        let len = bytes.len().max(from + new.len());
        bytes.resize(len, 0);
        bytes[from..from + new.len()].copy_from_slice(new);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.lock().resize(usize::try_from(bytes).expect("a small file"), 0);
        Ok(())
    }
}
