//! One shard: a table from identity to slot, the slots, their wheel, and ended attempts.

use std::collections::HashMap;
use std::sync::Arc;

use hashbrown::HashTable;
use onceward_core::lifecycle::View;
use onceward_core::{AttemptId, Identity, Namespace, ScopedKeyBuf, StateName, Timestamp};

use crate::attempts::{ATTEMPT_BYTES, EndedAttempts, Remembered};
use crate::budget::Budget;
use crate::counters::Counters;
use crate::namespaces::Namespaces;
use crate::plain::Bytes;
use crate::storage::{Access, Change, Charge, Hashed, Loaded, LoadedEntry, Payload, Stale};
use crate::unfinished::Unfinished;
use crate::wheel::Wheel;

/// What one entry costs beyond identity and bytes: its slot, its place in the table at the
/// lowest load, its link in the wheel, the header of its result, and the allocator's share of its
/// three blocks.
pub(crate) const ENTRY_BYTES: u64 =
    (size_of::<Option<Entry>>() + 2 * 5 + 24 + size_of::<Payload>() + 2 * 8 + 3 * 16) as u64;

/// What a shard reports to while it works.
pub(super) struct Surroundings {
    pub(super) budget: Arc<Budget>,
    pub(super) counters: Arc<Counters>,
    pub(super) namespaces: Arc<Namespaces>,
    pub(super) attempts: EndedAttempts,
    pub(super) attempts_max: usize,
}

pub(super) struct Entry {
    hash: u64,
    /// Interned: one per namespace, not per entry.
    namespace: Arc<str>,
    scoped_key: ScopedKeyBuf,
    view: View,
    held: Bytes,
    charge: Charge,
    quota: Option<u32>,
}

impl Entry {
    fn is(&self, id: &Hashed<'_>) -> bool {
        self.hash == id.hash
            && self.scoped_key.as_ref() == id.identity.scoped_key()
            && *self.namespace == *id.identity.namespace().as_str()
    }
}

/// Invariants: `table` holds the index of every occupied slot, once; `wheel` has every occupied
/// slot armed for its entry's `expires_at`, which never changes.
pub(super) struct Shard {
    table: HashTable<u32>,
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    wheel: Wheel,
    /// The last version given out; each commit takes the next.
    version: u64,
    /// The version of absence: taken anew whenever an entry leaves.
    absence: u64,
    /// By hash, how many queues wait. Two identities of one hash share a count, which costs the
    /// unwatched one a lock.
    watched: HashMap<u64, u32>,
}

impl Shard {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            wheel: Wheel::new(now.as_millis()),
            version: 1,
            absence: 1,
            watched: HashMap::new(),
        }
    }

    fn find(&self, id: &Hashed<'_>) -> Option<u32> {
        self.table
            .find(id.hash, |&slot| self.entry(slot).is_some_and(|entry| entry.is(id)))
            .copied()
    }

    fn entry(&self, slot: u32) -> Option<&Entry> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn load(
        &self,
        id: &Hashed<'_>,
        attempt: Option<AttemptId>,
        now: Timestamp,
        around: &Surroundings,
    ) -> Loaded<Bytes> {
        let entry = self.find(id).and_then(|slot| self.entry(slot)).map(|entry| LoadedEntry {
            view: entry.view,
            bytes: entry.held.clone(),
            charge: entry.charge,
        });
        Loaded {
            version: entry.as_ref().map_or(self.absence, |entry| entry.view.version),
            entry,
            watched: self.is_watched(id.hash),
            attempt_ended: attempt
                .is_some_and(|attempt| around.attempts.contains(id, attempt, now)),
        }
    }

    fn is_watched(&self, hash: u64) -> bool {
        // Mostly nobody waits at all: one look at an empty map.
        !self.watched.is_empty() && self.watched.contains_key(&hash)
    }

    pub(super) fn watch(&mut self, id: &Hashed<'_>, version: u64) -> Result<(), Stale> {
        let entry = self.find(id).and_then(|slot| self.entry(slot));
        if entry.map_or(self.absence, |entry| entry.view.version) != version {
            return Err(Stale);
        }
        *self.watched.entry(id.hash).or_default() += 1;
        Ok(())
    }

    pub(super) fn unwatch(&mut self, hash: u64) {
        if let Some(count) = self.watched.get_mut(&hash) {
            *count -= 1;
            if *count == 0 {
                self.watched.remove(&hash);
            }
        }
    }

    pub(super) fn commit(
        &mut self,
        id: &Hashed<'_>,
        version: u64,
        access: Access,
        change: Change<'_>,
        around: &Surroundings,
    ) -> Result<Option<Unfinished>, Stale> {
        if access == Access::Free && self.is_watched(id.hash) {
            return Err(Stale);
        }
        let found = self.find(id);
        let entry = found.and_then(|slot| self.entry(slot));
        if entry.map_or(self.absence, |entry| entry.view.version) != version {
            return Err(Stale);
        }
        match change {
            Change::Insert { view, charge, quota } => {
                let due = found.and_then(|slot| self.take(slot));
                around.counters.came(view);
                self.insert(id, *view, charge, quota, around);
                return Ok(due.and_then(|due| around.ended(due)));
            }
            Change::Update { view } => {
                let (entry, version) = self.at_next_version(found)?;
                around.counters.changed(&entry.view, view);
                entry.view = View { version, ..*view };
            }
            Change::Checkpoint { view, bytes, charge } => {
                self.replace(found, *view, Bytes::Checkpoint(bytes.into()), charge, around)?;
            }
            Change::Complete { view, offered, stored, room } => {
                let payload = Arc::new(Payload::new(offered, stored));
                let before = found.and_then(|slot| self.slots.get(slot as usize)?.as_ref());
                let charge = before.ok_or(Stale)?.charge.completed(stored);
                self.replace(found, *view, Bytes::Result(payload), charge, around)?;
                around.budget.release(room.saturating_sub(charge.total()));
            }
            Change::InsertCompleted { view, stored, digest, room, quota } => {
                if found.is_some() {
                    return Err(Stale);
                }
                let entry = ENTRY_BYTES + id.identity.size() as u64;
                let charge = Charge { entry, ..Charge::default() }.completed(stored);
                around.counters.came(view);
                self.insert(id, *view, charge, quota, around);
                let slot = self.find(id).ok_or(Stale)?;
                if let Some(entry) = self.slots[slot as usize].as_mut() {
                    entry.held = Bytes::Result(Arc::new(Payload::again(stored, digest)));
                }
                around.budget.release(room.saturating_sub(charge.total()));
            }
            Change::Remove { remembered_until, now } => {
                let entry = found.and_then(|slot| self.take(slot)).ok_or(Stale)?;
                let (attempt, most) = (entry.view.attempt_id, around.attempts_max);
                around.released(entry);
                let change = around.attempts.remember(id, attempt, remembered_until, now, most);
                around.remembered(&change);
            }
        }
        Ok(None)
    }

    fn replace(
        &mut self,
        found: Option<u32>,
        view: View,
        held: Bytes,
        charge: Charge,
        around: &Surroundings,
    ) -> Result<(), Stale> {
        let (entry, version) = self.at_next_version(found)?;
        around.counters.changed(&entry.view, &view);
        entry.view = View { version, ..view };
        entry.held = held;
        entry.charge = charge;
        Ok(())
    }

    fn at_next_version(&mut self, slot: Option<u32>) -> Result<(&mut Entry, u64), Stale> {
        self.version += 1;
        let entry = slot.and_then(|slot| self.slots.get_mut(slot as usize)?.as_mut());
        entry.map(|entry| (entry, self.version)).ok_or(Stale)
    }

    fn insert(
        &mut self,
        id: &Hashed<'_>,
        view: View,
        charge: Charge,
        quota: Option<u32>,
        around: &Surroundings,
    ) {
        self.version += 1;
        let entry = Entry {
            hash: id.hash,
            namespace: around.namespaces.intern(id.identity.namespace()),
            scoped_key: id.identity.scoped_key().to_owned(),
            view: View { version: self.version, ..view },
            held: Bytes::Nothing,
            charge,
            quota,
        };
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
        };
        self.slots[slot as usize] = Some(entry);
        let slots = &self.slots;
        self.table.insert_unique(id.hash, slot, |&slot| {
            slots[slot as usize].as_ref().map_or(0, |entry| entry.hash)
        });
        self.wheel.insert(slot, view.expires_at.as_millis());
    }

    /// Takes an entry out of table, slots and wheel.
    fn take(&mut self, slot: u32) -> Option<Entry> {
        let entry = self.slots.get_mut(slot as usize)?.take()?;
        if let Ok(found) = self.table.find_entry(entry.hash, |&other| other == slot) {
            found.remove();
        }
        self.wheel.remove(slot);
        self.free.push(slot);
        self.version += 1;
        self.absence = self.version;
        Some(entry)
    }

    /// Frees what is due, and adds what of it was unfinished.
    pub(super) fn reclaim(
        &mut self,
        now: Timestamp,
        steps: &mut usize,
        around: &Surroundings,
        unfinished: &mut Vec<Unfinished>,
    ) {
        while let Some(slot) = self.wheel.pop_due(now.as_millis(), steps) {
            if let Some(entry) = self.take(slot) {
                unfinished.extend(around.ended(entry));
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.wheel.next_deadline().map(Timestamp::from_millis)
    }

    pub(super) fn next_room(&self) -> Option<Timestamp> {
        self.wheel.first_instant().map(Timestamp::from_millis)
    }

    /// Visits entries from `slot` on; where to go on in this shard, or `None` at its end.
    pub(super) fn page(
        &self,
        slot: usize,
        steps: &mut usize,
        visit: &mut dyn FnMut(Identity<'_>, &View) -> bool,
    ) -> Option<usize> {
        for (index, entry) in self.slots.iter().enumerate().skip(slot) {
            if *steps == 0 {
                return Some(index);
            }
            *steps -= 1;
            let Some(entry) = entry else { continue };
            let Ok(namespace) = Namespace::new(&entry.namespace) else { continue };
            if !visit(entry.scoped_key.as_ref().within(namespace), &entry.view) {
                return Some(index);
            }
        }
        None
    }
}

impl Surroundings {
    /// An entry is gone: its room and its place in the quota are free.
    fn released(&self, entry: Entry) {
        self.counters.went(&entry.view);
        self.budget.release(entry.charge.total());
        self.namespaces.leave(entry.quota);
        self.namespaces.release(entry.namespace);
    }

    /// An entry is gone because its retention has ended.
    fn ended(&self, entry: Entry) -> Option<Unfinished> {
        self.counters.expired.one_more();
        let state = entry.view.state_name();
        let unfinished = (state != StateName::Completed).then(|| {
            self.counters.expired_unfinished.one_more();
            let namespace = (*entry.namespace).into();
            Unfinished { namespace, key_hash: entry.hash as u32, state }
        });
        self.released(entry);
        unfinished
    }

    pub(super) fn remembered(&self, change: &Remembered) {
        if *change == Remembered::default() {
            return;
        }
        self.counters.attempts_remembered.add(change.added);
        self.counters.attempts_remembered.less(change.dropped);
        self.counters.attempts_forgotten_early.add(change.dropped_early);
        self.budget.charge(change.added * ATTEMPT_BYTES);
        self.budget.release(change.dropped * ATTEMPT_BYTES);
    }
}
