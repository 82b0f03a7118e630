//! `journal dump`: every fact of a data directory as a line of JSON.

use std::io;

use clap::Args;
use onceward_journal::JournalError;
use onceward_journal::inspect::{self, DumpOptions};
use serde_json::Value;

use super::DirectoryArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::serve::refusal;
use crate::{output, render};

/// Lines that are written at once.
const CHUNK_BYTES: usize = 64 * 1024;

const EXAMPLES: &str = "\
Facts come in the order in which they lie in the files; those of one acquisition have one fence. Of a
damaged file those before the damage are printed, and then the damage; the exit code is 26.

Examples:
  onceward journal dump --data-dir /var/lib/onceward | jq -c 'select(.kind == \"acquired\")'";

/// Print every fact in a data directory as JSON Lines
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DumpArguments {
    #[command(flatten)]
    directory: DirectoryArguments,
    /// Show scopes, keys, attempt ids, fingerprints, metadata, bodies and checkpoints: secrets of
    /// those whose requests they are. Without it a key is a short hash
    #[arg(long)]
    show_keys: bool,
}

pub(super) fn run(arguments: &DumpArguments) -> Result<Exit, Failure> {
    let directory = &arguments.directory;
    let options = DumpOptions { show_keys: arguments.show_keys };
    let mut printer = Printer { chunk: Vec::new(), exit: Exit::Ok, failure: None };
    let dumped = inspect::dump(&directory.disk()?, options, &mut |fact| printer.add(fact));
    match (printer.failure.take(), dumped) {
        (Some(failure), _) => return Err(failure),
        // The reader of a pipe has left: it wants no more.
        (None, Err(JournalError::NotTaken { .. })) => return Ok(printer.exit),
        (None, Err(error)) => return Err(refusal(&directory.data_dir, &error)),
        (None, Ok(())) => {}
    }
    output::print(&printer.chunk)?;
    Ok(printer.exit)
}

struct Printer {
    chunk: Vec<u8>,
    exit: Exit,
    failure: Option<Failure>,
}

impl Printer {
    /// # Errors
    /// Nobody reads any more, or `failure` says what failed.
    fn add(&mut self, fact: &Value) -> io::Result<()> {
        let mut fact = fact.clone();
        if let Value::Object(fields) = &mut fact {
            fields.insert("schema".to_owned(), render::SCHEMA.into());
            if fields.contains_key("damaged") {
                self.exit = Exit::Damaged;
            }
        }
        self.chunk.extend(render::json(&fact));
        if self.chunk.len() < CHUNK_BYTES {
            return Ok(());
        }
        let offered = output::offer(&self.chunk);
        self.chunk.clear();
        match offered {
            Ok(true) => Ok(()),
            Ok(false) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(failure) => {
                self.failure = Some(failure);
                Err(io::ErrorKind::Other.into())
            }
        }
    }
}
