//! How the daemon ends (S17), and the clock that a client's author moves.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use onceward_client::{Begin, Client, Fingerprint, ScopedKeyBuf, attempt_id};
use serde_json::json;

use crate::daemon::{Daemon, Told, eventually, told};

#[test]
fn a_drain_answers_who_waits_and_exits_0_s17() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut daemon = Daemon::start(&[]);
        daemon.acquire("k", &[]);
        let wait = |arguments: &[&str]| {
            let mut command = daemon.command(arguments);
            command.args(["--key", "k", "--wait", "50s", "--retries", "0", "--json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
        };
        let waiters = [wait(&["begin"]), wait(&["get"])];
        eventually("two waiters", || (daemon.figure("waiters") == 2).then_some(()));
        daemon.signal(signal);
        for waiter in waiters {
            let told = Told::of(waiter.wait_with_output().expect("it ends"));
            let error = &told.json()["error"];
            assert_eq!((told.code, &error["code"]), (20, &json!("unavailable")), "{error}");
            let message = error["message"].as_str().expect("a text");
            assert!(!message.contains("cannot connect"), "it was answered: {message}");
        }
        assert_eq!(daemon.ended().code(), Some(0), "{}", daemon.log());
        daemon.await_log("drained");
        assert_eq!(told(&["ping", "--url", &daemon.url()]).code, 20, "nobody is there any more");
    }
}

/// A peer that asks for more than the kernel buffers and reads none of it holds a drain up.
#[test]
fn a_second_signal_aborts_s17() {
    const REPLIES: usize = 200;
    let mut daemon = Daemon::start(&["--grace", "1h", "--write-timeout", "1h"]);
    let token = daemon.acquire("k", &["--result-hint", "1MiB"]);
    let body = vec![b'x'; 1 << 20];
    let command =
        daemon.command(&["complete", "--key", "k", "--token", &token, "--body-file", "-"]);
    assert_eq!(crate::daemon::fed(command, &body).code, 0);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("one");
    let (enter, entered) = tokio::sync::mpsc::channel::<()>(1);
    let client = runtime.block_on(async {
        let client = Client::builder(&daemon.url())
            .request_timeout(Duration::from_secs(3_600))
            .open()
            .expect("a URL");
        for _ in 0..REPLIES {
            let (client, enter) = (client.clone(), enter.clone());
            tokio::spawn(async move {
                let key = ScopedKeyBuf::new("", "k").expect("a key");
                let begin = Begin::new(Fingerprint::None, attempt_id());
                let _ = client.begin(key.as_ref(), &begin).await;
                let _ = enter.try_send(());
            });
        }
        let mut entered = entered;
        // Once one is answered, all are on their way. From here on the runtime stands still, and
        // nothing is read.
        entered.recv().await.expect("an answer");
        client
    });
    let replies = || daemon.figure("begin_replay");
    let mut last = 0;
    eventually("the server waits for its peer", || {
        let steady = (0..10).all(|_| replies() == last);
        last = replies();
        steady.then_some(())
    });
    assert!(last < REPLIES as u64, "the kernel took all {last} replies: ask for more");
    daemon.signal(Signal::SIGTERM);
    daemon.await_log("draining");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().code(), Some(1), "{}", daemon.log());
    daemon.await_log("aborted");
    drop(client);
}

#[test]
fn the_test_clock_moves_as_told_and_ends_with_stdin() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("o.sock");
    let path = path.to_str().expect("UTF-8");
    let mut daemon = Daemon::start(&["--test-clock", "--unix", path]);
    assert_eq!(daemon.listening.len(), 2);
    assert_eq!(daemon.listening[1], format!("unix:{path}"));
    daemon.acquire("k", &["--lease", "1s"]);
    let (_, answer) = daemon.json(&["get", "--key", "k"]);
    assert_eq!((&answer["age_ms"], &answer["lease_left_ms"]), (&json!(0), &json!(1_000)));
    assert_eq!(daemon.say("advance 999\n"), "now 999");
    let (code, answer) = daemon.json(&["begin", "--key", "k"]);
    assert_eq!((code, &answer["retry_after_ms"]), (10, &json!(1)), "S6: not one millisecond early");
    assert!(daemon.say("retreat 1\n").starts_with("error: "));
    assert!(daemon.say("advance -1\n").starts_with("error: "));
    assert_eq!(daemon.say("advance 1\n"), "now 1000");
    let (code, answer) = daemon.json(&["begin", "--key", "k"]);
    assert_eq!((code, &answer["attempt_number"]), (0, &json!(2)), "S6: at its own instant");

    let waiter = daemon
        .command(&["begin", "--key", "k", "--wait", "5s", "--timeout", "20s", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    eventually("a waiter", || (daemon.figure("waiters") == 1).then_some(()));
    assert_eq!(daemon.say("advance 5000\n"), "now 6000");
    let told = Told::of(waiter.wait_with_output().expect("it ends"));
    assert_eq!((told.code, &told.json()["outcome"]), (10, &json!("in_progress")), "S10, S21");

    daemon.close_stdin();
    assert_eq!(daemon.ended().code(), Some(0), "{}", daemon.log());
    assert!(!std::path::Path::new(path).exists());
}
