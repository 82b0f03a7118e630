//! `papaya`: a table without locks; an update writes a new entry, with a key of its own.

use onceward_bench::engine::{Fault, Request, System};
use papaya::HashMap;

use super::RivalSettings;
use super::held::{Held, absent, expect_new};

pub(crate) struct Papaya(HashMap<Box<[u8]>, Held<Box<[u8]>>>);

impl Papaya {
    pub(crate) fn new(settings: RivalSettings) -> Self {
        Self(HashMap::builder().capacity(settings.capacity()).build())
    }
}

impl System for Papaya {
    type Token = ();

    fn begin(&self, request: &Request) -> Result<(), Fault> {
        let map = self.0.pin();
        expect_new(map.insert(Box::from(&request.key[..]), Held::pending(request.number)))
    }

    fn complete(&self, request: &Request, (): (), value: &[u8]) -> Result<(), Fault> {
        let map = self.0.pin();
        let done = |_: &Held<_>| Held::Done(Box::from(value));
        map.update(Box::from(&request.key[..]), done).map(drop).ok_or_else(absent)
    }

    fn replay(&self, request: &Request, into: &mut Vec<u8>) -> Result<(), Fault> {
        self.0.pin().get(&request.key[..]).ok_or_else(absent)?.copy_into(into)
    }

    fn duplicate(&self, request: &Request) -> Result<(), Fault> {
        self.0.pin().get(&request.key[..]).ok_or_else(absent)?.expect_pending()
    }
}
