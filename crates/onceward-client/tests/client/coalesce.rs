//! Concurrent calls of one key through one client, over a scripted store: what is sent, and who
//! gets which answer.

use std::future::{Future, pending};

use bytes::Bytes;
use onceward_client::*;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, sleep, timeout};

use crate::execute::{Answer, execution, key};
use crate::fake::{Fake, LEASE, Reply, denied, down, fence, grant, ok};

/// Spawns a call whose work is `work`, and lets it come as far as it can.
async fn spawn<F>(
    execution: &Execution<Fake>,
    work: impl FnOnce(Context<Fake>) -> F + Send + 'static,
) -> JoinHandle<Answer>
where
    F: Future<Output = Result<&'static str, &'static str>> + Send,
{
    spawn_for("payload", execution, work).await
}

async fn spawn_for<F>(
    payload: &'static str,
    execution: &Execution<Fake>,
    work: impl FnOnce(Context<Fake>) -> F + Send + 'static,
) -> JoinHandle<Answer>
where
    F: Future<Output = Result<&'static str, &'static str>> + Send,
{
    let execution = execution.clone();
    let call =
        tokio::spawn(async move { execution.execute(key(), Fingerprint::of(payload), work).await });
    sleep(Duration::from_millis(1)).await;
    call
}

async fn unused(_: Context<Fake>) -> Result<&'static str, &'static str> {
    unreachable!("this work is not run")
}

async fn hangs(_: Context<Fake>) -> Result<&'static str, &'static str> {
    pending().await
}

async fn takes_a_second(_: Context<Fake>) -> Result<&'static str, &'static str> {
    sleep(Duration::from_secs(1)).await;
    Ok("made")
}

async fn made(_: Context<Fake>) -> Result<&'static str, &'static str> {
    Ok("made")
}

fn acquired() -> BeginOutcome<Bytes> {
    grant(1, AttemptId::from_bytes([1; 16]), LEASE)
}

fn replay(age: u64, retention_left: u64) -> BeginOutcome<Bytes> {
    BeginOutcome::Replay(Replay {
        result: ExecutionResult::new(201, "made").into(),
        age: Millis::new(age),
        attempt_number: 3,
        retention_left: Millis::new(retention_left),
    })
}

async fn name(call: JoinHandle<Answer>) -> &'static str {
    call.await.unwrap().unwrap().name()
}

#[tokio::test(start_paused = true)]
async fn followers_get_the_result_whatever_their_wait_says() {
    let fake = Fake::new();
    let execution = execution(&fake);
    let leader = spawn(&execution, |_| async {
        sleep(Duration::from_secs(100)).await;
        Ok("made")
    })
    .await;
    let waits = execution.clone().wait(Millis::from_secs(5));
    let followers = [spawn(&execution, unused).await, spawn(&waits, unused).await];
    assert_eq!(name(leader).await, "ran");
    for follower in followers {
        let done = follower.await.unwrap().unwrap().into_done().unwrap();
        assert!(done.replayed);
        assert_eq!((done.age, done.attempt_number), (Millis::ZERO, 1), "ages from completion");
        assert_eq!(done.retention_left.get(), 86_400_000 - 100_000, "fixed at begin (S7)");
    }
    assert_eq!(fake.calls().iter().filter(|call| call.starts_with("begin")).count(), 1);
    let (again, _) = (spawn(&execution, made).await, fake.until_calls(1).await);
    assert_eq!(name(again).await, "ran", "what comes after asks anew");
}

#[tokio::test(start_paused = true)]
async fn every_answer_of_the_store_is_shared() {
    let ms = Millis::new(5_000);
    let in_progress = BeginOutcome::InProgress { retry_after: ms, age: ms, attempt_number: 2 };
    let refused = BeginOutcome::Refused { reason: Refusal::Quota, retry_after: Some(ms) };
    let cases: [(Reply<BeginOutcome<Bytes>>, &str); 8] = [
        (ok(replay(7, 9_000)), "replayed"),
        (ok(in_progress), "in_progress"),
        (ok(BeginOutcome::Mismatch), "mismatch"),
        (ok(BeginOutcome::InDoubt { since: ms }), "in_doubt"),
        (ok(refused), "refused"),
        (ok(BeginOutcome::Expired { since: ms }), "expired"),
        (down(), "not run"),
        (denied(), "not run"),
    ];
    for (reply, want) in cases {
        let fake = Fake::new().begin(reply.after(50));
        let execution = execution(&fake);
        let mut calls = Vec::new();
        for _ in 0..100 {
            let execution = execution.clone();
            calls.push(tokio::spawn(async move {
                execution.execute(key(), Fingerprint::of("payload"), unused).await
            }));
        }
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await.unwrap());
        }
        for answer in &answers {
            assert_eq!(answer, &answers[0], "{want}: the same for all at one instant");
            match answer {
                Ok(executed) => assert_eq!(executed.name(), want),
                Err(ExecuteError::NotRun(_)) => assert_eq!(want, "not run"),
                Err(error) => panic!("{want}: {error}"),
            }
        }
        assert_eq!(fake.calls(), ["begin wait 0"], "{want}: asked once for all");
    }
}

#[tokio::test(start_paused = true)]
async fn what_rests_on_a_callers_own_settings_is_not_shared_with_others() {
    let bad = || Reply::bad_input("lease");
    let refused = || ok(BeginOutcome::Refused { reason: Refusal::Capacity, retry_after: None });
    for (reply, want) in [(bad(), None), (refused(), Some("refused"))] {
        let fake = Fake::new().begin(reply.after(50));
        let large = execution(&fake).result_hint(1 << 20);
        let leader = spawn(&large, unused).await;
        let same = spawn(&large, unused).await;
        let other = spawn(&execution(&fake), made).await;
        let small = spawn(&large.clone().result_hint(64), made).await;
        for call in [leader, same] {
            match (call.await.unwrap(), want) {
                (Ok(executed), Some(want)) => assert_eq!(executed.name(), want),
                (Err(ExecuteError::NotRun(ClientError::BadInput { .. })), None) => {}
                (other, want) => panic!("{other:?}, not {want:?}"),
            }
        }
        assert_eq!(name(other).await, "ran", "an execution of its own");
        assert_eq!(name(small).await, "ran", "it asks for less");
    }
}

#[tokio::test(start_paused = true)]
async fn a_longer_wait_goes_on_and_a_shorter_one_does_not_hang_s10() {
    let in_progress = || BeginOutcome::InProgress {
        retry_after: Millis::new(20_000),
        age: Millis::new(40),
        attempt_number: 2,
    };
    // The leader waits for 5 s. Of the others one has 20 s to wait, one has none.
    let fake = Fake::new()
        .begin(ok(in_progress()).after(5_000))
        .begin(ok(in_progress()))
        .begin(ok(replay(1, 9_000)).after(2_000));
    let execution = execution(&fake);
    let start = Instant::now();
    let leader = spawn(&execution.clone().wait(Millis::new(5_000)), unused).await;
    let longer = spawn(&execution.clone().wait(Millis::new(20_000)), unused).await;
    let none = spawn(&execution, unused).await;
    assert!(none.is_finished(), "zero answers at once");
    assert_eq!(name(none).await, "in_progress");
    assert_eq!(name(leader).await, "in_progress");
    assert_eq!(start.elapsed(), Duration::from_millis(5_000));
    assert_eq!(name(longer).await, "replayed");
    assert_eq!(start.elapsed(), Duration::from_millis(7_000));
    assert_eq!(fake.calls(), ["begin wait 5000", "begin wait 0", "begin wait 15001"]);
}

#[tokio::test(start_paused = true)]
async fn a_follower_leaves_when_its_own_wait_ends_unless_the_work_runs_here() {
    let fake = Fake::new().begin(ok(acquired()).after(8_000)).begin(ok(replay(1, 9_000)));
    let execution = execution(&fake);
    let start = Instant::now();
    let leader = spawn(&execution.clone().wait(Millis::new(10_000)), takes_a_second).await;
    let short = spawn(&execution.clone().wait(Millis::new(3_000)), unused).await;
    let long = spawn(&execution.clone().wait(Millis::new(9_996)), unused).await;
    assert_eq!(name(short).await, "replayed");
    assert_eq!(start.elapsed(), Duration::from_millis(3_001), "it asked for itself");
    assert_eq!(name(leader).await, "ran");
    assert_eq!(name(long).await, "replayed", "waits that end together are one flight");
    assert_eq!(fake.calls(), ["begin wait 10000", "begin wait 0", "renew", "complete 0"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_or_a_panic_is_the_leaders_alone_and_one_leads_next() {
    for panics in [false, true] {
        let fake = Fake::new();
        let execution = execution(&fake);
        let fails = move |_| async move {
            sleep(Duration::from_secs(1)).await;
            assert!(!panics, "scripted panic");
            Err("scripted error")
        };
        let leader = spawn(&execution, fails).await;
        let second = spawn(&execution, fails).await;
        let third = spawn(&execution, takes_a_second).await;
        let rest: Vec<_> =
            [spawn(&execution, unused).await, spawn(&execution, unused).await].into();
        for call in [leader, second] {
            match call.await {
                Ok(answer) => assert_eq!(answer, Err(ExecuteError::Work("scripted error"))),
                Err(error) => assert!(panics && error.is_panic()),
            }
        }
        assert_eq!(name(third).await, "ran");
        for call in rest {
            assert_eq!(name(call).await, "replayed");
        }
        #[rustfmt::skip]
        let want = [
            "begin wait 0", "abandon NotDone", "begin wait 0", "abandon NotDone",
            "begin wait 0", "complete 0",
        ];
        assert_eq!(fake.calls(), want, "panics {panics}: one at a time, in order");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_dropped_is_succeeded_by_one_once_its_debts_are_paid() {
    let late = || Fake::new().begin(ok(acquired()).after(10_000));
    let completes_late = || {
        let completed = CompleteOutcome::Completed { not_kept: None };
        Fake::new().complete(ok(completed).after(10_000)).begin(ok(acquired()))
    };
    use OnFailure as On;
    #[rustfmt::skip]
    let cases: [(_, Fake, On, _, &[&str]); 4] = [
        ("asking: given back before another asks", late().begin(ok(acquired()).after(100)), On::Leave, "ran",
            &["begin wait 0", "begin wait 0", "abandon NotDone", "begin wait 0", "complete 0"]),
        ("running: the lease decides", Fake::new(), On::Leave, "ran",
            &["begin wait 0", "begin wait 0", "complete 0"]),
        ("running: given up before another asks", Fake::new().abandon(ok(AbandonOutcome::Abandoned).after(100)), On::Release, "ran",
            &["begin wait 0", "abandon NotDone", "begin wait 0", "complete 0"]),
        ("completing: stored before another asks", completes_late().begin(ok(replay(0, 9_000))), On::Leave, "replayed",
            &["begin wait 0", "complete 0", "complete 0", "begin wait 0"]),
    ];
    for (why, fake, on_drop, want, calls) in cases {
        let execution = execution(&fake).on_drop(on_drop);
        let completing = why.starts_with("completing");
        let leader = spawn(&execution, move |_| async move {
            if !completing {
                pending::<()>().await;
            }
            Ok("made")
        })
        .await;
        let followers = [spawn(&execution, takes_a_second).await, spawn(&execution, unused).await];
        let gone = spawn(&execution, unused).await;
        gone.abort();
        sleep(Duration::from_millis(500)).await;
        leader.abort();
        let mut names = Vec::new();
        for follower in followers {
            names.push(name(follower).await);
        }
        assert_eq!(names, [want, "replayed"], "{why}");
        assert_eq!(fake.calls(), calls, "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_lost_the_identity_holds_nobody_up_s4() {
    let lost = |outcome| Fake::new().renew(ok(outcome)).begin(ok(acquired()));
    let unreachable = Fake::new().renew(down().forever()).begin(ok(acquired()));
    let cases = [
        ("fenced", lost(RenewOutcome::Fenced), 10),
        ("forgotten", lost(RenewOutcome::Gone), 10),
        ("the lease ended by our count", unreachable, 30),
    ];
    for (why, fake, after_secs) in cases {
        let fake = fake.begin(ok(replay(1, 9_000)));
        let execution = execution(&fake);
        let start = Instant::now();
        let leader = spawn(&execution, hangs).await;
        let follower = spawn(&execution, unused).await;
        assert_eq!(name(follower).await, "replayed", "{why}");
        assert_eq!(start.elapsed(), Duration::from_secs(after_secs), "{why}: it asked the store");
        leader.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_not_stored_is_the_leaders_alone() {
    let lost = Fake::new().complete(ok(CompleteOutcome::Fenced));
    let unstored = Fake::new().complete(denied());
    let declined = CompleteOutcome::Completed { not_kept: Some(NotKept::TooLarge) };
    let not_kept = Fake::new().complete(ok(declined));
    for (why, fake) in [("lost", lost), ("not stored", unstored), ("not kept (S12)", not_kept)] {
        let fake = fake.begin(ok(acquired())).begin(ok(replay(7, 9_000)));
        let execution = execution(&fake);
        let _leader = spawn(&execution, takes_a_second).await;
        let followers = [spawn(&execution, unused).await, spawn(&execution, unused).await];
        for follower in followers {
            let done = follower.await.unwrap().unwrap().into_done().unwrap();
            assert_eq!((done.age.get(), done.attempt_number), (7, 3), "{why}: the store's word");
        }
        let calls = fake.calls();
        assert_eq!(calls, ["begin wait 0", "complete 0", "begin wait 0"], "{why}: once more");
    }
}

#[tokio::test(start_paused = true)]
async fn another_payload_asks_the_store_where_nothing_is_proved_s1() {
    // The leader's begin takes 50 ms; then its work runs, if it is acquired.
    let in_doubt = BeginOutcome::InDoubt { since: Millis::ZERO };
    #[rustfmt::skip]
    let cases: [(&str, Reply<BeginOutcome<Bytes>>, Executed, usize); 5] = [
        ("acquired: bound to the leader's", ok(acquired()), Executed::Mismatch, 1),
        ("replay: bound to the leader's", ok(replay(1, 9_000)), Executed::Mismatch, 1),
        ("the leader's is a mismatch: bound to the other's, perhaps", ok(BeginOutcome::Mismatch), Executed::InDoubt { since: Millis::ZERO }, 2),
        ("in doubt: no word of the fingerprint", ok(in_doubt.clone()), Executed::InDoubt { since: Millis::ZERO }, 2),
        ("unavailable", down(), Executed::InDoubt { since: Millis::ZERO }, 2),
    ];
    for (why, reply, want, begins) in cases {
        let fake = Fake::new().begin(reply.after(50)).begin(ok(in_doubt.clone()));
        let execution = execution(&fake);
        let leader = spawn(&execution, takes_a_second).await;
        let other = spawn_for("other", &execution, unused).await;
        assert_eq!(other.await.unwrap().unwrap(), want, "{why}");
        let asked = fake.calls().iter().filter(|call| call.starts_with("begin")).count();
        assert_eq!(asked, begins, "{why}");
        let _ = leader.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lapsed_or_lost_leader_proves_nothing_s7_s8() {
    for (why, lease_ended) in [("its lease ended by our count", true), ("fenced", false)] {
        let in_doubt = || ok(BeginOutcome::InDoubt { since: Millis::ZERO });
        let renewed = if lease_ended { down().forever() } else { ok(RenewOutcome::Fenced) };
        let fake = Fake::new().renew(renewed).begin(ok(acquired())).begin(in_doubt());
        let execution = execution(&fake);
        let leader = spawn(&execution, hangs).await;
        let at_once = spawn_for("other", &execution, unused).await;
        assert_eq!(name(at_once).await, "mismatch", "{why}: not yet");
        sleep(LEASE.as_duration()).await;
        let later = spawn_for("other", &execution, unused).await;
        assert_eq!(name(later).await, "in_doubt", "{why}: the store knows");
        leader.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_fingerprint_to_come_and_coalesce_off_share_nothing_s9() {
    let fake = Fake::new();
    let execution = execution(&fake);
    let off = execution.clone().coalesce(false);
    for (execution, fingerprint) in
        [(&execution, Fingerprint::Later), (&off, Fingerprint::of("payload"))]
    {
        let before = fake.calls().len();
        let calls: Vec<_> = (0..3)
            .map(|_| {
                let execution = execution.clone();
                tokio::spawn(
                    async move { execution.execute(key(), fingerprint, takes_a_second).await },
                )
            })
            .collect();
        for call in calls {
            assert_eq!(name(call).await, "ran", "as the script has it");
        }
        assert_eq!(fake.calls().len() - before, 6, "each asks");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_within_the_work_follows_nobody() {
    let fence = fence(1);
    let in_progress =
        BeginOutcome::InProgress { retry_after: LEASE, age: Millis::ZERO, attempt_number: 1 };
    let fake = Fake::new().begin(ok(acquired())).begin(ok(in_progress));
    let execution = execution(&fake);
    let inner = execution.clone();
    let outer = execution.execute(key(), Fingerprint::of("payload"), |run| async move {
        assert_eq!(run.fence(), fence);
        let same = inner.execute(key(), Fingerprint::of("payload"), unused).await.unwrap();
        assert_eq!(same.name(), "in_progress", "as the store has it: its own owner runs");
        Ok::<_, &str>("made")
    });
    let outer = timeout(Duration::from_secs(100), outer).await.expect("it does not hang");
    assert_eq!(outer.unwrap().name(), "ran");
}
