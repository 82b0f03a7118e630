//! What becomes of the key, for each way in which a command may end.

use serde_json::json;

use super::{DIGEST, Place, report, state};
use crate::daemon::Daemon;

/// Runs; ends as the file `how` says.
const SCRIPT: &str = "echo run >> runs; eval \"$(cat how)\"";

#[test]
fn every_end_under_every_choice() {
    type Case<'a> = (&'a str, &'a str, i32, &'a str, &'a str, (i32, &'a str));
    // On failure, how it ends, its exit status, the remark, the key afterwards, what the next gets.
    #[rustfmt::skip]
    let cases: [Case; 9] = [
        ("keep",     "exit 0",      0,   "",          "completed", (0, "")),
        ("keep",     "exit 255",    255, "",          "completed", (255, "")),
        ("keep",     "kill -9 $$",  137, "ended",     "reserved",  (125, "in_progress")),
        ("abandon",  "exit 0",      0,   "",          "completed", (0, "")),
        ("abandon",  "exit 3",      3,   "",          "absent",    (0, "")),
        ("abandon",  "kill $$",     143, "",          "absent",    (0, "")),
        ("in-doubt", "exit 0",      0,   "",          "completed", (0, "")),
        ("in-doubt", "exit 3",      3,   "in_doubt",  "in_doubt",  (125, "in_doubt")),
        ("in-doubt", "kill -HUP $$", 129, "in_doubt", "in_doubt",  (125, "in_doubt")),
    ];
    let daemon = Daemon::start(&["--test-clock"]);
    for (on_failure, how, code, remark, key_state, (next_code, next_word)) in cases {
        let (why, key) = (format!("{on_failure}: {how}"), format!("{on_failure} {how}"));
        let place = Place::new();
        let options = ["--key", &key, "--on-failure", on_failure, "--report", "report"];
        std::fs::write(place.path().join("how"), how).expect("ours");
        let ran = place.run(&daemon, &options, SCRIPT);
        if remark.is_empty() {
            assert_eq!((ran.code, ran.stderr()), (Some(code), ""), "{why}");
        } else {
            ran.expect_own(&why, code, remark);
        }
        assert_eq!(state(&daemon, &key), key_state, "{why}");
        let told = report(&place, "report");
        assert_eq!((&told["outcome"], &told["key"]), (&json!("ran"), &json!(key_state)), "{why}");

        std::fs::write(place.path().join("how"), "exit 0").expect("ours");
        let next = place.run(&daemon, &options, SCRIPT);
        let runs_again = key_state == "absent";
        assert_eq!(place.runs(), if runs_again { 2 } else { 1 }, "{why}");
        if next_word.is_empty() {
            assert_eq!((next.code, next.stderr()), (Some(next_code), ""), "{why}");
        } else {
            next.expect_own(&why, next_code, next_word);
        }
    }
}

/// After a death that says nothing the end of the lease decides, by the policy (S8).
#[test]
fn the_end_of_the_lease_decides_after_a_death_s8() {
    let cases: [(&str, &[&str], i32, &str, usize); 3] = [
        ("takeover", &[], 0, "", 2),
        ("in doubt by policy", &["--policy", "in-doubt"], 125, "in_doubt", 1),
        ("in doubt, yet takeover", &["--on-failure", "in-doubt", "--policy", "takeover"], 0, "", 2),
    ];
    for (why, options, code, word, runs) in cases {
        let (mut daemon, place) = (Daemon::start(&["--test-clock"]), Place::new());
        let options = [&["--key", "k", "--lease", "10s"], options].concat();
        // By hand, as if onceward run itself had died: nobody gives the key up.
        let policy =
            if options.contains(&"--policy") { options[options.len() - 1] } else { "takeover" };
        daemon.acquire("k", &["--lease", "10s", "--fingerprint", DIGEST, "--policy", policy]);
        let options = [&options[..], &["--fingerprint", DIGEST]].concat();
        let script = "echo run >> runs; echo $ONCEWARD_RUN_ATTEMPT_NUMBER";
        std::fs::write(place.path().join("runs"), "run\n").expect("ours");
        assert_eq!(daemon.say("advance 9999\n"), "now 9999");
        place.run(&daemon, &options, script).expect_own(why, 125, "in_progress");
        assert_eq!(daemon.say("advance 1\n"), "now 10000");
        let next = place.run(&daemon, &options, script);
        if word.is_empty() {
            assert_eq!((next.code, next.stdout()), (Some(code), "2\n"), "{why}");
        } else {
            next.expect_own(why, code, word);
        }
        assert_eq!(place.runs(), runs, "{why}");
    }
}

#[test]
fn a_person_who_resolves_a_doubt_ends_it() {
    let (daemon, place) = (Daemon::start(&[]), Place::new());
    let script = "echo run >> runs; [ -e mended ]";
    let run = |key: &str, more: &[&str]| {
        let options = [&["--key", key, "--on-failure", "in-doubt"], more].concat();
        place.run(&daemon, &options, script)
    };
    let resolve = |key: &str, verdict: &[&str]| {
        let named = ["resolve", "--key", key, "--yes"];
        assert_eq!(daemon.json(&[&named[..], verdict].concat()).1["outcome"], "resolved", "{key}");
    };
    for key in ["never", "done"] {
        run(key, &[]).expect_own("it failed", 1, "in_doubt");
        run(key, &[]).expect_own("nobody runs", 125, "in_doubt");
    }
    assert_eq!(place.runs(), 2);
    place.mark("mended");
    resolve("never", &["--never-done"]);
    assert_eq!((run("never", &[]).code, place.runs()), (Some(0), 3), "never done: it runs");
    resolve("done", &["--completed", "--status", "4"]);
    run("done", &[]).expect_own("done, and nobody knows what it wrote", 125, "not_kept");
    assert_eq!(run("done", &["--accept-missing-output"]).code, Some(4));
    assert_eq!(place.runs(), 3);
}
