//! `run`: a command once per key; later calls replay its output and exit status.

mod arguments;
mod command;
mod ending;
mod fingerprint;
mod launch;
mod lookup;
mod pump;
mod recording;
mod replay;
mod signals;
mod supervise;
mod work;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory as _;
use onceward_client::{Executed, Millis};
use tokio::time::{Instant, sleep};

pub(crate) use self::arguments::RunArguments;
pub(crate) use self::launch::{
    ProcessArguments, SUBCOMMAND as PROCESS_SUBCOMMAND, run as run_process,
};

use self::ending::{Ending, NOT_EXECUTABLE, NOT_FOUND, Report};
use self::lookup::Unusable;
use self::work::Work;
use crate::arguments::{Cli, Shared};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::logging;

/// Between begins that are told at once that another runs, though they would wait (a store whose
/// waiters are at their limit answers so).
const PAUSE_MAX: Duration = Duration::from_secs(1);

pub(crate) fn run(arguments: &RunArguments, shared: &Shared) -> ExitCode {
    let ending = match Report::open(arguments.report.as_deref()) {
        Err(failure) => failure.into(),
        Ok(report) => {
            let mut ending = end(arguments, shared).unwrap_or_else(Ending::from);
            report.write(&mut ending);
            ending
        }
    };
    ending.tell(shared.json);
    ending.exit()
}

/// A command line that could not be parsed, in one line and with this command's exit code.
pub(crate) fn refuse(message: &str, json: bool) -> ExitCode {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    fail(Failure::new(Exit::BadInput, format!("{message}; see onceward run --help")), json)
}

/// What was wrong before this command had its options.
pub(crate) fn fail(failure: Failure, json: bool) -> ExitCode {
    let ending = Ending::from(failure);
    ending.tell(json);
    ending.exit()
}

/// Whether a command line that could not be parsed is one of `run`.
pub(crate) fn is_named_by(words: &[OsString]) -> bool {
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(words);
    let Ok(matches) = matches else { return false };
    // An unknown option in front hides what follows it.
    matches
        .subcommand_name()
        .map_or_else(|| words.iter().any(|word| word == "run"), |name| name == "run")
}

fn end(arguments: &RunArguments, shared: &Shared) -> Result<Ending, Failure> {
    // Only what is said in the one line, unless more is asked for: stderr is the command's.
    logging::start(shared.log.as_deref(), "error")?;
    let key = arguments.identity.scoped_key()?;
    let fingerprint = fingerprint::chosen(&arguments.fingerprint.0, &arguments.command)?;
    let found = match lookup::find(&arguments.command) {
        Ok(found) => found,
        Err(why) => return Ok(unusable(why, &arguments.command[0].to_string_lossy())),
    };
    // One thread: the death signal of the command follows the thread that started it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Failure::new(Exit::Failure, format!("no runtime can be started: {error}"))
    })?;
    let ending = runtime.block_on(async {
        // A store of the call's own would let every call run.
        let client = shared.client_of_daemon()?;
        let work = Work::new(arguments, &found, &client, shared.url(), shared.json);
        let wait_until = Instant::now() + arguments.wait.wait().as_duration();
        loop {
            let asked = Instant::now();
            let left = wait_until.saturating_duration_since(asked);
            let answer = work.execute(&key, fingerprint, Millis::covering(left)).await;
            // The store cuts a wait to its own limit: ask again for what is left of it.
            if let Ok(Executed::InProgress { retry_after, .. }) = &answer
                && let left = wait_until.saturating_duration_since(Instant::now())
                && !left.is_zero()
            {
                let pause = if asked.elapsed() < PAUSE_MAX { PAUSE_MAX } else { Duration::ZERO };
                sleep(pause.min(left).min(retry_after.as_duration())).await;
                continue;
            }
            return Ok(work.ending(answer).await);
        }
    });
    // A write to a reader that takes nothing must not hold up the exit.
    runtime.shutdown_background();
    ending
}

fn unusable(why: Unusable, name: &str) -> Ending {
    let (outcome, exit_code, message) = match why {
        Unusable::NotFound => {
            ("not_found", NOT_FOUND, "is not there: check its name and PATH; nothing ran")
        }
        Unusable::NotExecutable => (
            "not_executable",
            NOT_EXECUTABLE,
            "cannot be executed: check its mode and its format; nothing ran",
        ),
    };
    let mut ending = Ending::new(outcome, exit_code);
    ending.message = Some(format!("{name:?} {message}"));
    ending
}
