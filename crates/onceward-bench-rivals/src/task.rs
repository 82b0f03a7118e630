//! What one process of its own measures, so that no system sees another's memory.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use onceward_bench::Measurement;
use onceward_bench::engine::storm::{self, Storm};
use onceward_bench::engine::{Fault, OwnSettings, OwnStore, Values, cores, phases};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ballast::{self, Ballast};
use crate::floors::{self, FloorPlan};
use crate::rivals::{RivalSettings, SystemName};

/// The subcommand under which the program starts itself.
pub const CHILD: &str = "child";

/// Held ready for a storm's workers, and the steps in which it is let go of.
const STORM_BALLAST_BYTES: u64 = 1 << 30;
const STORM_STEPS: u64 = 100;

/// Part of the process in huge pages.
pub const HUGE_PART: &str = "memory in huge pages";
/// Memory beyond keys and values.
pub const BYTES_BEYOND: &str = "bytes per entry beyond key and value";
/// How far the two cores were from each other around the fill.
pub const DISTANCE_FILL: &str = "core distance at begin + complete";
/// How far the two cores were from each other around the replays.
pub const DISTANCE_REPLAY: &str = "core distance at replay";
/// What making keys, orders and values costs.
pub const OVERHEAD: &str = "keys, order and values alone";

/// Which bodies.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ValueChoice {
    /// Of so many bytes.
    Bytes(usize),
    /// Those of a file of recorded calls.
    Recorded(PathBuf),
}

impl ValueChoice {
    /// The bodies.
    ///
    /// # Errors
    /// As [`Values::sized`] and [`Values::recorded`].
    pub fn load(&self) -> Result<Values, Fault> {
        match self {
            Self::Bytes(size) => Values::sized(*size),
            Self::Recorded(path) => Values::recorded(path),
        }
    }
}

/// One system, or the floors, once.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Task {
    /// What is measured.
    pub kind: Kind,
    /// How much.
    pub plan: phases::Plan,
    /// The bodies.
    pub values: ValueChoice,
    /// What its process may need: held ready for it.
    pub need_bytes: u64,
    /// How long to wait for near cores.
    pub patience: Duration,
}

/// What is measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Kind {
    /// All phases of ours.
    Own(OwnSettings),
    /// All phases of another.
    Rival(SystemName, RivalSettings),
    /// Ours filled, for its memory only.
    OwnMemory(OwnSettings),
    /// Another filled, for its memory only.
    RivalMemory(SystemName, RivalSettings),
    /// The machine.
    Floors(FloorPlan),
}

/// What a process of its own is started for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Errand {
    /// Figures of one system.
    Measure(Task),
    /// Very many ends at once.
    Storm(Storm),
    /// Pieces of memory, held until they are needed.
    Ballast(u64),
}

impl Errand {
    /// Runs it in a process of its own and reads what that printed.
    ///
    /// # Errors
    /// What that process wrote to its standard error.
    pub fn run_apart<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        let output = Command::new(std::env::current_exe()?)
            .arg(CHILD)
            .arg(serde_json::to_string(self)?)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{}: {}", output.status, why.trim()).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Runs it here and prints what it found.
    ///
    /// # Errors
    /// A wrong answer, or a machine that lacks something.
    pub fn run(&self) -> Result<(), Fault> {
        let stdout = std::io::stdout();
        match self {
            Self::Measure(task) => serde_json::to_writer(stdout, &task.run()?)?,
            Self::Storm(storm) => {
                // What the workers' new keys take, spread over the time that they work.
                let ballast = Ballast::hold(STORM_BALLAST_BYTES, STORM_STEPS)?;
                let found = storm::run(storm, &|| ballast.advance(1))?;
                serde_json::to_writer(stdout, &found)?;
            }
            Self::Ballast(pieces) => ballast::serve(*pieces)?,
        }
        Ok(())
    }
}

impl Task {
    /// Runs it here.
    ///
    /// # Errors
    /// A wrong answer, or a machine that lacks something.
    pub fn run(&self) -> Result<Vec<Measurement>, Fault> {
        let (plan, values) = (&self.plan, &self.values.load()?);
        let ballast = || Ballast::hold(self.need_bytes, plan.entries + plan.batched());
        if let [one, other, ..] = plan.cores[..] {
            cores::await_near(one, other, cores::NEAR_NANOS_MAX, self.patience)?;
        }
        let measured = match &self.kind {
            Kind::Floors(floors) => {
                pin_to_first(plan)?;
                let mut found = floors::measure(*floors, values)?;
                let overhead = phases::overhead_nanos(plan, values)?;
                found.push(Measurement::new(OVERHEAD, "ns", overhead));
                return Ok(found);
            }
            Kind::OwnMemory(settings) => {
                let grown =
                    phases::measure_memory(plan, values, || OwnStore::new(settings, values))?;
                return Ok(vec![beyond(grown, values)]);
            }
            Kind::RivalMemory(name, settings) => {
                return Ok(vec![beyond(name.measure_memory(*settings, plan, values)?, values)]);
            }
            Kind::Own(settings) => {
                let ballast = ballast()?;
                let progress = |entries| ballast.advance(entries);
                phases::measure(plan, values, &progress, || OwnStore::new(settings, values))?
            }
            Kind::Rival(name, settings) => {
                let ballast = ballast()?;
                name.measure(*settings, plan, values, &|entries| ballast.advance(entries))?
            }
        };
        let mut found = measured.values;
        found.push(Measurement::new(HUGE_PART, "%", 100.0 * measured.huge_part));
        if plan.cores.len() > 1 {
            for (name, distance) in
                [DISTANCE_FILL, DISTANCE_REPLAY].into_iter().zip(measured.distances)
            {
                found.push(Measurement::new(name, "ns", distance));
            }
        }
        Ok(found)
    }
}

/// Bytes beyond the key's text and the value.
fn beyond(grown: f64, values: &Values) -> Measurement {
    Measurement::new(BYTES_BEYOND, "B", grown - 36.0 - values.mean_bytes())
}

fn pin_to_first(plan: &phases::Plan) -> Result<(), Fault> {
    match plan.cores.first() {
        Some(core) => cores::pin(*core),
        None => Err("a plan without a core".into()),
    }
}
