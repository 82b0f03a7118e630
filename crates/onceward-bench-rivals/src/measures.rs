//! What only a store of our kind has to show: one command each.
//!
//! Each ends with an error if a count, a byte or a bound is wrong; timings are only printed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use onceward_bench::engine::churn::{self, Churn};
use onceward_bench::engine::full::{self, Full};
use onceward_bench::engine::process::Machine;
use onceward_bench::engine::storm::{Storm, Ticking};
use onceward_bench::engine::waiters::{self, Crowd};
use onceward_bench::engine::{Fault, Findings, collide, cores};
use serde::Serialize;

use crate::command::{count, write_json};
use crate::task::Errand;

/// One measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Measure {
    /// A million entries end within one second while two threads work
    Expiry {
        /// Entries that end
        #[arg(long, value_name = "N", default_value = "1M", value_parser = count)]
        entries: u64,
        /// Bytes of each value
        #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
        value_bytes: u32,
        /// Seconds from their first begin to their first end
        #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        retention: u64,
        /// Who calls the store's tick: a thread of its own, or the first worker, as the server does
        #[arg(long, value_enum, default_value = "both")]
        ticks: Ticks,
        #[command(flatten)]
        common: MeasureArgs,
    },
    /// Keys built to collide under hashes without a secret, beside random keys
    Collide {
        /// Keys of each family, at most 131,072
        #[arg(long, value_name = "N", default_value = "131072", value_parser = count)]
        keys: u64,
        #[command(flatten)]
        common: MeasureArgs,
    },
    /// Very many begins under a compressed clock, few alive at a time
    Churn {
        /// Begins in all
        #[arg(long, value_name = "N", default_value = "100M", value_parser = count)]
        begins: u64,
        /// Entries alive at a time: a multiple of 20,000
        #[arg(long, value_name = "N", default_value = "2M", value_parser = count)]
        alive: u64,
        /// Writes the figures
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// A budget filled until it refuses
    Full {
        /// The budget in MiB
        #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
        memory: u64,
        /// Bytes of each value
        #[arg(long, value_name = "BYTES", default_value_t = 512, value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
        value_bytes: u32,
        /// Writes the figures
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// A crowd that waits for one key
    Waiters {
        /// Waiters
        #[arg(long, value_name = "N", default_value = "10k", value_parser = count)]
        waiters: u64,
        /// Keys, one after the other
        #[arg(long, value_name = "N", default_value = "20", value_parser = count)]
        rounds: u64,
        /// Writes the figures
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct MeasureArgs {
    /// Runs
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    runs: u16,
    /// Writes the figures
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Ticks {
    /// A thread
    Thread,
    /// The first worker
    Worker,
    /// One after the other
    Both,
}

#[derive(Serialize)]
struct Written<'a> {
    machine: &'a Machine,
    findings: &'a [Findings],
}

pub(crate) fn run(measure: &Measure) -> Result<(), Fault> {
    let machine = Machine::here();
    let findings = find(measure)?;
    let Machine { cpu, cores, kernel, load_at_start, .. } = &machine;
    println!("{cpu}, {cores} cores, Linux {kernel}, load at start {load_at_start:.2}");
    for found in &findings {
        print!("\n{}", found.report);
        for fault in &found.faults {
            println!("WRONG: {fault}");
        }
    }
    let json = match measure {
        Measure::Expiry { common, .. } | Measure::Collide { common, .. } => &common.json,
        Measure::Churn { json, .. }
        | Measure::Full { json, .. }
        | Measure::Waiters { json, .. } => json,
    };
    if let Some(path) = json {
        write_json(path, &Written { machine: &machine, findings: &findings })?;
    }
    let faults: usize = findings.iter().map(|found| found.faults.len()).sum();
    if faults == 0 { Ok(()) } else { Err(format!("{faults} findings are wrong").into()) }
}

/// Also for tiny runs: findings without a word on standard output.
pub(crate) fn find(measure: &Measure) -> Result<Vec<Findings>, Fault> {
    match measure {
        Measure::Expiry { entries, value_bytes, retention, ticks, common } => {
            let cores = cores::available()?;
            let mut found = Vec::new();
            let ways = match ticks {
                Ticks::Thread => &[Ticking::Thread][..],
                Ticks::Worker => &[Ticking::Worker],
                Ticks::Both => &[Ticking::Thread, Ticking::Worker],
            };
            for &ticking in ways {
                let storm = Storm {
                    entries: *entries,
                    value_bytes: *value_bytes as usize,
                    retention: Duration::from_secs(*retention),
                    cores: cores[..cores.len().min(2)].to_vec(),
                    ticking,
                };
                let mut all = Findings::default();
                for run in 1..=common.runs {
                    eprintln!("run {run} of {}: ticks by {ticking:?}", common.runs);
                    all.take(Errand::Storm(storm.clone()).run_apart()?);
                }
                found.push(all);
            }
            Ok(found)
        }
        Measure::Collide { keys, common } => {
            let keys = usize::try_from(*keys)?;
            Ok(vec![collide::run(keys, usize::from(common.runs))?])
        }
        Measure::Churn { begins, alive, .. } => {
            let bar = ProgressBar::new(*begins);
            let template = "{elapsed_precise} {wide_bar} {human_pos} of {human_len} begins";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            let churn = Churn { begins: *begins, alive: *alive };
            let found = churn::run(churn, |done| {
                bar.set_position(done);
                if bar.is_hidden() {
                    eprintln!("{done} of {begins} begins");
                }
            });
            bar.finish_and_clear();
            Ok(vec![found?])
        }
        Measure::Full { memory, value_bytes, .. } => {
            let full = Full { memory_bytes: memory << 20, value_bytes: *value_bytes as usize };
            Ok(vec![full::run(full)?])
        }
        Measure::Waiters { waiters, rounds, .. } => {
            Ok(vec![waiters::run(Crowd { waiters: *waiters, rounds: *rounds })?])
        }
    }
}
