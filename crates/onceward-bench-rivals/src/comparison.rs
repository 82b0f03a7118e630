//! Ours beside the rivals: which processes are started, and what they found.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use onceward_bench::engine::process::{Machine, available_bytes};
use onceward_bench::engine::{Fault, OwnSettings, Values, cores, phases};
use onceward_bench::{Measurement, Report};
use serde::{Deserialize, Serialize};

use crate::floors::FloorPlan;
use crate::rivals::{RivalSettings, SystemName};
use crate::task::{self, Errand, Kind, Task, ValueChoice};

/// Entries that ours is sized for beyond those that come, as one would.
const SPARE_PART: f64 = 1.1;
/// What the budget of ours holds for each entry beyond its value: more than it needs, so that
/// nothing is refused.
const BUDGET_BYTES_BEYOND: f64 = 440.0;
/// Left to others on the machine.
const LEFT_BYTES: u64 = 512 << 20;
const SEED: u64 = 4;

/// What is compared.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Entries of each group.
    pub entries: Vec<u64>,
    /// Bodies of each group.
    pub values: Vec<ValueChoice>,
    /// Threads of each group.
    pub threads: Vec<usize>,
    /// Systems, in this order in every run.
    pub systems: Vec<SystemName>,
    /// Runs of each.
    pub runs: usize,
    /// Bytes of each of our fingerprints.
    pub fingerprint_bytes: usize,
    /// Whether rivals get room for all entries at their start.
    pub presized: bool,
    /// Most bytes that one process may need.
    pub memory_bytes_max: u64,
    /// How long each process waits for near cores.
    pub patience: Duration,
    /// How often a run is repeated whose cores moved apart.
    pub far_retries: usize,
    /// Begins between a key's begin and its complete; `None` takes a million, or half the entries.
    pub window: Option<u64>,
}

/// All that was found.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Comparison {
    /// Where.
    pub machine: Machine,
    /// How: name and value.
    pub settings: Vec<(String, String)>,
    /// Figures by size and threads.
    pub groups: Vec<Group>,
    /// Bytes per entry, by size.
    pub memory: Vec<Group>,
    /// What was left out, and why.
    pub skipped: Vec<String>,
}

/// Systems and floors at one size.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Group {
    /// Entries.
    pub entries: u64,
    /// Bodies: a size, or `recorded`.
    pub values: String,
    /// Threads.
    pub threads: usize,
    /// Begins between a key's begin and its complete.
    pub window: u64,
    /// Figures by system; in groups of memory ours has two lines.
    pub systems: BTreeMap<String, Report>,
    /// Figures of the machine.
    pub floors: Report,
}

impl Group {
    fn new(entries: u64, values: &ValueChoice, plan: &phases::Plan) -> Self {
        let values = match values {
            ValueChoice::Bytes(size) => format!("{size} B"),
            ValueChoice::Recorded(_) => "recorded".to_owned(),
        };
        let (systems, floors) = (BTreeMap::new(), Report::default());
        Self { entries, values, threads: plan.cores.len(), window: plan.window, systems, floors }
    }

    /// The median of one figure of one system.
    #[must_use]
    pub fn median(&self, system: &str, figure: &str) -> Option<f64> {
        self.systems.get(system)?.figure(figure)?.median()
    }

    /// The median of one figure of the machine.
    #[must_use]
    pub fn floor(&self, figure: &str) -> Option<f64> {
        self.floors.figure(figure)?.median()
    }

    /// What it is, for a heading.
    #[must_use]
    pub fn title(&self) -> String {
        let threads = if self.threads == 1 { "1 thread" } else { "2 threads" };
        let Self { entries, values, window, .. } = self;
        format!(
            "{entries} entries, values {values}, {threads}, {window} begins between a key's begin and its complete"
        )
    }
}

/// Runs every group: in each run the floors, then every system in turn, each in its own process.
///
/// # Errors
/// A wrong answer, or too little memory.
pub fn run(scope: &Scope) -> Result<Comparison, Fault> {
    let mut comparison = started(scope);
    let available = cores::available()?;
    let mut groups = Vec::new();
    for &entries in &scope.entries {
        for choice in &scope.values {
            let values = choice.load()?;
            let window = scope.window.unwrap_or_else(|| phases::Plan::window_for(entries));
            let need = need_bytes(scope, entries as f64 * SPARE_PART, window, &values);
            if need > scope.memory_bytes_max {
                comparison.skipped.push(too_large(entries, choice, need, scope.memory_bytes_max));
                continue;
            }
            for &threads in &scope.threads {
                let Some(cores) = available.get(..threads) else {
                    let have = available.len();
                    let skipped = format!("{threads} threads: this process may use {have} cores");
                    comparison.skipped.push(skipped);
                    continue;
                };
                let plan = phases::Plan { entries, window, cores: cores.to_vec(), seed: SEED };
                groups.push((
                    Group::new(entries, choice, &plan),
                    choice,
                    values.clone(),
                    plan,
                    need,
                ));
            }
        }
    }
    let steps = groups.len() * scope.runs * (scope.systems.len() + 1);
    let progress = Progress::new(steps);
    for (mut group, choice, values, plan, need) in groups {
        for run in 1..=scope.runs {
            let mut tasks = vec![(None, floors(&plan, &values))];
            for system in &scope.systems {
                tasks.push((Some(*system), kind(*system, scope, &plan, &values)));
            }
            for (system, kind) in tasks {
                let name = system.map_or("floors", SystemName::name);
                progress.step(&format!("{name}: {}, run {run}", group.title()));
                await_memory(need)?;
                let (plan, patience) = (plan.clone(), scope.patience);
                let beyond = system.map_or(0.0, SystemName::beyond_bytes_most);
                let all = entries_in_all(&plan);
                let need_bytes = system_need_bytes(beyond, all, plan.window, &values);
                let task = Task { kind, plan, values: choice.clone(), need_bytes, patience };
                let found =
                    nearest(task, scope.far_retries).map_err(|fault| format!("{name}: {fault}"))?;
                match system {
                    Some(system) => {
                        group.systems.entry(system.name().to_owned()).or_default().add_run(found);
                    }
                    None => group.floors.add_run(found),
                }
            }
        }
        comparison.groups.push(group);
    }
    Ok(comparison)
}

/// Runs a task, again if its cores moved apart. Returns what the run with the nearest cores found.
fn nearest(task: Task, retries: usize) -> Result<Vec<Measurement>, Fault> {
    let errand = Errand::Measure(task);
    let far = |found: &[Measurement]| {
        let distances = [task::DISTANCE_FILL, task::DISTANCE_REPLAY];
        let distances = found.iter().filter(|found| distances.contains(&found.name.as_str()));
        distances.map(|distance| distance.value).fold(0.0, f64::max)
    };
    let mut best: Vec<Measurement> = errand.run_apart()?;
    for _ in 0..retries {
        if far(&best) <= cores::NEAR_NANOS_MAX {
            break;
        }
        let again: Vec<Measurement> = errand.run_apart()?;
        if far(&again) < far(&best) {
            best = again;
        }
    }
    Ok(best)
}

/// Fills every system, ours with and without knowing the number of entries, for its memory only.
///
/// # Errors
/// As [`run`].
pub fn run_memory(scope: &Scope, entries: u64) -> Result<Comparison, Fault> {
    let mut comparison = started(scope);
    let core = *cores::available()?.first().ok_or("no core")?;
    let progress = Progress::new(scope.values.len() * scope.runs * (scope.systems.len() + 1));
    for choice in &scope.values {
        let values = choice.load()?;
        // Few are pending at a time, or memory that pending ones need would count as the entries'.
        let window = scope.window.unwrap_or(1_024).min(entries);
        let plan = phases::Plan { entries, window, cores: vec![core], seed: SEED };
        let need = need_bytes(scope, entries as f64, window, &values);
        if need > scope.memory_bytes_max {
            comparison.skipped.push(too_large(entries, choice, need, scope.memory_bytes_max));
            continue;
        }
        let mut group = Group::new(entries, choice, &plan);
        for run in 1..=scope.runs {
            for system in &scope.systems {
                for (name, kind) in memory_kinds(*system, scope, &plan, &values) {
                    progress.step(&format!("{name}: memory of {}, run {run}", group.title()));
                    await_memory(need)?;
                    let (plan, values) = (plan.clone(), choice.clone());
                    let patience = Duration::ZERO;
                    let task = Task { kind, plan, values, need_bytes: 0, patience };
                    let found = Errand::Measure(task)
                        .run_apart()
                        .map_err(|fault| format!("{name}: {fault}"))?;
                    group.systems.entry(name).or_default().add_run(found);
                }
            }
        }
        comparison.memory.push(group);
    }
    Ok(comparison)
}

/// Our line in groups of memory when the store knows how many entries will come.
pub const SIZED: &str = "onceward, max_entries set";

fn memory_kinds(
    system: SystemName,
    scope: &Scope,
    plan: &phases::Plan,
    values: &Values,
) -> Vec<(String, Kind)> {
    let SystemName::Onceward = system else {
        let settings = RivalSettings { entries: plan.entries, presized: false };
        return vec![(system.name().to_owned(), Kind::RivalMemory(system, settings))];
    };
    let settings = own(scope, plan, values, plan.entries as f64);
    let sized = OwnSettings { max_entries: Some(plan.entries), ..settings };
    let unsized_ = OwnSettings { max_entries: None, ..settings };
    vec![
        (SIZED.to_owned(), Kind::OwnMemory(sized)),
        (system.name().to_owned(), Kind::OwnMemory(unsized_)),
    ]
}

fn kind(system: SystemName, scope: &Scope, plan: &phases::Plan, values: &Values) -> Kind {
    if system == SystemName::Onceward {
        return Kind::Own(own(scope, plan, values, plan.entries as f64 * SPARE_PART));
    }
    let entries = (plan.entries as f64 * SPARE_PART) as u64;
    Kind::Rival(system, RivalSettings { entries, presized: scope.presized })
}

fn own(scope: &Scope, plan: &phases::Plan, values: &Values, entries: f64) -> OwnSettings {
    // What an entry needs, and as much for each that is pending: its body's set-aside.
    let body = values.mean_bytes();
    let pending = (plan.window + plan.batched()) as f64 * (body + 1_024.0);
    OwnSettings {
        memory_bytes: (entries * (body + BUDGET_BYTES_BEYOND) + pending) as u64 + (256 << 20),
        max_entries: Some(entries as u64),
        fingerprint_bytes: scope.fingerprint_bytes,
    }
}

fn floors(plan: &phases::Plan, values: &Values) -> Kind {
    let bytes = plan.entries as f64 * (values.mean_bytes() + 130.0);
    Kind::Floors(FloorPlan { bytes: bytes as u64 })
}

fn entries_in_all(plan: &phases::Plan) -> f64 {
    (plan.entries + plan.batched()) as f64
}

/// What a process may need at most.
fn need_bytes(scope: &Scope, entries: f64, window: u64, values: &Values) -> u64 {
    let most = scope.systems.iter().map(|system| system.beyond_bytes_most()).fold(0.0, f64::max);
    system_need_bytes(most, entries, window, values)
}

fn system_need_bytes(beyond: f64, entries: f64, window: u64, values: &Values) -> u64 {
    let held = entries * (values.mean_bytes() + 36.0 + beyond);
    (held + window as f64 * 128.0) as u64
}

fn too_large(entries: u64, choice: &ValueChoice, need: u64, most: u64) -> String {
    let values = match choice {
        ValueChoice::Bytes(size) => format!("{size} B"),
        ValueChoice::Recorded(_) => "recorded bodies".to_owned(),
    };
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    format!(
        "{entries} entries of {values}: a process may need {:.1} GiB, --memory-max allows {:.1}",
        gib(need),
        gib(most)
    )
}

fn await_memory(need: u64) -> Result<(), Fault> {
    let available = available_bytes()?;
    if available < need + LEFT_BYTES {
        return Err(format!(
            "{available} bytes of memory are available, a process may need {need}: ask for fewer entries, or wait"
        )
        .into());
    }
    Ok(())
}

fn started(scope: &Scope) -> Comparison {
    let mut comparison = Comparison { machine: Machine::here(), ..Comparison::default() };
    let mut note = |name: &str, value: String| comparison.settings.push((name.to_owned(), value));
    note("runs of each, in turn", scope.runs.to_string());
    note("keys", "36 bytes of UUID text, made within what is timed, alike for all".to_owned());
    note("fingerprint of ours", format!("{} bytes", scope.fingerprint_bytes));
    let sized = if scope.presized { "room for all entries at their start" } else { "as they grow" };
    note("rivals' tables", sized.to_owned());
    for system in &scope.systems {
        note(system.name(), system.lacks().to_owned());
    }
    comparison
}

/// Steps on standard error: a bar for people, lines for logs.
struct Progress {
    bar: ProgressBar,
    steps: usize,
}

impl Progress {
    fn new(steps: usize) -> Self {
        let bar = ProgressBar::new(steps as u64);
        if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {pos}/{len} {wide_msg}")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_secs(1));
        Self { bar, steps }
    }

    fn step(&self, what: &str) {
        self.bar.inc(1);
        if self.bar.is_hidden() {
            eprintln!("{}/{} {what}", self.bar.position(), self.steps);
        } else {
            self.bar.set_message(what.to_owned());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Where recorded calls lie beside the repository.
#[must_use]
pub fn traffic_beside() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/carrier-api.jsonl"))
}
