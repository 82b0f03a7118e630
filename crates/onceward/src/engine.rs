//! Looks, lets the core decide, and commits to what it looked at, or looks again.
//!
//! Who owns what: the core owns every decision, [`Storage`] every entry, the budget every byte's
//! charge. This file owns their order: room is taken before a commit and given back when the
//! commit is stale; a fence is drawn after the look and anew for each try.

mod begin;
mod durable;
mod fact;
mod result;
mod room;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use onceward_core::lifecycle::{
    self, BeginDecision, CheckpointDecision, CompleteDecision, Decision, Finding, ResolveDecision,
    State, Transition, View,
};
use onceward_core::{
    Abandon, AbandonOutcome, Begin, BeginOutcome, CheckpointOutcome, Complete, CompleteOutcome,
    Forget, ForgetOutcome, GetOutcome, Limits, Renew, RenewOutcome, Resolve, ResolveOutcome,
    SaveCheckpoint, Timestamp, Verdict,
};

use crate::budget::Budget;
use crate::config::Durability;
use crate::counters::Counters;
use crate::facts::Halted;
use crate::journaled::Journaled;
use crate::namespaces::Namespaces;
use crate::storage::{Access, Change, Charge, Chosen, Hashed, Held, Loaded, Storage, Uncommitted};
pub(crate) use begin::Look;
use room::Shortage;

pub(crate) struct Engine<S = Chosen> {
    pub(crate) storage: S,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) namespaces: Arc<Namespaces>,
    /// The next fence.
    pub(crate) fences: AtomicU64,
    /// Keeps facts, for namespaces that ask for it.
    pub(crate) journal: Option<Journaled>,
    /// Of namespaces that state none of their own.
    pub(crate) durability: Durability,
}

/// Why there is no outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Withheld {
    /// The identity is watched, and the caller came without the waits' lock.
    Watched,
    /// The journal keeps no facts at present; nothing has changed (S14).
    Halted,
}

impl From<Halted> for Withheld {
    fn from(Halted: Halted) -> Self {
        Self::Halted
    }
}

/// An outcome that speaks of no bytes, and what it did.
pub(crate) type Acted<O> = Result<(O, Effect), Withheld>;

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
    /// Nothing was done, for the journal keeps no facts at present. There is no outcome: whatever
    /// stands in its place is not told.
    Halted,
}

impl Effect {
    /// When what it did falls due by itself, where that may be earlier than all before.
    pub(crate) const fn due(self) -> Option<Timestamp> {
        match self {
            Self::Acquired { expires_at: at } | Self::Removed { remembered_until: at } => Some(at),
            Self::None
            | Self::Repeated
            | Self::TakenOver
            | Self::Unseen
            | Self::Changed
            | Self::Halted => None,
        }
    }

    /// Whether those who wait are to be judged anew (S10).
    pub(crate) const fn concerns_waiters(self) -> bool {
        match self {
            Self::None | Self::Repeated | Self::Unseen | Self::Halted => false,
            Self::Acquired { .. } | Self::TakenOver | Self::Removed { .. } | Self::Changed => true,
        }
    }
}

impl<O> Judged<O> {
    /// An answer that speaks of no bytes, and changed nothing.
    #[inline]
    fn kept(outcome: O) -> Self {
        Self { outcome, held: Held::Nothing, effect: Effect::None }
    }
}

impl Judged<BeginOutcome<()>> {
    /// No answer at all.
    #[cold]
    fn halted() -> Self {
        Self { outcome: BeginOutcome::Gone, held: Held::Nothing, effect: Effect::Halted }
    }
}

/// Why a try came to nothing.
enum Failed {
    /// Another change came first: look again.
    Stale,
    /// Something must be freed first, which nobody who holds a pin can do.
    NoRoom,
    /// Its fact cannot be kept.
    Halted,
}

impl From<Uncommitted> for Failed {
    fn from(why: Uncommitted) -> Self {
        match why {
            Uncommitted::Stale => Self::Stale,
            Uncommitted::NoRoom => Self::NoRoom,
            Uncommitted::Halted => Self::Halted,
        }
    }
}

impl<S: Storage> Engine<S> {
    #[inline(always)]
    fn load(
        &self,
        pin: &S::Pin<'_>,
        id: &Hashed<'_>,
        attempt: Option<onceward_core::AttemptId>,
        access: Access,
        now: Timestamp,
    ) -> Result<Loaded<S::Bytes>, Withheld> {
        let loaded = self.storage.load(pin, id, attempt, now);
        if loaded.watched && access == Access::Free { Err(Withheld::Watched) } else { Ok(loaded) }
    }

    /// The bytes of what was looked at; `None` if it is to be looked at again.
    #[inline(always)]
    fn held(&self, pin: &S::Pin<'_>, loaded: &Loaded<S::Bytes>) -> Option<Held> {
        match &loaded.entry {
            Some(entry) => self.storage.held(pin, entry),
            None => Some(Held::Nothing),
        }
    }

    /// [`Engine::get`] for a caller that holds the waits' lock.
    pub(crate) fn get_exclusively(
        &self,
        id: &Hashed<'_>,
        now: Timestamp,
    ) -> Judged<GetOutcome<()>> {
        loop {
            let pin = self.storage.pin();
            let loaded = self.storage.load(&pin, id, None, now);
            if let Some(judged) = self.got(&pin, &loaded, now) {
                return judged;
            }
        }
    }

    fn got(
        &self,
        pin: &S::Pin<'_>,
        loaded: &Loaded<S::Bytes>,
        now: Timestamp,
    ) -> Option<Judged<GetOutcome<()>>> {
        match lifecycle::get(loaded.view(), now) {
            outcome @ GetOutcome::Completed(_) => {
                let held = self.held(pin, loaded)?;
                Some(Judged { outcome, held, effect: Effect::None })
            }
            outcome => Some(Judged::kept(outcome)),
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

    #[inline(always)]
    pub(crate) fn complete(
        &self,
        id: &Hashed<'_>,
        request: &Complete<'_>,
        access: Access,
        now: Timestamp,
    ) -> Acted<CompleteOutcome> {
        loop {
            let pin = self.storage.pin();
            let loaded = self.storage.load(&pin, id, None, now);
            if loaded.watched && access == Access::Free {
                return Err(Withheld::Watched);
            }
            let same = self.is_stored(&pin, &loaded, &request.result);
            let (view, token) = (loaded.view(), request.token);
            match lifecycle::complete(view, token, request.fingerprint, same, now) {
                CompleteDecision::Answer(outcome) => return Ok((outcome, Effect::None)),
                CompleteDecision::Accept(acceptance) => {
                    let result = &request.result;
                    match self.store_result(&pin, id, &loaded, acceptance, result, access, now) {
                        Ok(not_kept) => {
                            return Ok((CompleteOutcome::Completed { not_kept }, Effect::Changed));
                        }
                        Err(Uncommitted::Halted) => return Err(Withheld::Halted),
                        Err(Uncommitted::Stale | Uncommitted::NoRoom) => {}
                    }
                }
            }
        }
    }

    pub(crate) fn abandon(
        &self,
        id: &Hashed<'_>,
        request: &Abandon,
        access: Access,
        now: Timestamp,
    ) -> Acted<AbandonOutcome> {
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
    ) -> Acted<RenewOutcome> {
        self.decide(id, access, now, |view| lifecycle::renew(view, request, now))
    }

    pub(crate) fn forget(
        &self,
        id: &Hashed<'_>,
        request: &Forget,
        access: Access,
        now: Timestamp,
    ) -> Acted<ForgetOutcome> {
        self.decide(id, access, now, |view| lifecycle::forget(view, request.fence, now))
    }

    /// Looks without acting.
    pub(crate) fn get(
        &self,
        id: &Hashed<'_>,
        access: Access,
        now: Timestamp,
    ) -> Result<Judged<GetOutcome<()>>, Withheld> {
        loop {
            let pin = self.storage.pin();
            let loaded = self.storage.load(&pin, id, None, now);
            if loaded.watched && access == Access::Free && loaded.is_due(now) {
                return Err(Withheld::Watched);
            }
            if let Some(judged) = self.got(&pin, &loaded, now) {
                return Ok(judged);
            }
        }
    }

    /// Decides and commits until the two meet one version.
    fn decide<O>(
        &self,
        id: &Hashed<'_>,
        access: Access,
        now: Timestamp,
        decide: impl Fn(Option<&View>) -> Decision<O>,
    ) -> Acted<O> {
        loop {
            let pin = self.storage.pin();
            let loaded = self.load(&pin, id, None, access, now)?;
            let Decision { transition, outcome } = decide(loaded.view());
            let (change, effect) = match &transition {
                Transition::Keep => return Ok((outcome, Effect::None)),
                Transition::Put(view) => {
                    (Change::Update { view }, effect_of_update(loaded.view(), view))
                }
                Transition::Remove => self.removal(now),
            };
            match self.commit(&pin, id, &loaded, access, change, now) {
                Ok(()) => return Ok((outcome, effect)),
                Err(Uncommitted::Halted) => return Err(Withheld::Halted),
                Err(Uncommitted::Stale | Uncommitted::NoRoom) => {}
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
    ) -> Acted<CheckpointOutcome> {
        let mut shortage = Shortage::default();
        loop {
            match self.try_checkpoint(id, request, access, now, &shortage)? {
                Ok(acted) => return Ok(acted),
                Err(Failed::Stale) => {}
                Err(Failed::NoRoom) => self.assist(now, &mut shortage),
                Err(Failed::Halted) => return Err(Withheld::Halted),
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
    ) -> Result<Result<(CheckpointOutcome, Effect), Failed>, Withheld> {
        let pin = self.storage.pin();
        let loaded = self.load(&pin, id, None, access, now)?;
        let (view, token) = (loaded.view(), request.token);
        let permit = match lifecycle::checkpoint(view, token, request.ordinal, now) {
            CheckpointDecision::Answer(outcome) => return Ok(Ok((outcome, Effect::None))),
            CheckpointDecision::Save(permit) => permit,
        };
        let Some(entry) = &loaded.entry else { return Ok(Err(Failed::Stale)) };
        let size = request.bytes.len() as u64;
        let Some(room) = self.reserve(size.saturating_sub(entry.charge.checkpoint)) else {
            let refused = || (permit.refuse(), Effect::None);
            return Ok(if shortage.is_final() { Ok(refused()) } else { Err(Failed::NoRoom) });
        };
        let (view, outcome) = permit.saving();
        let change = Change::Checkpoint {
            view: &view,
            bytes: request.bytes,
            charge: Charge { checkpoint: size.max(entry.charge.checkpoint), ..entry.charge },
        };
        let committed = self.commit(&pin, id, &loaded, access, change, now);
        Ok(committed.map_err(Failed::from).map(|()| {
            room.spend();
            (outcome, Effect::Unseen)
        }))
    }

    pub(crate) fn resolve(
        &self,
        id: &Hashed<'_>,
        request: &Resolve<'_>,
        access: Access,
        now: Timestamp,
    ) -> Acted<ResolveOutcome> {
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
                    match self.commit(&pin, id, &loaded, access, change, now) {
                        Ok(()) => return Ok((outcome, effect)),
                        Err(Uncommitted::Halted) => return Err(Withheld::Halted),
                        Err(Uncommitted::Stale | Uncommitted::NoRoom) => {}
                    }
                }
                ResolveDecision::Decided(Decision { outcome, .. }) => {
                    return Ok((outcome, Effect::None));
                }
                ResolveDecision::Accept(acceptance) => {
                    let Some(result) = result else { continue };
                    match self.store_result(&pin, id, &loaded, acceptance, &result, access, now) {
                        Ok(_) => return Ok((ResolveOutcome::Resolved, Effect::Changed)),
                        Err(Uncommitted::Halted) => return Err(Withheld::Halted),
                        Err(Uncommitted::Stale | Uncommitted::NoRoom) => {}
                    }
                }
            }
        }
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
