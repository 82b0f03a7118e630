//! Every command, and every exit code that a daemon of this version can cause. Denied, not leader,
//! result unavailable and expired are reserved (S23): unit tests hold their codes.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use serde_json::{Value, json};

use crate::daemon::{Daemon, fed, onceward, told};

const DIGEST: &str = "00112233445566778899aabbccddeeff";
const OTHER_DIGEST: &str = "ffeeddccbbaa99887766554433221100";

/// One command per row against one daemon, in order: (why, arguments, exit code, word).
type Row<'a> = (&'a str, &'a [&'a str], i32, &'a str);

fn expect(daemon: &Daemon, rows: &[Row]) {
    for (why, arguments, code, word) in rows {
        let (got, answer) = daemon.json(arguments);
        let told = answer["outcome"].as_str().or(answer["error"]["code"].as_str());
        assert_eq!((got, told), (*code, Some(*word)), "{why}: {answer}");
        // People get the same code without --json.
    }
}

#[test]
fn a_key_from_begin_to_replay() {
    let daemon = Daemon::start(&[]);
    expect(&daemon, &[("nothing is known", &["get", "--key", "k"], 12, "absent")]);
    let token = daemon.acquire("k", &["--fingerprint", DIGEST]);
    let complete = |body: &'static str| {
        vec!["complete", "--key", "k", "--body", body, "--status", "201", "--token"]
    };
    let with = |mut arguments: Vec<&'static str>, token: &'static str| {
        arguments.push(token);
        arguments
    };
    let token: &'static str = token.leak();
    expect(
        &daemon,
        &[
            ("its owner works", &["get", "--key", "k"], 10, "reserved"),
            (
                "another asks (S2)",
                &["begin", "--key", "k", "--fingerprint", DIGEST],
                10,
                "in_progress",
            ),
            (
                "another payload (S1)",
                &["begin", "--key", "k", "--fingerprint", OTHER_DIGEST],
                11,
                "mismatch",
            ),
            ("the owner is still there", &["renew", "--key", "k", "--token", token], 0, "renewed"),
            (
                "another payload's digest",
                &["renew", "--key", "k", "--token", token, "--fingerprint", OTHER_DIGEST],
                11,
                "mismatch",
            ),
            ("the result", &with(complete("made"), token), 0, "completed"),
            ("its repeat (S3)", &with(complete("made"), token), 0, "already_completed"),
            ("another result (S5)", &with(complete("other"), token), 16, "conflict"),
            (
                "too late to abandon (S5)",
                &["abandon", "--key", "k", "--token", token],
                16,
                "conflict",
            ),
            ("too late to renew", &["renew", "--key", "k", "--token", token], 16, "conflict"),
            ("a retry", &["begin", "--key", "k", "--fingerprint", DIGEST], 0, "replay"),
            (
                "another payload, later",
                &["begin", "--key", "k", "--fingerprint", OTHER_DIGEST],
                11,
                "mismatch",
            ),
            ("a look", &["get", "--key", "k"], 0, "completed"),
            ("another scope is another key", &["get", "--key", "k", "--scope", "s"], 12, "absent"),
            ("the same key as digits", &["get", "--key-hex", "6b"], 0, "completed"),
            ("figures", &["stats"], 0, "stats"),
            ("is it there?", &["ping", "--count", "3"], 0, "pong"),
        ],
    );
}

#[test]
fn tokens_that_own_nothing_any_more_s4() {
    let mut daemon = Daemon::start(&["--test-clock"]);
    let old = daemon.acquire("k", &["--lease", "10s"]);
    assert_eq!(daemon.say("advance 10000\n"), "now 10000");
    let new = daemon.acquire("k", &[]);
    assert_ne!(old, new);
    let gone = daemon.acquire("g", &["--attempt", DIGEST]);
    expect(
        &daemon,
        &[
            (
                "taken over",
                &["complete", "--key", "k", "--token", &old, "--body", "b"],
                13,
                "fenced",
            ),
            ("taken over", &["renew", "--key", "k", "--token", &old], 13, "fenced"),
            ("taken over", &["abandon", "--key", "k", "--token", &old], 13, "fenced"),
            ("another key's token", &["renew", "--key", "k", "--token", &gone], 13, "fenced"),
            ("not done", &["abandon", "--key", "g", "--token", &gone], 0, "abandoned"),
            ("its repeat (S3)", &["abandon", "--key", "g", "--token", &gone], 14, "gone"),
            ("too late", &["complete", "--key", "g", "--token", &gone, "--no-keep"], 14, "gone"),
            ("too late", &["renew", "--key", "g", "--token", &gone], 14, "gone"),
            (
                "a late duplicate of that begin (S3)",
                &["begin", "--key", "g", "--attempt", DIGEST],
                14,
                "gone",
            ),
        ],
    );
}

#[test]
fn doubts_fingerprints_and_room() {
    let daemon = Daemon::start(&["--memory", "1MiB"]);
    let doubt = daemon.acquire("d", &[]);
    let later = daemon.acquire("l", &["--fingerprint", "later"]);
    let bound = daemon.acquire("b", &["--fingerprint", DIGEST]);
    let thin = daemon.acquire("n", &[]);
    expect(
        &daemon,
        &[
            (
                "may be done (S8)",
                &["abandon", "--key", "d", "--token", &doubt, "--in-doubt"],
                0,
                "abandoned",
            ),
            ("nobody runs again (S8)", &["begin", "--key", "d"], 15, "in_doubt"),
            ("a look", &["get", "--key", "d"], 15, "in_doubt"),
            (
                "which payload? (S9)",
                &["complete", "--key", "l", "--token", &later, "--body", "x"],
                18,
                "need_fingerprint",
            ),
            (
                "this one",
                &[
                    "complete",
                    "--key",
                    "l",
                    "--token",
                    &later,
                    "--body",
                    "x",
                    "--fingerprint",
                    DIGEST,
                ],
                0,
                "completed",
            ),
            (
                "bound by another (S9)",
                &["begin", "--key", "b", "--fingerprint", "later"],
                18,
                "need_fingerprint",
            ),
            (
                "not what was asked",
                &[
                    "complete",
                    "--key",
                    "b",
                    "--token",
                    &bound,
                    "--body",
                    "x",
                    "--fingerprint",
                    OTHER_DIGEST,
                ],
                11,
                "mismatch",
            ),
            ("no room (S11)", &["begin", "--key", "r", "--result-hint", "1MiB"], 17, "refused"),
            (
                "nothing to keep (S12)",
                &["complete", "--key", "n", "--token", &thin, "--no-keep", "--status", "204"],
                0,
                "completed",
            ),
        ],
    );
    let told = daemon.told(&["get", "--key", "n", "--body-only"]);
    assert_eq!((told.code, told.stdout.as_str()), (25, ""), "S12: {}", told.stderr);
    let told = daemon.told(&["get", "--key", "d", "--body-only"]);
    assert_eq!((told.code, told.stdout.as_str()), (15, ""), "{}", told.stderr);
}

#[test]
fn a_begin_repeated_with_its_attempt_is_the_same_begin_s3() {
    let daemon = Daemon::start(&[]);
    let first = daemon.acquire("k", &["--attempt", DIGEST]);
    assert_eq!(daemon.acquire("k", &["--attempt", DIGEST]), first);
    assert!(first.ends_with(&format!("-{DIGEST}")));
    let (_, answer) = daemon.json(&["begin", "--key", "other"]);
    let attempt = answer["attempt_id"].as_str().expect("it is printed");
    let token = daemon.acquire("other", &["--attempt", attempt]);
    assert_eq!(Value::from(token), answer["token"]);
    let (_, other) = daemon.json(&["begin", "--key", "third"]);
    assert_ne!(other["attempt_id"], attempt, "a new begin has an attempt of its own");
}

#[test]
fn results_of_any_bytes_come_back_as_they_are() {
    let daemon = Daemon::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let bodies: [(&str, Vec<u8>); 4] = [
        ("empty", Vec::new()),
        ("text", "order ä\n".into()),
        ("bytes", (0..=255).collect()),
        ("at the limit (S12)", vec![b'x'; 1024 * 1024]),
    ];
    for (key, body) in bodies {
        let token = daemon.acquire(key, &[]);
        let file = folder.path().join("token");
        std::fs::write(&file, format!("{token}\n")).expect("a file");
        let file = file.to_str().expect("UTF-8");
        let command = daemon.command(&[
            "complete",
            "--key",
            key,
            "--token-file",
            file,
            "--body-file",
            "-",
            "--metadata",
            "a=1",
            "--metadata",
            "a==2",
        ]);
        let told = fed(command, &body);
        assert_eq!(told.code, 0, "{key}: {}", told.stderr);
        let output =
            daemon.command(&["get", "--key", key, "--body-only"]).output().expect("starts");
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stdout == body, "{key}: {} bytes came back", output.stdout.len());
        let (_, answer) = daemon.json(&["begin", "--key", key]);
        assert_eq!(answer["metadata"], json!([["a", "1"], ["a", "=2"]]), "{key}");
    }
    let token = daemon.acquire("over", &[]);
    let over = vec![b'x'; 1024 * 1024 + 1];
    let command = daemon.command(&[
        "complete",
        "--key",
        "over",
        "--token",
        &token,
        "--body-file",
        "-",
        "--json",
    ]);
    let told = fed(command, &over);
    assert_eq!((told.code, &told.json()["not_kept"]), (0, &json!("too_large")), "S12");

    let token = daemon.acquire("token-from-stdin", &[]);
    let arguments = ["complete", "--key", "token-from-stdin", "--token-file", "-", "--body", "b"];
    assert_eq!(fed(daemon.command(&arguments), token.as_bytes()).code, 0);
}

#[test]
fn nobody_there_is_told_quickly() {
    // A port that was free a moment ago and that nobody else is given soon.
    let port =
        TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let url = format!("onceward://127.0.0.1:{port}/default");
    let began = std::time::Instant::now();
    let told = told(&["begin", "--key", "secret-key", "--url", &url]);
    assert_eq!(told.code, 20, "{}", told.stderr);
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(told.stderr.contains(&url) && told.stderr.contains("repeat"), "{}", told.stderr);
    assert!(told.stdout.starts_with("attempt id"), "so that it can be repeated: {}", told.stdout);
    assert!(!told.stderr.contains("secret-key"), "S16: {}", told.stderr);

    let told = Told::json_of(&["begin", "--key", "k", "--url", &url]);
    let error = &told["error"];
    assert_eq!((&error["code"], &error["exit_code"]), (&json!("unavailable"), &json!(20)));
    assert_eq!(error["retryable"], true);
    assert_eq!(told["attempt_id"].as_str().map(str::len), Some(32));
    let told = Told::json_of(&["ping", "--url", "onceward+unix:///nowhere/socket"]);
    assert_eq!(told["error"]["exit_code"], 20);
}

struct Told;

impl Told {
    fn json_of(arguments: &[&str]) -> Value {
        told(&[arguments, &["--json"]].concat()).json()
    }
}

#[test]
fn another_program_is_told_from_a_daemon() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("onceward://{}", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = stream;
            let mut start = [0; 16];
            let _ = stream.read_exact(&mut start);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
        }
    });
    let told = told(&["ping", "--url", &url, "--json"]);
    assert_eq!(
        (told.code, &told.json()["error"]["code"]),
        (24, &json!("protocol")),
        "{}",
        told.stdout
    );
}

#[test]
fn stdout_may_be_closed_or_full() {
    let daemon = Daemon::start(&[]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = daemon.command(&["stats"]).stdout(writer).output().expect("starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "nobody reads, nobody is told: {stderr}");
    assert_eq!(stderr, "");
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let output = daemon.command(&["stats"]).stdout(full).output().expect("starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("stdout cannot be written"), "{stderr}");

    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = onceward().arg("--help").stdout(writer).output().expect("starts");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn the_embedded_store_answers_too() {
    let answer = Told::json_of(&["begin", "--key", "k", "--url", "mem://"]);
    assert_eq!(answer["outcome"], "acquired");
}
