//! `dashmap`: shards, each a table under a read-write lock.

use dashmap::DashMap;
use onceward_bench::engine::{Fault, Request, System};

use super::RivalSettings;
use super::held::{Held, absent, expect_new};

pub(crate) struct Dashmap(DashMap<Box<[u8]>, Held<Box<[u8]>>>);

impl Dashmap {
    pub(crate) fn new(settings: RivalSettings) -> Self {
        Self(DashMap::with_capacity(settings.capacity()))
    }
}

impl System for Dashmap {
    type Token = ();

    fn begin(&self, request: &Request) -> Result<(), Fault> {
        expect_new(self.0.insert(Box::from(&request.key[..]), Held::pending(request.number)))
    }

    fn complete(&self, request: &Request, (): (), value: &[u8]) -> Result<(), Fault> {
        let mut held = self.0.get_mut(&request.key[..]).ok_or_else(absent)?;
        *held = Held::Done(Box::from(value));
        Ok(())
    }

    fn replay(&self, request: &Request, into: &mut Vec<u8>) -> Result<(), Fault> {
        self.0.get(&request.key[..]).ok_or_else(absent)?.copy_into(into)
    }

    fn duplicate(&self, request: &Request) -> Result<(), Fault> {
        self.0.get(&request.key[..]).ok_or_else(absent)?.expect_pending()
    }
}
