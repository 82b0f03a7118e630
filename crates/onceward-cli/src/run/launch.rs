//! The hidden processes beside a run: the launcher, which becomes the command, and the guard, which
//! ends the command's group should the run be killed. Both are this binary, so that neither needs
//! what only code between `fork` and `exec` could do.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Args, Subcommand};
use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getppid};

/// The hidden subcommand that both run.
pub(crate) const SUBCOMMAND: &str = "run-process";

/// Where the launcher finds its mark. The command does not get it, so it cannot say what the
/// launcher says.
pub(super) const MARK_VARIABLE: &str = "ONCEWARD_RUN_LAUNCH_MARK";

/// What tells the guard that the run ended in order.
pub(super) const IN_ORDER: u8 = b'.';

/// A process of `onceward run`. Not for users.
#[derive(Args, Debug)]
pub(crate) struct ProcessArguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Becomes the command, and dies with its parent.
    Launch {
        #[arg(long)]
        parent: i32,
        /// The program's path, its name as typed, its arguments.
        #[arg(last = true, num_args = 2..)]
        words: Vec<OsString>,
    },
    /// Kills a process group if stdin ends without a word.
    Guard {
        #[arg(long)]
        group: i32,
    },
}

pub(crate) fn run(arguments: ProcessArguments) -> ExitCode {
    match arguments.role {
        Role::Launch { parent, words } => {
            let mark = std::env::var(MARK_VARIABLE).unwrap_or_default();
            let error = launch(parent, words);
            // One write of less than PIPE_BUF bytes arrives whole, as the first of this stream.
            let _ = io::stderr().write_all(failure_note(&mark, error).as_bytes());
            ExitCode::FAILURE
        }
        Role::Guard { group } => {
            guard(group);
            ExitCode::SUCCESS
        }
    }
}

/// Returns only if the command was not started.
fn launch(parent: i32, words: Vec<OsString>) -> Errno {
    // Outlives the exec. It follows the parent's thread, which is the main one.
    if let Err(errno) = set_pdeathsig(Signal::SIGKILL) {
        return errno;
    }
    // The parent may have died before.
    if getppid() != Pid::from_raw(parent) {
        return Errno::ESRCH;
    }
    let mut words = words.into_iter();
    let path = PathBuf::from(words.next().unwrap_or_default());
    let mut command = Command::new(path);
    command.arg0(words.next().unwrap_or_default()).args(words).env_remove(MARK_VARIABLE);
    let error = command.exec();
    error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw) // EINVAL: a word with a zero byte.
}

fn failure_note(mark: &str, errno: Errno) -> String {
    format!("{mark} {}\n", errno as i32)
}

/// The launcher's own words, if that is what the first bytes of stderr are.
pub(super) fn failure_in(first: &[u8], mark: &str) -> Option<Errno> {
    let note = first.strip_prefix(mark.as_bytes())?;
    let number = std::str::from_utf8(note).ok()?.trim().parse().ok()?;
    Some(Errno::from_raw(number))
}

fn guard(group: i32) {
    let mut word = [0];
    let in_order = matches!(io::stdin().read(&mut word), Ok(1) if word[0] == IN_ORDER);
    if !in_order {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_mark_makes_a_note() {
        let note = failure_note("mark", Errno::EACCES);
        assert_eq!(failure_in(note.as_bytes(), "mark"), Some(Errno::EACCES));
        for other in ["", "mark", "mark x\n", "other 13\n", "13\n"] {
            assert_eq!(failure_in(other.as_bytes(), "mark"), None, "{other}");
        }
    }
}
