//! Steps run once, are skipped by a successor, and give it what they gave.

use onceward_client::*;
use serde::{Deserialize, Serialize};

use super::scene::{Diary, Scene, key};

/// A step of the booking: notes that it ran, crashes if told, and returns its own number.
async fn act(diary: Diary, context: StepContext, crash: bool) -> Result<u32, StepFailure> {
    diary.note(format!("{} {}", context.name(), &context.derived_key()[..8]));
    if crash {
        diary.crash_here().await;
    }
    Ok(context.attempt_number())
}

/// Three steps; crashes in step `crash_in`. Returns the attempts that ran them.
async fn book(scene: &Scene, crash_in: Option<&str>) -> Answer {
    let diary = &scene.diary;
    let program = async |mut run: Run| {
        let mut ran_by = Vec::new();
        for name in ["truck", "ferry", "driver"] {
            let crash = crash_in == Some(name);
            ran_by.push(run.step(name, |context| act(diary.clone(), context, crash)).await?);
        }
        if crash_in == Some("end") {
            diary.crash_here().await;
        }
        Ok(RanBy(ran_by))
    };
    scene.client.execution().execute_steps(key(), Fingerprint::None, program).await
}

type Answer = Result<Executed<StepsDone<RanBy>>, TypedError<RanBy, Stopped>>;

/// The attempts that ran the steps.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
struct RanBy(Vec<u32>);

impl Schema for RanBy {
    const TAG: &'static str = "ran-by/1";
}

fn steps_key(step: &str) -> String {
    let namespace = Namespace::new("orders").unwrap();
    let key = key();
    format!("{step} {}", &step_key(key.as_ref().within(namespace), step)[..8])
}

#[tokio::test(start_paused = true)]
async fn steps_run_once_and_a_retry_gets_the_result() {
    let scene = Scene::new();
    let StepsDone { outcome, done } = book(&scene, None).await.unwrap().into_done().unwrap();
    assert_eq!((outcome, done.replayed), (Ok(RanBy(vec![1, 1, 1])), false));
    let all = ["truck", "ferry", "driver"].map(steps_key);
    assert_eq!(scene.diary.take(), all);

    let StepsDone { outcome, done } = book(&scene, None).await.unwrap().into_done().unwrap();
    assert_eq!((outcome, done.replayed), (Ok(RanBy(vec![1, 1, 1])), true));
    assert!(scene.diary.take().is_empty(), "a retry runs nothing");
}

#[tokio::test(start_paused = true)]
async fn a_successor_skips_what_is_finished_and_keeps_the_derived_key_s18_s19() {
    let rows = [
        ("truck", 0, vec![2, 2, 2]),
        ("ferry", 1, vec![1, 2, 2]),
        ("driver", 2, vec![1, 1, 2]),
        ("end", 3, vec![1, 1, 1]),
    ];
    for (crash_in, finished, want) in rows {
        let scene = Scene::new();
        let all = ["truck", "ferry", "driver"].map(steps_key);
        scene.crash(book(&scene, Some(crash_in))).await;
        let started = (finished + 1).min(3);
        assert_eq!(scene.diary.take(), all[..started], "{crash_in}: first run");
        let StepsDone { outcome, done } = book(&scene, None).await.unwrap().into_done().unwrap();
        assert_eq!(outcome, Ok(RanBy(want)), "{crash_in}: recorded results");
        assert_eq!((done.attempt_number, done.replayed), (2, false), "{crash_in}");
        assert_eq!(scene.diary.take(), all[finished..], "{crash_in}: same keys, only the rest");
    }
}

#[tokio::test(start_paused = true)]
async fn the_ledger_goes_on_through_many_successors_s19() {
    let scene = Scene::new();
    for crash_in in ["truck", "truck", "ferry", "driver", "driver", "end"] {
        scene.crash(book(&scene, Some(crash_in))).await;
    }
    let StepsDone { outcome, done } = book(&scene, None).await.unwrap().into_done().unwrap();
    assert_eq!((outcome, done.attempt_number), (Ok(RanBy(vec![3, 4, 6])), 7));
    let ran = ["truck", "truck", "truck", "ferry", "ferry", "driver", "driver", "driver"];
    assert_eq!(scene.diary.take(), ran.map(steps_key));
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_no_acquisition_run_nothing_s1() {
    let scene = Scene::new();
    let begin = Begin::new(Fingerprint::None, attempt_id());
    scene.client.begin(key().as_ref(), &begin).await.unwrap();
    let answer = book(&scene, None).await.unwrap();
    let Executed::InProgress { .. } = answer else { panic!("{answer:?}") };

    let later = scene
        .client
        .execution()
        .execute_steps(key(), Fingerprint::Later, async |_: Run| Ok(()))
        .await;
    let Err(TypedError::Execute(ExecuteError::NotRun(ClientError::BadInput { field, .. }))) = later
    else {
        panic!("{later:?}")
    };
    assert_eq!(field, "fingerprint", "no checkpoint is taken before it is bound (S9)");
    assert!(scene.diary.take().is_empty());
}
