//! `check-config`: judges settings without starting anything.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::arguments::Shared;
use crate::exit::Exit;
use crate::render;
use crate::settings::{self, Judgement};

const EXAMPLES: &str = "\
It reads FILE, or the file that every command would read, together with the environment, and tells
everything that is wrong at once. Exit 0 if it can be used, perhaps with warnings; else 2.

Examples:
  onceward check-config
  onceward check-config onceward.toml --json | jq -r '.problems[].message'";

/// Judge a settings file and the environment without starting anything
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckConfigArguments {
    /// The file [default: the one that --config names, or the first found]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// What came of it.
pub(crate) struct Verdict {
    file: Option<PathBuf>,
    judgement: Judgement,
}

/// Judges; what cannot be read is a problem too.
pub(crate) fn run(arguments: &CheckConfigArguments, shared: &Shared) -> Verdict {
    let file = settings::find(arguments.file.as_deref().or(shared.config.as_deref()));
    let judgement = settings::judge(file.as_deref());
    Verdict { file, judgement }
}

impl Verdict {
    pub(crate) fn exit(&self) -> Exit {
        if self.judgement.problems.is_empty() { Exit::Ok } else { Exit::BadInput }
    }

    fn word(&self) -> &'static str {
        if self.judgement.problems.is_empty() { "valid" } else { "invalid" }
    }

    /// For people.
    pub(crate) fn lines(&self) -> Vec<u8> {
        let Judgement { problems, warnings } = &self.judgement;
        let mut text = String::new();
        for (kind, found) in [("error", problems), ("warning", warnings)] {
            for problem in found {
                let _ = writeln!(text, "{kind}: {problem}"); // A string takes every write.
            }
        }
        let file = match &self.file {
            Some(path) => path.display().to_string(),
            None => "no settings file".to_owned(),
        };
        let counted = |count: usize, what: &str| {
            format!("{count} {what}{}", if count == 1 { "" } else { "s" })
        };
        let _ = writeln!(
            text,
            "{}: {file}: {}, {}",
            self.word(),
            counted(problems.len(), "error"),
            counted(warnings.len(), "warning")
        );
        text.into_bytes()
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", render::SCHEMA)?;
        map.serialize_entry("outcome", self.word())?;
        map.serialize_entry("file", &self.file)?;
        map.serialize_entry("problems", &self.judgement.problems)?;
        map.serialize_entry("warnings", &self.judgement.warnings)?;
        map.end()
    }
}
