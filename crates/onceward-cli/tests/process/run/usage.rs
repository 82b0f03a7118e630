//! Exit codes 125 to 127, and what the command finds around it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{DIGEST, Place, Ran, piped, report, state};
use crate::daemon::Daemon;

fn file(place: &Place, name: &str, text: &str, mode: u32) {
    let path = place.path().join(name);
    fs::write(&path, text).expect("ours");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}

#[test]
fn commands_that_cannot_start_leave_the_key_free() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    file(&place, "plain", "echo run >> runs", 0o644);
    file(&place, "orphan", "#!/no/such/interpreter\n", 0o755);
    file(&place, "good", "#!/bin/sh\necho run >> runs; exit 126\n", 0o755);
    #[rustfmt::skip]
    let cases = [
        ("nowhere",                 "no-such-command", 127, "not_found"),
        ("nowhere, as a path",      "./no-such",       127, "not_found"),
        ("no name at all",          "",                127, "not_found"),
        ("not executable",          "./plain",         126, "not_executable"),
        ("a folder",                "/tmp",            126, "not_executable"),
        ("no interpreter for it",   "./orphan",        126, "not_executable"),
    ];
    for policy in ["keep", "abandon", "in-doubt"] {
        for (why, word, code, outcome) in cases {
            let options = ["--key", "k", "--on-failure", policy];
            let ran = Ran::of(&mut place.words(&daemon, &options, &[word]));
            ran.expect_own(why, code, outcome);
            assert_eq!(ran.stderr().lines().count(), 1, "{why}: {}", ran.stderr());
            assert_eq!(state(&daemon, "k"), "absent", "{why}: {policy}");
        }
    }
    let ran = Ran::of(&mut place.words(&daemon, &["--key", "k"], &["./good"]));
    assert_eq!((ran.code, ran.stderr(), place.runs()), (Some(126), "", 1), "its own 126");
}

/// A predecessor may have done some of the work, so what never started here frees no key.
#[test]
fn a_successor_that_cannot_start_leaves_the_key_to_its_lease() {
    let (mut daemon, place) = (Daemon::start(&["--test-clock"]), Place::new());
    file(&place, "orphan", "#!/no/such/interpreter\n", 0o755);
    daemon.acquire("k", &["--lease", "10s", "--fingerprint", DIGEST]);
    assert_eq!(daemon.say("advance 10000\n"), "now 10000");
    let options =
        ["--key", "k", "--fingerprint", DIGEST, "--on-failure", "abandon", "--report", "report"];
    let ran = Ran::of(&mut place.words(&daemon, &options, &["./orphan"]));
    ran.expect_own("no interpreter for it", 126, "not_executable");
    assert_eq!(state(&daemon, "k"), "reserved");
    let told = report(&place, "report");
    assert_eq!((&told["key"], &told["ran"]), (&json!("reserved"), &json!(false)));
}

/// The call may have died before the launcher asked to die with it.
#[test]
fn an_orphaned_launcher_starts_nothing() {
    let launch = ["run-process", "launch", "--parent", "1", "--", "/bin/echo", "echo", "started"];
    let told = crate::daemon::told(&launch);
    assert_eq!((told.code, told.stdout.as_str()), (1, ""));
}

#[test]
fn bad_usage_exits_125_in_one_line() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let cases: &[(&str, &[&str], &str)] = &[
        ("no command", &["run", "--key", "k"], "COMMAND"),
        ("no key", &["run", "--", "true"], "--key"),
        ("empty key", &["run", "--key", "", "--", "true"], "key has 0 bytes"),
        ("unknown option", &["run", "--key", "k", "--nope", "--", "true"], "--nope"),
        ("unknown option in front", &["--nope", "run", "--key", "k", "--", "true"], "--nope"),
        ("no --", &["run", "--key", "k", "true"], "true"),
        ("a time without a unit", &["run", "--key", "k", "--lease", "30", "--", "true"], "30s"),
        ("the store's limit", &["run", "--key", "k", "--lease", "0s", "--", "true"], "lease is 0"),
        ("too much", &["run", "--key", "k", "--output-max", "17MiB", "--", "true"], "16MiB"),
        (
            "later",
            &["run", "--key", "k", "--fingerprint", "later", "--", "true"],
            "none or a digest",
        ),
        ("no digest", &["run", "--key", "k", "--fingerprint", "xy", "--", "true"], "hexadecimal"),
        ("a wrong URL", &["run", "--url", "http://h", "--key", "k", "--", "true"], "--url"),
        ("a store of its own", &["run", "--url", "mem://", "--key", "k", "--", "true"], "daemon"),
        ("a wrong log", &["run", "--log", "=,=", "--key", "k", "--", "true"], "log"),
        ("a wrong file", &["run", "--config", "no/file", "--key", "k", "--", "true"], "no/file"),
    ];
    for (why, arguments, said) in cases {
        let mut command = daemon.command(arguments);
        command.env("PATH", "/usr/bin:/bin").current_dir(place.path());
        let ran = Ran::of(piped(&mut command));
        ran.expect_own(why, 125, "bad_input");
        assert_eq!(ran.stderr().lines().count(), 1, "{why}: {}", ran.stderr());
        assert!(ran.stderr().contains(said), "{why}: {}", ran.stderr());
        assert!(ran.stdout.is_empty(), "{why}");
        assert_eq!(state(&daemon, "k"), "absent", "{why}");
    }
    // Other commands keep theirs, also where a word of theirs is run.
    assert_eq!(daemon.told(&["get", "--key", "run", "--nope"]).code, 2);
    let json = Ran::of(piped(&mut daemon.command(&["run", "--json", "--key", "k"])));
    let told: serde_json::Value = serde_json::from_slice(&json.stderr).expect("JSON on stderr");
    assert_eq!((json.code, &told["exit_code"]), (Some(125), &125.into()));
    assert!(json.stdout.is_empty(), "stdout is the command's");
}

#[test]
fn the_command_finds_its_facts_and_no_secret_s16() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let mut command = place.words(&daemon, &["--key", "k"], &["env"]);
    let secrets = ["ONCEWARD_CREDENTIAL", "ONCEWARD_TOKEN", "ONCEWARD_ATTEMPT"];
    for secret in secrets {
        command.env(secret, "hunter2");
    }
    let ran = Ran::of(command.env("MINE", "kept"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr());
    let (_, stored) = daemon.json(&["get", "--key", "k"]);
    let fence = stored["fence"].as_str().expect("a string");
    let want = [
        "MINE=kept".to_owned(),
        format!("ONCEWARD_URL={}", daemon.url()),
        format!("ONCEWARD_RUN_FENCE={fence}"),
        "ONCEWARD_RUN_ATTEMPT_NUMBER=1".to_owned(),
        // Of namespace default, an empty scope and this key, as the client documents it.
        "ONCEWARD_RUN_DERIVED_KEY=60865ca9fa24d117ba3ab84faf5995f625af53168d2a1f4547abe16f4c5e5a95"
            .to_owned(),
    ];
    for line in want {
        assert!(ran.stdout().lines().any(|got| got == line), "{line}: {}", ran.stdout());
    }
    assert!(!ran.stdout().contains("hunter2"), "{}", ran.stdout());
    assert!(!ran.stdout().contains("MARK"), "nor what is the launcher's: {}", ran.stdout());
}

/// The name as typed is the command's own name, and its arguments are bytes.
#[test]
fn words_reach_the_command_as_typed() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let words = ["sh", "-c", "echo \"$0|$1|$2|$3\"; tr '\\0' '\\n' < /proc/$$/cmdline | head -1"];
    let mut command = place.words(&daemon, &["--key", "k"], &words);
    command.args(["zero", "--json", "a b", ""]);
    assert_eq!(Ran::of(&mut command).stdout(), "zero|--json|a b|\nsh\n");
    let bytes = std::os::unix::ffi::OsStringExt::from_vec(b"\xff\xfe".to_vec());
    let bytes: std::ffi::OsString = bytes;
    let mut command = place.words(&daemon, &["--key", "bytes"], &["printf", "%s"]);
    assert_eq!(Ran::of(command.arg(bytes)).stdout, b"\xff\xfe");
}
