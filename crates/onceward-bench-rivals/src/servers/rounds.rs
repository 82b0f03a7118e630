//! All targets under all loads: a fresh server for each run, targets in turn within each round.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use indicatif::ProgressBar;
use memmap2::{Advice, MmapMut};
use onceward_bench::engine::{Fault, Values, cores};
use onceward_bench::load::record::{Document, Machine, Run, SCHEMA, Series, Target};
use onceward_bench::load::{
    Address, Bound, FINGERPRINT_BYTES, KEY_BYTES, Mix, Plan, ServerProcess,
};

use super::bars::bars;
use super::durability::Durability;
use super::durable_bars::durable_bars;
use super::gate::Gate;
use super::mode::Mode;
use super::process::{Server, Transport};
use super::program::Given;
use super::settings::Needs;
use super::target::TargetName;

/// Bytes for each key that any server may take beyond key and value, generously.
const READY_BEYOND: u64 = 512;

/// Connections and requests in flight on each.
pub type Point = (usize, usize);

/// What to compare.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Whom.
    pub targets: Vec<TargetName>,
    /// On which cores.
    pub modes: Vec<Mode>,
    /// Which operations.
    pub mixes: Vec<Mix>,
    /// Under how much at once.
    pub points: Vec<Point>,
    /// Threads of our server; everybody else has one.
    pub server_threads: Vec<usize>,
    /// What of it is to outlive the machine's end; each for those who have it.
    pub durabilities: Vec<Durability>,
    /// Keys, each stored once.
    pub keys: u64,
    /// How often each stored key is asked for.
    pub replay_rounds: u64,
    /// Whether our index is sized for exactly these keys, for bytes per key.
    pub exact_index: bool,
    /// Operations before those that count.
    pub warm_up: u64,
    /// Bytes of each value.
    pub value_bytes: usize,
    /// Bytes of each fingerprint.
    pub fingerprint_bytes: usize,
    /// Runs of each.
    pub runs: usize,
    /// How connections reach servers.
    pub transport: Transport,
    /// What a run of two cores waits for.
    pub gate: Gate,
    /// How often such a run is repeated if they moved apart.
    pub far_retries: usize,
    /// Decides keys, values and order.
    pub seed: u64,
    /// Where servers are.
    pub given: Given,
}

/// One load that all targets get.
#[derive(Clone, Debug)]
struct Group {
    mode: Mode,
    mix: Mix,
    point: Point,
}

/// Runs everything.
///
/// # Errors
/// A server cannot be had, or a run could not be finished. A wrong answer is no error here: the
/// run's counters and [`Run::failure`] say so.
pub fn run(scope: &Scope, progress: &ProgressBar) -> Result<Document, Fault> {
    let mut document = Document {
        schema: SCHEMA.to_owned(),
        command_line: std::env::args().collect(),
        started_at_s: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        machine: Machine::here(),
        ..Document::default()
    };
    document.versions.insert("onceward-bench".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let groups = groups(scope);
    let asked = |group: &Group| subjects(scope, group).len() * scope.runs;
    progress.set_length(groups.iter().map(asked).sum::<usize>() as u64);
    let scripted = |target: &&TargetName| target.is_script();
    if scope.fingerprint_bytes != FINGERPRINT_BYTES
        && let Some(target) = scope.targets.iter().find(scripted)
    {
        // Taking any length would cost them, in a comparison with us.
        let why = format!("{target}: its scripts take fingerprints of {FINGERPRINT_BYTES} bytes");
        return Err(why.into());
    }
    for target in &scope.targets {
        // Before hours of measuring, not after.
        target.program().find(&scope.given)?;
    }
    for group in &groups {
        run_group(scope, group, progress, &mut document)?;
        if progress.is_hidden() {
            // Not on a terminal: a line now and then shows that it goes on.
            eprintln!("{} of {} runs", progress.position(), progress.length().unwrap_or(0));
        }
    }
    for mix in &scope.mixes {
        let cannot: Vec<_> = scope.targets.iter().filter(|target| !target.can(*mix)).collect();
        if !cannot.is_empty() {
            let names: Vec<_> = cannot.iter().map(|target| target.name()).collect();
            let (mix, names) = (mix.name(), names.join(", "));
            document.notes.push(format!("mix `{mix}` cannot be said to {names}"));
        }
    }
    document.bars = bars(&document);
    document.bars.extend(durable_bars(&document));
    for bar in &mut document.bars {
        bar.verdict = bar.verdict();
    }
    Ok(document)
}

fn groups(scope: &Scope) -> Vec<Group> {
    let mut groups = Vec::new();
    for &mode in &scope.modes {
        for &point in &scope.points {
            for &mix in &scope.mixes {
                groups.push(Group { mode, mix, point });
            }
        }
    }
    groups
}

/// Targets of a group, each with its threads and what it promises.
fn subjects(scope: &Scope, group: &Group) -> Vec<(TargetName, usize, Durability)> {
    let mut subjects = Vec::new();
    for &target in scope.targets.iter().filter(|target| target.can(group.mix)) {
        let threads = match target {
            TargetName::Onceward => &scope.server_threads[..],
            _ => &[1],
        };
        let had = |durability: &&Durability| durability.is_had_by(target.program());
        for &durability in scope.durabilities.iter().filter(had) {
            subjects.extend(threads.iter().map(|&threads| (target, threads, durability)));
        }
    }
    subjects
}

fn run_group(
    scope: &Scope,
    group: &Group,
    progress: &ProgressBar,
    document: &mut Document,
) -> Result<(), Fault> {
    let subjects = subjects(scope, group);
    let mut series = vec![Series::default(); subjects.len()];
    for round in 0..scope.runs {
        for turn in 0..subjects.len() {
            // Nobody is always the one who comes first, or after the same other one.
            let at = (turn + round) % subjects.len();
            let (target, threads, durability) = subjects[at];
            let (mode, mix) = (group.mode.name(), group.mix.name());
            let (connections, pipeline) = group.point;
            progress.set_message(format!(
                "{mode} {connections} × {pipeline} {mix}: {target}{}",
                durability.suffix(target.program())
            ));
            let measured = Subject { scope, group, target, threads, durability, round };
            measured.run_near(&mut series[at]).map_err(|fault| {
                format!("{target}, {mix}, {connections} connections × {pipeline}: {fault}")
            })?;
            progress.inc(1);
        }
    }
    for series in &series {
        let Target { name, version, .. } = &series.target;
        document.versions.insert(name.clone(), version.clone());
    }
    document.series.extend(series);
    Ok(())
}

#[derive(Clone, Copy)]
struct Subject<'a> {
    scope: &'a Scope,
    group: &'a Group,
    target: TargetName,
    threads: usize,
    durability: Durability,
    round: usize,
}

impl Subject<'_> {
    /// One run that counts: repeated while cores move apart, and marked if they do to the end.
    fn run_near(&self, series: &mut Series) -> Result<(), Fault> {
        let pair = self.group.mode.cores()?.pair();
        for attempt in 0..=self.scope.far_retries {
            let mut run = self.run_once(series)?;
            let Some((one, other)) = pair else {
                series.runs.push(run);
                return Ok(());
            };
            let before = run.cache_line_ns.unwrap_or(f64::INFINITY);
            let distance = before.max(cores::distance_nanos(one, other)?);
            run.cache_line_ns = Some(distance);
            let objection = self.scope.gate.objection(distance);
            if objection.is_none() || attempt == self.scope.far_retries {
                // What made it invalid before is the graver reason.
                run.invalid = run.invalid.or(objection);
                series.runs.push(run);
                return Ok(());
            }
        }
        Ok(())
    }

    fn run_once(&self, series: &mut Series) -> Result<Run, Fault> {
        let Self { scope, group, target, threads, durability, round } = *self;
        let cores = group.mode.cores()?;
        let plan = self.plan(&cores.generator)?;
        let needs = Needs {
            threads,
            entries: scope.keys + scope.warm_up,
            entry_bytes: (KEY_BYTES + scope.value_bytes) as u64,
            exact: scope.exact_index,
            durability,
        };
        let server =
            Server::start(target.program(), &scope.given, scope.transport, &needs, &cores.server)?;
        if series.runs.is_empty() {
            series.load = plan.load(group.mode.name(), Some(threads));
            series.load.near_ns = cores.pair().map(|_| scope.gate.near_nanos());
            series.target = describe(target, durability, &server)?;
        }
        make_memory_ready(usize::try_from(needs.entries * (needs.entry_bytes + READY_BEYOND))?)?;
        let before = cores.pair().map(|pair| scope.gate.pass(pair)).transpose()?;
        let process = ServerProcess::of(server.pid())?;
        let never = AtomicBool::new(false);
        let mut run = target.run(&plan, round as u64, server.address(), process, &never)?;
        run.cache_line_ns = before;
        Ok(run)
    }

    fn plan(&self, generator: &[usize]) -> Result<Plan, Fault> {
        let Self { scope, group, .. } = *self;
        let operations = match group.mix {
            Mix::Replay => scope.keys * scope.replay_rounds,
            _ => scope.keys,
        };
        let mut plan = Plan::new(group.mix)?;
        plan.bound = Bound { operations: Some(operations), duration: None };
        plan.warm_up = Bound { operations: Some(scope.warm_up), duration: None };
        (plan.connections, plan.pipeline) = group.point;
        plan.threads = generator.len();
        plan.keys = scope.keys;
        plan.values = Values::sized(scope.value_bytes)?;
        plan.terms.fingerprint_bytes = scope.fingerprint_bytes;
        plan.seed = scope.seed;
        plan.cores = generator.to_vec();
        Ok(plan)
    }
}

/// Touches as much memory as a server will take, and gives it back to the kernel: a virtual machine
/// may have handed free memory back to its host, and then the first touch of a page waits for the
/// host, by chance for one server and not for another. In huge pages, for some take those; whoever
/// takes small ones gets parts of them.
fn make_memory_ready(bytes: usize) -> Result<(), Fault> {
    let mut memory = MmapMut::map_anon(bytes)?;
    // A kernel without huge pages gives small ones.
    let _ = memory.advise(Advice::HugePage);
    memory.fill(1);
    drop(black_box(memory));
    Ok(())
}

fn describe(target: TargetName, durability: Durability, server: &Server) -> Result<Target, Fault> {
    let address = match server.address() {
        Address::Tcp(_) => "tcp, loopback".to_owned(),
        Address::Unix(_) => "unix socket".to_owned(),
    };
    Ok(Target {
        name: format!("{target}{}", durability.suffix(target.program())),
        address,
        version: server.version()?,
        settings: server.settings().stated.clone(),
        lacks: target.lacks().to_owned(),
    })
}
