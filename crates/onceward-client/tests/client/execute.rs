//! Every path of an execution, over a scripted backend in paused time.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use futures_util::FutureExt as _;
use onceward_client::{
    ClientError, ExecuteError, Executed, Execution, ExecutionResult, Lost, OnFailure,
    PayloadFingerprint as _,
};
use onceward_core::*;
use tokio::time::{Duration, Instant, sleep};

use crate::fake::{Fake, LEASE, Reply, denied, down, grant, ok};

pub(crate) fn key() -> ScopedKeyBuf {
    ScopedKeyBuf::new("tenant-9", "order-1").unwrap()
}

pub(crate) fn execution(fake: &Fake) -> Execution<Fake> {
    Execution::over(fake.clone())
}

pub(crate) type Answer = Result<Executed, ExecuteError<&'static str>>;

/// Executes work that takes `ms` and counts its runs.
async fn execute(execution: &Execution<Fake>, ms: u64, runs: &AtomicU32) -> Answer {
    execution
        .execute(key(), Fingerprint::of("payload"), |_| async {
            runs.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(ms)).await;
            Ok((201, "made"))
        })
        .await
}

fn stored() -> StoredResult<Bytes> {
    ExecutionResult::new(201, "made").into()
}

fn replay() -> BeginOutcome<Bytes> {
    BeginOutcome::Replay(Replay {
        result: stored(),
        age: Millis::new(7),
        attempt_number: 3,
        retention_left: Millis::new(9),
    })
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_acquisition_runs_nothing_s1() {
    let ms = Millis::new(5);
    let refused = |reason, retry_after| BeginOutcome::Refused { reason, retry_after };
    let cases = [
        (replay(), "replayed"),
        (BeginOutcome::InProgress { retry_after: ms, age: ms, attempt_number: 2 }, "in_progress"),
        (BeginOutcome::Mismatch, "mismatch"),
        (BeginOutcome::NeedFingerprint, "need_fingerprint"),
        (BeginOutcome::InDoubt { since: ms }, "in_doubt"),
        (refused(Refusal::Capacity, Some(ms)), "refused"),
        (refused(Refusal::Quota, None), "refused"),
        (BeginOutcome::Expired { since: ms }, "expired"),
    ];
    for (outcome, want) in cases {
        let (fake, runs) = (Fake::new().begin(ok(outcome)), AtomicU32::new(0));
        let executed = execute(&execution(&fake), 0, &runs).await.unwrap();
        assert_eq!(executed.name(), want);
        assert_eq!(fake.calls(), ["begin wait 0"], "{want}: one round trip");
        assert_eq!(runs.into_inner(), 0, "{want}: the work is not run");
        match executed.into_done() {
            Ok(done) => {
                assert_eq!((done.result, done.replayed), (stored(), true));
                assert_eq!((done.attempt_number, done.age.get()), (3, 7));
                assert_eq!(done.retention_left.get(), 9);
            }
            Err(other) => assert!(other.done().is_none(), "{want}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_complete_answers_s4_s5_s12() {
    let completed = |not_kept| CompleteOutcome::Completed { not_kept };
    let lost = |why| Err(ExecuteError::LostOwnership { why, result: (201, "made").into() });
    #[rustfmt::skip]
    let cases = [
        ("stored", completed(None), Ok(None)),
        ("stored, not kept", completed(Some(NotKept::TooLarge)), Ok(Some(NotKept::TooLarge))),
        ("a lost reply is harmless (S3)", CompleteOutcome::AlreadyCompleted { not_kept: None }, Ok(None)),
        ("taken over", CompleteOutcome::Fenced, lost(Lost::Fenced)),
        ("resolved as never done", CompleteOutcome::Gone, lost(Lost::Gone)),
        ("another result stands", CompleteOutcome::Conflict, lost(Lost::Conflict)),
        ("another fingerprint", CompleteOutcome::Mismatch, lost(Lost::Mismatch)),
    ];
    for (why, outcome, want) in cases {
        let (fake, runs) = (Fake::new().complete(ok(outcome)), AtomicU32::new(0));
        let got = execute(&execution(&fake), 5, &runs).await;
        assert_eq!(fake.calls(), ["begin wait 0", "complete 201"], "{why}");
        assert_eq!(runs.into_inner(), 1, "{why}");
        let want = match want {
            Ok(not_kept) => {
                let Ok(Executed::Ran(done)) = got else { panic!("{why}: {got:?}") };
                assert_eq!(done.not_kept, not_kept, "{why}");
                assert_eq!(done.result, stored(), "{why}: its runner has the whole result");
                assert!(!done.replayed && done.attempt_number == 1, "{why}");
                continue;
            }
            Err(error) => error,
        };
        assert!(want.is_retryable(), "{why}: asking again tells what stands");
        assert_eq!(got, Err(want), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_unavailable_at_begin_never_runs_the_work() {
    for (reply, retryable) in [(down(), true), (denied(), false)] {
        let (fake, runs) = (Fake::new().begin(reply), AtomicU32::new(0));
        let error = execute(&execution(&fake), 0, &runs).await.unwrap_err();
        assert_eq!(error.is_retryable(), retryable);
        assert!(matches!(error, ExecuteError::NotRun(_)), "{error}");
        assert_eq!(runs.into_inner(), 0);
        assert_eq!(fake.calls(), ["begin wait 0"]);
    }
}

#[tokio::test(start_paused = true)]
async fn complete_is_repeated_until_the_lease_ends() {
    let (fake, runs) = (Fake::new(), AtomicU32::new(0));
    let fake = fake.complete(down()).complete(down()).complete(down());
    let executed = execute(&execution(&fake), 5, &runs).await.unwrap();
    assert_eq!(executed.name(), "ran");
    assert_eq!(fake.calls().len(), 5, "begin and four completes");
    assert_eq!(runs.into_inner(), 1);

    let (fake, runs) = (Fake::new().complete(down().forever()), AtomicU32::new(0));
    let error = execute(&execution(&fake), 5_000, &runs).await.unwrap_err();
    let want = ClientError::from(BackendError::Unavailable { message: "scripted outage".into() });
    assert_eq!(error, ExecuteError::NotStored { cause: want, result: (201, "made").into() });
    let last = fake.timed_calls().pop().unwrap();
    assert_eq!(last, (30_000, "complete 201".into()), "the lease counts from the sending (S6)");

    let (fake, runs) = (Fake::new().complete(denied()), AtomicU32::new(0));
    let error = execute(&execution(&fake), 5, &runs).await.unwrap_err();
    assert!(matches!(error, ExecuteError::NotStored { cause: ClientError::Denied, .. }), "{error}");
    assert_eq!(fake.calls().len(), 2, "a refusal is not repeated");
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_renewed_at_a_third_of_it() {
    let (fake, runs) = (Fake::new(), AtomicU32::new(0));
    assert_eq!(execute(&execution(&fake), 25_000, &runs).await.unwrap().name(), "ran");
    let calls = fake.timed_calls();
    let times: Vec<_> = calls.iter().map(|(at, call)| (*at, call.as_str())).collect();
    assert_eq!(
        times,
        [(0, "begin wait 0"), (10_000, "renew"), (20_000, "renew"), (25_000, "complete 201")]
    );
    sleep(Duration::from_secs(60)).await;
    assert_eq!(fake.calls().len(), 4, "nothing renews after the end");
}

#[tokio::test(start_paused = true)]
async fn the_lease_counts_from_the_sending_s6() {
    // The store granted 30 s at some instant within the 4 s that the reply took.
    let attempt = AttemptId::from_bytes([1; 16]);
    let renewed = RenewOutcome::Renewed { lease_left: LEASE };
    let fake = Fake::new()
        .begin(ok(grant(1, attempt, LEASE)).after(4_000))
        .renew(ok(renewed).after(4_000));
    let answer: Answer = execution(&fake)
        .execute(key(), Fingerprint::None, |context| async move {
            assert_eq!(context.lease_left(), Duration::from_secs(26));
            sleep(Duration::from_secs(13)).await;
            assert_eq!(context.lease_left(), Duration::from_secs(23), "renewed 7 s ago, not 3");
            Ok(())
        })
        .await;
    assert_eq!(answer.unwrap().name(), "ran");
}

#[tokio::test(start_paused = true)]
async fn an_owner_out_of_a_wait_renews_before_it_starts_s10() {
    let attempt = AttemptId::from_bytes([1; 16]);
    let acquired = || ok(grant(1, attempt, LEASE));
    #[rustfmt::skip]
    let cases: [(&str, u64, Reply<_>, &[&str]); 4] = [
        ("answered at once", 20_000, acquired(), &["begin wait 20000", "complete 201"]),
        ("out of a wait", 20_000, acquired().after(50), &["begin wait 20000", "renew", "complete 201"]),
        ("slow, but it could not wait", 0, acquired().after(50), &["begin wait 0", "complete 201"]),
        ("so slow that renewal is due", 0, acquired().after(10_000), &["begin wait 0", "renew", "complete 201"]),
    ];
    for (why, wait, reply, want) in cases {
        let (fake, runs) = (Fake::new().begin(reply), AtomicU32::new(0));
        let execution = execution(&fake).wait(Millis::new(wait));
        assert_eq!(execute(&execution, 5, &runs).await.unwrap().name(), "ran", "{why}");
        assert_eq!(fake.calls(), want, "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_acquisition_lost_before_the_start_begins_anew() {
    let attempt = AttemptId::from_bytes([1; 16]);
    let late = || ok(grant(1, attempt, LEASE)).after(6_000);
    let (fake, runs) =
        (Fake::new().begin(late()).renew(ok(RenewOutcome::Fenced)), AtomicU32::new(0));
    let execution_waits = execution(&fake).wait(Millis::new(20_000));
    assert_eq!(execute(&execution_waits, 5, &runs).await.unwrap().name(), "ran");
    let want = ["begin wait 20000", "renew", "begin wait 14000", "complete 201"];
    assert_eq!(fake.calls(), want, "the wait goes on where it was");
    let attempts = fake.attempts();
    assert_ne!(attempts[0], attempts[1], "another begin, another attempt id (S3)");
    assert_eq!(runs.into_inner(), 1);

    let (fake, runs) = (Fake::new().begin(ok(BeginOutcome::Gone).forever()), AtomicU32::new(0));
    let error = execute(&execution(&fake), 5, &runs).await.unwrap_err();
    assert!(matches!(&error, ExecuteError::NotRun(_)) && error.is_retryable(), "{error}");
    assert_eq!((fake.calls().len(), runs.into_inner()), (3, 0), "bounded");

    let (fake, runs) = (Fake::new().begin(late()).renew(down()), AtomicU32::new(0));
    let execution_waits = execution(&fake).wait(Millis::new(20_000));
    let error = execute(&execution_waits, 5, &runs).await.unwrap_err();
    assert!(matches!(error, ExecuteError::NotRun(_)), "{error}");
    let calls = fake.until_calls(3).await;
    assert_eq!(calls, ["begin wait 20000", "renew", "abandon NotDone"], "nothing ran: given back");

    let taken_over = ok(grant(2, attempt, LEASE)).after(6_000);
    let (fake, runs) = (Fake::new().begin(taken_over).renew(down()), AtomicU32::new(0));
    let execution_waits = execution(&fake).wait(Millis::new(20_000));
    execute(&execution_waits, 5, &runs).await.unwrap_err();
    sleep(LEASE.as_duration()).await;
    assert_eq!(fake.calls(), ["begin wait 20000", "renew"], "its checkpoint lives on (S19)");
}

#[tokio::test(start_paused = true)]
async fn failing_work_gives_the_identity_up_as_stated() {
    use {OnFailure as On, Policy as P};
    #[rustfmt::skip]
    let cases = [
        ("takeover: it may safely run again", P::Takeover, None, Some("abandon NotDone")),
        ("in doubt: a side effect may have happened", P::InDoubt, None, Some("abandon InDoubt")),
        ("chosen: release", P::InDoubt, Some(On::Release), Some("abandon NotDone")),
        ("chosen: in doubt", P::Takeover, Some(On::InDoubt), Some("abandon InDoubt")),
        ("chosen: leave", P::InDoubt, Some(On::Leave), None),
    ];
    for (why, policy, chosen, abandon) in cases {
        for panics in [false, true] {
            let fake = Fake::new();
            let mut execution = execution(&fake).policy(policy);
            if let Some(on_failure) = chosen {
                execution = execution.on_failure(on_failure);
            }
            let running = execution.execute(key(), Fingerprint::None, |_| async move {
                assert!(!panics, "scripted panic");
                Err::<(), _>("scripted error")
            });
            let ended = std::panic::AssertUnwindSafe(running).catch_unwind().await;
            let want: Vec<_> = ["begin wait 0"].into_iter().chain(abandon).collect();
            assert_eq!(fake.calls(), want, "{why}, panics {panics}");
            match ended {
                Ok(answer) => {
                    assert!(!panics, "{why}: the panic goes on");
                    assert_eq!(answer, Err(ExecuteError::Work("scripted error")), "{why}");
                }
                Err(panic) => {
                    assert!(panics);
                    assert_eq!(panic.downcast_ref(), Some(&"scripted panic"), "{why}: unchanged");
                }
            }
            let again: Answer =
                execution.execute(key(), Fingerprint::None, |_| async { Ok(()) }).await;
            assert_eq!(again.unwrap().name(), "ran", "{why}: nothing is poisoned");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_panics_before_its_future_is_work_that_panics() {
    let fake = Fake::new();
    let execution = execution(&fake);
    let running =
        execution.execute(key(), Fingerprint::None, |_| -> std::future::Ready<Result<(), ()>> {
            panic!("scripted panic")
        });
    assert!(std::panic::AssertUnwindSafe(running).catch_unwind().await.is_err());
    assert_eq!(fake.calls(), ["begin wait 0", "abandon NotDone"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_keeps_its_word_where_giving_up_fails() {
    let fake = Fake::new().abandon(down());
    let answer: Result<Executed, _> =
        execution(&fake).execute(key(), Fingerprint::None, |_| async { Err::<(), _>("no") }).await;
    assert_eq!(answer, Err(ExecuteError::Work("no")));
    assert_eq!(fake.calls(), ["begin wait 0", "abandon NotDone"]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_execution_leaves_what_is_stated() {
    use {OnFailure as On, Policy as P};
    let attempt = AttemptId::from_bytes([1; 16]);
    let begin_hangs = || Fake::new().begin(ok(grant(1, attempt, LEASE)).after(1_000_000));
    let complete_hangs =
        || Fake::new().complete(ok(CompleteOutcome::Completed { not_kept: None }).after(1_000_000));
    let taken_over = || begin_hangs().begin(ok(grant(2, attempt, LEASE)));
    #[rustfmt::skip]
    let cases: [(_, _, _, _, _, &[&str]); 7] = [
        ("running, takeover: the lease decides", Fake::new(), P::Takeover, None, true,
            &["begin wait 0", "renew"]),
        ("running, in doubt", Fake::new(), P::InDoubt, None, true,
            &["begin wait 0", "renew", "abandon InDoubt"]),
        ("running, chosen: release", Fake::new(), P::Takeover, Some(On::Release), true,
            &["begin wait 0", "renew", "abandon NotDone"]),
        ("running, chosen: leave", Fake::new(), P::InDoubt, Some(On::Leave), true,
            &["begin wait 0", "renew"]),
        ("beginning: given back", begin_hangs(), P::InDoubt, None, true,
            &["begin wait 20000", "begin wait 0", "abandon NotDone"]),
        ("beginning, after a takeover: a predecessor may have run (S19)", taken_over(), P::Takeover, None, true,
            &["begin wait 20000", "begin wait 0"]),
        ("completing: stored all the same", complete_hangs(), P::InDoubt, None, false,
            &["begin wait 0", "complete 0", "complete 0"]),
    ];
    for (why, fake, policy, on_drop, hang, want) in cases {
        let wait = if why.starts_with("beginning") { 20_000 } else { 0 };
        let mut execution = execution(&fake).policy(policy).wait(Millis::new(wait));
        if let Some(on_drop) = on_drop {
            execution = execution.on_drop(on_drop);
        }
        let running = execution.execute(key(), Fingerprint::None, |_| async move {
            if hang {
                pending::<()>().await;
            }
            Ok::<_, ()>(())
        });
        let outcome = tokio::time::timeout(Duration::from_secs(15), running).await;
        assert!(outcome.is_err(), "{why}: still busy");
        assert_eq!(fake.until_calls(want.len()).await, want, "{why}");
        sleep(Duration::from_secs(120)).await;
        assert_eq!(fake.calls(), want, "{why}: renewals have stopped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fenced_renewal_is_told_to_the_work_s4() {
    for (outcome, why) in [(RenewOutcome::Fenced, Lost::Fenced), (RenewOutcome::Gone, Lost::Gone)] {
        let fake = Fake::new().renew(ok(outcome));
        let answer: Answer = execution(&fake)
            .execute(key(), Fingerprint::None, |context| async move {
                assert!(context.is_owner());
                assert_eq!(context.lost_ownership().await, why);
                assert!(!context.is_owner());
                sleep(LEASE.as_duration() * 2).await;
                assert_eq!(context.lost(), Some(why), "what the store said outweighs our count");
                Ok("too late")
            })
            .await;
        assert_eq!(
            answer,
            Err(ExecuteError::LostOwnership { why, result: "too late".into() }),
            "its result is not accepted"
        );
        assert_eq!(fake.calls(), ["begin wait 0", "renew"], "{why}: that is final");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_runs_out_is_told_at_its_own_instant() {
    for (outcome, want) in [
        (CompleteOutcome::Completed { not_kept: None }, Ok("ran")), // Nobody took over (S8).
        (CompleteOutcome::Fenced, Err(Lost::Fenced)),
    ] {
        let fake = Fake::new().renew(down().forever()).complete(ok(outcome));
        let answer: Answer = execution(&fake)
            .execute(key(), Fingerprint::None, |context| async move {
                let start = Instant::now();
                assert_eq!(context.lost_ownership().await, Lost::LeaseEnded);
                assert_eq!(start.elapsed(), LEASE.as_duration());
                assert!(!context.is_owner() && context.lease_left().is_zero());
                Ok(())
            })
            .await;
        match (answer, want) {
            (Ok(executed), Ok(want)) => assert_eq!(executed.name(), want),
            (Err(ExecuteError::LostOwnership { why, .. }), Err(want)) => assert_eq!(why, want),
            (answer, want) => panic!("{answer:?}, not {want:?}"),
        }
        assert!(fake.calls().iter().filter(|call| *call == "renew").count() > 5, "it kept trying");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_comes_back_moves_the_lease_and_does_not_unsay_a_loss() {
    let fake = Fake::new().renew(down().after(25_000));
    let answer: Answer = execution(&fake)
        .execute(key(), Fingerprint::None, |context| async move {
            assert_eq!(context.lost_ownership().await, Lost::LeaseEnded);
            sleep(Duration::from_secs(20)).await; // The renewal at 35 s succeeds.
            assert_eq!(context.lost(), Some(Lost::LeaseEnded), "told to stop, stays told");
            assert!(context.lease_left() > Duration::from_secs(10), "rivals are shut out again");
            Ok(())
        })
        .await;
    assert_eq!(answer.unwrap().name(), "ran");
}

#[tokio::test(start_paused = true)]
async fn lengths_without_end_are_no_panic() {
    let attempt = AttemptId::from_bytes([1; 16]);
    let fake = Fake::new().begin(ok(grant(1, attempt, Millis::new(u64::MAX))));
    let runs = AtomicU32::new(0);
    let execution = execution(&fake).wait(Duration::MAX).lease(Duration::MAX);
    assert_eq!(execute(&execution, 5, &runs).await.unwrap().name(), "ran");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_can_be_spawned() {
    let execution = Arc::new(execution(&Fake::new()));
    let spawned = tokio::spawn(async move {
        execution.execute(key(), Fingerprint::None, |_| async { Ok::<_, ()>("made") }).await
    });
    assert_eq!(spawned.await.unwrap().unwrap().name(), "ran");
}
