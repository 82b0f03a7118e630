//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use onceward_bench::engine::Fault;

use crate::comparison::{self, Comparison, Scope};
use crate::measures::{self, Measure};
use crate::rivals::SystemName;
use crate::task::{CHILD, Errand, ValueChoice};
use crate::{plot, smoke, table};

#[derive(Debug, Parser)]
#[command(
    name = "engine",
    about = "Measures the engine beside other systems and the machine's floors",
    args_conflicts_with_subcommands = true
)]
struct Command {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    compare: CompareArgs,
    /// Memory comparison: entries of each system; 0 leaves it out
    #[arg(long, value_name = "N", default_value = "5M", value_parser = count)]
    memory_entries: u64,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Bytes per entry only, each system filled in a process of its own
    Memory {
        #[command(flatten)]
        compare: CompareArgs,
        /// Entries of each system
        #[arg(long, value_name = "N", default_value = "5M", value_parser = count)]
        memory_entries: u64,
    },
    #[command(flatten)]
    Measure(Measure),
    /// Draws an earlier comparison
    Plot {
        /// What `--json` wrote
        from: PathBuf,
        /// The picture to write
        to: PathBuf,
    },
    #[command(name = CHILD, hide = true)]
    Child { errand: String },
}

#[derive(Args, Debug)]
struct CompareArgs {
    /// Entries; several with commas, M and k for millions and thousands
    #[arg(long, value_name = "N", default_value = "1M,10M", value_delimiter = ',', value_parser = count)]
    entries: Vec<u64>,
    /// Bytes of each value, or `recorded`; several with commas
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "64,512,4096,recorded",
        value_delimiter = ','
    )]
    values: Vec<String>,
    /// Threads: 1, 2 or both
    #[arg(long, value_name = "N", default_value = "1,2", value_delimiter = ',', value_parser = threads)]
    threads: Vec<usize>,
    /// Systems in this order; `onceward` is ours
    #[arg(
        long,
        value_name = "NAME",
        default_value = "onceward,dashmap,papaya,scc,moka,sharded",
        value_delimiter = ','
    )]
    systems: Vec<SystemName>,
    /// Runs of each, in turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    runs: u16,
    /// Bytes of each of our fingerprints
    #[arg(long, value_name = "BYTES", default_value_t = 16, value_parser = clap::value_parser!(u8).range(16..=32))]
    fingerprint_bytes: u8,
    /// Begins between a key's begin and its complete; otherwise a million, or half the entries
    #[arg(long, value_name = "N", value_parser = count)]
    window: Option<u64>,
    /// Let rivals' tables grow instead of giving them room for all entries
    #[arg(long)]
    rivals_grow: bool,
    /// File of recorded calls for `recorded` values
    #[arg(long, value_name = "FILE")]
    traffic: Option<PathBuf>,
    /// Largest process, in GiB: larger groups are left out
    #[arg(long, value_name = "GIB", default_value_t = 11.0)]
    memory_max: f64,
    /// How long a process with two threads waits for near cores, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    gate: u64,
    /// How often a run of two threads is repeated whose cores moved apart
    #[arg(long, value_name = "N", default_value_t = 2)]
    far_retries: u16,
    /// Writes raw figures and facts of the machine
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draws the figures
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// A number with an optional k or M behind it.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'M') => (&text[..text.len() - 1], 1_000_000),
        Some(b'k') => (&text[..text.len() - 1], 1_000),
        _ => (text, 1),
    };
    let number: u64 = digits
        .replace('_', "")
        .parse()
        .map_err(|_| format!("{text:?} is no count: give digits, or digits with k or M"))?;
    number.checked_mul(factor).ok_or_else(|| format!("{text} is too large"))
}

fn threads(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "2" => Ok(2),
        _ => Err("give 1, 2 or 1,2".to_owned()),
    }
}

impl CompareArgs {
    /// What to compare, and what is left out because it cannot be had.
    fn scope(&self) -> Result<(Scope, Vec<String>), Fault> {
        if self.entries.iter().any(|entries| *entries < 64) {
            return Err("--entries: give at least 64".into());
        }
        let (mut values, mut skipped) = (Vec::new(), Vec::new());
        for text in &self.values {
            if text != "recorded" {
                let size = count(text).map_err(|why| format!("--values: {why}, or `recorded`"))?;
                let choice = ValueChoice::Bytes(usize::try_from(size)?);
                choice.load()?;
                values.push(choice);
                continue;
            }
            let path = self.traffic.clone().unwrap_or_else(comparison::traffic_beside);
            if self.traffic.is_some() || path.exists() {
                let choice = ValueChoice::Recorded(path);
                choice.load()?;
                values.push(choice);
            } else {
                let beside = "recorded bodies: no file of recorded calls beside the repository";
                skipped.push(format!("{beside}; --traffic FILE names one"));
            }
        }
        if !(0.1..=1e6).contains(&self.memory_max) {
            return Err("--memory-max: give GiB, at least 0.1".into());
        }
        let scope = Scope {
            entries: self.entries.clone(),
            values,
            threads: self.threads.clone(),
            systems: self.systems.clone(),
            runs: usize::from(self.runs),
            fingerprint_bytes: usize::from(self.fingerprint_bytes),
            presized: !self.rivals_grow,
            memory_bytes_max: (self.memory_max * f64::from(1 << 30)) as u64,
            patience: Duration::from_secs(self.gate),
            far_retries: usize::from(self.far_retries),
            window: self.window,
        };
        Ok((scope, skipped))
    }

    fn show(&self, comparison: &Comparison) -> Result<(), Fault> {
        print!("{}", table::text(comparison));
        if let Some(path) = &self.json {
            write_json(path, comparison)?;
        }
        if let Some(path) = &self.plot {
            plot::write(comparison, path)?;
        }
        Ok(())
    }
}

pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), Fault> {
    std::fs::write(path, serde_json::to_vec_pretty(value)?)
        .map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Runs the benchmark with these arguments, the program's name first. `cargo bench` adds
/// `--bench`; without it and without any other argument a tiny run is made.
#[must_use]
pub fn main(mut arguments: Vec<String>) -> ExitCode {
    let before = arguments.len();
    arguments.retain(|argument| argument != "--bench");
    let done = if arguments.len() <= 1 && before == arguments.len() {
        smoke::run()
    } else {
        run(Command::parse_from(arguments))
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("engine: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Fault> {
    match command.part {
        None => {
            let (scope, skipped) = command.compare.scope()?;
            let mut comparison = comparison::run(&scope)?;
            comparison.skipped.extend(skipped);
            if command.memory_entries > 0 {
                // The bars name these sizes.
                let values = [64, 512].map(ValueChoice::Bytes).to_vec();
                let scope = Scope { values, window: None, ..scope };
                let memory = comparison::run_memory(&scope, command.memory_entries)?;
                comparison.memory = memory.memory;
                comparison.skipped.extend(memory.skipped);
            }
            command.compare.show(&comparison)
        }
        Some(Part::Memory { compare, memory_entries }) => {
            let (scope, skipped) = compare.scope()?;
            let mut comparison = comparison::run_memory(&scope, memory_entries)?;
            comparison.skipped.extend(skipped);
            compare.show(&comparison)
        }
        Some(Part::Measure(measure)) => measures::run(&measure),
        Some(Part::Plot { from, to }) => {
            let text =
                std::fs::read(&from).map_err(|error| format!("{}: {error}", from.display()))?;
            let comparison: Comparison = serde_json::from_slice(&text)
                .map_err(|error| format!("{}: {error}", from.display()))?;
            plot::write(&comparison, &to)
        }
        Some(Part::Child { errand }) => serde_json::from_str::<Errand>(&errand)?.run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_flags_are_judged() {
        for (text, want) in [
            ("10M", Some(10_000_000)),
            ("5k", Some(5_000)),
            ("1_000", Some(1_000)),
            ("", None),
            ("M", None),
            ("ten", None),
            ("99999999999999999999", None),
            ("99999999999999999M", None),
        ] {
            assert_eq!(count(text).ok(), want, "{text:?}");
        }
        for (why, arguments, right) in [
            ("nothing", &[][..], true),
            ("sizes", &["--entries", "1M,2k", "--values", "64"], true),
            ("a size below the stamps", &["--values", "8"], false),
            ("no size", &["--values", "big"], false),
            ("too few entries", &["--entries", "10"], false),
            ("a file that is not there", &["--values", "recorded", "--traffic", "none"], false),
            ("three threads", &["--threads", "3"], false),
            ("an unknown system", &["--systems", "redis"], false),
            ("no run", &["--runs", "0"], false),
            ("a short fingerprint", &["--fingerprint-bytes", "8"], false),
        ] {
            let arguments = std::iter::once("engine").chain(arguments.iter().copied());
            let scope = Command::try_parse_from(arguments)
                .map_err(Fault::from)
                .and_then(|command| command.compare.scope());
            assert_eq!(scope.is_ok(), right, "{why}: {:?}", scope.err());
        }
    }
}
