//! `moka`: a cache that expires by time and bounds itself, with its bound out of reach here.

use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use onceward_bench::engine::{Fault, Request, System};

use super::RivalSettings;
use super::held::{Held, absent};

/// As long as our retention.
const TIME_TO_LIVE: Duration = Duration::from_secs(24 * 3_600);

pub(crate) struct Moka(Cache<Box<[u8]>, Held<Arc<[u8]>>>);

impl Moka {
    pub(crate) fn new(settings: RivalSettings) -> Self {
        let cache = Cache::builder()
            .max_capacity(settings.entries * 4)
            .initial_capacity(settings.capacity())
            .time_to_live(TIME_TO_LIVE);
        Self(cache.build_with_hasher(RandomState::new()))
    }
}

impl System for Moka {
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
