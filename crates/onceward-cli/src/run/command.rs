//! The command as a running process.

use std::io;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use onceward_client::Context;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::launch::{self, MARK_VARIABLE};
use super::lookup::Found;
use super::signals;

/// This binary, also where its file has been replaced meanwhile.
const MYSELF: &str = "/proc/self/exe";

/// Rights to the store, which are not the command's.
const SECRETS: &[&str] = &["ONCEWARD_CREDENTIAL", "ONCEWARD_TOKEN", "ONCEWARD_ATTEMPT"];

/// A started command. It is killed with us, however we end.
pub(super) struct Running {
    child: Child,
    id: Pid,
    /// Unless a terminal is there, the command has a process group of its own, which gets the
    /// signals. At a terminal it shares ours, or it could not read from it.
    has_group: bool,
    /// Of that group.
    guard: Option<Guard>,
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
    /// What the launcher's words start with.
    pub(super) mark: String,
}

struct Guard {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Running {
    /// Starts the launcher. Call it from the thread whose end shall end the command.
    ///
    /// # Errors
    /// The operating system's: no command runs then.
    pub(super) fn start(found: &Found, context: &Context) -> io::Result<Self> {
        let mark = crate::hex::encode(onceward_client::attempt_id().as_bytes());
        let mut command = Command::new(MYSELF);
        command.arg(launch::SUBCOMMAND).arg("launch");
        command.arg("--parent").arg(std::process::id().to_string()).arg("--");
        command.arg(&found.path).arg(&found.typed).args(&found.arguments);
        for secret in SECRETS {
            command.env_remove(secret);
        }
        command
            .env(MARK_VARIABLE, &mark)
            .env("ONCEWARD_RUN_FENCE", context.fence().to_string())
            .env("ONCEWARD_RUN_ATTEMPT_NUMBER", context.attempt_number().to_string())
            .env("ONCEWARD_RUN_DERIVED_KEY", context.derived_key())
            .stdin(Stdio::inherit())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let has_group = !signals::at_a_terminal();
        if has_group {
            command.process_group(0);
        }
        let mut child = command.spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("the command has no process id"))?;
        let guard = if has_group { Guard::start(id) } else { None };
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Ok(Self { child, id, has_group, guard, stdout, stderr, mark })
    }

    /// Its end. Safe to cancel.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Passes on what we were sent, unless the terminal has sent it to the command as well.
    pub(super) fn pass_on(&self, signal: Signal) {
        if self.has_group || !signals::terminal_sends(signal) {
            self.send(signal);
        }
        if signal == Signal::SIGTSTP {
            signals::stop_myself();
        }
    }

    /// Signals the command, and what it started, if that is a group of its own.
    pub(super) fn send(&self, signal: Signal) {
        // Fails only if nobody is left.
        let _ = if self.has_group { killpg(self.id, signal) } else { kill(self.id, signal) };
    }

    /// Kills what the command left behind in its group.
    pub(super) fn kill_rest(&self) {
        if self.has_group {
            let _ = killpg(self.id, Signal::SIGKILL);
        }
    }

    /// Lets go of what the command left running.
    pub(super) async fn release(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.dismiss().await;
        }
    }
}

impl Guard {
    /// A guard of the group `id`. Without one the command itself still dies with us.
    fn start(id: Pid) -> Option<Self> {
        let mut command = Command::new(MYSELF);
        command.arg(launch::SUBCOMMAND).arg("guard").arg("--group").arg(id.to_string());
        // In no group of ours: who kills that must not kill the guard first.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let stdin = child.stdin.take();
        Some(Self { child, stdin })
    }

    async fn dismiss(mut self) {
        if let Some(mut stdin) = self.stdin.take() {
            let _ = stdin.write_all(&[launch::IN_ORDER]).await;
        }
        let _ = self.child.wait().await;
    }
}
