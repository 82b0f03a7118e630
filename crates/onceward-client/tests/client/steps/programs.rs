//! Programs that cannot be trusted with their ledger, and ledgers that cannot be trusted.

use std::time::Duration;

use onceward_client::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::scene::{Act, Scene, key, stopped};

async fn run<F: Future<Output = Result<(), StepError>>>(
    scene: &Scene,
    program: impl FnOnce(Run) -> F,
) -> Result<Result<(), TerminalFailure>, (StepError, NextCall)> {
    let execution = scene.client.execution();
    match execution.execute_steps(key(), Fingerprint::None, program).await {
        Ok(executed) => Ok(executed.into_done().unwrap().outcome),
        Err(TypedError::Execute(ExecuteError::Work(Stopped { error, next }))) => Err((error, next)),
        Err(other) => panic!("{other:?}"),
    }
}

/// A step that notes its name.
async fn step<T: Clone + Serialize + DeserializeOwned + Send + Sync>(
    scene: &Scene,
    run: &mut Run,
    name: &str,
    result: T,
) -> Result<T, StepError> {
    run.step(name, async |context| {
        scene.script.note(context.name());
        Ok(result.clone())
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_name_outside_its_bounds_runs_nothing() {
    let long = "s".repeat(STEP_NAME_BYTES_MAX + 1);
    for name in ["", "Truck", "a b", "é", "a/b", &long] {
        let scene = Scene::new();
        let ran = run(&scene, async |mut run| step(&scene, &mut run, name, ()).await).await;
        let (error, next) = ran.unwrap_err();
        assert!(matches!(error, StepError::Name { bytes } if bytes == name.len()), "{error}");
        assert_eq!((next, scene.state().await), (NextCall::StartsAnew, "absent"));
        assert!(scene.script.take().is_empty(), "{name:?}");
    }
    let scene = Scene::new();
    let program = async |mut run| step(&scene, &mut run, "a.z_0-9", ()).await;
    assert_eq!(run(&scene, program).await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_name_is_used_once_in_a_run() {
    let scene = Scene::new();
    let program = async |mut run| {
        step(&scene, &mut run, "truck", ()).await?;
        step(&scene, &mut run, "truck", ()).await
    };
    for attempt in 1..=2 {
        let (error, next) = run(&scene, program).await.unwrap_err();
        assert!(matches!(error, StepError::Duplicate { .. }), "attempt {attempt}: {error}");
        assert!(matches!(next, NextCall::Resumes { .. }), "attempt {attempt}: {next:?}");
        scene.lapse();
    }
    assert_eq!(scene.script.take(), ["truck"], "once in all");
}

#[tokio::test(start_paused = true)]
async fn an_error_ends_the_run_whatever_the_program_makes_of_it() {
    let scene = Scene::new();
    scene.script.plan("ferry", [Act::FailForNow; 3]);
    let program = async |mut run: Run| {
        let script = &scene.script;
        script.act_as(&mut run, "truck").await?;
        let exhausted = script.act_as(&mut run, "ferry").await.unwrap_err();
        assert!(matches!(exhausted, StepError::Exhausted { .. }), "{exhausted}");
        let ended = script.act_as(&mut run, "driver").await.unwrap_err();
        assert!(matches!(ended, StepError::Ended), "{ended}");
        Ok(())
    };
    let (error, next) = run(&scene, program).await.unwrap_err();
    assert!(matches!(error, StepError::Ended), "{error}");
    assert!(matches!(next, NextCall::Resumes { .. }), "{next:?}");
    assert_eq!(scene.script.take(), ["truck", "ferry", "ferry", "ferry"]);

    let scene = Scene::new();
    scene.script.plan("ferry", [Act::FailForGood]);
    let program = async |mut run: Run| {
        let _ = scene.script.act_as(&mut run, "ferry").await;
        let _ = scene.script.act_as(&mut run, "driver").await;
        Ok(())
    };
    let failed = run(&scene, program).await.unwrap().unwrap_err();
    assert_eq!(failed.step, "ferry", "a recorded failure is the outcome");
    assert_eq!(scene.script.take(), ["ferry"]);
}

#[tokio::test(start_paused = true)]
async fn a_step_dropped_half_way_ends_the_run() {
    for goes_on in [false, true] {
        let scene = Scene::new();
        let program = async |mut run: Run| {
            let slow = run.step("truck", async |_| {
                scene.script.note("truck");
                tokio::time::sleep(Duration::from_secs(9)).await;
                Ok(())
            });
            let out = tokio::time::timeout(Duration::from_secs(1), slow.into_future()).await;
            assert!(out.is_err(), "it is cut off");
            if goes_on {
                step(&scene, &mut run, "ferry", ()).await?;
            }
            Ok(())
        };
        let (error, next) = run(&scene, program).await.unwrap_err();
        assert!(matches!(&error, StepError::CutOff { step } if step == "truck"), "{error}");
        assert!(matches!(next, NextCall::Resumes { .. }), "it may have had its effect: {next:?}");
        assert_eq!(scene.script.take(), ["truck"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_let_out_of_its_program_starts_nothing() {
    let scene = Scene::new();
    let (out, inside) = tokio::sync::oneshot::channel();
    let program = async |run: Run| {
        out.send(run).unwrap();
        Ok(())
    };
    assert_eq!(run(&scene, program).await.unwrap(), Ok(()));
    let mut run = inside.await.unwrap();
    let late = step(&scene, &mut run, "truck", ()).await.unwrap_err();
    assert!(matches!(late, StepError::Ended), "{late}");
    assert!(scene.script.take().is_empty());
}

/// What a later program does with the ledger of one that finished `truck` (with a compensation)
/// and `ferry`, and then crashed.
#[tokio::test(start_paused = true)]
async fn a_program_that_takes_another_way_stops_before_it_acts() {
    type Way = &'static [&'static str];
    let ways: [(&str, Way, Option<&str>); 6] = [
        ("the same, and more", &["truck", "ferry", "driver"], None),
        ("the same in another order", &["ferry", "truck"], None),
        ("one fewer", &["truck"], Some("ferry")),
        ("none", &[], Some("truck")),
        ("another before", &["driver", "truck", "ferry"], Some("truck")),
        ("another between", &["truck", "driver", "ferry"], Some("ferry")),
    ];
    for (why, way, diverged) in ways {
        let scene = Scene::new();
        let crashing = async |mut run: Run| {
            step(&scene, &mut run, "truck", ()).await?;
            step(&scene, &mut run, "ferry", ()).await?;
            scene.script.crash_here().await
        };
        scene.crash_with(run(&scene, crashing)).await;
        scene.script.take();
        let program = async |mut run: Run| {
            for name in way {
                step(&scene, &mut run, name, ()).await?;
            }
            Ok(())
        };
        match (run(&scene, program).await, diverged) {
            (Ok(Ok(())), None) => {}
            (Err((StepError::Diverged { finished }, NextCall::Resumes { .. })), Some(want)) => {
                assert_eq!(finished, want, "{why}");
                assert!(scene.script.take().is_empty(), "{why}: nothing ran");
            }
            (other, _) => panic!("{why}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_compensation_that_is_gone_is_missed() {
    let scene = Scene::new();
    scene.script.plan("driver", [Act::FailForGood]);
    scene.script.plan("undo ferry", [Act::Crash]);
    scene.crash().await;
    let program = async |mut run: Run| {
        for name in ["truck", "ferry", "driver"] {
            run.step(name, async |_| Ok(0)).await?;
        }
        Ok(())
    };
    let (error, next) = run(&scene, program).await.unwrap_err();
    assert!(matches!(&error, StepError::NoCompensation { step } if step == "ferry"), "{error}");
    assert!(matches!(next, NextCall::Resumes { .. }), "{next:?}");

    scene.lapse();
    let program =
        async |mut run: Run| run.step("truck", async |_| Ok(String::new())).await.map(drop);
    let (error, _) = run(&scene, program).await.unwrap_err();
    assert!(
        matches!(error, StepError::ResultUnreadable { .. }),
        "the cause, not its effect: {error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_result_must_read_back_as_its_type() {
    #[derive(serde::Deserialize, Serialize)]
    struct Forgetful {
        #[serde(skip_serializing)]
        _secret: String,
    }
    let scene = Scene::new();
    let program = async |mut run: Run| {
        run.step("truck", async |_| Ok(Forgetful { _secret: "pin 1234".to_owned() })).await?;
        Ok(())
    };
    let (error, next) = run(&scene, program).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the result of step truck does not read back as its type (JSON of another shape, line 1 column 2): run the program that recorded it, or mend the type"
    );
    assert!(matches!(next, NextCall::Resumes { .. }), "it had its effect: {next:?}");

    let scene = Scene::new();
    let crashing = async |mut run: Run| {
        step(&scene, &mut run, "truck", "pin 1234".to_owned()).await?;
        scene.script.crash_here().await
    };
    scene.crash_with(run(&scene, crashing)).await;
    let program = async |mut run| step(&scene, &mut run, "truck", 7).await.map(drop);
    let (error, _) = run(&scene, program).await.unwrap_err();
    assert!(!error.to_string().contains("1234"), "S16: {error}");
}

#[tokio::test(start_paused = true)]
async fn the_ledger_has_a_bound_and_room_for_the_end_beyond_it_s19() {
    let scene = Scene::new();
    let text = |bytes| "x".repeat(bytes);
    let framing =
        r#"{"onceward_steps":1,"steps":[{"name":"a","result":""},{"name":"b","result":""}]}"#;
    let (first, second) = (30_000, LEDGER_BYTES_MAX - framing.len() - 30_000);
    for (over, want) in [(1, false), (0, true)] {
        let program = async |mut run: Run| {
            step(&scene, &mut run, "a", text(first)).await?;
            step(&scene, &mut run, "b", text(second + over)).await?;
            let declined = StepFailure::terminal;
            run.step("c", async |_| Err::<(), _>(declined("\u{1}".repeat(999)))).await
        };
        match run(&scene, program).await {
            Ok(failed) if want => assert_eq!(failed.unwrap_err().step, "c"),
            Err((StepError::LedgerFull { step, bytes }, NextCall::Resumes { .. })) if !want => {
                assert_eq!((step.as_str(), bytes), ("b", LEDGER_BYTES_MAX + 1));
                scene.lapse();
            }
            other => panic!("{over} over: {other:?}"),
        }
    }
    assert_eq!(scene.script.take(), ["a", "b", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_cannot_be_read_stops_the_run_before_it_starts_s19() {
    let long = "s".repeat(65);
    let long_step = format!(r#"{{"onceward_steps":1,"steps":[{{"name":"{long}","result":1}}]}}"#);
    let text = "m".repeat(FAILURE_MESSAGE_BYTES_MAX + 1);
    let failed = |step: &str, message: &str| {
        format!(
            r#"{{"onceward_steps":1,"steps":[],"failed":{{"step":"{step}","message":"{message}","undone":0}}}}"#
        )
    };
    let (long_failed, long_text) = (failed(&long, ""), failed("a", &text));
    let impossible = "the checkpoint is no ledger of steps (its parts contradict each other)";
    let rows: [(&str, &[u8], &str); 11] = [
        ("version 0", br#"{"onceward_steps":0,"steps":[]}"#, impossible),
        ("a name that no step has", long_step.as_bytes(), impossible),
        ("a failed step that none is", long_failed.as_bytes(), impossible),
        ("a message that none is", long_text.as_bytes(), impossible),
        (
            "no JSON",
            b"\x00half",
            "the checkpoint is no ledger of steps (not JSON, line 1 column 1)",
        ),
        (
            "cut",
            br#"{"onceward_steps":1,"steps":["#,
            "the checkpoint is no ledger of steps (ends too early",
        ),
        (
            "another's",
            br#"{"step":3}"#,
            "the checkpoint is no ledger of steps (JSON of another shape",
        ),
        (
            "later",
            br#"{"onceward_steps":2,"facts":{}}"#,
            "the ledger has version 2, this program reads 1",
        ),
        (
            "more",
            br#"{"onceward_steps":1,"steps":[],"pin":1}"#,
            "the checkpoint is no ledger of steps (JSON of another shape",
        ),
        (
            "twice",
            br#"{"onceward_steps":1,"steps":[{"name":"a","result":1},{"name":"a","result":1}]}"#,
            "the checkpoint is no ledger of steps (its parts contradict each other)",
        ),
        (
            "undone more than done",
            br#"{"onceward_steps":1,"steps":[],"failed":{"step":"a","message":"","undone":1}}"#,
            "the checkpoint is no ledger of steps (its parts contradict each other)",
        ),
    ];
    for (why, bytes, want) in rows {
        let scene = Scene::new();
        let work = async |context: Context| {
            context.save_checkpoint(7, bytes).await.unwrap();
            scene.script.crash_here().await
        };
        let execution = scene.client.execution().checkpoint_hint(1_000);
        let crashing =
            execution.execute(key(), Fingerprint::None, async |context| -> Result<(), ()> {
                work(context).await
            });
        scene.crash_with(crashing).await;
        let (error, next) = stopped(scene.book().await);
        assert!(error.to_string().starts_with(want), "{why}: {error}");
        assert!(matches!(next, NextCall::Resumes { .. }), "{why}: {next:?}");
        assert_eq!(scene.state().await, "reserved", "{why}");
        assert!(scene.script.take().is_empty(), "{why}: nothing runs");
    }
}

#[tokio::test(start_paused = true)]
async fn a_compensation_given_later_is_called_all_the_same() {
    let scene = Scene::new();
    let crashing = async |mut run: Run| {
        step(&scene, &mut run, "truck", 7).await?;
        scene.script.crash_here().await
    };
    scene.crash_with(run(&scene, crashing)).await;
    let program = async |mut run: Run| {
        let undo = scene.script.clone();
        let truck = run.step("truck", async |_| Ok(0)).compensate(move |result: u32, _| {
            undo.note(format!("undo {result}"));
            async { Ok(()) }
        });
        truck.await?;
        run.step("ferry", async |_| Err::<(), _>(StepFailure::terminal("sold out"))).await
    };
    assert!(run(&scene, program).await.unwrap().is_err());
    assert_eq!(scene.script.take(), ["truck", "undo 7"], "the program says how to undo it");
}

#[tokio::test(start_paused = true)]
async fn a_run_let_out_of_a_dropped_program_starts_nothing_more() {
    let scene = Scene::new();
    let (out, inside) = tokio::sync::oneshot::channel();
    let program = async |run: Run| {
        out.send(run).unwrap();
        scene.script.crash_here().await
    };
    let execution = scene.client.execution();
    let running = execution.execute_steps(key(), Fingerprint::None, async |run| {
        program(run).await as Result<(), StepError>
    });
    let mut run = tokio::select! {
        biased;
        answer = running => panic!("{answer:?}"),
        run = inside => run.unwrap(),
    };
    let late = step(&scene, &mut run, "truck", ()).await.unwrap_err();
    assert!(matches!(late, StepError::Ended), "nobody renews for it: {late}");
    assert!(scene.script.take().is_empty());
}
