//! Faults of get, resolve and forget, and of what all operations see.

use onceward_core::lifecycle::{Decision, Finding, View};
use onceward_core::{Fence, Fingerprint, ForgetOutcome, GetOutcome, ResolveOutcome, Timestamp};

use super::{
    faults, lease_seen_early, lease_seen_late, live, retention_seen_early, retention_seen_late,
};
use crate::lifecycle::{Given, Lifecycle, Shipped, remove};

type Resolving = Decision<ResolveOutcome>;
type Forgetting = Decision<ForgetOutcome>;

fn any_fence(view: Option<&View>, fence: Fence, now: Timestamp) -> Fence {
    live(view, now).map_or(fence, |view| view.fence)
}

faults! {
    GetSeesLeaseLate = "get takes the lease to run at its end" {
        fn get(&self, view: Option<&View>, given: Given) -> GetOutcome<()> {
            Shipped.get(lease_seen_late(view, given.now).as_ref(), given)
        }
    }
    GetSeesRetentionLate = "get takes the identity to be live at the end of its retention" {
        fn get(&self, view: Option<&View>, given: Given) -> GetOutcome<()> {
            Shipped.get(retention_seen_late(view, given.now).as_ref(), given)
        }
    }
    GetSeesRetentionEarly = "get takes the identity to be absent one millisecond early" {
        fn get(&self, view: Option<&View>, given: Given) -> GetOutcome<()> {
            Shipped.get(retention_seen_early(view, given.now).as_ref(), given)
        }
    }
    ResolveSeesLeaseLate = "resolve takes the lease to run at its end" {
        fn resolve(
            &self,
            view: Option<&View>,
            fence: Fence,
            doubt_number: u32,
            finding: Finding,
            given: Given,
        ) -> Resolving {
            let view = lease_seen_late(view, given.now);
            Shipped.resolve(view.as_ref(), fence, doubt_number, finding, given)
        }
    }
    ResolveSeesLeaseEarly = "resolve takes the lease to end one millisecond early" {
        fn resolve(
            &self,
            view: Option<&View>,
            fence: Fence,
            doubt_number: u32,
            finding: Finding,
            given: Given,
        ) -> Resolving {
            let view = lease_seen_early(view, given.now);
            Shipped.resolve(view.as_ref(), fence, doubt_number, finding, given)
        }
    }
    ResolveChecksNoFence = "resolve checks no fence" {
        fn resolve(
            &self,
            view: Option<&View>,
            fence: Fence,
            doubt_number: u32,
            finding: Finding,
            given: Given,
        ) -> Resolving {
            let fence = any_fence(view, fence, given.now);
            Shipped.resolve(view, fence, doubt_number, finding, given)
        }
    }
    ResolveIgnoresDoubtNumber = "resolve ignores the doubt number" {
        fn resolve(
            &self,
            view: Option<&View>,
            fence: Fence,
            doubt_number: u32,
            finding: Finding,
            given: Given,
        ) -> Resolving {
            let current = live(view, given.now).map(|view| view.doubt_number_at(given.now));
            Shipped.resolve(view, fence, current.unwrap_or(doubt_number), finding, given)
        }
    }
    ResolveTakesEarlierDoubt = "resolve accepts a verdict on an earlier doubt" {
        fn resolve(
            &self,
            view: Option<&View>,
            fence: Fence,
            doubt_number: u32,
            finding: Finding,
            given: Given,
        ) -> Resolving {
            let current = live(view, given.now).map(|view| view.doubt_number_at(given.now));
            let number = current.unwrap_or(doubt_number).min(doubt_number.saturating_add(1));
            Shipped.resolve(view, fence, number.max(doubt_number), finding, given)
        }
    }
    ResolveEndsLease = "resolve ends a lease that runs" {
        fn resolve(
            &self,
            view: Option<&View>,
            fence: Fence,
            doubt_number: u32,
            finding: Finding,
            given: Given,
        ) -> Resolving {
            match Shipped.resolve(view, fence, doubt_number, finding, given) {
                Decision { outcome: ResolveOutcome::InProgress, .. } => {
                    remove(ResolveOutcome::Resolved)
                }
                resolving => resolving,
            }
        }
    }
    ResolveRemovesResult = "resolve as never done removes a stored result" {
        fn resolve(
            &self,
            view: Option<&View>,
            fence: Fence,
            doubt_number: u32,
            finding: Finding,
            given: Given,
        ) -> Resolving {
            let resolving = Shipped.resolve(view, fence, doubt_number, finding, given);
            match (finding, resolving.outcome) {
                (Finding::NeverDone, ResolveOutcome::Conflict) => {
                    remove(ResolveOutcome::Resolved)
                }
                (_, _) => resolving,
            }
        }
    }
    ResolveBindsNothing = "resolve stores a result with nothing bound" {
        fn resolve(
            &self,
            view: Option<&View>,
            fence: Fence,
            doubt_number: u32,
            finding: Finding,
            given: Given,
        ) -> Resolving {
            let resolving = Shipped.resolve(view, fence, doubt_number, finding, given);
            match (live(view, given.now), resolving.outcome) {
                (Some(view), ResolveOutcome::NeedFingerprint) => {
                    let view = View { fingerprint: Fingerprint::None, ..view };
                    Shipped.resolve(Some(&view), fence, doubt_number, finding, given)
                }
                (_, _) => resolving,
            }
        }
    }
    ForgetSeesLeaseLate = "forget takes the lease to run at its end" {
        fn forget(&self, view: Option<&View>, fence: Fence, given: Given) -> Forgetting {
            Shipped.forget(lease_seen_late(view, given.now).as_ref(), fence, given)
        }
    }
    ForgetEndsLease = "forget ends a lease that runs" {
        fn forget(&self, view: Option<&View>, fence: Fence, given: Given) -> Forgetting {
            match Shipped.forget(view, fence, given) {
                Decision { outcome: ForgetOutcome::InProgress, .. } => {
                    remove(ForgetOutcome::Forgotten)
                }
                forgetting => forgetting,
            }
        }
    }
    ForgetChecksNoFence = "forget checks no fence" {
        fn forget(&self, view: Option<&View>, fence: Fence, given: Given) -> Forgetting {
            Shipped.forget(view, any_fence(view, fence, given.now), given)
        }
    }
}
