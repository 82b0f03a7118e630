//! `journal`: what a data directory holds, without a daemon: judged, mended, printed.

mod dump;
mod repair;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use onceward_journal::SystemDisk;

use self::dump::DumpArguments;
use self::repair::RepairArguments;
use self::verify::VerifyArguments;
use crate::exit::Exit;
use crate::failure::Failure;

/// Judge, mend or print a data directory; no daemon is asked
#[derive(Args, Debug)]
pub(crate) struct JournalArguments {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    Verify(VerifyArguments),
    Repair(RepairArguments),
    Dump(DumpArguments),
}

/// Which directory.
#[derive(Args, Debug)]
struct DirectoryArguments {
    /// The data directory
    #[arg(long, env = "ONCEWARD_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
}

impl DirectoryArguments {
    /// # Errors
    /// If it is not there, or may not be read.
    fn disk(&self) -> Result<SystemDisk, Failure> {
        SystemDisk::open(&self.data_dir)
            .map_err(|error| Failure::unreadable("data_dir", &self.data_dir, &error))
    }
}

/// # Errors
/// What cannot be read or written.
pub(crate) fn run(arguments: &JournalArguments, json: bool) -> Result<Exit, Failure> {
    match &arguments.command {
        JournalCommand::Verify(arguments) => verify::run(arguments, json),
        JournalCommand::Repair(arguments) => repair::run(arguments, json),
        JournalCommand::Dump(arguments) => dump::run(arguments),
    }
}
