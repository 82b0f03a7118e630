//! Calls that are killed, and calls that own their key no longer.

use std::os::unix::process::CommandExt as _;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::json;

use super::{DIGEST, Place, Ran, Running, await_death, is_stopped, lives, report, state};
use crate::daemon::{Daemon, eventually};

/// Says who it is, then lives until somebody ends it or `go` is there. Its child does not listen when
/// it is asked to end.
const LONG: &str = "echo run >> runs; echo $$ > command; echo half
    (trap '' TERM; echo $(exec sh -c 'echo $PPID') > child; exec sleep 45) &
    until [ -e go ] || [ ! -d \"$PWD\" ]; do sleep 0.01; done; echo whole";

#[test]
fn a_killed_call_takes_the_command_and_its_children_with_it() {
    let cases: [(&str, &[&str], &str); 2] =
        [("takeover", &[], ""), ("in-doubt", &["--on-failure", "in-doubt"], "in_doubt")];
    for (why, options, then) in cases {
        let (mut daemon, place) = (Daemon::start(&["--test-clock"]), Place::new());
        let options = [&["--key", "k", "--lease", "1h"], options].concat();
        let running = Running::start(place.script(&daemon, &options, LONG));
        let (command, child) = (place.id("command"), place.id("child"));
        assert!(lives(command) && lives(child), "{why}");
        running.signal(Signal::SIGKILL);
        assert_eq!(running.ended().code, None, "{why}");
        await_death(command);
        await_death(child);

        let second = place.run(&daemon, &options, LONG);
        second.expect_own("the lease still runs", 125, "in_progress");
        assert_eq!(daemon.say("advance 3600000\n"), "now 3600000");
        place.mark("go");
        // Its own child would hold the pipes for the grace.
        let third = place.run(&daemon, &options, LONG);
        if then.is_empty() {
            assert_eq!((third.code, third.stdout()), (Some(0), "half\nwhole\n"), "{why}");
            let child = Pid::from_raw(place.id("child"));
            kill(child, Signal::SIGKILL).expect("it was left behind");
        } else {
            third.expect_own(why, 125, then);
        }
        assert_eq!(place.runs(), if then.is_empty() { 2 } else { 1 }, "{why}");
    }
}

/// The kernel's signal alone does it: a guard that is killed first (out of memory, say) cannot help.
#[test]
fn a_command_dies_with_the_call_though_the_guard_is_gone() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let running = Running::start(place.script(&daemon, &["--key", "k"], LONG));
    let (command, child) = (place.id("command"), Pid::from_raw(place.id("child")));
    let guard = guard_of(running.id());
    kill(Pid::from_raw(guard), Signal::SIGKILL).expect("it runs");
    await_death(guard);
    assert!(lives(command), "the guard's end is not the call's");
    running.signal(Signal::SIGKILL);
    await_death(command);
    kill(child, Signal::SIGKILL).expect("only the guard reaches what the command started");
    assert_eq!(running.ended().code, None);
}

/// A batch system kills the group that it started on a timeout: the guard must not be in it.
#[test]
fn whoever_kills_the_group_of_the_call_kills_the_commands_too() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let mut call = place.script(&daemon, &["--key", "k"], LONG);
    call.process_group(0);
    let running = Running::start(call);
    let (command, child) = (place.id("command"), place.id("child"));
    guard_of(running.id());
    killpg(Pid::from_raw(running.id()), Signal::SIGKILL).expect("it runs");
    await_death(command);
    await_death(child);
}

/// The child of `call` that its words tell to be the guard.
fn guard_of(call: i32) -> i32 {
    let children = format!("/proc/{call}/task/{call}/children");
    eventually("a guard", || {
        let children = std::fs::read_to_string(&children).expect("it runs");
        children.split_whitespace().find_map(|id| {
            let words = std::fs::read(format!("/proc/{id}/cmdline")).ok()?;
            words.split(|&byte| byte == 0).any(|word| word == b"guard").then(|| id.parse().ok())?
        })
    })
}

/// Ends `key`'s lease and has another acquire it, however often the call renews meanwhile.
fn take_over(daemon: &mut Daemon, key: &str) {
    eventually("a takeover", || {
        daemon.say("advance 3000\n");
        let begin = ["begin", "--key", key, "--fingerprint", DIGEST, "--lease", "1h"];
        (daemon.json(&begin).1["outcome"] == "acquired").then_some(())
    });
}

#[test]
fn a_call_that_lost_its_key_stops_the_command_s4() {
    let options = ["--key", "k", "--lease", "3s", "--fingerprint", DIGEST, "--report", "report"];
    let cases = [
        ("asked to stop", "1h", "trap 'echo bye; exit 0' TERM", "", "half\nbye\n"),
        (
            "asked though stopped",
            "1h",
            "trap 'echo bye; exit 0' TERM",
            "kill -STOP $$",
            "half\nbye\n",
        ),
        ("killed in the end", "200ms", "trap '' TERM", "", "half\n"),
    ];
    for (why, kill_after, how, then, want) in cases {
        let (mut daemon, place) = (Daemon::start(&["--test-clock"]), Place::new());
        let options = [&options[..], &["--kill-after", kill_after]].concat();
        let script = format!(
            "{how}; echo half; echo $$ > command; {then}\n while [ -d \"$PWD\" ]; do sleep 0.01; done"
        );
        let running = Running::start(place.script(&daemon, &options, &script));
        let command = place.id("command");
        if !then.is_empty() {
            eventually("it stops", || is_stopped(command).then_some(()));
        }
        take_over(&mut daemon, "k");
        let ended = running.ended();
        ended.expect_own(why, 125, "fenced");
        assert_eq!(ended.stdout(), want, "{why}");
        await_death(command);
        let told = report(&place, "report");
        assert_eq!((&told["ran"], &told["status"]), (&json!(true), &json!(null)), "{why}");
        assert_eq!(state(&daemon, "k"), "reserved", "{why}: the new owner's");
    }
}

#[test]
fn a_key_that_is_forgotten_stops_the_command_and_its_children() {
    let (mut daemon, place) = (Daemon::start(&["--test-clock"]), Place::new());
    let options = ["--key", "k", "--lease", "3s"];
    let running = Running::start(place.script(&daemon, &options, LONG));
    let (command, child) = (place.id("command"), place.id("child"));
    let (_, held) = daemon.json(&["get", "--key", "k"]);
    let fence = held["fence"].as_str().expect("a string").to_owned();
    eventually("it is forgotten", || {
        daemon.say("advance 3000\n");
        let forget = ["forget", "--key", "k", "--fence", &fence, "--yes"];
        (daemon.json(&forget).1["outcome"] == "forgotten").then_some(())
    });
    running.ended().expect_own("nobody owns it", 125, "gone");
    await_death(command);
    await_death(child);
}

#[test]
fn the_daemons_death_stops_the_command_where_another_may_run() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let options = ["--key", "k", "--lease", "1s", "--kill-after", "100ms"];
    let running = Running::start(place.script(&daemon, &options, LONG));
    let command = place.id("command");
    let begun = Instant::now();
    drop(daemon);
    let ended = running.ended();
    ended.expect_own("the lease ended unheard", 125, "unavailable");
    assert_eq!(ended.stdout(), "half\n", "what it wrote was shown");
    await_death(command);
    assert!(begun.elapsed() < Duration::from_secs(20), "within the lease and a little");
}

/// Under policy in-doubt nobody else runs, so the command may end its work.
#[test]
fn the_daemons_death_leaves_the_command_alone_where_nobody_may_run_s8() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let options = ["--key", "k", "--lease", "1s", "--on-failure", "in-doubt", "--log", "warn"];
    let mut running = Running::start(place.script(
        &daemon,
        &options,
        "echo $$ > command; until [ -e go ] || [ ! -d \"$PWD\" ]; do sleep 0.01; done; echo whole",
    ));
    let command = place.id("command");
    let mut log = std::io::BufReader::new(running.0.stderr.take().expect("piped"));
    drop(daemon);
    // Its log says when the lease has ended by its own count.
    let mut line = String::new();
    while !line.contains("the lease ended") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut log, &mut line).expect("a pipe") > 0, "its end");
    }
    assert!(lives(command));
    place.mark("go");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut log, &mut rest).expect("a pipe");
    let Ran { code, stdout, .. } = running.ended();
    assert_eq!((code, stdout.as_slice()), (Some(125), &b"whole\n"[..]));
    assert!(rest.lines().any(|line| line.starts_with("onceward: unavailable: ")), "{rest}");
}
