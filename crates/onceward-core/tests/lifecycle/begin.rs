//! begin: S1, S2, S3, S6, S7, S8, S9, S11.

use onceward_core::lifecycle::{BeginDecision, State, Transition, View, begin};
use onceward_core::{
    Acquired, Begin, BeginOutcome, Body, Checkpointed, Millis, Policy, Refusal, Replay,
    StoredResult,
};

use crate::scene::{
    ATTEMPT_NUMBER, FENCE, ORDINAL, OTHER, OWN, Print, SCENES, Scene, Standing, VERSION, Written,
    at, fence, ms, scenes,
};

/// Whose begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Attempt {
    Own,
    Other,
    /// Another's, remembered as ended (S3).
    OtherEnded,
    /// Not to happen in a store, but an answer there must be.
    OwnEnded,
}

const ATTEMPTS: [Attempt; 4] =
    [Attempt::Own, Attempt::Other, Attempt::OtherEnded, Attempt::OwnEnded];

struct Row {
    why: &'static str,
    outcome: BeginOutcome<()>,
    transition: Transition,
}

fn row(why: &'static str, outcome: BeginOutcome<()>, transition: Transition) -> Row {
    Row { why, outcome, transition }
}

const LEASE: u64 = 500;
const RETENTION: u64 = 3_000;
const NEXT_FENCE: u64 = 41;

fn request(attempt: Attempt, asked: Print) -> Begin {
    let attempt_id = match attempt {
        Attempt::Own | Attempt::OwnEnded => OWN,
        Attempt::Other | Attempt::OtherEnded => OTHER,
    };
    Begin {
        lease: ms(LEASE),
        retention: ms(RETENTION),
        policy: Policy::InDoubt,
        ..Begin::new(asked.fingerprint(), attempt_id)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Matches,
    Mismatch,
    NeedFingerprint,
}

/// bound × asked, for the owner's own attempt and for others, as S1 and S9 have it.
fn verdict(bound: Print, asked: Print, attempt: Attempt) -> Verdict {
    use Verdict::{Matches, Mismatch, NeedFingerprint};
    #[rustfmt::skip]
    let rows = [
        // bound       attempt          A         B         none      later
        (Print::A,     Attempt::Own,   [Matches,  Mismatch, Mismatch, Matches]),
        (Print::A,     Attempt::Other, [Matches,  Mismatch, Mismatch, NeedFingerprint]),
        (Print::None,  Attempt::Own,   [Mismatch, Mismatch, Matches,  Matches]),
        (Print::None,  Attempt::Other, [Mismatch, Mismatch, Matches,  Mismatch]),
        (Print::Later, Attempt::Own,   [Matches,  Matches,  Matches,  Matches]),
        (Print::Later, Attempt::Other, [Matches,  Matches,  Matches,  Matches]),
    ];
    let (_, _, verdicts) =
        rows.into_iter().find(|row| (row.0, row.1) == (bound, attempt)).expect("a row for each");
    let column = Print::ASKED.iter().position(|column| *column == asked).expect("a column");
    verdicts[column]
}

/// When a lease of [`LEASE`] that starts at each instant ends, capped by the retention.
fn lease_until(now_ms: u64) -> u64 {
    match now_ms {
        1_999 => 2_499,
        2_000 => 2_500,
        2_001 => 2_501,
        9_999 => 10_000, // S6: capped at the end of retention.
        other => panic!("no lease starts at {other}"),
    }
}

fn acquired(
    view: View,
    checkpoint: bool,
    lease_left: u64,
    retention_left: u64,
) -> BeginOutcome<()> {
    BeginOutcome::Acquired(Acquired {
        token: view.token(),
        attempt_number: view.attempt_number,
        checkpoint: checkpoint.then_some(Checkpointed { ordinal: ORDINAL, bytes: () }),
        lease_left: ms(lease_left),
        retention_left: ms(retention_left),
    })
}

/// The answer for each cell; the first row that fits.
fn expected(scene: Scene, asked: Print, attempt: Attempt) -> Row {
    let keep = Transition::Keep;
    let now_ms = scene.now_ms;
    if matches!(attempt, Attempt::OtherEnded | Attempt::OwnEnded) {
        return row("S3: an ended attempt acquires nothing", BeginOutcome::Gone, keep);
    }
    if scene.standing() == Standing::Absent {
        let view = View {
            version: if scene.written == Written::Nothing { 0 } else { VERSION },
            state: State::Reserved { lease_until: at(now_ms + LEASE), policy: Policy::InDoubt },
            fence: fence(NEXT_FENCE),
            attempt_id: request(attempt, asked).attempt_id,
            attempt_number: 1,
            doubt_number: 0,
            fingerprint: asked.fingerprint(),
            acquired_at: at(now_ms),
            expires_at: at(now_ms + RETENTION),
            checkpoint_ordinal: 0,
            longest_lease: ms(LEASE),
        };
        let outcome = acquired(view, false, LEASE, RETENTION);
        return row("S2, S7: absent: acquired anew", outcome, Transition::Put(view));
    }
    match verdict(scene.bound, asked, attempt) {
        Verdict::Mismatch => {
            return row("S1: another fingerprint, in every state", BeginOutcome::Mismatch, keep);
        }
        Verdict::NeedFingerprint => {
            let outcome = BeginOutcome::NeedFingerprint;
            return row("S9: `later` against a bound entry of another attempt", outcome, keep);
        }
        Verdict::Matches => {}
    }
    match (scene.standing(), attempt) {
        (Standing::Done(not_kept), _) => {
            let body = not_kept.map_or(Body::Kept(()), Body::NotKept);
            let outcome = BeginOutcome::Replay(Replay {
                result: StoredResult { status: 0, metadata: (), body },
                age: ms(now_ms - 1_500),
                attempt_number: ATTEMPT_NUMBER,
                retention_left: ms(10_000 - now_ms),
            });
            row("S1: completed, before the own attempt id is looked at", outcome, keep)
        }
        (_, Attempt::Own) => {
            let until = lease_until(now_ms);
            let view = scene.owned_until(until, ms(LEASE));
            let outcome = acquired(view, true, until - now_ms, 10_000 - now_ms);
            let why = "S3, S8: a lost reply: the same fence, the lease anew, nothing else";
            row(why, outcome, Transition::Put(view))
        }
        (Standing::Leased(_), _) => {
            let outcome = BeginOutcome::InProgress {
                retry_after: ms(1),
                age: ms(999),
                attempt_number: ATTEMPT_NUMBER,
            };
            row("S1, S6, S9: the lease runs to its last millisecond, bound or not", outcome, keep)
        }
        (Standing::InDoubt { since, .. }, _) => {
            let outcome = BeginOutcome::InDoubt { since: ms(now_ms - since) };
            row("S8: nobody runs again until resolved", outcome, keep)
        }
        (Standing::Lapsed, _) => {
            let until = lease_until(now_ms);
            let bound = if scene.bound == Print::Later { asked } else { scene.bound };
            let view = View {
                state: State::Reserved { lease_until: at(until), policy: Policy::InDoubt },
                fence: fence(NEXT_FENCE),
                attempt_id: OTHER,
                attempt_number: 4,
                doubt_number: 0,
                fingerprint: bound.fingerprint(),
                acquired_at: at(now_ms),
                longest_lease: ms(LEASE),
                ..scene.as_it_stands()
            };
            let outcome = acquired(view, true, until - now_ms, 10_000 - now_ms);
            let why = "S6, S8, S9: taken over; retention and checkpoint stay, the rest is new";
            row(why, outcome, Transition::Put(view))
        }
        (Standing::Absent, _) => unreachable!("answered above"),
    }
}

/// The decision with its permit exercised.
fn decide(
    view: Option<&View>,
    request: &Begin,
    ended: bool,
    now_ms: u64,
) -> (Transition, BeginOutcome<()>, bool) {
    match begin(view, request, ended, at(now_ms)) {
        BeginDecision::Decided(decision) => (decision.transition, decision.outcome, false),
        BeginDecision::Acquire(grant) => {
            let (view, outcome) = grant.with_fence(fence(NEXT_FENCE));
            (Transition::Put(view), outcome, grant.is_takeover())
        }
    }
}

#[test]
fn every_cell_s1_s2_s3_s6_s7_s8_s9() {
    let mut cells = 0;
    for scene in scenes() {
        for asked in Print::ASKED {
            for attempt in ATTEMPTS {
                let want = expected(scene, asked, attempt);
                let ended = matches!(attempt, Attempt::OtherEnded | Attempt::OwnEnded);
                let (transition, outcome, takeover) =
                    decide(scene.view().as_ref(), &request(attempt, asked), ended, scene.now_ms);
                let cell = format!("{scene:?}, {attempt:?} asks {asked:?}: {}", want.why);
                assert_eq!(outcome, want.outcome, "{cell}");
                assert_eq!(transition, want.transition, "{cell}");
                assert_eq!(takeover, want.why.contains("taken over"), "{cell}");
                cells += 1;
            }
        }
    }
    assert_eq!(cells, SCENES * 4 * 4);
}

/// Leases other than the one the product uses, on an entry that is the owner's until 2,000 ms
/// and remembered until 10,000 ms.
#[test]
fn the_lease_begins_anew_never_moves_back_and_is_capped_s6() {
    let scene = |now_ms| Scene { written: Written::ReservedTakeover, bound: Print::A, now_ms };
    #[rustfmt::skip]
    let rows: [(&str, u64, Attempt, u64, u64); 9] = [
        // why,                                          at,    who,            lease,  until
        ("a shorter one does not move it back",          1_200, Attempt::Own,   500,    2_000),
        ("one that ends at the same instant",            1_500, Attempt::Own,   500,    2_000),
        ("one that ends later moves it",                 1_501, Attempt::Own,   500,    2_001),
        ("counted from now, never added",                1_999, Attempt::Own,   100,    2_099),
        ("one that would outlast the retention",         1_500, Attempt::Own,   9_000,  10_000),
        ("the longest there is",                         1_500, Attempt::Own,   u64::MAX, 10_000),
        ("a takeover counts from now",                   2_000, Attempt::Other, 100,    2_100),
        ("a takeover is capped too",                     9_950, Attempt::Other, 100,    10_000),
        ("the owner again after the lease has ended",    5_000, Attempt::Own,   100,    5_100),
    ];
    for (why, now_ms, attempt, lease, until) in rows {
        let request = Begin { lease: Millis::new(lease), ..request(attempt, Print::A) };
        let (transition, outcome, _) =
            decide(scene(now_ms).view().as_ref(), &request, false, now_ms);
        let Transition::Put(view) = transition else { panic!("{why}: {transition:?}") };
        let State::Reserved { lease_until, .. } = view.state else { panic!("{why}: {view:?}") };
        assert_eq!(lease_until, at(until), "{why}");
        let BeginOutcome::Acquired(acquired) = outcome else { panic!("{why}: {outcome:?}") };
        assert_eq!(acquired.lease_left, ms(until - now_ms), "{why}");
        assert_eq!(view.expires_at, at(10_000), "{why}: S7, the retention is fixed");
    }
}

#[test]
fn a_lease_as_long_as_the_retention_ends_with_it_s6_s7() {
    let request =
        Begin { lease: ms(3_000), retention: ms(3_000), ..request(Attempt::Own, Print::A) };
    let (Transition::Put(view), _, _) = decide(None, &request, false, 0) else {
        panic!("absent: acquired")
    };
    let rival = Begin { attempt_id: OTHER, ..request };
    let (_, outcome, _) = decide(Some(&view), &rival, false, 2_999);
    assert_eq!(outcome.name(), "in_progress");
    let (_, outcome, takeover) = decide(Some(&view), &rival, false, 3_000);
    let BeginOutcome::Acquired(acquired) = outcome else { panic!("{outcome:?}") };
    assert!(!takeover, "absent comes before a takeover or a doubt");
    assert_eq!(acquired.attempt_number, 1);
}

#[test]
fn only_a_first_acquisition_lacks_room_s8_s11() {
    let lapsed = Scene { written: Written::ReservedTakeover, bound: Print::A, now_ms: 2_000 };
    let other = request(Attempt::Other, Print::A);
    for (why, view, takeover) in [
        ("absent: may be refused", None, false),
        ("a takeover inherits its room and is never refused", lapsed.view(), true),
    ] {
        let BeginDecision::Acquire(grant) = begin(view.as_ref(), &other, false, at(2_000)) else {
            panic!("{why}: not acquired")
        };
        assert_eq!(grant.is_takeover(), takeover, "{why}");
        assert_eq!(
            grant.refuse(Refusal::Quota, Some(ms(7))),
            BeginOutcome::Refused { reason: Refusal::Quota, retry_after: Some(ms(7)) },
            "{why}"
        );
    }
}

#[test]
fn an_owner_that_was_taken_over_is_another_s4() {
    let taken = Scene { written: Written::ReservedTakeover, bound: Print::A, now_ms: 2_000 };
    let (Transition::Put(view), _, _) =
        decide(taken.view().as_ref(), &request(Attempt::Other, Print::A), false, 2_000)
    else {
        panic!("taken over")
    };
    let (transition, outcome, _) =
        decide(Some(&view), &request(Attempt::Own, Print::A), false, 2_001);
    assert_eq!(outcome.name(), "in_progress", "its delayed duplicate waits like anyone's");
    assert_eq!(transition, Transition::Keep);
    assert_ne!(view.fence, fence(FENCE));
}
