//! `scc`: a table with a lock for each bucket.

use onceward_bench::engine::{Fault, Request, System};
use scc::HashMap;

use super::RivalSettings;
use super::held::{Held, absent, expect_new};

pub(crate) struct Scc(HashMap<Box<[u8]>, Held<Box<[u8]>>>);

impl Scc {
    pub(crate) fn new(settings: RivalSettings) -> Self {
        Self(HashMap::with_capacity(settings.capacity()))
    }
}

impl System for Scc {
    type Token = ();

    fn begin(&self, request: &Request) -> Result<(), Fault> {
        let key = Box::from(&request.key[..]);
        expect_new(self.0.insert_sync(key, Held::pending(request.number)).err())
    }

    fn complete(&self, request: &Request, (): (), value: &[u8]) -> Result<(), Fault> {
        let done = Held::Done(Box::from(value));
        self.0.update_sync(&request.key[..], |_, held| *held = done).ok_or_else(absent)
    }

    fn replay(&self, request: &Request, into: &mut Vec<u8>) -> Result<(), Fault> {
        self.0.read_sync(&request.key[..], |_, held| held.copy_into(into)).ok_or_else(absent)?
    }

    fn duplicate(&self, request: &Request) -> Result<(), Fault> {
        self.0.read_sync(&request.key[..], |_, held| held.expect_pending()).ok_or_else(absent)?
    }
}
