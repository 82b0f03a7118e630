//! Which name stands for which file, now and after a power cut.

use std::collections::{BTreeMap, BTreeSet};

use onceward_testkit::SplitMix64;

/// The names in a directory.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    now: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    /// Since the last sync, in order.
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Set(String, u64),
    Rename { from: String, to: String, file: u64 },
    Remove(String, u64),
}

impl Directory {
    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.now.get(name).copied()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (&String, u64)> {
        self.now.iter().map(|(name, file)| (name, *file))
    }

    /// Every file that has a name.
    pub(crate) fn files(&self) -> BTreeSet<u64> {
        self.now.values().copied().collect()
    }

    pub(crate) fn set(&mut self, name: &str, file: u64) {
        self.change(Change::Set(name.to_owned(), file));
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        if let Some(file) = self.get(from) {
            self.change(Change::Rename { from: from.to_owned(), to: to.to_owned(), file });
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        if let Some(file) = self.get(name) {
            self.change(Change::Remove(name.to_owned(), file));
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.changes.push(change);
    }

    pub(crate) fn sync(&mut self) {
        self.changes.clear();
        self.durable.clone_from(&self.now);
    }

    /// The power goes. Mostly the first changes are there, as with file systems that keep a journal
    /// of them; else any.
    pub(crate) fn lose(&mut self, random: &mut SplitMix64) {
        let changes = std::mem::take(&mut self.changes);
        let first = random.within(0..changes.len() as u64 + 1) as usize;
        let in_order = random.chance(60);
        for (place, change) in changes.iter().enumerate() {
            if if in_order { place < first } else { random.chance(50) } {
                change.apply(&mut self.durable);
            }
        }
        self.now.clone_from(&self.durable);
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Set(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Rename { from, to, file } => {
                // Where an earlier change was lost, the name may stand for another file by now.
                if names.get(from) == Some(file) {
                    names.remove(from);
                }
                names.insert(to.clone(), *file);
            }
            Self::Remove(name, file) => {
                if names.get(name) == Some(file) {
                    names.remove(name);
                }
            }
        }
    }
}
