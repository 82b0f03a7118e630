//! How the daemon starts, or does not.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::{Daemon, Told, onceward, told};

#[test]
fn it_says_where_it_listens_and_what_a_restart_means_s22() {
    let daemon = Daemon::start(&["--listen", "[::1]:0"]);
    assert_eq!(daemon.listening.len(), 2, "{:?}", daemon.listening);
    for address in &daemon.listening {
        let url = format!("onceward://{address}");
        assert_eq!(told(&["ping", "--url", &url]).code, 0, "{address}");
        daemon.await_log(&format!("listening on {address}"));
    }
    daemon.await_log("a restart is a new store");
    daemon.await_log("memory limit");
}

#[test]
fn two_starts_have_two_boot_epochs_and_growing_fences_s22() {
    let epoch = |daemon: &Daemon| daemon.json(&["ping"]).1["boot_epoch"].clone();
    let fence = |daemon: &Daemon| {
        let (_, answer) = daemon.json(&["begin", "--key", "k"]);
        answer["fence"].as_str().expect("a string").parse::<u64>().expect("a number")
    };
    let mut first = Daemon::start(&[]);
    let (first_epoch, first_fence) = (epoch(&first), fence(&first));
    first.signal(Signal::SIGTERM);
    assert!(first.ended().success());
    let second = Daemon::start(&[]);
    assert_eq!(second.told(&["get", "--key", "k"]).code, 12, "no memory of keys");
    assert_ne!(epoch(&second), first_epoch);
    assert!(fence(&second) > first_fence);
}

#[test]
fn a_unix_socket_is_its_owners_replaced_when_stale_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("o.sock");
    drop(UnixListener::bind(&path).expect("a stale file"));
    let text = path.to_str().expect("UTF-8");
    let mut daemon = Daemon::spawn(&["--unix", text]);
    assert_eq!(daemon.listening, [format!("unix:{text}")], "no TCP unless asked for");
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(daemon.told(&["ping"]).code, 0);

    let second = told(&["serve", "--unix", text]);
    assert_eq!(second.code, 1, "{}", second.stderr);
    assert!(second.stderr.contains("another server listens"), "{}", second.stderr);
    assert_eq!(daemon.told(&["ping"]).code, 0, "the first one is not disturbed");
    daemon.signal(Signal::SIGINT);
    assert!(daemon.ended().success());
    assert!(!path.exists());

    std::fs::write(&path, "mine").expect("a file");
    let refused = told(&["serve", "--unix", text]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert_eq!(std::fs::read(&path).expect("left alone"), b"mine");
}

#[test]
fn what_it_refuses() {
    let taken = Daemon::start(&[]);
    let taken = taken.listening[0].as_str();
    let cases: &[(&str, &[&str], i32, &str)] = &[
        (
            "not loopback, and nobody proves who connects",
            &["--listen", "0.0.0.0:0"],
            2,
            "--insecure-no-auth",
        ),
        ("nor is this", &["--listen", "[::]:0"], 2, "--insecure-no-auth"),
        ("the port is taken", &["--listen", taken], 1, "cannot listen on 127.0.0.1"),
        ("no address", &["--listen", "localhost"], 2, "127.0.0.1:7977"),
        ("no port", &["--listen", "127.0.0.1"], 2, "127.0.0.1:7977"),
        ("no folder", &["--unix", "/nowhere/o.sock"], 1, "cannot listen on /nowhere/o.sock"),
        ("too little memory", &["--memory", "1KiB"], 2, "memory is 1KiB: give at least 1MiB"),
        ("negative memory", &["--memory", "-1GiB"], 2, "negative"),
        ("no memory", &["--memory", ""], 2, "empty"),
        ("more than any", &["--memory", "99999999999TiB"], 2, "larger than any memory"),
        ("no entries", &["--max-entries", "0"], 2, "--max-entries"),
        ("no threads", &["--threads", "0"], 2, "--threads"),
        ("no such grace", &["--grace", "-1s"], 2, "negative"),
        ("a grace of years", &["--grace", "9999h"], 2, "grace is 416d 15h: give 0s to 1d"),
        ("over the ceiling (S20)", &["--wait-max", "2h"], 2, "wait_max is 2h: give at most 1h"),
        (
            "over the ceiling (S20)",
            &["--lease-max", "31d"],
            2,
            "lease_max is 31d: give at most 30d",
        ),
        (
            "over the ceiling (S20)",
            &["--result-bytes-max", "17MiB"],
            2,
            "result_bytes_max is 17MiB: give at most 16MiB",
        ),
        ("over the ceiling (S20)", &["--waiters-per-key-max", "1000001"], 2, "waiters_per_key_max"),
        (
            "a lease longer than any retention",
            &["--lease-max", "25d", "--retention-max", "24h"],
            2,
            "lease_max is 25d and retention_max 1d",
        ),
        (
            "all of it at once",
            &["--lease-max", "31d", "--memory", "0", "--connections-max", "0"],
            2,
            "give at most 30d\nmemory is 0: give at least 1MiB\nconnections_max is 0",
        ),
        ("no connections", &["--connections-max", "0"], 2, "connections_max"),
        (
            "a clock for strangers to set",
            &["--test-clock", "--insecure-no-auth", "--listen", "0.0.0.0:0"],
            2,
            "loopback only",
        ),
    ];
    for (why, arguments, code, want) in cases {
        let told = told(&[&["serve"], *arguments].concat());
        assert_eq!(told.code, *code, "{why}: {}", told.stderr);
        assert!(told.stderr.contains(want), "{why}: {want}: {}", told.stderr);
        assert_eq!(told.stdout, "", "{why}");
    }
}

#[test]
fn limits_reach_the_store_s20() {
    let daemon = Daemon::start(&[
        "--lease-max",
        "1m",
        "--result-bytes-max",
        "1KiB",
        "--memory",
        "64MiB",
        "--max-entries",
        "4500",
        "--threads",
        "2",
    ]);
    assert_eq!(daemon.figure("memory_limit_bytes"), 64 << 20);
    if cfg!(target_os = "linux") {
        // 4.5 entries to a bucket of 64 bytes; the storage of other systems has no such index.
        assert_eq!(daemon.figure("memory_index_bytes"), 64 * 1_000);
    }
    let (code, answer) = daemon.json(&["begin", "--key", "k", "--lease", "61s"]);
    assert_eq!((code, &answer["error"]["field"]), (2, &"lease".into()), "{answer}");
    for (key, size, not_kept) in [("at", 1_024, Value::Null), ("over", 1_025, "too_large".into())] {
        let token = daemon.acquire(key, &[]);
        let body = "x".repeat(size);
        let (_, answer) =
            daemon.json(&["complete", "--key", key, "--token", &token, "--body", &body]);
        assert_eq!(answer["not_kept"], not_kept, "{key}");
    }
}

#[test]
fn it_serves_though_nobody_reads_its_log() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut child = onceward()
        .args(["serve", "--listen", "127.0.0.1:0", "--json"])
        .stdout(Stdio::piped())
        .stderr(writer)
        .spawn()
        .expect("starts");
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
    let line: Value = serde_json::from_str(&line).expect("JSON");
    let url = format!("onceward://{}", line["listening"][0].as_str().expect("a text"));
    let pinged = told(&["ping", "--url", &url]).code;
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("an id"));
    nix::sys::signal::kill(id, Signal::SIGTERM).expect("it runs");
    let ended = child.wait().expect("a child of ours");
    assert_eq!((pinged, ended.code()), (0, Some(0)));
}

#[test]
fn a_failed_start_is_json_too() {
    let output = onceward().args(["serve", "--listen", "0.0.0.0:0", "--json"]).output();
    let told = Told::of(output.expect("starts"));
    let error = &told.json()["error"];
    assert_eq!((told.code, &error["field"]), (2, &"listen".into()), "{error}");
}
