//! What holds of the documents: they name what exists, state the rules and limits of the code,
//! claim nothing that nobody can promise, and the README's two commands are those that CI runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{RULES, expect_none, read, root, texts};

/// Top folders whose paths, named in a document, must exist.
const NAMED_FOLDERS: &[&str] = &["crates/", "tests/", "benches/", "docs/", ".ci/"];

fn documents() -> Vec<(String, String)> {
    let mut files = texts("docs");
    files.extend(texts("tests"));
    files.retain(|(path, _)| path.ends_with(".md"));
    files.push(("README.md".to_owned(), read("README.md")));
    files
}

/// Words in back-ticks, in fenced blocks and in links that read as paths from the root.
fn named_paths(document: &str, text: &str) -> Vec<String> {
    let mut named = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let code: String = if fenced {
            line.to_owned()
        } else {
            line.split('`').skip(1).step_by(2).collect::<Vec<_>>().join(" ")
        };
        for word in code.split(|c: char| c.is_whitespace() || "\"'(),;=".contains(c)) {
            if NAMED_FOLDERS.iter().any(|folder| word.starts_with(folder)) {
                named.push(word.trim_end_matches(['.', ':']).to_owned());
            }
        }
        for link in line.split("](").skip(1).filter(|_| !fenced) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                let folder = Path::new(document).parent().unwrap_or(Path::new(""));
                named.push(folder.join(target).to_str().expect("UTF-8").to_owned());
            }
        }
    }
    named
}

/// A pattern such as `crates/*/src` names every folder before its first special character.
fn exists(path: &str) -> bool {
    let plain: PathBuf =
        path.split('/').take_while(|part| !part.contains(['*', '<', '{', '…'])).collect();
    root().join(plain).exists()
}

#[test]
fn documents_name_only_what_exists() {
    let documents = documents();
    let missing = |document: &str, text: &str| -> Vec<String> {
        let named = named_paths(document, text).into_iter().filter(|path| !exists(path));
        named.map(|path| format!("{document} names {path}: there is no such file")).collect()
    };
    expect_none(&documents.iter().flat_map(|(path, text)| missing(path, text)).collect::<Vec<_>>());

    let planted = "See `tests/repo.rs`, `crates/*/src` and [the licence](../LICENSE-MIT#top);\n\
        not `docs/none.md`, [nor](none.md), nor\n```sh\ncat tests/none.rs\n```\n";
    assert_eq!(missing("docs/planted.md", planted).len(), 3, "planted: three that are missing");
    assert_eq!(named_paths("docs/planted.md", planted).len(), 6, "planted: all six are seen");
}

#[test]
fn the_documented_rules_and_limits_are_those_of_the_code_s20() {
    let text = read("docs/semantics.md");
    for (letter, rules) in RULES {
        let document = if letter == 'S' { "docs/semantics.md" } else { "docs/http.md" };
        let text = read(document);
        for rule in rules {
            let heading = format!("**{letter}{rule} ");
            assert!(text.contains(&heading), "{document} lacks a paragraph that starts {heading}");
        }
    }
    let mut want = "| limit | default | ceiling | at the limit |\n|---|---|---|---|\n".to_owned();
    for row in onceward_core::limits::TABLE {
        want += &format!(
            "| {} | {} | {} | {} |\n",
            row.name, row.default, row.ceiling, row.at_the_limit
        );
    }
    let (_, section) = text.split_once("\n## Limits\n").expect("a section `## Limits`");
    let section = section.split("\n## ").next().unwrap_or_default();
    let table = section.lines().filter(|line| line.starts_with('|'));
    let got: String = table.flat_map(|line| [line, "\n"]).collect();
    assert!(got == want, "docs/semantics.md, `## Limits`, must hold this table:\n{want}");
}

fn wording_faults(path: &str, text: &str) -> Vec<String> {
    // Spelt in parts, so that this file passes its own check.
    let machine = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let claims = [concat!("exactly", " once"), concat!("exactly", "-once")];
    let lines: Vec<String> = text.lines().map(str::to_lowercase).collect();
    let mut faults = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let place = format!("{path}:{}", at + 1);
        if let Some(prefix) = machine.iter().find(|prefix| line.contains(**prefix)) {
            faults.push(format!("{place}: {prefix} is a path of one machine"));
        }
        // A sentence that denies the claim may wrap, so its neighbours are read too.
        let around = lines[at.saturating_sub(1)..lines.len().min(at + 2)].join(" ");
        let denied =
            around.split(|c: char| !c.is_alphabetic()).any(|w| matches!(w, "never" | "not" | "no"));
        if claims.iter().any(|claim| line.contains(claim)) && !denied {
            faults.push(format!("{place}: claims what nobody can promise"));
        }
    }
    faults
}

#[test]
fn no_text_claims_too_much_or_names_a_machine_s18() {
    let faults: Vec<_> =
        texts("").iter().flat_map(|(path, text)| wording_faults(path, text)).collect();
    expect_none(&faults);
    for (text, want) in [
        (concat!("Runs your work exactly", " once."), 1),
        (concat!("Exactly", "-once delivery"), 1),
        (concat!("We never claim \"exactly", " once\"."), 0),
        (concat!("see /ro", "ot/x"), 1),
        ("once is enough", 0),
    ] {
        assert_eq!(wording_faults("planted", text).len(), want, "planted: {text}");
    }
}

/// The one command in the `sh` block right under `heading`; the reason if there is none.
fn readme_command<'a>(readme: &'a str, heading: &str) -> Result<&'a str, String> {
    if readme.lines().filter(|line| *line == heading).count() != 1 {
        return Err(format!("README.md needs one heading `{heading}`"));
    }
    let below = readme.lines().skip_while(|line| *line != heading).skip(1);
    let below: Vec<_> = below.filter(|line| !line.trim().is_empty()).take(3).collect();
    match below[..] {
        ["```sh", command, "```"] => Ok(command),
        _ => Err(format!("`{heading}` must be followed by one `sh` block with one command")),
    }
}

#[test]
fn two_commands_set_up_everything_and_ci_runs_the_same_tests() {
    let readme = read("README.md");
    let run = readme_command(&readme, "### Run the main job").unwrap();
    let test = readme_command(&readme, "### Pass the tests").unwrap();
    assert!(run.starts_with("cargo run ") && run.ends_with(" demo"), "{run}");
    assert!(test.starts_with("cargo test"), "{test}");

    let script = root().join(".ci/run");
    let mode = fs::metadata(&script).expect(".ci/run").permissions().mode();
    assert_eq!(mode & 0o111, 0o111, ".ci/run is not executable");
    let output = Command::new(&script).arg("--test-command").output().expect(".ci/run starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), test, "CI runs other tests");

    let heading = "### Pass the tests";
    for (why, text) in [
        ("no heading", "```sh\ncargo test\n```\n"),
        ("two commands", "### Pass the tests\n```sh\ncargo test\ncargo bench\n```\n"),
        ("words before the block", "### Pass the tests\nFirst:\n```sh\ncargo test\n```\n"),
    ] {
        assert!(readme_command(text, heading).is_err(), "planted: {why}");
    }
}
