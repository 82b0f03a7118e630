//! Who waits for what (S10): a queue per identity, first come first, answered by push.
//!
//! Invariants:
//! 1. A queue that somebody stands in has its identity marked as watched; the mark was put on the
//!    very version that the first of them was found to wait for. Everything that changes a watched
//!    identity happens under the lock of its queue (see [`Access::Exclusive`]), and the queue is
//!    judged before that lock is left. So none is lost between its look and its registration, and
//!    none who came later is served first.
//! 2. A waiter in a queue was InProgress, or Reserved for a get, when last judged.
//! 3. A queue is in `due` at the instant at which something happens to it by itself: its entry
//!    changes (lease or retention ends), or a waiter's wait ends. A change comes first.
//! 4. Wakers are called, and deadlines announced, after the lock is left ([`Aftermath`]).
//! 5. At most one queue per identity is open: the one in `queues`. One that has emptied is closed,
//!    its mark taken back, and it is taken out of the map before its lock is left; who finds it
//!    closed looks again.
//!
//! The only lock here is a queue's own: whoever pauses under it holds up changes of that identity,
//! and nothing else. Both maps are free of locks, and a tick passes over a queue that is locked.
//!
//! Lock order: a queue, then a shard of the plain storage, then a slot.

mod aftermath;
mod queue;
mod slot;

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, fence};
use std::task::Waker;

use crossbeam_skiplist::SkipMap;
use onceward_core::{BeginOutcome, GetOutcome, Millis, Timestamp};

use crate::deadline::EarlierDeadline;
use crate::engine::{Effect, Engine, Judged};
use crate::storage::{Access, Hashed};
use aftermath::Aftermath;
use queue::{Line, Queue, QueueKey};
pub(crate) use slot::{Ask, Reply, Slot, Told};

/// When a tick comes back to a queue that was locked when it came by.
const COME_BACK: Millis = Millis::new(1);

pub(crate) struct Waits {
    queues: SkipMap<QueueKey, Arc<Queue>>,
    /// When each queue is due: instant and number of the queue. Changed under the queue's lock.
    due: SkipMap<(Timestamp, u64), Arc<Queue>>,
    last_number: AtomicU64,
    closed: AtomicBool,
    earlier: Arc<EarlierDeadline>,
}

/// Names a waiter for its ticket.
#[derive(Clone)]
pub(crate) struct WaiterName {
    queue: Arc<Queue>,
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
        Self {
            queues: SkipMap::new(),
            due: SkipMap::new(),
            last_number: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            earlier,
        }
    }

    /// The identity's queue, which may turn out to be closed.
    fn queue(&self, id: &Hashed<'_>) -> Arc<Queue> {
        let key = (id.hash, id.image.clone());
        if let Some(found) = self.queues.get(&key) {
            return Arc::clone(found.value());
        }
        let number = self.last_number.fetch_add(1, Relaxed);
        Arc::clone(self.queues.get_or_insert(key, Arc::new(Queue::new(id, number))).value())
    }

    /// Does what is due for the identity, then `act`, then, if that says so, judges who waits.
    ///
    /// If nobody waits any more, `act` is alone with the identity all the same: only who holds a
    /// queue's lock marks it as watched.
    pub(crate) fn exclusively<T>(
        &self,
        engine: &Engine,
        id: &Hashed<'_>,
        now: Timestamp,
        act: impl FnOnce(Access) -> (T, Effect),
    ) -> T {
        let mut aftermath = Aftermath::default();
        let done = loop {
            let queue = self.queue(id);
            let mut line = queue.line.lock();
            if line.closed {
                continue; // Invariant 5: it is out of the map.
            }
            line.run_all_due(engine, now, &mut aftermath);
            let (done, effect) = act(Access::Exclusive);
            aftermath.falls_due(effect.due());
            line.hear_of(effect, engine, now, &mut aftermath);
            self.settle(engine, &queue, &mut line, &mut aftermath);
            break done;
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
        // A waker is foreign code: it is copied before a lock is taken.
        let slot = Arc::new(Slot::new(waker.clone()));
        let mut aftermath = Aftermath::default();
        let registered = loop {
            let queue = self.queue(id);
            let mut line = queue.line.lock();
            if line.closed {
                continue; // Invariant 5: it is out of the map.
            }
            // With the fence in `close`: either that finds this queue, or this finds it closed.
            fence(SeqCst);
            let registered = if self.closed.load(Relaxed) {
                Registered::Closed
            } else {
                line.run_all_due(engine, now, &mut aftermath);
                match line.join(engine, ask, &slot, wait_until, now, &mut aftermath) {
                    Ok(waiter) => {
                        let queue = Arc::clone(&queue);
                        Registered::Waiting(slot, WaiterName { queue, waiter })
                    }
                    Err(reply) => Registered::Answered(reply),
                }
            };
            self.settle(engine, &queue, &mut line, &mut aftermath);
            break registered;
        };
        aftermath.tell(&self.earlier);
        registered
    }

    /// Takes a caller out of line. Nothing happens if it has been answered.
    pub(crate) fn leave(&self, engine: &Engine, name: &WaiterName) {
        self.at_line_of(engine, name, |line, _| line.leave(engine, name.waiter));
    }

    /// Ends a caller's wait now: it is answered as of `now`, if it has not been yet.
    pub(crate) fn end(&self, engine: &Engine, name: &WaiterName, now: Timestamp) {
        self.at_line_of(engine, name, |line, aftermath| {
            line.end_at(name.waiter, now);
            line.run_all_due(engine, now, aftermath);
        });
    }

    fn at_line_of(
        &self,
        engine: &Engine,
        name: &WaiterName,
        act: impl FnOnce(&mut Line, &mut Aftermath),
    ) {
        let mut aftermath = Aftermath::default();
        {
            let mut line = name.queue.line.lock();
            if line.closed {
                return; // Everybody who stood here has been answered.
            }
            act(&mut line, &mut aftermath);
            self.settle(engine, &name.queue, &mut line, &mut aftermath);
        }
        aftermath.tell(&self.earlier);
    }

    /// Before a lock is left: arms the queue for its next instant, or closes it when nobody waits
    /// any more.
    fn settle(
        &self,
        engine: &Engine,
        queue: &Arc<Queue>,
        line: &mut Line,
        aftermath: &mut Aftermath,
    ) {
        let next = (!line.is_empty()).then(|| line.due_at());
        if line.armed != next {
            if let Some(at) = next {
                self.due.insert((at, queue.number), Arc::clone(queue)); // Invariant 3.
            }
            if let Some(at) = line.armed {
                self.due.remove(&(at, queue.number));
            }
            line.armed = next;
        }
        aftermath.falls_due(next);
        if next.is_none() {
            line.close(engine, aftermath);
            self.queues.remove(&queue.key);
        }
    }

    /// Does what is due; `steps` bounds and counts the waiters judged.
    pub(crate) fn run_due(&self, engine: &Engine, now: Timestamp, steps: &mut usize) {
        for due in self.due.iter() {
            if *steps == 0 || due.key().0 > now {
                return;
            }
            let queue = due.value();
            // Somebody is at work there: the tick comes back, and others' turns do not wait.
            let Some(mut line) = queue.line.try_lock() else { continue };
            if line.closed {
                continue;
            }
            let mut aftermath = Aftermath::default();
            line.run_due(engine, now, steps, &mut aftermath);
            self.settle(engine, queue, &mut line, &mut aftermath);
            drop(line);
            aftermath.wake(); // The tick itself says when to come back.
        }
    }

    /// When something is due next; soon, if something was due at `now` already.
    pub(crate) fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        self.due.front().map(|first| first.key().0.max(now.after(COME_BACK)))
    }

    /// Answers everybody with Unavailable, and whoever comes later (S17).
    pub(crate) fn close(&self, engine: &Engine) {
        self.closed.store(true, Relaxed);
        fence(SeqCst);
        // Those first where nobody is at work.
        for wait in [false, true] {
            for entry in self.queues.iter() {
                let queue = entry.value();
                let line = if wait { Some(queue.line.lock()) } else { queue.line.try_lock() };
                let Some(mut line) = line else { continue };
                if line.closed {
                    continue;
                }
                let mut aftermath = Aftermath::default();
                line.close(engine, &mut aftermath);
                if let Some(at) = line.armed.take() {
                    self.due.remove(&(at, queue.number));
                }
                self.queues.remove(&queue.key);
                drop(line);
                aftermath.wake();
            }
        }
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
mod tests;
