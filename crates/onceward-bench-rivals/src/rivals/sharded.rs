//! Mutexes over `hashbrown` tables: what one writes first.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashMap;
use onceward_bench::engine::{Fault, Request, System};
use parking_lot::{Mutex, MutexGuard};

use super::RivalSettings;
use super::held::{Held, absent, expect_new};

const SHARDS: usize = 64;

type Shard = HashMap<Box<[u8]>, Held<Box<[u8]>>, RandomState>;

pub(crate) struct Sharded {
    choice: RandomState,
    shards: Box<[Mutex<Shard>]>,
}

impl Sharded {
    pub(crate) fn new(settings: RivalSettings) -> Self {
        // An eighth more, since shards do not fill evenly.
        let capacity = settings.capacity() / SHARDS * 9 / 8;
        let choice = RandomState::new();
        let shard = || Mutex::new(HashMap::with_capacity_and_hasher(capacity, choice.clone()));
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), choice }
    }

    /// Hashes twice, here and in the shard: the price of plain tables behind a choice of shard.
    fn shard(&self, request: &Request) -> MutexGuard<'_, Shard> {
        let hash = self.choice.hash_one(&request.key[..]);
        // Not the top bits, which the table has for its tags, nor the low ones, its places.
        self.shards[(hash >> 48) as usize % SHARDS].lock()
    }
}

impl System for Sharded {
    type Token = ();

    fn begin(&self, request: &Request) -> Result<(), Fault> {
        let key = Box::from(&request.key[..]);
        expect_new(self.shard(request).insert(key, Held::pending(request.number)))
    }

    fn complete(&self, request: &Request, (): (), value: &[u8]) -> Result<(), Fault> {
        let done = Held::Done(Box::from(value));
        *self.shard(request).get_mut(&request.key[..]).ok_or_else(absent)? = done;
        Ok(())
    }

    fn replay(&self, request: &Request, into: &mut Vec<u8>) -> Result<(), Fault> {
        self.shard(request).get(&request.key[..]).ok_or_else(absent)?.copy_into(into)
    }

    fn duplicate(&self, request: &Request) -> Result<(), Fault> {
        self.shard(request).get(&request.key[..]).ok_or_else(absent)?.expect_pending()
    }
}
