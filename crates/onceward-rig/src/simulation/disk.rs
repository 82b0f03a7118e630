//! A disk in memory that does what disks may do: it loses what was not synced, tears it, fails,
//! fills up, and on demand writes in the wrong place.
//!
//! What holds, as for file systems on Linux:
//! 1. A program sees its own writes at once, also those that will never reach the disk.
//! 2. A sync that succeeds makes durable what was written since the last, unless a sync failed in
//!    between: pages of a failed sync count as clean, and are gone with the power.
//! 3. A name stands for a file, or no longer does, from the next sync of the directory on. A power
//!    cut before that leaves any of the changes of names, each as a whole.
//! 4. A process that is killed takes nothing with it.

mod directory;
mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use onceward_journal::{Disk, DiskFile};
use onceward_testkit::SplitMix64;
use parking_lot::{Mutex, MutexGuard};

use super::time::Time;
use super::trace::{Trace, digest};
use directory::Directory;
use file::{File, Left};

/// What befalls one operation of a disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// The process, or the machine, ends before the operation has.
    Die,
    /// It fails. A write may have happened in part.
    Fail,
    /// A write ends up elsewhere, and nobody is told.
    Misdirect,
}

/// How a process ended, as far as the disk is concerned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// It was killed, or stopped by itself.
    Process,
    /// The power went.
    Power,
}

/// Called while a sync is under way.
pub(crate) type WhileSyncing = Arc<dyn Fn() + Send + Sync>;

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimulatedDisk {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    while_syncing: Mutex<Option<WhileSyncing>>,
    trace: Arc<Mutex<Trace>>,
    time: Arc<Time>,
}

struct State {
    random: SplitMix64,
    directory: Directory,
    files: BTreeMap<u64, File>,
    next_file: u64,
    operations: u64,
    faults: BTreeMap<u64, Fault>,
    is_dead: bool,
    is_full: bool,
    is_locked: bool,
    /// What faults did that nobody was told of.
    misdirected: Vec<String>,
    failed: u64,
}

impl SimulatedDisk {
    pub(crate) fn new(seed: u64, time: &Arc<Time>, trace: &Arc<Mutex<Trace>>) -> Self {
        let state = State {
            random: SplitMix64::new(seed),
            directory: Directory::default(),
            files: BTreeMap::new(),
            next_file: 1,
            operations: 0,
            faults: BTreeMap::new(),
            is_dead: false,
            is_full: false,
            is_locked: false,
            misdirected: Vec::new(),
            failed: 0,
        };
        let shared = Shared {
            state: Mutex::new(state),
            while_syncing: Mutex::new(None),
            trace: Arc::clone(trace),
            time: Arc::clone(time),
        };
        Self { shared: Arc::new(shared) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock()
    }

    /// The `steps`-th operation from now on that changes something meets `fault`.
    pub(crate) fn schedule(&self, steps: u64, fault: Fault) {
        let mut state = self.state();
        let at = state.operations + steps.max(1);
        state.faults.insert(at, fault);
    }

    /// Nothing more befalls it.
    pub(crate) fn clear_faults(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.is_full = false;
    }

    /// Whether there is no room for new files.
    pub(crate) fn set_full(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    /// Whether an operation met [`Fault::Die`].
    pub(crate) fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    /// Operations that failed because they were to, or for want of room.
    pub(crate) fn failed(&self) -> u64 {
        self.state().failed
    }

    /// Writes that ended up elsewhere.
    pub(crate) fn misdirected(&self) -> Vec<String> {
        self.state().misdirected.clone()
    }

    /// Calls `hook` while each sync is under way.
    pub(crate) fn while_syncing(&self, hook: Option<WhileSyncing>) {
        *self.shared.while_syncing.lock() = hook;
    }

    /// The process that used it is gone, and everything that it had in memory.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.state();
        let state = &mut *state;
        (state.is_dead, state.is_locked) = (false, false);
        state.faults.clear();
        if end == End::Process {
            return;
        }
        state.directory.lose(&mut state.random);
        let named = state.directory.files();
        state.files.retain(|file, _| named.contains(file));
        let left = Left::draw(&mut state.random);
        for file in state.files.values_mut() {
            file.lose(left, &mut state.random);
        }
        let lens = state.files.values().map(|file| file.len()).fold(0, u64::wrapping_add);
        let names = state.directory.names().count();
        self.shared
            .note(format_args!("disk: the power went, {left:?} left, {names} names, {lens} bytes"));
    }

    /// Every file with bytes in it, and how many.
    pub(crate) fn written(&self) -> Vec<(String, u64)> {
        let state = self.state();
        let names = state.directory.names();
        names
            .filter_map(|(name, file)| Some((name.clone(), state.files.get(&file)?.written())))
            .filter(|(_, written)| *written > 0)
            .collect()
    }

    /// Flips a bit at rest. The same again takes it back.
    pub(crate) fn flip(&self, name: &str, offset: u64, bit: u8) {
        let mut state = self.state();
        let state = &mut *state;
        if let Some(file) = state.directory.get(name).and_then(|file| state.files.get_mut(&file)) {
            file.flip(offset, bit);
        }
        self.shared.note(format_args!("disk: bit {bit} of byte {offset} of {name} flips"));
    }

    /// One operation that changes something.
    fn operate<T>(
        &self,
        what: fmt::Arguments<'_>,
        operate: impl FnOnce(&mut State, Option<Fault>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        if state.is_dead {
            return Err(dead());
        }
        state.operations += 1;
        let at = state.operations;
        let fault = state.faults.remove(&at);
        let done = operate(&mut state, fault);
        state.is_dead |= fault == Some(Fault::Die);
        let said = done.as_ref().err().map(io::Error::kind);
        let is_full = said == Some(io::ErrorKind::StorageFull);
        state.failed += u64::from(fault == Some(Fault::Fail) || is_full);
        self.shared.note(format_args!("disk {at}: {what}: {said:?} {fault:?}"));
        if fault == Some(Fault::Die) { Err(dead()) } else { done }
    }

    fn interrupt(&self) {
        let hook = self.shared.while_syncing.lock().clone();
        if let Some(hook) = hook {
            hook();
        }
    }
}

impl Shared {
    fn note(&self, event: fmt::Arguments<'_>) {
        self.trace.lock().note(self.time.now_us(), event);
    }
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

fn input_output() -> io::Error {
    io::Error::from_raw_os_error(nix::errno::Errno::EIO as i32)
}

fn full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

impl State {
    fn find(&self, name: &str) -> io::Result<u64> {
        self.directory.get(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file(&mut self, file: u64) -> io::Result<&mut File> {
        self.files.get_mut(&file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// A write that may end in the middle, or elsewhere.
    fn write(
        &mut self,
        file: u64,
        bytes: &[u8],
        offset: u64,
        fault: Option<Fault>,
    ) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        match fault {
            None if self.is_full && self.file(file)?.len() < end => Err(full()),
            None => {
                self.file(file)?.write(bytes, offset);
                Ok(())
            }
            Some(Fault::Die | Fault::Fail) => {
                let done = self.random.within(0..bytes.len() as u64 + 1) as usize;
                self.file(file)?.write(&bytes[..done], offset);
                Err(input_output())
            }
            Some(Fault::Misdirect) => self.misdirect(file, bytes, offset),
        }
    }

    /// Into the same file or another, at a block that has bytes.
    fn misdirect(&mut self, file: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        const BLOCK: u64 = 512;
        let files: Vec<_> =
            self.directory.names().map(|(name, file)| (name.clone(), file)).collect();
        let (name, target) = self.random.pick(&files).cloned().unwrap_or_default();
        let room =
            self.files.get(&target).map_or(0, |file| file.len().saturating_sub(bytes.len() as u64));
        let place = self.random.within(0..room / BLOCK + 1) * BLOCK;
        if target == file && place == offset || !self.files.contains_key(&target) {
            self.file(file)?.write(bytes, offset);
            return Ok(());
        }
        let what = format!(
            "{} bytes for byte {offset} of a file went to byte {place} of {name}",
            bytes.len()
        );
        self.misdirected.push(what);
        self.file(target)?.write(bytes, place);
        // The file system knows how long the file was to be.
        let len = self.file(file)?.len().max(offset + bytes.len() as u64);
        self.file(file)?.set_len(len);
        Ok(())
    }

    fn sync(&mut self, file: u64, fault: Option<Fault>) -> io::Result<()> {
        match fault {
            None | Some(Fault::Misdirect) => {
                self.file(file)?.sync();
                Ok(())
            }
            // The power may go in the middle of it: what is unsynced stays so.
            Some(Fault::Die) => Err(dead()),
            Some(Fault::Fail) => {
                let mut random = SplitMix64::new(self.random.next_u64());
                self.file(file)?.fail_sync(&mut random);
                Err(input_output())
            }
        }
    }
}

impl Disk for SimulatedDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state();
        if state.is_dead {
            Err(dead())
        } else {
            Ok(state.directory.names().map(|(name, _)| name.clone()).collect())
        }
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let file = self.operate(format_args!("create {name} {bytes}"), |state, fault| {
            if state.directory.get(name).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if state.is_full || fault == Some(Fault::Fail) {
                return Err(full());
            }
            let file = state.next_file;
            state.next_file += 1;
            state.files.insert(file, File::of_len(bytes));
            state.directory.set(name, file);
            Ok(file)
        })?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state();
        if state.is_dead {
            return Err(dead());
        }
        let file = state.find(name)?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.operate(format_args!("rename {from} {to}"), |state, fault| {
            state.find(from)?;
            // One that fails may have come about all the same.
            let fails = matches!(fault, Some(Fault::Die | Fault::Fail));
            if !fails || state.random.chance(50) {
                state.directory.rename(from, to);
            }
            if fault == Some(Fault::Fail) { Err(input_output()) } else { Ok(()) }
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.operate(format_args!("remove {name}"), |state, fault| {
            state.find(name)?;
            if fault == Some(Fault::Fail) {
                return Err(input_output());
            }
            state.directory.remove(name);
            Ok(())
        })
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.interrupt();
        self.operate(format_args!("sync directory"), |state, fault| match fault {
            None | Some(Fault::Misdirect) => {
                state.directory.sync();
                Ok(())
            }
            Some(Fault::Die) => Err(dead()),
            Some(Fault::Fail) => Err(input_output()),
        })
    }

    fn lock(&self, name: &str, text: &str) -> io::Result<Box<dyn Send + Sync>> {
        let file = self.operate(format_args!("lock {name}"), |state, _| {
            if state.is_locked {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            state.is_locked = true;
            if let Some(file) = state.directory.get(name) {
                return Ok(file);
            }
            let file = state.next_file;
            state.next_file += 1;
            state.files.insert(file, File::default());
            state.directory.set(name, file);
            Ok(file)
        })?;
        let mut state = self.state();
        let file = state.file(file)?;
        file.set_len(0);
        file.write(text.as_bytes(), 0);
        Ok(Box::new(Guard { disk: self.clone() }))
    }
}

struct Guard {
    disk: SimulatedDisk,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.disk.state().is_locked = false;
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    file: u64,
}

impl DiskFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.state().file(self.file).map(|file| file.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        if state.is_dead {
            return Err(dead());
        }
        Ok(state.file(self.file)?.read(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (file, sum) = (self.file, digest(bytes));
        let what = format_args!("write {file} at {offset} {} {sum:x}", bytes.len());
        self.disk.operate(what, |state, fault| state.write(file, bytes, offset, fault))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.interrupt();
        let file = self.file;
        self.disk.operate(format_args!("sync {file}"), |state, fault| state.sync(file, fault))
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let file = self.file;
        self.disk.operate(format_args!("set length of {file} to {bytes}"), |state, fault| {
            if fault == Some(Fault::Fail) {
                return Err(input_output());
            }
            state.file(file)?.set_len(bytes);
            Ok(())
        })
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedDisk").finish_non_exhaustive()
    }
}

impl fmt::Debug for SimulatedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedFile").field("file", &self.file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
