//! The program as it is typed: what it starts ends with it, and what it lacks it says.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_onceward-bench-rivals");
/// Longest wait for what the kernel does at once.
const PATIENCE: Duration = Duration::from_secs(30);

fn rivals(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("rivals").args(arguments).stdin(Stdio::null());
    command
}

/// Processes whose parent this is, by the kernel's word.
fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.filter(|&process| status(process).is_some_and(|(_, found)| found == parent)).collect()
}

/// State and parent of a process that is there.
fn status(process: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before may contain anything.
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn awaited<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

#[test]
fn servers_end_with_the_harness_even_if_that_is_killed() {
    let mut harness = rivals(&["--targets", "echo", "--mode", "same", "--mix", "replay"])
        .args(["--keys", "100", "--replay-rounds", "100000000", "--warm-up", "0", "--runs", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let server = awaited("no server", || children(harness.id()).first().copied());
    harness.kill().expect("the harness runs");
    harness.wait().expect("the harness ends");
    awaited("the server outlives the harness", || match status(server) {
        None | Some(('Z', _)) => Some(()),
        Some(_) => None,
    });
}

fn said(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    streams.concat()
}

#[test]
fn a_tiny_run_of_the_floor_passes_over_tcp_and_unix_sockets() {
    for transport in [&[][..], &["--unix"]] {
        let output = rivals(&["--smoke", "--targets", "echo"])
            .args(transport)
            .output()
            .expect("the program starts");
        let said = said(&output);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("its figures mean nothing") && said.contains("echo"), "{said}");
    }
}

#[test]
fn what_is_missing_is_said_with_what_to_do() {
    for (arguments, want) in [
        (
            &["--targets", "onceward", "--onceward", "/no/such"][..],
            "cargo build --release -p onceward-cli",
        ),
        (&["--targets", "redis", "--redis", "/no/such"], "no file /no/such"),
        (&["--targets", "memcached", "--memcached", "/bin/false"], "memcached ended at once"),
        (&["--targets", "nobody"], "invalid value 'nobody'"),
    ] {
        let output = rivals(arguments).output().expect("the program starts");
        let said = said(&output);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains(want), "{want}: {said}");
    }
}
