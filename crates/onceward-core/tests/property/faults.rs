//! Lifecycles with one fault each, planted around the shipped functions, so that the shipped code
//! carries no hooks. A fault that no run notices shows what the runs do not prove.

mod begin;
mod operate;
mod owner;

use onceward_core::lifecycle::{State, View};
use onceward_core::{Millis, Timestamp};

use crate::lifecycle::Lifecycle;

/// One fault: what is wrong, and the lifecycle that does it.
pub(crate) type Fault = (&'static str, &'static dyn Lifecycle);

/// Every fault.
pub(crate) fn all() -> impl Iterator<Item = &'static Fault> {
    begin::FAULTS.iter().chain(owner::FAULTS).chain(operate::FAULTS)
}

/// Declares lifecycles that differ from the shipped one in the functions given.
macro_rules! faults {
    ($($name:ident = $what:literal { $($body:tt)* })+) => {
        $(
            struct $name;
            impl Lifecycle for $name { $($body)* }
        )+
        pub(super) const FAULTS: &[super::Fault] = &[$(($what, &$name)),+];
    };
}
use faults;

/// The entry, if it is not absent.
fn live(view: Option<&View>, now: Timestamp) -> Option<View> {
    view.and_then(|view| view.at(now))
}

fn lease_until(view: &View) -> Option<Timestamp> {
    match view.state {
        State::Reserved { lease_until, .. } => Some(lease_until),
        State::InDoubt { .. } | State::Completed { .. } => None,
    }
}

fn with_lease_until(view: View, until: Timestamp) -> View {
    match view.state {
        State::Reserved { policy, .. } => {
            View { state: State::Reserved { lease_until: until, policy }, ..view }
        }
        State::InDoubt { .. } | State::Completed { .. } => view,
    }
}

const ONE: Millis = Millis::new(1);

/// The entry as one sees it who takes the lease to run at its very end.
fn lease_seen_late(view: Option<&View>, now: Timestamp) -> Option<View> {
    view.map(|view| match lease_until(view) {
        Some(until) if until == now => with_lease_until(*view, until.after(ONE)),
        Some(_) | None => *view,
    })
}

/// The entry as one sees it who takes the lease to end a millisecond before its end.
fn lease_seen_early(view: Option<&View>, now: Timestamp) -> Option<View> {
    view.map(|view| match lease_until(view) {
        Some(until) if until == now.after(ONE) => with_lease_until(*view, now),
        Some(_) | None => *view,
    })
}

/// The entry as one sees it who takes the identity to be live at the end of its retention.
fn retention_seen_late(view: Option<&View>, now: Timestamp) -> Option<View> {
    view.map(|view| match view.expires_at == now {
        true => View { expires_at: now.after(ONE), ..*view },
        false => *view,
    })
}

/// The entry as one sees it who takes it to be absent a millisecond before it is.
fn retention_seen_early(view: Option<&View>, now: Timestamp) -> Option<View> {
    view.map(|view| match view.expires_at == now.after(ONE) {
        true => View { expires_at: now, ..*view },
        false => *view,
    })
}
