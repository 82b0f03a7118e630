//! Looks, lets the core decide, and commits to what it looked at, or looks again.
//!
//! Who owns what: the core owns every decision, [`Storage`] every entry, the budget every byte's
//! charge. This file owns their order: room is taken before a commit and given back when the
//! commit is stale; a fence is drawn after the look and anew for each try.

mod room;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use onceward_core::lifecycle::{
    self, Acceptance, BeginDecision, CheckpointDecision, CompleteDecision, Decision, Finding,
    Grant, ResolveDecision, State, Transition, View,
};
use onceward_core::{
    Abandon, AbandonOutcome, Begin, BeginOutcome, Body, CheckpointOutcome, Complete,
    CompleteOutcome, Fence, Forget, ForgetOutcome, GetOutcome, Limits, NotKept, Refusal, Renew,
    RenewOutcome, Resolve, ResolveOutcome, ResultRef, SaveCheckpoint, Timestamp, Verdict,
};

use crate::budget::Budget;
use crate::counters::Counters;
use crate::namespaces::Namespaces;
use crate::storage::{
    Access, Change, Charge, Chosen, Hashed, Held, Loaded, LoadedEntry, Storage, Uncommitted,
    without_body,
};
use room::{Place, Room, Shortage};

pub(crate) struct Engine<S = Chosen> {
    pub(crate) storage: S,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) namespaces: Arc<Namespaces>,
    /// The next fence.
    pub(crate) fences: AtomicU64,
}

/// The identity is watched, and the caller came without the waits' lock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Watched;

/// An outcome, the bytes it speaks of, and what it did.
pub(crate) struct Judged<O> {
    pub(crate) outcome: O,
    pub(crate) held: Held,
    pub(crate) effect: Effect,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    /// Nothing changed.
    None,
    /// The identity was acquired, having been absent; it is absent again from then on.
    Acquired { expires_at: Timestamp },
    /// Its owner acquired it again.
    Repeated,
    /// It was taken over.
    TakenOver,
    /// It became absent by request; its attempt is remembered until then.
    Removed { remembered_until: Timestamp },
    /// Its lease was extended or its checkpoint replaced: no answer to a waiter depends on either.
    Unseen,
    /// Something else changed.
    Changed,
}

impl Effect {
    /// When what it did falls due by itself, where that may be earlier than all before.
    pub(crate) const fn due(self) -> Option<Timestamp> {
        match self {
            Self::Acquired { expires_at: at } | Self::Removed { remembered_until: at } => Some(at),
            Self::None | Self::Repeated | Self::TakenOver | Self::Unseen | Self::Changed => None,
        }
    }

    /// Whether those who wait are to be judged anew (S10).
    pub(crate) const fn concerns_waiters(self) -> bool {
        match self {
            Self::None | Self::Repeated | Self::Unseen => false,
            Self::Acquired { .. } | Self::TakenOver | Self::Removed { .. } | Self::Changed => true,
        }
    }
}

impl<O> Judged<O> {
    /// An answer that speaks of no bytes, and changed nothing.
    fn kept(outcome: O) -> Self {
        Self { outcome, held: Held::Nothing, effect: Effect::None }
    }

    fn changed(outcome: O) -> Self {
        Self { outcome, held: Held::Nothing, effect: Effect::Changed }
    }
}

/// Why a try came to nothing.
enum Failed {
    /// Another change came first: look again.
    Stale,
    /// Something must be freed first, which nobody who holds a pin can do.
    NoRoom,
}

impl From<Uncommitted> for Failed {
    fn from(why: Uncommitted) -> Self {
        match why {
            Uncommitted::Stale => Self::Stale,
            Uncommitted::NoRoom => Self::NoRoom,
        }
    }
}

impl<S: Storage> Engine<S> {
    fn load(
        &self,
        pin: &S::Pin<'_>,
        id: &Hashed<'_>,
        attempt: Option<onceward_core::AttemptId>,
        access: Access,
        now: Timestamp,
    ) -> Result<Loaded<S::Bytes>, Watched> {
        let loaded = self.storage.load(pin, id, attempt, now);
        if loaded.watched && access == Access::Free { Err(Watched) } else { Ok(loaded) }
    }

    /// An answer with the bytes of what was looked at.
    fn with_held<O>(
        &self,
        pin: &S::Pin<'_>,
        outcome: O,
        loaded: Loaded<S::Bytes>,
        effect: Effect,
    ) -> Judged<O> {
        let held = loaded.entry.map(|entry| self.storage.held(pin, entry)).unwrap_or_default();
        Judged { outcome, held, effect }
    }

    /// Larger than every fence drawn before. 2^62 acquisitions do not happen; the largest fence
    /// stands in for what would follow.
    fn draw_fence(&self) -> Fence {
        let number = self.fences.fetch_add(1, Relaxed);
        Fence::new(number).unwrap_or(Fence::LARGEST)
    }

    /// Judges a begin; the caller counts and answers it.
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

    /// [`Engine::get`] for a caller that holds the waits' lock.
    pub(crate) fn get_exclusively(
        &self,
        id: &Hashed<'_>,
        now: Timestamp,
    ) -> Judged<GetOutcome<()>> {
        let pin = self.storage.pin();
        let loaded = self.storage.load(&pin, id, None, now);
        self.got(&pin, loaded, now)
    }

    fn got(
        &self,
        pin: &S::Pin<'_>,
        loaded: Loaded<S::Bytes>,
        now: Timestamp,
    ) -> Judged<GetOutcome<()>> {
        match lifecycle::get(loaded.view(), now) {
            outcome @ GetOutcome::Completed(_) => {
                self.with_held(pin, outcome, loaded, Effect::None)
            }
            outcome => Judged::kept(outcome),
        }
    }

    /// What another waiter would hear at `at`, if that is InProgress; changes nothing.
    pub(crate) fn still_in_progress(
        &self,
        id: &Hashed<'_>,
        request: &Begin,
        at: Timestamp,
    ) -> Option<BeginOutcome<()>> {
        let pin = self.storage.pin();
        let loaded = self.storage.load(&pin, id, Some(request.attempt_id), at);
        match lifecycle::begin(loaded.view(), request, loaded.attempt_ended, at) {
            BeginDecision::Decided(Decision {
                outcome: outcome @ BeginOutcome::InProgress { .. },
                ..
            }) => Some(outcome),
            BeginDecision::Decided(_) | BeginDecision::Acquire(_) => None,
        }
    }

    /// What a waiting get would hear at `at`, if that is Reserved.
    pub(crate) fn still_reserved(&self, id: &Hashed<'_>, at: Timestamp) -> Option<GetOutcome<()>> {
        let pin = self.storage.pin();
        let loaded = self.storage.load(&pin, id, None, at);
        let outcome = lifecycle::get(loaded.view(), at);
        matches!(outcome, GetOutcome::Reserved { .. }).then_some(outcome)
    }

    /// Absent: quota, then capacity, then the new entry (S1, S11).
    #[expect(clippy::too_many_arguments, reason = "one caller; the parts have no common noun")]
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

    pub(crate) fn complete(
        &self,
        id: &Hashed<'_>,
        request: &Complete<'_>,
        access: Access,
        now: Timestamp,
    ) -> Result<Judged<CompleteOutcome>, Watched> {
        loop {
            let pin = self.storage.pin();
            let loaded = self.load(&pin, id, None, access, now)?;
            let same = self.is_stored(&pin, &loaded, &request.result);
            let (view, token) = (loaded.view(), request.token);
            match lifecycle::complete(view, token, request.fingerprint, same, now) {
                CompleteDecision::Answer(outcome) => return Ok(Judged::kept(outcome)),
                CompleteDecision::Accept(acceptance) => {
                    if let Ok(not_kept) =
                        self.store_result(&pin, id, &loaded, acceptance, &request.result, access)
                    {
                        return Ok(Judged::changed(CompleteOutcome::Completed { not_kept }));
                    }
                }
            }
        }
    }

    /// Writes a result: whole if it fits its set-aside or the headroom, else without its body.
    /// Never refused (S11, S12).
    fn store_result(
        &self,
        pin: &S::Pin<'_>,
        id: &Hashed<'_>,
        loaded: &Loaded<S::Bytes>,
        acceptance: Acceptance,
        offered: &ResultRef<'_>,
        access: Access,
    ) -> Result<Option<NotKept>, Uncommitted> {
        let LoadedEntry { charge: before, .. } = loaded.entry.as_ref().ok_or(Uncommitted::Stale)?;
        let whole = self.storage.charge_completed(*before, offered);
        let (stored, drawn) = match offered.body {
            Body::NotKept(why) => (without_body(offered, why), 0),
            Body::Kept(body) if body.len() > self.limits.result_bytes_max => {
                (without_body(offered, NotKept::TooLarge), 0)
            }
            Body::Kept(_) => {
                let beyond = whole.total().saturating_sub(before.total());
                if beyond == 0 || self.budget.draw(beyond) {
                    (*offered, beyond)
                } else {
                    (without_body(offered, NotKept::Capacity), 0)
                }
            }
        };
        let drawn = Room { budget: &self.budget, bytes: drawn };
        let not_kept = stored.not_kept();
        let charge = self.storage.charge_completed(*before, &stored);
        let surplus = (before.total() + drawn.bytes).saturating_sub(charge.total());
        let view = acceptance.storing(not_kept);
        let change = Change::Complete { view, offered: *offered, stored, charge };
        self.storage.commit(pin, id, loaded.version, access, change)?;
        drawn.spend();
        self.budget.release(surplus);
        Ok(not_kept)
    }

    pub(crate) fn abandon(
        &self,
        id: &Hashed<'_>,
        request: &Abandon,
        access: Access,
        now: Timestamp,
    ) -> Result<Judged<AbandonOutcome>, Watched> {
        self.decide(id, access, now, |view| {
            lifecycle::abandon(view, request.token, request.certainty, now)
        })
    }

    pub(crate) fn renew(
        &self,
        id: &Hashed<'_>,
        request: &Renew,
        access: Access,
        now: Timestamp,
    ) -> Result<Judged<RenewOutcome>, Watched> {
        self.decide(id, access, now, |view| lifecycle::renew(view, request, now))
    }

    pub(crate) fn forget(
        &self,
        id: &Hashed<'_>,
        request: &Forget,
        access: Access,
        now: Timestamp,
    ) -> Result<Judged<ForgetOutcome>, Watched> {
        self.decide(id, access, now, |view| lifecycle::forget(view, request.fence, now))
    }

    /// Looks without acting.
    pub(crate) fn get(
        &self,
        id: &Hashed<'_>,
        access: Access,
        now: Timestamp,
    ) -> Result<Judged<GetOutcome<()>>, Watched> {
        let pin = self.storage.pin();
        let loaded = self.storage.load(&pin, id, None, now);
        if loaded.watched && access == Access::Free && loaded.is_due(now) {
            return Err(Watched);
        }
        Ok(self.got(&pin, loaded, now))
    }

    /// Decides and commits until the two meet one version.
    fn decide<O>(
        &self,
        id: &Hashed<'_>,
        access: Access,
        now: Timestamp,
        decide: impl Fn(Option<&View>) -> Decision<O>,
    ) -> Result<Judged<O>, Watched> {
        loop {
            let pin = self.storage.pin();
            let loaded = self.load(&pin, id, None, access, now)?;
            let Decision { transition, outcome } = decide(loaded.view());
            let (change, effect) = match transition {
                Transition::Keep => return Ok(Judged::kept(outcome)),
                Transition::Put(view) => {
                    (Change::Update { view }, effect_of_update(loaded.view(), &view))
                }
                Transition::Remove => self.removal(now),
            };
            if self.storage.commit(&pin, id, loaded.version, access, change).is_ok() {
                return Ok(Judged { effect, ..Judged::changed(outcome) });
            }
        }
    }

    fn removal(&self, now: Timestamp) -> (Change<'static>, Effect) {
        let remembered_until = now.after(self.limits.attempt_memory);
        (Change::Remove { remembered_until, now }, Effect::Removed { remembered_until })
    }

    pub(crate) fn checkpoint(
        &self,
        id: &Hashed<'_>,
        request: &SaveCheckpoint<'_>,
        access: Access,
        now: Timestamp,
    ) -> Result<Judged<CheckpointOutcome>, Watched> {
        let mut shortage = Shortage::default();
        loop {
            match self.try_checkpoint(id, request, access, now, &shortage)? {
                Ok(judged) => return Ok(judged),
                Err(Failed::Stale) => {}
                Err(Failed::NoRoom) => self.assist(now, &mut shortage),
            }
        }
    }

    fn try_checkpoint(
        &self,
        id: &Hashed<'_>,
        request: &SaveCheckpoint<'_>,
        access: Access,
        now: Timestamp,
        shortage: &Shortage,
    ) -> Result<Result<Judged<CheckpointOutcome>, Failed>, Watched> {
        let pin = self.storage.pin();
        let loaded = self.load(&pin, id, None, access, now)?;
        let (view, token) = (loaded.view(), request.token);
        let permit = match lifecycle::checkpoint(view, token, request.ordinal, now) {
            CheckpointDecision::Answer(outcome) => return Ok(Ok(Judged::kept(outcome))),
            CheckpointDecision::Save(permit) => permit,
        };
        let Some(entry) = &loaded.entry else { return Ok(Err(Failed::Stale)) };
        let size = request.bytes.len() as u64;
        let Some(room) = self.reserve(size.saturating_sub(entry.charge.checkpoint)) else {
            let refused = || Judged::kept(permit.refuse());
            return Ok(if shortage.is_final() { Ok(refused()) } else { Err(Failed::NoRoom) });
        };
        let (view, outcome) = permit.saving();
        let change = Change::Checkpoint {
            view,
            bytes: request.bytes,
            charge: Charge { checkpoint: size.max(entry.charge.checkpoint), ..entry.charge },
        };
        let committed = self.storage.commit(&pin, id, loaded.version, access, change);
        Ok(committed.map_err(Failed::from).map(|()| {
            room.spend();
            Judged { effect: Effect::Unseen, ..Judged::changed(outcome) }
        }))
    }

    pub(crate) fn resolve(
        &self,
        id: &Hashed<'_>,
        request: &Resolve<'_>,
        access: Access,
        now: Timestamp,
    ) -> Result<Judged<ResolveOutcome>, Watched> {
        loop {
            let pin = self.storage.pin();
            let loaded = self.load(&pin, id, None, access, now)?;
            let (finding, result) = match request.verdict {
                Verdict::NeverDone => (Finding::NeverDone, None),
                Verdict::Completed { result, fingerprint } => {
                    let same_result = self.is_stored(&pin, &loaded, &result);
                    (Finding::Completed { fingerprint, same_result }, Some(result))
                }
            };
            let (fence, doubt_number) = (request.fence, request.doubt_number);
            match lifecycle::resolve(loaded.view(), fence, doubt_number, finding, now) {
                ResolveDecision::Decided(Decision { transition: Transition::Remove, outcome }) => {
                    let (change, effect) = self.removal(now);
                    if self.storage.commit(&pin, id, loaded.version, access, change).is_ok() {
                        return Ok(Judged { effect, ..Judged::changed(outcome) });
                    }
                }
                ResolveDecision::Decided(Decision { outcome, .. }) => {
                    return Ok(Judged::kept(outcome));
                }
                ResolveDecision::Accept(acceptance) => {
                    let Some(result) = result else { continue };
                    let stored = self.store_result(&pin, id, &loaded, acceptance, &result, access);
                    if stored.is_ok() {
                        return Ok(Judged::changed(ResolveOutcome::Resolved));
                    }
                }
            }
        }
    }
}

impl<S: Storage> Engine<S> {
    /// Whether the offered result is the stored one; asked of the storage only in COMPLETED.
    fn is_stored(
        &self,
        pin: &S::Pin<'_>,
        loaded: &Loaded<S::Bytes>,
        offered: &ResultRef<'_>,
    ) -> bool {
        loaded.entry.as_ref().is_some_and(|entry| {
            matches!(entry.view.state, State::Completed { .. })
                && self.storage.is_stored(pin, entry, offered)
        })
    }
}

/// A renew that binds nothing moves the lease and no more; all else is for waiters to hear.
fn effect_of_update(before: Option<&View>, after: &View) -> Effect {
    let bound_before = before.map(|before| before.fingerprint);
    match after.state {
        State::Reserved { .. } if bound_before == Some(after.fingerprint) => Effect::Unseen,
        State::Reserved { .. } | State::InDoubt { .. } | State::Completed { .. } => Effect::Changed,
    }
}
