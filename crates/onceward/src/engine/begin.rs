//! Begins: judged, and granted as far as quota and room go (S1, S11).

use onceward_core::lifecycle::{
    self, BeginDecision, CompletedView, Decision, Grant, State, Transition,
};
use onceward_core::{Begin, BeginOutcome, Refusal, Replay, Timestamp};

use super::room::{Place, Shortage};
use super::{Effect, Engine, Judged};
use crate::storage::{
    Access, Change, Hashed, Held, Loaded, LoadedEntry, ResultCopy, Storage, Uncommitted,
};

/// Why a try came to nothing.
enum Failed {
    /// Another change came first: look again.
    Stale,
    /// It is others' to act on: somebody waits.
    Watched,
    /// Something must be freed first, which nobody who holds a pin can do.
    Short(Refusal),
    /// As `Short`, for what is owed and never refused.
    Owed,
    /// Its fact cannot be kept, or its fence not be given.
    Halted,
}

impl From<Uncommitted> for Failed {
    fn from(why: Uncommitted) -> Self {
        match why {
            Uncommitted::Stale => Self::Stale,
            Uncommitted::NoRoom => Self::Owed,
            Uncommitted::Halted => Self::Halted,
        }
    }
}

/// What a look at an identity found, and the pin under which that stays so.
pub(crate) struct Look<'s, S: Storage + 's> {
    pin: S::Pin<'s>,
    found: S::Found,
}

impl<S: Storage> Engine<S> {
    #[inline(always)]
    pub(crate) fn look(&self, id: &Hashed<'_>) -> Look<'_, S> {
        let pin = self.storage.pin();
        let found = self.storage.find(&pin, id);
        Look { pin, found }
    }

    /// The answer of [`Engine::begin`] where that is a replay, by the shorter way that most have.
    /// `None` says nothing of what it is.
    #[inline(always)]
    pub(crate) fn replay(
        &self,
        id: &Hashed<'_>,
        request: &Begin,
        now: Timestamp,
        look: &Look<'_, S>,
    ) -> Option<(Replay<()>, ResultCopy)> {
        let Look { pin, found } = look;
        let judge = |view: &CompletedView, attempt_ended| match lifecycle::begin_completed(
            view,
            request,
            attempt_ended,
            now,
        ) {
            Some(BeginOutcome::Replay(replay)) => Some(replay),
            _ => None,
        };
        self.storage.replay(pin, id, *found, request.attempt_id, now, judge)
    }

    /// Judges a begin, from a first look on; the caller counts and answers it. What is watched is left to `watched`, if
    /// `access` is free.
    ///
    /// What is absent and what is completed are apart from the rest: there much less needs to be
    /// decided. Inlined, for an answer is large, and copied at each return.
    #[inline(always)]
    pub(crate) fn begin<'s>(
        &'s self,
        id: &Hashed<'_>,
        request: &Begin,
        access: Access,
        now: Timestamp,
        look: Look<'s, S>,
        watched: impl FnOnce() -> Judged<BeginOutcome<()>>,
    ) -> Judged<BeginOutcome<()>> {
        let mut shortage = Shortage::default();
        let mut look = Some(look);
        loop {
            let Look { pin, found } = look.take().unwrap_or_else(|| self.look(id));
            let attempt = Some(request.attempt_id);
            let loaded = self.storage.load_found(&pin, id, found, attempt, now);
            let failed = match &loaded.entry {
                None => match lifecycle::begin(None, request, loaded.attempt_ended, now) {
                    BeginDecision::Decided(Decision { outcome, .. }) => {
                        drop(pin);
                        return Judged::kept(outcome);
                    }
                    BeginDecision::Acquire(_) if loaded.watched && access == Access::Free => {
                        return watched();
                    }
                    BeginDecision::Acquire(grant) => {
                        match self.insert(&pin, id, request, grant, &loaded, access, now) {
                            Ok((outcome, effect)) => {
                                drop(pin);
                                if access == Access::Free {
                                    self.storage.log_unfinished();
                                }
                                return Judged { outcome, held: Held::Nothing, effect };
                            }
                            Err(failed) => failed,
                        }
                    }
                },
                Some(LoadedEntry { view, .. })
                    if matches!(view.state, State::Completed { .. }) && now < view.expires_at =>
                {
                    match lifecycle::begin(Some(view), request, loaded.attempt_ended, now) {
                        BeginDecision::Decided(Decision {
                            outcome: outcome @ BeginOutcome::Replay(_),
                            ..
                        }) => {
                            let Some(held) = self.held(&pin, &loaded) else { continue };
                            drop(pin);
                            return Judged { outcome, held, effect: Effect::None };
                        }
                        BeginDecision::Decided(Decision { outcome, .. }) => {
                            drop(pin);
                            return Judged::kept(outcome);
                        }
                        // Of what is completed nothing is acquired before its end.
                        BeginDecision::Acquire(_) => Failed::Stale,
                    }
                }
                Some(entry) => {
                    match self.begin_owned(&pin, id, request, &loaded, entry, access, now) {
                        Ok(judged) => {
                            drop(pin);
                            let acquired = matches!(judged.effect, Effect::Acquired { .. });
                            if acquired && access == Access::Free {
                                self.storage.log_unfinished();
                            }
                            return judged;
                        }
                        Err(failed) => failed,
                    }
                }
            };
            drop(pin);
            match failed {
                Failed::Stale => {}
                Failed::Watched => return watched(),
                Failed::Halted => return Judged::halted(),
                Failed::Short(reason) => {
                    shortage.of_places = reason == Refusal::Quota;
                    if shortage.is_final() {
                        return Judged::kept(self.refuse(reason, now));
                    }
                    self.assist(now, &mut shortage);
                }
                Failed::Owed => self.assist(now, &mut shortage),
            }
        }
    }

    /// One try where somebody owns the identity, or did until the end of its retention.
    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "one caller; the parts have no common noun")]
    fn begin_owned(
        &self,
        pin: &S::Pin<'_>,
        id: &Hashed<'_>,
        request: &Begin,
        loaded: &Loaded<S::Bytes>,
        entry: &LoadedEntry<S::Bytes>,
        access: Access,
        now: Timestamp,
    ) -> Result<Judged<BeginOutcome<()>>, Failed> {
        let is_others = loaded.watched && access == Access::Free;
        let update = |view, outcome, effect| {
            let held = self.storage.held(pin, entry).ok_or(Failed::Stale)?;
            let change = Change::Update { view: &view };
            self.commit(pin, id, loaded, access, change, now)?;
            Ok(Judged { outcome, held, effect })
        };
        match lifecycle::begin(Some(&entry.view), request, loaded.attempt_ended, now) {
            BeginDecision::Decided(Decision { transition: Transition::Put(view), outcome }) => {
                if is_others {
                    return Err(Failed::Watched);
                }
                update(view, outcome, Effect::Repeated)
            }
            BeginDecision::Decided(Decision { outcome, .. }) => {
                if is_others && loaded.is_due(now) {
                    return Err(Failed::Watched);
                }
                Ok(Judged::kept(outcome))
            }
            BeginDecision::Acquire(_) if is_others => Err(Failed::Watched),
            BeginDecision::Acquire(grant) if grant.is_takeover() => {
                let (view, outcome) = grant.with_fence(self.draw_fence().ok_or(Failed::Halted)?);
                update(view, outcome, Effect::TakenOver)
            }
            BeginDecision::Acquire(grant) => {
                let inserted = self.insert(pin, id, request, grant, loaded, access, now);
                inserted.map(|(outcome, effect)| Judged { outcome, held: Held::Nothing, effect })
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
        // Nothing is left to others then; if it were, this would look again.
        let again = || self.begin_exclusively(id, request, now);
        self.begin(id, request, Access::Exclusive, now, self.look(id), again)
    }

    #[cold]
    fn refuse(&self, reason: Refusal, now: Timestamp) -> BeginOutcome<()> {
        // When a quota has a place again is not known: only its own entries count.
        let room_due = match reason {
            Refusal::Capacity => self.room_due(now),
            Refusal::Quota => None,
        };
        BeginOutcome::Refused { reason, retry_after: room_due }
    }

    /// Absent: quota, then capacity, then the new entry (S1, S11).
    #[expect(clippy::too_many_arguments, reason = "two callers; the parts have no common noun")]
    #[inline(always)]
    fn insert(
        &self,
        pin: &S::Pin<'_>,
        id: &Hashed<'_>,
        request: &Begin,
        grant: Grant,
        loaded: &Loaded<S::Bytes>,
        access: Access,
        now: Timestamp,
    ) -> Result<(BeginOutcome<()>, Effect), Failed> {
        let Ok(quota) = self.namespaces.enter(id.identity.namespace()) else {
            return Err(Failed::Short(Refusal::Quota));
        };
        let place = Place { namespaces: &self.namespaces, quota };
        let charge = self.set_aside(id, request);
        let Some(room) = self.reserve(charge.total()) else {
            return Err(Failed::Short(Refusal::Capacity));
        };
        let (view, outcome) = grant.with_fence(self.draw_fence().ok_or(Failed::Halted)?);
        let change = Change::Insert { view: &view, charge, quota };
        match self.commit(pin, id, loaded, access, change, now) {
            Ok(()) => {
                room.spend();
                place.keep();
                Ok((outcome, Effect::Acquired { expires_at: view.expires_at }))
            }
            Err(Uncommitted::NoRoom) => Err(Failed::Short(Refusal::Capacity)),
            Err(Uncommitted::Stale) => Err(Failed::Stale),
            Err(Uncommitted::Halted) => Err(Failed::Halted),
        }
    }
}
