//! resolve: S4, S5, S8, S9 and the doubt number.

use onceward_core::lifecycle::{Finding, ResolveDecision, Transition, View, resolve};
use onceward_core::{Fence, ResolveOutcome};

use crate::scene::{
    DOUBTS, FENCE, Naming, Print, SCENES, Scene, Standing, doubts_aside, fence, naming, scenes,
};

/// What a resolver found; `None` is that the work was never done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Found {
    completed: Option<(Print, bool)>,
}

fn findings() -> impl Iterator<Item = Found> {
    let completed = Print::NAMED.into_iter().flat_map(|named| {
        [false, true].map(|same| Found { completed: Some((named, same)) }).into_iter()
    });
    completed.chain([Found { completed: None }])
}

impl Found {
    fn finding(self) -> Finding {
        match self.completed {
            None => Finding::NeverDone,
            Some((named, same_result)) => {
                Finding::Completed { fingerprint: named.named(), same_result }
            }
        }
    }
}

enum Want {
    Decided(ResolveOutcome, Transition),
    Store(View),
}

fn expected(scene: Scene, number: u64, doubt: u32, found: Found) -> (&'static str, Want) {
    use ResolveOutcome::{Conflict, Fenced, Gone, InProgress, Mismatch, NeedFingerprint, Resolved};
    let answer = |outcome| Want::Decided(outcome, Transition::Keep);
    let naming = found.completed.map_or(Naming::Fits, |(named, _)| naming(scene.bound, named));
    let current_doubt = match scene.standing() {
        Standing::Absent => return ("S3, S7: absent", answer(Gone)),
        _ if number != FENCE => return ("S4: another acquisition", answer(Fenced)),
        _ if naming == Naming::Mismatch => {
            return ("S9: another fingerprint is bound", answer(Mismatch));
        }
        Standing::Done(_) => {
            return match found.completed {
                Some((_, true)) => ("it holds that very result", answer(Resolved)),
                Some((_, false)) => ("S5: completed otherwise", answer(Conflict)),
                None => ("S5: completed, not never done", answer(Conflict)),
            };
        }
        Standing::Leased(_) => return ("its lease runs: the owner decides", answer(InProgress)),
        Standing::Lapsed => DOUBTS + 1, // S8: may be resolved under either policy.
        Standing::InDoubt { number, .. } => number,
    };
    match found.completed {
        _ if doubt != current_doubt => ("a verdict on another doubt ends nothing", answer(Fenced)),
        None => ("S8: never done: absent", Want::Decided(Resolved, Transition::Remove)),
        Some(_) if naming == Naming::Unbound => {
            ("S9: nothing is bound and nothing named", answer(NeedFingerprint))
        }
        Some((named, _)) => {
            ("S8: done, with this result", Want::Store(scene.completed(named, None)))
        }
    }
}

#[test]
fn every_cell_s3_s4_s5_s7_s8_s9() {
    let mut cells = 0;
    for scene in scenes() {
        for number in [FENCE, FENCE - 1, FENCE + 1, Fence::MAX] {
            for doubt in [0, DOUBTS - 1, DOUBTS, DOUBTS + 1, DOUBTS + 2] {
                for found in findings() {
                    let (why, want) = expected(scene, number, doubt, found);
                    let cell =
                        format!("{scene:?}, fence {number}, doubt {doubt}, {found:?}: {why}");
                    let view = scene.view();
                    let finding = found.finding();
                    match (resolve(view.as_ref(), fence(number), doubt, finding, scene.now()), want)
                    {
                        (ResolveDecision::Decided(got), Want::Decided(outcome, transition)) => {
                            assert_eq!(got.outcome, outcome, "{cell}");
                            assert_eq!(got.transition, transition, "{cell}");
                        }
                        (ResolveDecision::Accept(acceptance), Want::Store(want)) => {
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
    assert_eq!(cells, SCENES * 4 * 5 * 7);
}
