//! The store: reads the clock, checks limits, lets the engine act, and answers into the caller's
//! sink.

mod batch;
mod inspection;
mod operations;
mod restoring;
mod waiting;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use onceward_core::{
    Begin, BeginOutcome, Clock, GetOutcome, IdentityBuf, Limits, Replay, Timestamp,
};

use crate::answer::{Answer, StoreError};
use crate::budget::Budget;
use crate::clock::wall_clock_ms;
use crate::config::{FENCE_FLOOR_MAX, StartError, StoreConfig};
use crate::counters::Counters;
use crate::deadline::EarlierDeadline;
use crate::engine::{Acted, Effect, Engine, Judged, Look, Withheld};
use crate::facts::FactLog;
use crate::journaled::Journaled;
use crate::namespaces::Namespaces;
#[cfg(feature = "planted-bugs")]
use crate::planted::{Bug, planted};
use crate::result_copy::ResultBody;
use crate::storage::{Access, Chosen, Hashed, Storage};
use crate::waits::Waits;
use batch::tell_apart;
pub use batch::{Batch, Prepared};
pub use restoring::RestoreError;

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
    /// Of the last tick.
    #[cfg(feature = "planted-bugs")]
    ticked_at: AtomicU64,
    /// Restored identities whose leases are armed once the store is ready.
    to_arm: parking_lot::Mutex<Vec<IdentityBuf>>,
}

impl Store {
    /// Sets a store up. Reserves addresses, and takes memory as it is used.
    ///
    /// # Errors
    /// [`StartError`] names the setting at fault.
    pub fn new(config: StoreConfig, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        if config.needs_journal() {
            return Err(StartError::NoJournal);
        }
        Self::open(config, clock, None)
    }

    /// Sets a store up whose facts are kept by `journal`, at each namespace's level. What it kept
    /// before comes back by [`Store::restore`], before the first request.
    ///
    /// # Errors
    /// [`StartError`] names the setting at fault.
    pub fn with_journal(
        config: StoreConfig,
        clock: Arc<dyn Clock>,
        journal: Arc<dyn FactLog>,
    ) -> Result<Self, StartError> {
        Self::open(config, clock, Some(journal))
    }

    fn open(
        config: StoreConfig,
        clock: Arc<dyn Clock>,
        journal: Option<Arc<dyn FactLog>>,
    ) -> Result<Self, StartError> {
        config.check()?;
        let (now, wall_ms) = (clock.now(), wall_clock_ms());
        let budget = Arc::new(Budget::new(config.memory_bytes, taken(&config)));
        let counters = Arc::<Counters>::default();
        let namespaces = Arc::new(Namespaces::new(&config.namespaces));
        let storage = open_storage(&config, &budget, &counters, &namespaces, now)?;
        // Without a data directory only the wall clock keeps fences growing (S22). A journal's floor
        // has it in already, and its ceiling lies where its own reading put it.
        let by_wall_clock = wall_ms.checked_mul(1 << 20).filter(|&fence| fence <= FENCE_FLOOR_MAX);
        let by_wall_clock = by_wall_clock.filter(|_| journal.is_none()).unwrap_or(1);
        let first_fence = config.fence_floor.max(by_wall_clock).max(1);
        let engine = Engine {
            storage,
            limits: config.limits,
            counters,
            budget,
            namespaces,
            fences: AtomicU64::new(first_fence),
            journal: journal.map(Journaled::new),
            durability: config.durability,
        };
        let earlier = Arc::new(EarlierDeadline::new());
        let inner = Inner {
            engine,
            waits: Waits::new(Arc::clone(&earlier)),
            clock,
            closed: AtomicBool::new(false),
            earlier,
            boot_epoch: config.boot_epoch.unwrap_or(wall_ms),
            #[cfg(feature = "planted-bugs")]
            ticked_at: AtomicU64::new(now.as_millis()),
            to_arm: parking_lot::Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Does what is due at `now`: ends of leases and waits that somebody waits for, then
    /// reclaiming, at most `budget` entries and waiters, except that a queue of waiters is judged
    /// whole. Says when to call again at the latest; `now` itself if the budget ran out, `None`
    /// if nothing will fall due by itself (S21).
    pub fn tick(&self, now: Timestamp, budget: usize) -> Option<Timestamp> {
        let Inner { engine, waits, earlier, .. } = &*self.inner;
        #[cfg(feature = "planted-bugs")]
        self.inner.ticked_at.store(now.as_millis(), Ordering::Relaxed);
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
        self.inner.now()
    }

    /// Which life of the store this is. Without a data directory each start is a new one (S22).
    #[must_use]
    pub fn boot_epoch(&self) -> u64 {
        self.inner.boot_epoch
    }

    /// Who keeps facts, if anybody does.
    #[must_use]
    pub fn journal(&self) -> Option<&Arc<dyn FactLog>> {
        self.inner.engine.journal.as_ref().map(|journal| &journal.log)
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
        hash_key: config.hash_key,
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
        crate::hash_key::HashKey::of(config.hash_key),
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
    /// The present instant, read now: it may grant time (S15).
    #[inline]
    fn now(&self) -> Timestamp {
        #[cfg(feature = "planted-bugs")]
        if planted(Bug::LeaseGrantedFromCachedTime) {
            return Timestamp::from_millis(self.ticked_at.load(Ordering::Relaxed));
        }
        self.clock.now()
    }

    #[inline]
    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::Unavailable) } else { Ok(()) }
    }

    /// Judges a begin, counts it, and gives the answer to the sink.
    #[inline(always)]
    fn begin<T>(
        &self,
        id: &Hashed<'_>,
        request: &Begin,
        now: Timestamp,
        sink: impl FnOnce(BeginOutcome<&[u8]>) -> T,
    ) -> Result<Answer<T>, StoreError> {
        let tell = |answer: Answer<BeginOutcome<&[u8]>>| Answer {
            value: sink(answer.value),
            position: answer.position,
        };
        self.begin_apart(id, request, now, usize::MAX, tell).map(|(told, _)| told)
    }

    /// As [`Inner::begin`], of the whole answer; also gives the body of a replay that has at least
    /// `apart_from` bytes.
    #[cfg_attr(
        feature = "plain-storage",
        expect(
            clippy::drop_non_drop,
            reason = "a look at the lock-free storage holds its readers' pin"
        )
    )]
    #[inline(always)]
    fn begin_apart<T>(
        &self,
        id: &Hashed<'_>,
        request: &Begin,
        now: Timestamp,
        apart_from: usize,
        tell: impl FnOnce(Answer<BeginOutcome<&[u8]>>) -> T,
    ) -> Result<(T, Option<ResultBody>), StoreError> {
        self.check_begin(request)?;
        let engine = &self.engine;
        let look = engine.look(id);
        if let Some((replay, copy)) = engine.replay(id, request, now, &look) {
            drop(look);
            engine.counters.begin_replay.one_more();
            let position = engine.replay_rests_on(id, now);
            let Replay { age, attempt_number, retention_left, .. } = replay;
            let replay = Replay { result: copy.as_result(), age, attempt_number, retention_left };
            let told = tell(Answer { value: BeginOutcome::Replay(replay), position });
            return Ok((told, ResultBody::of_copy(copy, apart_from)));
        }
        let judged = self.judge_begin_from(id, request, now, look)?;
        engine.counters.began(&judged.outcome, judged.effect);
        let position = engine.begin_rests_on(id, &judged, now);
        Ok(tell_apart(judged, apart_from, |value| tell(Answer { value, position })))
    }

    #[inline(always)]
    fn check_begin(&self, request: &Begin) -> Result<(), StoreError> {
        request.check(&self.engine.limits)?;
        self.check_open()
    }

    /// Judges a begin without counting it.
    #[inline(always)]
    fn judge_begin(
        &self,
        id: &Hashed<'_>,
        request: &Begin,
        now: Timestamp,
    ) -> Result<Judged<BeginOutcome<()>>, StoreError> {
        self.check_begin(request)?;
        self.judge_begin_from(id, request, now, self.engine.look(id))
    }

    /// Likewise, of a request that is checked, from a first look on.
    #[inline(always)]
    fn judge_begin_from<'s>(
        &'s self,
        id: &Hashed<'_>,
        request: &Begin,
        now: Timestamp,
        look: Look<'s, Chosen>,
    ) -> Result<Judged<BeginOutcome<()>>, StoreError> {
        let watched = || self.begin_exclusively(id, request, now);
        let judged = self.engine.begin(id, request, Access::Free, now, look, watched);
        if judged.effect == Effect::Halted {
            return Err(StoreError::Halted);
        }
        self.announce(judged.effect);
        Ok(judged)
    }

    #[cold]
    fn begin_exclusively(
        &self,
        id: &Hashed<'_>,
        request: &Begin,
        now: Timestamp,
    ) -> Judged<BeginOutcome<()>> {
        self.waits.exclusively(&self.engine, id, now, |_| {
            let judged = self.engine.begin_exclusively(id, request, now);
            let effect = judged.effect;
            (judged, effect)
        })
    }

    fn judge_get(
        &self,
        id: &Hashed<'_>,
        now: Timestamp,
    ) -> Result<Judged<GetOutcome<()>>, StoreError> {
        self.check_open()?;
        Ok(match self.engine.get(id, Access::Free, now) {
            Ok(judged) => judged,
            // A look makes no fact: it is withheld for those who wait alone.
            Err(Withheld::Watched | Withheld::Halted) => {
                self.waits.exclusively(&self.engine, id, now, |_| {
                    (self.engine.get_exclusively(id, now), Effect::None)
                })
            }
        })
    }

    /// One operation without bytes in its answer, under the waits' lock where somebody waits.
    #[inline(always)]
    fn act<O: Copy>(
        &self,
        id: &Hashed<'_>,
        now: Timestamp,
        operate: impl Fn(Access) -> Acted<O>,
    ) -> Result<Answer<O>, StoreError> {
        self.check_open()?;
        let value = match operate(Access::Free) {
            Ok((outcome, effect)) => {
                self.announce(effect);
                outcome
            }
            Err(Withheld::Watched) => self.act_exclusively(id, now, operate)?,
            Err(Withheld::Halted) => return Err(StoreError::Halted),
        };
        Ok(Answer { value, position: self.engine.rests_on(id, now) })
    }

    #[cold]
    fn act_exclusively<O: Copy>(
        &self,
        id: &Hashed<'_>,
        now: Timestamp,
        operate: impl Fn(Access) -> Acted<O>,
    ) -> Result<O, StoreError> {
        let acted = self.waits.exclusively(&self.engine, id, now, |access| {
            let acted = operate(access);
            let effect = acted.as_ref().map_or(Effect::None, |(_, effect)| *effect);
            (acted, effect)
        });
        acted.map(|(outcome, _)| outcome).map_err(|why| match why {
            // Exclusive access is never told that the identity is watched.
            Withheld::Watched => StoreError::Unavailable,
            Withheld::Halted => StoreError::Halted,
        })
    }

    /// What falls due by what was done. What is done under the waits' lock they announce too: twice
    /// does no harm.
    #[inline]
    fn announce(&self, effect: Effect) {
        match effect {
            // The commit in the index was an exchange.
            Effect::Acquired { expires_at } => self.earlier.announce_exchanged(expires_at),
            effect => {
                if let Some(at) = effect.due() {
                    self.earlier.announce(at);
                }
            }
        }
    }
}
