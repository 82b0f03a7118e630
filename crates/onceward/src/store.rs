//! The store: reads the clock, checks limits, lets the engine act, and answers into the caller's
//! sink.

mod inspection;
mod operations;
mod waiting;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use onceward_core::{Begin, BeginOutcome, Clock, GetOutcome, Identity, Limits, Timestamp};

use crate::answer::StoreError;
use crate::budget::Budget;
use crate::clock::wall_clock_ms;
use crate::config::{FENCE_FLOOR_MAX, StartError, StoreConfig};
use crate::counters::Counters;
use crate::deadline::EarlierDeadline;
use crate::engine::{Effect, Engine, Judged, Watched};
use crate::namespaces::Namespaces;
use crate::storage::{Access, Chosen, Hashed, Storage};
use crate::waits::Waits;

/// An idempotency store in this process's memory. Cheap to clone; every clone is the same store.
///
/// All operations may be called from any thread. None waits for another but by a short lock of the
/// identity's own, while somebody waits for that identity.
/// Somebody must call [`Store::tick`]: [`Ticker`](crate::Ticker) does, or your own loop. Without
/// it answers stay right, since ends are judged on access, but waiters are not woken at the end
/// of a lease and memory is not reclaimed.
///
/// Operations that may carry bytes take a sink: a closure that gets the outcome with its bytes
/// borrowed from the store, so that a replay needs no owned buffer. It is called once, outside
/// every lock, and may call the store.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) waits: Waits,
    clock: Arc<dyn Clock>,
    closed: AtomicBool,
    earlier: Arc<EarlierDeadline>,
    boot_epoch: u64,
}

impl Store {
    /// Sets a store up. Reserves addresses, and takes memory as it is used.
    ///
    /// # Errors
    /// [`StartError`] names the setting at fault.
    pub fn new(config: StoreConfig, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        config.check()?;
        let wall_ms = wall_clock_ms();
        let budget = Arc::new(Budget::new(config.memory_bytes, taken(&config)));
        let counters = Arc::<Counters>::default();
        let namespaces = Arc::new(Namespaces::new(&config.namespaces));
        let storage = open_storage(&config, &budget, &counters, &namespaces, clock.now())?;
        // Without a data directory only the wall clock keeps fences growing (S22).
        let by_wall_clock = wall_ms.checked_mul(1 << 20).filter(|&fence| fence <= FENCE_FLOOR_MAX);
        let first_fence = config.fence_floor.max(by_wall_clock.unwrap_or(1)).max(1);
        let engine = Engine {
            storage,
            limits: config.limits,
            counters,
            budget,
            namespaces,
            fences: AtomicU64::new(first_fence),
        };
        let earlier = Arc::new(EarlierDeadline::new());
        let inner = Inner {
            engine,
            waits: Waits::new(Arc::clone(&earlier)),
            clock,
            closed: AtomicBool::new(false),
            earlier,
            boot_epoch: wall_ms,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Does what is due at `now`: ends of leases and waits that somebody waits for, then
    /// reclaiming, at most `budget` entries and waiters, except that a queue of waiters is judged
    /// whole. Says when to call again at the latest; `now` itself if the budget ran out, `None`
    /// if nothing will fall due by itself (S21).
    pub fn tick(&self, now: Timestamp, budget: usize) -> Option<Timestamp> {
        let Inner { engine, waits, earlier, .. } = &*self.inner;
        earlier.gather();
        let mut steps = budget;
        waits.run_due(engine, now, &mut steps);
        engine.storage.reclaim(now, &mut steps);
        if steps == 0 {
            return earlier.promise(Some(now));
        }
        let next = waits.next_deadline(now).into_iter().chain(engine.storage.next_deadline()).min();
        earlier.promise(next)
    }

    /// Calls `hook` whenever something falls due earlier than the last [`Store::tick`] said; what
    /// comes up while a tick runs is in that tick's answer. One hook per store: the latest takes
    /// the place of the one before. It is called on any thread, outside every lock.
    pub fn on_earlier_deadline(&self, hook: Arc<dyn Fn() + Send + Sync>) {
        self.inner.earlier.set_hook(hook);
    }

    /// The present instant of the store's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Which life of the store this is. Without a data directory each start is a new one (S22).
    #[must_use]
    pub fn boot_epoch(&self) -> u64 {
        self.inner.boot_epoch
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.engine.limits
    }

    /// Answers every waiter with Unavailable, and every later operation (S17).
    pub fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
        self.inner.waits.close(&self.inner.engine);
    }
}

/// Bytes of the memory limit that the storage takes at the start.
fn taken(config: &StoreConfig) -> u64 {
    #[cfg(not(plain))]
    return crate::segments::index_bytes(config.memory_bytes, config.max_entries);
    #[cfg(plain)]
    {
        let _ = config;
        0
    }
}

#[cfg(not(plain))]
fn open_storage(
    config: &StoreConfig,
    budget: &Arc<Budget>,
    counters: &Arc<Counters>,
    namespaces: &Arc<Namespaces>,
    now: Timestamp,
) -> Result<Chosen, StartError> {
    let around = crate::segments::Surroundings {
        budget: Arc::clone(budget),
        counters: Arc::clone(counters),
        namespaces: Arc::clone(namespaces),
        attempts_max: config.attempts_max(),
        attempt_memory: config.limits.attempt_memory,
    };
    Chosen::new(config.max_entries, around, now)
        .map_err(|why| StartError::Addresses { why: why.to_string() })
}

#[cfg(plain)]
fn open_storage(
    config: &StoreConfig,
    budget: &Arc<Budget>,
    counters: &Arc<Counters>,
    namespaces: &Arc<Namespaces>,
    now: Timestamp,
) -> Result<Chosen, StartError> {
    Ok(Chosen::new(
        config.shards,
        config.attempts_max(),
        Arc::clone(budget),
        Arc::clone(counters),
        Arc::clone(namespaces),
        now,
    ))
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("boot_epoch", &self.inner.boot_epoch).finish_non_exhaustive()
    }
}

impl Inner {
    #[inline]
    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::Unavailable) } else { Ok(()) }
    }

    #[inline]
    fn begin(
        &self,
        identity: Identity<'_>,
        request: &Begin,
    ) -> Result<Judged<BeginOutcome<()>>, StoreError> {
        let id = self.engine.storage.hashed(identity);
        self.begin_hashed(&id, request, self.clock.now())
    }

    #[inline]
    fn begin_hashed(
        &self,
        id: &Hashed<'_>,
        request: &Begin,
        now: Timestamp,
    ) -> Result<Judged<BeginOutcome<()>>, StoreError> {
        request.check(&self.engine.limits)?;
        let judged = self.judge_begin(id, request, now)?;
        self.engine.counters.began(&judged.outcome, judged.effect);
        Ok(judged)
    }

    /// Fetches what looks at a batch of identities will touch.
    fn prefetched<'a>(&self, identities: impl Iterator<Item = Identity<'a>>) -> Vec<Hashed<'a>> {
        let storage = &self.engine.storage;
        let ids: Vec<_> = identities.map(|identity| storage.hashed(identity)).collect();
        storage.prefetch(&storage.pin(), &ids);
        ids
    }

    /// Judges a begin whose limits are checked, without counting it.
    #[inline]
    fn judge_begin(
        &self,
        id: &Hashed<'_>,
        request: &Begin,
        now: Timestamp,
    ) -> Result<Judged<BeginOutcome<()>>, StoreError> {
        self.check_open()?;
        Ok(match self.engine.begin(id, request, Access::Free, now) {
            Ok(judged) => self.announcing(judged),
            Err(Watched) => self.waits.exclusively(&self.engine, id, now, |_| {
                let judged = self.engine.begin_exclusively(id, request, now);
                let effect = judged.effect;
                (judged, effect)
            }),
        })
    }

    fn judge_get(&self, identity: Identity<'_>) -> Result<Judged<GetOutcome<()>>, StoreError> {
        self.check_open()?;
        let id = self.engine.storage.hashed(identity);
        let now = self.clock.now();
        Ok(match self.engine.get(&id, Access::Free, now) {
            Ok(judged) => judged,
            Err(Watched) => self.waits.exclusively(&self.engine, &id, now, |_| {
                (self.engine.get_exclusively(&id, now), Effect::None)
            }),
        })
    }

    /// One operation without bytes in its answer, under the waits' lock where somebody waits.
    #[inline]
    fn act<O: Copy>(
        &self,
        identity: Identity<'_>,
        operate: impl Fn(&Engine, &Hashed<'_>, Access, Timestamp) -> Result<Judged<O>, Watched>,
    ) -> Result<O, StoreError> {
        self.act_hashed(&self.engine.storage.hashed(identity), operate)
    }

    #[inline]
    fn act_hashed<O: Copy>(
        &self,
        id: &Hashed<'_>,
        operate: impl Fn(&Engine, &Hashed<'_>, Access, Timestamp) -> Result<Judged<O>, Watched>,
    ) -> Result<O, StoreError> {
        self.check_open()?;
        let now = self.clock.now();
        if let Ok(judged) = operate(&self.engine, id, Access::Free, now) {
            return Ok(self.announcing(judged).outcome);
        }
        let judged = self.waits.exclusively(&self.engine, id, now, |access| {
            let judged = operate(&self.engine, id, access, now);
            let effect = judged.as_ref().map_or(Effect::None, |judged| judged.effect);
            (judged, effect)
        });
        // Exclusive access is never told that the identity is watched.
        judged.map(|judged| judged.outcome).map_err(|Watched| StoreError::Unavailable)
    }

    /// What was done without the waits' lock; under it the waits announce what falls due.
    #[inline]
    fn announcing<O>(&self, judged: Judged<O>) -> Judged<O> {
        if let Some(at) = judged.effect.due() {
            self.earlier.announce(at);
        }
        judged
    }
}
