//! `onceward demo`: the main job on real input, with every fault that callers and crashes bring.
//!
//! The processes of a run, all on loopback ports of their own:
//!
//! ```text
//!   callers ──HTTP──▶ service 0 ──┬──protocol──▶ daemon
//!      │    ──HTTP──▶ service 1 ──┤                ▲
//!      │     ▲ killed now and then└──HTTP──▶ ledger│
//!      └ in this process, with the ledger ▲────────┴ reconciler, in this process
//! ```
//!
//! One schedule of faults, fixed by the seed, is played twice: first the services execute whatever
//! they are asked, then they ask Onceward first. The ledger counts what really happened, and the
//! witness what the processes told; the verdict rests on these two.

mod caller;
mod document;
mod event;
mod fleet;
mod goods;
mod http;
mod ledger;
mod pass;
mod process;
mod progress;
mod random;
mod reconciler;
mod recorded;
mod report;
mod schedule;
mod service;
mod traffic;
mod witness;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use onceward_client::{Client, ClientError, OpenError};
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use self::pass::{Plan, Store};
use self::process::{Daemon, Role};
pub(crate) use self::process::{ProcessArgs, SUBCOMMAND as PROCESS_SUBCOMMAND};
use self::recorded::TrafficError;
use self::report::Report;
use self::schedule::Schedule;
use self::traffic::Traffic;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{complain, print};

/// How long an owner may be silent. Short, for every crash has somebody wait it out; long enough
/// that a busy machine does not end a lease whose owner lives.
const LEASE: Duration = Duration::from_secs(3);

/// One operation of the client. A machine that runs six processes at once is no reason to give up.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

const NOTES: &str = "\
A line of --traffic holds method, path, request_content_type, request_body, status,
response_headers (pairs, in order) and response_body; policy (takeover or in_doubt), if it is
there, says whether the call may run again after a crash. Intent i is record i modulo their number.
A call has a side effect: GET and its like, and answers that say that nothing was done, such as 401, are
refused. The first answer has all recorded headers, a replay those that the layer keeps, so answers are
compared by status, body and these.

With --json the report is one object; names without a suffix speak of the pass with Onceward. Exit
code 1 if duplicates_with, replays_differing, takeovers_unexplained, missing or unanswered is not 0.

Examples:
  onceward demo
  onceward demo --requests 20000 --seed 7 --json
  onceward demo --traffic calls.jsonl --disturbed 50";

/// Play unreliable traffic against a small warehouse, without Onceward and with it
///
/// Starts a daemon, two processes of a warehouse service and unreliable callers on loopback ports
/// of their own, unless a typed --url names a daemon; kills service processes now and then; counts side
/// effects in a ledger. Fails if anything happened twice with Onceward in place.
#[derive(Args, Debug)]
#[command(after_help = NOTES)]
pub(crate) struct DemoArgs {
    /// Recorded calls, one JSON object a line, instead of generated orders and shipments
    #[arg(long, value_name = "FILE.jsonl")]
    traffic: Option<PathBuf>,
    /// How many things callers want done, each under a key of its own
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    requests: u32,
    /// The same seed gives the same traffic and the same faults
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How many intents are served at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=512))]
    callers: u16,
    /// How many intents in a hundred meet a fault
    #[arg(long, value_name = "PERCENT", default_value_t = 30, value_parser = clap::value_parser!(u8).range(0..=100))]
    disturbed: u8,
    /// Proves that the demonstration can fail: the services spoil every key, so that Onceward
    /// cannot help
    #[arg(long, hide = true)]
    break_keys: bool,
}

/// Runs the demonstration, with the daemon at `url` or one of its own, and prints its report.
///
/// A URL that was not typed on the command line is passed over: a daemon that the environment
/// names is there for real keys.
///
/// # Errors
/// See [`DemoError`]. A broken promise is no error but a report and an exit code.
pub(crate) fn run(args: &DemoArgs, url: Option<String>, json: bool) -> Result<ExitCode, DemoError> {
    let url = url.filter(|_| is_url_typed(std::env::args_os()));
    if let (Some(url), false) = (&url, json) {
        complain(&format!("using the daemon at {url}"));
    }
    let traffic = Traffic::open(args.traffic.as_deref(), args.seed)?;
    // Processes die with the thread that started them: a worker of this runtime, which ends with
    // the runtime alone.
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime: Runtime = runtime.map_err(DemoError::io)?;
    let playing = async {
        // On a worker, see above: `block_on` runs on this thread.
        let plan = plan(args, traffic, json);
        let break_keys = args.break_keys;
        let mut playing = tokio::spawn(async move { play(&plan, url, break_keys).await });
        tokio::select! {
            report = &mut playing => report.map_err(|error| DemoError::io(error.into()))?,
            error = interrupted() => {
                playing.abort();
                let _ = playing.await; // Once it has ended, so have its processes.
                Err(error)
            }
        }
    };
    let report = match runtime.block_on(playing) {
        Err(DemoError::Interrupted { exit_code }) => {
            complain("interrupted; every process was ended");
            return Ok(ExitCode::from(exit_code));
        }
        played => played?,
    };
    let text = if json { report.json() } else { report.table() };
    print(text.as_bytes())
        .map_err(|failure| DemoError::io(io::Error::other(failure.to_string())))?;
    let broken = report.broken();
    if broken.is_empty() {
        return Ok(Exit::Ok.into());
    }
    complain(&format!("the promise was broken: {}", broken.join("; ")));
    Ok(Exit::Failure.into())
}

/// Runs one of the processes that [`run`] starts.
///
/// # Errors
/// See [`DemoError`].
pub(crate) fn run_process(args: ProcessArgs) -> Result<ExitCode, DemoError> {
    args.die_with_parent()?;
    match args.role {
        Role::Daemon { arguments } => {
            let program = std::env::current_exe().map_err(DemoError::io)?;
            let mut command = std::process::Command::new(program);
            // Only returns if it fails.
            Err(DemoError::io(
                command
                    .args(["serve", "--config=", "--listen", "127.0.0.1:0", "--json"])
                    .args(arguments)
                    .exec(),
            ))
        }
        Role::Service(args) => {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(DemoError::io)?;
            runtime.block_on(service::run(args))?;
            Ok(Exit::Ok.into())
        }
    }
}

fn is_url_typed(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let is_url = |argument: OsString| {
        argument == "--url" || argument.as_encoded_bytes().starts_with(b"--url=")
    };
    arguments.into_iter().any(is_url)
}

fn plan(args: &DemoArgs, traffic: Traffic, json: bool) -> Plan {
    let schedule = Schedule::draw(args.seed, args.requests, args.disturbed, &traffic);
    Plan {
        seed: args.seed,
        schedule: Arc::new(schedule),
        traffic: Arc::new(traffic),
        traffic_file: args.traffic.clone(),
        callers: usize::from(args.callers),
        silent: json,
    }
}

async fn play(plan: &Plan, url: Option<String>, break_keys: bool) -> Result<Report, DemoError> {
    // First, for a store that cannot be reached is best known before anything else has run.
    let (mut daemon, url) = match url {
        Some(url) => (None, url),
        None => {
            let daemon = Daemon::start().await?;
            let url = daemon.url.clone();
            (Some(daemon), url)
        }
    };
    let client = open_client(&url)?;
    client.ping().await.map_err(DemoError::store)?;
    // A scope of its own: in a daemon that runs on, another run meets no keys of this one.
    let scope = format!("warehouse-{:016x}", rand::random::<u64>());
    let store = Store { url, client, scope, break_keys };
    let passes = async {
        let without = plan.play("without Onceward", None).await?;
        let with = plan.play("with Onceward", Some(&store)).await?;
        Ok::<_, DemoError>((without, with))
    };
    let daemon_dies = async {
        match &mut daemon {
            Some(daemon) => daemon.died().await,
            None => std::future::pending().await,
        }
    };
    let (without, with) = tokio::select! {
        figures = passes => figures?,
        error = daemon_dies => return Err(error),
    };
    drop(store);
    if let Some(daemon) = daemon {
        daemon.stop().await?;
    }
    let traffic = if plan.traffic_file.is_some() { "recorded" } else { "generated" };
    Ok(Report::new(plan.seed, traffic, &plan.schedule, &without, &with))
}

/// A client of the store that all processes of a run share.
fn open_client(url: &str) -> Result<Client, DemoError> {
    if url.starts_with("mem:") {
        return Err(DemoError::Url(
            "a mem:// store lives in one process, and the demonstration needs one that several share: give onceward:// or onceward+unix://, or none".to_owned(),
        ));
    }
    let client = Client::builder(url).request_timeout(REQUEST_TIMEOUT).open();
    client.map_err(|error: OpenError| DemoError::Url(error.to_string()))
}

/// Resolves when the user or the system wants the run to end.
async fn interrupted() -> DemoError {
    let signals = signal(SignalKind::interrupt())
        .and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)));
    match signals {
        Ok((mut interrupt, mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => DemoError::Interrupted { exit_code: 130 },
                _ = terminate.recv() => DemoError::Interrupted { exit_code: 143 },
            }
        }
        Err(error) => DemoError::io(error),
    }
}

/// Why the demonstration could not be held.
#[derive(Debug)]
pub(crate) enum DemoError {
    /// The recorded traffic cannot be played.
    Traffic(TrafficError),
    /// The URL is none for this purpose.
    Url(String),
    /// The store does not answer.
    Store(ClientError),
    /// One of the processes failed.
    Process {
        /// Which.
        name: &'static str,
        /// How, and what it said last.
        what: String,
    },
    /// No intent got any further for minutes.
    Stalled {
        /// How many were left.
        left: usize,
    },
    /// A process of the demonstration was started by somebody else.
    Orphaned,
    /// The user or the system ended the run.
    Interrupted {
        /// As shells count signals.
        exit_code: u8,
    },
    /// The machine failed us.
    Io(io::Error),
}

impl DemoError {
    fn io(error: io::Error) -> Self {
        Self::Io(error)
    }

    fn store(error: ClientError) -> Self {
        Self::Store(error)
    }

    const fn exit(&self) -> Exit {
        match self {
            Self::Traffic(_) | Self::Url(_) | Self::Orphaned => Exit::BadInput,
            Self::Store(_) => Exit::Unavailable,
            Self::Process { .. }
            | Self::Stalled { .. }
            | Self::Interrupted { .. }
            | Self::Io(_) => Exit::Failure,
        }
    }
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        let message = error.to_string();
        match error {
            // Whether it may answer later is the client's to say.
            DemoError::Store(error) => Self { message, ..Self::from(error) },
            error => Self::new(error.exit(), message),
        }
    }
}

impl From<TrafficError> for DemoError {
    fn from(error: TrafficError) -> Self {
        Self::Traffic(error)
    }
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Traffic(error) => error.fmt(f),
            Self::Url(message) => write!(f, "--url: {message}"),
            Self::Store(error) => write!(f, "the store: {error}"),
            Self::Process { name, what } => write!(f, "{name} {what}"),
            Self::Stalled { left } => {
                write!(
                    f,
                    "no intent got any further for minutes, {left} are left: is the machine overloaded?"
                )
            }
            Self::Orphaned => write!(
                f,
                "{PROCESS_SUBCOMMAND} is a part of `onceward demo`, which starts it: run that instead"
            ),
            Self::Interrupted { .. } => f.write_str("interrupted"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DemoError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Traffic(error) => Some(error),
            Self::Store(error) => Some(error),
            Self::Io(error) => Some(error),
            Self::Url(_)
            | Self::Process { .. }
            | Self::Stalled { .. }
            | Self::Orphaned
            | Self::Interrupted { .. } => None,
        }
    }
}
