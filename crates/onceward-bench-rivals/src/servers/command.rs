//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use onceward_bench::engine::{Fault, cores};
use onceward_bench::load::{FINGERPRINT_BYTES, Mix};

use super::durability::Durability;
use super::echo::Echo;
use super::gate::Gate;
use super::launch::{LAUNCH, Launch};
use super::mode::Mode;
use super::output::OutputArgs;
use super::process::Transport;
use super::program::Given;
use super::recovery::{self, RecoveryScope};
use super::rounds::{self, Scope};
use super::target::TargetName;
use crate::client_cost;
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
    /// Bytes per key: each server filled with many
    Memory(Box<MemoryArgs>),
    /// How long each takes to have again what it stored, after a restart
    Recovery(RecoveryArgs),
    /// Processor time of a call in our client, beside redis-rs
    Client(client_cost::Options),
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
    /// What acknowledged means: in memory, synced each second, or synced; several with commas
    #[arg(long, value_name = "LEVEL", value_delimiter = ',', default_value = "memory")]
    durability: Vec<Durability>,
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
    /// Bytes of each fingerprint that is sent, where a target knows such a thing
    #[arg(long, value_name = "BYTES", default_value_t = FINGERPRINT_BYTES as u8, value_parser = clap::value_parser!(u8).range(16..=FINGERPRINT_BYTES as i64))]
    fingerprint_bytes: u8,
    /// Runs of each
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
    /// Over Unix sockets instead of TCP
    #[arg(long)]
    unix: bool,
    /// How long a run of two cores waits for them to be near, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    gate: u64,
    /// The same for all runs together: then those that are left start at once
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    gate_in_all: u64,
    /// Near is a cache line that goes from core to core in so many nanoseconds. A run that starts
    /// or ends above it is marked invalid
    #[arg(long, value_name = "NANOS", default_value_t = cores::NEAR_NANOS_MAX)]
    near_ns: f64,
    /// How often a run is repeated whose cores moved apart
    #[arg(long, value_name = "N", default_value_t = 3)]
    far_retries: usize,
    /// Decides keys, values and order
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Fewer and shorter runs, for a first look
    #[arg(long, conflicts_with = "smoke")]
    quick: bool,
    /// Everything once and tiny, to show that it works: its figures mean nothing
    #[arg(long)]
    smoke: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    given: Given,
}

#[derive(Args, Debug)]
struct MemoryArgs {
    /// Targets; several with commas
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "onceward,redis,valkey,memcached,redis-lua,valkey-lua"
    )]
    targets: Vec<TargetName>,
    /// Keys
    #[arg(long, value_name = "N", default_value = "5M", value_parser = count)]
    keys: u64,
    /// Bytes of each value
    #[arg(long, value_name = "BYTES", default_value_t = 512)]
    value_bytes: usize,
    /// Bytes of each fingerprint that is sent, where a target knows such a thing
    #[arg(long, value_name = "BYTES", default_value_t = FINGERPRINT_BYTES as u8, value_parser = clap::value_parser!(u8).range(16..=FINGERPRINT_BYTES as i64))]
    fingerprint_bytes: u8,
    /// Runs of each
    #[arg(long, value_name = "N", default_value_t = 1)]
    runs: usize,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    given: Given,
}

#[derive(Args, Debug)]
struct RecoveryArgs {
    /// Targets; several with commas
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "onceward,redis,valkey"
    )]
    targets: Vec<TargetName>,
    /// Keys
    #[arg(long, value_name = "N", default_value = "5M", value_parser = count)]
    keys: u64,
    /// Bytes of each value
    #[arg(long, value_name = "BYTES", default_value_t = 512)]
    value_bytes: usize,
    /// Starts of each
    #[arg(long, value_name = "N", default_value_t = 3)]
    starts: usize,
    /// Prints one JSON document instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    given: Given,
}

impl MemoryArgs {
    fn scope(&self) -> Scope {
        Scope {
            targets: self.targets.clone(),
            modes: vec![Mode::Same],
            mixes: vec![Mix::First],
            points: vec![(50, 16)],
            server_threads: vec![1],
            durabilities: vec![Durability::Memory],
            keys: self.keys,
            replay_rounds: 1,
            exact_index: true,
            warm_up: 0,
            value_bytes: self.value_bytes,
            fingerprint_bytes: self.fingerprint_bytes.into(),
            runs: self.runs,
            transport: Transport::Tcp,
            gate: Gate::new(cores::NEAR_NANOS_MAX, Duration::ZERO, Duration::ZERO),
            far_retries: 0,
            seed: 1,
            given: self.given.clone(),
        }
    }
}

fn mix(text: &str) -> Result<Mix, String> {
    Mix::of_name(text).ok_or_else(|| format!("{text:?} is no mix"))
}

impl RivalsArgs {
    fn scope(&self) -> Scope {
        if self.smoke {
            return self.tiny();
        }
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
            durabilities: self.durability.clone(),
            keys: self.keys,
            replay_rounds: if self.quick { 1 } else { self.replay_rounds },
            exact_index: false,
            warm_up: self.warm_up,
            value_bytes: self.value_bytes,
            fingerprint_bytes: self.fingerprint_bytes.into(),
            runs: if self.quick { self.runs.min(3) } else { self.runs },
            transport: if self.unix { Transport::Unix } else { Transport::Tcp },
            gate: Gate::new(
                self.near_ns,
                Duration::from_secs(self.gate),
                Duration::from_secs(self.gate_in_all),
            ),
            far_retries: self.far_retries,
            seed: self.seed,
            given: self.given.clone(),
        }
    }

    /// All targets, all mixes that they can be asked, all modes, and nothing that takes time. Cores
    /// may be far from each other: no figure is looked at.
    fn tiny(&self) -> Scope {
        let two = cores::available().is_ok_and(|cores| cores.len() > 1);
        Scope {
            targets: self.targets.clone(),
            modes: if two { vec![Mode::Same, Mode::Two] } else { vec![Mode::Same] },
            mixes: vec![Mix::First, Mix::Replay, Mix::Mixed, Mix::Conflict, Mix::Mismatch],
            points: vec![(1, 1), (3, 8)],
            server_threads: vec![1, 2],
            durabilities: self.durability.clone(),
            keys: 500,
            replay_rounds: 2,
            exact_index: false,
            warm_up: 100,
            value_bytes: self.value_bytes,
            fingerprint_bytes: self.fingerprint_bytes.into(),
            runs: 1,
            transport: if self.unix { Transport::Unix } else { Transport::Tcp },
            gate: Gate::new(cores::NEAR_NANOS_MAX, Duration::ZERO, Duration::ZERO),
            far_retries: 0,
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
        Part::Memory(arguments) => memory(&arguments),
        Part::Recovery(arguments) => recovery(&arguments),
        Part::Client(options) => client_cost::run(&options).map(|report| {
            print!("{report}");
            ExitCode::SUCCESS
        }),
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
    if arguments.smoke {
        println!("a tiny run, to show that it works: its figures mean nothing\n");
    }
    report(&arguments.scope(), &arguments.output)
}

fn memory(arguments: &MemoryArgs) -> Result<ExitCode, Fault> {
    report(&arguments.scope(), &arguments.output)
}

fn recovery(arguments: &RecoveryArgs) -> Result<ExitCode, Fault> {
    let scope = RecoveryScope {
        targets: arguments.targets.clone(),
        keys: arguments.keys,
        value_bytes: arguments.value_bytes,
        starts: arguments.starts,
        given: arguments.given.clone(),
    };
    let progress = progress()?;
    let found = recovery::run(&scope, &progress)?;
    progress.finish_and_clear();
    if arguments.json {
        println!("{}", serde_json::to_string(&found)?);
    } else {
        print!("{}", recovery::text(&found));
    }
    Ok(ExitCode::SUCCESS)
}

fn progress() -> Result<ProgressBar, Fault> {
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} of {duration}  {msg}")?;
    Ok(ProgressBar::new(0).with_style(style))
}

fn report(scope: &Scope, output: &OutputArgs) -> Result<ExitCode, Fault> {
    let before = output.before()?;
    let progress = progress()?;
    let document = rounds::run(scope, &progress)?;
    progress.finish_and_clear();
    output.show(&document, before.as_ref())
}
