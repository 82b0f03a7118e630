//! The plain storage: shards of owned entries, each under one short lock.
//!
//! Simple enough to be believed, so that it can be the oracle of faster storages. Locks are
//! leaves: nothing is called while one is held but the visitor of [`Storage::page`].

mod shard;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use onceward_core::lifecycle::View;
use onceward_core::{AttemptId, Fingerprint, Identity, ResultRef, Timestamp};
use parking_lot::Mutex;

use crate::attempts::EndedAttempts;
use crate::budget::Budget;
use crate::counters::Counters;
use crate::hash_key::HashKey;
use crate::namespaces::Namespaces;
use crate::storage::{
    Access, Change, Hashed, Held, Loaded, LoadedEntry, Payload, Stale, Storage, Uncommitted,
};
use crate::unfinished::Unfinished;
use shard::{ENTRY_BYTES, Shard, Surroundings};

/// What is seen here is shared or copied: nothing needs to be kept from being reused.
pub(crate) struct NoPin;

/// The bytes of one version, shared with it.
#[derive(Clone)]
pub(crate) enum Bytes {
    Nothing,
    Checkpoint(Arc<[u8]>),
    Result(Arc<Payload>),
}

/// Entries looked at while one page holds a shard's lock, and at most per page.
const PAGE_STEPS_MAX: usize = 10_000;

pub(crate) struct Plain {
    /// Invariant: not empty, length a power of two; which shard holds an identity depends only on
    /// its hash.
    shards: Box<[Mutex<Shard>]>,
    /// SipHash-1-3 under a random key: strangers choose the keys.
    hash_key: HashKey,
    /// Where the next reclaim starts, so that no shard is starved by a small budget.
    turn: AtomicUsize,
    around: Surroundings,
}

impl Plain {
    /// Remembers about `attempts_max` ended attempts.
    pub(crate) fn new(
        shards: usize,
        hash_key: HashKey,
        attempts_max: usize,
        budget: Arc<Budget>,
        counters: Arc<Counters>,
        namespaces: Arc<Namespaces>,
        now: Timestamp,
    ) -> Self {
        let count = shards.max(1).next_power_of_two();
        let attempts = EndedAttempts::default();
        Self {
            shards: (0..count).map(|_| Mutex::new(Shard::new(now))).collect(),
            hash_key,
            turn: AtomicUsize::new(0),
            around: Surroundings { budget, counters, namespaces, attempts, attempts_max },
        }
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        // The table inside a shard uses the low bits and the top seven; these are in between.
        let index = (hash >> 32) as usize & (self.shards.len() - 1);
        &self.shards[index]
    }
}

impl Storage for Plain {
    type Pin<'a> = NoPin;
    type Bytes = Bytes;
    type Found = ();

    fn pin(&self) -> NoPin {
        NoPin
    }

    fn hashed<'a>(&self, identity: Identity<'a>) -> Hashed<'a> {
        Hashed::new(&self.hash_key, &self.around.namespaces, identity)
    }

    fn find(&self, _: &NoPin, _: &Hashed<'_>) {}

    fn load_found(
        &self,
        _: &NoPin,
        id: &Hashed<'_>,
        (): (),
        attempt: Option<AttemptId>,
        now: Timestamp,
    ) -> Loaded<Bytes> {
        self.shard(id.hash).lock().load(id, attempt, now, &self.around)
    }

    fn held(&self, _: &NoPin, entry: &LoadedEntry<Bytes>) -> Option<Held> {
        Some(match &entry.bytes {
            Bytes::Nothing => Held::Nothing,
            Bytes::Checkpoint(bytes) => Held::Checkpoint(Arc::clone(bytes)),
            Bytes::Result(payload) => Held::Result(Arc::clone(payload)),
        })
    }

    fn is_stored(&self, _: &NoPin, entry: &LoadedEntry<Bytes>, offered: &ResultRef<'_>) -> bool {
        matches!(&entry.bytes, Bytes::Result(payload) if payload.is(offered))
    }

    fn entry_bytes(&self, id: &Hashed<'_>, _fingerprint: Fingerprint) -> u64 {
        ENTRY_BYTES + id.identity.size() as u64
    }

    fn commit(
        &self,
        _: &NoPin,
        id: &Hashed<'_>,
        version: u64,
        access: Access,
        change: Change<'_>,
    ) -> Result<(), Uncommitted> {
        let done = self.shard(id.hash).lock().commit(id, version, access, change, &self.around);
        if let Some(unfinished) = done? {
            unfinished.log();
        }
        Ok(())
    }

    fn remember_ended(
        &self,
        id: &Hashed<'_>,
        attempt: AttemptId,
        until: Timestamp,
        now: Timestamp,
    ) {
        let (attempts, most) = (&self.around.attempts, self.around.attempts_max);
        self.around.remembered(&attempts.remember(id, attempt, until, now, most));
    }

    fn watch(&self, _: &NoPin, id: &Hashed<'_>, version: u64) -> Result<(), Stale> {
        self.shard(id.hash).lock().watch(id, version)
    }

    fn unwatch(&self, id: &Hashed<'_>) {
        self.shard(id.hash).lock().unwatch(id.hash);
    }

    fn reclaim(&self, now: Timestamp, steps: &mut usize) {
        self.around.remembered(&self.around.attempts.forget_due(now, steps));
        let first = self.turn.fetch_add(1, Relaxed);
        for offset in 0..self.shards.len() {
            if *steps == 0 {
                return;
            }
            let index = first.wrapping_add(offset) & (self.shards.len() - 1);
            let mut unfinished = Vec::new();
            self.shards[index].lock().reclaim(now, steps, &self.around, &mut unfinished);
            unfinished.iter().for_each(Unfinished::log);
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let expiries = self.shards.iter().filter_map(|shard| shard.lock().next_deadline());
        expiries.chain(self.around.attempts.next_deadline()).min()
    }

    fn next_room(&self) -> Option<Timestamp> {
        let entries = self.shards.iter().filter_map(|shard| shard.lock().next_room()).min();
        // Attempts hold little; they are what there is to wait for where there are no entries.
        entries.or_else(|| self.around.attempts.next_deadline())
    }

    /// The cursor is shard and slot, 32 bits each, of the first entry not yet visited.
    fn page(&self, cursor: u64, visit: &mut dyn FnMut(Identity<'_>, &View) -> bool) -> Option<u64> {
        let (mut shard, mut slot) = ((cursor >> 32) as usize, cursor as u32 as usize);
        let mut steps = PAGE_STEPS_MAX;
        while shard < self.shards.len() {
            if let Some(next) = self.shards[shard].lock().page(slot, &mut steps, visit) {
                return Some((shard as u64) << 32 | next as u64);
            }
            (shard, slot) = (shard + 1, 0);
        }
        None
    }
}

#[cfg(test)]
mod tests;
