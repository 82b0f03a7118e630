//! The lifecycle behind a trait, so that faults can be planted around the shipped functions.

use onceward_core::lifecycle::{
    self, BeginDecision, CheckpointDecision, CompleteDecision, Decision, Finding, ResolveDecision,
    Transition, View,
};
use onceward_core::{
    AbandonOutcome, Begin, BeginOutcome, Certainty, CheckpointOutcome, CompleteOutcome, Digest,
    Fence, ForgetOutcome, GetOutcome, NotKept, Refusal, Renew, RenewOutcome, ResolveOutcome,
    Timestamp, Token,
};

/// What the store gives a decision beside the entry itself.
#[derive(Clone, Copy)]
pub(crate) struct Given {
    /// The instant of the request.
    pub(crate) now: Timestamp,
    /// A fence larger than all before, in case one is needed.
    pub(crate) fence: Fence,
    /// Whether one more entry has room.
    pub(crate) room: bool,
    /// Whether the begin's attempt id is remembered as ended.
    pub(crate) attempt_ended: bool,
    /// Whether the offered result equals the stored one.
    pub(crate) same_result: bool,
    /// Why the offered body cannot be kept, if so.
    pub(crate) not_kept: Option<NotKept>,
}

/// All operations. Each default is the shipped function, with its permit exercised.
pub(crate) trait Lifecycle {
    fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
        match lifecycle::begin(view, request, given.attempt_ended, given.now) {
            BeginDecision::Decided(decision) => decision,
            BeginDecision::Acquire(grant) => {
                if !grant.is_takeover() && !given.room {
                    return keep(grant.refuse(Refusal::Capacity, None));
                }
                let (view, outcome) = grant.with_fence(given.fence);
                put(view, outcome)
            }
        }
    }

    fn complete(
        &self,
        view: Option<&View>,
        token: Token,
        fingerprint: Option<Digest>,
        given: Given,
    ) -> Decision<CompleteOutcome> {
        match lifecycle::complete(view, token, fingerprint, given.same_result, given.now) {
            CompleteDecision::Answer(outcome) => keep(outcome),
            CompleteDecision::Accept(acceptance) => {
                let not_kept = given.not_kept;
                put(acceptance.storing(not_kept), CompleteOutcome::Completed { not_kept })
            }
        }
    }

    fn renew(&self, view: Option<&View>, request: &Renew, given: Given) -> Decision<RenewOutcome> {
        lifecycle::renew(view, request, given.now)
    }

    fn abandon(
        &self,
        view: Option<&View>,
        token: Token,
        certainty: Certainty,
        given: Given,
    ) -> Decision<AbandonOutcome> {
        lifecycle::abandon(view, token, certainty, given.now)
    }

    fn checkpoint(
        &self,
        view: Option<&View>,
        token: Token,
        ordinal: u32,
        given: Given,
    ) -> Decision<CheckpointOutcome> {
        match lifecycle::checkpoint(view, token, ordinal, given.now) {
            CheckpointDecision::Answer(outcome) => keep(outcome),
            CheckpointDecision::Save(permit) => {
                let (view, outcome) = permit.saving();
                put(view, outcome)
            }
        }
    }

    fn get(&self, view: Option<&View>, given: Given) -> GetOutcome<()> {
        lifecycle::get(view, given.now)
    }

    fn resolve(
        &self,
        view: Option<&View>,
        fence: Fence,
        doubt_number: u32,
        finding: Finding,
        given: Given,
    ) -> Decision<ResolveOutcome> {
        match lifecycle::resolve(view, fence, doubt_number, finding, given.now) {
            ResolveDecision::Decided(decision) => decision,
            ResolveDecision::Accept(acceptance) => {
                put(acceptance.storing(given.not_kept), ResolveOutcome::Resolved)
            }
        }
    }

    fn forget(&self, view: Option<&View>, fence: Fence, given: Given) -> Decision<ForgetOutcome> {
        lifecycle::forget(view, fence, given.now)
    }
}

/// What begin comes to, its permit exercised.
pub(crate) type Begun = Decision<BeginOutcome<()>>;

/// The lifecycle as it is.
pub(crate) struct Shipped;

impl Lifecycle for Shipped {}

pub(crate) const fn keep<O>(outcome: O) -> Decision<O> {
    Decision { transition: Transition::Keep, outcome }
}

pub(crate) const fn put<O>(view: View, outcome: O) -> Decision<O> {
    Decision { transition: Transition::Put(view), outcome }
}

pub(crate) const fn remove<O>(outcome: O) -> Decision<O> {
    Decision { transition: Transition::Remove, outcome }
}
