//! checkpoint: S4, S8, S9, S19.

use onceward_core::lifecycle::{CheckpointDecision, View, checkpoint};
use onceward_core::{CheckpointOutcome, Refusal};

use crate::scene::{ORDINAL, Print, SCENES, Scene, Standing, scenes};
use crate::token::Bearer;

enum Want {
    Answer(CheckpointOutcome),
    Save(View),
}

fn expected(scene: Scene, bearer: Bearer, ordinal: u32) -> (&'static str, Want) {
    use CheckpointOutcome::{Conflict, Fenced, Gone, NeedFingerprint, Saved};
    let answer = Want::Answer;
    let standing = scene.standing();
    match standing {
        Standing::Absent => ("S7: absent", answer(Gone)),
        _ if bearer.is_fenced(standing) => ("S4: not the current token", answer(Fenced)),
        Standing::Done(_) => ("completed already", answer(Conflict)),
        Standing::Leased(_) | Standing::Lapsed | Standing::InDoubt { .. } => {
            match (scene.bound, ordinal) {
                (Print::Later, _) => ("S9: bind first", answer(NeedFingerprint)),
                (_, 4) => ("S19: a lower one undoes nothing", answer(Saved { ordinal: 5 })),
                (_, 5) => ("S19: an equal one changes nothing", answer(Saved { ordinal: 5 })),
                (_, ordinal) => {
                    let view = View { checkpoint_ordinal: ordinal, ..scene.as_it_stands() };
                    ("S8, S19: saved, and nothing else changed", Want::Save(view))
                }
            }
        }
    }
}

#[test]
fn every_cell_s4_s7_s8_s9_s19() {
    let mut cells = 0;
    for scene in scenes() {
        for bearer in Bearer::ALL {
            for ordinal in [ORDINAL - 1, ORDINAL, ORDINAL + 1, u32::MAX] {
                let (why, want) = expected(scene, bearer, ordinal);
                let cell = format!("{scene:?}, {bearer:?}, ordinal {ordinal}: {why}");
                let got = checkpoint(scene.view().as_ref(), bearer.token(), ordinal, scene.now());
                match (got, want) {
                    (CheckpointDecision::Answer(got), Want::Answer(want)) => {
                        assert_eq!(got, want, "{cell}");
                    }
                    (CheckpointDecision::Save(permit), Want::Save(want)) => {
                        let (view, outcome) = permit.saving();
                        assert_eq!(view, want, "{cell}");
                        assert_eq!(outcome, CheckpointOutcome::Saved { ordinal }, "{cell}");
                        let refused = CheckpointOutcome::Refused { reason: Refusal::Capacity };
                        assert_eq!(permit.refuse(), refused, "{cell}");
                    }
                    (got, _) => panic!("{cell}: {got:?}"),
                }
                cells += 1;
            }
        }
    }
    assert_eq!(cells, SCENES * 7 * 4);
}

#[test]
fn the_first_checkpoint_has_any_ordinal_s19() {
    let scene = scenes().find(|scene| matches!(scene.standing(), Standing::Leased(_))).unwrap();
    let without = View { checkpoint_ordinal: 0, ..scene.as_it_stands() };
    for ordinal in [1, 7, u32::MAX] {
        let token = Bearer::Current.token();
        let decision = checkpoint(Some(&without), token, ordinal, scene.now());
        let CheckpointDecision::Save(permit) = decision else { panic!("{decision:?}") };
        let (view, _) = permit.saving();
        assert_eq!(view, View { checkpoint_ordinal: ordinal, ..without });
    }
}
