//! `journal repair`: a data directory made fit to start from, at the price of what is damaged.

use std::fmt::Write as _;

use clap::Args;
use onceward_journal::inspect::{self, Cut, RepairMode, RepairReport};
use serde::Serialize;

use super::DirectoryArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::serve::refusal;
use crate::{output, render};

const EXAMPLES: &str = "\
Every damaged file is cut where its damage begins. What was acknowledged behind it is lost: keys read
as they did before, so work that has happened may be run again. A backup is better, unless it is
older than what is lost. What is cut off is copied to a file quarantine-… first.

Without --yes it says what it would do, and exits 26 if there is anything. No daemon may run there.

Examples:
  onceward journal repair --data-dir /var/lib/onceward
  onceward journal repair --data-dir /var/lib/onceward --yes";

/// Cut what is damaged out of a data directory, so that a daemon starts on it
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RepairArguments {
    #[command(flatten)]
    directory: DirectoryArguments,
    /// Do it
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct Repaired<'a> {
    schema: &'static str,
    outcome: &'static str,
    cuts: Vec<CutShown<'a>>,
    without_witness: &'a [String],
}

#[derive(Serialize)]
struct CutShown<'a> {
    name: &'a str,
    keeps_bytes: u64,
    loses_bytes: u64,
    what: &'a str,
    quarantine: Option<&'a str>,
}

pub(super) fn run(arguments: &RepairArguments, json: bool) -> Result<Exit, Failure> {
    let directory = &arguments.directory;
    let mode = if arguments.yes { RepairMode::Apply } else { RepairMode::Plan };
    let owner = format!("process {}, onceward journal repair\n", std::process::id());
    let report = inspect::repair(&directory.disk()?, &owner, mode)
        .map_err(|error| refusal(&directory.data_dir, &error))?;
    let (outcome, exit) = match mode {
        _ if report.is_empty() => ("nothing_to_repair", Exit::Ok),
        RepairMode::Plan => ("repair_planned", Exit::Damaged),
        RepairMode::Apply => ("repaired", Exit::Ok),
    };
    let cuts = report.cuts.iter().map(|Cut { name, keeps, loses, what, quarantine }| CutShown {
        name,
        keeps_bytes: *keeps,
        loses_bytes: *loses,
        what,
        quarantine: quarantine.as_deref(),
    });
    let repaired = Repaired {
        schema: render::SCHEMA,
        outcome,
        cuts: cuts.collect(),
        without_witness: &report.without_witness,
    };
    let told =
        if json { render::json(&repaired) } else { lines(&report, outcome, mode).into_bytes() };
    output::print(&told).map(|()| exit)
}

fn lines(report: &RepairReport, outcome: &str, mode: RepairMode) -> String {
    let mut text = format!("{outcome}\n");
    for Cut { name, keeps, loses, what, quarantine } in &report.cuts {
        // A string takes every write.
        let _ = writeln!(text, "  {name}  {what}; keeps {keeps} bytes, loses at least {loses}");
        if let Some(copy) = quarantine {
            let _ = writeln!(text, "  {copy}  what was cut off");
        }
    }
    for name in &report.without_witness {
        let _ = writeln!(
            text,
            "  {name}  counts as it is: nobody is left to say how far it was synced"
        );
    }
    if mode == RepairMode::Plan && !report.is_empty() {
        text.push_str("nothing was changed: --yes does it\n");
    }
    text
}
