//! Steps and compensations that fail, for now and for good.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use onceward_client::*;

use super::scene::{Act, LEASE, RanBy, STEPS, Scene, key, outcome, stopped};

fn sold_out(step: &str) -> TerminalFailure {
    TerminalFailure { step: step.to_owned(), message: "sold out".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_for_now_is_tried_again() {
    let scene = Scene::new();
    scene.script.plan("ferry", [Act::FailForNow, Act::FailForNow]);
    assert_eq!(outcome(scene.book().await), Ok(RanBy(vec![1, 1, 1])));
    assert_eq!(scene.script.take(), ["truck", "ferry", "ferry", "ferry", "driver"]);
}

#[tokio::test(start_paused = true)]
async fn the_ledger_outlives_a_step_that_keeps_failing_for_now_s3_s8() {
    let scene = Scene::new();
    scene.script.plan("ferry", [Act::FailForNow; 3]);
    let (error, next) = stopped(scene.book().await);
    assert!(error.is_retryable());
    assert_eq!(error.to_string(), "step ferry failed for now, 3 times of 3: busy");
    let NextCall::Resumes { after } = next else { panic!("{next:?}") };
    assert!(Millis::ZERO < after && after <= LEASE, "{after:?}");
    assert_eq!(scene.book().await.unwrap().name(), "in_progress", "the lease runs on");
    scene.lapse();
    assert_eq!(outcome(scene.book().await), Ok(RanBy(vec![1, 2, 2])));
    let ran = ["truck", "ferry", "ferry", "ferry", "ferry", "driver"];
    assert_eq!(scene.script.take(), ran, "the truck is not booked again");
}

#[tokio::test(start_paused = true)]
async fn with_nothing_recorded_the_key_is_given_back_at_once_s3() {
    let rows = [
        (None, NextCall::StartsAnew, "absent"),
        (Some(OnFailure::InDoubt), NextCall::InDoubt, "in_doubt"),
        (Some(OnFailure::Leave), NextCall::Resumes { after: LEASE }, "reserved"),
    ];
    for (on_failure, want, state) in rows {
        let scene = Scene::new();
        let mut execution = scene.client.execution();
        if let Some(on_failure) = on_failure {
            execution = execution.on_failure(on_failure);
        }
        scene.script.plan("truck", [Act::FailForNow; 3]);
        let (error, next) = stopped(scene.book_with(&execution).await);
        assert!(matches!(error, StepError::Exhausted { tries: 3, .. }), "{error}");
        let next = match next {
            NextCall::Resumes { .. } => NextCall::Resumes { after: LEASE },
            other => other,
        };
        assert_eq!((next, scene.state().await), (want, state), "{on_failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_has_the_tries_and_pauses_it_is_given() {
    let scene = Scene::new();
    let retry = StepRetry::new(5).pauses(Duration::from_secs(60), Duration::from_secs(60));
    let started = tokio::time::Instant::now();
    let program = async |mut run: Run| {
        let step = run.step("truck", async |context| match context.try_number() {
            1..5 => Err(StepFailure::retryable("busy")),
            tries => Ok(tries),
        });
        step.retry(retry).await
    };
    let execution = scene.client.execution();
    let done = execution.execute_steps(key(), Fingerprint::None, program).await.unwrap();
    assert_eq!(done.into_done().unwrap().outcome, Ok(5));
    let waited = started.elapsed().as_secs();
    assert!((240..=480).contains(&waited), "four pauses of a minute and some: {waited} s");
}

#[tokio::test(start_paused = true)]
async fn a_failure_for_good_undoes_what_finished_last_first_and_is_final_s5() {
    let rows = [
        ("truck", vec![]),
        ("ferry", vec!["undo truck of 1"]),
        ("driver", vec!["undo ferry of 1", "undo truck of 1"]),
    ];
    for (at, (step, undone)) in rows.into_iter().enumerate() {
        let scene = Scene::new();
        scene.script.plan(step, [Act::FailForGood]);
        for replayed in [false, true] {
            let done = scene.book().await.unwrap().into_done().unwrap();
            assert_eq!(done.outcome, Err(sold_out(step)), "{step}");
            assert_eq!(done.done.replayed, replayed, "{step}");
            let ran = if replayed { vec![] } else { [&STEPS[..=at], &undone].concat() };
            assert_eq!(scene.script.take(), ran, "{step}: a retry runs nothing");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_successor_of_a_failed_run_goes_on_compensating_and_never_forward_s19() {
    let scene = Scene::new();
    scene.script.plan("driver", [Act::FailForGood]);
    scene.script.plan("undo ferry", [Act::Crash]);
    scene.script.plan("undo truck", [Act::Crash]);
    scene.crash().await;
    let first = ["truck", "ferry", "driver", "undo ferry of 1"];
    assert_eq!(scene.script.take(), first);
    scene.crash().await;
    assert_eq!(scene.script.take(), ["undo ferry of 1", "undo truck of 1"], "the first is redone");
    assert_eq!(outcome(scene.book().await), Err(sold_out("driver")));
    assert_eq!(scene.script.take(), ["undo truck of 1"], "the ferry's is recorded");
}

#[tokio::test(start_paused = true)]
async fn a_compensation_is_tried_often_and_then_left_to_the_next_call() {
    let scene = Scene::new();
    scene.script.plan("driver", [Act::FailForGood]);
    scene.script.plan("undo ferry", [Act::FailForNow; 8]);
    let (error, next) = stopped(scene.book().await);
    assert!(matches!(error, StepError::CompensationExhausted { tries: 8, .. }), "{error}");
    assert!(error.is_retryable());
    assert!(matches!(next, NextCall::Resumes { .. }), "{next:?}");
    scene.script.take();
    scene.lapse();
    assert_eq!(outcome(scene.book().await), Err(sold_out("driver")));
    assert_eq!(scene.script.take(), ["undo ferry of 1", "undo truck of 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_compensation_that_fails_for_good_puts_the_key_in_doubt_s8() {
    let scene = Scene::new();
    scene.script.plan("driver", [Act::FailForGood]);
    scene.script.plan("undo ferry", [Act::FailForNow, Act::FailForGood]);
    let (error, next) = stopped(scene.book().await);
    assert_eq!(
        error.to_string(),
        "the compensation of step ferry failed for good: sold out; look at what the step did, then resolve the key"
    );
    assert_eq!((next, scene.state().await), (NextCall::InDoubt, "in_doubt"));
    scene.lapse();
    scene.script.take();
    assert_eq!(scene.book().await.unwrap().name(), "in_doubt", "nobody runs");
    assert!(scene.script.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_crash_and_its_lease_decides_s8() {
    for (step, ran) in [("truck", [2, 2, 2]), ("driver", [1, 1, 2])] {
        let scene = Scene::new();
        scene.script.plan(step, [Act::Panic]);
        let panicked = AssertUnwindSafe(scene.book()).catch_unwind().await;
        assert!(panicked.is_err(), "{step}: it goes on");
        assert_eq!(scene.book().await.unwrap().name(), "in_progress", "{step}");
        scene.lapse();
        assert_eq!(outcome(scene.book().await), Ok(RanBy(ran.into())), "{step}");
    }
}

#[tokio::test(start_paused = true)]
async fn under_policy_in_doubt_nothing_resumes_s8() {
    let scene = Scene::new();
    let execution = scene.client.execution().policy(Policy::InDoubt);
    scene.script.plan("ferry", [Act::FailForNow; 3]);
    let (_, next) = stopped(scene.book_with(&execution).await);
    assert_eq!((next, scene.state().await), (NextCall::InDoubt, "in_doubt"));

    let scene = Scene::new();
    let execution = scene.client.execution().policy(Policy::InDoubt);
    scene.script.plan("driver", [Act::FailForGood]);
    let failed = outcome(scene.book_with(&execution).await);
    assert_eq!(failed, Err(sold_out("driver")), "a failure for good is no doubt");

    let scene = Scene::new();
    let execution = scene.client.execution().policy(Policy::InDoubt);
    scene.script.plan("ferry", [Act::Panic]);
    let panicked = AssertUnwindSafe(scene.book_with(&execution)).catch_unwind().await;
    assert!(panicked.is_err());
    scene.lapse();
    assert_eq!(scene.state().await, "in_doubt");
}

#[tokio::test(start_paused = true)]
async fn no_setting_releases_a_key_with_a_recorded_step_s3() {
    let scene = Scene::new();
    let execution = scene.client.execution();
    let execution = execution.on_failure(OnFailure::Release).on_drop(OnFailure::Release);
    scene.script.plan("ferry", [Act::Crash, Act::FailForNow, Act::FailForNow, Act::FailForNow]);
    scene.crash_with(scene.book_with(&execution)).await;
    let (_, next) = stopped(scene.book_with(&execution).await);
    assert!(matches!(next, NextCall::Resumes { .. }), "{next:?}");
    scene.lapse();
    assert_eq!(outcome(scene.book_with(&execution).await), Ok(RanBy(vec![1, 3, 3])));
}

#[tokio::test(start_paused = true)]
async fn a_long_message_is_cut_and_kept_whole_in_the_result_s12() {
    let scene = Scene::new();
    let program = async |mut run: Run| {
        let work = async |_| Err::<(), _>(StepFailure::terminal("é\u{1}".repeat(400)));
        run.step("s".repeat(STEP_NAME_BYTES_MAX), work).await
    };
    let execution = scene.client.execution();
    let done = execution.execute_steps(key(), Fingerprint::None, program).await.unwrap();
    let StepsDone { outcome, done } = done.into_done().unwrap();
    let TerminalFailure { step, message } = outcome.unwrap_err();
    assert_eq!(step.len(), STEP_NAME_BYTES_MAX);
    assert_eq!(message, "é\u{1}".repeat(400)[..message.len()]);
    assert!((FAILURE_MESSAGE_BYTES_MAX - 3..=FAILURE_MESSAGE_BYTES_MAX).contains(&message.len()));
    assert!(done.result.metadata.len() <= 1024, "it outlives a body that is not kept");
}
