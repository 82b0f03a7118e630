//! Everybody who waits on one identity, under one lock of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onceward_core::{IdentityBuf, Timestamp};
use parking_lot::Mutex;

use super::aftermath::Aftermath;
use super::slot::{Ask, Reply, Slot};
use super::{begin_waits, get_waits};
use crate::answer::StoreError;
use crate::engine::{Effect, Engine, Judged};
use crate::hashed::Image;
use crate::storage::{Hashed, Held, Storage};

/// What a waiter is charged in the budget: its places in line and among the ends, at the load of
/// their trees' nodes, its slot, and the allocator's share.
pub(super) const WAITER_BYTES: u64 =
    (3 * (size_of::<Waiter>() + 8 + 16) / 2 + size_of::<Slot>() + 3 * 16) as u64;
/// What a queue is charged beyond its identity, which it holds twice: itself, and its nodes in the
/// maps of queues and of what is due.
pub(super) const QUEUE_BYTES: u64 = (size_of::<Queue>() + size_of::<QueueKey>() + 192) as u64;

/// Two queues of one key are two identities' only if the hash says so: the image is the identity.
pub(super) type QueueKey = (u64, Image);

/// One identity's queue. Once its line is closed, another queue may take its place in the map.
pub(crate) struct Queue {
    pub(super) key: QueueKey,
    /// Sorts queues that are due at one instant.
    pub(super) number: u64,
    pub(super) line: Mutex<Line>,
}

impl Queue {
    pub(super) fn new(id: &Hashed<'_>, number: u64) -> Self {
        let key = (id.hash, id.image.clone());
        Self { key, number, line: Mutex::new(Line::new(id)) }
    }
}

struct Waiter {
    ask: Ask,
    slot: Arc<Slot>,
    wait_until: Timestamp,
}

impl Waiter {
    /// Gives it its answer, which counts from now on, whether or not anybody comes for it.
    fn answer(
        &self,
        engine: &Engine,
        id: &Hashed<'_>,
        reply: Reply,
        now: Timestamp,
        aftermath: &mut Aftermath,
    ) {
        aftermath.falls_due(reply.effect().due());
        if reply.effect() == Effect::Halted {
            aftermath.wakes(self.slot.answer(Err(StoreError::Halted)));
            return;
        }
        let position = match &reply {
            Reply::Begin(judged) => {
                engine.counters.began(&judged.outcome, judged.effect);
                engine.begin_rests_on(id, judged, now)
            }
            Reply::Get(_) => engine.rests_on(id, now),
        };
        aftermath.wakes(self.slot.answer(Ok((reply, position))));
    }
}

pub(super) struct Line {
    identity: IdentityBuf,
    image: Image,
    hash: u64,
    last_number: u64,
    /// The storage has the identity marked.
    pub(super) watched: bool,
    /// Nobody will stand here any more.
    pub(super) closed: bool,
    /// Where the queue is among what is due.
    pub(super) armed: Option<Timestamp>,
    /// In the budget, for whoever waits and for the queue itself.
    charged: u64,
    /// By number, which is the order of arrival.
    waiters: BTreeMap<u64, Waiter>,
    /// When each waiter's wait ends.
    ends: BTreeSet<(Timestamp, u64)>,
    /// When the entry changes by itself: its lease or its retention ends.
    change_at: Timestamp,
    /// When everybody was last judged anew: what stands was made then, or looked at.
    judged_at: Timestamp,
}

impl Line {
    fn new(id: &Hashed<'_>) -> Self {
        Self {
            identity: id.identity.to_owned(),
            image: id.image.clone(),
            hash: id.hash,
            last_number: 0,
            watched: false,
            closed: false,
            armed: None,
            charged: 0,
            waiters: BTreeMap::new(),
            ends: BTreeSet::new(),
            change_at: Timestamp::MAX,
            judged_at: Timestamp::ZERO,
        }
    }

    pub(super) fn hashed(&self) -> Hashed<'_> {
        hashed(&self.identity, &self.image, self.hash)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// When something happens here by itself.
    pub(super) fn due_at(&self) -> Timestamp {
        let first_end = self.ends.first().map_or(Timestamp::MAX, |&(at, _)| at);
        self.change_at.min(first_end)
    }

    /// Puts a caller in line, unless it is answered at once.
    pub(super) fn join(
        &mut self,
        engine: &Engine,
        ask: Ask,
        slot: &Arc<Slot>,
        wait_until: Timestamp,
        now: Timestamp,
        aftermath: &mut Aftermath,
    ) -> Result<u64, Reply> {
        loop {
            if let Some(reply) = judge(engine, &self.hashed(), &ask, now) {
                let effect = reply.effect();
                aftermath.falls_due(effect.due());
                self.hear_of(effect, engine, now, aftermath);
                return Err(reply);
            }
            // The mark is on the very version that was found to be waited for, so no change can
            // come between (invariant 1). If another came first, what stands is judged anew.
            self.watched = self.watched || mark(engine, &self.hashed(), &ask, now);
            if self.watched {
                break;
            }
        }
        if !self.admit(engine) {
            // Over the limit of waiters a begin is InProgress at once (S10).
            engine.counters.waits_ended.one_more();
            return Err(reply(engine, &self.hashed(), &ask, now));
        }
        self.last_number += 1;
        let number = self.last_number;
        self.waiters.insert(number, Waiter { ask, slot: Arc::clone(slot), wait_until });
        self.ends.insert((wait_until, number));
        self.look_ahead(engine, now);
        Ok(number)
    }

    /// Counts and charges one more, unless a limit is reached or there is no room.
    fn admit(&mut self, engine: &Engine) -> bool {
        let limits = &engine.limits;
        if self.waiters.len() >= limits.waiters_per_key_max
            || !engine.counters.waiters.one_more_up_to(limits.waiters_max as u64)
        {
            return false;
        }
        let queue = QUEUE_BYTES + 2 * self.identity.as_ref().size() as u64;
        let bytes = WAITER_BYTES + if self.charged == 0 { queue } else { 0 };
        let room = engine.budget.reserve(bytes);
        if room {
            self.charged += bytes;
        } else {
            engine.counters.waiters.less(1);
        }
        room
    }

    /// One who was admitted waits no longer.
    fn dismiss(engine: &Engine, charged: &mut u64) {
        engine.counters.waiters.less(1);
        engine.budget.release(WAITER_BYTES);
        *charged -= WAITER_BYTES;
    }

    pub(super) fn leave(&mut self, engine: &Engine, number: u64) {
        if let Some(waiter) = self.waiters.remove(&number) {
            self.ends.remove(&(waiter.wait_until, number));
            Self::dismiss(engine, &mut self.charged);
        }
    }

    /// Moves the end of a wait to `at`, unless it has ended before.
    pub(super) fn end_at(&mut self, number: u64, at: Timestamp) {
        if let Some(waiter) = self.waiters.get_mut(&number)
            && at < waiter.wait_until
        {
            self.ends.remove(&(waiter.wait_until, number));
            waiter.wait_until = at;
            self.ends.insert((at, number));
        }
    }

    /// Does what is due in the order in which it fell due; at one instant the entry's change
    /// comes before the end of a wait. `steps` counts waiters judged.
    pub(super) fn run_due(
        &mut self,
        engine: &Engine,
        now: Timestamp,
        steps: &mut usize,
        aftermath: &mut Aftermath,
    ) {
        while *steps > 0 && !self.waiters.is_empty() {
            let first_end = self.ends.first().copied();
            match first_end {
                Some((at, number)) if at <= now && at < self.change_at => {
                    *steps -= 1;
                    self.end_wait(engine, number, at, now, aftermath);
                }
                _ if self.change_at <= now => {
                    *steps = steps.saturating_sub(self.waiters.len().max(1));
                    self.judge_all(engine, now, aftermath);
                }
                Some(_) | None => return,
            }
        }
    }

    /// [`Line::run_due`] without a bound: the queue is to be judged whole.
    pub(super) fn run_all_due(
        &mut self,
        engine: &Engine,
        now: Timestamp,
        aftermath: &mut Aftermath,
    ) {
        let mut steps = usize::MAX;
        self.run_due(engine, now, &mut steps, aftermath);
    }

    /// Answers one waiter whose wait ended at `at`.
    fn end_wait(
        &mut self,
        engine: &Engine,
        number: u64,
        at: Timestamp,
        now: Timestamp,
        aftermath: &mut Aftermath,
    ) {
        let Some(waiter) = self.waiters.remove(&number) else {
            self.ends.remove(&(at, number));
            return;
        };
        self.ends.remove(&(at, number));
        Self::dismiss(engine, &mut self.charged);
        // Judged as of its end: what changed after that instant is not its business. But a late
        // tick may have let a rival acquire before it came to this wait; then what was there at
        // the end is gone, and what stands is judged as of when it came.
        let at = at.max(self.judged_at);
        let (held, effect) = (Held::Nothing, Effect::None);
        let reply = match &waiter.ask {
            Ask::Begin(request) => engine
                .still_in_progress(&self.hashed(), request, at)
                .map(|outcome| Reply::Begin(Judged { outcome, held, effect })),
            Ask::Get => engine
                .still_reserved(&self.hashed(), at)
                .map(|outcome| Reply::Get(Judged { outcome, held, effect })),
        };
        let reply = reply.unwrap_or_else(|| self::reply(engine, &self.hashed(), &waiter.ask, now));
        engine.counters.waits_ended.one_more();
        waiter.answer(engine, &self.hashed(), reply, now, aftermath);
    }

    /// Something was done to the identity.
    pub(super) fn hear_of(
        &mut self,
        effect: Effect,
        engine: &Engine,
        now: Timestamp,
        aftermath: &mut Aftermath,
    ) {
        if effect.concerns_waiters() {
            self.judge_all(engine, now, aftermath);
        } else if effect != Effect::None {
            self.look_ahead(engine, now); // However many wait, a renew costs one look.
        }
    }

    /// Judges everybody anew, first come first. A change makes at most one acquisition; the rest
    /// are judged after it (S10).
    pub(super) fn judge_all(&mut self, engine: &Engine, now: Timestamp, aftermath: &mut Aftermath) {
        self.judged_at = now;
        let id = hashed(&self.identity, &self.image, self.hash);
        let (ends, charged) = (&mut self.ends, &mut self.charged);
        self.waiters.retain(|&number, waiter| {
            let Some(reply) = judge(engine, &id, &waiter.ask, now) else { return true };
            ends.remove(&(waiter.wait_until, number));
            Self::dismiss(engine, charged);
            engine.counters.waits_answered.one_more();
            waiter.answer(engine, &id, reply, now, aftermath);
            false
        });
        self.look_ahead(engine, now);
    }

    /// Nobody is left, and nobody will come: the identity is everybody's again.
    pub(super) fn close(&mut self, engine: &Engine, aftermath: &mut Aftermath) {
        for waiter in std::mem::take(&mut self.waiters).into_values() {
            Self::dismiss(engine, &mut self.charged);
            aftermath.wakes(waiter.slot.answer(Err(StoreError::Unavailable)));
        }
        self.ends.clear();
        engine.budget.release(std::mem::take(&mut self.charged));
        if std::mem::take(&mut self.watched) {
            engine.storage.unwatch(&self.hashed());
        }
        self.closed = true;
    }

    /// Reads when the entry changes by itself next.
    fn look_ahead(&mut self, engine: &Engine, now: Timestamp) {
        let pin = engine.storage.pin();
        let loaded = engine.storage.load(&pin, &self.hashed(), None, now);
        // A past instant is an absence that nobody has reclaimed: nothing changes by itself.
        self.change_at = loaded
            .view()
            .map(|view| view.next_change(now))
            .filter(|&at| at > now)
            .unwrap_or(Timestamp::MAX);
    }
}

fn hashed<'a>(identity: &'a IdentityBuf, image: &Image, hash: u64) -> Hashed<'a> {
    Hashed { identity: identity.as_ref(), hash, image: image.clone() }
}

fn judge(engine: &Engine, id: &Hashed<'_>, ask: &Ask, now: Timestamp) -> Option<Reply> {
    let reply = reply(engine, id, ask, now);
    let waits = match &reply {
        Reply::Begin(judged) => begin_waits(judged),
        Reply::Get(judged) => get_waits(judged),
    };
    (!waits).then_some(reply)
}

fn reply(engine: &Engine, id: &Hashed<'_>, ask: &Ask, now: Timestamp) -> Reply {
    match ask {
        Ask::Begin(request) => Reply::Begin(engine.begin_exclusively(id, request, now)),
        Ask::Get => Reply::Get(engine.get_exclusively(id, now)),
    }
}

/// Marks the identity as watched if this caller is to wait for what stands.
fn mark(engine: &Engine, id: &Hashed<'_>, ask: &Ask, now: Timestamp) -> bool {
    match ask {
        Ask::Begin(request) => engine.watch_for_begin(id, request, now),
        Ask::Get => engine.watch_for_get(id, now),
    }
}
