//! What a change is as a fact (S14). Pure.

use onceward_core::lifecycle::{Entered, State, View};
use onceward_core::{Digest, Fingerprint, Timestamp};

use crate::facts::{Event, Fact, SetAside};
use crate::planted::{Bug, planted};
use crate::storage::{Change, Charge, Hashed, digest};

/// The fact that `change` makes of the entry that was looked at, if there is one; `None` if a
/// restart may do without: a lease no longer than any before it, and what changes nothing.
///
/// `charge` is the entry's before the change.
pub(super) fn fact_of<'a>(
    id: &Hashed<'a>,
    before: Option<&View>,
    charge: Charge,
    change: &Change<'a>,
    now: Timestamp,
) -> Option<Fact<'a>> {
    let acquired = |view: &'a View, previous, charge: Charge| {
        let set_aside = SetAside { result: charge.result, checkpoint: charge.checkpoint };
        Event::Acquired { identity: id.identity, view, previous, set_aside }
    };
    // Whose acquisition it is, as it stands before the change or is made by it.
    let (of, event) = match *change {
        Change::Insert { view, charge, .. } => (view, acquired(view, None, charge)),
        Change::Update { view } => {
            let before = before?;
            if before.fence != view.fence {
                (view, acquired(view, Some(before.fence), charge))
            } else {
                (before, update_of(before, view)?)
            }
        }
        Change::Checkpoint { view, bytes, .. } => {
            (view, Event::Checkpointed { ordinal: view.checkpoint_ordinal, bytes })
        }
        Change::Complete { view, offered, stored, .. } => {
            let (before, not_kept) = (before?, stored.not_kept().is_some());
            if not_kept && planted(Bug::BodyLessCompleteNotLogged) {
                return None;
            }
            let digest = not_kept.then(|| digest(offered));
            let bound = newly_bound(before, view);
            (before, Event::Completed { result: *stored, digest, bound })
        }
        Change::InsertCompleted { .. } => return None, // It is known from its fact.
        Change::Remove { .. } => (before?, Event::Removed),
    };
    Some(Fact {
        fence: of.fence,
        at: now,
        expires_at: of.expires_at,
        // Once completed, an entry counts from there.
        retention: of.acquired_at.until(of.expires_at),
        event,
    })
}

/// Of an update that leaves the owner as it was.
fn update_of<'a>(before: &View, after: &View) -> Option<Event<'a>> {
    let by_abandonment =
        |view: &View| matches!(view.state, State::InDoubt { entered: Entered::ByAbandonment, .. });
    match after.state {
        State::InDoubt { .. } => (by_abandonment(after) && !by_abandonment(before))
            .then_some(Event::Doubted { doubt_number: after.doubt_number }),
        State::Reserved { .. } => {
            let bound = newly_bound(before, after);
            let leaves = by_abandonment(before);
            let longer =
                after.longest_lease > before.longest_lease && !planted(Bug::LongerRenewNotLogged);
            let bound = bound.filter(|_| !planted(Bug::BindNotLogged));
            (longer || leaves || bound.is_some()).then_some(Event::Extended {
                lease: after.longest_lease,
                doubts_over: if leaves { after.doubt_number } else { 0 },
                bound,
            })
        }
        State::Completed { .. } => None,
    }
}

fn newly_bound(before: &View, after: &View) -> Option<Digest> {
    match (before.fingerprint, after.fingerprint) {
        (Fingerprint::Later, Fingerprint::Digest(digest)) => Some(digest),
        _ => None,
    }
}
