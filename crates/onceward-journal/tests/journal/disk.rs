//! A disk in memory that forgets what was not synced, fails on call, and notes what it was asked.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use onceward_journal::{Disk, DiskFile};
use parking_lot::Mutex;

/// What a disk is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Op {
    Create,
    Rename,
    Remove,
    Write,
    Sync,
    SyncDirectory,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// The call with that number, once.
    Once(u64),
    /// Every call from that number on: the power is cut.
    From(u64),
    /// Whatever takes room.
    Full,
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Written since the last sync, successful or not.
    dirty: Vec<(u64, Vec<u8>)>,
    sync_failed: bool,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, Arc<Mutex<Content>>>,
    durable_names: BTreeMap<String, Arc<Mutex<Content>>>,
    fault: Option<Fault>,
    calls: Vec<(Op, String)>,
    /// A failed file was written or synced again.
    asked_again: bool,
}

impl State {
    fn call(&mut self, op: Op, name: &str) -> io::Result<()> {
        let number = self.calls.len() as u64;
        self.calls.push((op, name.to_owned()));
        match self.fault {
            Some(Fault::Once(at)) if number == at => Err(io::Error::other("it was told to fail")),
            Some(Fault::From(at)) if number >= at => Err(io::Error::other("there is no power")),
            Some(Fault::Full) if matches!(op, Op::Create | Op::Write) => {
                Err(ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

/// The disk; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct FaultFile {
    disk: FaultDisk,
    name: String,
    content: Arc<Mutex<Content>>,
}

impl FaultDisk {
    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        self.0.lock().fault = fault;
    }

    /// How often it was asked for anything.
    pub(crate) fn calls(&self) -> u64 {
        self.0.lock().calls.len() as u64
    }

    /// What it was asked for, from the call with that number on.
    pub(crate) fn calls_from(&self, number: u64) -> Vec<(Op, String)> {
        self.0.lock().calls[number as usize..].to_vec()
    }

    /// Whether a failed file was written or synced again.
    pub(crate) fn was_asked_again(&self) -> bool {
        self.0.lock().asked_again
    }

    /// What is left after a loss of power: durable names, and of each file its durable bytes.
    pub(crate) fn after_a_crash(&self) -> Self {
        let state = self.0.lock();
        let kept = |content: &Arc<Mutex<Content>>| {
            let durable = content.lock().durable.clone();
            let content = Content { now: durable.clone(), durable, ..Content::default() };
            Arc::new(Mutex::new(content))
        };
        let names = state.durable_names.iter();
        let names: BTreeMap<_, _> = names.map(|(name, it)| (name.clone(), kept(it))).collect();
        let state = State { durable_names: names.clone(), names, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// The first bytes of a file.
    pub(crate) fn header(&self, name: &str) -> [u8; 64] {
        *self.0.lock().names[name].lock().now.first_chunk().expect("64 bytes")
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.0.lock().names[name].lock().now.clone()
    }
}

impl Disk for FaultDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().names.keys().cloned().collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.call(Op::Create, name)?;
        if state.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let content = Content { now: vec![0; bytes as usize], ..Content::default() };
        state.names.insert(name.to_owned(), Arc::new(Mutex::new(content)));
        drop(state);
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let content = self.0.lock().names.get(name).cloned().ok_or(ErrorKind::NotFound)?;
        Ok(Box::new(FaultFile { disk: self.clone(), name: name.to_owned(), content }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call(Op::Rename, from)?;
        let content = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call(Op::Remove, name)?;
        state.names.remove(name).map(|_| ()).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call(Op::SyncDirectory, "")?;
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn lock(&self, _: &str, _: &str) -> io::Result<Box<dyn Send + Sync>> {
        Ok(Box::new(()))
    }
}

impl FaultFile {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let done = state.call(Op::Sync, &self.name);
        let mut content = self.content.lock();
        state.asked_again |= content.sync_failed;
        // As an operating system does it: after a failure the bytes count as clean.
        let dirty = std::mem::take(&mut content.dirty);
        if done.is_err() {
            content.sync_failed = true;
            return done;
        }
        let len = content.now.len();
        content.durable.resize(len, 0);
        for (offset, bytes) in dirty {
            let from = offset as usize;
            content.durable[from..from + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }
}

impl DiskFile for FaultFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().now.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.content.lock();
        let rest = content.now.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let done = state.call(Op::Write, &self.name);
        let mut content = self.content.lock();
        state.asked_again |= content.sync_failed;
        // A write that fails has written a part.
        let bytes = if done.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        let (from, end) = (offset as usize, offset as usize + bytes.len());
        if content.now.len() < end {
            content.now.resize(end, 0);
        }
        content.now[from..end].copy_from_slice(bytes);
        content.dirty.push((offset, bytes.to_vec()));
        done
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut content = self.content.lock();
        content.now.resize(bytes as usize, 0);
        content.durable.truncate(bytes as usize);
        Ok(())
    }
}
