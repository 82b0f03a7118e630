//! `quick_cache`: a cache that bounds itself, with its bound out of reach here.

use std::hash::RandomState;
use std::sync::Arc;

use onceward_bench::engine::{Fault, Request, System};
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::RivalSettings;
use super::held::{Held, absent};

type Map = Cache<Box<[u8]>, Held<Arc<[u8]>>, UnitWeighter, RandomState>;

pub(crate) struct Quick(Map);

impl Quick {
    pub(crate) fn new(settings: RivalSettings) -> Self {
        let bound = settings.entries * 4;
        Self(Cache::with(
            settings.capacity(),
            bound,
            UnitWeighter,
            RandomState::new(),
            DefaultLifecycle::default(),
        ))
    }
}

impl System for Quick {
    type Token = ();

    fn begin(&self, request: &Request) -> Result<(), Fault> {
        self.0.insert(Box::from(&request.key[..]), Held::pending(request.number));
        Ok(())
    }

    fn complete(&self, request: &Request, (): (), value: &[u8]) -> Result<(), Fault> {
        self.0.insert(Box::from(&request.key[..]), Held::Done(Arc::from(value)));
        Ok(())
    }

    fn replay(&self, request: &Request, into: &mut Vec<u8>) -> Result<(), Fault> {
        self.0.get(&request.key[..]).ok_or_else(absent)?.copy_into(into)
    }

    fn duplicate(&self, request: &Request) -> Result<(), Fault> {
        self.0.get(&request.key[..]).ok_or_else(absent)?.expect_pending()
    }
}
