//! Steps and the ownership they need, over a scripted backend in paused time.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt as _;
use onceward_client::*;
use tokio::time::{Duration, sleep};

use crate::execute::{execution, key};
use crate::fake::{Fake, LEASE, Reply, denied, down, grant, ok};

type Answer = Result<Executed<StepsDone<u32>>, TypedError<u32, Stopped>>;

/// Two steps that take `ms` each, and how many of them started.
async fn two_steps(fake: &Fake, ms: u64) -> (Answer, u32) {
    let mut started = 0;
    let program = async |mut run: Run<Fake>| {
        for name in ["first", "second"] {
            let step = run.step(name, |_| {
                started += 1;
                sleep(Duration::from_millis(ms)).map(Ok)
            });
            step.await?;
        }
        Ok(2)
    };
    let answer = execution(fake).execute_steps(key(), Fingerprint::None, program).await;
    (answer, started)
}

fn stopped(answer: Answer) -> (StepError, NextCall) {
    match answer {
        Err(TypedError::Execute(ExecuteError::Work(Stopped { error, next }))) => (error, next),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_step_is_saved_under_the_next_ordinal_s19() {
    let fake = Fake::new();
    let (answer, started) = two_steps(&fake, 5).await;
    assert_eq!(answer.unwrap().into_done().unwrap().outcome, Ok(2));
    assert_eq!(started, 2);
    assert_eq!(fake.calls(), ["begin wait 0", "checkpoint 1", "checkpoint 2", "complete 0"]);

    let attempt = AttemptId::from_bytes([7; 16]);
    let BeginOutcome::Acquired(mut acquired) = grant(3, attempt, LEASE) else { unreachable!() };
    let ledger = br#"{"onceward_steps":1,"steps":[{"name":"first","result":null}]}"#;
    acquired.checkpoint = Some(Checkpointed { ordinal: 9, bytes: ledger[..].into() });
    let fake = Fake::new().begin(ok(BeginOutcome::Acquired(acquired)));
    assert!(two_steps(&fake, 5).await.0.is_ok());
    assert_eq!(fake.calls(), ["begin wait 0", "checkpoint 10", "complete 0"]);
}

#[tokio::test(start_paused = true)]
async fn room_for_the_ledger_is_set_aside_at_begin_s19() {
    for (hint, want) in [(None, 64 * 1024), (Some(700), 700)] {
        let fake = Fake::new();
        let execution = execution(&fake);
        let execution = hint.map_or(execution.clone(), |bytes| execution.checkpoint_hint(bytes));
        let program = async |_: Run<Fake>| Ok(0_u32);
        let done = execution.execute_steps(key(), Fingerprint::None, program).await.unwrap();
        assert_eq!(done.name(), "ran");
        assert_eq!(fake.set_aside(), [want]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_store_says_of_a_record_s4_s19() {
    let saved = |ordinal| ok(CheckpointOutcome::Saved { ordinal });
    let refused = CheckpointOutcome::Refused { reason: Refusal::Capacity };
    let gone = NextCall::AsItsOwnerDecides;
    let resumes = NextCall::Resumes { after: LEASE };
    let rows: [(&str, Reply<CheckpointOutcome>, NextCall); 7] = [
        ("taken over", ok(CheckpointOutcome::Fenced), gone),
        ("resolved", ok(CheckpointOutcome::Gone), gone),
        ("completed", ok(CheckpointOutcome::Conflict), gone),
        ("no room", ok(refused), resumes),
        ("no right", denied(), resumes),
        ("another writer", saved(2), resumes),
        ("an older ledger stands", saved(0), resumes),
    ];
    for (why, reply, want) in rows {
        let fake = Fake::new().checkpoint(reply);
        let (answer, started) = two_steps(&fake, 0).await;
        let (error, next) = stopped(answer);
        assert!(matches!(error, StepError::NotRecorded { .. }), "{why}: {error}");
        assert_eq!((next, started), (want, 1), "{why}: no further step");
        assert_eq!(fake.calls(), ["begin wait 0", "checkpoint 1"], "{why}: nothing is given up");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_is_repeated_until_the_lease_ends() {
    let fake = Fake::new().checkpoint(down()).checkpoint(down());
    assert!(two_steps(&fake, 0).await.0.is_ok());
    let saves = ["checkpoint 1", "checkpoint 1", "checkpoint 1", "checkpoint 2"];
    assert_eq!(fake.calls()[1..5], saves, "the same ledger under the same ordinal");

    let unavailable = || down::<RenewOutcome>().forever();
    let fake = Fake::new().checkpoint(down().forever()).renew(unavailable());
    let (answer, started) = two_steps(&fake, 0).await;
    let (error, next) = stopped(answer);
    assert!(matches!(error, StepError::NotRecorded { .. }) && error.is_retryable(), "{error}");
    assert_eq!(started, 1);
    assert_eq!(next, NextCall::Resumes { after: Millis::ZERO });
    let calls = fake.timed_calls();
    let last = calls.iter().rfind(|(_, call)| call.starts_with("check"));
    assert_eq!(last.unwrap().0, LEASE.get(), "once more as the lease ends");
}

#[tokio::test(start_paused = true)]
async fn no_step_starts_once_ownership_is_lost() {
    let fake = Fake::new().renew(ok(RenewOutcome::Fenced));
    let (answer, started) = two_steps(&fake, 11_000).await;
    let (error, next) = stopped(answer);
    assert!(matches!(error, StepError::Lost { why: Lost::Fenced, .. }), "{error}");
    assert_eq!((started, next), (1, NextCall::AsItsOwnerDecides));

    // The store is silent to renewals until the lease has ended, and then takes the record: no
    // rival came. Another may come now, so the second step does not start.
    let fake = Fake::new().renew(down().forever());
    let (answer, started) = two_steps(&fake, 31_000).await;
    let (error, next) = stopped(answer);
    assert!(matches!(error, StepError::Lost { why: Lost::LeaseEnded, .. }), "{error}");
    assert_eq!((started, next), (1, NextCall::Resumes { after: Millis::ZERO }));
    assert!(fake.calls().contains(&"checkpoint 1".to_owned()), "the fact is recorded");
}

#[tokio::test(start_paused = true)]
async fn no_try_starts_once_ownership_is_lost() {
    let fake = Fake::new().renew(ok(RenewOutcome::Fenced));
    let mut tries = 0;
    let program = async |mut run: Run<Fake>| {
        let step = run.step("first", |_| {
            tries += 1;
            async {
                sleep(Duration::from_secs(11)).await;
                Err::<u32, _>(StepFailure::retryable("busy"))
            }
        });
        step.await
    };
    let execution = execution(&fake).policy(Policy::InDoubt);
    let answer = execution.execute_steps(key(), Fingerprint::None, program).await;
    let (error, next) = stopped(answer);
    assert!(matches!(error, StepError::Lost { .. }), "{error}");
    assert_eq!((tries, next), (1, NextCall::AsItsOwnerDecides));
    assert_eq!(fake.calls(), ["begin wait 0", "renew"], "nothing of another's is given up");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_undone_for_a_failure_that_is_not_recorded() {
    for goes_on in [false, true] {
        let recorded = ok(CheckpointOutcome::Saved { ordinal: 1 });
        let fake = Fake::new().checkpoint(recorded).checkpoint(denied());
        let undone = Arc::new(AtomicU32::new(0));
        let undoing = Arc::clone(&undone);
        let program = async |mut run: Run<Fake>| {
            let step = run.step("first", async |_| Ok(()));
            let undo = move |(), _| {
                undoing.fetch_add(1, Ordering::Relaxed);
                ready(Ok(()))
            };
            step.compensate(undo).await?;
            let work = async |_| Err::<u32, _>(StepFailure::terminal("sold out"));
            match run.step("second", work).await {
                Err(StepError::NotRecorded { .. }) if goes_on => Ok(0),
                other => other,
            }
        };
        let answer = execution(&fake).execute_steps(key(), Fingerprint::None, program).await;
        let (error, next) = stopped(answer);
        match error {
            StepError::NotRecorded { .. } => assert!(!goes_on),
            StepError::CutOff { .. } => assert!(goes_on, "a successor may run it forward"),
            other => panic!("{other}"),
        }
        assert_eq!(next, NextCall::Resumes { after: LEASE });
        assert_eq!(undone.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_without_a_json_form_is_done_all_the_same_s12() {
    #[derive(Debug, serde::Deserialize)]
    struct Formless;
    impl serde::Serialize for Formless {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("it has none"))
        }
    }
    impl Schema for Formless {
        const TAG: &'static str = "formless/1";
    }
    let fake = Fake::new();
    let program = async |_: Run<Fake>| Ok(Formless);
    let answer = execution(&fake).execute_steps(key(), Fingerprint::None, program).await;
    assert!(matches!(answer, Err(TypedError::NotEncoded { .. })), "{answer:?}");
    assert_eq!(fake.calls(), ["begin wait 0", "complete 0"]);
}

/// A program whose first step is too slow for its lease, which nothing renews, or exhausts its tries.
async fn nothing_recorded(fake: &Fake, busy: bool) -> (StepError, NextCall) {
    let program = async |mut run: Run<Fake>| {
        if !busy {
            sleep(LEASE.as_duration()).await;
        }
        run.step("first", async |_| Err::<u32, _>(StepFailure::retryable("busy"))).await
    };
    stopped(execution(fake).execute_steps(key(), Fingerprint::None, program).await)
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_did_nothing_cannot_say_that_nothing_was_done() {
    #[rustfmt::skip]
    let rows = [
        ("its first step did not start", 2, false, NextCall::Resumes { after: Millis::ZERO }, false),
        ("nobody was there before", 1, false, NextCall::StartsAnew, true),
        ("it tried what its predecessor may have done", 2, true, NextCall::StartsAnew, true),
    ];
    for (why, attempt, busy, want, given_back) in rows {
        let begun = grant(attempt, AttemptId::from_bytes([7; 16]), LEASE);
        let fake = Fake::new().begin(ok(begun)).renew(down().forever());
        let (error, next) = nothing_recorded(&fake, busy).await;
        assert_eq!(matches!(error, StepError::Lost { .. }), !busy, "{why}: {error}");
        assert_eq!(next, want, "{why}");
        let calls = fake.calls();
        assert_eq!(calls.contains(&"abandon NotDone".to_owned()), given_back, "{why}: {calls:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_next_call_finds_is_what_the_store_was_told() {
    #[rustfmt::skip]
    let rows = [
        ("given back", ok(AbandonOutcome::Abandoned), NextCall::StartsAnew),
        ("given back, its repeat says (S3)", ok(AbandonOutcome::Gone), NextCall::StartsAnew),
        ("taken over", ok(AbandonOutcome::Fenced), NextCall::AsItsOwnerDecides),
        ("no word of the store", down(), NextCall::Resumes { after: LEASE }),
    ];
    for (why, reply, want) in rows {
        let (_, next) = nothing_recorded(&Fake::new().abandon(reply), true).await;
        match (next, want) {
            (NextCall::Resumes { .. }, NextCall::Resumes { .. }) => {}
            (next, want) => assert_eq!(next, want, "{why}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_compensation_that_failed_for_good_without_a_word_of_the_store_is_called_again() {
    let fake = Fake::new().abandon(down());
    let program = async |mut run: Run<Fake>| {
        let broken = |_: u32, _| async { Err(StepFailure::terminal("cannot be undone")) };
        run.step("first", async |_| Ok(1_u32)).compensate(broken).await?;
        run.step("second", async |_| Err::<u32, _>(StepFailure::terminal("sold out"))).await
    };
    let (error, next) =
        stopped(execution(&fake).execute_steps(key(), Fingerprint::None, program).await);
    assert!(matches!(error, StepError::CompensationFailed { .. }), "{error}");
    assert!(matches!(next, NextCall::Resumes { .. }), "it is not in doubt: {next:?}");
}
