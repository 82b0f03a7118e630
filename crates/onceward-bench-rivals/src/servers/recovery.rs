//! How long a server takes to have again what it stored: filled once, then stopped and started.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use indicatif::ProgressBar;
use onceward_bench::engine::{Fault, Values};
use onceward_bench::load::report::Spread;
use onceward_bench::load::{Bound, KEY_BYTES, Mix, Plan, ServerProcess};
use serde::Serialize;

use super::durability::Durability;
use super::figures::wrong_answers;
use super::mode::Mode;
use super::process::{Server, Transport};
use super::program::Given;
use super::settings::Needs;
use super::target::TargetName;

/// What to compare.
#[derive(Clone, Debug)]
pub struct RecoveryScope {
    /// Whom; those that keep something.
    pub targets: Vec<TargetName>,
    /// Keys, each stored once.
    pub keys: u64,
    /// Bytes of each value.
    pub value_bytes: usize,
    /// Starts of each, after one that fills it.
    pub starts: usize,
    /// Where servers are.
    pub given: Given,
}

/// One server's starts.
#[derive(Clone, Debug, Serialize)]
pub struct Recovery {
    /// Whose, and from what.
    pub target: String,
    /// Keys that it has again.
    pub keys: u64,
    /// From the start of the process to the first answer, in seconds, of each start.
    pub seconds: Vec<f64>,
}

/// Fills each server, stops it, and starts it again.
///
/// # Errors
/// A server cannot be had, gives a wrong answer, or does not come back.
pub fn run(scope: &RecoveryScope, progress: &ProgressBar) -> Result<Vec<Recovery>, Fault> {
    let cores = Mode::Both.cores()?;
    progress.set_length((scope.targets.len() * (scope.starts + 1)) as u64);
    let mut found = Vec::new();
    for &target in &scope.targets {
        let (durability, from) = match target {
            TargetName::Onceward => (Durability::Interval, "its journal"),
            TargetName::Redis | TargetName::Valkey => (Durability::Memory, "an RDB file"),
            _ => return Err(format!("{target} keeps nothing").into()),
        };
        let needs = Needs {
            threads: 1,
            entries: scope.keys,
            entry_bytes: (KEY_BYTES + scope.value_bytes) as u64,
            exact: true,
            durability,
        };
        progress.set_message(format!("{target}: filling"));
        let program = target.program();
        let mut server =
            Server::start(program, &scope.given, Transport::Tcp, &needs, &cores.server)?;
        let mut plan = Plan::new(Mix::First)?;
        plan.bound = Bound { operations: Some(scope.keys), duration: None };
        plan.warm_up = Bound { operations: Some(0), duration: None };
        (plan.connections, plan.pipeline) = (50, 16);
        plan.threads = 1;
        plan.keys = scope.keys;
        plan.values = Values::sized(scope.value_bytes)?;
        let process = ServerProcess::of(server.pid())?;
        let filled = target.run(&plan, 0, server.address(), process, &AtomicBool::new(false))?;
        if let Some(wrong) = wrong_answers(&filled) {
            return Err(format!("{target}: {wrong}").into());
        }
        progress.inc(1);
        let mut seconds = Vec::new();
        for start in 1..=scope.starts {
            progress.set_message(format!("{target}: start {start}"));
            seconds.push(server.restart(&cores.server)?.as_secs_f64());
            progress.inc(1);
        }
        found.push(Recovery { target: format!("{target}, {from}"), keys: scope.keys, seconds });
    }
    Ok(found)
}

/// The comparison in lines: medians, spread, and ratios to the first.
#[must_use]
pub fn text(found: &[Recovery]) -> String {
    let median = |recovery: &Recovery| Spread::of(recovery.seconds.iter().copied());
    let first = found.first().and_then(median).map_or(f64::NAN, |spread| spread.median);
    let line = |recovery: &Recovery| {
        let spread = median(recovery)?;
        let (target, keys) = (&recovery.target, recovery.keys);
        let Spread { median, least, greatest, .. } = spread;
        let ratio = first / median;
        let each = Duration::from_secs_f64(median / keys.max(1) as f64);
        Some(format!(
            "{target:32} {keys} keys: {median:.2} s [{least:.2}–{greatest:.2}], {each:?} each; the first takes {ratio:.2} of it\n"
        ))
    };
    found.iter().filter_map(line).collect()
}
