//! `docs/http.md` holds the tables that the code decides by.

use onceward_http::{KEPT, NEVER_KEPT, PROBLEMS, TYPE_BASE_DEFAULT, preset_table, problem_table};

const DOCUMENT: &str = include_str!("../../../../docs/http.md");

/// Whether the document holds `table` between its markers of that name.
fn fault(document: &str, name: &str, table: &str) -> Option<String> {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let held = document.split_once(&start).and_then(|(_, rest)| rest.split_once(&end));
    match held {
        Some((held, _)) if held == table => None,
        _ => Some(format!("docs/http.md must hold, between {start}and {end}:\n{table}")),
    }
}

#[test]
fn the_document_has_the_tables_of_the_code() {
    let names = |names: &[http::HeaderName]| {
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ") + "\n"
    };
    let tables = [
        ("problems", problem_table()),
        ("presets", preset_table()),
        ("headers that are kept", names(&KEPT)),
        ("headers that are never kept", names(&NEVER_KEPT)),
    ];
    let faults: Vec<_> =
        tables.iter().filter_map(|(name, table)| fault(DOCUMENT, name, table)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));

    let (name, table) = &tables[1];
    let planted = DOCUMENT.replacen("| 2xx | kept |", "| 2xx | not done |", 1);
    assert!(fault(&planted, name, table).is_some(), "planted: another cell");
}

/// The `type`s that the OpenAPI description lists.
fn described_types(document: &str) -> Vec<&str> {
    let (_, description) = document.split_once("```yaml\n").expect("a description");
    let (description, _) = description.split_once("```").expect("its end");
    description.lines().filter_map(|line| line.trim().strip_prefix("- ")).collect()
}

#[test]
fn the_openapi_description_lists_every_type() {
    let want: Vec<_> = PROBLEMS.iter().map(|row| [TYPE_BASE_DEFAULT, row.name].concat()).collect();
    assert_eq!(described_types(DOCUMENT), want);
}
