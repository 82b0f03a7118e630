//! What later calls get, and when they get it.

use std::fs::{self, File};
use std::process::Stdio;

use super::{DIGEST, Place, Ran, Running, piped};
use crate::daemon::{Daemon, eventually};

/// 100 KiB to each stream, by turns.
const BOTH_STREAMS: &str = "echo run >> runs
    i=0
    while [ $i -lt 100 ]; do printf %01024d $i; printf %01023dx $i >&2; i=$((i+1)); done
    exit 7";

#[test]
fn a_later_call_gives_the_same_bytes_and_status_without_running() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let first = place.run(&daemon, &["--key", "k"], BOTH_STREAMS);
    assert_eq!(first.code, Some(7), "{}", first.stderr());
    assert_eq!((first.stdout.len(), first.stderr.len()), (102_400, 102_400));
    for _ in 0..2 {
        let later = place.run(&daemon, &["--key", "k"], BOTH_STREAMS);
        assert!(later == first, "{:?}: {} bytes", later.code, later.stdout.len());
    }
    assert_eq!(place.runs(), 1);
    let other_scope = place.run(&daemon, &["--key", "k", "--scope", "s"], BOTH_STREAMS);
    assert_eq!((other_scope.code, place.runs()), (Some(7), 2), "another scope is another key");
}

/// Both streams into one file, as cron and CI do: the order between them is kept too.
#[test]
fn a_replay_keeps_the_order_between_the_streams() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let mut shown = Vec::new();
    for name in ["first", "second"] {
        let path = place.path().join(name);
        let file = File::create(&path).expect("ours");
        let mut command = place.script(&daemon, &["--key", "k"], BOTH_STREAMS);
        command.stdout(file.try_clone().expect("a file")).stderr(file);
        assert_eq!(command.status().expect("it starts").code(), Some(7));
        shown.push(fs::read(path).expect("ours"));
    }
    assert_eq!(place.runs(), 1);
    assert_eq!(shown[0].len(), 204_800);
    assert!(shown[0] == shown[1], "the second call shows it in another order");
    // A command that takes its time between writes is recorded as it wrote.
    let slow = "echo a; sleep 0.1; echo b >&2; sleep 0.1; echo c";
    for _ in 0..2 {
        let path = place.path().join("slow");
        let file = File::create(&path).expect("ours");
        let mut command = place.script(&daemon, &["--key", "slow"], slow);
        command.stdout(file.try_clone().expect("a file")).stderr(file);
        assert_eq!(command.status().expect("it starts").code(), Some(0));
        assert_eq!(place.text("slow"), "a\nb\nc\n");
    }
}

#[test]
fn bytes_that_are_no_text_and_no_line_come_back() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    fs::write(place.path().join("bytes"), &bytes).expect("ours");
    for round in ["run", "replayed"] {
        let ran = place.run(&daemon, &["--key", "k"], "cat bytes; printf '\\377\\000' >&2");
        assert_eq!((ran.code, ran.stderr.as_slice()), (Some(0), &b"\xff\0"[..]), "{round}");
        assert!(ran.stdout == bytes, "{round}");
        fs::write(place.path().join("bytes"), "changed").expect("ours");
    }
    for round in ["run", "replayed"] {
        let silent = place.run(&daemon, &["--key", "silent"], "exit 3");
        let want = Ran { code: Some(3), stdout: Vec::new(), stderr: Vec::new() };
        assert_eq!(silent, want, "{round}: no output is an output");
    }
}

#[test]
fn a_key_stands_for_one_command_line() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let run = |options: &[&str], script: &str| place.run(&daemon, options, script);
    assert_eq!(run(&["--key", "k"], "echo one").code, Some(0));
    run(&["--key", "k"], "echo two").expect_own("another argument", 125, "mismatch");
    assert_eq!(run(&["--key", "k"], "echo one").stdout(), "one\n");

    let none = ["--key", "n", "--fingerprint", "none"];
    assert_eq!(run(&none, "echo one").stdout(), "one\n");
    assert_eq!(run(&none, "echo two").stdout(), "one\n", "no digest, no difference");
    run(&["--key", "n"], "echo one").expect_own("none matches only none", 125, "mismatch");

    let digest = ["--key", "d", "--fingerprint", DIGEST];
    assert_eq!(run(&digest, "echo one").stdout(), "one\n");
    assert_eq!(run(&digest, "echo two").stdout(), "one\n", "a digest of the caller's own");
}

#[test]
fn twenty_calls_at_once_run_once_and_tell_the_same_s2() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let script = "echo run >> runs; echo out; echo err >&2; until [ -e go ] || [ ! -d \"$PWD\" ]; do sleep 0.01; done; exit 4";
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let options = ["--key", "k", "--wait", "60s"];
            Running::start(place.script(&daemon, &options, script))
        })
        .collect();
    eventually("nineteen wait", || (daemon.figure("waiters") == 19).then_some(()));
    place.run(&daemon, &["--key", "k"], script).expect_own("without --wait", 125, "in_progress");
    place.mark("go");
    let want = Ran { code: Some(4), stdout: b"out\n".to_vec(), stderr: b"err\n".to_vec() };
    for call in calls {
        assert_eq!(call.ended(), want);
    }
    assert_eq!(place.runs(), 1);
}

/// The store cuts a wait to its own limit; the call asks again for the rest.
#[test]
fn a_wait_longer_than_the_stores_is_waited_out_s10() {
    let (daemon, place) = (Daemon::start(&["--wait-max", "100ms"]), Place::new());
    let script =
        "echo run >> runs; until [ -e go ] || [ ! -d \"$PWD\" ]; do sleep 0.01; done; echo done";
    let first = Running::start(place.script(&daemon, &["--key", "k"], script));
    eventually("it runs", || (place.runs() == 1).then_some(()));
    let second = Running::start(place.script(&daemon, &["--key", "k", "--wait", "50s"], script));
    let begins = || daemon.figure("begin_in_progress");
    eventually("it asks again", || (begins() >= 2).then_some(()));
    place.mark("go");
    assert_eq!(first.ended().stdout(), "done\n");
    assert_eq!(second.ended().stdout(), "done\n");
    assert_eq!(place.runs(), 1);
}

#[test]
fn stdin_is_the_commands() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    fs::write(place.path().join("input"), "from a file").expect("ours");
    let fed = |options: &[&str]| {
        let mut command = place.words(&daemon, options, &["cat"]);
        command.stdin(File::open(place.path().join("input")).expect("ours"));
        Ran::of(&mut command)
    };
    assert_eq!(fed(&["--key", "k"]).stdout(), "from a file");
    fs::write(place.path().join("input"), "something else").expect("ours");
    assert_eq!(fed(&["--key", "k"]).stdout(), "from a file", "stdin is no part of what is asked");

    let mut command = place.words(&daemon, &["--key", "nothing"], &["cat"]);
    assert_eq!(Ran::of(command.stdin(Stdio::null())).code, Some(0));
    // Closed altogether, by a shell in between.
    let onceward = env!("CARGO_BIN_EXE_onceward");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("{onceward} run --key closed -- cat <&-")]);
    shell.current_dir(place.path()).env("ONCEWARD_URL", daemon.url());
    assert_eq!(Ran::of(piped(&mut shell)).code, Some(0));
}
