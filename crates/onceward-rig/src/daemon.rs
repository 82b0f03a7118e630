//! One process of the daemon: started, told to stop, paused, killed; never left behind.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

use crate::moment::Moment;
use crate::oracle::Level;

/// From start to the line that says where it listens.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// From SIGTERM to the end; its own grace period is shorter.
const STOPPED_WITHIN: Duration = Duration::from_secs(15);

/// Last lines of its log that are kept.
const COMPLAINTS_MAX: usize = 40;

/// How often a process is asked whether it has ended.
const GLANCE: Duration = Duration::from_millis(1);

/// How to start it.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub binary: PathBuf,
    /// Where its files are; `None` for a daemon without any.
    pub data_dir: Option<PathBuf>,
    /// The loopback address on which it listens, at any port. Daemons side by side have one each: a
    /// port that one leaves is soon another's, and callers of the dead would ask that.
    pub host: Ipv4Addr,
    /// What it is told to promise.
    pub level: Level,
    /// Words before the program: a tracer that becomes it.
    pub wrapper: Vec<OsString>,
    /// The bug that a daemon built with the feature `planted-bugs` is to have.
    pub planted: Option<String>,
    /// Beside the rig's own environment.
    pub environment: Vec<(OsString, OsString)>,
}

impl Launch {
    fn command(&self) -> Command {
        let mut words = self.wrapper.iter().cloned().chain([self.binary.clone().into_os_string()]);
        let mut command = Command::new(words.next().expect("the program at least"));
        command.args(words).args(["serve", "--listen", &format!("{}:0", self.host), "--json"]);
        // Small, so that a start is quick.
        command.args(["--memory", "256MiB", "--max-entries", "200000", "--grace", "5s"]);
        if let Some(data_dir) = &self.data_dir {
            command.arg("--data-dir").arg(data_dir).args(["--durability", self.level.name()]);
            if let Level::Interval(interval) = self.level {
                command.arg("--interval").arg(format!("{}ms", interval.as_millis()));
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        match &self.planted {
            Some(bug) => command.env("ONCEWARD_PLANTED_BUG", bug),
            None => command.env_remove("ONCEWARD_PLANTED_BUG"),
        };
        // In a group of its own: what interrupts the rig is not the daemon's.
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Why it did not get as far as listening.
#[derive(Clone, Debug)]
pub struct NotStarted {
    /// How it ended; `None` if it was still running, and was killed.
    pub status: Option<ExitStatus>,
    /// The end of its log.
    pub log: String,
}

impl NotStarted {
    /// Whether it said no by itself: an exit status of its own, and a reason.
    ///
    /// # Errors
    /// What it did instead.
    pub fn refusal(&self) -> Result<(), String> {
        match self.status {
            None => Err("it hung instead of refusing".to_owned()),
            Some(status) if status.code().is_none() => Err(format!("it ended by {status}")),
            Some(status) if status.code() == Some(101) => Err("it panicked".to_owned()),
            Some(status) if status.success() => Err("it ended as if all was well".to_owned()),
            Some(_) if self.log.trim().is_empty() => Err("it gave no reason".to_owned()),
            Some(_) => Ok(()),
        }
    }
}

/// A process that listens.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    address: SocketAddr,
    log: Arc<Mutex<VecDeque<String>>>,
    reader: Option<JoinHandle<()>>,
}

/// A process that may not listen yet.
#[derive(Debug)]
pub struct Starting {
    process: Process,
    first_lines: Receiver<String>,
    log: Arc<Mutex<VecDeque<String>>>,
    reader: Option<JoinHandle<()>>,
}

/// A child that is killed when it is let go of.
#[derive(Debug)]
struct Process(Child);

impl Process {
    /// Once it has been waited for its number may be another's: `Child` then sends nothing.
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let since = Instant::now();
        loop {
            match self.0.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if since.elapsed() < limit => std::thread::sleep(GLANCE),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[derive(Deserialize)]
struct Listening {
    listening: Vec<String>,
}

impl Launch {
    /// Starts the process, and waits for nothing.
    ///
    /// # Errors
    /// If there is no such program.
    pub fn spawn(&self) -> std::io::Result<Starting> {
        let mut child = self.command().spawn()?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let reader = child.stderr.take().map(|stderr| {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    keep(&log, line);
                }
            })
        });
        let (tell, first_lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    // A reason not to start may be told here, as JSON.
                    if listening(&line).is_none() {
                        keep(&log, line.clone());
                    }
                    let _ = tell.send(line); // Nobody listens once it listens.
                }
            });
        }
        Ok(Starting { process: Process(child), first_lines, log, reader })
    }

    /// Starts the process and waits until it listens.
    ///
    /// # Errors
    /// [`NotStarted`] if it ends before, or takes too long.
    pub fn start(&self) -> Result<Daemon, NotStarted> {
        let failed = |error: std::io::Error| NotStarted { status: None, log: error.to_string() };
        self.spawn().map_err(failed)?.ready()
    }
}

impl Starting {
    /// Waits until it listens.
    ///
    /// # Errors
    /// [`NotStarted`] if it ends before, or takes too long.
    pub fn ready(mut self) -> Result<Daemon, NotStarted> {
        let since = Instant::now();
        let address = loop {
            match self.first_lines.recv_timeout(Duration::from_millis(50)) {
                // Before it listens it tells how far its recovery is.
                Ok(line) => match listening(&line) {
                    Some(address) => break Some(address),
                    None => continue,
                },
                Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) if since.elapsed() > READY_WITHIN => break None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        if let Some(address) = address {
            return Ok(Daemon {
                process: self.process,
                address,
                log: self.log,
                reader: self.reader,
            });
        }
        // It has closed its output, so it is about to end, unless it hangs.
        let status = self.process.ended_within(Duration::from_secs(2));
        self.process.kill();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        Err(NotStarted { status, log: joined(&self.log) })
    }

    /// Kills it, wherever it is; when it was dead.
    pub fn kill(mut self) -> Moment {
        self.process.kill();
        Moment::now()
    }
}

impl Daemon {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// The end of its log.
    #[must_use]
    pub fn log(&self) -> String {
        joined(&self.log)
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.process.0.try_wait().ok().flatten()
    }

    /// Kills it without warning; when it was dead.
    pub fn kill(mut self) -> Moment {
        self.process.kill();
        Moment::now()
    }

    /// Asks it to stop (S17) and waits; how it ended, when it had, and its log. `None`: it did not in
    /// time, and was killed.
    pub fn stop(mut self) -> (Option<ExitStatus>, Moment, String) {
        self.signal(Signal::SIGTERM);
        let status = self.process.ended_within(STOPPED_WITHIN);
        self.process.kill();
        let death = Moment::now();
        // The rest of its log is in a pipe that nobody writes to any more.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        (status, death, self.log())
    }

    /// Stops the process where it is, or lets it go on.
    pub fn pause(&mut self, paused: bool) {
        self.signal(if paused { Signal::SIGSTOP } else { Signal::SIGCONT });
    }

    /// Not to one that has ended: its number may be another's by now.
    fn signal(&mut self, signal: Signal) {
        if self.has_ended().is_some() {
            return;
        }
        let _ = kill(Pid::from_raw(self.process.0.id().cast_signed()), signal);
    }
}

fn listening(line: &str) -> Option<SocketAddr> {
    let told: Listening = serde_json::from_str(line).ok()?;
    told.listening.first()?.parse().ok()
}

fn keep(log: &Mutex<VecDeque<String>>, line: String) {
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    if log.len() == COMPLAINTS_MAX {
        log.pop_front();
    }
    log.push_back(line);
}

fn joined(log: &Mutex<VecDeque<String>>) -> String {
    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
    log.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
}
