//! The demonstration as a user runs it: one small run that must hold, one that must fail, and the
//! ways in which it is asked wrongly or ended early.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const DEADLINE: Duration = Duration::from_secs(60);

fn onceward() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onceward"));
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"ONCEWARD_") {
            command.env_remove(name);
        }
    }
    command.env("ONCEWARD_CONFIG", "").arg("demo"); // No settings file of this machine's.
    command
}

fn run(arguments: &[&str]) -> Output {
    onceward().args(arguments).output().expect("the binary starts")
}

fn report(output: &Output) -> BTreeMap<String, serde_json::Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{said}"))
}

/// Processes of any role whose command line holds `mark`, by id.
fn processes(mark: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").expect("Linux");
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    ids.filter(|id| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(mark)
    })
    .collect()
}

fn children(parent: u32) -> Vec<i32> {
    let own = parent.to_string();
    let entries = std::fs::read_dir("/proc").expect("Linux");
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    ids.filter(|id| {
        let status = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // `id (name) state parent …`, and a name may hold anything.
        let rest = status.rsplit_once(')').map_or("", |(_, rest)| rest);
        rest.split_whitespace().nth(1) == Some(own.as_str())
    })
    .collect()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < give_up, "{what}: not within {DEADLINE:?}");
        thread::sleep(Duration::from_millis(20)); // Between two looks at /proc.
    }
}

#[test]
fn a_small_run_holds_the_promise_s2_s5_s8_s10() {
    let output = run(&["--requests", "200", "--seed", "7", "--json"]);
    let report = report(&output);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report:?}\n{said}");
    assert!(!said.contains("200 intents"), "progress is not for programs: {said}");
    let figure = |name: &str| {
        report[name].as_u64().unwrap_or_else(|| panic!("{name} is no count: {report:?}"))
    };
    assert_eq!(figure("intents"), 200);
    assert_eq!(figure("disturbed_intents"), 60);
    assert_eq!(figure("seed"), 7);
    assert_eq!(figure("ledger_rows"), 200);
    for name in ["duplicates_with", "replays_differing", "takeovers_unexplained", "missing"] {
        assert_eq!(figure(name), 0, "{name}: {report:?}");
    }
    for name in [
        "duplicates_without",
        "duplicates_prevented",
        "replays",
        "mismatches",
        "takeovers",
        "in_doubt_resolved",
        "waits_answered",
        "crashes",
    ] {
        assert!(figure(name) > 0, "{name}: {report:?}");
    }
    assert!(figure("attempts") > 200 && figure("executions") >= 200, "{report:?}");
    assert_eq!(figure("duplicates_without"), figure("ledger_rows_without") - 200);
}

#[test]
fn a_store_that_is_given_wrong_keys_cannot_help_and_the_run_says_so() {
    // Few faults but plenty of them of the kind that repeats: what is proved is the detector.
    let output = run(&["--requests", "40", "--disturbed", "100", "--break-keys", "--json"]);
    let report = report(&output);
    assert!(report["duplicates_with"].as_u64() > Some(0), "{report:?}");
    assert!(report["replays_differing"].as_u64() > Some(0), "{report:?}");
    assert_eq!(output.status.code(), Some(1), "{report:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("side effects happened again with Onceward in place"), "{said}");
    assert!(said.contains("differ from the first answer"), "{said}");
}

#[test]
fn people_get_a_table_and_a_sentence() {
    let output = run(&["--requests", "30", "--disturbed", "0"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("without Onceward: 30 intents"), "progress without a terminal: {said}");
    let table = String::from_utf8_lossy(&output.stdout);
    for words in ["DUPLICATES", "duplicates prevented", "begin, p50 / p99", "--seed 1"] {
        assert!(table.contains(words), "{words}: {table}");
    }
}

#[test]
fn a_daemon_that_only_the_environment_names_is_left_alone() {
    let mut demo = onceward();
    // Nobody is there, so using it would fail.
    demo.env("ONCEWARD_URL", "onceward://127.0.0.1:1");
    let output = demo.args(["--requests", "5", "--disturbed", "0"]).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn wrong_questions_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder for this test");
    let file = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("the folder takes files");
        path
    };
    let good = r#"{"method":"POST","path":"/v2/parcels","request_content_type":null,"request_body":null,"status":201,"response_headers":[],"response_body":"{}"}"#;
    let bad = file("bad.jsonl", &format!("{good}\n{{\"method\":\n"));
    let empty = file("empty.jsonl", "\n");
    let missing = folder.path().join("missing.jsonl");
    let text = |path: &Path| path.to_str().expect("an ordinary name").to_owned();
    #[rustfmt::skip]
    let cases: [(&str, Vec<String>, i32, &str); 8] = [
        ("no intents",         vec!["--requests".into(), "0".into()],          2, "0 is not in 1..="),
        ("no number",          vec!["--requests".into(), "many".into()],       2, "many"),
        ("more than all",      vec!["--disturbed".into(), "101".into()],       2, "101 is not in 0..=100"),
        ("no such file",       vec!["--traffic".into(), text(&missing)],       2, "missing.jsonl cannot be read"),
        ("a bad line",         vec!["--traffic".into(), text(&bad)],           2, "bad.jsonl, line 2: "),
        ("nothing to play",    vec!["--traffic".into(), text(&empty)],         2, "empty.jsonl holds no call"),
        ("a store of its own", vec!["--url".into(), "mem://".into()],          2, "several share"),
        ("nobody there",       vec!["--url".into(), "onceward://127.0.0.1:1".into()], 20, "the store: unavailable"),
    ];
    for (why, arguments, code, says) in cases {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = run(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{why}: {said}");
        assert!(said.contains(says), "{why}: {said}");
        assert!(output.stdout.is_empty(), "{why}");
    }
}

#[test]
fn however_it_ends_no_process_is_left_behind() {
    let cases = [
        ("Ctrl-C", Signal::SIGINT, Some(130)),
        ("an orderly request", Signal::SIGTERM, Some(143)),
        ("no chance to clean up", Signal::SIGKILL, None),
    ];
    for (why, signal, code) in cases {
        let mut demo = onceward();
        // Far more than it will ever get to.
        demo.args(["--requests", "1000000", "--json"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut demo = demo.spawn().expect("the binary starts");
        let id = demo.id();
        // Daemon and two services.
        until("its processes run", || children(id).len() == 3);
        let started = children(id);
        kill(Pid::from_raw(id as i32), signal).expect("it still runs");
        assert_eq!(demo.wait().expect("it ends").code(), code, "{why}");
        let mark = format!("--parent\0{id}\0");
        until(why, || {
            let left: Vec<_> = started.iter().filter(|id| is_alive(**id)).collect();
            left.is_empty() && processes(&mark).is_empty()
        });
    }
}

/// Neither gone nor a zombie that nobody has waited for yet.
fn is_alive(id: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = status.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
    !matches!(state, None | Some("Z" | "X"))
}
