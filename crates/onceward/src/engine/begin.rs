//! Begins: judged, and granted as far as quota and room go (S1, S11).

use onceward_core::lifecycle::{self, BeginDecision, Decision, Grant, Transition};
use onceward_core::{Begin, BeginOutcome, Refusal, Timestamp};

use super::room::{Place, Shortage};
use super::{Effect, Engine, Judged};
use crate::storage::{Access, Change, Hashed, Held, Storage, Uncommitted};

/// Why an absent identity was not acquired.
enum NotInserted {
    /// Another change came first: look again.
    Stale,
    /// Something must be freed first, which nobody who holds a pin can do.
    Short(Refusal),
}

impl<S: Storage> Engine<S> {
    /// Judges a begin and tells the caller, who counts and answers it. No pin is held then.
    ///
    /// `tell` comes back if the identity is watched and `access` is free. An answer is told where
    /// it is found rather than returned: it is large, and each of its kinds is known there.
    #[inline]
    pub(crate) fn begin<R, T: FnOnce(Judged<BeginOutcome<()>>) -> R>(
        &self,
        id: &Hashed<'_>,
        request: &Begin,
        access: Access,
        now: Timestamp,
        tell: T,
    ) -> Result<R, T> {
        let mut shortage = Shortage::default();
        loop {
            let pin = self.storage.pin();
            let loaded = self.storage.load(&pin, id, Some(request.attempt_id), now);
            let (version, ended) = (loaded.version, loaded.attempt_ended);
            let is_others = loaded.watched && access == Access::Free;
            // Apart, for of what is absent much less needs to be decided.
            let decided = match &loaded.entry {
                None => lifecycle::begin(None, request, ended, now),
                Some(entry) => lifecycle::begin(Some(&entry.view), request, ended, now),
            };
            let grant = match decided {
                BeginDecision::Acquire(grant) => grant,
                BeginDecision::Decided(Decision { transition, outcome }) => {
                    let changes = matches!(transition, Transition::Put(_));
                    if is_others && (changes || loaded.is_due(now)) {
                        return Err(tell);
                    }
                    if let Transition::Put(view) = transition {
                        let change = Change::Update { view };
                        if let Err(why) = self.storage.commit(&pin, id, version, access, change) {
                            self.before_next_look(pin, why, now, &mut shortage);
                            continue;
                        }
                        let judged = self.with_held(&pin, outcome, loaded, Effect::Repeated);
                        drop(pin);
                        return Ok(tell(judged));
                    }
                    if let BeginOutcome::Replay(_) = outcome {
                        let judged = self.with_held(&pin, outcome, loaded, Effect::None);
                        drop(pin);
                        return Ok(tell(judged));
                    }
                    drop(pin);
                    return Ok(tell(Judged::kept(outcome)));
                }
            };
            if is_others {
                return Err(tell);
            }
            if grant.is_takeover() {
                let (view, outcome) = grant.with_fence(self.draw_fence());
                let change = Change::Update { view };
                if let Err(why) = self.storage.commit(&pin, id, version, access, change) {
                    self.before_next_look(pin, why, now, &mut shortage);
                    continue;
                }
                let judged = self.with_held(&pin, outcome, loaded, Effect::TakenOver);
                drop(pin);
                return Ok(tell(judged));
            }
            match self.insert(&pin, id, request, grant, version, access) {
                Ok((outcome, expires_at)) => {
                    drop(pin);
                    if access == Access::Free {
                        self.storage.log_unfinished();
                    }
                    let effect = Effect::Acquired { expires_at };
                    return Ok(tell(Judged { outcome, held: Held::Nothing, effect }));
                }
                Err(NotInserted::Stale) => {}
                Err(NotInserted::Short(reason)) => {
                    drop(pin);
                    shortage.of_places = reason == Refusal::Quota;
                    if shortage.is_final() {
                        return Ok(tell(Judged::kept(self.refuse(grant, reason, now))));
                    }
                    self.assist(now, &mut shortage);
                }
            }
        }
    }

    /// [`Engine::begin`] for a caller that holds the waits' lock.
    pub(crate) fn begin_exclusively(
        &self,
        id: &Hashed<'_>,
        request: &Begin,
        now: Timestamp,
    ) -> Judged<BeginOutcome<()>> {
        loop {
            if let Ok(judged) = self.begin(id, request, Access::Exclusive, now, |judged| judged) {
                return judged;
            }
        }
    }

    /// An update was not committed. It is never refused, so it is tried again.
    #[cold]
    fn before_next_look(
        &self,
        pin: S::Pin<'_>,
        why: Uncommitted,
        now: Timestamp,
        shortage: &mut Shortage,
    ) {
        drop(pin);
        if why == Uncommitted::NoRoom {
            self.assist(now, shortage);
        }
    }

    #[cold]
    fn refuse(&self, grant: Grant, reason: Refusal, now: Timestamp) -> BeginOutcome<()> {
        // When a quota has a place again is not known: only its own entries count.
        let room_due = match reason {
            Refusal::Capacity => self.room_due(now),
            Refusal::Quota => None,
        };
        grant.refuse(reason, room_due)
    }

    /// Absent: quota, then capacity, then the new entry (S1, S11). The answer, and when the
    /// entry's retention ends.
    #[inline]
    fn insert(
        &self,
        pin: &S::Pin<'_>,
        id: &Hashed<'_>,
        request: &Begin,
        grant: Grant,
        version: u64,
        access: Access,
    ) -> Result<(BeginOutcome<()>, Timestamp), NotInserted> {
        let Ok(quota) = self.namespaces.enter(id.identity.namespace()) else {
            return Err(NotInserted::Short(Refusal::Quota));
        };
        let place = Place { namespaces: &self.namespaces, quota };
        let charge = self.set_aside(id, request);
        let Some(room) = self.reserve(charge.total()) else {
            return Err(NotInserted::Short(Refusal::Capacity));
        };
        let (view, outcome) = grant.with_fence(self.draw_fence());
        let change = Change::Insert { view, charge, quota };
        match self.storage.commit(pin, id, version, access, change) {
            Ok(()) => {
                room.spend();
                place.keep();
                Ok((outcome, view.expires_at))
            }
            Err(Uncommitted::NoRoom) => Err(NotInserted::Short(Refusal::Capacity)),
            Err(Uncommitted::Stale) => Err(NotInserted::Stale),
        }
    }
}
