//! The runner finds what is wrong: a table of cases that must fail, each at its fault.

use std::time::Duration;

use crate::case::parse;
use crate::runner::run;
use crate::world::embedded;

/// What each planted case does wrong, its steps, and what the report must say.
const PLANTED: &[(&str, &str, &str)] = &[
    (
        "another outcome",
        r#"{"do": "get", "expect": "reserved"}"#,
        r#"`outcome`: expected "reserved", got "absent""#,
    ),
    (
        "a time one millisecond off",
        r#"{"do": "begin", "attempt": "A", "expect": {"outcome": "acquired", "lease_left": 29999}}"#,
        "`lease_left`: expected 29999, got 30000",
    ),
    (
        "an error where there is an outcome",
        r#"{"do": "get", "expect": {"error": "bad_input"}}"#,
        "no `error` in",
    ),
    (
        "another field at fault",
        r#"{"do": "begin", "attempt": "A", "lease": 0, "expect": {"error": "bad_input", "field": "key"}}"#,
        r#"`field`: expected "key", got "lease""#,
    ),
    (
        "a fence that did not grow",
        r#"{"do": "begin", "attempt": "A", "expect": "acquired"}
           {"do": "begin", "attempt": "A", "expect": {"outcome": "acquired", "fence": ">A"}}"#,
        r#"`fence`: expected ">A""#,
    ),
    (
        "another body, byte for byte",
        r#"{"do": "begin", "attempt": "A", "expect": "acquired"}
           {"do": "complete", "token": "A", "body": "done", "expect": "completed"}
           {"do": "begin", "attempt": "B", "expect": {"outcome": "replay", "body": "done\n"}}"#,
        "`body`: expected",
    ),
    (
        "metadata in another order",
        r#"{"do": "begin", "attempt": "A", "expect": "acquired"}
           {"do": "complete", "token": "A", "metadata": [["a", "1"], ["b", "2"]], "expect": "completed"}
           {"do": "begin", "attempt": "B", "expect": {"outcome": "replay", "metadata": [["b", "2"], ["a", "1"]]}}"#,
        "`metadata`: expected",
    ),
    (
        "null where something is",
        r#"{"do": "begin", "attempt": "A", "expect": "acquired"}
           {"do": "complete", "token": "A", "declined": true, "expect": {"outcome": "completed", "not_kept": null}}"#,
        r#"`not_kept`: expected null, got "declined""#,
    ),
    (
        "a wait that was answered at once",
        r#"{"do": "get", "wait": 20000, "pending": "w1"}"#,
        "`w1` must wait, and was answered",
    ),
    (
        "a wait that has ended already",
        r#"{"do": "begin", "attempt": "A", "expect": "acquired"}
           {"do": "begin", "attempt": "B", "wait": 20000, "pending": "w1"}
           {"advance": 20000}
           {"unanswered": "w1"}"#,
        "`w1` was answered, and must still wait",
    ),
    (
        "a wait that has not ended yet",
        r#"{"do": "begin", "attempt": "A", "expect": "acquired"}
           {"do": "begin", "attempt": "B", "wait": 20000, "pending": "w1"}
           {"advance": 19999}
           {"answered": "w1", "expect": "in_progress"}"#,
        "`w1` still waits",
    ),
    (
        "two acquisitions of one change",
        r#"{"do": "begin", "attempt": "A", "expect": "acquired"}
           {"do": "begin", "race": 5, "expect": {"acquired": 1, "in_progress": 4}}"#,
        r#"got {"in_progress": 5}"#,
    ),
    (
        "an entry that is not listed",
        r#"{"do": "begin", "attempt": "A", "expect": "acquired"}
           {"do": "list", "expect": {"entries": [{"scope": "", "key": "other"}]}}"#,
        "`entries`: expected",
    ),
    (
        "a listed entry in another state",
        r#"{"do": "begin", "attempt": "A", "expect": "acquired"}
           {"do": "list", "expect": {"entries": [{"scope": "", "key": "k", "state": "completed"}]}}"#,
        r#"`state`: expected "completed", got "reserved""#,
    ),
    (
        "a token that was never acquired",
        r#"{"do": "complete", "token": "A", "expect": "completed"}"#,
        "no token `A` yet",
    ),
];

#[tokio::test]
async fn the_runner_finds_what_is_wrong() {
    for (why, steps, report) in PLANTED {
        let text = format!("{{\"case\": \"planted\", \"rules\": [\"S1\"]}}\n{steps}");
        let cases = parse("planted", &text).unwrap_or_else(|fault| panic!("{why}: {fault}"));
        let case = &cases[0];
        let world = embedded(case).expect("a store");
        match run(case, &world, Duration::from_millis(200)).await {
            Ok(()) => panic!("{why}: not found"),
            Err(failure) => {
                assert!(failure.why.contains(report), "{why}: {}", failure.why);
                assert_eq!(failure.step, case.steps.len(), "{why}: found elsewhere");
            }
        }
    }
}

#[test]
fn what_breaks_the_format_is_refused() {
    let rows = [
        ("a step before any case", r#"{"advance": 1}"#),
        (
            "unknown field `lese`",
            r#"{"case": "c", "rules": []}
            {"do": "begin", "attempt": "A", "lese": 1, "expect": "acquired"}"#,
        ),
        (
            "unknown field `until`",
            r#"{"case": "c", "rules": []}
            {"advance": 1, "until": 2}"#,
        ),
        (
            "unknown variant `begn`",
            r#"{"case": "c", "rules": []}
            {"do": "begn", "expect": "acquired"}"#,
        ),
        (
            "no step of any kind",
            r#"{"case": "c", "rules": []}
            {}"#,
        ),
        (
            "one of `expect`, `pending`",
            r#"{"case": "c", "rules": []}
            {"do": "get"}"#,
        ),
        (
            "planted:2",
            r#"{"case": "c", "rules": []}
            {"do": "#,
        ),
    ];
    for (report, text) in rows {
        let fault = parse("planted", text).expect_err(report);
        assert!(fault.contains(report), "{report}: {fault}");
    }
}
