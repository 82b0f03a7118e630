//! Faults of begin.

use onceward_core::lifecycle::{State, Transition, View};
use onceward_core::{Begin, BeginOutcome, Fence, Fingerprint, Millis, Policy};

use super::{
    faults, lease_seen_early, lease_seen_late, lease_until, live, retention_seen_early,
    retention_seen_late, with_lease_until,
};
use crate::lifecycle::{Begun, Given, Lifecycle, Shipped, keep, put};

fn is_own(view: &View, request: &Begin) -> bool {
    view.attempt_id == request.attempt_id
}

/// The shipped decision, changed where it is an acquisition over a live entry of another attempt.
fn with_takeover(
    view: Option<&View>,
    request: &Begin,
    given: Given,
    change: impl FnOnce(&View, &mut View),
) -> Begun {
    with_put(view, request, given, |before, after| {
        if !is_own(before, request) {
            change(before, after);
        }
    })
}

/// The shipped decision, changed where it is the owner's own repeat.
fn with_repeat(
    view: Option<&View>,
    request: &Begin,
    given: Given,
    change: impl FnOnce(&View, &mut View),
) -> Begun {
    with_put(view, request, given, |before, after| {
        if is_own(before, request) {
            change(before, after);
        }
    })
}

/// The shipped decision, with the entry it writes over a live one changed, and the answer with it.
fn with_put(
    view: Option<&View>,
    request: &Begin,
    given: Given,
    change: impl FnOnce(&View, &mut View),
) -> Begun {
    let mut begun = Shipped.begin(view, request, given);
    if let (Some(before), Transition::Put(after)) = (live(view, given.now), &mut begun.transition) {
        change(&before, after);
        if let BeginOutcome::Acquired(acquired) = &mut begun.outcome {
            acquired.token = after.token();
            acquired.attempt_number = after.attempt_number;
            acquired.retention_left = given.now.until(after.expires_at);
            if let Some(until) = lease_until(after) {
                acquired.lease_left = given.now.until(until);
            }
            if after.checkpoint_ordinal == 0 {
                acquired.checkpoint = None;
            }
        }
    }
    begun
}

faults! {
    LeaseEndsLate = "begin takes the lease to run at its end" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            Shipped.begin(lease_seen_late(view, given.now).as_ref(), request, given)
        }
    }
    LeaseEndsEarly = "begin takes the lease to end one millisecond early" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            Shipped.begin(lease_seen_early(view, given.now).as_ref(), request, given)
        }
    }
    RetentionEndsLate = "begin takes the identity to be live at the end of its retention" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            Shipped.begin(retention_seen_late(view, given.now).as_ref(), request, given)
        }
    }
    RetentionEndsEarly = "begin takes the identity to be absent one millisecond early" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            Shipped.begin(retention_seen_early(view, given.now).as_ref(), request, given)
        }
    }
    MismatchAfterInProgress = "mismatch is checked after in progress" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            let begun = Shipped.begin(view, request, given);
            match live(view, given.now) {
                Some(view)
                    if begun.outcome == BeginOutcome::Mismatch
                        && view.lease_runs(given.now)
                        && !is_own(&view, request) =>
                {
                    let matching = Begin { fingerprint: view.fingerprint, ..*request };
                    Shipped.begin(Some(&view), &matching, given)
                }
                Some(_) | None => begun,
            }
        }
    }
    MismatchAfterCompleted = "a completed identity is replayed to another fingerprint" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            let begun = Shipped.begin(view, request, given);
            match live(view, given.now) {
                Some(view)
                    if begun.outcome == BeginOutcome::Mismatch
                        && matches!(view.state, State::Completed { .. }) =>
                {
                    let matching = Begin { fingerprint: view.fingerprint, ..*request };
                    Shipped.begin(Some(&view), &matching, given)
                }
                Some(_) | None => begun,
            }
        }
    }
    NoneMatchesAll = "`none` matches whatever is bound" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            match live(view, given.now) {
                Some(live) if request.fingerprint == Fingerprint::None => {
                    let matching = Begin { fingerprint: live.fingerprint, ..*request };
                    Shipped.begin(view, &matching, given)
                }
                Some(_) | None => Shipped.begin(view, request, given),
            }
        }
    }
    LaterMatchesAll = "another's `later` matches what is bound" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            let begun = Shipped.begin(view, request, given);
            match live(view, given.now) {
                Some(live) if begun.outcome == BeginOutcome::NeedFingerprint => {
                    let matching = Begin { fingerprint: live.fingerprint, ..*request };
                    Shipped.begin(view, &matching, given)
                }
                Some(_) | None => begun,
            }
        }
    }
    OwnLaterNeedsFingerprint = "the owner's own `later` no longer matches once it is bound" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            match live(view, given.now) {
                Some(view)
                    if request.fingerprint == Fingerprint::Later
                        && matches!(view.fingerprint, Fingerprint::Digest(_)) =>
                {
                    keep(BeginOutcome::NeedFingerprint)
                }
                Some(_) | None => Shipped.begin(view, request, given),
            }
        }
    }
    OwnAttemptInProgress = "the owner's own attempt id is answered as in progress" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            let begun = Shipped.begin(view, request, given);
            match live(view, given.now) {
                Some(view)
                    if matches!(begun.outcome, BeginOutcome::Acquired(_))
                        && is_own(&view, request)
                        && view.lease_runs(given.now) =>
                {
                    keep(BeginOutcome::InProgress {
                        retry_after: lease_until(&view)
                            .map_or(Millis::ZERO, |until| given.now.until(until)),
                        age: view.age(given.now),
                        attempt_number: view.attempt_number,
                    })
                }
                Some(_) | None => begun,
            }
        }
    }
    EndedAttemptAcquires = "an attempt that has ended acquires again" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            Shipped.begin(view, request, Given { attempt_ended: false, ..given })
        }
    }
    InDoubtTakenOver = "what is in doubt is taken over" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            let begun = Shipped.begin(view, request, given);
            match (live(view, given.now), begun.outcome) {
                (Some(view), BeginOutcome::InDoubt { .. }) => {
                    let state =
                        State::Reserved { lease_until: given.now, policy: Policy::Takeover };
                    Shipped.begin(Some(&View { state, ..view }), request, given)
                }
                (_, _) => begun,
            }
        }
    }
    TakeoverKeepsFence = "a takeover keeps the fence" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            with_takeover(view, request, given, |before, after| after.fence = before.fence)
        }
    }
    TakeoverKeepsPolicy = "a takeover keeps the predecessor's policy" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            with_takeover(view, request, given, |before, after| {
                if let (State::Reserved { policy: old, .. }, State::Reserved { policy, .. }) =
                    (before.state, &mut after.state)
                {
                    *policy = old;
                }
            })
        }
    }
    TakeoverKeepsUnbound = "a takeover leaves the fingerprint unbound" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            with_takeover(view, request, given, |before, after| {
                after.fingerprint = before.fingerprint;
            })
        }
    }
    TakeoverKeepsDoubts = "a takeover inherits the doubt number" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            with_takeover(view, request, given, |before, after| {
                after.doubt_number = before.doubt_number_at(given.now);
            })
        }
    }
    TakeoverCountsNoAttempt = "a takeover keeps the attempt number" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            with_takeover(view, request, given, |before, after| {
                after.attempt_number = before.attempt_number;
            })
        }
    }
    TakeoverExtendsRetention = "a takeover starts the retention anew" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            with_takeover(view, request, given, |_, after| {
                after.expires_at = given.now.after(request.retention);
            })
        }
    }
    TakeoverLosesCheckpoint = "a takeover loses the checkpoint" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            with_takeover(view, request, given, |_, after| after.checkpoint_ordinal = 0)
        }
    }
    TakeoverRefused = "a takeover is refused for lack of room" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            let begun = Shipped.begin(view, request, given);
            let takes_over = live(view, given.now).is_some_and(|view| !is_own(&view, request));
            match begun.transition {
                Transition::Put(_) if takes_over && !given.room => {
                    keep(BeginOutcome::Refused {
                        reason: onceward_core::Refusal::Capacity,
                        retry_after: None,
                    })
                }
                Transition::Put(_) | Transition::Keep | Transition::Remove => begun,
            }
        }
    }
    LeaseOutlastsRetention = "a takeover's lease outlasts the retention" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            with_takeover(view, request, given, |_, after| {
                *after = with_lease_until(*after, given.now.after(request.lease));
            })
        }
    }
    FenceReused = "a first acquisition starts again at the first fence" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            let first = Fence::new(1).unwrap_or(given.fence);
            let fence = if live(view, given.now).is_some() { given.fence } else { first };
            Shipped.begin(view, request, Given { fence, ..given })
        }
    }
    RepeatBinds = "a repeated begin binds the fingerprint" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            with_repeat(view, request, given, |before, after| {
                if before.fingerprint == Fingerprint::Later {
                    after.fingerprint = request.fingerprint;
                }
            })
        }
    }
    RepeatDrawsFence = "a repeated begin gets a new fence" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            with_repeat(view, request, given, |_, after| after.fence = given.fence)
        }
    }
    RepeatChangesPolicy = "a repeated begin changes the policy" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            with_repeat(view, request, given, |_, after| {
                if let State::Reserved { policy, .. } = &mut after.state {
                    *policy = request.policy;
                }
            })
        }
    }
    RepeatExtendsRetention = "a repeated begin starts the retention anew" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            with_repeat(view, request, given, |_, after| {
                after.expires_at = given.now.after(request.retention);
            })
        }
    }
    RepeatMovesBack = "a repeated begin moves the deadline back" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            with_repeat(view, request, given, |_, after| {
                let until = given.now.after(request.lease).min(after.expires_at);
                *after = with_lease_until(*after, until);
            })
        }
    }
    RepeatCountsAttempt = "a repeated begin after the lease has ended counts as a takeover" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            with_repeat(view, request, given, |before, after| {
                if !before.lease_runs(given.now) {
                    after.attempt_number += 1;
                }
            })
        }
    }
    RepeatLeavesInDoubt = "a repeated begin leaves the identity in doubt" {
        fn begin(&self, view: Option<&View>, request: &Begin, given: Given) -> Begun {
            let begun = Shipped.begin(view, request, given);
            match (live(view, given.now), begun.transition) {
                (Some(before), Transition::Put(_))
                    if is_own(&before, request)
                        && matches!(before.state, State::InDoubt { .. }) =>
                {
                    put(before, begun.outcome)
                }
                (_, _) => begun,
            }
        }
    }
}
