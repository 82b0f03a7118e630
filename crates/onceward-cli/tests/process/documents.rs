//! The table of JSON fields in `docs/operations.md` against what the binary prints.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::daemon::{Daemon, fed, operations};
use crate::durable::Directory;

/// `command outcome` to the documented fields.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = operations();
    let (_, table) = text.split_once("| answer | fields besides").expect("the table's head");
    let mut fields = BTreeMap::new();
    for line in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.trim_matches('|').splitn(2, '|').collect();
        let [answers, names] = cells[..] else { panic!("{line}: two cells") };
        // A parenthesis explains values, not fields.
        let names = names.split(" (").enumerate().map(|(at, part)| {
            if at == 0 { part } else { part.split_once(')').map_or("", |(_, rest)| rest) }
        });
        let names: BTreeSet<String> = names.flat_map(words).collect();
        let command = answers.split_whitespace().next().expect("a command");
        for outcome in words(answers) {
            fields.insert(format!("{command} {outcome}"), names.clone());
        }
    }
    assert!(fields.len() > 12, "the table was not read: {fields:?}");
    fields
}

/// What stands in back-ticks.
fn words(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn printed(answer: &Value) -> BTreeSet<String> {
    let names = answer.as_object().expect("an object").keys();
    names.filter(|name| !matches!(name.as_str(), "schema" | "outcome")).cloned().collect()
}

#[test]
fn json_has_the_documented_fields() {
    let documented = documented();
    let daemon = Daemon::start(&["--memory", "1MiB"]);
    let done = daemon.acquire("done", &[]);
    let doubt = daemon.acquire("doubt", &[]);
    daemon.acquire("busy", &["--fingerprint", "00112233445566778899aabbccddeeff"]);
    let gone = daemon.acquire("gone", &["--attempt", "00112233445566778899aabbccddeeff"]);
    let pages = tempfile::tempdir().expect("a folder");
    let sound = Directory::with_results();
    let damaged = Directory::with_results();
    damaged.damage();
    let (sound, damaged) = (sound.name(), damaged.name());
    let calls: &[&[&str]] = &[
        &["begin", "--key", "new"],
        &["complete", "--key", "done", "--token", &done, "--body", "b"],
        &["complete", "--key", "done", "--token", &done, "--body", "b"],
        &["begin", "--key", "done"],
        &["begin", "--key", "busy", "--fingerprint", "00112233445566778899aabbccddeeff"],
        &["begin", "--key", "busy"],
        &["begin", "--key", "busy", "--fingerprint", "later"],
        &["renew", "--key", "doubt", "--token", &doubt],
        &["abandon", "--key", "doubt", "--token", &doubt, "--in-doubt"],
        &["begin", "--key", "doubt"],
        &["begin", "--key", "room", "--result-hint", "1MiB"],
        &["abandon", "--key", "gone", "--token", &gone],
        &["begin", "--key", "gone", "--attempt", "00112233445566778899aabbccddeeff"],
        &["get", "--key", "busy"],
        &["get", "--key", "doubt"],
        &["get", "--key", "done"],
        &["get", "--key", "never"],
        &["list", "--limit", "1"],
        &["resolve", "--key", "doubt", "--never-done", "--yes"],
        &["resolve", "--key", "doubt", "--never-done"],
        &["resolve", "--key", "busy", "--never-done"],
        &["forget", "--key", "never"],
        &["forget", "--key", "busy", "--yes"],
        &["forget", "--all-keys", "--empty-scope", "--dry-run"],
        &["forget", "--all-keys", "--empty-scope", "--yes"],
        &["forget", "--all-keys", "--scope", "s", "--yes"],
        &["ping"],
        &["version"],
        &["config"],
        &["check-config"],
        &["check-config", "/nowhere"],
        &["journal", "verify", "--data-dir", sound],
        &["journal", "repair", "--data-dir", sound],
        &["journal", "verify", "--data-dir", damaged],
        &["journal", "repair", "--data-dir", damaged],
        &["journal", "repair", "--data-dir", damaged, "--yes"],
        &["man", "--dir", pages.path().to_str().expect("UTF-8")],
    ];
    let mut seen = BTreeSet::new();
    for call in calls {
        let (_, answer) = daemon.json(call);
        let outcome = answer["outcome"].as_str().unwrap_or_else(|| panic!("{call:?}: {answer}"));
        let name = format!("{} {outcome}", call[0]);
        let want = documented.get(&name).cloned().unwrap_or_default();
        assert_eq!(printed(&answer), want, "{name}: {answer}");
        if let Some(entry) = answer["entries"].get(0) {
            assert_eq!(printed(entry), documented["list entry"], "{entry}");
            seen.insert("list entry".to_owned());
        }
        seen.insert(name);
    }
    let unseen: Vec<_> = documented.keys().filter(|name| !seen.contains(*name)).collect();
    assert_eq!(unseen, ["stats stats"], "every documented answer was caused");
}

/// The script in the document runs as written, first as owner, then as a retry.
#[test]
fn the_documented_script_runs_once() {
    let text = operations();
    let (_, section) = text.split_once("## The command line in scripts").expect("the section");
    let script = section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    let daemon = Daemon::start(&[]);
    // jq may not be there; Python reads JSON everywhere the tests run.
    let script = script
        .expect("a script")
        .replace(
            "jq -r .outcome",
            r#"python3 -c 'import json,sys;print(json.load(sys.stdin)["outcome"])'"#,
        )
        .replace(
            "jq -r .token",
            r#"python3 -c 'import json,sys;print(json.load(sys.stdin)["token"])'"#,
        )
        .replace("onceward://127.0.0.1:7977/reports", &daemon.url());
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("make-report"), "#!/bin/sh\necho run >> runs\necho report\n")
        .expect("a file");
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_onceward"));
    let path = format!(
        "{}:{}:{}",
        folder.path().display(),
        binary.parent().expect("a folder").display(),
        std::env::var("PATH").expect("a path")
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path().join("make-report"), mode).expect("ours");
    for round in 0..2 {
        let mut shell = Command::new("sh");
        shell.arg("-e").current_dir(folder.path()).env("PATH", &path);
        let told = fed(shell, script.as_bytes());
        assert_eq!(told.code, 0, "round {round}: {}{}", told.stdout, told.stderr);
    }
    let runs = std::fs::read_to_string(folder.path().join("runs")).expect("it ran");
    assert_eq!(runs, "run\n", "once");
}
