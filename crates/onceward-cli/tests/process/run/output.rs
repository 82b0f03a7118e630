//! Output that is too large, that nobody reads, that outlives the command; and the report.

use std::fs;
use std::io::Read as _;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::{Place, Ran, Running, report, state};
use crate::daemon::{Daemon, document, eventually};

/// 2,000 bytes to stdout and 3 to stderr.
const TWO_THOUSAND: &str = "echo run >> runs; printf %02000d 0; printf err >&2; exit 6";

#[test]
fn output_beyond_the_limit_is_shown_and_not_kept_s12() {
    type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a str, &'a str);
    let cases: [Case; 3] = [
        ("the call's own limit", &[], &["--output-max", "2000"], "declined", "--output-max"),
        ("the store's", &["--result-bytes-max", "1KiB"], &[], "too_large", "store keeps"),
        ("at the limit", &[], &["--output-max", "2026"], "", ""),
    ];
    for (why, serve, options, not_kept, said) in cases {
        let (daemon, place) = (Daemon::start(serve), Place::new());
        let run = |more: &[&str]| {
            let all = ["--key", "k", "--report", "report"];
            place.run(&daemon, &[&all, options, more].concat(), TWO_THOUSAND)
        };
        let first = run(&[]);
        assert_eq!((first.code, first.stdout.len()), (Some(6), 2_000), "{why}");
        assert!(first.stderr().starts_with("err"), "{why}");
        let later = run(&[]);
        if not_kept.is_empty() {
            assert!(later == first, "{why}: {later:?}");
            continue;
        }
        let remark = first.stderr().trim_start_matches("err");
        assert!(remark.starts_with("onceward: not_kept: ") && remark.contains(said), "{remark}");
        later.expect_own(why, 125, "not_kept");
        assert!(later.stdout.is_empty(), "{why}: half a replay would look like a whole one");
        assert!(later.stderr().contains("--accept-missing-output"), "{}", later.stderr());
        let told = report(&place, "report");
        let got = [&told["outcome"], &told["exit_code"], &told["status"], &told["ran"]];
        assert_eq!(got, [&json!("not_kept"), &json!(125), &json!(6), &json!(false)], "{why}");
        let got = [&told["not_kept"], &told["stdout_bytes"], &told["stderr_bytes"]];
        assert_eq!(got, [&json!(not_kept), &json!(2_000), &json!(3)], "{why}");

        let accepted = run(&["--accept-missing-output"]);
        let want = Ran { code: Some(6), stdout: Vec::new(), stderr: Vec::new() };
        assert_eq!(accepted, want, "{why}: the status, and nothing that could pass for output");
        assert_eq!(place.runs(), 1, "{why}");
    }
}

/// Far beyond what is held: the command is not held up, and ours does not grow with it.
#[test]
fn recording_much_costs_no_memory_s12() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let script = "i=0; while [ $i -lt 200 ]; do cat megabyte; i=$((i+1)); done; echo >&2
        grep VmHWM /proc/$PPID/status >&2";
    fs::write(place.path().join("megabyte"), vec![b'x'; 1 << 20]).expect("ours");
    let mut command = place.script(&daemon, &["--key", "k"], script);
    command.stdout(std::process::Stdio::null());
    let ran = Ran::of(&mut command);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr());
    let peak = ran.stderr().lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.trim().strip_suffix(" kB")).expect("a figure");
    let peak: u64 = peak.trim().parse().expect("a number");
    assert!(peak < 100 * 1024, "{peak} KiB at most");
}

#[test]
fn a_reader_that_leaves_ends_neither_the_command_nor_the_recording() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let script = "printf %0300000d 7; echo err >&2; echo run >> runs; exit 5";
    let mut running = Running::start(place.script(&daemon, &["--key", "k"], script));
    let mut first = [0; 10];
    let mut stdout = running.0.stdout.take().expect("piped");
    stdout.read_exact(&mut first).expect("ten bytes");
    drop(stdout);
    let ended = running.ended();
    assert_eq!((ended.code, ended.stderr()), (Some(5), "err\n"));
    let later = place.run(&daemon, &["--key", "k"], script);
    assert_eq!((later.code, later.stdout.len(), place.runs()), (Some(5), 300_000, 1));
    // Nor is it a fault of a replay.
    let mut replay = Running::start(place.script(&daemon, &["--key", "k"], script));
    drop(replay.0.stdout.take());
    assert_eq!(replay.ended(), Ran { stdout: Vec::new(), ..later });
}

/// More than the pipe to a reader that takes nothing holds, and little enough for the command to end.
const MORE_THAN_A_PIPE: &str = "printf %0150000d 7; echo run >> runs; echo err >&2; exit 5";

#[test]
fn a_reader_that_stalls_does_not_keep_the_result_from_being_stored() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    for (key, ends_by_signal) in [("reads-on", false), ("never-reads", true)] {
        let options = ["--key", key];
        let running = Running::start(place.script(&daemon, &options, MORE_THAN_A_PIPE));
        // Nobody reads yet.
        eventually("a stored result", || (state(&daemon, key) == "completed").then_some(()));
        if ends_by_signal {
            running.signal(Signal::SIGTERM);
            eventually("its end", || (!super::lives(running.id())).then_some(()));
            running.ended().expect_own("its output is not all shown", 125, "failure");
        } else {
            let ended = running.ended();
            assert_eq!((ended.code, ended.stdout.len()), (Some(5), 150_000), "all of it, late");
            assert_eq!(ended.stderr(), "err\n");
        }
        let later = place.run(&daemon, &options, MORE_THAN_A_PIPE);
        assert_eq!((later.code, later.stdout.len()), (Some(5), 150_000), "{key}");
    }
    assert_eq!(place.runs(), 2, "one for each key");
}

#[test]
fn output_that_cannot_be_written_is_told_and_stored() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    for why in ["run", "replayed"] {
        let mut command = place.script(&daemon, &["--key", "k"], "echo out; echo run >> runs");
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a full disk");
        Ran::of(command.stdout(full)).expect_own(why, 125, "failure");
    }
    let later = place.run(&daemon, &["--key", "k"], "echo out; echo run >> runs");
    assert_eq!((later.code, later.stdout(), place.runs()), (Some(0), "out\n", 1));
}

#[test]
fn what_the_command_leaves_behind_holds_nobody_up() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let script = "sleep 45 & echo $! > left; (sleep 0.2; echo late) & echo out";
    let ran = place.run(&daemon, &["--key", "k"], script);
    assert_eq!((ran.code, ran.stdout()), (Some(0), "out\nlate\n"), "what comes soon is read");
    let left = place.id("left");
    assert!(super::lives(left), "a daemon that the command started is not ours to end");
    kill(Pid::from_raw(left), Signal::SIGKILL).expect("it lives");
    assert_eq!(place.run(&daemon, &["--key", "k"], script), ran);
}

#[test]
fn the_report_tells_what_the_exit_status_cannot() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let call = |key: &str, options: &[&str], script: &str| {
        let all = [&["--key", key, "--report", "report"], options].concat();
        let ran = place.run(&daemon, &all, script);
        (ran, report(&place, "report"))
    };
    let (_, told) = call("k", &["--retention", "48h"], "echo out; exit 125");
    let fence = told["fence"].as_str().expect("a string").to_owned();
    let want = json!({
        "schema": "onceward/1", "outcome": "ran", "exit_code": 125, "message": null, "field": null,
        "ran": true, "status": 125, "signal": null, "key": "completed", "not_kept": null,
        "stdout_bytes": 4, "stderr_bytes": 0, "fence": fence, "attempt_number": 1, "age_ms": 0,
        "retention_left_ms": 172_800_000,
    });
    assert_eq!(told, want);
    let (_, told) = call("k", &[], "echo out; exit 125");
    assert_eq!([&told["outcome"], &told["status"]], [&json!("replayed"), &json!(125)]);
    let (_, told) = call("k", &[], "another");
    assert_eq!([&told["outcome"], &told["status"]], [&json!("mismatch"), &json!(null)]);
    let (ran, told) = call("signal", &[], "kill -USR1 $$");
    assert_eq!([&told["signal"], &told["key"]], [&json!(10), &json!("reserved")]);
    let message = told["message"].as_str().expect("a text");
    assert_eq!(ran.stderr(), format!("onceward: ended: {message}\n"));

    // With --json the object stands in place of the line, and never on stdout.
    let (ran, told) = call("signal", &["--json"], "kill -USR1 $$");
    let on_stderr: serde_json::Value = serde_json::from_slice(&ran.stderr).expect("JSON");
    assert_eq!((&on_stderr, ran.stdout()), (&told, ""));
    assert_eq!(told["outcome"], "in_progress");
    let (ran, _) = call("json", &["--json"], "echo out");
    assert_eq!((ran.stdout(), ran.stderr()), ("out\n", ""), "there is nothing to say");

    let nowhere = place.run(&daemon, &["--key", "n", "--report", "no/where"], "echo run >> runs");
    nowhere.expect_own("before anything runs", 125, "bad_input");
    assert_eq!((place.runs(), state(&daemon, "n")), (0, json!("absent")));

    let document = document("run-format.md");
    for field in want.as_object().expect("an object").keys() {
        assert!(document.contains(&format!("`{field}`")), "docs/run-format.md lacks {field}");
    }
}
