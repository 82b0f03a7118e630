//! Looking, and the operator's verdicts: get, resolve, forget.

use super::owner::Acceptance;
use super::{Decision, State, View, begin};
use crate::fingerprint::{Digest, Fingerprint};
use crate::outcome::{Completed, ForgetOutcome, GetOutcome, ResolveOutcome};
use crate::time::{Millis, Timestamp};
use crate::token::Fence;

/// What the identity looks like. Never changes anything; Completed comes without bytes, which
/// the store fills in from the same version.
#[must_use]
pub fn get(view: Option<&View>, now: Timestamp) -> GetOutcome<()> {
    let Some(view) = view.and_then(|view| view.at(now)) else {
        return GetOutcome::Absent;
    };
    let (attempt_number, fence) = (view.attempt_number, Some(view.fence));
    match view.state {
        State::Reserved { .. } => GetOutcome::Reserved {
            age: view.age(now),
            attempt_number,
            lease_left: view.lease_left(now),
            fence,
            doubt_number: view.doubt_number_at(now),
        },
        State::InDoubt { since, .. } => GetOutcome::InDoubt {
            since: now.since(since),
            attempt_number,
            fence,
            doubt_number: view.doubt_number,
        },
        State::Completed { not_kept, .. } => GetOutcome::Completed(Completed {
            result: begin::stored(not_kept),
            age: view.age(now),
            attempt_number,
            retention_left: now.until(view.expires_at),
            fence,
        }),
    }
}

/// What resolve comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum ResolveDecision<'a> {
    /// Apply and tell.
    Decided(Decision<ResolveOutcome>),
    /// Store the verdict's result, then tell `Resolved`.
    Accept(Acceptance<'a>),
}

/// A verdict without its bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Finding {
    /// The work was done.
    Completed {
        /// Binds a fingerprint that was `later`.
        fingerprint: Option<Digest>,
        /// Whether the verdict's result equals the stored one; read only in COMPLETED.
        same_result: bool,
    },
    /// The work was never done.
    NeverDone,
}

/// Decides whether a verdict ends a doubt, or an acquisition whose lease has ended (S8).
pub fn resolve(
    view: Option<&View>,
    fence: Fence,
    doubt_number: u32,
    finding: Finding,
    now: Timestamp,
) -> ResolveDecision<'_> {
    let answer = |outcome| ResolveDecision::Decided(Decision::keep(outcome));
    let Some((held, view)) = view.and_then(|view| Some((view, view.at(now)?))) else {
        return answer(ResolveOutcome::Gone);
    };
    if view.fence != fence {
        return answer(ResolveOutcome::Fenced);
    }
    if let Finding::Completed { fingerprint, .. } = finding
        && !view.admits(fingerprint)
    {
        return answer(ResolveOutcome::Mismatch);
    }
    match view.state {
        State::Completed { .. } => {
            let same = matches!(finding, Finding::Completed { same_result: true, .. });
            return answer(if same { ResolveOutcome::Resolved } else { ResolveOutcome::Conflict });
        }
        State::Reserved { .. } if view.lease_runs(now) => {
            return answer(ResolveOutcome::InProgress);
        }
        State::Reserved { .. } | State::InDoubt { .. } => {}
    }
    if view.doubt_number_at(now) != doubt_number {
        return answer(ResolveOutcome::Fenced); // A verdict on an earlier doubt.
    }
    match finding {
        Finding::NeverDone => ResolveDecision::Decided(Decision::remove(ResolveOutcome::Resolved)),
        Finding::Completed { fingerprint, .. } => {
            let fingerprint = view.fingerprint_bound_to(fingerprint);
            if fingerprint == Fingerprint::Later {
                return answer(ResolveOutcome::NeedFingerprint);
            }
            ResolveDecision::Accept(Acceptance { view: held, fingerprint, doubt_number, now })
        }
    }
}

/// Decides whether an identity becomes absent by request.
pub fn forget(view: Option<&View>, fence: Fence, now: Timestamp) -> Decision<ForgetOutcome> {
    let Some(view) = view.and_then(|view| view.at(now)) else {
        return Decision::keep(ForgetOutcome::Gone);
    };
    if view.fence != fence {
        return Decision::keep(ForgetOutcome::Fenced);
    }
    if view.lease_runs(now) {
        return Decision::keep(ForgetOutcome::InProgress);
    }
    Decision::remove(ForgetOutcome::Forgotten)
}

impl View {
    /// Until the identity is absent again.
    #[must_use]
    pub fn retention_left(&self, now: Timestamp) -> Millis {
        now.until(self.expires_at)
    }
}
