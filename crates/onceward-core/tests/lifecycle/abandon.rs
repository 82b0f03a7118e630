//! abandon: S3, S4, S5, S8.

use onceward_core::lifecycle::{Entered, State, Transition, View, abandon};
use onceward_core::{AbandonOutcome, Certainty};

use crate::scene::{DOUBTS, SCENES, Scene, Standing, at, scenes};
use crate::token::Bearer;

fn expected(
    scene: Scene,
    bearer: Bearer,
    certainty: Certainty,
) -> (&'static str, AbandonOutcome, Transition) {
    let keep = Transition::Keep;
    let standing = scene.standing();
    let doubted = |since: u64, doubt_number| {
        let state = State::InDoubt { since: at(since), entered: Entered::ByAbandonment };
        Transition::Put(View { state, doubt_number, ..scene.as_it_stands() })
    };
    let abandoned = AbandonOutcome::Abandoned;
    match (standing, certainty) {
        (Standing::Absent, _) => ("S3, S7: absent", AbandonOutcome::Gone, keep),
        (_, _) if bearer.is_fenced(standing) => {
            ("S4: not the current token", AbandonOutcome::Fenced, keep)
        }
        (Standing::Done(_), _) => ("S5: completed already", AbandonOutcome::Conflict, keep),
        (_, Certainty::NotDone) => ("not done: absent", abandoned, Transition::Remove),
        (Standing::Leased(_), Certainty::InDoubt) => {
            ("S8: ends the lease at once", abandoned, doubted(1_999, DOUBTS + 1))
        }
        (Standing::Lapsed, Certainty::InDoubt) => {
            ("S8: in doubt since the lapse, the same doubt", abandoned, doubted(2_000, DOUBTS + 1))
        }
        (Standing::InDoubt { since, number, .. }, Certainty::InDoubt) => {
            ("S8: in doubt already, the same doubt", abandoned, doubted(since, number))
        }
    }
}

#[test]
fn every_cell_s3_s4_s5_s7_s8() {
    let mut cells = 0;
    for scene in scenes() {
        for bearer in Bearer::ALL {
            for certainty in [Certainty::NotDone, Certainty::InDoubt] {
                let (why, outcome, transition) = expected(scene, bearer, certainty);
                let got = abandon(scene.view().as_ref(), bearer.token(), certainty, scene.now());
                let cell = format!("{scene:?}, {bearer:?}, {certainty:?}: {why}");
                assert_eq!(got.outcome, outcome, "{cell}");
                assert_eq!(got.transition, transition, "{cell}");
                cells += 1;
            }
        }
    }
    assert_eq!(cells, SCENES * 7 * 2);
}
