//! Faults of complete, renew, abandon and checkpoint.

use onceward_core::lifecycle::{Decision, Entered, State, Transition, View};
use onceward_core::{
    AbandonOutcome, Certainty, CheckpointOutcome, CompleteOutcome, Digest, Fence, Fingerprint,
    Policy, Renew, RenewOutcome, Timestamp, Token,
};

use super::{faults, lease_until, live, retention_seen_late, with_lease_until};
use crate::lifecycle::{Given, Lifecycle, Shipped, keep, put, remove};

type Completing = Decision<CompleteOutcome>;
type Renewing = Decision<RenewOutcome>;
type Abandoning = Decision<AbandonOutcome>;
type Saving = Decision<CheckpointOutcome>;

/// The token as one takes it who does not look at it.
fn any_token(view: Option<&View>, token: Token, now: Timestamp) -> Token {
    live(view, now).map_or(token, |view| view.token())
}

fn any_fence(view: Option<&View>, token: Token, now: Timestamp) -> Token {
    live(view, now).map_or(token, |view| Token { fence: view.fence, ..token })
}

fn any_attempt(view: Option<&View>, token: Token, now: Timestamp) -> Token {
    live(view, now).map_or(token, |view| Token { attempt_id: view.attempt_id, ..token })
}

/// The token as one takes it who lets larger fences pass.
fn larger_fence(view: Option<&View>, token: Token, now: Timestamp) -> Token {
    let fence = live(view, now).map_or(token.fence, |view: View| -> Fence {
        if token.fence > view.fence { view.fence } else { token.fence }
    });
    Token { fence, ..token }
}

/// Every operation of an owner with its token changed first.
macro_rules! with_token {
    ($change:ident) => {
        fn complete(
            &self,
            view: Option<&View>,
            token: Token,
            fingerprint: Option<Digest>,
            given: Given,
        ) -> Completing {
            Shipped.complete(view, $change(view, token, given.now), fingerprint, given)
        }
        fn renew(&self, view: Option<&View>, request: &Renew, given: Given) -> Renewing {
            let token = $change(view, request.token, given.now);
            Shipped.renew(view, &Renew { token, ..*request }, given)
        }
        fn abandon(
            &self,
            view: Option<&View>,
            token: Token,
            certainty: Certainty,
            given: Given,
        ) -> Abandoning {
            Shipped.abandon(view, $change(view, token, given.now), certainty, given)
        }
        fn checkpoint(
            &self,
            view: Option<&View>,
            token: Token,
            ordinal: u32,
            given: Given,
        ) -> Saving {
            Shipped.checkpoint(view, $change(view, token, given.now), ordinal, given)
        }
    };
}

/// The shipped renew, changed where it renews.
fn with_renewed(
    view: Option<&View>,
    request: &Renew,
    given: Given,
    change: impl FnOnce(&View, &mut View),
) -> Renewing {
    let mut renewing = Shipped.renew(view, request, given);
    if let (Some(before), Transition::Put(after)) =
        (live(view, given.now), &mut renewing.transition)
    {
        change(&before, after);
        if let Some(until) = lease_until(after) {
            renewing.outcome = RenewOutcome::Renewed { lease_left: given.now.until(until) };
        }
    }
    renewing
}

faults! {
    NoFenceCheck = "no token is checked" { with_token! { any_token } }
    FenceNotCompared = "a token's fence is not compared" { with_token! { any_fence } }
    LargerFencePasses = "a forged larger fence passes" { with_token! { larger_fence } }
    AttemptNotCompared = "a token's attempt id is not compared" { with_token! { any_attempt } }
    NoFenceCheckInComplete = "complete checks no token" {
        fn complete(
            &self,
            view: Option<&View>,
            token: Token,
            fingerprint: Option<Digest>,
            given: Given,
        ) -> Completing {
            Shipped.complete(view, any_token(view, token, given.now), fingerprint, given)
        }
    }
    NoFenceCheckInCheckpoint = "checkpoint checks no token" {
        fn checkpoint(
            &self,
            view: Option<&View>,
            token: Token,
            ordinal: u32,
            given: Given,
        ) -> Saving {
            Shipped.checkpoint(view, any_token(view, token, given.now), ordinal, given)
        }
    }
    LateCompleteRefused = "complete is Fenced once the lease has ended" {
        fn complete(
            &self,
            view: Option<&View>,
            token: Token,
            fingerprint: Option<Digest>,
            given: Given,
        ) -> Completing {
            let completing = Shipped.complete(view, token, fingerprint, given);
            match (live(view, given.now), completing.transition) {
                (Some(view), Transition::Put(_)) if !view.lease_runs(given.now) => {
                    keep(CompleteOutcome::Fenced)
                }
                (_, _) => completing,
            }
        }
    }
    CompletesAfterRetention = "complete is accepted at the end of the retention" {
        fn complete(
            &self,
            view: Option<&View>,
            token: Token,
            fingerprint: Option<Digest>,
            given: Given,
        ) -> Completing {
            let view = retention_seen_late(view, given.now);
            Shipped.complete(view.as_ref(), token, fingerprint, given)
        }
    }
    SecondResultStored = "a second result overwrites the first" {
        fn complete(
            &self,
            view: Option<&View>,
            token: Token,
            fingerprint: Option<Digest>,
            given: Given,
        ) -> Completing {
            let completing = Shipped.complete(view, token, fingerprint, given);
            match (live(view, given.now), completing.outcome) {
                (Some(view), CompleteOutcome::Conflict) => {
                    let not_kept = given.not_kept;
                    let state = State::Completed { completed_at: given.now, not_kept };
                    put(View { state, ..view }, CompleteOutcome::Completed { not_kept })
                }
                (_, _) => completing,
            }
        }
    }
    SameResultConflicts = "the same result once more is a conflict" {
        fn complete(
            &self,
            view: Option<&View>,
            token: Token,
            fingerprint: Option<Digest>,
            given: Given,
        ) -> Completing {
            let given = Given { same_result: false, ..given };
            Shipped.complete(view, token, fingerprint, given)
        }
    }
    CompleteIgnoresMismatch = "complete accepts another fingerprint than the bound one" {
        fn complete(
            &self,
            view: Option<&View>,
            token: Token,
            fingerprint: Option<Digest>,
            given: Given,
        ) -> Completing {
            let named = match live(view, given.now).map(|view| view.fingerprint) {
                Some(Fingerprint::Later) => fingerprint,
                Some(Fingerprint::Digest(_) | Fingerprint::None) | None => None,
            };
            Shipped.complete(view, token, named, given)
        }
    }
    CompleteBindsNothing = "complete stores a result with nothing bound" {
        fn complete(
            &self,
            view: Option<&View>,
            token: Token,
            fingerprint: Option<Digest>,
            given: Given,
        ) -> Completing {
            let completing = Shipped.complete(view, token, fingerprint, given);
            match (live(view, given.now), completing.outcome) {
                (Some(view), CompleteOutcome::NeedFingerprint) => {
                    let view = View { fingerprint: Fingerprint::None, ..view };
                    Shipped.complete(Some(&view), token, fingerprint, given)
                }
                (_, _) => completing,
            }
        }
    }
    RenewMovesBack = "a renew moves the deadline back" {
        fn renew(&self, view: Option<&View>, request: &Renew, given: Given) -> Renewing {
            with_renewed(view, request, given, |_, after| {
                let until = given.now.after(request.lease).min(after.expires_at);
                *after = with_lease_until(*after, until);
            })
        }
    }
    RenewMovesBackSilently = "a renew moves the deadline back and does not say so" {
        fn renew(&self, view: Option<&View>, request: &Renew, given: Given) -> Renewing {
            let outcome = Shipped.renew(view, request, given).outcome;
            let renewing = RenewMovesBack.renew(view, request, given);
            Decision { transition: renewing.transition, outcome }
        }
    }
    RenewAdds = "a renew adds the lease to what is left" {
        fn renew(&self, view: Option<&View>, request: &Renew, given: Given) -> Renewing {
            with_renewed(view, request, given, |before, after| {
                if let Some(until) = lease_until(before) {
                    let until = until.after(request.lease).min(after.expires_at);
                    *after = with_lease_until(*after, until);
                }
            })
        }
    }
    RenewOutlastsRetention = "a renewed lease outlasts the retention" {
        fn renew(&self, view: Option<&View>, request: &Renew, given: Given) -> Renewing {
            with_renewed(view, request, given, |_, after| {
                *after = with_lease_until(*after, given.now.after(request.lease));
            })
        }
    }
    RenewBindsNothing = "a renew does not bind the fingerprint it names" {
        fn renew(&self, view: Option<&View>, request: &Renew, given: Given) -> Renewing {
            with_renewed(view, request, given, |before, after| {
                after.fingerprint = before.fingerprint;
            })
        }
    }
    RenewRebinds = "a renew binds over what is bound" {
        fn renew(&self, view: Option<&View>, request: &Renew, given: Given) -> Renewing {
            let renewing = Shipped.renew(view, request, given);
            match (live(view, given.now), request.fingerprint, renewing.outcome) {
                (Some(view), Some(named), RenewOutcome::Mismatch) => {
                    let view = View { fingerprint: named.into(), ..view };
                    Shipped.renew(Some(&view), request, given)
                }
                (_, _, _) => renewing,
            }
        }
    }
    RenewForgetsDoubts = "a renew starts the doubt number anew" {
        fn renew(&self, view: Option<&View>, request: &Renew, given: Given) -> Renewing {
            with_renewed(view, request, given, |_, after| after.doubt_number = 0)
        }
    }
    RenewOpensToTakeover = "a renew after abandon \"in doubt\" makes the policy takeover" {
        fn renew(&self, view: Option<&View>, request: &Renew, given: Given) -> Renewing {
            with_renewed(view, request, given, |before, after| {
                if let (
                    State::InDoubt { entered: Entered::ByAbandonment, .. },
                    State::Reserved { policy, .. },
                ) = (before.state, &mut after.state)
                {
                    *policy = Policy::Takeover;
                }
            })
        }
    }
    AbandonAfterComplete = "abandon after complete removes the result" {
        fn abandon(
            &self,
            view: Option<&View>,
            token: Token,
            certainty: Certainty,
            given: Given,
        ) -> Abandoning {
            match Shipped.abandon(view, token, certainty, given) {
                Decision { outcome: AbandonOutcome::Conflict, .. } => {
                    remove(AbandonOutcome::Abandoned)
                }
                abandoning => abandoning,
            }
        }
    }
    AbandonInDoubtKeepsLease = "abandon \"in doubt\" lets the lease run on" {
        fn abandon(
            &self,
            view: Option<&View>,
            token: Token,
            certainty: Certainty,
            given: Given,
        ) -> Abandoning {
            let abandoning = Shipped.abandon(view, token, certainty, given);
            match (live(view, given.now), abandoning.transition) {
                (Some(before), Transition::Put(_)) => {
                    let Some(until) = lease_until(&before) else { return abandoning };
                    let state = State::Reserved { lease_until: until, policy: Policy::InDoubt };
                    put(View { state, ..before }, abandoning.outcome)
                }
                (_, _) => abandoning,
            }
        }
    }
    AbandonRemovesDoubt = "abandon \"in doubt\" is taken for \"not done\"" {
        fn abandon(
            &self,
            view: Option<&View>,
            token: Token,
            _: Certainty,
            given: Given,
        ) -> Abandoning {
            Shipped.abandon(view, token, Certainty::NotDone, given)
        }
    }
    AbandonCountsNoDoubt = "abandon \"in doubt\" does not count as a doubt" {
        fn abandon(
            &self,
            view: Option<&View>,
            token: Token,
            certainty: Certainty,
            given: Given,
        ) -> Abandoning {
            let mut abandoning = Shipped.abandon(view, token, certainty, given);
            if let (Some(before), Transition::Put(after)) =
                (live(view, given.now), &mut abandoning.transition)
            {
                after.doubt_number = before.doubt_number;
            }
            abandoning
        }
    }
    CheckpointGoesBack = "a checkpoint with a lower ordinal is saved" {
        fn checkpoint(
            &self,
            view: Option<&View>,
            token: Token,
            ordinal: u32,
            given: Given,
        ) -> Saving {
            let saving = Shipped.checkpoint(view, token, ordinal, given);
            match (live(view, given.now), saving.outcome) {
                (Some(view), CheckpointOutcome::Saved { ordinal: held }) if held > ordinal => {
                    let view = View { checkpoint_ordinal: ordinal, ..view };
                    put(view, CheckpointOutcome::Saved { ordinal })
                }
                (_, _) => saving,
            }
        }
    }
    CheckpointReplacesEqual = "a checkpoint with an equal ordinal replaces the bytes" {
        fn checkpoint(
            &self,
            view: Option<&View>,
            token: Token,
            ordinal: u32,
            given: Given,
        ) -> Saving {
            let saving = Shipped.checkpoint(view, token, ordinal, given);
            match (live(view, given.now), saving.outcome) {
                (Some(view), CheckpointOutcome::Saved { ordinal: held }) if held == ordinal => {
                    put(view, saving.outcome)
                }
                (_, _) => saving,
            }
        }
    }
    CheckpointUnbound = "a checkpoint is saved with nothing bound" {
        fn checkpoint(
            &self,
            view: Option<&View>,
            token: Token,
            ordinal: u32,
            given: Given,
        ) -> Saving {
            let saving = Shipped.checkpoint(view, token, ordinal, given);
            match (live(view, given.now), saving.outcome) {
                (Some(view), CheckpointOutcome::NeedFingerprint) => {
                    let view = View { checkpoint_ordinal: ordinal, ..view };
                    put(view, CheckpointOutcome::Saved { ordinal })
                }
                (_, _) => saving,
            }
        }
    }
}
