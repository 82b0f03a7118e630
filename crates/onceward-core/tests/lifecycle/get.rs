//! get: S6, S7, S8.

use onceward_core::lifecycle::get;
use onceward_core::{Body, Completed, GetOutcome, StoredResult};

use crate::scene::{ATTEMPT_NUMBER, DOUBTS, FENCE, SCENES, Scene, Standing, fence, ms, scenes};

fn expected(scene: Scene) -> (&'static str, GetOutcome<()>) {
    let now_ms = scene.now_ms;
    let (attempt_number, fence) = (ATTEMPT_NUMBER, Some(fence(FENCE)));
    let reserved = |lease_left, doubt_number| GetOutcome::Reserved {
        age: ms(now_ms - 1_000),
        attempt_number,
        lease_left: ms(lease_left),
        fence,
        doubt_number,
    };
    match scene.standing() {
        Standing::Absent => ("S7: absent from the end of retention on", GetOutcome::Absent),
        Standing::Leased(_) => ("S6: one millisecond is left", reserved(1, DOUBTS)),
        Standing::Lapsed => ("S8: reserved until someone takes over", reserved(0, DOUBTS + 1)),
        Standing::InDoubt { since, number, .. } => (
            "S8: in doubt without anyone having noticed",
            GetOutcome::InDoubt {
                since: ms(now_ms - since),
                attempt_number,
                fence,
                doubt_number: number,
            },
        ),
        Standing::Done(not_kept) => (
            "S5, S12: completed; ages count from completion",
            GetOutcome::Completed(Completed {
                result: StoredResult {
                    status: 0,
                    metadata: (),
                    body: not_kept.map_or(Body::Kept(()), Body::NotKept),
                },
                age: ms(now_ms - 1_500),
                attempt_number,
                retention_left: ms(10_000 - now_ms),
                fence,
            }),
        ),
    }
}

#[test]
fn every_cell_s5_s6_s7_s8() {
    let mut cells = 0;
    for scene in scenes() {
        let (why, want) = expected(scene);
        assert_eq!(get(scene.view().as_ref(), scene.now()), want, "{scene:?}: {why}");
        cells += 1;
    }
    assert_eq!(cells, SCENES);
}
