//! `wait`: pushed, bounded, and not ended by a restart of the daemon.

use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::daemon::{Daemon, Told, eventually, told};
use crate::population::{Fate, populate};

fn start(daemon: &Daemon, arguments: &[&str]) -> Child {
    let mut command = daemon.command(&[&["wait", "--json"], arguments].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
}

fn end(waiter: Child) -> Told {
    Told::of(waiter.wait_with_output().expect("it ends"))
}

#[test]
fn what_cannot_change_by_waiting_is_told_at_once_s10() {
    let daemon = Daemon::start(&[]);
    let url = daemon.url();
    populate(&url, Fate::Completed, [("", "done")]);
    populate(&url, Fate::InDoubt, [("", "doubt")]);
    populate(&url, Fate::Reserved, [("", "busy")]);
    let cases = [
        ("done", "completed", 0, "completed"),
        ("done", "settled", 0, "completed"),
        ("done", "absent", 16, "completed"),
        ("never", "completed", 12, "absent"),
        ("never", "settled", 0, "absent"),
        ("never", "absent", 0, "absent"),
        ("doubt", "completed", 15, "in_doubt"),
        ("doubt", "settled", 15, "in_doubt"),
        ("doubt", "absent", 15, "in_doubt"),
    ];
    for (key, until, code, outcome) in cases {
        let (got, answer) = daemon.json(&["wait", "--key", key, "--until", until]);
        assert_eq!((got, &answer["outcome"]), (code, &json!(outcome)), "{key} until {until}");
    }
    let (_, waited) = daemon.json(&["wait", "--key", "done"]);
    let (_, got) = daemon.json(&["get", "--key", "done"]);
    let fields = |answer: &Value| answer.as_object().expect("an object").keys().cloned().collect();
    let (waited, got): (Vec<_>, Vec<_>) = (fields(&waited), fields(&got));
    assert_eq!(waited, got, "as get tells it");
    let told = daemon.told(&["wait", "--key", "done", "--body-only"]);
    assert_eq!((told.code, told.stdout.as_str()), (0, "done"));
    let (code, answer) = daemon.json(&["wait", "--key", "busy", "--within", "150ms"]);
    assert_eq!((code, &answer["outcome"]), (10, &json!("reserved")), "the time is over");
    let (code, answer) = daemon.json(&["wait", "--key", "busy", "--within", "31d"]);
    assert_eq!((code, &answer["error"]["field"]), (2, &json!("within")));
}

#[test]
fn the_owners_end_is_pushed_s10() {
    let daemon = Daemon::start(&[]);
    let token = daemon.acquire("k", &["--lease", "1h"]);
    let other = daemon.acquire("a", &["--lease", "1h"]);
    let waiters = [
        (start(&daemon, &["--key", "k"]), 0, "completed"),
        (start(&daemon, &["--key", "k", "--until", "settled"]), 0, "completed"),
        (start(&daemon, &["--key", "a"]), 12, "absent"),
        (start(&daemon, &["--key", "a", "--until", "absent"]), 0, "absent"),
    ];
    eventually("four waiters", || (daemon.figure("waiters") == 4).then_some(()));
    let complete = ["complete", "--key", "k", "--token", &token, "--body", "b"];
    assert_eq!(daemon.told(&complete).code, 0);
    assert_eq!(daemon.told(&["abandon", "--key", "a", "--token", &other]).code, 0);
    for (waiter, code, outcome) in waiters {
        let told = end(waiter);
        assert_eq!((told.code, &told.json()["outcome"]), (code, &json!(outcome)));
    }
}

/// A store that grants only short waits is asked again when each is over.
#[test]
fn short_waits_add_up_s10() {
    let mut daemon = Daemon::start(&["--test-clock", "--wait-max", "10s"]);
    let token = daemon.acquire("k", &["--lease", "1h"]);
    let waiter = start(&daemon, &["--key", "k", "--timeout", "20s"]);
    let figure = |daemon: &Daemon, name: &str, want: u64| {
        eventually(name, || (daemon.figure(name) == want).then_some(()));
    };
    figure(&daemon, "waiters", 1);
    daemon.say("advance 10000\n");
    figure(&daemon, "waits_ended", 1);
    figure(&daemon, "waiters", 1);
    let complete = ["complete", "--key", "k", "--token", &token, "--no-keep"];
    assert_eq!(daemon.told(&complete).code, 0);
    assert_eq!(end(waiter).code, 0);
}

#[test]
fn a_restart_does_not_end_the_wait_and_its_end_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("o.sock");
    let arguments = ["--unix", path.to_str().expect("UTF-8")];
    let first = Daemon::spawn(&arguments);
    first.acquire("k", &["--lease", "1h"]);
    let waiter = start(&first, &["--key", "k"]);
    eventually("a waiter", || (first.figure("waiters") == 1).then_some(()));
    let url = first.url();
    drop(first);
    let told = told(&["wait", "--key", "k", "--within", "300ms", "--url", &url, "--json"]);
    let error = &told.json()["error"];
    assert_eq!(
        (told.code, &error["code"]),
        (20, &json!("unavailable")),
        "nobody came back in time"
    );
    let second = Daemon::spawn(&arguments);
    let told = end(waiter);
    assert_eq!((told.code, &told.json()["outcome"]), (12, &json!("absent")), "S22: a new store");
    drop(second);
}
