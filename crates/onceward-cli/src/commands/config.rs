//! `config`: the settings that count, each with where it comes from; or all there are, as a file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use clap::{ArgMatches, Args};
use onceward::Durability;
use serde::Serialize;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::render;
use crate::settings::{self, Effective, Origin, SettingsFile};

const EXAMPLES: &str = "\
Without --default nothing is changed and nothing is asked. A flag of the shared options, typed here,
shows as one. Secrets are not shown.

Examples:
  onceward config                                    # what counts here, and why
  onceward config --default > onceward.toml          # every setting with its default, to edit";

/// Show the settings that count, and where each comes from
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConfigArguments {
    /// Print a settings file that holds every setting with its help and its default, commented out
    #[arg(long)]
    pub(crate) default: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    schema: &'static str,
    outcome: &'static str,
    file: Option<&'a Path>,
    settings: &'a [Effective],
    namespaces: BTreeMap<&'a str, BTreeMap<&'static str, Value>>,
}

/// What to print.
///
/// # Errors
/// A variable whose value cannot be used.
pub(crate) fn run(
    arguments: &ConfigArguments,
    file: Option<&SettingsFile>,
    matches: &ArgMatches,
    json: bool,
) -> Result<Vec<u8>, Failure> {
    if arguments.default {
        return Ok(settings::default_file().into_bytes());
    }
    let (effective, problems) = settings::effective(file, Some(matches));
    if !problems.is_empty() {
        return Err(settings::refusal(&problems));
    }
    let namespaces = file.map(|file| &file.namespaces).into_iter().flatten();
    let namespaces = namespaces.map(|(name, config)| {
        let config = [
            ("entries_max", json!(config.entries_max)),
            ("set_aside_bytes", json!(config.set_aside_bytes)),
            ("durability", json!(config.durability.map(Durability::name))),
        ];
        (name.as_str(), config.into_iter().collect())
    });
    let shown = Shown {
        schema: render::SCHEMA,
        outcome: "config",
        file: file.map(|file| file.path.as_path()),
        settings: &effective,
        namespaces: namespaces.collect(),
    };
    Ok(if json { render::json(&shown) } else { table(&shown).into_bytes() })
}

fn table(shown: &Shown<'_>) -> String {
    let mut text = match shown.file {
        Some(path) => format!("settings file: {}\n", path.display()),
        None => "settings file: none\n".to_owned(),
    };
    let name_width = shown.settings.iter().map(|set| set.name.len()).max().unwrap_or_default();
    let mut section = None;
    for set in shown.settings {
        if section != Some(set.section) {
            section = Some(set.section);
            let name = set.section.map_or("every command".to_owned(), |name| format!("[{name}]"));
            let _ = writeln!(text, "\n{name}"); // A string takes every write.
        }
        let origin = match (set.origin, set.line) {
            (Origin::File, Some(line)) => format!("file, line {line}"),
            (Origin::Environment, _) => set.variable.clone(),
            (origin, _) => origin.word().to_owned(),
        };
        let value = set.shown();
        let _ = writeln!(text, "  {:<name_width$}  {value:<28}  {origin}", set.name);
    }
    for (name, config) in &shown.namespaces {
        let _ = writeln!(text, "\n[namespaces.{name}]");
        for (setting, value) in config {
            let value = match value {
                Value::Null => "(not set)".to_owned(),
                Value::String(word) => word.clone(),
                value => value.to_string(),
            };
            let _ =
                writeln!(text, "  {:<name_width$}  {value:<28}  file", setting.replace('_', "-"));
        }
    }
    text
}
