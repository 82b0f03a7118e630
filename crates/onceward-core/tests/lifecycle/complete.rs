//! complete: S3, S4, S5, S8, S9, S12, S19.

use onceward_core::lifecycle::{CompleteDecision, View, complete};
use onceward_core::{CompleteOutcome, NotKept};

use crate::scene::{Naming, Print, SCENES, Scene, Standing, doubts_aside, naming, scenes};
use crate::token::Bearer;

enum Want {
    Answer(CompleteOutcome),
    /// The entry to be written if the body is kept.
    Store(View),
}

/// The answer for each cell; the first row that fits.
fn expected(scene: Scene, bearer: Bearer, named: Print, same: bool) -> (&'static str, Want) {
    use CompleteOutcome::{AlreadyCompleted, Conflict, Fenced, Gone, Mismatch, NeedFingerprint};
    let answer = Want::Answer;
    let standing = scene.standing();
    let naming = naming(scene.bound, named);
    match standing {
        Standing::Absent => ("S7: absent", answer(Gone)),
        _ if bearer.is_fenced(standing) => ("S4: not the current token", answer(Fenced)),
        _ if naming == Naming::Mismatch => ("S9: another fingerprint is bound", answer(Mismatch)),
        Standing::Done(not_kept) if same => {
            ("S3: the same result once more", answer(AlreadyCompleted { not_kept }))
        }
        Standing::Done(_) => ("S5: another result: the stored one stands", answer(Conflict)),
        Standing::Leased(_) | Standing::Lapsed | Standing::InDoubt { .. }
            if naming == Naming::Unbound =>
        {
            ("S9: nothing is bound and nothing named", answer(NeedFingerprint))
        }
        Standing::Leased(_) => ("the owner completes", Want::Store(scene.completed(named, None))),
        Standing::Lapsed | Standing::InDoubt { .. } => {
            ("S8: late, but nobody came between", Want::Store(scene.completed(named, None)))
        }
    }
}

#[test]
fn every_cell_s3_s4_s5_s7_s8_s9() {
    let mut cells = 0;
    for scene in scenes() {
        for bearer in Bearer::ALL {
            for named in Print::NAMED {
                for same in [false, true] {
                    let view = scene.view();
                    let (why, want) = expected(scene, bearer, named, same);
                    let cell = format!("{scene:?}, {bearer:?} names {named:?}, {same}: {why}");
                    let got =
                        complete(view.as_ref(), bearer.token(), named.named(), same, scene.now());
                    match (got, want) {
                        (CompleteDecision::Answer(got), Want::Answer(want)) => {
                            assert_eq!(got, want, "{cell}");
                        }
                        (CompleteDecision::Accept(acceptance), Want::Store(want)) => {
                            let got = doubts_aside(acceptance.storing(None));
                            assert_eq!(got, doubts_aside(want), "{cell}");
                        }
                        (got, _) => panic!("{cell}: {got:?}"),
                    }
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, SCENES * 7 * 3 * 2);
}

#[test]
fn a_body_that_is_not_kept_completes_all_the_same_s11_s12() {
    let scene = scenes().find(|scene| matches!(scene.standing(), Standing::Leased(_))).unwrap();
    let view = scene.view();
    let token = Bearer::Current.token();
    for why in [NotKept::TooLarge, NotKept::Declined, NotKept::Capacity] {
        let decision = complete(view.as_ref(), token, None, false, scene.now());
        let CompleteDecision::Accept(acceptance) = decision else { panic!("{decision:?}") };
        let done = acceptance.storing(Some(why));
        assert_eq!(
            doubts_aside(done),
            doubts_aside(scene.completed(Print::None, Some(why))),
            "{why:?} is kept as the reason"
        );
        let again = complete(Some(&done), token, None, true, scene.now());
        let already = CompleteOutcome::AlreadyCompleted { not_kept: Some(why) };
        assert_eq!(again, CompleteDecision::Answer(already), "{why:?} is told again");
    }
}
