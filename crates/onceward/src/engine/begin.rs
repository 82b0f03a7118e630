//! Begins: judged, and granted as far as quota and room go (S1, S11).

use onceward_core::lifecycle::{self, BeginDecision, Decision, Grant, Transition};
use onceward_core::{Begin, BeginOutcome, Refusal, Timestamp};

use super::room::{Place, Shortage};
use super::{Effect, Engine, Failed, Judged, Watched};
use crate::storage::{Access, Change, Hashed, Storage, Uncommitted};

impl<S: Storage> Engine<S> {
    /// Judges a begin; the caller counts and answers it.
    #[inline]
    pub(crate) fn begin(
        &self,
        id: &Hashed<'_>,
        request: &Begin,
        access: Access,
        now: Timestamp,
    ) -> Result<Judged<BeginOutcome<()>>, Watched> {
        let mut shortage = Shortage::default();
        loop {
            let tried = self.try_begin(id, request, access, now, &mut shortage)?;
            match tried {
                Ok(judged) => {
                    if matches!(judged.effect, Effect::Acquired { .. }) && access == Access::Free {
                        self.storage.log_unfinished();
                    }
                    return Ok(judged);
                }
                Err(Failed::Stale) => {}
                Err(Failed::NoRoom) => self.assist(now, &mut shortage),
            }
        }
    }

    #[inline]
    fn try_begin(
        &self,
        id: &Hashed<'_>,
        request: &Begin,
        access: Access,
        now: Timestamp,
        shortage: &mut Shortage,
    ) -> Result<Result<Judged<BeginOutcome<()>>, Failed>, Watched> {
        let pin = self.storage.pin();
        let loaded = self.storage.load(&pin, id, Some(request.attempt_id), now);
        let version = loaded.version;
        let update = |view| self.storage.commit(&pin, id, version, access, Change::Update { view });
        let decided = lifecycle::begin(loaded.view(), request, loaded.attempt_ended, now);
        let changes = match &decided {
            BeginDecision::Decided(decision) => matches!(decision.transition, Transition::Put(_)),
            BeginDecision::Acquire(_) => true,
        };
        if loaded.watched && access == Access::Free && (changes || loaded.is_due(now)) {
            return Err(Watched);
        }
        Ok(match decided {
            BeginDecision::Decided(Decision { transition: Transition::Put(view), outcome }) => {
                update(view)
                    .map(|()| self.with_held(&pin, outcome, loaded, Effect::Repeated))
                    .map_err(Failed::from)
            }
            BeginDecision::Decided(Decision {
                transition: Transition::Keep | Transition::Remove,
                outcome: outcome @ BeginOutcome::Replay(_),
            }) => Ok(self.with_held(&pin, outcome, loaded, Effect::None)),
            BeginDecision::Decided(Decision {
                transition: Transition::Keep | Transition::Remove,
                outcome,
            }) => Ok(Judged::kept(outcome)),
            BeginDecision::Acquire(grant) if grant.is_takeover() => {
                let (view, outcome) = grant.with_fence(self.draw_fence());
                update(view)
                    .map(|()| self.with_held(&pin, outcome, loaded, Effect::TakenOver))
                    .map_err(Failed::from)
            }
            BeginDecision::Acquire(grant) => {
                self.insert(&pin, id, request, grant, version, access, now, shortage)
            }
        })
    }

    /// [`Engine::begin`] for a caller that holds the waits' lock.
    pub(crate) fn begin_exclusively(
        &self,
        id: &Hashed<'_>,
        request: &Begin,
        now: Timestamp,
    ) -> Judged<BeginOutcome<()>> {
        loop {
            if let Ok(judged) = self.begin(id, request, Access::Exclusive, now) {
                return judged;
            }
        }
    }

    /// Absent: quota, then capacity, then the new entry (S1, S11).
    #[expect(clippy::too_many_arguments, reason = "one caller; the parts have no common noun")]
    #[inline]
    fn insert(
        &self,
        pin: &S::Pin<'_>,
        id: &Hashed<'_>,
        request: &Begin,
        grant: Grant,
        version: u64,
        access: Access,
        now: Timestamp,
        shortage: &mut Shortage,
    ) -> Result<Judged<BeginOutcome<()>>, Failed> {
        let mut refused = |reason| {
            shortage.of_places = reason == Refusal::Quota;
            if !shortage.is_final() {
                return Err(Failed::NoRoom);
            }
            // When a quota has a place again is not known: only its own entries count.
            let room_due = match reason {
                Refusal::Capacity => self.room_due(now),
                Refusal::Quota => None,
            };
            Ok(Judged::kept(grant.refuse(reason, room_due)))
        };
        let Ok(quota) = self.namespaces.enter(id.identity.namespace()) else {
            return refused(Refusal::Quota);
        };
        let place = Place { namespaces: &self.namespaces, quota };
        let charge = self.set_aside(id, request);
        let Some(room) = self.reserve(charge.total()) else {
            return refused(Refusal::Capacity);
        };
        let (view, outcome) = grant.with_fence(self.draw_fence());
        let effect = Effect::Acquired { expires_at: view.expires_at };
        let change = Change::Insert { view, charge, quota };
        match self.storage.commit(pin, id, version, access, change) {
            Ok(()) => {
                room.spend();
                place.keep();
                Ok(Judged { effect, ..Judged::kept(outcome) })
            }
            Err(Uncommitted::NoRoom) => refused(Refusal::Capacity),
            Err(Uncommitted::Stale) => Err(Failed::Stale),
        }
    }
}
