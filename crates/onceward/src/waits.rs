//! Who waits for what (S10): a queue per identity, first come first, answered by push.
//!
//! Invariants:
//! 1. Everything that changes a watched identity happens under the lock of its queue's shard
//!    (see [`Access::Exclusive`]), and the queue is judged before that lock is left. So none is
//!    lost between its look and its registration, and none who came later is served first.
//! 2. A waiter in a queue was InProgress, or Reserved for a get, when last judged.
//! 3. A queue is in `due` at the instant at which something happens to it by itself: its entry
//!    changes (lease or retention ends), or a waiter's wait ends. A change comes first.
//! 4. Wakers are called, and deadlines announced, after the lock is left ([`Aftermath`]).
//!
//! Lock order: a shard of waits, then a shard of storage, then a slot.

mod aftermath;
mod queue;
mod slot;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Waker;

use hashbrown::HashTable;
use onceward_core::{BeginOutcome, GetOutcome, Timestamp};
use parking_lot::Mutex;

use crate::deadline::EarlierDeadline;
use crate::engine::{Effect, Engine, Judged};
use crate::storage::{Access, Hashed, Storage};
use aftermath::Aftermath;
use queue::Queue;
pub(crate) use slot::{Ask, Reply, Slot};

const SHARDS: usize = 64;

pub(crate) struct Waits {
    shards: Box<[Mutex<WaitShard>]>,
    earlier: Arc<EarlierDeadline>,
}

#[derive(Default)]
struct WaitShard {
    queues: HashTable<Queue>,
    /// When each queue is due: instant, hash, number of the queue.
    due: BTreeSet<(Timestamp, u64, u64)>,
    /// Queues and waiters are numbered, so that a ticket never speaks for another.
    last_number: u64,
    closed: bool,
}

/// Names a waiter for its ticket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaiterName {
    hash: u64,
    queue: u64,
    waiter: u64,
}

/// Whether there is something to wait for.
pub(crate) enum Registered {
    /// In line.
    Waiting(Arc<Slot>, WaiterName),
    /// Judged anew under the lock: this is the answer.
    Answered(Reply),
    /// The store is closed.
    Closed,
}

impl Waits {
    pub(crate) fn new(earlier: Arc<EarlierDeadline>) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), earlier }
    }

    fn shard(&self, hash: u64) -> &Mutex<WaitShard> {
        &self.shards[(hash >> 40) as usize & (SHARDS - 1)]
    }

    /// Does what is due for the identity, then `act`, then, if that says so, judges who waits.
    pub(crate) fn exclusively<T>(
        &self,
        engine: &Engine,
        id: &Hashed<'_>,
        now: Timestamp,
        act: impl FnOnce(Access) -> (T, Effect),
    ) -> T {
        let mut aftermath = Aftermath::default();
        let done = {
            let mut shard = self.shard(id.hash).lock();
            shard.with_queue(engine, id, &mut aftermath, |mut queue, aftermath| {
                if let Some(queue) = &mut queue {
                    queue.run_all_due(engine, now, aftermath);
                }
                let (done, effect) = act(Access::Exclusive);
                aftermath.falls_due(effect.due());
                if let Some(queue) = queue {
                    queue.hear_of(effect, engine, now, aftermath);
                }
                done
            })
        };
        aftermath.tell(&self.earlier);
        done
    }

    /// Puts a caller in line, unless it is answered at once.
    pub(crate) fn register(
        &self,
        engine: &Engine,
        id: &Hashed<'_>,
        ask: Ask,
        wait_until: Timestamp,
        waker: &Waker,
        now: Timestamp,
    ) -> Registered {
        let mut aftermath = Aftermath::default();
        let registered = {
            let mut shard = self.shard(id.hash).lock();
            if shard.closed {
                Registered::Closed
            } else {
                shard.register(engine, id, ask, wait_until, waker, now, &mut aftermath)
            }
        };
        aftermath.tell(&self.earlier);
        registered
    }

    /// Takes a caller out of line. Nothing happens if it has been answered.
    pub(crate) fn leave(&self, engine: &Engine, name: WaiterName) {
        let mut aftermath = Aftermath::default();
        let mut shard = self.shard(name.hash).lock();
        shard.with_numbered(engine, name, &mut aftermath, |queue, _| {
            queue.leave(engine, name.waiter);
        });
        drop(shard);
        aftermath.tell(&self.earlier);
    }

    /// Ends a caller's wait now: it is answered as of `now`, if it has not been yet.
    pub(crate) fn end(&self, engine: &Engine, name: WaiterName, now: Timestamp) {
        let mut aftermath = Aftermath::default();
        let mut shard = self.shard(name.hash).lock();
        shard.with_numbered(engine, name, &mut aftermath, |queue, aftermath| {
            queue.end_at(name.waiter, now);
            queue.run_all_due(engine, now, aftermath);
        });
        drop(shard);
        aftermath.tell(&self.earlier);
    }

    /// Does what is due; `steps` bounds and counts the waiters judged.
    pub(crate) fn run_due(&self, engine: &Engine, now: Timestamp, steps: &mut usize) {
        for shard in &self.shards {
            while *steps > 0 {
                let mut aftermath = Aftermath::default();
                let more = shard.lock().run_first_due(engine, now, steps, &mut aftermath);
                aftermath.wake(); // The tick itself says when to come back.
                if !more {
                    break;
                }
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let firsts = self.shards.iter().map(|shard| shard.lock().due.first().map(|&(at, ..)| at));
        firsts.flatten().min()
    }

    /// Answers everybody with Unavailable, and whoever comes later (S17).
    pub(crate) fn close(&self, engine: &Engine) {
        for shard in &self.shards {
            let mut aftermath = Aftermath::default();
            {
                let mut shard = shard.lock();
                shard.closed = true;
                shard.due.clear();
                for queue in shard.queues.drain() {
                    queue.close(engine, &mut aftermath);
                }
            }
            aftermath.wake();
        }
    }
}

impl WaitShard {
    /// Takes the identity's queue out, if there is one, for `act`, and puts it back armed for its
    /// next instant, or drops it when nobody waits any more.
    fn with_queue<T>(
        &mut self,
        engine: &Engine,
        id: &Hashed<'_>,
        aftermath: &mut Aftermath,
        act: impl FnOnce(Option<&mut Queue>, &mut Aftermath) -> T,
    ) -> T {
        let found = self.queues.find_entry(id.hash, |queue| queue.is(id));
        let Ok(found) = found else { return act(None, aftermath) };
        let (mut queue, _) = found.remove();
        self.due.remove(&queue.due_key());
        let done = act(Some(&mut queue), aftermath);
        self.put_back(engine, queue, aftermath);
        done
    }

    fn with_numbered(
        &mut self,
        engine: &Engine,
        name: WaiterName,
        aftermath: &mut Aftermath,
        act: impl FnOnce(&mut Queue, &mut Aftermath),
    ) {
        let found = self.queues.find_entry(name.hash, |queue| queue.number == name.queue);
        let Ok(found) = found else { return };
        let (mut queue, _) = found.remove();
        self.due.remove(&queue.due_key());
        act(&mut queue, aftermath);
        self.put_back(engine, queue, aftermath);
    }

    fn put_back(&mut self, engine: &Engine, queue: Queue, aftermath: &mut Aftermath) {
        if queue.is_empty() {
            engine.storage.unwatch(&queue.hashed());
            return;
        }
        aftermath.falls_due(Some(queue.due_key().0));
        self.due.insert(queue.due_key()); // Invariant 3.
        self.queues.insert_unique(queue.hash, queue, |queue| queue.hash);
    }

    #[expect(clippy::too_many_arguments, reason = "one caller; the parts have no common noun")]
    fn register(
        &mut self,
        engine: &Engine,
        id: &Hashed<'_>,
        ask: Ask,
        wait_until: Timestamp,
        waker: &Waker,
        now: Timestamp,
        aftermath: &mut Aftermath,
    ) -> Registered {
        let found =
            self.queues.find_entry(id.hash, |queue| queue.is(id)).map(|found| found.remove().0);
        let mut queue = match found {
            Ok(mut queue) => {
                self.due.remove(&queue.due_key());
                queue.run_all_due(engine, now, aftermath);
                queue
            }
            Err(_) => {
                // Watched before the look below: no change can come between (invariant 1).
                let pin = engine.storage.pin();
                loop {
                    let version = engine.storage.load(&pin, id, None, now).version;
                    if engine.storage.watch(&pin, id, version).is_ok() {
                        break;
                    }
                }
                self.last_number += 1;
                Queue::new(id, self.last_number)
            }
        };
        let registered = match queue.judge(engine, &ask, now) {
            Some(reply) => {
                let effect = reply.effect();
                aftermath.falls_due(effect.due());
                queue.hear_of(effect, engine, now, aftermath);
                Registered::Answered(reply)
            }
            None => self.stand_in_line(engine, &mut queue, ask, wait_until, waker, now),
        };
        self.put_back(engine, queue, aftermath);
        registered
    }

    fn stand_in_line(
        &mut self,
        engine: &Engine,
        queue: &mut Queue,
        ask: Ask,
        wait_until: Timestamp,
        waker: &Waker,
        now: Timestamp,
    ) -> Registered {
        let limits = &engine.limits;
        let full = queue.len() >= limits.waiters_per_key_max
            || !engine.counters.waiters.one_more_up_to(limits.waiters_max as u64);
        if full {
            // Over the limit of waiters a begin is InProgress at once (S10).
            engine.counters.waits_ended.one_more();
            return Registered::Answered(queue.as_of(engine, &ask, now));
        }
        self.last_number += 1;
        let (waiter, slot) = (self.last_number, Arc::new(Slot::new(waker.clone())));
        queue.enter(engine, waiter, ask, Arc::clone(&slot), wait_until, now);
        Registered::Waiting(slot, WaiterName { hash: queue.hash, queue: queue.number, waiter })
    }

    /// Runs the first queue that is due; whether there was one.
    fn run_first_due(
        &mut self,
        engine: &Engine,
        now: Timestamp,
        steps: &mut usize,
        aftermath: &mut Aftermath,
    ) -> bool {
        let Some(&(at, hash, number)) = self.due.first() else { return false };
        if at > now {
            return false;
        }
        let name = WaiterName { hash, queue: number, waiter: 0 };
        self.with_numbered(engine, name, aftermath, |queue, aftermath| {
            queue.run_due(engine, now, steps, aftermath);
        });
        true
    }
}

/// A begin or get that has just been judged, and whether it still waits.
pub(crate) fn begin_waits(judged: &Judged<BeginOutcome<()>>) -> bool {
    matches!(judged.outcome, BeginOutcome::InProgress { .. })
}

pub(crate) fn get_waits(judged: &Judged<GetOutcome<()>>) -> bool {
    matches!(judged.outcome, GetOutcome::Reserved { .. })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Waker;

    use onceward_core::{AttemptId, Begin, Fingerprint, Identity, Millis, Timestamp};
    use onceward_testkit::ManualClock;

    use crate::answer::Waitable;
    use crate::config::StoreConfig;
    use crate::storage::Storage;
    use crate::store::Store;

    #[test]
    fn who_has_left_costs_nothing_afterwards_s10() {
        let store = Store::new(StoreConfig::default(), Arc::new(ManualClock::new(0)) as _).unwrap();
        let identity = Identity::new("orders", b"", b"k").unwrap();
        let engine = &store.inner.engine;
        let watched = || {
            let id = engine.storage.hashed(identity);
            let pin = engine.storage.pin();
            engine.storage.load(&pin, &id, None, Timestamp::ZERO).watched
        };
        let begin = |byte| Begin {
            wait: Millis::new(100),
            ..Begin::new(Fingerprint::None, AttemptId::from_bytes([byte; 16]))
        };
        store.begin(identity, &begin(1), |_| ()).unwrap();
        type End<'a> = (&'a str, &'a dyn Fn());
        let ends: &[End<'_>] = &[
            ("dropped", &|| ()),
            ("its wait ended", &|| {
                store.tick(Timestamp::from_millis(100), 10);
            }),
            ("the store closed", &|| store.close()),
        ];
        for (why, end) in ends {
            let waiting = store.begin_or_wait(identity, &begin(2), Waker::noop(), |_| ()).unwrap();
            assert!(matches!(waiting, Waitable::Waiting(_)));
            assert!(watched(), "{why}: changes take the waits' lock meanwhile");
            end();
            drop(waiting);
            assert!(!watched(), "{why}: they do so no longer");
        }
        let shards = store.inner.waits.shards.iter();
        assert!(shards.map(|shard| shard.lock()).all(|shard| shard.due.is_empty()));
    }
}
