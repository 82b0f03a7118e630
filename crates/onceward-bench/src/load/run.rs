//! One run: connections, setup, warm-up, measurement, and a look at what was stored.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::connection::Connection;
use super::dialect::{Dialect, KEY_BYTES, Terms};
use super::distribution::Distribution;
use super::driver::{Found, Stage, drive};
use super::pace::{Bound, Pace};
use super::record::{Counters, Load, Run};
use super::script::{Mix, Phase, Script, Setup};
use super::server_process::ServerProcess;
use super::socket::Address;
use crate::engine::{Fault, Values};

/// Keys that are asked for again after a run that stored some.
const VERIFIED_MAX: u64 = 1_000;
/// A setup, a warm-up or a verification that takes longer hangs.
const SETUP_PATIENCE: Duration = Duration::from_secs(300);
/// What a phase may take beyond its own time for the answers that are due.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// The most that an open loop may lag behind its own schedule in 99 of 100 operations.
pub const LAG_P99_MAX: Duration = Duration::from_micros(500);
/// The least part of what was offered that must have been sent when the time is over.
pub const SENT_MIN: f64 = 0.99;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which operations.
    pub mix: Mix,
    /// When they start.
    pub pace: Pace,
    /// How long it is measured.
    pub bound: Bound,
    /// What runs before and is not counted; nothing if both are `None`.
    pub warm_up: Bound,
    /// Connections in all.
    pub connections: usize,
    /// Requests in flight on each.
    pub pipeline: usize,
    /// Threads of the generator; no more than connections.
    pub threads: usize,
    /// Stored keys that the mix chooses from.
    pub keys: u64,
    /// How it chooses.
    pub distribution: Distribution,
    /// What is stored.
    pub values: Values,
    /// Lease and retention.
    pub terms: Terms,
    /// Decides keys, values and order.
    pub seed: u64,
    /// Longest time of the measured phase.
    pub patience: Option<Duration>,
    /// Cores for the generator's threads.
    pub cores: Vec<usize>,
}

impl Plan {
    /// A closed loop over 50 connections, with values of 512 bytes.
    ///
    /// # Errors
    /// None.
    pub fn new(mix: Mix) -> Result<Self, Fault> {
        Ok(Self {
            mix,
            pace: Pace::Closed,
            bound: Bound { operations: Some(100_000), duration: None },
            warm_up: Bound::default(),
            connections: 50,
            pipeline: 1,
            threads: 1,
            keys: 100_000,
            distribution: Distribution::Permuted,
            values: Values::sized(512)?,
            terms: Terms::default(),
            seed: 1,
            patience: None,
            cores: Vec::new(),
        })
    }

    /// How long it takes, where that is known: the warm-up and what is measured, without what is
    /// stored before.
    #[must_use]
    pub fn length(&self) -> Option<Duration> {
        let of = |bound: Bound| match (bound.duration, bound.operations, self.pace) {
            (Some(duration), None, _) => Some(duration),
            (None, Some(operations), Pace::Open { rate, .. }) => {
                Duration::try_from_secs_f64(operations as f64 / rate).ok()
            }
            (None, None, _) => Some(Duration::ZERO),
            // Whichever comes first, or as many as there are at whatever rate is reached.
            _ => None,
        };
        Some(of(self.warm_up)? + of(self.bound)?)
    }

    /// The plan as the record has it.
    #[must_use]
    pub fn load(&self, mode: &str, server_threads: Option<usize>) -> Load {
        let Bound { operations, duration } = self.warm_up;
        let warm_up = [
            operations.map(|count| format!("{count} operations")),
            duration.map(|length| format!("{} s", length.as_secs_f64())),
        ];
        Load {
            mix: self.mix.name().to_owned(),
            mode: mode.to_owned(),
            offered_rate: match self.pace {
                Pace::Closed => None,
                Pace::Open { rate, .. } => Some(rate),
            },
            connections: self.connections,
            pipeline: self.pipeline,
            threads: self.threads,
            server_threads,
            keys: self.keys,
            key_distribution: self.distribution.name(),
            values: self.values.name(),
            retention_ms: self.terms.retention.as_millis() as u64,
            warm_up: match warm_up {
                [None, None] => "none".to_owned(),
                some => some.into_iter().flatten().collect::<Vec<_>>().join(" or "),
            },
            seed: self.seed,
            fingerprint_bytes: Some(self.terms.fingerprint_bytes),
            near_ns: None,
        }
    }
}

/// The connections of each thread.
struct Fleet<D>(Vec<Vec<Connection<D>>>);

impl<D: Dialect> Rig for Fleet<D> {
    fn drive(&mut self, stage: &Stage<'_>) -> Result<Found, Fault> {
        drive(&mut self.0, stage)
    }
}

/// What carries out the phases of a run.
pub(super) trait Rig {
    /// Carries out one.
    fn drive(&mut self, stage: &Stage<'_>) -> Result<Found, Fault>;
}

fn open<D: Dialect>(
    plan: &Plan,
    address: &Address,
    dialect: &(dyn Fn() -> D + Sync),
) -> Result<Fleet<D>, Fault> {
    let missing = match plan.mix {
        Mix::Waiters if !D::WAITS => Some("its begins cannot wait"),
        Mix::Conflict if !D::TELLS_IN_PROGRESS => Some("it does not tell that a key is held"),
        Mix::Mismatch if !D::TELLS_MISMATCH => {
            Some("it does not tell another payload from a retry")
        }
        _ => None,
    };
    if let Some(missing) = missing {
        return Err(
            format!("mix {} means nothing to this target: {missing}", plan.mix.name()).into()
        );
    }
    // A crowd needs one to look whether all wait.
    let slots = plan.pipeline.max(1) + usize::from(plan.mix == Mix::Waiters);
    let threads = plan.threads.clamp(1, plan.connections.max(1));
    let mut fleet: Vec<Vec<_>> = (0..threads).map(|_| Vec::new()).collect();
    for at in 0..plan.connections.max(1) {
        let connection = Connection::open(address, dialect(), slots)?;
        fleet[at % threads].push(connection);
    }
    Ok(Fleet(fleet))
}

/// Runs `plan` once as run number `number` of the invocation: keys of different numbers differ.
/// `server` is where processor time and memory are read, if it is on this machine.
///
/// A run in which an answer was wrong is no error here: its counters and [`Run::failure`] say so.
///
/// # Errors
/// A server that cannot be reached, a connection that is lost, or a limit of time.
pub fn run<D: Dialect>(
    plan: &Plan,
    number: u64,
    address: &Address,
    dialect: &(dyn Fn() -> D + Sync),
    server: Option<ServerProcess>,
    interrupted: &AtomicBool,
) -> Result<Run, Fault> {
    let before = server.map(ServerProcess::usage).transpose()?;
    let mut fleet = open(plan, address, dialect)?;
    let mut run = phases(plan, number, &mut fleet, server, interrupted)?;
    run.server_resident_bytes = run
        .server_resident_bytes
        .zip(before)
        .map(|((_, after), before)| (before.resident_bytes, after));
    Ok(run)
}

/// The phases of a run. Memory is counted from the first of them on.
pub(super) fn phases(
    plan: &Plan,
    number: u64,
    rig: &mut dyn Rig,
    server: Option<ServerProcess>,
    interrupted: &AtomicBool,
) -> Result<Run, Fault> {
    let script = Script::new(plan.keys, plan.distribution, plan.seed, number);
    let before = server.map(ServerProcess::usage).transpose()?;
    let mut phase = |phase, pace, bound, patience| {
        let values = &plan.values;
        let (seed, cores) = (plan.seed ^ number, &plan.cores);
        let script = &script;
        let stage =
            Stage { script, phase, values, pace, bound, seed, patience, cores, interrupted };
        rig.drive(&stage)
    };
    let mut counters = Counters::default();
    let mut complaint = None;
    let mut judge = |found: &Found| {
        counters.errors += found.tally.counters.errors;
        counters.executed_twice += found.tally.counters.executed_twice;
        counters.not_executed += found.tally.counters.not_executed;
        counters.wrong_replays += found.tally.counters.wrong_replays;
        if complaint.is_none() {
            complaint.clone_from(&found.tally.complaint);
        }
    };
    let mut stored = Stored::default();
    if let Some(setup) = plan.mix.setup() {
        let all = Bound { operations: Some(plan.keys), duration: None };
        let found = phase(Phase::Setup(setup), Pace::Closed, all, SETUP_PATIENCE)?;
        judge(&found);
        stored.add(&found, plan);
    }
    if plan.warm_up != Bound::default() {
        let found = phase(Phase::WarmUp(plan.mix), plan.pace, plan.warm_up, SETUP_PATIENCE)?;
        judge(&found);
        stored.add(&found, plan);
    }
    let patience = plan.patience.unwrap_or_else(|| {
        plan.bound.duration.map_or(SETUP_PATIENCE, |length| 2 * length + ANSWER_PATIENCE)
    });
    let start = server.map(ServerProcess::usage).transpose()?;
    let found = phase(Phase::Measured(plan.mix), plan.pace, plan.bound, patience)?;
    let end = server.map(ServerProcess::usage).transpose()?;
    stored.add(&found, plan);
    let mut run = measured(plan, &found)?;
    let steps = found.steps.unwrap_or(0).min(plan.bound.operations.unwrap_or(u64::MAX));
    // Held keys have no result to look at.
    if plan.mix.setup() != Some(Setup::Hold) && steps > 0 {
        let count = steps.min(VERIFIED_MAX);
        let some = Bound { operations: Some(count), duration: None };
        let verify = Phase::Verify { mix: plan.mix, steps, count };
        judge(&phase(verify, Pace::Closed, some, SETUP_PATIENCE)?);
    }
    run.counters.add(&counters);
    run.failure = complaint.or(found.tally.complaint);
    run.server_cpu_ns = end.zip(start).map(|(end, start)| end.cpu_ns.saturating_sub(start.cpu_ns));
    run.server_resident_bytes =
        before.zip(end).map(|(before, end)| (before.resident_bytes, end.resident_bytes));
    (run.stored_keys, run.stored_bytes) = (Some(stored.keys), Some(stored.bytes));
    Ok(run)
}

#[derive(Default)]
struct Stored {
    keys: u64,
    bytes: u64,
}

impl Stored {
    fn add(&mut self, found: &Found, plan: &Plan) {
        let Counters { acquired, completed, .. } = found.tally.counters;
        self.keys += acquired;
        self.bytes += acquired * KEY_BYTES as u64;
        self.bytes += (completed as f64 * plan.values.mean_bytes()) as u64;
    }
}

fn measured(plan: &Plan, found: &Found) -> Result<Run, Fault> {
    let open = matches!(plan.pace, Pace::Open { .. });
    Ok(Run {
        invalid: if open { invalid(found) } else { None },
        interrupted: found.interrupted,
        seconds: found.seconds,
        round_trips: found.tally.round_trips,
        counters: found.tally.counters,
        latency: found.tally.latency()?,
        send_lag: if open { Some(found.tally.send_lag.written()?) } else { None },
        generator_lag: if open { Some(found.tally.lag.written()?) } else { None },
        wire: found.tally.wire(),
        generator_cpu_ns: Some(found.cpu_ns),
        ..Run::default()
    })
}

/// Why an open loop's figures must not be used, if so.
fn invalid(found: &Found) -> Option<String> {
    let lag = Duration::from_nanos(found.tally.lag.at(0.99));
    if lag > LAG_P99_MAX {
        return Some(format!(
            "the generator lagged: it sent 1 in 100 operations {lag:?} late or more, {LAG_P99_MAX:?} is the most"
        ));
    }
    let sent = 1.0 - found.unsent as f64 / found.offered.max(1) as f64;
    if sent < SENT_MIN {
        let percent = sent * 100.0;
        return Some(format!("only {percent:.1} % of what was offered had been sent in time"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Arrivals;

    #[test]
    fn a_plans_length_is_known_or_is_not() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let open = Pace::Open { rate: 500.0, arrivals: Arrivals::Constant };
        for (pace, operations, duration, want) in [
            (Pace::Closed, None, seconds(10), seconds(12)),
            (Pace::Closed, Some(1_000), None, None),
            (Pace::Closed, Some(1_000), seconds(10), None),
            (open, Some(1_000), None, seconds(4)),
            (open, None, seconds(10), seconds(12)),
        ] {
            let bound = Bound { operations, duration };
            let warm_up = Bound { operations: None, duration: seconds(2) };
            let plan = Plan { pace, bound, warm_up, ..Plan::new(Mix::First).unwrap() };
            assert_eq!(plan.length(), want, "{pace:?} {bound:?}");
        }
        let plan = Plan { pace: Pace::Closed, ..Plan::new(Mix::First).unwrap() };
        let bound = Bound { operations: None, duration: seconds(3) };
        assert_eq!(Plan { bound, ..plan }.length(), seconds(3), "without a warm-up");
    }
}
