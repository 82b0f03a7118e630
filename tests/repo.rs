//! What holds of the repository itself: crate edges, file sizes, rules that have a test; its
//! documents in a module of their own.
//!
//! A check is a function from text to a list of faults. Each test runs it twice: over a planted
//! fault, which it must find, and over the repository, where it must find none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

#[path = "repo/documents.rs"]
mod documents;
#[path = "repo/errors.rs"]
mod errors;

/// What each crate may depend on inside the workspace; dev-dependencies are free.
const EDGES: &[(&str, &[&str])] = &[
    ("onceward-core", &[]),
    ("onceward", &["onceward-core"]),
    ("onceward-journal", &["onceward"]),
    ("onceward-proto", &["onceward-core"]),
    ("onceward-testkit", &["onceward-core"]),
    ("onceward-server", &["onceward-core", "onceward", "onceward-proto"]),
    ("onceward-keys", &["onceward-core"]),
    ("onceward-http", &["onceward-core", "onceward-keys"]),
    ("onceward-claim", &["onceward-core", "onceward-keys"]),
    (
        "onceward-client",
        &["onceward-core", "onceward", "onceward-proto", "onceward-keys", "onceward-claim"],
    ),
    ("onceward-tower", &["onceward-core", "onceward-keys", "onceward-claim", "onceward-http"]),
    ("onceward-bench", &["onceward-core", "onceward", "onceward-proto", "onceward-client"]),
    // Core and protocol tell the floor which lengths of bytes to move.
    (
        "onceward-bench-rivals",
        &["onceward-core", "onceward-proto", "onceward-client", "onceward-bench"],
    ),
    // Drives the daemon's binary through the client; the words of answers are the core's, its random
    // numbers and the naive model the testkit's. The simulation runs journal and protocol itself.
    (
        "onceward-rig",
        &[
            "onceward-core",
            "onceward",
            "onceward-journal",
            "onceward-proto",
            "onceward-client",
            "onceward-testkit",
        ],
    ),
    (
        "onceward-cli",
        &[
            "onceward-core",
            "onceward",
            "onceward-journal",
            "onceward-server",
            "onceward-client",
            "onceward-http",
            "onceward-tower",
            "onceward-bench",
        ],
    ),
    ("onceward-workspace", &[]),
];

/// Crates that depend on nothing outside the workspace and forbid `std` and `unsafe`.
const BARE: &[&str] = &["onceward-core", "onceward-proto"];

/// Crates that bring no async runtime and no HTTP stack with them, directly or through others.
const WITHOUT_RUNTIME: &[&str] = &[
    "onceward-core",
    "onceward",
    "onceward-journal",
    "onceward-proto",
    "onceward-keys",
    "onceward-http",
    "onceward-testkit",
];

const RUNTIMES: &[&str] = &[
    "async-executor",
    "async-std",
    "axum",
    "futures-executor",
    "h2",
    "hyper",
    "hyper-util",
    "mio",
    "reqwest",
    "smol",
    "tokio",
    "tokio-util",
    "tonic",
    "tower",
];

/// Files under `crates/` that may hold `unsafe`, each with its proof's place.
const UNSAFE_FILES: &[(&str, &str)] = &[
    (
        "crates/onceward/src/segments/mapping.rs",
        "a proof at each block; its own test, and the storm under both sanitizers",
    ),
    (
        "crates/onceward/tests/storm/planted.rs",
        "faults on purpose, for a sanitizer to report; nothing else links it",
    ),
];

const LINES_MAX: usize = 700;
const LINES_WITHOUT_REASON_MAX: usize = 500;

/// Files over 500 lines, each with the reason why it still holds one noun.
const LONG_FILES: &[(&str, &str)] = &[];

/// Module names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &["common", "helpers", "types", "util", "utils"];

/// Rules of the store, S1 to S23, and of HTTP, H1 to H9.
const RULES: [(char, std::ops::RangeInclusive<u32>); 2] = [('S', 1..=23), ('H', 1..=9)];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every text file below `folder`, as (path from the root, text), in order of path.
fn texts(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("readable folder").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // In a second worktree `.git` is a file.
            if matches!(name, "target" | ".git" | "__pycache__") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(root()).expect("below the root");
                found.push((path.to_str().expect("UTF-8 path").to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

fn rust_files() -> Vec<(String, String)> {
    let mut files: Vec<_> =
        ["crates", "tests", "benches"].iter().flat_map(|folder| texts(folder)).collect();
    files.retain(|(path, _)| path.ends_with(".rs"));
    files
}

fn expect_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n  {}\n", faults.join("\n  "));
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("cargo {arguments:?}: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {complaint}");
    String::from_utf8(output.stdout).expect("UTF-8 output")
}

/// Package name to the names of its normal and build dependencies, from `cargo metadata`.
fn dependencies(metadata: &str) -> BTreeMap<String, BTreeSet<String>> {
    let metadata: serde_json::Value = serde_json::from_str(metadata).expect("cargo metadata");
    let text = |value: &serde_json::Value| value.as_str().expect("a name").to_owned();
    let list = |value: &serde_json::Value| value.as_array().expect("a list").clone();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let normal = list(&package["dependencies"]);
            let normal = normal.iter().filter(|edge| edge["kind"] != "dev");
            (text(&package["name"]), normal.map(|edge| text(&edge["name"])).collect())
        })
        .collect()
}

fn edge_faults(packages: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut faults = Vec::new();
    for (package, edges) in packages {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| name == package) else {
            faults.push(format!("{package}: state its edges in EDGES"));
            continue;
        };
        for edge in edges {
            let inside = packages.contains_key(edge);
            if inside && !allowed.contains(&edge.as_str()) {
                faults.push(format!("{package} -> {edge}: not an edge of the layout"));
            }
            if !inside && BARE.contains(&package.as_str()) {
                faults.push(format!("{package} -> {edge}: this crate has no outside dependency"));
            }
        }
    }
    let missing = EDGES.iter().filter(|(name, _)| !packages.contains_key(*name));
    faults.extend(missing.map(|(name, _)| format!("{name}: named in EDGES, not in the workspace")));
    faults
}

/// `tree` is what `cargo tree --prefix none` prints for `package`.
fn runtime_faults(package: &str, tree: &str) -> Vec<String> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    let found: BTreeSet<_> = names.filter(|name| RUNTIMES.contains(name)).collect();
    found
        .iter()
        .map(|name| format!("{package} brings {name}: it must stay without a runtime"))
        .collect()
}

#[test]
fn crates_keep_to_the_edges_of_the_layout() {
    let mut packages =
        dependencies(&cargo(&["metadata", "--format-version=1", "--no-deps", "--offline"]));
    expect_none(&edge_faults(&packages));

    for (from, to) in [
        ("onceward", "onceward-client"),
        ("onceward-core", "bytes"),
        ("onceward-server", "onceward-client"),
        ("onceward-new", "onceward-core"),
    ] {
        let mut planted = packages.clone();
        planted.entry(from.to_owned()).or_default().insert(to.to_owned());
        assert_eq!(edge_faults(&planted).len(), 1, "planted: {from} -> {to}");
    }
    packages.remove("onceward-proto");
    assert!(!edge_faults(&packages).is_empty(), "planted: a crate that is gone");
}

#[test]
fn no_runtime_reaches_the_inner_crates() {
    let mut faults = Vec::new();
    for package in WITHOUT_RUNTIME {
        let tree =
            cargo(&["tree", "--offline", "--edges=normal,build", "--prefix=none", "-p", package]);
        assert!(tree.starts_with(package), "{tree}");
        faults.extend(runtime_faults(package, &tree));
    }
    expect_none(&faults);
    assert_eq!(runtime_faults("onceward", "onceward v0\nsha2 v1\nmio v1\ntokio v1\n").len(), 2);
}

/// Whether `word` stands in `line` as a word of code: not in a comment, not in a string.
fn has_code_word(line: &str, word: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices(word).any(|(at, _)| {
        let joins = |c: char| c.is_alphanumeric() || c == '_';
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        !before.ends_with(joins)
            && !after.starts_with(joins)
            && before.matches('"').count().is_multiple_of(2)
    })
}

fn source_faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    let reasoned = LONG_FILES.iter().any(|(name, _)| *name == path);
    if lines > LINES_MAX {
        faults.push(format!("{path}: {lines} lines, the bound is {LINES_MAX}: split it"));
    } else if lines > LINES_WITHOUT_REASON_MAX && !reasoned {
        faults.push(format!("{path}: {lines} lines: split it, or give its reason in LONG_FILES"));
    } else if lines <= LINES_WITHOUT_REASON_MAX && reasoned {
        faults.push(format!("{path}: {lines} lines: take it out of LONG_FILES"));
    }
    for name in EMPTY_NAMES {
        let inline = text.lines().any(|line| {
            let item =
                line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            item.strip_prefix("mod ").is_some_and(|rest| {
                rest.strip_prefix(name).is_some_and(|rest| rest.starts_with([';', ' ', '{']))
            })
        });
        if inline || path.split('/').any(|part| part.trim_end_matches(".rs") == *name) {
            faults.push(format!("{path}: a module called {name} says nothing of what is inside"));
        }
    }
    let excused = UNSAFE_FILES.iter().any(|(name, _)| *name == path);
    if path.starts_with("crates/") && !excused {
        for (at, line) in text.lines().enumerate() {
            if has_code_word(line, "unsafe") {
                faults.push(format!("{path}:{}: unsafe outside UNSAFE_FILES", at + 1));
            }
        }
    }
    faults
}

#[test]
fn sources_are_short_named_for_one_noun_and_safe() {
    let files = rust_files();
    let mut faults: Vec<_> =
        files.iter().flat_map(|(path, text)| source_faults(path, text)).collect();
    for (path, reason) in LONG_FILES.iter().chain(UNSAFE_FILES) {
        if !files.iter().any(|(name, _)| name == path) || reason.is_empty() {
            faults.push(format!("{path}: listed, but there is no such file or no reason"));
        }
    }
    for package in BARE {
        let text = read(&format!("crates/{package}/src/lib.rs"));
        for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
            if !text.lines().any(|line| line == attribute) {
                faults.push(format!("{package}: src/lib.rs lacks {attribute}"));
            }
        }
    }
    expect_none(&faults);

    for (why, path, text, want) in [
        ("at the bound", "crates/a/src/b.rs", "\n".repeat(LINES_WITHOUT_REASON_MAX), 0),
        ("over it", "crates/a/src/b.rs", "\n".repeat(LINES_WITHOUT_REASON_MAX + 1), 1),
        ("far over it", "tests/b.rs", "\n".repeat(LINES_MAX + 1), 1),
        ("named by its file", "crates/a/src/utils.rs", String::new(), 1),
        ("named by its folder", "crates/a/src/common/mod.rs", String::new(), 1),
        ("named inline", "crates/a/src/b.rs", "pub(crate) mod types {".to_owned(), 1),
        ("a longer name", "crates/a/src/b.rs", "mod types_of_frames;".to_owned(), 0),
        ("a block", "crates/a/src/b.rs", "    unsafe { f() }".to_owned(), 1),
        ("an attribute", "crates/a/src/b.rs", "#![forbid(unsafe_code)]".to_owned(), 0),
        ("a comment", "crates/a/src/b.rs", "// unsafe".to_owned(), 0),
        ("a string", "crates/a/src/b.rs", "f(\"unsafe\")".to_owned(), 0),
    ] {
        assert_eq!(source_faults(path, &text).len(), want, "planted: {why}");
    }
}

/// The part of a source file that is test code: all of a suite, else what follows `cfg(test)`.
fn test_part<'a>(path: &str, text: &'a str) -> &'a str {
    let suite =
        path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs");
    if suite {
        return text;
    }
    text.split_once("#[cfg(test)]\nmod ").map_or("", |(_, tests)| tests)
}

/// Numbers of the rules of one letter that `text` cites: `S12` as a word, or `_s12` at a part of
/// a name.
fn cited(letter: char, text: &str) -> BTreeSet<u32> {
    let mut rules = BTreeSet::new();
    for (at, found) in text.match_indices([letter, letter.to_ascii_lowercase()]) {
        let before = text[..at].chars().next_back();
        let small = !found.starts_with(letter);
        let opens = match before {
            Some('_') => small,
            Some(c) => !small && !c.is_alphanumeric(),
            None => !small,
        };
        let rest = &text[at + 1..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let closes = !rest[digits..].starts_with(|c: char| c.is_alphanumeric());
        if opens
            && closes
            && let Ok(rule) = rest[..digits].parse()
        {
            rules.insert(rule);
        }
    }
    rules
}

fn rule_faults(letter: char, cited: &BTreeSet<u32>) -> Vec<String> {
    let rules = RULES.into_iter().filter(|(of, _)| *of == letter).flat_map(|(_, rules)| rules);
    let uncited = rules.filter(|rule| !cited.contains(rule));
    uncited.map(|rule| format!("rule {letter}{rule}: no test cites it")).collect()
}

#[test]
fn every_rule_is_cited_by_a_test() {
    let mut texts: Vec<_> = texts("tests");
    texts.retain(|(path, _)| path.ends_with(".jsonl"));
    let tests = rust_files().into_iter().map(|(path, text)| test_part(&path, &text).to_owned());
    let tests: Vec<_> = tests.chain(texts.into_iter().map(|(_, text)| text)).collect();
    for (letter, rules) in RULES {
        let mut all: BTreeSet<_> = tests.iter().flat_map(|text| cited(letter, text)).collect();
        expect_none(&rule_faults(letter, &all));
        let strangers: Vec<_> = all.iter().filter(|rule| !rules.contains(rule)).collect();
        assert!(strangers.is_empty(), "tests cite {letter}-rules that do not exist: {strangers:?}");
        all.remove(&1);
        assert_eq!(rule_faults(letter, &all).len(), 1, "planted: one uncited");
    }

    // Spelt in parts, so that this file cites nothing by accident.
    let planted =
        ["fn ends_at_its_instant_", "s6() {} // ", "S", "7; not US", "8, not ", "S", "9x"];
    assert_eq!(cited('S', &planted.concat()), BTreeSet::from([6, 7]));
    assert_eq!(cited('H', &planted.concat()), BTreeSet::new());
    assert_eq!(
        test_part("crates/a/src/b.rs", "//! one\n#[cfg(test)]\nmod tests { two }"),
        "tests { two }"
    );
}
