//! forget: S3, S4, S6, S7.

use onceward_core::lifecycle::{Transition, forget};
use onceward_core::{Fence, ForgetOutcome};

use crate::scene::{FENCE, SCENES, Scene, Standing, fence, scenes};

fn expected(scene: Scene, number: u64) -> (&'static str, ForgetOutcome, Transition) {
    let keep = Transition::Keep;
    let forgotten = ForgetOutcome::Forgotten;
    match scene.standing() {
        Standing::Absent => ("S3, S7: absent", ForgetOutcome::Gone, keep),
        _ if number != FENCE => ("S4: another acquisition", ForgetOutcome::Fenced, keep),
        Standing::Leased(_) => ("its lease runs: refused", ForgetOutcome::InProgress, keep),
        Standing::Lapsed => ("S6: from the lease's end on", forgotten, Transition::Remove),
        Standing::InDoubt { .. } => ("in doubt no longer", forgotten, Transition::Remove),
        Standing::Done(_) => ("a stored result too", forgotten, Transition::Remove),
    }
}

#[test]
fn every_cell_s3_s4_s6_s7() {
    let mut cells = 0;
    for scene in scenes() {
        for number in [FENCE, FENCE - 1, FENCE + 1, Fence::MAX] {
            let (why, outcome, transition) = expected(scene, number);
            let got = forget(scene.view().as_ref(), fence(number), scene.now());
            assert_eq!(got.outcome, outcome, "{scene:?}, fence {number}: {why}");
            assert_eq!(got.transition, transition, "{scene:?}, fence {number}: {why}");
            cells += 1;
        }
    }
    assert_eq!(cells, SCENES * 4);
}
