//! `forget`: one key, and all keys of a scope.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::{Value, json};

use crate::daemon::{Daemon, Told, eventually};
use crate::population::{Fate, populate};
use crate::terminal::typed;

fn fence(daemon: &Daemon, key: &str) -> String {
    let (_, entry) = daemon.json(&["get", "--key", key]);
    entry["fence"].as_str().expect("a string").to_owned()
}

fn entries(daemon: &Daemon) -> usize {
    let told = daemon.told(&["list", "--all"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    told.stdout.lines().count()
}

#[test]
fn every_outcome_for_one_key() {
    let daemon = Daemon::start(&[]);
    populate(&daemon.url(), Fate::Completed, [("", "done"), ("", "seen")]);
    populate(&daemon.url(), Fate::Reserved, [("", "busy")]);
    populate(&daemon.url(), Fate::InDoubt, [("", "doubt")]);
    let (done, busy) = (fence(&daemon, "done"), fence(&daemon, "busy"));
    let cases: [(&str, &[&str], i32, &str); 9] = [
        ("its lease runs", &["--key", "busy", "--fence", &busy], 10, "in_progress"),
        ("and unasked too", &["--key", "busy", "--yes"], 10, "in_progress"),
        ("not for long enough", &["--key", "busy", "--yes", "--wait", "150ms"], 10, "in_progress"),
        ("another fence", &["--key", "done", "--fence", "1"], 13, "fenced"),
        ("done", &["--key", "done", "--fence", &done], 0, "forgotten"),
        ("its repeat (S3)", &["--key", "done", "--fence", &done], 14, "gone"),
        ("and unasked", &["--key", "done", "--yes"], 12, "absent"),
        ("a look, and then", &["--key", "seen", "--yes"], 0, "forgotten"),
        ("a doubt", &["--key", "doubt", "--yes"], 0, "forgotten"),
    ];
    for (why, arguments, code, word) in cases {
        let (got, answer) = daemon.json(&[&["forget"], arguments].concat());
        assert_eq!((got, &answer["outcome"]), (code, &json!(word)), "{why}: {answer}");
    }
    assert_eq!(entries(&daemon), 1, "the one whose lease runs");
}

#[test]
fn one_key_is_shown_before_it_goes() {
    let daemon = Daemon::start(&[]);
    populate(&daemon.url(), Fate::Completed, [("", "hunter2-key")]);
    let named = ["forget", "--key", "hunter2-key"];
    let told = daemon.told(&named);
    assert_eq!(told.code, 2);
    assert!(told.stderr.contains("--fence") && told.stderr.contains("--yes"), "{}", told.stderr);
    let (code, screen) = typed(daemon.command(&named), "no\n");
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("completed\n") && screen.contains("nothing was changed"), "{screen}");
    assert!(!screen.contains("hunter2"), "S16: {screen}");
    let (code, screen) = typed(daemon.command(&named), "yes\n");
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("forgotten\n"), "{screen}");
    assert_eq!(entries(&daemon), 0);
}

#[test]
fn a_lease_is_outlasted_and_an_owners_end_is_pushed() {
    let mut daemon = Daemon::start(&["--test-clock"]);
    daemon.acquire("lapses", &["--lease", "10s"]);
    let token = daemon.acquire("ends", &["--lease", "1h"]);
    let start = |key: &str| {
        let arguments = ["forget", "--key", key, "--yes", "--wait", "20s", "--timeout", "20s"];
        let mut command = daemon.command(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
    };
    let waiters = [start("lapses"), start("ends")];
    eventually("two waiters", || (daemon.figure("waiters") == 2).then_some(()));
    let complete = ["complete", "--key", "ends", "--token", &token, "--body", "b"];
    assert_eq!(daemon.told(&complete).code, 0);
    assert_eq!(daemon.say("advance 10000\n"), "now 10000");
    for waiter in waiters {
        let told = Told::of(waiter.wait_with_output().expect("it ends"));
        assert_eq!((told.code, told.stdout.as_str()), (0, "forgotten\n"), "{}", told.stderr);
    }
}

/// Passes on what a client sends until `bytes` have gone through, and then nothing more in either
/// direction. Tells when that is.
fn choke(upstream: String, bytes: usize) -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("onceward://{}/default", listener.local_addr().expect("bound"));
    let (choked, told) = channel();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let mut server = TcpStream::connect(upstream).expect("the daemon");
        let (mut replies, mut back) =
            (server.try_clone().expect("one"), client.try_clone().expect("one"));
        let replies = thread::spawn(move || std::io::copy(&mut replies, &mut back));
        let mut left = bytes;
        let mut chunk = [0; 1_024];
        while left > 0 {
            let most = chunk.len().min(left);
            let read = client.read(&mut chunk[..most]).unwrap_or(0);
            if read == 0 || server.write_all(&chunk[..read]).is_err() {
                return;
            }
            left -= read;
        }
        let _ = server.shutdown(Shutdown::Write);
        let _ = replies.join();
        let _ = choked.send(());
        // Both ends stay open, and silent, until the client goes.
        while matches!(client.read(&mut chunk), Ok(1..)) {}
    });
    (url, told)
}

#[test]
fn a_tenant_is_deleted_also_after_an_interruption() {
    const KEYS: u64 = 1_500;
    let daemon = Daemon::start(&[]);
    let url = daemon.url();
    let named = |scope: &'static str, range: std::ops::Range<u64>| {
        range.map(move |n| (scope, format!("key-{n}")))
    };
    populate(&url, Fate::Completed, named("tenant-9", 0..KEYS - 10));
    populate(&url, Fate::InDoubt, named("tenant-9", KEYS - 10..KEYS - 1));
    populate(&url, Fate::Completed, named("tenant-90", 0..200));
    populate(&url, Fate::Completed, named("", 0..200));
    let token = daemon.acquire("running", &["--scope", "tenant-9", "--lease", "1h"]);

    let scope = ["forget", "--scope", "tenant-9", "--all-keys"];
    let told = daemon.told(&scope);
    assert_eq!(told.code, 2, "nobody can be asked");
    assert!(told.stderr.contains("--yes") && told.stderr.contains("--dry-run"), "{}", told.stderr);
    let (code, counted) = daemon.json(&[&scope[..], &["--dry-run"]].concat());
    let want = json!({
        "schema": "onceward/1", "outcome": "scope_counted",
        "completed": KEYS - 10, "in_doubt": 9, "reserved": 1,
    });
    assert_eq!((code, counted), (0, want));
    assert_eq!(daemon.figure("forgotten"), 0, "only counted");
    let (code, screen) = typed(daemon.command(&scope), "n\n");
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("1490 completed, 9 in doubt, 1 reserved"), "{screen}");
    assert_eq!(daemon.figure("forgotten"), 0, "not confirmed");

    // Some 40 bytes go for each key, so this ends somewhere in the middle.
    let (choked, told) = choke(daemon.listening[0].clone(), 30_000);
    let mut first = daemon
        .command(&[&scope[..], &["--yes", "--url", &choked, "--timeout", "1h"]].concat())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    told.recv_timeout(crate::daemon::PATIENCE).expect("30,000 bytes");
    first.kill().expect("it waits for answers");
    first.wait().expect("a child of ours");
    let before = daemon.figure("forgotten");
    assert!(0 < before && before < KEYS - 1, "interrupted in the middle: {before}");

    let again = [&scope[..], &["--yes"]].concat();
    let (code, answer) = daemon.json(&again);
    let want = json!({
        "schema": "onceward/1", "outcome": "scope_not_empty",
        "forgotten": KEYS - 1 - before, "already_gone": 0, "in_progress": 1, "fenced": 0,
    });
    assert_eq!((code, answer), (10, want), "a lease runs");
    let (code, answer) = daemon.json(&again);
    assert_eq!((code, &answer["forgotten"], &answer["in_progress"]), (10, &json!(0), &json!(1)));

    let patient = [&again[..], &["--wait", "20s"]].concat();
    let patient = daemon.command(&patient).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    eventually("it waits", || (daemon.figure("waiters") == 1).then_some(()));
    let complete = ["complete", "--scope", "tenant-9", "--key", "running", "--token", &token];
    assert_eq!(daemon.told(&[&complete[..], &["--body", "b"]].concat()).code, 0);
    let told = Told::of(patient.expect("starts").wait_with_output().expect("it ends"));
    assert_eq!(told.code, 0, "{}", told.stdout);
    assert!(told.stdout.starts_with("scope_forgotten\n"), "{}", told.stdout);
    assert_eq!(told.stderr, "", "no progress where nobody watches");

    let (code, answer) = daemon.json(&again);
    assert_eq!((code, &answer["forgotten"]), (0, &json!(0)), "nothing is left to forget");
    assert_eq!(entries(&daemon), 400, "others' keys stay");
}

#[test]
fn leases_that_lapse_are_outlasted_together() {
    let mut daemon = Daemon::start(&["--test-clock"]);
    for key in ["a", "b", "c"] {
        daemon.acquire(key, &["--scope", "s", "--lease", "10s"]);
    }
    let arguments =
        ["forget", "--scope-hex", "73", "--all-keys", "--yes", "--wait", "20s", "--timeout", "20s"];
    let mut command = daemon.command(&[&arguments[..], &["--json"]].concat());
    let patient = command.stdout(Stdio::piped()).spawn().expect("starts");
    eventually("three waiters", || (daemon.figure("waiters") == 3).then_some(()));
    assert_eq!(daemon.say("advance 10000\n"), "now 10000");
    let told = Told::of(patient.wait_with_output().expect("it ends"));
    assert_eq!((told.code, &told.json()["forgotten"]), (0, &json!(3)), "{}", told.stdout);
}

#[test]
fn the_empty_scope_takes_more_than_an_unset_variable() {
    let daemon = Daemon::start(&[]);
    populate(&daemon.url(), Fate::Completed, [("", "a"), ("", "b"), ("s", "a")]);
    let cases: [(&[&str], &str); 8] = [
        (&["--all-keys", "--yes"], "--empty-scope"),
        (&["--all-keys", "--yes", "--scope", ""], "--empty-scope"),
        (&["--all-keys", "--yes", "--scope-hex", ""], "--empty-scope"),
        (&["--all-keys", "--yes", "--scope", "s", "--empty-scope"], "cannot be used with"),
        (&["--all-keys", "--yes", "--scope", "s", "--key", "a"], "cannot be used with"),
        (&["--all-keys", "--yes", "--scope", "s", "--fence", "1"], "cannot be used with"),
        (&["--key", "a", "--dry-run"], "--dry-run counts"),
        (&["--scope", "s", "--yes"], "--all-keys"),
    ];
    for (arguments, want) in cases {
        let told = daemon.told(&[&["forget"], arguments].concat());
        assert_eq!(told.code, 2, "{arguments:?}: {}", told.stderr);
        assert!(told.stderr.contains(want), "{arguments:?}: {}", told.stderr);
    }
    let set = [("ONCEWARD_SCOPE", ""), ("ONCEWARD_YES", "1"), ("ONCEWARD_ALL_KEYS", "1")];
    let output = daemon.command(&["forget"]).envs(set).output().expect("starts");
    assert_eq!(output.status.code(), Some(2), "no variable forgets a scope");
    assert_eq!(entries(&daemon), 3);
    let (code, answer) = daemon.json(&["forget", "--all-keys", "--empty-scope", "--yes"]);
    assert_eq!((code, &answer["forgotten"]), (0, &Value::from(2)));
    assert_eq!(entries(&daemon), 1);
}
