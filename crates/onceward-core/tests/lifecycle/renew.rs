//! renew: S4, S6, S8, S9.

use onceward_core::lifecycle::{Transition, renew};
use onceward_core::{Renew, RenewOutcome};

use crate::scene::{Naming, Print, SCENES, Scene, Standing, ms, naming, scenes};
use crate::token::Bearer;

/// The shortest, one that ends within every scene's retention but the last, and one that never does.
const LEASES: [u64; 3] = [100, 500, u64::MAX];

/// lease × instant: when the renewed lease ends.
fn until(lease: u64, now_ms: u64) -> u64 {
    match (lease, now_ms) {
        (100, 1_999) => 2_099,
        (100, 2_000) => 2_100,
        (100, 2_001) => 2_101,
        (500, 1_999) => 2_499,
        (500, 2_000) => 2_500,
        (500, 2_001) => 2_501,
        (100 | 500, 9_999) | (u64::MAX, _) => 10_000, // S6: capped at the end of retention.
        other => panic!("no row for {other:?}"),
    }
}

fn expected(
    scene: Scene,
    bearer: Bearer,
    named: Print,
    lease: u64,
) -> (&'static str, RenewOutcome, Transition) {
    let keep = Transition::Keep;
    let standing = scene.standing();
    match standing {
        Standing::Absent => ("S7: absent", RenewOutcome::Gone, keep),
        _ if bearer.is_fenced(standing) => {
            ("S4: not the current token", RenewOutcome::Fenced, keep)
        }
        _ if naming(scene.bound, named) == Naming::Mismatch => {
            ("S9: another fingerprint is bound", RenewOutcome::Mismatch, keep)
        }
        Standing::Done(_) => ("completed already", RenewOutcome::Conflict, keep),
        Standing::Leased(_) | Standing::Lapsed | Standing::InDoubt { .. } => {
            let until = until(lease, scene.now_ms);
            let mut view = scene.owned_until(until, ms(lease));
            if scene.bound == Print::Later && named != Print::None {
                view.fingerprint = named.fingerprint(); // S9: bound once, by renew.
            }
            let lease_left = ms(until - scene.now_ms);
            let why = "S6, S8: the lease anew, RESERVED again";
            (why, RenewOutcome::Renewed { lease_left }, Transition::Put(view))
        }
    }
}

#[test]
fn every_cell_s4_s6_s7_s8_s9() {
    let mut cells = 0;
    for scene in scenes() {
        for bearer in Bearer::ALL {
            for named in Print::NAMED {
                for lease in LEASES {
                    let (why, outcome, transition) = expected(scene, bearer, named, lease);
                    let request = Renew {
                        token: bearer.token(),
                        lease: ms(lease),
                        fingerprint: named.named(),
                    };
                    let got = renew(scene.view().as_ref(), &request, scene.now());
                    let cell = format!("{scene:?}, {bearer:?} names {named:?}, {lease} ms: {why}");
                    assert_eq!(got.outcome, outcome, "{cell}");
                    assert_eq!(got.transition, transition, "{cell}");
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, SCENES * 7 * 3 * 3);
}

#[test]
fn a_deadline_never_moves_back_and_a_lease_is_never_added_s6() {
    #[rustfmt::skip]
    let rows = [
        // why,                                    at,    lease, until
        ("would end before the deadline",          1_200, 500,   2_000),
        ("would end one millisecond before it",    1_499, 500,   2_000),
        ("ends at the deadline",                   1_500, 500,   2_000),
        ("ends one millisecond after it",          1_501, 500,   2_001),
        ("counts from now, not from the deadline", 1_900, 500,   2_400),
    ];
    for (why, now_ms, lease, until) in rows {
        let scene = Scene { now_ms, ..leased() };
        let request = Renew { token: Bearer::Current.token(), lease: ms(lease), fingerprint: None };
        let got = renew(scene.view().as_ref(), &request, scene.now());
        let lease_left = ms(until - now_ms);
        assert_eq!(got.outcome, RenewOutcome::Renewed { lease_left }, "{why}");
        assert_eq!(
            got.transition,
            Transition::Put(leased().owned_until(until, ms(lease))),
            "{why}"
        );
    }
}

fn leased() -> Scene {
    scenes().find(|scene| matches!(scene.standing(), Standing::Leased(_))).expect("one of them")
}

#[test]
fn a_fingerprint_is_bound_once_s9() {
    let unbound = Scene { bound: Print::Later, ..leased() };
    let named = |print: Print| Renew {
        token: Bearer::Current.token(),
        lease: ms(500),
        fingerprint: print.named(),
    };
    let first = renew(unbound.view().as_ref(), &named(Print::B), unbound.now());
    let Transition::Put(bound) = first.transition else { panic!("{first:?}") };
    assert_eq!(bound.fingerprint, Print::B.fingerprint());
    let other = renew(Some(&bound), &named(Print::A), unbound.now());
    assert_eq!(other.outcome, RenewOutcome::Mismatch);
    assert_eq!(other.transition, Transition::Keep);
    let same = renew(Some(&bound), &named(Print::B), unbound.now());
    assert_eq!(same.outcome.name(), "renewed");
}
