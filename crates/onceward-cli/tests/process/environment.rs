//! `ONCEWARD_*`: below flags, above defaults, and no way for a secret into any output.

use crate::daemon::Daemon;

#[test]
fn variables_stand_in_for_options_and_flags_go_first() {
    let daemon = Daemon::start(&[]);
    let environment = [
        ("ONCEWARD_KEY", "k"),
        ("ONCEWARD_SCOPE", "s"),
        ("ONCEWARD_LEASE", "20s"),
        ("ONCEWARD_RETENTION", "1h"),
        ("ONCEWARD_JSON", "yes"),
    ];
    let output = daemon.command(&["begin"]).envs(environment).output().expect("starts");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["outcome"], "acquired");
    assert_eq!(
        (&answer["lease_left_ms"], &answer["retention_left_ms"]),
        (&20_000.into(), &3_600_000.into())
    );

    let told = daemon.told(&["get", "--key", "k", "--scope", "s"]);
    assert_eq!(told.code, 10, "the environment named this key");
    let output = daemon.command(&["get", "--key", "other"]).envs(environment).output();
    assert_eq!(output.expect("starts").status.code(), Some(12), "the flag goes first");
    let output = daemon.command(&["begin", "--lease", "x"]).envs(environment).output();
    let output = output.expect("starts");
    assert_eq!(output.status.code(), Some(2));
    let error: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON, as asked");
    assert_eq!(error["error"]["code"], "bad_input");

    let token = answer["token"].as_str().expect("a token");
    let output = daemon
        .command(&["complete", "--no-keep"])
        .envs(environment)
        .env("ONCEWARD_TOKEN", token)
        .output();
    assert_eq!(output.expect("starts").status.code(), Some(0));
}

#[test]
fn secrets_in_the_environment_show_in_no_help_and_no_error_s16() {
    let daemon = Daemon::start(&[]);
    let environment = [
        ("ONCEWARD_KEY", "hunter2-key"),
        ("ONCEWARD_SCOPE", "hunter2-scope"),
        ("ONCEWARD_TOKEN", "7-hunter2"),
        ("ONCEWARD_BODY", "hunter2-body"),
        ("ONCEWARD_FINGERPRINT", "hunter2"),
        ("ONCEWARD_ATTEMPT", "hunter2"),
        ("ONCEWARD_CREDENTIAL", "hunter2"),
        ("ONCEWARD_METADATA", "hunter2"),
    ];
    for arguments in [
        &["begin", "--help"][..],
        &["complete", "--help"],
        &["renew", "-h"],
        &["begin"],
        &["begin", "--attempt", "00112233445566778899aabbccddeeff"],
        &["complete"],
        &["complete", "--lease", "x"],
        &["renew"],
        &["abandon"],
        &["get", "--wait", "x"],
        &["wait", "--log", "trace"],
        &["resolve", "--never-done"],
        &["resolve", "--completed", "--yes"],
        &["resolve", "--help"],
        &["forget"],
        &["forget", "--yes"],
        &["list", "--state", "x"],
        &["get", "--log", "trace"],
    ] {
        let output = daemon.command(arguments).envs(environment).output().expect("starts");
        let shown = [output.stdout, output.stderr].concat();
        let shown = String::from_utf8_lossy(&shown);
        assert!(!shown.contains("hunter2"), "{arguments:?}: {shown}");
    }
}

#[test]
fn the_log_holds_no_key_at_any_level_s16() {
    let mut daemon = Daemon::start(&["--log", "trace"]);
    let token = daemon.acquire("hunter2-key", &["--scope", "hunter2-scope"]);
    let attempt = token.split_once('-').expect("a token").1.to_owned();
    let arguments = ["complete", "--key", "hunter2-key", "--scope", "hunter2-scope"];
    let told =
        daemon.told(&[&arguments[..], &["--token", &token, "--body", "hunter2-body"]].concat());
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert_eq!(daemon.told(&["begin", "--key", "hunter2-key", "--lease", "1ms"]).code, 2);
    let named = ["--key", "hunter2-key", "--scope", "hunter2-scope", "--log", "trace"];
    for (command, code) in
        [(&["wait"][..], 0), (&["resolve", "--yes", "--never-done"], 16), (&["forget", "--yes"], 0)]
    {
        let told = daemon.told(&[command, &named[..]].concat());
        assert_eq!(told.code, code, "{command:?}: {}", told.stderr);
        assert!(!told.stderr.is_empty(), "{command:?}: it does log");
        assert!(!told.stderr.contains("hunter2"), "{command:?}: {}", told.stderr);
    }
    daemon.acquire("hunter2-key", &["--scope", "hunter2-scope"]);
    let whole = ["forget", "--all-keys", "--yes", "--scope", "hunter2-scope", "--log", "trace"];
    for command in [&["list", "--log", "trace"][..], &whole] {
        let told = daemon.told(command);
        assert!(!told.stderr.is_empty(), "{command:?}: it does log");
        assert!(!told.stderr.contains("hunter2"), "{command:?}: {}", told.stderr);
    }
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(daemon.ended().success());
    daemon.await_log("drained");
    let log = daemon.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "it does log: {log}");
    assert!(!log.contains("hunter2") && !log.contains(&attempt), "{log}");
}
