//! What one call costs the process that makes it: the client crate beside redis-rs.
//!
//! Many tasks share one connection and one thread, and that thread's CPU time is divided by the
//! calls it made: building the request, both system calls, the runtime, checking the answer. Each
//! server is a process of its own on another core, so that its time is not in the figure. The
//! systems take turns within each run, and each ratio is of one run's figures.

mod callers;
mod server;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use nix::time::{ClockId, clock_gettime};
use onceward_bench::engine::{Fault, cores};
use onceward_bench::{Measurement, Report, Workload};

use callers::{Caller, Onceward, Operation, Redis};
use server::Server;

const VALUE_BYTES_MAX: usize = 65_536;

/// What is measured, and how often.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The daemon to ask
    #[arg(long, value_name = "FILE", default_value = "target/release/onceward")]
    pub onceward: PathBuf,
    /// The Redis server to ask
    #[arg(long, value_name = "FILE", default_value = "redis-server")]
    pub redis: PathBuf,
    /// Tasks on the one connection
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub tasks: u64,
    /// Calls of each operation in each run
    #[arg(long, value_name = "N", default_value_t = 400_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    pub calls: u64,
    /// Calls of one task alone, whose latency is told
    #[arg(long, value_name = "N", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    pub lone_calls: u64,
    /// Stored keys
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=100_000))]
    pub keys: u64,
    /// Bytes of each value
    #[arg(long, value_name = "BYTES", default_value_t = 512, value_parser = clap::value_parser!(u64).range(8..=VALUE_BYTES_MAX as u64))]
    pub value_bytes: u64,
    /// Runs of all, in turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=99))]
    pub runs: u64,
    /// Servers on the client's core: then no figure depends on what waking another core costs
    #[arg(long)]
    pub same_core: bool,
    /// Only the system of this name: onceward or redis
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
}

/// The part of redis-rs's CPU time per call that the client crate may take.
pub const BAR: f64 = 0.5;

const OF_ONE_RUN: &str = "CPU per call / redis-rs GET";

/// Starts both servers, measures, and stops them.
///
/// # Errors
/// A server that does not start, an answer other than the right one, or a machine with one core.
pub fn run(options: &Options) -> Result<Report, Fault> {
    let (client_core, server_core) = match cores::available()?[..] {
        [core, ..] if options.same_core => (core, core),
        [client, server, ..] => (client, server),
        _ => return Err("client and servers need a core each, or --same-core".into()),
    };
    let workload = Workload {
        entries: options.keys,
        value_bytes: usize::try_from(options.value_bytes)?,
        distance: 0,
        seed: 5,
    };
    let wants = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    let mut report = Report::default();
    let Options { tasks, calls, keys, value_bytes, .. } = options;
    report.setting("tasks on one connection", tasks);
    report.setting("calls of each operation in a run", calls);
    report.setting("stored keys", keys);
    report.setting("value bytes", value_bytes);
    report.setting("cores", format!("client {client_core}, servers {server_core}"));
    let onceward = wants("onceward").then(|| Server::onceward(&options.onceward, server_core));
    let redis = wants("redis").then(|| Server::redis(&options.redis, server_core));
    let (onceward, redis) = (onceward.transpose()?, redis.transpose()?);
    for server in onceward.iter().chain(&redis) {
        report.setting(server.name, &server.version);
    }
    for run in 0..options.runs {
        let measure = Measure { options, workload: &workload, run, client_core };
        let ours = |values: &mut Vec<Measurement>| match &onceward {
            Some(server) => measure.all::<Onceward>(&server.address, values),
            None => Ok(()),
        };
        let theirs = |values: &mut Vec<Measurement>| match &redis {
            Some(server) => measure.all::<Redis>(&server.address, values),
            None => Ok(()),
        };
        let mut values = Vec::new();
        // Neither is always the one that comes second.
        if run % 2 == 0 {
            ours(&mut values)?;
            theirs(&mut values)?;
        } else {
            theirs(&mut values)?;
            ours(&mut values)?;
        }
        values.extend(ratios(&values));
        report.add_run(values);
    }
    Ok(report)
}

/// Each operation of ours by the peer's GET.
fn ratios(values: &[Measurement]) -> Vec<Measurement> {
    let of = |system: &str, operation: Operation| {
        let name = cpu(system, operation);
        values.iter().find(|value| value.name == name).map(|value| value.value)
    };
    let Some(peer) = of(Redis::NAME, Operation::Get) else { return Vec::new() };
    Onceward::OPERATIONS
        .iter()
        .filter_map(|operation| {
            let name = format!("{}: {OF_ONE_RUN}", operation.name());
            Some(Measurement::new(name, "×", of(Onceward::NAME, *operation)? / peer))
        })
        .collect()
}

fn cpu(system: &str, operation: Operation) -> String {
    format!("{system} {}: CPU per call", operation.name())
}

#[derive(Clone, Copy)]
struct Measure<'a> {
    options: &'a Options,
    workload: &'a Workload,
    run: u64,
    client_core: usize,
}

impl Measure<'_> {
    /// All operations of one system, on a thread and a connection of their own.
    fn all<C: Caller>(&self, address: &str, values: &mut Vec<Measurement>) -> Result<(), Fault> {
        let measured =
            std::thread::scope(|scope| scope.spawn(|| self.on_this_thread::<C>(address)).join());
        values.extend(measured.map_err(|_| "the measuring thread panicked")??);
        Ok(())
    }

    fn on_this_thread<C: Caller>(&self, address: &str) -> Result<Vec<Measurement>, Fault> {
        cores::pin(self.client_core)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let Options { tasks, calls, lone_calls, .. } = *self.options;
            let caller = C::connect(address, self.workload).await?;
            let mut values = Vec::new();
            for &operation in C::OPERATIONS {
                let turn = |calls, part| Turn { operation, tasks, calls, run: self.run, part };
                self.together(&caller, turn(calls / 10, 0)).await?;
                let before = caller.writes();
                let cost = self.together(&caller, turn(calls, 1)).await?;
                if let (Some(before), Some(after)) = (before, caller.writes()) {
                    let shared = (after.0 - before.0) as f64 / (after.1 - before.1) as f64;
                    let name = format!("{} {}: calls per write", C::NAME, operation.name());
                    values.push(Measurement::new(name, "", shared));
                }
                let name = operation.name();
                let per_call = |nanos: u64| nanos as f64 / cost.calls as f64;
                values.push(Measurement::new(
                    cpu(C::NAME, operation),
                    "ns",
                    per_call(cost.cpu_nanos),
                ));
                let (system, on_core) = (C::NAME, per_call(cost.on_core_nanos));
                values.push(Measurement::new(
                    format!("{system} {name}: schedstat per call"),
                    "ns",
                    on_core,
                ));
                let wall = per_call(cost.wall_nanos);
                values.push(Measurement::new(
                    format!("{system} {name}: time per call"),
                    "ns",
                    wall,
                ));
                let mut alone = Vec::new();
                let lone = Turn { operation, tasks: 1, calls: lone_calls, run: self.run, part: 2 };
                let before = Clocks::read()?;
                caller.call(lone, self.workload, 0, Some(&mut alone)).await?;
                let cost = before.until_now(lone_calls)?;
                alone.sort_unstable();
                let p50 = alone[alone.len() / 2].as_nanos() as f64 / 1_000.0;
                values.push(Measurement::new(format!("{system} {name}: p50 alone"), "µs", p50));
                let cpu = cost.cpu_nanos as f64 / cost.calls as f64;
                values.push(Measurement::new(
                    format!("{system} {name}: CPU per call alone"),
                    "ns",
                    cpu,
                ));
            }
            Ok(values)
        })
    }

    async fn together<C: Caller>(&self, caller: &C, turn: Turn) -> Result<Cost, Fault> {
        let before = Clocks::read()?;
        let tasks: Vec<_> = (0..turn.tasks)
            .map(|task| {
                let (caller, workload) = (caller.clone(), self.workload.clone());
                tokio::spawn(async move { caller.call(turn, &workload, task, None).await })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        before.until_now(turn.calls)
    }
}

/// A part of one run: so many calls by so many tasks.
#[derive(Clone, Copy, Debug)]
struct Turn {
    operation: Operation,
    tasks: u64,
    calls: u64,
    run: u64,
    /// Tells the turns of one operation in one run apart, where keys must be new.
    part: u64,
}

struct Cost {
    calls: u64,
    cpu_nanos: u64,
    on_core_nanos: u64,
    wall_nanos: u64,
}

/// This thread's.
struct Clocks {
    cpu: Duration,
    on_core_nanos: u64,
    wall: Instant,
}

impl Clocks {
    fn read() -> Result<Self, Fault> {
        let cpu = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into();
        let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
        let on_core = schedstat.split_whitespace().next().ok_or("an empty schedstat")?;
        Ok(Self { cpu, on_core_nanos: on_core.parse()?, wall: Instant::now() })
    }

    fn until_now(&self, calls: u64) -> Result<Cost, Fault> {
        let now = Self::read()?;
        Ok(Cost {
            calls,
            cpu_nanos: u64::try_from((now.cpu - self.cpu).as_nanos())?,
            on_core_nanos: now.on_core_nanos - self.on_core_nanos,
            wall_nanos: u64::try_from((now.wall - self.wall).as_nanos())?,
        })
    }
}
