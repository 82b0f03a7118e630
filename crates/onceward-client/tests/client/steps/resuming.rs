//! Steps run once, are skipped by a successor, and give it what they gave.

use onceward_client::*;

use super::scene::{Act, RanBy, STEPS, Scene, key, outcome};

#[tokio::test(start_paused = true)]
async fn steps_run_once_and_a_retry_gets_the_result() {
    let scene = Scene::new();
    for replayed in [false, true] {
        let StepsDone { outcome, done } = scene.book().await.unwrap().into_done().unwrap();
        assert_eq!((outcome, done.replayed), (Ok(RanBy(vec![1, 1, 1])), replayed));
        let want: &[&str] = if replayed { &[] } else { &STEPS };
        assert_eq!(scene.script.take(), want, "a retry runs nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_successor_skips_what_is_finished_s19() {
    let rows = [("truck", 0, [2, 2, 2]), ("ferry", 1, [1, 2, 2]), ("driver", 2, [1, 1, 2])];
    for (crash_in, finished, want) in rows {
        let scene = Scene::new();
        scene.script.plan(crash_in, [Act::Crash]);
        scene.crash().await;
        assert_eq!(scene.script.take(), STEPS[..=finished], "{crash_in}: first run");
        let StepsDone { outcome, done } = scene.book().await.unwrap().into_done().unwrap();
        assert_eq!(outcome, Ok(RanBy(want.into())), "{crash_in}: recorded results");
        assert_eq!((done.attempt_number, done.replayed), (2, false), "{crash_in}");
        assert_eq!(scene.script.take(), STEPS[finished..], "{crash_in}: only the rest");
    }
}

#[tokio::test(start_paused = true)]
async fn the_ledger_goes_on_through_many_successors_s19() {
    let scene = Scene::new();
    scene.script.plan("truck", [Act::Crash, Act::Crash]);
    scene.script.plan("ferry", [Act::Crash]);
    scene.script.plan("driver", [Act::Crash, Act::Crash]);
    for _ in 0..5 {
        scene.crash().await;
    }
    assert_eq!(outcome(scene.book().await), Ok(RanBy(vec![3, 4, 6])));
    let ran = ["truck", "truck", "truck", "ferry", "ferry", "driver", "driver", "driver"];
    assert_eq!(scene.script.take(), ran);
}

#[tokio::test(start_paused = true)]
async fn derived_keys_are_the_same_in_every_try_and_attempt_s18() {
    let scene = Scene::new();
    let program = async |mut run: Run| {
        let (script, undo) = (&scene.script, scene.script.clone());
        let step = run.step("truck", async |context| {
            script.note(context.derived_key());
            match context.attempt_number() {
                1 if context.try_number() == 2 => script.crash_here().await,
                1 => Err(StepFailure::retryable("busy")),
                _ => Ok(()),
            }
        });
        let undone = move |(), context: StepContext| {
            undo.note(context.derived_key());
            std::future::ready(Ok(()))
        };
        step.compensate(undone).await?;
        run.step("ferry", async |_| Err::<(), _>(StepFailure::terminal("sold out"))).await?;
        Ok(())
    };
    let execution = scene.client.execution();
    scene.crash_with(execution.execute_steps(key(), Fingerprint::None, program)).await;
    let done = execution.execute_steps(key(), Fingerprint::None, program).await.unwrap();
    assert!(done.into_done().unwrap().outcome.is_err());
    let (key, namespace) = (key(), Namespace::new("orders").unwrap());
    let identity = key.as_ref().within(namespace);
    let (step, undo) = (step_key(identity, "truck"), compensation_key(identity, "truck"));
    assert_eq!(scene.script.take(), [&step, &step, &step, &undo].map(String::as_str));
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_no_acquisition_run_nothing_s1_s9() {
    let scene = Scene::new();
    let begin = Begin::new(Fingerprint::None, attempt_id());
    let begun = scene.client.begin(key().as_ref(), &begin).await.unwrap();
    assert_eq!(begun.name(), "acquired");
    assert_eq!(scene.book().await.unwrap().name(), "in_progress");

    let program = async |_: Run| Ok(());
    let execution = scene.client.execution();
    let answer = execution.execute_steps(key(), Fingerprint::Later, program).await;
    let Err(TypedError::Execute(ExecuteError::NotRun(ClientError::BadInput { field, .. }))) =
        answer
    else {
        panic!("{answer:?}")
    };
    assert_eq!(field, "fingerprint", "no checkpoint is taken before it is bound");
    assert!(scene.script.take().is_empty());
}
