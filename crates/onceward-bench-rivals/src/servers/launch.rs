//! How a server gets its cores, and ends when the harness does.
//!
//! Between fork and exec only `unsafe` code could run in the child. So the harness starts itself
//! under a hidden subcommand, which takes the cores, asks the kernel to end it with its parent, and
//! then becomes the server: the process id stays the same.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};
use onceward_bench::engine::Fault;

/// The hidden subcommand.
pub const LAUNCH: &str = "launch";

/// What to become, and where.
#[derive(clap::Args, Clone, Debug)]
pub struct Launch {
    /// Process that started this one; if it is gone, nothing is started
    #[arg(long)]
    parent: i32,
    /// Cores to keep to; none of them leaves that to the kernel
    #[arg(long, value_delimiter = ',')]
    cores: Vec<usize>,
    /// Program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl Launch {
    /// A command that becomes `words`, on `cores` only, and ends with the thread that starts it.
    ///
    /// # Errors
    /// This program does not know its own path.
    pub fn command(words: &[OsString], cores: &[usize]) -> Result<Command, Fault> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(LAUNCH).arg("--parent").arg(std::process::id().to_string());
        if !cores.is_empty() {
            let cores: Vec<_> = cores.iter().map(usize::to_string).collect();
            command.arg("--cores").arg(cores.join(","));
        }
        command.arg("--").args(words);
        Ok(command)
    }

    /// Becomes the server.
    ///
    /// # Errors
    /// The cores cannot be had, the parent is gone, or the program cannot be started.
    pub fn run(&self) -> Result<Infallible, Fault> {
        set_pdeathsig(Signal::SIGKILL)?;
        // It may have ended before that.
        if getppid() != Pid::from_raw(self.parent) {
            return Err("whoever wanted this server is gone".into());
        }
        if !self.cores.is_empty() {
            let mut set = CpuSet::new();
            for core in &self.cores {
                set.set(*core)?;
            }
            sched_setaffinity(Pid::from_raw(0), &set)?;
        }
        let [program, arguments @ ..] = &self.command[..] else {
            return Err("name a program".into());
        };
        let error = Command::new(program).args(arguments).exec();
        Err(format!("{}: {error}", program.display()).into())
    }
}
