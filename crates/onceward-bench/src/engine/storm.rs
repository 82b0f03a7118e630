//! Very many entries that end within one second, while others work: how soon their memory is back,
//! and what the others notice of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use onceward::{BootClock, Store, StoreConfig, Ticker};
use onceward_core::{
    AttemptId, Begin, BeginOutcome, Body, Complete, CompleteOutcome, Fingerprint, Identity, Millis,
    ResultRef, Timestamp, Token,
};
use serde::{Deserialize, Serialize};

use super::cores;
use super::findings::Findings;
use super::own::with_max_entries;
use super::process;
use super::system::Fault;
use crate::workload::Workload;

/// Keys that the workers ask for again and again.
const STORED: u64 = 100_000;
/// One operation pair of a worker in this many is a begin and complete of a new key.
const NEW_EVERY: u64 = 50;
/// All entries of the storm end within this long.
const STORM: Duration = Duration::from_secs(1);
/// How often the watcher looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How often the caller is told that work goes on.
pub const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// Work before the storm's first end, and in all if nothing comes back.
const BEFORE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(30);
/// Work after the memory is back, so that its last stall is seen as well.
const AFTER: Duration = Duration::from_millis(500);
const TICK_BUDGET: usize = 2_048;
const TICK_EVERY: u64 = 64;
/// Operations that take longer are looked into: was it the store, or had the thread no core?
const SLOW: Duration = Duration::from_micros(100);
/// Operations between two looks at how long the thread had no core.
const WAIT_LOOKED_EVERY: u64 = 256;

/// Who calls the store's `tick`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Ticking {
    /// The store's own ticker: a third thread on the workers' cores.
    Thread,
    /// The first worker between two operations, as the server's loop does. The operation behind a
    /// tick counts with it.
    Worker,
}

/// Size of the storm.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Storm {
    /// Entries that end within one second.
    pub entries: u64,
    /// Bytes of each body.
    pub value_bytes: usize,
    /// How long before their ends they are begun, at most.
    pub retention: Duration,
    /// A worker on each.
    pub cores: Vec<usize>,
    /// Who ticks.
    pub ticking: Ticking,
}

struct Scene {
    store: Store,
    workload: Workload,
    ticking: Ticking,
    stop: AtomicBool,
    /// Keys that the workers added.
    added: AtomicU64,
}

/// Called about every [`PROGRESS_EVERY`] while the workers work.
pub type Progress<'a> = &'a dyn Fn();

/// Runs the workers twice, without and with a storm.
///
/// # Errors
/// The store does not start, or an answer is wrong.
pub fn run(storm: &Storm, progress: Progress<'_>) -> Result<Findings, Fault> {
    let mut findings = Findings::default();
    let workers = storm.cores.len();
    findings.report.setting("entries that end within one second", storm.entries);
    findings.report.setting("value bytes", storm.value_bytes);
    findings.report.setting("workers, each on a core", workers);
    findings.report.setting(
        "ticks",
        match storm.ticking {
            Ticking::Thread => "by a thread of their own",
            Ticking::Worker => "by the first worker",
        },
    );
    let memory = (storm.entries * 2 + STORED) * (storm.value_bytes as u64 + 640) + (1 << 30);
    let config =
        with_max_entries(StoreConfig::with_memory(memory), Some(storm.entries * 3 + STORED));
    let store = Store::new(config, Arc::new(BootClock::new()))?;
    let ticker = match storm.ticking {
        Ticking::Thread => Some(Ticker::start(&store)?),
        Ticking::Worker => None,
    };
    let workload =
        Workload { entries: STORED, value_bytes: storm.value_bytes, distance: 0, seed: 17 };
    let scene = Scene {
        store,
        workload,
        ticking: storm.ticking,
        stop: AtomicBool::new(false),
        added: AtomicU64::new(0),
    };
    for number in 0..STORED {
        scene.store_one(number, Begin::RETENTION_DEFAULT)?;
    }
    let used_before = scene.store.stats().memory_used_bytes;
    let resident_before = process::resident_bytes()?;

    // As long as the other part takes if all is well.
    let calm_for = BEFORE + STORM + Duration::from_secs(2) + AFTER;
    let (calm, ()) = scene.work(storm, || {
        let started = Instant::now();
        while started.elapsed() < calm_for {
            thread::sleep(PROGRESS_EVERY);
            progress();
        }
        Ok(())
    })?;
    let added_calm = scene.added.load(Relaxed);

    let first_end = scene.store.now().after(Millis::covering(storm.retention));
    scene.fill(storm, first_end)?;
    let full = scene.store.stats();
    let resident_full = process::resident_bytes()?;
    let start = first_end.since(Timestamp::ZERO.after(Millis::covering(BEFORE)));
    let lead = Timestamp::from_millis(start.get()).since(scene.store.now());
    findings.expect(lead > Millis::ZERO, || "the fill took longer than the retention".to_owned());
    thread::sleep(lead.as_duration());
    scene.stop.store(false, Relaxed);
    let before = full.expired;
    let (stormy, back) = scene.work(storm, || scene.watch(storm, first_end, before, progress))?;

    let stats = scene.store.stats();
    findings.expect(stats.expired == storm.entries, || {
        format!("{} entries ended, {} are counted", storm.entries, stats.expired)
    });
    let lasting = STORED + scene.added.load(Relaxed);
    findings.expect(stats.entries == lasting, || {
        format!("{} entries are held, {lasting} should be", stats.entries)
    });
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    findings.note("memory back after the last end", "s", back.as_secs_f64());
    let allowed = overhang(storm.retention);
    findings.note("of that, overhang allowed", "s", allowed.as_secs_f64());
    for (name, charged, resident) in [
        ("before", used_before, resident_before),
        ("full", full.memory_used_bytes, resident_full),
        ("afterwards", stats.memory_used_bytes, process::resident_bytes()?),
    ] {
        findings.note(format!("memory charged, {name}"), "MiB", mebibytes(charged));
        findings.note(format!("memory resident, {name}"), "MiB", mebibytes(resident));
    }
    findings.note("keys added by the workers, calm", "keys", added_calm as f64);
    findings.note("keys added by the workers, both", "keys", (lasting - STORED) as f64);
    let micros = |nanos: u64| nanos as f64 / 1e3;
    for (name, worked) in [("calm", &calm), ("storm", &stormy)] {
        let latencies = &worked.latencies;
        findings.note(format!("{name}: operations"), "operations", latencies.len() as f64);
        for (quantile, label) in [(0.5, "p50"), (0.999, "p99.9"), (0.9999, "p99.99")] {
            let nanos = latencies.value_at_quantile(quantile);
            findings.note(format!("{name}: {label}"), "µs", micros(nanos));
        }
        findings.note(format!("{name}: worst"), "µs", micros(latencies.max()));
        findings.note(format!("{name}: worst on a core"), "µs", micros(worked.on_core_worst));
    }
    let added = |storm: u64, calm: u64| micros(storm) - micros(calm);
    let worst = added(stormy.latencies.max(), calm.latencies.max());
    findings.note("added stall, worst", "µs", worst);
    let on_core = added(stormy.on_core_worst, calm.on_core_worst);
    findings.note("added stall, worst on a core", "µs", on_core);
    drop(ticker);
    Ok(findings)
}

/// What workers saw.
struct Worked {
    /// Nanoseconds from 1 to a minute, three digits.
    latencies: Histogram<u64>,
    /// The longest operation in nanoseconds, less the time for which its thread was ready and had
    /// no core: with a thread that ticks there are more threads than cores.
    on_core_worst: u64,
}

impl Worked {
    fn new() -> Result<Self, Fault> {
        let latencies = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
        Ok(Self { latencies, on_core_worst: 0 })
    }
}

/// How much later than its end an entry's memory may be due, since ends are grouped.
fn overhang(retention: Duration) -> Duration {
    Duration::from_secs(1).max(retention / 20)
}

impl Scene {
    /// Fills the storm: entry `i` of `n` ends `i / n` of a second after the first.
    fn fill(&self, storm: &Storm, first_end: Timestamp) -> Result<(), Fault> {
        let spread = Millis::covering(STORM).get();
        for index in 0..storm.entries {
            let end = first_end.after(Millis::new(index * spread / storm.entries));
            let now = self.store.now();
            // Keys far from those that the workers use.
            self.store_one((1 << 40) + index, now.until(end))?;
        }
        Ok(())
    }

    fn store_one(&self, number: u64, retention: Millis) -> Result<(), Fault> {
        let token = self.begin(number, retention)?;
        self.complete(number, token)
    }

    fn begin(&self, number: u64, retention: Millis) -> Result<Token, Fault> {
        let key = self.workload.key(number);
        let attempt = AttemptId::from_bytes(self.workload.attempt(number));
        let mut begin = Begin::new(Fingerprint::None, attempt);
        begin.retention = retention;
        begin.lease = Millis::new(500);
        begin.result_hint = Some(self.workload.value_bytes);
        let answer = self.store.begin(identity(&key)?, &begin, |outcome| match outcome {
            BeginOutcome::Acquired(acquired) => Ok(acquired.token),
            other => Err(format!("a begin of a new key was answered {}", other.name())),
        })?;
        Ok(answer.value?)
    }

    fn complete(&self, number: u64, token: Token) -> Result<(), Fault> {
        let key = self.workload.key(number);
        let value = self.workload.value(number);
        let complete = Complete { token, result: ResultRef::of(201, &value), fingerprint: None };
        match self.store.complete(identity(&key)?, &complete)?.value {
            CompleteOutcome::Completed { not_kept: None } => Ok(()),
            other => Err(format!("a complete was answered {}", other.name()).into()),
        }
    }

    fn replay(&self, number: u64, copied: &mut Vec<u8>) -> Result<(), Fault> {
        let key = self.workload.key(number);
        let attempt = AttemptId::from_bytes(self.workload.attempt(number ^ (1 << 50)));
        let begin = Begin::new(Fingerprint::None, attempt);
        copied.clear();
        let answer = self.store.begin(identity(&key)?, &begin, |outcome| match outcome {
            BeginOutcome::Replay(replay) => {
                if let Body::Kept(body) = replay.result.body {
                    copied.extend_from_slice(body);
                }
                Ok(())
            }
            other => Err(format!("a begin of a stored key was answered {}", other.name())),
        })?;
        answer.value?;
        if copied.len() == self.workload.value_bytes && copied.starts_with(&number.to_le_bytes()) {
            Ok(())
        } else {
            Err("a replay differs from what was stored".into())
        }
    }

    /// Has every worker work until `while_they_work` is done.
    fn work<T>(
        &self,
        storm: &Storm,
        while_they_work: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<(Worked, T), Fault> {
        self.stop.store(false, Relaxed);
        thread::scope(|scope| {
            let workers: Vec<_> = storm
                .cores
                .iter()
                .zip(0..)
                .map(|(core, worker)| scope.spawn(move || self.worker(*core, worker)))
                .collect();
            let done = while_they_work();
            self.stop.store(true, Relaxed);
            let mut all = Worked::new()?;
            for worker in workers {
                let worked = worker.join().map_err(|_| "a worker panicked")??;
                all.latencies.add(worked.latencies)?;
                all.on_core_worst = all.on_core_worst.max(worked.on_core_worst);
            }
            Ok((all, done?))
        })
    }

    fn worker(&self, core: usize, worker: u64) -> Result<Worked, Fault> {
        cores::pin(core)?;
        let ticks = self.ticking == Ticking::Worker && worker == 0;
        let mut worked = Worked::new()?;
        let mut waited = process::thread_wait_nanos()?;
        let mut copied = Vec::with_capacity(self.workload.value_bytes);
        let mut step = worker * STORED / 2;
        while !self.stop.load(Relaxed) {
            step += 1;
            let started = Instant::now();
            if ticks && step.is_multiple_of(TICK_EVERY) {
                self.store.tick(self.store.now(), TICK_BUDGET);
            }
            let mut operations = 1;
            if step.is_multiple_of(NEW_EVERY) {
                let number = STORED + self.added.fetch_add(1, Relaxed);
                self.store_one(number, Begin::RETENTION_DEFAULT)?;
                operations = 2;
            } else {
                self.replay(self.workload.shuffled(step % STORED), &mut copied)?;
            }
            let took = started.elapsed();
            let nanos = u64::try_from(took.as_nanos())?;
            worked.latencies.record((nanos / operations).max(1))?;
            if took > SLOW || step.is_multiple_of(WAIT_LOOKED_EVERY) {
                let now = process::thread_wait_nanos()?;
                worked.on_core_worst = worked.on_core_worst.max(nanos.saturating_sub(now - waited));
                waited = now;
            }
        }
        Ok(worked)
    }

    /// Waits until all that ended is gone. Returns how long after the last end that was.
    fn watch(
        &self,
        storm: &Storm,
        first_end: Timestamp,
        before: u64,
        progress: Progress<'_>,
    ) -> Result<Duration, Fault> {
        let last_end = first_end.after(Millis::covering(STORM));
        let started = Instant::now();
        let mut told = started;
        while self.store.stats().expired - before < storm.entries {
            if started.elapsed() > PATIENCE + storm.retention {
                let gone = self.store.stats().expired - before;
                return Err(format!("{gone} of {} entries are gone", storm.entries).into());
            }
            thread::sleep(LOOK_EVERY);
            if told.elapsed() >= PROGRESS_EVERY {
                told = Instant::now();
                progress();
            }
        }
        let back = last_end.until(self.store.now()).as_duration();
        thread::sleep(AFTER);
        Ok(back)
    }
}

fn identity(key: &[u8; 36]) -> Result<Identity<'_>, Fault> {
    Ok(Identity::new("default", b"", key)?)
}
