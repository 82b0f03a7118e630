//! `resolve`: every outcome, and who is asked what.

use serde_json::json;

use crate::daemon::{Daemon, fed};
use crate::terminal::typed;

const DIGEST: &str = "00112233445566778899aabbccddeeff";
const OTHER_DIGEST: &str = "ffeeddccbbaa99887766554433221100";

/// Fence and doubt number of `key`, as get shows them.
fn judged(daemon: &Daemon, key: &str) -> (String, String) {
    let (_, entry) = daemon.json(&["get", "--key", key]);
    let fence = entry["fence"].as_str().expect("a string").to_owned();
    (fence, entry["doubt_number"].to_string())
}

/// Begins `key` and leaves it in doubt.
fn doubt(daemon: &Daemon, key: &str, options: &[&str]) -> (String, String) {
    let token = daemon.acquire(key, options);
    let told = daemon.told(&["abandon", "--key", key, "--token", &token, "--in-doubt"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    judged(daemon, key)
}

#[test]
fn every_outcome_of_a_verdict_s8() {
    let mut daemon = Daemon::start(&["--test-clock"]);
    let (fence, doubt_number) = doubt(&daemon, "k", &["--fingerprint", DIGEST]);
    let resolve = |key, fence: &str, doubt: &str, verdict: &[&str], code: i32, word: &str| {
        let named = ["resolve", "--key", key, "--fence", fence, "--doubt", doubt];
        let (got, answer) = daemon.json(&[&named[..], verdict].concat());
        assert_eq!((got, &answer["outcome"]), (code, &json!(word)), "{key} {verdict:?}: {answer}");
        let told = daemon.told(&[&["get", "--key", key], &["--json"][..]].concat());
        told.json()["outcome"].as_str().expect("a word").to_owned()
    };
    let done = ["--completed", "--status", "201", "--body", "order 17", "--metadata", "a=1"];
    let other = ["--completed", "--status", "201", "--body", "another"];
    let never = ["--never-done"];

    let mismatch = [&done[..], &["--fingerprint", OTHER_DIGEST]].concat();
    assert_eq!(resolve("k", &fence, &doubt_number, &mismatch, 11, "mismatch"), "in_doubt");
    assert_eq!(resolve("k", &fence, "7", &done, 13, "fenced"), "in_doubt", "another doubt");
    assert_eq!(resolve("k", "1", &doubt_number, &done, 13, "fenced"), "in_doubt", "another fence");
    assert_eq!(resolve("k", &fence, &doubt_number, &done, 0, "resolved"), "completed");
    assert_eq!(resolve("k", &fence, &doubt_number, &done, 0, "resolved"), "completed", "S3");
    assert_eq!(resolve("k", &fence, &doubt_number, &other, 16, "conflict"), "completed", "S5");
    assert_eq!(resolve("k", &fence, &doubt_number, &never, 16, "conflict"), "completed", "S5");
    let (_, replay) = daemon.json(&["begin", "--key", "k", "--fingerprint", DIGEST]);
    assert_eq!(
        (&replay["outcome"], &replay["status"], &replay["body"], &replay["metadata"]),
        (&json!("replay"), &json!(201), &json!("order 17"), &json!([["a", "1"]]))
    );

    let (fence, doubt_number) = doubt(&daemon, "n", &[]);
    assert_eq!(resolve("n", &fence, &doubt_number, &never, 0, "resolved"), "absent");
    assert_eq!(resolve("n", &fence, &doubt_number, &never, 14, "gone"), "absent", "S3");

    let (fence, doubt_number) = doubt(&daemon, "l", &["--fingerprint", "later"]);
    let unbound = resolve("l", &fence, &doubt_number, &done, 18, "need_fingerprint");
    assert_eq!(unbound, "in_doubt", "S9");
    let bound = [&done[..], &["--fingerprint", DIGEST]].concat();
    assert_eq!(resolve("l", &fence, &doubt_number, &bound, 0, "resolved"), "completed");

    let (fence, doubt_number) = doubt(&daemon, "bare", &[]);
    assert_eq!(
        resolve("bare", &fence, &doubt_number, &["--completed"], 0, "resolved"),
        "completed"
    );
    let (_, replay) = daemon.json(&["begin", "--key", "bare"]);
    assert_eq!(replay["not_kept"], "declined", "without a body retries learn that it is done");

    daemon.acquire("lapsed", &["--lease", "10s"]);
    let (fence, _) = judged(&daemon, "lapsed");
    assert_eq!(resolve("lapsed", &fence, "1", &never, 10, "in_progress"), "reserved");
    assert_eq!(daemon.say("advance 10000\n"), "now 10000");
    let (fence, doubt_number) = judged(&daemon, "lapsed");
    let (got, answer) = daemon.json(&[
        "resolve",
        "--key",
        "lapsed",
        "--fence",
        &fence,
        "--doubt",
        &doubt_number,
        "--never-done",
    ]);
    assert_eq!((got, &answer["outcome"]), (0, &json!("resolved")), "under takeover too");
}

/// A verdict on one doubt cannot end the next one of the same acquisition.
#[test]
fn a_verdict_on_an_earlier_doubt_is_fenced() {
    let daemon = Daemon::start(&[]);
    let token = daemon.acquire("k", &[]);
    let fall = ["abandon", "--key", "k", "--token", &token, "--in-doubt"];
    assert_eq!(daemon.told(&fall).code, 0);
    let (fence, first) = judged(&daemon, "k");
    assert_eq!(daemon.told(&["renew", "--key", "k", "--token", &token]).code, 0);
    assert_eq!(daemon.told(&fall).code, 0);
    let named = ["resolve", "--key", "k", "--fence", &fence, "--doubt", &first, "--never-done"];
    let told = daemon.told(&named);
    assert_eq!(told.code, 13);
    assert!(told.stdout.starts_with("fenced\n\n") && told.stdout.contains("onceward get"));
}

#[test]
fn who_names_no_doubt_is_asked_at_a_terminal_and_refused_elsewhere() {
    let daemon = Daemon::start(&[]);
    doubt(&daemon, "hunter2-key", &[]);
    let named = ["resolve", "--key", "hunter2-key", "--never-done"];
    for more in [&[][..], &["--json"]] {
        let told = daemon.told(&[&named[..], more].concat());
        assert_eq!(told.code, 2, "nobody can be asked");
        let said = told.stdout + &told.stderr;
        assert!(said.contains("--fence and --doubt") && said.contains("--yes"), "{said}");
    }
    for answer in ["n\n", "\n", "yess\n"] {
        let (code, screen) = typed(daemon.command(&named), answer);
        assert_eq!(code, 1, "{screen}");
        assert!(screen.contains("in_doubt\n") && screen.contains("doubt number    1"), "{screen}");
        assert!(screen.contains("nothing was changed"), "{screen}");
        assert!(!screen.contains("hunter2"), "S16: {screen}");
        assert_eq!(daemon.told(&["get", "--key", "hunter2-key"]).code, 15, "still in doubt");
    }
    let (code, screen) = typed(daemon.command(&named), "y\n");
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("[y/N] ") && screen.contains("resolved\n"), "{screen}");
    assert_eq!(daemon.told(&["get", "--key", "hunter2-key"]).code, 12);

    let (fence, _) = doubt(&daemon, "k", &[]);
    let told = daemon.told(&["resolve", "--key", "k", "--fence", "1", "--never-done", "--yes"]);
    assert_eq!(told.code, 13, "--yes fills in what is missing and overrides nothing");
    let told = daemon.told(&["resolve", "--key", "k", "--never-done", "--yes", "--fence", &fence]);
    assert_eq!((told.code, told.stderr.as_str()), (0, ""));
}

#[test]
fn a_look_tells_what_cannot_be_resolved() {
    let daemon = Daemon::start(&[]);
    daemon.acquire("busy", &[]);
    let token = daemon.acquire("done", &[]);
    let complete = ["complete", "--key", "done", "--token", &token, "--body", "b"];
    assert_eq!(daemon.told(&complete).code, 0);
    let cases: [(&str, &[&str], i32, &str); 5] = [
        ("never", &["--never-done"], 12, "absent"),
        ("busy", &["--never-done"], 10, "in_progress"),
        ("done", &["--never-done"], 16, "conflict"),
        ("done", &["--completed", "--body", "c"], 16, "conflict"),
        ("done", &["--completed", "--body", "b"], 0, "resolved"),
    ];
    for (key, verdict, code, word) in cases {
        // Nothing is asked, for nothing would change.
        let (got, answer) = daemon.json(&[&["resolve", "--key", key], verdict].concat());
        assert_eq!((got, &answer["outcome"]), (code, &json!(word)), "{key} {verdict:?}");
    }
}

#[test]
fn a_verdict_is_typed_and_fits_what_is_typed_with_it() {
    let daemon = Daemon::start(&[]);
    doubt(&daemon, "k", &[]);
    let cases: [(&[&str], &str); 8] = [
        (&[], "--never-done"),
        (&["--completed", "--never-done"], "cannot be used with"),
        (&["--never-done", "--body", "b", "--yes"], "--never-done stores nothing"),
        (&["--never-done", "--status", "0", "--yes"], "--never-done stores nothing"),
        (&["--never-done", "--fingerprint", DIGEST, "--yes"], "--never-done stores nothing"),
        (&["--never-done", "--fence", "0", "--doubt", "1"], "--fence"),
        (&["--never-done", "--fence", "7", "--doubt", "-1"], "--doubt"),
        (&["--completed", "--body-file", "-"], "stdin"),
    ];
    for (arguments, want) in cases {
        let told = daemon.told(&[&["resolve", "--key", "k"], arguments].concat());
        assert_eq!(told.code, 2, "{arguments:?}: {}", told.stderr);
        assert!(told.stderr.contains(want), "{arguments:?}: {}", told.stderr);
    }
    let set = [("ONCEWARD_YES", "true"), ("ONCEWARD_NEVER_DONE", "true")];
    let output = daemon.command(&["resolve", "--key", "k"]).envs(set).output().expect("starts");
    assert_eq!(output.status.code(), Some(2), "no variable gives a verdict");
    assert_eq!(daemon.told(&["get", "--key", "k"]).code, 15, "nothing of this changed it");

    let arguments = ["resolve", "--key", "k", "--completed", "--body-file", "-", "--yes"];
    assert_eq!(fed(daemon.command(&arguments), b"from stdin").code, 0);
    assert_eq!(daemon.told(&["get", "--key", "k", "--body-only"]).stdout, "from stdin");
}
