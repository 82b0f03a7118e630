//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use onceward_bench::engine::Fault;
use onceward_bench::load::Mix;

use super::echo::Echo;
use super::figures::{cpu_micros, latency_micros, rate, spread};
use super::launch::{LAUNCH, Launch};
use super::mode::Mode;
use super::process::Transport;
use super::program::Given;
use super::rounds::{self, Scope};
use super::target::TargetName;
use crate::command::count;

#[derive(Debug, Parser)]
#[command(
    name = "onceward-bench-rivals",
    about = "Onceward's daemon beside other servers, on this machine",
    version
)]
struct Command {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Starts each server in turn, asks all the same, and compares
    Rivals(Box<RivalsArgs>),
    /// The floor as a server: moves bytes and does nothing else
    Echo(EchoArgs),
    #[command(name = LAUNCH, hide = true)]
    Launch(Launch),
}

#[derive(Args, Debug)]
struct EchoArgs {
    /// Listen on this TCP address
    #[arg(long, value_name = "ADDRESS:PORT", required_unless_present = "unix")]
    listen: Option<SocketAddr>,
    /// Listen on this Unix socket
    #[arg(long, value_name = "PATH", conflicts_with = "listen")]
    unix: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct RivalsArgs {
    /// Targets; several with commas
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "echo,onceward,redis,valkey,memcached,redis-lua,valkey-lua"
    )]
    targets: Vec<TargetName>,
    /// Which cores server and generator have
    #[arg(long, value_name = "MODE", value_delimiter = ',', default_value = "same,two")]
    mode: Vec<Mode>,
    /// Operations: first, replay, mixed, conflict, mismatch
    #[arg(long, value_name = "MIX", value_delimiter = ',', default_value = "first,replay", value_parser = mix)]
    mix: Vec<Mix>,
    /// Connections; several with commas
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,50")]
    connections: Vec<usize>,
    /// Requests in flight on each connection; more than 1 only with more than one connection
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,16")]
    pipeline: Vec<usize>,
    /// Threads of our server
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1")]
    server_threads: Vec<usize>,
    /// Keys
    #[arg(long, value_name = "N", default_value = "100k", value_parser = count)]
    keys: u64,
    /// How often each stored key is asked for
    #[arg(long, value_name = "N", default_value_t = 3)]
    replay_rounds: u64,
    /// Operations before those that count
    #[arg(long, value_name = "N", default_value = "20k", value_parser = count)]
    warm_up: u64,
    /// Bytes of each value
    #[arg(long, value_name = "BYTES", default_value_t = 512)]
    value_bytes: usize,
    /// Runs of each
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
    /// Over Unix sockets instead of TCP
    #[arg(long)]
    unix: bool,
    /// How long a run of two cores waits for them to be near, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    gate: u64,
    /// How often a run is repeated whose cores moved apart
    #[arg(long, value_name = "N", default_value_t = 3)]
    far_retries: usize,
    /// Decides keys, values and order
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Writes everything that was found
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    given: Given,
}

fn mix(text: &str) -> Result<Mix, String> {
    Mix::of_name(text).ok_or_else(|| format!("{text:?} is no mix"))
}

impl RivalsArgs {
    fn scope(&self) -> Scope {
        let points = self.connections.iter().flat_map(|&connections| {
            let depths = self.pipeline.iter().filter(move |&&depth| connections > 1 || depth == 1);
            depths.map(move |&depth| (connections, depth))
        });
        Scope {
            targets: self.targets.clone(),
            modes: self.mode.clone(),
            mixes: self.mix.clone(),
            points: points.collect(),
            server_threads: self.server_threads.clone(),
            keys: self.keys,
            replay_rounds: self.replay_rounds,
            warm_up: self.warm_up,
            value_bytes: self.value_bytes,
            runs: self.runs,
            transport: if self.unix { Transport::Unix } else { Transport::Tcp },
            patience: Duration::from_secs(self.gate),
            far_retries: self.far_retries,
            seed: self.seed,
            given: self.given.clone(),
        }
    }
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Command::parse().part {
        Part::Rivals(arguments) => rivals(&arguments),
        Part::Echo(arguments) => echo(&arguments),
        Part::Launch(launch) => launch.run().map(|never| match never {}),
    };
    match done {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("onceward-bench-rivals: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn echo(arguments: &EchoArgs) -> Result<ExitCode, Fault> {
    let server = match (&arguments.listen, &arguments.unix) {
        (Some(address), _) => Echo::tcp(*address)?,
        (None, Some(path)) => Echo::unix(path)?,
        (None, None) => return Err("say where to listen".into()),
    };
    server.serve()?;
    Ok(ExitCode::SUCCESS)
}

fn rivals(arguments: &RivalsArgs) -> Result<ExitCode, Fault> {
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} of {duration}  {msg}")?;
    let progress = ProgressBar::new(0).with_style(style);
    let document = rounds::run(&arguments.scope(), &progress)?;
    progress.finish_and_clear();
    if let Some(path) = &arguments.json {
        crate::command::write_json(path, &document)?;
    }
    let mut failed = false;
    let mut last = String::new();
    for series in &document.series {
        let load = &series.load;
        let head = format!("\n{} {} × {} {}", load.mode, load.connections, load.pipeline, load.mix);
        if head != last {
            println!("{head}");
            last = head;
        }
        let floor = document.series.iter().find(|other| {
            let same = &other.load;
            other.target.name == "echo"
                && (&same.mode, same.connections, same.pipeline, &same.mix)
                    == (&load.mode, load.connections, load.pipeline, &load.mix)
        });
        let floor = floor.and_then(|floor| spread(floor, cpu_micros));
        let name = &series.target.name;
        let cpu = spread(series, cpu_micros);
        let text = cpu.map_or("–".to_owned(), |cpu| {
            format!("{:.3} [{:.3}–{:.3}]", cpu.median, cpu.least, cpu.greatest)
        });
        let ratio = cpu.zip(floor).map_or(f64::NAN, |(cpu, floor)| cpu.median / floor.median);
        let at = |percentile| {
            spread(series, |run| latency_micros(run, percentile)).map_or(f64::NAN, |at| at.median)
        };
        let rate = spread(series, rate).map_or(f64::NAN, |rate| rate.median);
        println!(
            "{name:12} {:2} {text:24} × {ratio:5.2}  p50 {:8.1} p99 {:8.1} p99.9 {:8.1}  {rate:9.0}/s",
            load.server_threads.unwrap_or(0),
            at("50"),
            at("99"),
            at("99.9"),
        );
        for run in &series.runs {
            if let Some(failure) = &run.failure {
                println!("  FAILED: {failure}");
                failed = true;
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
