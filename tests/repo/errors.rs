//! What holds of `docs/errors.md`: it names every variant of every public error.

use super::{expect_none, read, texts};

/// The document's name of an outcome that is listed like an error.
const LISTED_TOO: &[&str] = &["Executed"];

/// Public enums of `source` whose names say that they are errors, with their variants.
fn errors(source: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let Some(rest) = line.strip_prefix("pub enum ") else { continue };
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
        let is_error = name.ends_with("Error") || name == "BadInput";
        if !is_error && !LISTED_TOO.contains(&&*name) {
            continue;
        }
        // Variants stand four spaces deep, their fields and attributes elsewhere.
        let variants = lines.by_ref().take_while(|line| *line != "}").filter_map(|line| {
            let variant = line.strip_prefix("    ")?;
            let first = variant.chars().next()?;
            let word: String = variant.chars().take_while(|c| c.is_alphanumeric()).collect();
            first.is_ascii_uppercase().then_some(word)
        });
        found.push((name, variants.collect()));
    }
    found
}

/// Rows of the section about `name`: from its heading, or its table's first cell, to the next
/// heading.
fn section<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let heading = format!("# {name}\n");
    let table = format!("| `{name}` |");
    let from = document.find(&heading).map(|at| at + heading.len());
    let from = from.or_else(|| document.find(&table))?;
    let rest = &document[from..];
    Some(&rest[..rest.find("\n#").unwrap_or(rest.len())])
}

fn missing(document: &str, sources: &[(String, String)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, source) in sources {
        for (name, variants) in errors(source) {
            let Some(section) = section(document, &name) else {
                faults.push(format!("docs/errors.md has no section on {name} of {path}"));
                continue;
            };
            for variant in variants {
                let cells = section.lines().filter_map(|row| row.split('|').nth(1));
                if !cells.into_iter().any(|cell| cell.contains(&format!("`{variant}`"))) {
                    faults.push(format!("docs/errors.md does not name {name}::{variant}"));
                }
            }
        }
    }
    faults
}

#[test]
fn every_error_says_what_the_caller_does() {
    let document = read("docs/errors.md");
    let sources: Vec<_> = [
        "crates/onceward-keys/src",
        "crates/onceward-http/src",
        "crates/onceward-client/src",
        "crates/onceward/src",
    ]
    .into_iter()
    .flat_map(texts)
    .chain([(
        "crates/onceward-core/src/error.rs".to_owned(),
        // The same words as ClientError, which the document says.
        read("crates/onceward-core/src/error.rs").replace("pub enum BackendError", "enum"),
    )])
    .filter(|(path, _)| path.ends_with(".rs"))
    .collect();
    let seen: usize = sources.iter().map(|(_, source)| errors(source).len()).sum();
    assert!(seen >= 12, "only {seen} errors were looked at");
    expect_none(&missing(&document, &sources));

    let planted = "pub enum AError {\n    /// One.\n    One,\n    Two {\n        /// How.\n        got: u8,\n    },\n}\npub enum BError {\n    One,\n}\n";
    let document = "## AError\n\n| variant | then |\n|---|---|\n| `One` | `Two` |\n";
    let faults = missing(document, &[("planted.rs".to_owned(), planted.to_owned())]);
    assert_eq!(faults.len(), 2, "planted: a variant and an error that are missing: {faults:?}");
}
