//! Bad input: exit 2, a message that names the field and what to write instead, and no secret.

use crate::daemon::{Daemon, told};

const TOKEN: &str = "7-00112233445566778899aabbccddeeff";

#[test]
fn bad_input_exits_2_and_says_what_to_write() {
    let daemon = Daemon::start(&[]);
    let long = "k".repeat(256);
    let begin = ["begin", "--key", "k"];
    let complete = ["complete", "--key", "k", "--token", TOKEN];
    let cases: &[(&str, &[&str], &[&str], &str)] = &[
        ("no key", &["begin"], &[], "--key"),
        ("empty key", &["begin", "--key", ""], &[], "key has 0 bytes: send 1 to 255"),
        ("key of 256 bytes", &["get", "--key", &long], &[], "key has 256 bytes"),
        (
            "scope of 256 bytes",
            &["get", "--key", "k", "--scope", &long],
            &[],
            "scope has 256 bytes",
        ),
        ("half a byte", &["get", "--key-hex", "0"], &[], "--key-hex"),
        ("both keys", &["get", "--key", "a", "--key-hex", "00"], &[], "cannot be used with"),
        ("lease without unit", &begin, &["--lease", "30"], "500ms, 30s"),
        ("negative lease", &begin, &["--lease", "-5s"], "negative"),
        ("empty lease", &begin, &["--lease", ""], "empty"),
        ("overflowing lease", &begin, &["--lease", "99999999999999999999h"], "--lease"),
        ("zero lease (S20)", &begin, &["--lease", "0s"], "lease is 0 ms: ask for 100 ms"),
        (
            "too long a lease (S20)",
            &begin,
            &["--lease", "25h", "--retention", "48h"],
            "ask for 100 ms to 86400000 ms",
        ),
        ("a lease no clock can hold", &begin, &["--lease", "5000000000h"], "lease is"),
        ("retention below lease (S6)", &begin, &["--retention", "10s"], "shorter than lease"),
        ("negative wait", &begin, &["--wait", "-1s"], "negative"),
        ("no policy", &begin, &["--policy", "hope"], "takeover"),
        ("short digest", &begin, &["--fingerprint", "abcd"], "fingerprint has 2 bytes"),
        (
            "no digest",
            &begin,
            &["--fingerprint", "zz112233445566778899aabbccddeeff"],
            "is not hexadecimal",
        ),
        ("no digits, and few of them", &begin, &["--fingerprint", "next"], "is not hexadecimal"),
        ("no attempt", &begin, &["--attempt", "123"], "32 hexadecimal digits"),
        ("no size", &begin, &["--result-hint", "much"], "64KiB"),
        ("too large a hint", &begin, &["--result-hint", "1GiB"], "result_hint"),
        ("no result", &complete, &[], "--body"),
        ("two results", &complete, &["--body", "a", "--no-keep"], "cannot be used with"),
        ("no file", &complete, &["--body-file", "/nowhere/body"], "/nowhere/body cannot be read"),
        ("no pair", &complete, &["--body", "a", "--metadata", "name"], "NAME=VALUE"),
        ("status over 65535", &complete, &["--body", "a", "--status", "65536"], "--status"),
        ("status below 0", &complete, &["--body", "a", "--status", "-1"], "0..=65535"),
        ("no token", &["renew", "--key", "k"], &[], "--token"),
        ("half a token", &["renew", "--key", "k", "--token", "7"], &[], "FENCE-HEX"),
        (
            "no token file",
            &["renew", "--key", "k", "--token-file", "/nowhere"],
            &[],
            "/nowhere cannot be read",
        ),
        (
            "stdin twice",
            &["complete", "--key", "k", "--token-file", "-", "--body-file", "-"],
            &[],
            "stdin",
        ),
        ("no count", &["ping", "--count", "0"], &[], "--count"),
        ("no URL", &["ping", "--url", "localhost"], &[], "onceward://HOST"),
        (
            "a password in the URL",
            &["ping", "--url", "onceward://u:hunter2@h"],
            &[],
            "ONCEWARD_CREDENTIAL",
        ),
        ("no namespace", &["ping", "--url", "onceward://h/A"], &[], "namespace"),
        ("no time", &["ping", "--timeout", "0s"], &[], "--timeout is out of range"),
        (
            "more time than a clock can hold",
            &["ping", "--connect-timeout", "584542046090y"],
            &[],
            "--connect-timeout is out of range: give more than zero and at most 24 h",
        ),
        ("no filter", &["ping", "--log", "a=b=c"], &[], "log filter"),
        ("no command", &["fly"], &[], "fly"),
        ("nothing", &[], &[], "onceward --help"),
    ];
    for (why, arguments, more, want) in cases {
        let told = daemon.told(&[*arguments, *more].concat());
        assert_eq!(told.code, 2, "{why}: {}", told.stderr);
        assert!(told.stderr.contains(want), "{why}: {want}: {}", told.stderr);
        assert_eq!(told.stdout, "", "{why}");
        assert!(!told.stderr.contains("hunter2"), "S16: {}", told.stderr);
        assert!(!told.stderr.contains("demo-process"), "{why}: that is not for people");
        assert!(!told.stderr.contains("bad input: "), "{why}: wherever it was found, one form");

        let told = daemon.told(&[&["--json"], *arguments, *more].concat());
        assert_eq!(told.code, 2, "{why}");
        let error = &told.json()["error"];
        assert_eq!(
            (&error["code"], &error["retryable"]),
            (&"bad_input".into(), &false.into()),
            "{why}"
        );
        assert!(!error["message"].as_str().expect("a text").is_empty(), "{why}");
        assert_eq!(told.stderr, "", "{why}: all of it is on stdout");
    }
    assert_eq!(daemon.figure("entries"), 0, "bad input never changes state");
}

#[test]
fn a_key_that_is_no_text_is_told_where_to_go() {
    use std::os::unix::ffi::OsStrExt as _;
    let key = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    let onceward = env!("CARGO_BIN_EXE_onceward");
    let output = std::process::Command::new(onceward).args(["get", "--key"]).arg(key).output();
    let output = output.expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--key-hex"), "{said}");
}

#[test]
fn errors_of_the_store_name_their_field_s20() {
    let daemon = Daemon::start(&[]);
    for (arguments, field) in [
        (["begin", "--key", "k", "--lease", "1ms"], "lease"),
        (["begin", "--key", "k", "--retention", "31d"], "retention"),
        (["begin", "--key", "k", "--checkpoint-hint", "65KiB"], "checkpoint"),
    ] {
        let (code, answer) = daemon.json(&arguments);
        assert_eq!((code, &answer["error"]["field"]), (2, &field.into()), "{answer}");
    }
}

#[test]
fn help_and_version_are_answers() {
    let version = told(&["-V"]);
    assert_eq!(
        (version.code, version.stdout.as_str()),
        (0, concat!("onceward ", env!("CARGO_PKG_VERSION"), "\n"))
    );
    let help = told(&["--help"]);
    assert_eq!(help.code, 0);
    for want in ["Exit codes:", "in_progress", "ONCEWARD_CREDENTIAL", "onceward get --key"] {
        assert!(help.stdout.contains(want), "{want}: {}", help.stdout);
    }
    for command in [
        "config",
        "check-config",
        "completions",
        "man",
        "serve",
        "demo",
        "run",
        "ping",
        "begin",
        "complete",
        "abandon",
        "renew",
        "get",
        "stats",
        "wait",
        "list",
        "resolve",
        "forget",
    ] {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{command}: {}", help.stdout);
        let help = told(&[command, "--help"]);
        assert_eq!(help.code, 0, "{command}");
        let example = help.stdout.contains("onceward ") || command == "stats";
        assert!(example, "{command} has no example: {}", help.stdout);
    }
}
