//! The owner's operations: complete, renew, abandon, checkpoint.

use super::{Decision, Entered, State, View};
use crate::fingerprint::{Digest, Fingerprint};
use crate::outcome::{AbandonOutcome, CheckpointOutcome, CompleteOutcome, Refusal, RenewOutcome};
use crate::request::{Certainty, Renew};
use crate::result::NotKept;
use crate::time::{Millis, Timestamp};
use crate::token::Token;

/// Who comes with a token.
enum Holder<'a> {
    /// To an identity that is absent.
    Gone,
    /// With a token that is not the current one.
    Fenced,
    /// With the current one, to an entry that is there still; what of it is due is not done yet.
    Owner(&'a View),
}

/// Judges a token before all else (S4). Until completion both halves must be current; after it
/// the fence alone names the acquisition, since nothing can change any more.
#[inline(always)]
fn holder(view: Option<&View>, token: Token, now: Timestamp) -> Holder<'_> {
    let Some(view) = view.filter(|view| now < view.expires_at) else {
        return Holder::Gone; // Invariant 1.
    };
    let current = view.fence == token.fence
        && match view.state {
            State::Completed { .. } => true,
            State::Reserved { .. } | State::InDoubt { .. } => view.attempt_id == token.attempt_id,
        };
    if current { Holder::Owner(view) } else { Holder::Fenced }
}

/// What complete comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum CompleteDecision<'a> {
    /// Tell this; nothing changes.
    Answer(CompleteOutcome),
    /// Store the result, then tell `Completed`.
    Accept(Acceptance<'a>),
}

/// A result that the store is to keep, or to note as not kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Acceptance<'a> {
    /// As it was looked at; what became of it since is beside it.
    pub(super) view: &'a View,
    pub(super) fingerprint: Fingerprint,
    pub(super) doubt_number: u32,
    pub(super) now: Timestamp,
}

impl Acceptance<'_> {
    /// The entry to write together with the result; `not_kept` says why its body is left out.
    /// A checkpoint ends here (S19).
    #[must_use]
    #[inline(always)]
    pub const fn storing(self, not_kept: Option<NotKept>) -> View {
        View {
            state: State::Completed { completed_at: self.now, not_kept },
            doubt_number: self.doubt_number,
            fingerprint: self.fingerprint,
            checkpoint_ordinal: 0,
            longest_lease: Millis::ZERO,
            ..*self.view
        }
    }
}

/// Decides whether a result is stored (S3, S4, S5, S9).
///
/// `same_result` says whether the request's result equals the stored one (equal status, metadata
/// and body, by bytes or by a digest of at least 128 bits); it is read only in COMPLETED.
#[inline(always)]
pub fn complete(
    view: Option<&View>,
    token: Token,
    fingerprint: Option<Digest>,
    same_result: bool,
    now: Timestamp,
) -> CompleteDecision<'_> {
    let view = match holder(view, token, now) {
        Holder::Gone => return CompleteDecision::Answer(CompleteOutcome::Gone),
        Holder::Fenced => return CompleteDecision::Answer(CompleteOutcome::Fenced),
        Holder::Owner(view) => view,
    };
    if !view.admits(fingerprint) {
        return CompleteDecision::Answer(CompleteOutcome::Mismatch);
    }
    match view.state {
        State::Completed { not_kept, .. } => CompleteDecision::Answer(if same_result {
            CompleteOutcome::AlreadyCompleted { not_kept }
        } else {
            CompleteOutcome::Conflict // Invariant 4.
        }),
        State::Reserved { .. } | State::InDoubt { .. } => {
            let bound = view.fingerprint_bound_to(fingerprint);
            if bound == Fingerprint::Later {
                return CompleteDecision::Answer(CompleteOutcome::NeedFingerprint);
            }
            let doubt_number = view.doubt_number_standing(now);
            CompleteDecision::Accept(Acceptance { view, fingerprint: bound, doubt_number, now })
        }
    }
}

/// Decides whether the lease runs anew (S6, S8); binds a fingerprint that was `later` (S9).
pub fn renew(view: Option<&View>, request: &Renew, now: Timestamp) -> Decision<RenewOutcome> {
    let view = match holder(view, request.token, now) {
        Holder::Gone => return Decision::keep(RenewOutcome::Gone),
        Holder::Fenced => return Decision::keep(RenewOutcome::Fenced),
        Holder::Owner(view) => view.standing(now),
    };
    if !view.admits(request.fingerprint) {
        return Decision::keep(RenewOutcome::Mismatch);
    }
    match view.state {
        State::Completed { .. } => Decision::keep(RenewOutcome::Conflict),
        State::Reserved { .. } | State::InDoubt { .. } => {
            let view = view.bound_to(request.fingerprint).extended(request.lease, now);
            Decision::put(view, RenewOutcome::Renewed { lease_left: view.lease_left(now) })
        }
    }
}

/// Decides whether an acquisition is given up, and as what (S5, S8).
pub fn abandon(
    view: Option<&View>,
    token: Token,
    certainty: Certainty,
    now: Timestamp,
) -> Decision<AbandonOutcome> {
    let view = match holder(view, token, now) {
        Holder::Gone => return Decision::keep(AbandonOutcome::Gone),
        Holder::Fenced => return Decision::keep(AbandonOutcome::Fenced),
        Holder::Owner(view) => view.standing(now),
    };
    let since = match view.state {
        State::Completed { .. } => return Decision::keep(AbandonOutcome::Conflict),
        State::Reserved { lease_until, .. } => lease_until.min(now),
        State::InDoubt { since, .. } => since,
    };
    match certainty {
        Certainty::NotDone => Decision::remove(AbandonOutcome::Abandoned),
        Certainty::InDoubt => {
            let doubt_number = match view.state {
                State::Reserved { .. } => view.doubt_number.saturating_add(1),
                State::InDoubt { .. } | State::Completed { .. } => view.doubt_number,
            };
            let state = State::InDoubt { since, entered: Entered::ByAbandonment };
            Decision::put(View { state, doubt_number, ..view }, AbandonOutcome::Abandoned)
        }
    }
}

/// What checkpoint comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum CheckpointDecision {
    /// Tell this; nothing changes.
    Answer(CheckpointOutcome),
    /// Save the bytes if there is room, then tell.
    Save(CheckpointPermit),
}

/// A checkpoint that only lacks room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct CheckpointPermit {
    view: View,
    ordinal: u32,
}

impl CheckpointPermit {
    /// The entry to write together with the bytes, and the answer once both are written.
    pub const fn saving(self) -> (View, CheckpointOutcome) {
        let view = View { checkpoint_ordinal: self.ordinal, ..self.view };
        (view, CheckpointOutcome::Saved { ordinal: self.ordinal })
    }

    /// The answer when the bytes exceed what was set aside and there is no more.
    pub const fn refuse(self) -> CheckpointOutcome {
        CheckpointOutcome::Refused { reason: Refusal::Capacity }
    }
}

/// Decides whether bytes are left for a successor (S19).
pub fn checkpoint(
    view: Option<&View>,
    token: Token,
    ordinal: u32,
    now: Timestamp,
) -> CheckpointDecision {
    let view = match holder(view, token, now) {
        Holder::Gone => return CheckpointDecision::Answer(CheckpointOutcome::Gone),
        Holder::Fenced => return CheckpointDecision::Answer(CheckpointOutcome::Fenced),
        Holder::Owner(view) => view.standing(now),
    };
    match view.state {
        State::Completed { .. } => CheckpointDecision::Answer(CheckpointOutcome::Conflict),
        State::Reserved { .. } | State::InDoubt { .. } => {
            if view.fingerprint == Fingerprint::Later {
                return CheckpointDecision::Answer(CheckpointOutcome::NeedFingerprint);
            }
            let held = view.checkpoint_ordinal;
            if ordinal <= held {
                return CheckpointDecision::Answer(CheckpointOutcome::Saved { ordinal: held });
            }
            CheckpointDecision::Save(CheckpointPermit { view, ordinal })
        }
    }
}
