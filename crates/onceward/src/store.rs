//! The store: reads the clock, checks limits, lets the engine act, and answers into the caller's
//! sink.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use onceward_core::{
    Abandon, AbandonOutcome, Begin, BeginOutcome, CheckpointOutcome, Clock, Complete,
    CompleteOutcome, Forget, ForgetOutcome, Get, GetOutcome, Identity, Limits, ListEntry, ListPage,
    ListQuery, Namespace, PageCursor, Renew, RenewOutcome, Resolve, ResolveOutcome, SaveCheckpoint,
    Stats, Timestamp,
};

use crate::answer::{Answer, StoreError, Waitable};
use crate::budget::Budget;
use crate::clock::wall_clock_ms;
use crate::config::{StartError, StoreConfig};
use crate::counters::Counters;
use crate::deadline::EarlierDeadline;
use crate::engine::{Effect, Engine, Judged, Watched};
use crate::namespaces::Namespaces;
use crate::plain::Plain;
use crate::storage::{Access, Hashed, Held, Storage};
use crate::ticket::{BeginTicket, GetTicket};
use crate::waits::{Ask, Registered, Reply, WaiterName, Waits};

/// An idempotency store in this process's memory. Cheap to clone; every clone is the same store.
///
/// All operations may be called from any thread and none blocks for longer than a short lock.
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
    engine: Engine,
    waits: Waits,
    clock: Arc<dyn Clock>,
    closed: AtomicBool,
    earlier: EarlierDeadline,
    boot_epoch: u64,
}

impl Store {
    /// Sets a store up. Allocates little: memory is charged as it is used.
    ///
    /// # Errors
    /// [`StartError`] names the setting at fault.
    pub fn new(config: StoreConfig, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        config.check()?;
        let wall_ms = wall_clock_ms();
        let budget = Arc::new(Budget::new(config.memory_bytes));
        let counters = Arc::<Counters>::default();
        let namespaces = Arc::new(Namespaces::new(&config.namespaces));
        let storage = Plain::new(
            config.shards,
            &config.limits,
            Arc::clone(&budget),
            Arc::clone(&counters),
            Arc::clone(&namespaces),
            clock.now(),
        );
        // Without a data directory only the wall clock keeps fences growing (S22).
        let first_fence = config.fence_floor.max(wall_ms << 20).max(1);
        let engine = Engine {
            storage,
            limits: config.limits,
            counters,
            budget,
            namespaces,
            fences: AtomicU64::new(first_fence),
        };
        let inner = Inner {
            engine,
            waits: Waits::new(),
            clock,
            closed: AtomicBool::new(false),
            earlier: EarlierDeadline::new(),
            boot_epoch: wall_ms,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Asks to execute an identity once. Never waits: [`Begin::wait`] is not looked at.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn begin<T>(
        &self,
        identity: Identity<'_>,
        request: &Begin,
        sink: impl FnOnce(BeginOutcome<&[u8]>) -> T,
    ) -> Result<Answer<T>, StoreError> {
        let judged = self.inner.begin(identity, request)?;
        Ok(Answer::at_memory(sink(with_bytes(judged.outcome, &judged.held))))
    }

    /// Asks to execute an identity once, and waits out InProgress for up to [`Begin::wait`], cut
    /// to the limit (S10). `waker` is called once the ticket has its answer; the sink is then
    /// given to the ticket. An owner that was Acquired out of a wait renews before it starts.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn begin_or_wait<T>(
        &self,
        identity: Identity<'_>,
        request: &Begin,
        waker: &Waker,
        sink: impl FnOnce(BeginOutcome<&[u8]>) -> T,
    ) -> Result<Waitable<T, BeginTicket>, StoreError> {
        let inner = &self.inner;
        request.check(&inner.engine.limits)?;
        let judged = inner.judge_begin(identity, request)?;
        let waits =
            matches!(judged.outcome, BeginOutcome::InProgress { .. }) && request.wait.get() > 0;
        let judged = if waits {
            match inner.register(identity, Ask::Begin(*request), request.wait, waker)? {
                Placed::Waiting(name, slot) => {
                    return Ok(Waitable::Waiting(BeginTicket::new(self, name, slot)));
                }
                Placed::Answered(Reply::Begin(judged)) => judged,
                Placed::Answered(Reply::Get(_)) => return Err(StoreError::Unavailable),
            }
        } else {
            judged
        };
        inner.acted(&judged);
        Ok(Waitable::Answered(Answer::at_memory(sink(with_bytes(judged.outcome, &judged.held)))))
    }

    /// Begins one after the other, in order, each as [`Store::begin`]. The sink gets the index.
    pub fn begin_many(
        &self,
        requests: &[(Identity<'_>, Begin)],
        mut sink: impl FnMut(usize, Result<Answer<BeginOutcome<&[u8]>>, StoreError>),
    ) {
        for (index, (identity, request)) in requests.iter().enumerate() {
            match self.inner.begin(*identity, request) {
                Ok(judged) => {
                    sink(index, Ok(Answer::at_memory(with_bytes(judged.outcome, &judged.held))))
                }
                Err(error) => sink(index, Err(error)),
            }
        }
    }

    /// Ends an acquisition with a result. Copies the bytes; never refused for lack of memory.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn complete(
        &self,
        identity: Identity<'_>,
        request: &Complete<'_>,
    ) -> Result<Answer<CompleteOutcome>, StoreError> {
        request.check()?;
        let outcome = self
            .inner
            .act(identity, |engine, id, access, now| engine.complete(id, request, access, now))?;
        let counters = &self.inner.engine.counters;
        match outcome {
            CompleteOutcome::Completed { not_kept } => {
                counters.complete_completed.one_more();
                if not_kept.is_some() {
                    counters.complete_not_kept.one_more();
                }
            }
            CompleteOutcome::AlreadyCompleted { .. } => counters.complete_repeated.one_more(),
            CompleteOutcome::Conflict => counters.complete_conflict.one_more(),
            CompleteOutcome::Fenced => counters.fenced.one_more(),
            CompleteOutcome::Mismatch
            | CompleteOutcome::NeedFingerprint
            | CompleteOutcome::Gone => {}
        }
        Ok(Answer::at_memory(outcome))
    }

    /// Completes one after the other, in order, each as [`Store::complete`].
    pub fn complete_many(
        &self,
        requests: &[(Identity<'_>, Complete<'_>)],
        mut sink: impl FnMut(usize, Result<Answer<CompleteOutcome>, StoreError>),
    ) {
        for (index, (identity, request)) in requests.iter().enumerate() {
            sink(index, self.complete(*identity, request));
        }
    }

    /// Gives an acquisition up.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn abandon(
        &self,
        identity: Identity<'_>,
        request: &Abandon,
    ) -> Result<Answer<AbandonOutcome>, StoreError> {
        let outcome = self
            .inner
            .act(identity, |engine, id, access, now| engine.abandon(id, request, access, now))?;
        let counters = &self.inner.engine.counters;
        match outcome {
            AbandonOutcome::Abandoned => counters.abandoned.one_more(),
            AbandonOutcome::Fenced => counters.fenced.one_more(),
            AbandonOutcome::Conflict | AbandonOutcome::Gone => {}
        }
        Ok(Answer::at_memory(outcome))
    }

    /// Starts the lease anew.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn renew(
        &self,
        identity: Identity<'_>,
        request: &Renew,
    ) -> Result<Answer<RenewOutcome>, StoreError> {
        request.check(&self.inner.engine.limits)?;
        let outcome = self
            .inner
            .act(identity, |engine, id, access, now| engine.renew(id, request, access, now))?;
        let counters = &self.inner.engine.counters;
        match outcome {
            RenewOutcome::Renewed { .. } => counters.renewed.one_more(),
            RenewOutcome::Fenced => counters.fenced.one_more(),
            RenewOutcome::Mismatch | RenewOutcome::Conflict | RenewOutcome::Gone => {}
        }
        Ok(Answer::at_memory(outcome))
    }

    /// Leaves bytes for a successor.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn checkpoint(
        &self,
        identity: Identity<'_>,
        request: &SaveCheckpoint<'_>,
    ) -> Result<Answer<CheckpointOutcome>, StoreError> {
        request.check()?;
        let outcome = self
            .inner
            .act(identity, |engine, id, access, now| engine.checkpoint(id, request, access, now))?;
        let counters = &self.inner.engine.counters;
        match outcome {
            CheckpointOutcome::Saved { .. } => counters.checkpoints_saved.one_more(),
            CheckpointOutcome::Fenced => counters.fenced.one_more(),
            CheckpointOutcome::Refused { .. }
            | CheckpointOutcome::NeedFingerprint
            | CheckpointOutcome::Conflict
            | CheckpointOutcome::Gone => {}
        }
        Ok(Answer::at_memory(outcome))
    }

    /// Looks without acting. Never waits: [`Get::wait`] is not looked at.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn get<T>(
        &self,
        identity: Identity<'_>,
        sink: impl FnOnce(GetOutcome<&[u8]>) -> T,
    ) -> Result<Answer<T>, StoreError> {
        let judged = self.inner.judge_get(identity)?;
        Ok(Answer::at_memory(sink(get_with_bytes(judged.outcome, &judged.held))))
    }

    /// Looks, and waits out Reserved for up to [`Get::wait`], cut to the limit (S10).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn get_or_wait<T>(
        &self,
        identity: Identity<'_>,
        request: &Get,
        waker: &Waker,
        sink: impl FnOnce(GetOutcome<&[u8]>) -> T,
    ) -> Result<Waitable<T, GetTicket>, StoreError> {
        let mut judged = self.inner.judge_get(identity)?;
        if matches!(judged.outcome, GetOutcome::Reserved { .. }) && request.wait.get() > 0 {
            match self.inner.register(identity, Ask::Get, request.wait, waker)? {
                Placed::Waiting(name, slot) => {
                    return Ok(Waitable::Waiting(GetTicket::new(self, name, slot)));
                }
                Placed::Answered(Reply::Get(anew)) => judged = anew,
                Placed::Answered(Reply::Begin(_)) => return Err(StoreError::Unavailable),
            }
        }
        Ok(Waitable::Answered(Answer::at_memory(sink(get_with_bytes(
            judged.outcome,
            &judged.held,
        )))))
    }

    /// Ends a doubt, or an acquisition whose lease has ended.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn resolve(
        &self,
        identity: Identity<'_>,
        request: &Resolve<'_>,
    ) -> Result<Answer<ResolveOutcome>, StoreError> {
        request.check()?;
        let outcome = self
            .inner
            .act(identity, |engine, id, access, now| engine.resolve(id, request, access, now))?;
        if outcome == ResolveOutcome::Resolved {
            self.inner.engine.counters.resolved.one_more();
        }
        Ok(Answer::at_memory(outcome))
    }

    /// Makes an identity absent.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn forget(
        &self,
        identity: Identity<'_>,
        request: &Forget,
    ) -> Result<Answer<ForgetOutcome>, StoreError> {
        let outcome = self
            .inner
            .act(identity, |engine, id, access, now| engine.forget(id, request, access, now))?;
        if outcome == ForgetOutcome::Forgotten {
            self.inner.engine.counters.forgotten.one_more();
        }
        Ok(Answer::at_memory(outcome))
    }

    /// Lists entries of a namespace. Looks at a bounded number of entries per call, so a page may
    /// be short, or empty, and still name a next one. Stops nobody.
    ///
    /// # Errors
    /// [`StoreError::BadInput`] or [`StoreError::Unavailable`].
    pub fn list(
        &self,
        namespace: Namespace<'_>,
        query: &ListQuery,
    ) -> Result<ListPage, StoreError> {
        query.check()?;
        self.inner.check_open()?;
        let now = self.now();
        let mut entries = Vec::new();
        let next = self.inner.engine.storage.page(query.cursor.0, &mut |identity, view| {
            if entries.len() == usize::from(query.entries_max) {
                return false;
            }
            let Some(view) = view.at(now) else { return true };
            let wanted = identity.namespace() == namespace
                && query.state.is_none_or(|state| state == view.state_name())
                && query.older_than.is_none_or(|least| view.age(now) >= least);
            if wanted {
                entries.push(ListEntry {
                    scoped_key: identity.scoped_key().to_owned(),
                    state: view.state_name(),
                    age: view.age(now),
                    attempt_number: view.attempt_number,
                    fence: view.fence,
                    doubt_number: view.doubt_number_at(now),
                    retention_left: view.retention_left(now),
                });
            }
            true
        });
        Ok(ListPage { entries, next: next.map(PageCursor) })
    }

    /// The store's figures. No lock is taken.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let engine = &self.inner.engine;
        let mut stats = Stats::default();
        engine.counters.fill(&mut stats);
        stats.memory_used_bytes = engine.budget.used();
        stats.memory_high_water_bytes = engine.budget.high_water();
        stats.memory_limit_bytes = engine.budget.limit();
        stats
    }

    /// Does what is due at `now`: ends of leases and waits that somebody waits for, then
    /// reclaiming, at most `budget` entries and waiters, except that a queue of waiters is judged
    /// whole. Says when to call again at the latest; `now` itself if the budget ran out, `None`
    /// if nothing will fall due by itself (S21).
    pub fn tick(&self, now: Timestamp, budget: usize) -> Option<Timestamp> {
        let Inner { engine, waits, earlier, .. } = &*self.inner;
        earlier.rearm();
        let mut steps = budget;
        waits.run_due(engine, now, &mut steps);
        engine.storage.reclaim(now, &mut steps);
        if steps == 0 {
            return Some(now);
        }
        let next = waits.next_deadline().into_iter().chain(engine.storage.next_deadline()).min();
        earlier.promise(next);
        next
    }

    /// Calls `hook` whenever something falls due earlier than the last [`Store::tick`] said. One
    /// hook per store, the first stays. It is called on any thread and must not block.
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

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("boot_epoch", &self.inner.boot_epoch).finish_non_exhaustive()
    }
}

/// Where a caller who would wait ended up.
enum Placed {
    Waiting(WaiterName, Arc<crate::waits::Slot>),
    Answered(Reply),
}

impl Inner {
    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::Unavailable) } else { Ok(()) }
    }

    fn begin(
        &self,
        identity: Identity<'_>,
        request: &Begin,
    ) -> Result<Judged<BeginOutcome<()>>, StoreError> {
        request.check(&self.engine.limits)?;
        let judged = self.judge_begin(identity, request)?;
        self.acted(&judged);
        Ok(judged)
    }

    /// Judges a begin whose limits are checked, without counting it.
    fn judge_begin(
        &self,
        identity: Identity<'_>,
        request: &Begin,
    ) -> Result<Judged<BeginOutcome<()>>, StoreError> {
        self.check_open()?;
        let id = self.engine.storage.hashed(identity);
        let now = self.clock.now();
        Ok(match self.engine.begin(&id, request, Access::Free, now) {
            Ok(judged) => judged,
            Err(Watched) => self.waits.exclusively(&self.engine, &id, now, |_| {
                let judged = self.engine.begin_exclusively(&id, request, now);
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
    fn act<O: Copy>(
        &self,
        identity: Identity<'_>,
        operate: impl Fn(&Engine, &Hashed<'_>, Access, Timestamp) -> Result<Judged<O>, Watched>,
    ) -> Result<O, StoreError> {
        self.check_open()?;
        let id = self.engine.storage.hashed(identity);
        let now = self.clock.now();
        if let Ok(judged) = operate(&self.engine, &id, Access::Free, now) {
            return Ok(judged.outcome);
        }
        let judged = self.waits.exclusively(&self.engine, &id, now, |access| {
            let judged = operate(&self.engine, &id, access, now);
            let effect = judged.as_ref().map_or(Effect::None, |judged| judged.effect);
            (judged, effect)
        });
        // Exclusive access is never told that the identity is watched.
        judged.map(|judged| judged.outcome).map_err(|Watched| StoreError::Unavailable)
    }

    fn register(
        &self,
        identity: Identity<'_>,
        ask: Ask,
        wait: onceward_core::Millis,
        waker: &Waker,
    ) -> Result<Placed, StoreError> {
        let id = self.engine.storage.hashed(identity);
        let now = self.clock.now();
        let until = now.after(wait.min(self.engine.limits.wait_max));
        match self.waits.register(&self.engine, &id, ask, until, waker, now) {
            Registered::Waiting(slot, name, due) => {
                self.earlier.announce(due);
                Ok(Placed::Waiting(name, slot))
            }
            Registered::Answered(reply) => Ok(Placed::Answered(reply)),
            Registered::Closed => Err(StoreError::Unavailable),
        }
    }

    /// A begin is about to be answered: count it, and announce what it will bring.
    pub(crate) fn acted(&self, judged: &Judged<BeginOutcome<()>>) {
        let counters = &self.engine.counters;
        let counter = match (&judged.outcome, judged.effect) {
            (BeginOutcome::Acquired(acquired), effect) => {
                let expires_at = self.clock.now().after(acquired.retention_left);
                self.earlier.announce(expires_at);
                match effect {
                    Effect::Repeated => &counters.begin_repeated,
                    Effect::TakenOver => &counters.begin_takeover,
                    Effect::Acquired | Effect::Changed | Effect::None => &counters.begin_acquired,
                }
            }
            (BeginOutcome::Replay(_), _) => &counters.begin_replay,
            (BeginOutcome::InProgress { .. }, _) => &counters.begin_in_progress,
            (BeginOutcome::Mismatch, _) => &counters.begin_mismatch,
            (BeginOutcome::NeedFingerprint, _) => &counters.begin_need_fingerprint,
            (BeginOutcome::InDoubt { .. }, _) => &counters.begin_in_doubt,
            (BeginOutcome::Refused { .. }, _) => &counters.begin_refused,
            (BeginOutcome::Gone | BeginOutcome::Expired { .. }, _) => &counters.begin_gone,
        };
        counter.one_more();
    }

    pub(crate) fn leave(&self, name: WaiterName) {
        self.waits.leave(&self.engine, name);
    }

    pub(crate) fn end_wait(&self, name: WaiterName) {
        self.waits.end(&self.engine, name, self.clock.now());
    }
}

/// The outcome with the bytes it speaks of. An Acquired names a checkpoint exactly when the entry
/// holds one, a Replay a result exactly when it is completed.
pub(crate) fn with_bytes(outcome: BeginOutcome<()>, held: &Held) -> BeginOutcome<&[u8]> {
    match outcome {
        BeginOutcome::Replay(replay) => BeginOutcome::Replay(onceward_core::Replay {
            result: stored(held, replay.result),
            age: replay.age,
            attempt_number: replay.attempt_number,
            retention_left: replay.retention_left,
        }),
        other => other.map(|()| held.checkpoint().unwrap_or_default()),
    }
}

pub(crate) fn get_with_bytes(outcome: GetOutcome<()>, held: &Held) -> GetOutcome<&[u8]> {
    match outcome {
        GetOutcome::Completed(completed) => GetOutcome::Completed(onceward_core::Completed {
            result: stored(held, completed.result),
            age: completed.age,
            attempt_number: completed.attempt_number,
            retention_left: completed.retention_left,
            fence: completed.fence,
        }),
        other => other.map(|()| Default::default()),
    }
}

fn stored(held: &Held, decided: onceward_core::StoredResult<()>) -> onceward_core::ResultRef<'_> {
    debug_assert!(held.result().is_some(), "a completed entry holds its result");
    held.result().unwrap_or_else(|| decided.map(|()| Default::default()))
}
