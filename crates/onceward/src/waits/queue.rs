//! Everybody who waits on one identity.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onceward_core::{IdentityBuf, Timestamp};

use super::aftermath::Aftermath;
use super::slot::{Ask, Reply, Slot};
use super::{begin_waits, get_waits};
use crate::answer::StoreError;
use crate::engine::{Effect, Engine, Judged};
use crate::hashed::Image;
use crate::storage::{Hashed, Held, Storage};

struct Waiter {
    ask: Ask,
    slot: Arc<Slot>,
    wait_until: Timestamp,
}

impl Waiter {
    /// Gives it its answer, which counts from now on, whether or not anybody comes for it.
    fn answer(&self, engine: &Engine, reply: Reply, aftermath: &mut Aftermath) {
        aftermath.falls_due(reply.effect().due());
        if let Reply::Begin(judged) = &reply {
            engine.counters.began(&judged.outcome, judged.effect);
        }
        aftermath.wakes(self.slot.answer(Ok(reply)));
    }
}

pub(super) struct Queue {
    identity: IdentityBuf,
    image: Image,
    pub(super) hash: u64,
    pub(super) number: u64,
    /// By number, which is the order of arrival.
    waiters: BTreeMap<u64, Waiter>,
    /// When each waiter's wait ends.
    ends: BTreeSet<(Timestamp, u64)>,
    /// When the entry changes by itself: its lease or its retention ends.
    change_at: Timestamp,
    /// When everybody was last judged anew: what stands was made then, or looked at.
    judged_at: Timestamp,
}

impl Queue {
    pub(super) fn new(id: &Hashed<'_>, number: u64) -> Self {
        Self {
            identity: id.identity.to_owned(),
            image: id.image.clone(),
            hash: id.hash,
            number,
            waiters: BTreeMap::new(),
            ends: BTreeSet::new(),
            change_at: Timestamp::MAX,
            judged_at: Timestamp::ZERO,
        }
    }

    pub(super) fn hashed(&self) -> Hashed<'_> {
        hashed(&self.identity, &self.image, self.hash)
    }

    pub(super) fn is(&self, id: &Hashed<'_>) -> bool {
        self.hash == id.hash && self.identity.as_ref() == id.identity
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// When the queue is next due, as the shard sorts it.
    pub(super) fn due_key(&self) -> (Timestamp, u64, u64) {
        let first_end = self.ends.first().map_or(Timestamp::MAX, |&(at, _)| at);
        (self.change_at.min(first_end), self.hash, self.number)
    }

    pub(super) fn enter(
        &mut self,
        engine: &Engine,
        number: u64,
        ask: Ask,
        slot: Arc<Slot>,
        wait_until: Timestamp,
        now: Timestamp,
    ) {
        self.waiters.insert(number, Waiter { ask, slot, wait_until });
        self.ends.insert((wait_until, number));
        self.look_ahead(engine, now);
    }

    pub(super) fn leave(&mut self, engine: &Engine, number: u64) {
        if let Some(waiter) = self.waiters.remove(&number) {
            self.ends.remove(&(waiter.wait_until, number));
            engine.counters.waiters.less(1);
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

    /// [`Queue::run_due`] without a bound: the queue is to be judged whole.
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
        engine.counters.waiters.less(1);
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
        let reply = reply.unwrap_or_else(|| self.as_of(engine, &waiter.ask, now));
        engine.counters.waits_ended.one_more();
        waiter.answer(engine, reply, aftermath);
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
        let ends = &mut self.ends;
        self.waiters.retain(|&number, waiter| {
            let Some(reply) = judge(engine, &id, &waiter.ask, now) else { return true };
            ends.remove(&(waiter.wait_until, number));
            engine.counters.waiters.less(1);
            engine.counters.waits_answered.one_more();
            waiter.answer(engine, reply, aftermath);
            false
        });
        self.look_ahead(engine, now);
    }

    /// What one caller is told now; `None` if it is to wait.
    pub(super) fn judge(&self, engine: &Engine, ask: &Ask, now: Timestamp) -> Option<Reply> {
        judge(engine, &self.hashed(), ask, now)
    }

    /// What one caller is told now, whether or not it would wait.
    pub(super) fn as_of(&self, engine: &Engine, ask: &Ask, now: Timestamp) -> Reply {
        reply(engine, &self.hashed(), ask, now)
    }

    pub(super) fn close(self, engine: &Engine, aftermath: &mut Aftermath) {
        engine.storage.unwatch(&self.hashed());
        for waiter in self.waiters.into_values() {
            engine.counters.waiters.less(1);
            aftermath.wakes(waiter.slot.answer(Err(StoreError::Unavailable)));
        }
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
