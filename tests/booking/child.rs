//! One process of a run: this test binary again, told by its environment what to do.

use std::env;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use onceward_client::{
    Client, ExecuteError, Executed, Fingerprint, PayloadFingerprint as _, Run, Schema,
    ScopedKeyBuf, StepContext, StepError, StepFailure, StepsDone, Stopped, TypedError,
};
use serde::{Deserialize, Serialize};

use super::Planted;
use super::downstream;
use super::plan::{Kill, Point, RunPlan};

pub(super) const STEPS: [&str; 3] = ["truck", "ferry", "driver"];
pub(super) const NAMESPACE: &str = "bookings";

/// Exit code of a process that lost its lease because the machine was busy. A panic's is another.
const TOO_SLOW: i32 = 42;

/// References of what was booked, one per step.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Booking(pub(super) Vec<String>);

impl Schema for Booking {
    const TAG: &'static str = "booking/1";
}

pub(super) enum Ended {
    /// By SIGKILL.
    Killed,
    /// It stopped by itself: its lease had ended.
    TooSlow,
    /// It has the final result.
    Done,
}

pub(super) fn key(seed: u64) -> ScopedKeyBuf {
    ScopedKeyBuf::new("tenant-9", seed.to_string()).expect("a short key")
}

pub(super) fn client(address: &str) -> Client {
    Client::open(&format!("onceward://{address}/{NAMESPACE}")).expect("a good address")
}

/// Runs one process to its end.
pub(super) fn run(
    address: &str,
    folder: &Path,
    plan: &RunPlan,
    kill: Option<Kill>,
    planted: Planted,
) -> Result<Ended, String> {
    let after_us = match kill {
        Some(Kill::After(length)) => length.as_micros(),
        Some(Kill::At(_)) | None => 0,
    };
    let itself = env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(itself)
        .env("ONCEWARD_RIG_ADDRESS", address)
        .env("ONCEWARD_RIG_FOLDER", folder)
        .env("ONCEWARD_RIG_RUN", plan.seed.to_string())
        .env("ONCEWARD_RIG_FAILS", plan.fails.to_string())
        .env("ONCEWARD_RIG_KILL", format!("{kill:?}"))
        .env("ONCEWARD_RIG_AFTER_US", after_us.to_string())
        .env("ONCEWARD_RIG_PLANTED", format!("{planted:?}"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    match (output.status.signal(), output.status.code()) {
        (Some(signal), _) if signal == Signal::SIGKILL as i32 => Ok(Ended::Killed),
        (_, Some(0)) => Ok(Ended::Done),
        (_, Some(TOO_SLOW)) => Ok(Ended::TooSlow),
        _ => {
            let said = [output.stdout, output.stderr].concat();
            Err(format!("{}: {}", output.status, String::from_utf8_lossy(&said)))
        }
    }
}

/// What this process is to do in it.
pub(super) struct Process {
    address: String,
    orders: Orders,
    /// Dies after this long, wherever it is then.
    dies_after: Option<Duration>,
}

#[derive(Clone)]
struct Orders {
    folder: PathBuf,
    seed: u64,
    fails: bool,
    kill: String,
    planted: String,
}

impl Orders {
    /// Dies here if this is the place: at once, with nothing flushed, closed or told.
    fn at(&self, point: Point) {
        if self.kill == format!("{:?}", Some(Kill::At(point))) {
            die();
        }
    }

    fn call(&self, what: &str, context: &StepContext) -> Result<String, StepFailure> {
        let mut key = context.derived_key();
        if self.planted == format!("{:?}", Planted::AttemptInDerivedKey) {
            key = format!("{key}-{}", context.attempt_number());
        }
        let mut reference =
            downstream::call(&self.folder, what, &key).map_err(StepFailure::retryable)?;
        if self.planted == format!("{:?}", Planted::AnswerNotReturned) {
            reference = format!("{what} attempt {}", context.attempt_number());
        }
        Ok(reference)
    }
}

fn die() -> ! {
    kill(Pid::this(), Signal::SIGKILL).expect("a process may kill itself");
    loop {
        std::thread::park();
    }
}

impl Process {
    /// As [`run`] tells it; `None` where this process is the rig.
    pub(super) fn of_environment() -> Option<Self> {
        let address = env::var("ONCEWARD_RIG_ADDRESS").ok()?;
        let told = |name: &str| env::var(name).expect("the rig tells all");
        let orders = Orders {
            folder: told("ONCEWARD_RIG_FOLDER").into(),
            seed: told("ONCEWARD_RIG_RUN").parse().expect("a number"),
            fails: told("ONCEWARD_RIG_FAILS") == "true",
            kill: told("ONCEWARD_RIG_KILL"),
            planted: told("ONCEWARD_RIG_PLANTED"),
        };
        let after = Duration::from_micros(told("ONCEWARD_RIG_AFTER_US").parse().expect("a number"));
        Some(Self { address, orders, dies_after: (!after.is_zero()).then_some(after) })
    }

    /// Books, unless it dies first.
    pub(super) fn live(self) {
        let Self { address, orders, dies_after } = self;
        if let Some(after) = dies_after {
            std::thread::spawn(move || {
                std::thread::sleep(after);
                die();
            });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let answer = runtime.expect("a runtime").block_on(book(&address, orders.clone()));
        match answer {
            Ok(executed) => assert!(executed.done().is_some(), "{executed:?}"),
            Err(TypedError::Execute(ExecuteError::Work(Stopped {
                error: StepError::Lost { .. } | StepError::NotRecorded { .. },
                ..
            }))) => exit(TOO_SLOW),
            Err(error) => panic!("{error}"),
        }
        orders.at(Point::AfterComplete);
    }
}

type Answer = Result<Executed<StepsDone<Booking>>, TypedError<Booking, Stopped>>;

async fn book(address: &str, orders: Orders) -> Answer {
    let execution = client(address)
        .execution()
        .lease(Duration::from_millis(100)) // The shortest there is, so that takeovers are quick.
        .wait(Duration::from_secs(20));
    let payload = Fingerprint::of(orders.seed.to_le_bytes());
    execution.execute_steps(key(orders.seed), payload, |run| program(run, orders)).await
}

async fn program(mut run: Run, orders: Orders) -> Result<Booking, StepError> {
    let mut booked = Vec::new();
    for (number, name) in STEPS.into_iter().enumerate() {
        orders.at(Point::BeforeStep(number));
        let step = run.step(name, async |context| {
            orders.at(Point::BeforeEffect(number));
            if orders.fails && number == STEPS.len() - 1 {
                return Err(StepFailure::terminal("no driver"));
            }
            let reference = orders.call(&format!("book {name}"), &context)?;
            orders.at(Point::AfterEffect(number));
            Ok(reference)
        });
        let undoing = orders.clone();
        let step = step.compensate(move |reference: String, context| {
            undoing.at(Point::BeforeUndo(number));
            let undone = undoing.call(&format!("cancel {reference}"), &context);
            undoing.at(Point::AfterUndo(number));
            std::future::ready(undone.map(drop))
        });
        booked.push(step.await?);
        orders.at(Point::AfterRecord(number));
    }
    orders.at(Point::BeforeComplete);
    Ok(Booking(booked))
}
