//! `journal verify`: whether a daemon would start on a data directory, and what stands in its way.

use std::fmt::Write as _;

use clap::Args;
use onceward_journal::FileState;
use onceward_journal::inspect::{self, FileReport, Finding, VerifyReport};
use serde::Serialize;

use super::DirectoryArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::quantity::spelt_size;
use crate::serve::refusal;
use crate::{output, render};

const EXAMPLES: &str = "\
Exit 0 if a daemon would start, else 26. A torn tail is what a crash leaves: nothing in it was
acknowledged. Beside a daemon that runs, the ends of its open files are what they were at some
instant.

Examples:
  onceward journal verify --data-dir /var/lib/onceward
  onceward journal verify --data-dir /var/lib/onceward --json | jq '.files[] | select(.finding == \"damaged\")'";

/// Read everything in a data directory, hold it against its checksums, and change nothing
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    directory: DirectoryArguments,
}

#[derive(Serialize)]
struct Verified<'a> {
    schema: &'static str,
    outcome: &'static str,
    format: u32,
    instance: u64,
    has_witness: bool,
    files: Vec<File<'a>>,
    leftovers: &'a [String],
}

#[derive(Serialize)]
struct File<'a> {
    name: &'a str,
    level: u8,
    state: &'static str,
    valid_bytes: u64,
    batches: u64,
    frames: u64,
    finding: &'static str,
    /// At which byte, if at one.
    at: Option<u64>,
    what: Option<&'a str>,
    synced_bytes: Option<u64>,
}

impl<'a> From<&'a FileReport> for File<'a> {
    fn from(file: &'a FileReport) -> Self {
        let (finding, at, what, synced_bytes) = match &file.finding {
            Finding::Sound => ("sound", None, None, None),
            Finding::TornTail { at } => ("torn_tail", Some(*at), None, None),
            Finding::Damaged { at, what, synced } => {
                ("damaged", Some(*at), Some(what.as_str()), Some(*synced))
            }
            Finding::Missing => ("missing", None, None, None),
        };
        let state = match file.state {
            FileState::Open => "open",
            FileState::Sealed { .. } => "sealed",
            FileState::Failed { .. } => "failed",
        };
        Self {
            name: &file.name,
            level: file.level,
            state,
            valid_bytes: file.valid_bytes,
            batches: file.batches,
            frames: file.frames,
            finding,
            at,
            what,
            synced_bytes,
        }
    }
}

pub(super) fn run(arguments: &VerifyArguments, json: bool) -> Result<Exit, Failure> {
    let directory = &arguments.directory;
    let report = inspect::verify(&directory.disk()?)
        .map_err(|error| refusal(&directory.data_dir, &error))?;
    let verified = Verified {
        schema: render::SCHEMA,
        outcome: if report.is_sound() { "sound" } else { "unsound" },
        format: report.format,
        instance: report.instance,
        has_witness: report.has_witness,
        files: report.files.iter().map(File::from).collect(),
        leftovers: &report.leftovers,
    };
    let told = if json { render::json(&verified) } else { lines(&report, &verified).into_bytes() };
    output::print(&told)?;
    Ok(if report.is_sound() { Exit::Ok } else { Exit::Damaged })
}

fn lines(report: &VerifyReport, verified: &Verified<'_>) -> String {
    let mut text = format!("{}\n", verified.outcome);
    for File { name, frames, valid_bytes, finding, at, what, .. } in &verified.files {
        let size = spelt_size(*valid_bytes);
        let _ = write!(text, "  {name}  {frames} facts in {size}: {}", finding.replace('_', " "));
        if let Some(at) = at {
            let _ = write!(text, " at byte {at}"); // A string takes every write.
        }
        if let Some(what) = what {
            let _ = write!(text, ", {what}");
        }
        text.push('\n');
    }
    if !report.has_witness {
        text.push_str("  progress does not say how far open files were synced\n");
    }
    for name in &report.leftovers {
        let _ = writeln!(text, "  {name}  half made: the next start takes it away");
    }
    text
}
