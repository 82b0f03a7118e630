//! `list`: pages, filters, forms.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::daemon::{Daemon, told};
use crate::population::{Fate, populate};
use crate::terminal::typed;

/// The objects of JSON Lines.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn keys(entries: &[Value]) -> Vec<String> {
    entries.iter().map(|entry| entry["key"].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn pages_show_each_entry_once() {
    const ENTRIES: usize = 2_500;
    let daemon = Daemon::start(&[]);
    let names = (0..ENTRIES).map(|n| (format!("tenant-{}", n % 5), format!("key-{n}")));
    populate(&daemon.url(), Fate::Reserved, names);
    let want: BTreeSet<_> = (0..ENTRIES).map(|n| format!("key-{n}")).collect();
    let once = |found: Vec<String>, why: &str| {
        assert_eq!(found.len(), ENTRIES, "{why}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), want, "{why}");
    };

    for page_size in ["1000", "7"] {
        let told = daemon.told(&["list", "--all", "--json", "--page-size", page_size]);
        assert_eq!((told.code, told.stderr.as_str()), (0, ""));
        let entries = lines(&told.stdout);
        assert!(entries.iter().all(|entry| entry["schema"] == "onceward/1"));
        once(keys(&entries), page_size);
    }
    let told = daemon.told(&["list", "--all", "--page-size", "300"]);
    let rows = told.stdout.lines().map(|row| row.split('\t').collect::<Vec<_>>());
    assert!(rows.clone().all(|row| row.len() == 8), "columns for awk");
    once(rows.map(|row| row[0].to_owned()).collect(), "tabs");

    let (mut found, mut cursor, mut rounds) = (Vec::new(), "0".to_owned(), 0);
    while !cursor.is_empty() {
        let (code, page) = daemon.json(&["list", "--limit", "300", "--cursor", &cursor]);
        assert_eq!((code, &page["outcome"]), (0, &json!("listed")));
        let entries = page["entries"].as_array().expect("a list");
        assert!(entries.len() <= 300);
        found.extend(keys(entries));
        cursor = page["next"].as_str().unwrap_or_default().to_owned();
        rounds += 1;
    }
    once(found, "resumed by cursors");
    assert!(rounds >= ENTRIES / 300, "{rounds}");

    let told = daemon.told(&["list", "--limit", "2"]);
    assert_eq!((told.code, told.stdout.lines().count()), (0, 2));
    assert!(told.stderr.contains("--cursor") && told.stderr.contains("--all"), "{}", told.stderr);
    let told = daemon.told(&["list", "--scope", "tenant-3", "--all", "--json"]);
    let entries = lines(&told.stdout);
    assert_eq!(entries.len(), ENTRIES / 5);
    assert!(entries.iter().all(|entry| entry["scope"] == "tenant-3"));
    let (_, page) = daemon.json(&["list", "--scope", "tenant-3", "--limit", "20"]);
    assert_eq!(
        page["entries"].as_array().map(Vec::len),
        Some(20),
        "the limit counts what is shown"
    );

    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = daemon.command(&["list", "--all"]).stdout(writer).output().expect("starts");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "as in head");
}

#[test]
fn filters_by_state_and_age() {
    let mut daemon = Daemon::start(&["--test-clock"]);
    let url = daemon.url();
    populate(&url, Fate::Completed, [("", "old-done")]);
    populate(&url, Fate::InDoubt, [("", "old-doubt")]);
    assert_eq!(daemon.say("advance 600000\n"), "now 600000");
    populate(&url, Fate::Reserved, [("", "new-busy")]);
    populate(&url, Fate::Completed, [("s", "new-done")]);
    let cases: [(&[&str], &[&str]); 7] = [
        (&[], &["new-busy", "new-done", "old-done", "old-doubt"]),
        (&["--state", "in_doubt"], &["old-doubt"]),
        (&["--state", "reserved"], &["new-busy"]),
        (&["--state", "completed"], &["new-done", "old-done"]),
        (&["--older-than", "10m"], &["old-done", "old-doubt"]),
        (&["--older-than", "600001ms"], &[]),
        (&["--state", "completed", "--scope", ""], &["old-done"]),
    ];
    for (filter, want) in cases {
        let (code, page) = daemon.json(&[&["list"], filter].concat());
        let mut found = keys(page["entries"].as_array().expect("a list"));
        found.sort();
        assert_eq!(
            (code, found),
            (0, want.iter().map(|&key| key.to_owned()).collect()),
            "{filter:?}"
        );
        assert_eq!(page["next"], Value::Null);
    }
    let (_, page) = daemon.json(&["list", "--state", "in_doubt"]);
    let entry = &page["entries"][0];
    let (_, got) = daemon.json(&["get", "--key", "old-doubt"]);
    let want = json!({
        "key": "old-doubt", "key_hex": "6f6c642d646f756274", "scope": "", "scope_hex": "",
        "state": "in_doubt", "age_ms": 600_000, "attempt_number": 1, "fence": got["fence"],
        "doubt_number": 1, "retention_left_ms": 85_800_000,
    });
    assert_eq!(entry, &want, "what resolve names is there");

    let other = url.replace("default", "other");
    let told = daemon.told(&["list", "--url", &other]);
    assert_eq!((told.code, told.stdout.as_str(), told.stderr.as_str()), (0, "", ""));
}

#[test]
fn bytes_that_are_no_text_come_as_digits_and_go_back() {
    let daemon = Daemon::start(&[]);
    let key: &[u8] = b"\xff\x00\n";
    populate(&daemon.url(), Fate::Completed, [(b"\xfe".as_slice(), key)]);
    let (_, page) = daemon.json(&["list"]);
    let entry = &page["entries"][0];
    assert_eq!((&entry["key"], &entry["key_hex"]), (&Value::Null, &json!("ff000a")));
    assert_eq!((&entry["scope"], &entry["scope_hex"]), (&Value::Null, &json!("fe")));
    let row = daemon.told(&["list"]).stdout;
    assert!(row.starts_with("hex:ff000a\thex:fe\tcompleted\t"), "{row}");
    let named = ["--key-hex", "ff000a", "--scope-hex", "fe"];
    assert_eq!(daemon.told(&[&["get"], &named[..]].concat()).code, 0);
    let (_, page) = daemon.json(&["list", "--scope-hex", "fe"]);
    assert_eq!(page["entries"].as_array().map(Vec::len), Some(1));
    let fence = entry["fence"].as_str().expect("a string");
    let told = daemon.told(&[&["forget", "--fence", fence], &named[..]].concat());
    assert_eq!((told.code, told.stdout.as_str()), (0, "forgotten\n"));
}

#[test]
fn a_terminal_gets_a_table_as_wide_as_the_page_needs() {
    let daemon = Daemon::start(&[]);
    let (code, screen) = typed(daemon.command(&["list"]), "");
    assert_eq!((code, screen.as_str()), (0, "no entries\n"));
    populate(&daemon.url(), Fate::Completed, [("tenant-1", "a"), ("tenant-1", "a-longer-key")]);
    let (code, screen) = typed(daemon.command(&["list"]), "");
    let rows: Vec<_> = screen.lines().collect();
    assert_eq!((code, rows.len()), (0, 3), "{screen}");
    assert!(rows[0].starts_with("KEY           SCOPE     STATE      AGE"), "{screen}");
    assert!(rows[1..].iter().any(|row| row.starts_with("a             tenant-1  completed")));
    let columns = |row: &str| row.split_whitespace().count();
    assert!(rows.iter().all(|row| columns(row) == 8), "{screen}");
    let (_, screen) = typed(daemon.command(&["list", "--no-headers", "--limit", "1"]), "");
    let rows: Vec<_> = screen.lines().collect();
    assert_eq!(rows.len(), 2, "{screen}");
    assert!(!screen.contains("KEY") && rows[1].contains("--cursor"), "{screen}");
}

#[test]
fn a_store_of_the_commands_own_has_nothing_to_show() {
    for command in [
        &["list"][..],
        &["wait", "--key", "k"],
        &["resolve", "--key", "k", "--never-done"],
        &["forget", "--key", "k"],
    ] {
        let told = told(&[command, &["--url", "mem://orders"]].concat());
        assert_eq!(told.code, 2, "{command:?}");
        assert!(
            told.stderr.contains("mem://") && told.stderr.contains("daemon"),
            "{}",
            told.stderr
        );
    }
}
