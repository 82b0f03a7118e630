//! `bench`: counters, files and exit codes; never figures.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::daemon::{Daemon, Told, eventually, onceward, told};

/// What one run measured; the record has a schema of its own.
fn measured(arguments: &[&str]) -> Value {
    let mut all = vec!["bench", "--json", "--warm-up", "0s", "--keys", "50", "--values", "64"];
    all.extend(arguments);
    let told = told(&all);
    assert_eq!(told.code, 0, "{arguments:?}: {} {}", told.stdout, told.stderr);
    let document: Value = serde_json::from_str(&told.stdout).expect("JSON on stdout");
    assert_eq!(document["schema"], "onceward-bench/1");
    document
}

fn counters(document: &Value, series: usize) -> &Value {
    let run = &document["series"][series]["runs"][0];
    assert_eq!(run["failure"], Value::Null);
    for wrong in ["errors", "executed_twice", "not_executed", "wrong_replays"] {
        assert_eq!(run["counters"][wrong], 0, "{run}");
    }
    &run["counters"]
}

#[test]
fn every_mix_counts_exactly_wherever_the_store_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("o.sock");
    let _unix = Daemon::spawn(&["--unix", socket.to_str().expect("UTF-8")]);
    let tcp = Daemon::start(&[]);
    let of_unix = format!("onceward+unix://{}", socket.display());
    let of_tcp = format!("onceward://{}/default", tcp.listening[0]);
    let mixes = "first,replay,conflict,mismatch,mixed,waiters";
    for url in ["mem://", &of_unix, &of_tcp] {
        for pace in [&["--pipeline", "2"][..], &["--rate", "5000", "--arrivals", "constant"]] {
            let mut arguments = vec!["--url", url, "--mix", mixes, "--requests", "40"];
            arguments.extend(["--connections", "3", "--threads", "1"]);
            arguments.extend(pace);
            let document = measured(&arguments);
            let why = format!("{url} {pace:?}");
            assert_eq!(counters(&document, 0)["completed"], 40, "{why}");
            assert_eq!(counters(&document, 1)["replayed"], 40, "{why}");
            assert_eq!(counters(&document, 2)["in_progress"], 40, "{why}");
            assert_eq!(counters(&document, 3)["mismatched"], 40, "{why}");
            let mixed = counters(&document, 4);
            let parts = [&mixed["acquired"], &mixed["replayed"]].map(|part| part.as_u64());
            assert_eq!(parts.into_iter().flatten().sum::<u64>(), 40, "{why}");
            // All slots but the owner's wait.
            let waited = if pace[0] == "--pipeline" { 200 } else { 80 };
            assert_eq!(counters(&document, 5)["waited"], waited, "{why}");
        }
    }
}

#[test]
fn its_own_daemon_goes_with_it_and_words_reach_serve() {
    let document = measured(&["--requests", "30", "--runs", "2", "--", "--threads", "1"]);
    let series = &document["series"][0];
    assert_eq!(series["runs"].as_array().map(Vec::len), Some(2));
    assert!(series["runs"][1]["server_cpu_ns"].as_u64() > Some(0), "its process is known");
    let url = series["target"]["address"].as_str().expect("where it was");
    assert_eq!(told(&["ping", "--url", url, "--retries", "0"]).code, 20, "it has ended");
    let refused = told(&["bench", "--requests", "1", "--", "--threads", "0"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("the daemon:"), "{}", refused.stderr);
}

#[test]
fn what_it_found_can_be_kept_and_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (saved, page, logs) = (path("a.json"), path("a.html"), path("logs"));
    let common = ["bench", "--url", "mem://", "--requests", "20", "--warm-up", "0s"];
    let mut arguments = common.to_vec();
    arguments.extend(["--save", &saved, "--html", &page, "--hdr", &logs]);
    let first = told(&arguments);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(first.stdout.contains("closed loop: saturation"), "{}", first.stdout);
    assert!(std::fs::read_to_string(&page).expect("a page").contains("<html"));
    assert_eq!(std::fs::read_dir(&logs).expect("a folder").count(), 1);
    let mut arguments = common.to_vec();
    arguments.extend(["--compare", &saved]);
    assert_eq!(told(&arguments).code, 0);
    let both = told(&["bench", "--compare", &saved, &saved]);
    assert_eq!(both.code, 0, "{}", both.stderr);
    assert!(both.stdout.contains("verdict"), "{}", both.stdout);
}

#[test]
fn a_search_tries_rates_and_says_which_held() {
    let common = ["--url", "mem://", "--find-max", "p50<1h", "--duration", "1ms"];
    let document = measured(&common);
    let series = document["series"].as_array().expect("a list");
    assert!(series.len() > 1, "several rates");
    let mut rates: Vec<_> =
        series.iter().filter_map(|series| series["load"]["offered_rate"].as_f64()).collect();
    assert_eq!(rates.len(), series.len());
    rates.dedup();
    assert_eq!(rates.len(), series.len(), "none twice");
    assert!(document["notes"][0].as_str().is_some_and(|note| note.contains("p50<")));
}

#[test]
fn what_it_refuses() {
    let cases: &[(&str, &[&str], i32, &str)] = &[
        ("no such mix", &["--mix", "none"], 2, "first, replay"),
        ("no rate", &["--rate", "0"], 2, "operations per second"),
        ("no goal", &["--find-max", "1ms"], 2, "p99<1ms"),
        ("two paces", &["--find-max", "p99<1ms", "--rate", "5"], 2, "--rate"),
        ("too small for its stamps", &["--values", "15"], 2, "16"),
        ("over what is kept", &["--values", "1048577"], 2, "1 MiB"),
        ("no theta", &["--distribution", "zipf:x"], 2, "theta"),
        ("under the lease", &["--retention", "1s"], 2, "lease"),
        ("no time", &["--duration", "0s"], 2, "longer than 0s"),
        ("whose words", &["--url", "mem://", "--", "--threads", "1"], 2, "--url"),
        ("no URL of ours", &["--url", "redis://127.0.0.1"], 2, "--url"),
        ("nobody there", &["--url", "onceward://127.0.0.1:1"], 20, "is a daemon running"),
        ("no record", &["--compare", "/dev/null"], 2, "/dev/null"),
    ];
    for (why, arguments, code, words) in cases {
        let mut all = vec!["bench", "--requests", "1", "--warm-up", "0s"];
        all.retain(|word| {
            !(arguments.contains(&"--duration") && matches!(*word, "--requests" | "1"))
        });
        all.extend(*arguments);
        let told = told(&all);
        assert_eq!(told.code, *code, "{why}: {}", told.stderr);
        assert!(told.stderr.contains(words), "{why}: {}", told.stderr);
    }
}

/// Keys that are there already are not new: the run must fail, and say so.
#[test]
fn a_key_that_is_not_new_fails_the_run() {
    let daemon = Daemon::start(&[]);
    let url = format!("onceward://{}", daemon.listening[0]);
    let again = ["bench", "--url", &url, "--seed", "7", "--requests", "20", "--warm-up", "0s"];
    assert_eq!(told(&again).code, 0);
    let told = told(&again);
    assert_eq!(told.code, 1, "{}", told.stderr);
    assert!(told.stderr.contains("FAILED"), "{}", told.stderr);
    assert!(told.stderr.contains("20 not executed"), "{}", told.stderr);
}

#[test]
fn another_program_at_the_address_is_told_from_a_daemon() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("onceward://{}", listener.local_addr().expect("bound"));
    let other = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("bench connects");
        stream.write_all(b"+OK\r\n-ERR unknown command\r\n").expect("it listens");
        let _ = stream.read(&mut [0; 64]);
    });
    let told = told(&["bench", "--url", &url, "--requests", "1", "--connections", "1"]);
    assert_eq!(told.code, 1, "{}", told.stderr);
    assert!(told.stderr.starts_with("error: "), "{}", told.stderr);
    other.join().expect("no panic");
}

#[test]
fn interrupted_it_ends_with_what_there_is() {
    let daemon = Daemon::start(&[]);
    let url = format!("onceward://{}", daemon.listening[0]);
    let mut command: Command = onceward();
    command.args(["bench", "--json", "--url", &url, "--duration", "1h", "--rate", "1000"]);
    command.args(["--warm-up", "0s", "--values", "64"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("the binary starts");
    eventually("keys are stored", || {
        let stats = daemon.json(&["stats"]).1;
        (stats["entries"].as_u64()? > 20).then_some(())
    });
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    kill(pid, Signal::SIGINT).expect("it runs");
    let told = Told::of(child.wait_with_output().expect("it ends"));
    assert_eq!(told.code, 0, "{}", told.stderr);
    let document: Value = serde_json::from_str(&told.stdout).expect("JSON on stdout");
    assert_eq!(document["series"][0]["runs"][0]["interrupted"], true);
    assert_eq!(counters(&document, 0)["acquired"], counters(&document, 0)["completed"]);
}
