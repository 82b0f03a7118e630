//! The phases that every system goes through, each timed: fill, duplicates, drain, replays,
//! batches, expiry.
//!
//! Keys, values and orders are made within what is timed, the same for every system;
//! [`overhead_nanos`] says what they cost. One thread's figures are its processor time; with several
//! threads each has keys of its own, and a figure is the wall time divided by the operations of
//! all threads.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::cores;
use super::figures::{
    BATCH_BEGIN, BATCH_BOTH, BATCH_COMPLETE, BATCH_REPLAY, BEGIN, BOTH, COMPLETE, DUPLICATE,
    EXPIRY, EXPIRY_SLICE, GET, REPLAY,
};
use super::process;
use super::system::{BATCH, Fault, Request, System};
use super::values::Values;
use crate::report::Measurement;
use crate::workload::Workload;

/// Begins, then completes, that are timed together: long against a clock's reading, short against
/// the window.
const BLOCK: u64 = 256;
/// Most requests of one kind: more only take longer.
const ASKED_MAX: u64 = 4_000_000;
/// Least operations between a key's begin and its complete, where there are as many keys.
pub const WINDOW: u64 = 1_000_000;

/// How much is asked, of how many entries, by how many threads.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Plan {
    /// Entries stored one by one, before batches add a tenth.
    pub entries: u64,
    /// Begins between a key's begin and its complete.
    pub window: u64,
    /// The core of each thread.
    pub cores: Vec<usize>,
    /// Decides keys and orders.
    pub seed: u64,
}

impl Plan {
    /// A window of a million operations, or of half the entries where there are fewer than two
    /// million.
    #[must_use]
    pub fn window_for(entries: u64) -> u64 {
        WINDOW.min(entries / 2).max(1)
    }

    /// Entries that batches add.
    #[must_use]
    pub fn batched(&self) -> u64 {
        let unit = (BATCH * self.cores.len()) as u64;
        ((self.entries / 10).clamp(1, WINDOW)).div_ceil(unit) * unit
    }

    fn workload(&self, entries: u64) -> Workload {
        Workload { entries, value_bytes: 0, distance: self.window, seed: self.seed }
    }
}

/// What one thread carries from phase to phase.
struct Lane<T> {
    core: usize,
    /// Its keys are those of `from..to`, for the batches of `batch_from..batch_to`.
    from: u64,
    to: u64,
    batch_from: u64,
    batch_to: u64,
    window: u64,
    completed: u64,
    tokens: Vec<T>,
}

impl<T: Copy> Lane<T> {
    fn token(&self, number: u64) -> T {
        self.tokens[((number - self.from) % self.ring()) as usize]
    }

    /// A block's begins come before its completes, so the window alone would be too short.
    fn ring(&self) -> u64 {
        self.window + BLOCK
    }

    fn keep(&mut self, number: u64, token: T) {
        let at = ((number - self.from) % self.ring()) as usize;
        match self.tokens.get_mut(at) {
            Some(place) => *place = token,
            None => self.tokens.push(token),
        }
    }
}

/// One system's figures, and what its process looked like.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Nanoseconds per operation, and for expiry also the longest slice.
    pub values: Vec<Measurement>,
    /// Part of the process's memory in huge pages, once filled.
    pub huge_part: f64,
    /// Bytes that the process grew by, per entry, once filled.
    pub grown_each: f64,
    /// How far the first two cores were from each other around the fill and around the replays, in
    /// nanoseconds; zero with one thread.
    pub distances: [f64; 2],
}

/// Is told how many more entries were begun, by any thread, outside what is timed by blocks.
pub type Progress<'a> = &'a (dyn Fn(u64) + Sync);

/// Runs all phases on a system that `make` builds empty.
///
/// # Errors
/// Any answer other than the right one.
pub fn measure<S: System>(
    plan: &Plan,
    values: &Values,
    progress: Progress<'_>,
    make: impl FnOnce() -> Result<S, Fault>,
) -> Result<Measured, Fault> {
    let mut measured = Measured::default();
    let mut lanes = lanes(plan);
    let before = process::resident_bytes()?;
    let system = &make()?;

    let filled = run(plan, &mut lanes, |lane| fill(plan, values, progress, system, lane))?;
    let duplicates = run(plan, &mut lanes, |lane| duplicates(plan, system, lane))?;
    let drained = run(plan, &mut lanes, |lane| drain(plan, values, system, lane))?;
    let [begins, completes] = split(&filled);
    let begin = begins / plan.entries as f64;
    let complete = (completes + drained.nanos) / plan.entries as f64;
    let resident = process::resident_bytes()?;
    measured.huge_part = process::huge_bytes()? as f64 / resident as f64;
    measured.grown_each =
        (resident as f64 - before as f64 - token_bytes(&lanes)) / plan.entries as f64;

    let mut note = |name: &str, nanos: f64| {
        measured.values.push(Measurement::new(name, "ns", nanos));
    };
    note(BEGIN, begin);
    note(COMPLETE, complete);
    note(BOTH, begin + complete);
    note(DUPLICATE, duplicates.nanos_each());
    let replays = run(plan, &mut lanes, |lane| replays(plan, values, system, lane))?;
    measured.distances = [filled.distance, replays.distance];
    let gets = run(plan, &mut lanes, |lane| gets(plan, values, system, lane))?;
    let batched = run(plan, &mut lanes, |lane| batches(plan, values, progress, system, lane))?;
    let again = run(plan, &mut lanes, |lane| replay_batches(plan, values, system, lane))?;
    let mut note = |name: &str, nanos: f64| {
        measured.values.push(Measurement::new(name, "ns", nanos));
    };
    note(REPLAY, replays.nanos_each());
    if gets.operations > 0 {
        note(GET, gets.nanos_each());
    }
    let [begins, completes] = split(&batched);
    note(BATCH_BEGIN, begins / plan.batched() as f64);
    note(BATCH_COMPLETE, completes / plan.batched() as f64);
    note(BATCH_BOTH, (begins + completes) / plan.batched() as f64);
    note(BATCH_REPLAY, again.nanos_each());
    if plan.cores.len() == 1
        && let Some(expiry) = system.expire()?
    {
        note(EXPIRY, expiry.nanos_each);
        let slice = Measurement::new(EXPIRY_SLICE, "µs", expiry.slice_micros_max);
        measured.values.push(slice);
    }
    Ok(measured)
}

/// Fills a system and drains it. Returns the bytes that the process grew by, per entry.
///
/// # Errors
/// Any answer other than the right one.
pub fn measure_memory<S: System>(
    plan: &Plan,
    values: &Values,
    make: impl FnOnce() -> Result<S, Fault>,
) -> Result<f64, Fault> {
    let mut lanes = lanes(plan);
    let before = process::resident_bytes()?;
    let system = &make()?;
    run(plan, &mut lanes, |lane| fill(plan, values, &|_| {}, system, lane))?;
    run(plan, &mut lanes, |lane| drain(plan, values, system, lane))?;
    let grown = process::resident_bytes()? as f64 - before as f64 - token_bytes(&lanes);
    Ok(grown / plan.entries as f64)
}

fn token_bytes<T>(lanes: &[Lane<T>]) -> f64 {
    lanes.iter().map(|lane| (lane.tokens.capacity() * size_of::<T>()) as f64).sum()
}

fn lanes<T: Copy>(plan: &Plan) -> Vec<Lane<T>> {
    let threads = plan.cores.len() as u64;
    let (each, batched_each) = (plan.entries / threads, plan.batched() / threads);
    let lane = |(index, core): (u64, &usize)| {
        let from = index * each;
        let to = if index + 1 == threads { plan.entries } else { from + each };
        let window = (plan.window / threads).clamp(1, to - from);
        let batch_from = plan.entries + index * batched_each;
        let batch_to = batch_from + batched_each;
        let tokens = Vec::with_capacity((window + BLOCK) as usize);
        Lane { core: *core, from, to, batch_from, batch_to, window, completed: from, tokens }
    };
    (0..).zip(&plan.cores).map(lane).collect()
}

/// What all threads took together.
#[derive(Default)]
struct Phase {
    /// Processor time of one thread, or wall time of several.
    nanos: f64,
    operations: u64,
    /// The greater of the distances between the first two cores before and after.
    distance: f64,
    /// Sums over the threads of two kinds of blocks, where a phase has two.
    parts: [Duration; 2],
}

impl Phase {
    fn nanos_each(&self) -> f64 {
        self.nanos / self.operations.max(1) as f64
    }
}

/// The phase's time, shared out as the threads' blocks were.
fn split(phase: &Phase) -> [f64; 2] {
    let sum = (phase.parts[0] + phase.parts[1]).as_secs_f64().max(f64::MIN_POSITIVE);
    phase.parts.map(|part| phase.nanos * part.as_secs_f64() / sum)
}

/// What one thread did: operations, and time in two kinds of blocks.
type Done = (u64, [Duration; 2]);

fn run<T: Copy + Send>(
    plan: &Plan,
    lanes: &mut [Lane<T>],
    work: impl Fn(&mut Lane<T>) -> Result<Done, Fault> + Sync,
) -> Result<Phase, Fault> {
    let distance = || match plan.cores[..] {
        [one, other, ..] => cores::distance_nanos(one, other),
        _ => Ok(0.0),
    };
    let before = distance()?;
    let (start, work) = (&Barrier::new(lanes.len()), &work);
    let mut phase = thread::scope(|scope| -> Result<Phase, Fault> {
        let threads: Vec<_> = lanes
            .iter_mut()
            .map(|lane| {
                scope.spawn(move || -> Result<_, Fault> {
                    let pinned = cores::pin(lane.core);
                    start.wait();
                    pinned?;
                    let (from, cpu) = (Instant::now(), process::thread_cpu_time()?);
                    let done = work(lane)?;
                    let cpu = process::thread_cpu_time()?.saturating_sub(cpu);
                    Ok((from, Instant::now(), cpu, done))
                })
            })
            .collect();
        let mut phase = Phase { distance: before, ..Phase::default() };
        let mut spans = Vec::new();
        let mut alone = Duration::ZERO;
        for thread in threads {
            let (from, to, cpu, (operations, parts)) =
                thread.join().map_err(|_| "a thread panicked")??;
            spans.push((from, to));
            alone = cpu;
            phase.operations += operations;
            phase.parts[0] += parts[0];
            phase.parts[1] += parts[1];
        }
        let first = spans.iter().map(|(from, _)| *from).min();
        let last = spans.iter().map(|(_, to)| *to).max();
        let wall = first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first);
        // One thread alone: what others do on its core is no cost of its own.
        let time = if spans.len() == 1 { alone } else { wall };
        phase.nanos = time.as_nanos() as f64;
        Ok(phase)
    })?;
    phase.distance = phase.distance.max(distance()?);
    Ok(phase)
}

fn fill<S: System>(
    plan: &Plan,
    values: &Values,
    progress: Progress<'_>,
    system: &S,
    lane: &mut Lane<S::Token>,
) -> Result<Done, Fault> {
    let workload = plan.workload(plan.entries);
    let mut scratch = values.scratch();
    let mut parts = [Duration::ZERO; 2];
    let mut begun = lane.from;
    while begun < lane.to {
        let upto = (begun + BLOCK).min(lane.to);
        progress(upto - begun);
        let started = Instant::now();
        for number in begun..upto {
            let token = system.begin(&Request::of(&workload, number))?;
            lane.keep(number, token);
        }
        begun = upto;
        let between = Instant::now();
        let due = begun.saturating_sub(lane.window).max(lane.from);
        for number in lane.completed..due {
            let value = values.of(number, &mut scratch);
            system.complete(&Request::of(&workload, number), lane.token(number), value)?;
        }
        lane.completed = due;
        parts[0] += between - started;
        parts[1] += between.elapsed();
    }
    Ok((lane.to - lane.from, parts))
}

/// Asks for the keys that are pending now, in another order than they were begun.
fn duplicates<S: System>(
    plan: &Plan,
    system: &S,
    lane: &mut Lane<S::Token>,
) -> Result<Done, Fault> {
    let workload = plan.workload(plan.entries);
    let pending = plan.workload(lane.to - lane.completed);
    for step in 0..pending.entries {
        let number = lane.completed + pending.shuffled(step);
        system.duplicate(&Request::of(&workload, number))?;
    }
    Ok((pending.entries, [Duration::ZERO; 2]))
}

/// Completes what the fill left pending.
fn drain<S: System>(
    plan: &Plan,
    values: &Values,
    system: &S,
    lane: &mut Lane<S::Token>,
) -> Result<Done, Fault> {
    let workload = plan.workload(plan.entries);
    let mut scratch = values.scratch();
    let count = lane.to - lane.completed;
    for number in lane.completed..lane.to {
        let value = values.of(number, &mut scratch);
        system.complete(&Request::of(&workload, number), lane.token(number), value)?;
    }
    lane.completed = lane.to;
    Ok((count, [Duration::ZERO; 2]))
}

/// The steps of a walk over all entries that a lane takes; `nth` walks do not overlap while there
/// are entries enough.
fn steps<T>(plan: &Plan, lane: &Lane<T>, nth: u64) -> impl Iterator<Item = u64> + use<T> {
    let threads = plan.cores.len() as u64;
    let each = (plan.entries.min(ASKED_MAX) / threads).max(1);
    let index = lane.from / (plan.entries / threads).max(1);
    let entries = plan.entries;
    let from = nth * entries / 3 + index * each;
    (from..from + each).map(move |step| step % entries)
}

fn replays<S: System>(
    plan: &Plan,
    values: &Values,
    system: &S,
    lane: &mut Lane<S::Token>,
) -> Result<Done, Fault> {
    let workload = plan.workload(plan.entries);
    let (mut scratch, mut copied) = (values.scratch(), Vec::with_capacity(values.most_bytes()));
    let mut count = 0;
    for step in steps(plan, lane, 0) {
        let number = workload.shuffled(step);
        system.replay(&Request::of(&workload, number), &mut copied)?;
        values.check(number, &copied, &mut scratch)?;
        count += 1;
    }
    Ok((count, [Duration::ZERO; 2]))
}

fn gets<S: System>(
    plan: &Plan,
    values: &Values,
    system: &S,
    lane: &mut Lane<S::Token>,
) -> Result<Done, Fault> {
    let workload = plan.workload(plan.entries);
    let (mut scratch, mut copied) = (values.scratch(), Vec::with_capacity(values.most_bytes()));
    let mut count = 0;
    for step in steps(plan, lane, 1) {
        let number = workload.shuffled(step);
        if !system.get(&Request::of(&workload, number), &mut copied)? {
            break;
        }
        values.check(number, &copied, &mut scratch)?;
        count += 1;
    }
    Ok((count, [Duration::ZERO; 2]))
}

/// Begins all keys of the batches, then completes them all: at least as far apart as the window.
fn batches<S: System>(
    plan: &Plan,
    values: &Values,
    progress: Progress<'_>,
    system: &S,
    lane: &mut Lane<S::Token>,
) -> Result<Done, Fault> {
    let workload = plan.workload(plan.entries + plan.batched());
    let scratches = &mut [(); BATCH].map(|()| values.scratch());
    let count = lane.batch_to - lane.batch_from;
    let mut tokens = Vec::with_capacity(count as usize);
    progress(count);
    let started = Instant::now();
    for first in (lane.batch_from..lane.batch_to).step_by(BATCH) {
        let requests = requests(&workload, first, |number| number);
        system.begin_batch(&requests, &mut tokens)?;
    }
    let between = Instant::now();
    let firsts = (lane.batch_from..lane.batch_to).step_by(BATCH);
    for (first, tokens) in firsts.zip(tokens.as_chunks::<BATCH>().0) {
        let requests = requests(&workload, first, |number| number);
        let mut bodies = [&[][..]; BATCH];
        for ((body, scratch), number) in bodies.iter_mut().zip(scratches.iter_mut()).zip(first..) {
            *body = values.of(number, scratch);
        }
        system.complete_batch(&requests, tokens, &bodies)?;
    }
    Ok((count, [between - started, between.elapsed()]))
}

fn requests(workload: &Workload, first: u64, number: impl Fn(u64) -> u64) -> [Request; BATCH] {
    std::array::from_fn(|at| Request::of(workload, number(first + at as u64)))
}

fn replay_batches<S: System>(
    plan: &Plan,
    values: &Values,
    system: &S,
    lane: &mut Lane<S::Token>,
) -> Result<Done, Fault> {
    let workload = plan.workload(plan.entries);
    let mut scratch = values.scratch();
    let mut copied = [(); BATCH].map(|()| Vec::with_capacity(values.most_bytes()));
    let mut count = 0;
    for step in steps(plan, lane, 2).step_by(BATCH) {
        let requests = requests(&workload, step, |step| workload.shuffled(step % workload.entries));
        system.replay_batch(&requests, &mut copied)?;
        for (request, copied) in requests.iter().zip(&copied) {
            values.check(request.number, copied, &mut scratch)?;
        }
        count += BATCH as u64;
    }
    Ok((count, [Duration::ZERO; 2]))
}

/// What making keys, orders and values costs each operation: in every figure, for every system.
///
/// # Errors
/// The kernel lacks a clock.
pub fn overhead_nanos(plan: &Plan, values: &Values) -> Result<f64, Fault> {
    let workload = plan.workload(plan.entries);
    let mut scratch = values.scratch();
    let count = plan.entries.min(1_000_000);
    let started = process::thread_cpu_time()?;
    for step in 0..count {
        let number = workload.shuffled(step);
        std::hint::black_box(Request::of(&workload, number));
        std::hint::black_box(values.of(number, &mut scratch));
    }
    let took = process::thread_cpu_time()?.saturating_sub(started);
    Ok(took.as_nanos() as f64 / count.max(1) as f64)
}
