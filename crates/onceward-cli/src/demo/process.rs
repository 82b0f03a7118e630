//! Processes that the demonstration starts, kills and never leaves behind.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::{Args, Subcommand};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::DemoError;
use super::service::ServiceArgs;

/// The hidden subcommand that the processes run.
pub(crate) const SUBCOMMAND: &str = "demo-process";

/// How long a process may take to say its first word, and to end once asked to.
const START_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// Lines of a process's stderr that are kept, to be shown if it dies.
const COMPLAINTS_MAX: usize = 12;

/// A process of the demonstration. Not for users: `onceward demo` starts it.
#[derive(Args, Debug)]
pub(crate) struct ProcessArgs {
    /// Who started it, and whose death ends it.
    #[arg(long)]
    parent: i32,
    #[command(subcommand)]
    pub(super) role: Role,
}

#[derive(Debug, Subcommand)]
pub(super) enum Role {
    /// The daemon, as a user would start it.
    Daemon {
        /// What `serve` is given besides.
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// The warehouse service.
    Service(ServiceArgs),
}

impl ProcessArgs {
    /// Arranges for this process to be killed when the demonstration ends in any way at all.
    /// Survives an `exec`.
    pub(super) fn die_with_parent(&self) -> Result<(), DemoError> {
        set_pdeathsig(Signal::SIGKILL).map_err(|error| DemoError::io(error.into()))?;
        // It may have died before.
        if getppid() == Pid::from_raw(self.parent) { Ok(()) } else { Err(DemoError::Orphaned) }
    }
}

/// A running child. Dropping it kills it.
pub(super) struct Process {
    name: &'static str,
    child: Child,
    /// Its end tells the process to stop.
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    complaints: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    /// Starts this program in another role.
    pub(super) fn start(name: &'static str, role: &[OsString]) -> Result<Self, DemoError> {
        let program = std::env::current_exe().map_err(DemoError::io)?;
        let mut command = Command::new(program);
        // A group of its own: Ctrl-C is for the demonstration, which ends the others in order.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // The caller's settings are for the caller's commands.
        for (variable, _) in std::env::vars_os() {
            if variable.as_encoded_bytes().starts_with(b"ONCEWARD_") {
                command.env_remove(variable);
            }
        }
        command.arg(SUBCOMMAND).arg("--parent").arg(std::process::id().to_string()).args(role);
        let mut child = command.spawn().map_err(DemoError::io)?;
        let complaints = Arc::default();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(keep_last(stderr, Arc::clone(&complaints)));
        }
        let stdout = child.stdout.take().expect("stdout is piped");
        let stdin = child.stdin.take();
        Ok(Self { name, child, stdin, stdout: BufReader::new(stdout).lines(), complaints })
    }

    /// The next line of its stdout; `None` once it has closed it. Safe to cancel.
    pub(super) async fn line(&mut self) -> Result<Option<String>, DemoError> {
        self.stdout.next_line().await.map_err(DemoError::io)
    }

    /// Its first line, which must come soon.
    pub(super) async fn first_line(&mut self) -> Result<String, DemoError> {
        match timeout(START_TIMEOUT, self.line()).await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => Err(self.died().await),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(self.failed("did not start in time")),
        }
    }

    /// SIGKILL, by its id. What it wrote can still be read.
    pub(super) async fn kill(&mut self) -> Result<(), DemoError> {
        self.child.kill().await.map_err(DemoError::io)
    }

    /// Ends its stdin, which a service takes for a request to stop.
    pub(super) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// SIGTERM, which the daemon takes for a request to stop.
    pub(super) fn terminate(&self) -> Result<(), DemoError> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        match id {
            Some(id) => {
                kill(Pid::from_raw(id), Signal::SIGTERM).map_err(|e| DemoError::io(e.into()))
            }
            None => Ok(()), // It has ended.
        }
    }

    /// Waits until it has ended by itself.
    pub(super) async fn ended(&mut self) -> Result<(), DemoError> {
        match timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.failed(&format!("ended with {status}"))),
            Ok(Err(error)) => Err(DemoError::io(error)),
            Err(_) => Err(self.failed("did not stop in time")),
        }
    }

    /// The error for a process that ended unasked.
    pub(super) async fn died(&mut self) -> DemoError {
        let status: Option<ExitStatus> =
            timeout(STOP_TIMEOUT, self.child.wait()).await.ok().and_then(Result::ok);
        match status {
            Some(status) => self.failed(&format!("died unasked, with {status}")),
            None => self.failed("closed its output unasked"),
        }
    }

    pub(super) fn failed(&self, what: &str) -> DemoError {
        let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let said: Vec<_> = complaints.iter().map(|line| format!("\n  {line}")).collect();
        DemoError::Process { name: self.name, what: format!("{what}{}", said.concat()) }
    }
}

async fn keep_last(stderr: ChildStderr, complaints: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut complaints = complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.len() == COMPLAINTS_MAX {
            complaints.pop_front();
        }
        complaints.push_back(line);
    }
}

/// The daemon of this run.
pub(super) struct Daemon {
    process: Process,
    pub(super) url: String,
}

#[derive(Deserialize)]
struct Listening {
    listening: Vec<String>,
}

impl Daemon {
    pub(super) async fn start() -> Result<Self, DemoError> {
        let mut process = Process::start("the daemon", &["daemon".into()])?;
        let line = process.first_line().await?;
        let listening: Option<Listening> = serde_json::from_str(&line).ok();
        match listening.and_then(|line| line.listening.into_iter().next()) {
            Some(address) => Ok(Self { process, url: format!("onceward://{address}") }),
            None => Err(process.failed("does not say where it listens")),
        }
    }

    /// Resolves if it ends unasked.
    pub(super) async fn died(&mut self) -> DemoError {
        // It says nothing after its first line.
        while let Ok(Some(_)) = self.process.line().await {}
        self.process.died().await
    }

    pub(super) async fn stop(mut self) -> Result<(), DemoError> {
        self.process.terminate()?;
        self.process.ended().await
    }
}
