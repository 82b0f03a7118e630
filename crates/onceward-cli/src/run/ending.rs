//! How a call of `run` ended: exit status, the one line that onceward itself has to say, and the
//! report. One value makes all three.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::render::{self, SCHEMA};

/// Of everything that is onceward's own fault or answer, and not the command's.
pub(super) const OWN_FAILURE: u8 = 125;
pub(super) const NOT_EXECUTABLE: u8 = 126;
pub(super) const NOT_FOUND: u8 = 127;

/// The report, field by field. `docs/run-format.md` describes it.
#[derive(Debug, Serialize)]
pub(super) struct Ending {
    pub(super) schema: &'static str,
    /// `ran`, `replayed`, or the word of what went wrong.
    pub(super) outcome: &'static str,
    pub(super) exit_code: u8,
    /// What onceward itself said on stderr.
    pub(super) message: Option<String>,
    /// The option or value at fault.
    pub(super) field: Option<String>,
    /// Whether the command ran in this call, to its end or not.
    pub(super) ran: bool,
    /// The command's own exit status, of this run or of the one that is replayed.
    pub(super) status: Option<u16>,
    /// The signal that ended the command.
    pub(super) signal: Option<i32>,
    /// What this call left of the key: `completed`, `absent`, `in_doubt` or `reserved`, if known.
    pub(super) key: Option<&'static str>,
    /// Why there is no output to replay.
    pub(super) not_kept: Option<&'static str>,
    pub(super) stdout_bytes: Option<u64>,
    pub(super) stderr_bytes: Option<u64>,
    pub(super) fence: Option<String>,
    pub(super) attempt_number: Option<u32>,
    pub(super) age_ms: Option<u64>,
    pub(super) retention_left_ms: Option<u64>,
    /// What the line starts with where it is a remark on a run that has an exit status.
    #[serde(skip)]
    pub(super) remark: Option<&'static str>,
}

impl Ending {
    pub(super) fn new(outcome: &'static str, exit_code: u8) -> Self {
        Self {
            schema: SCHEMA,
            outcome,
            exit_code,
            message: None,
            field: None,
            ran: false,
            status: None,
            signal: None,
            key: None,
            not_kept: None,
            stdout_bytes: None,
            stderr_bytes: None,
            fence: None,
            attempt_number: None,
            age_ms: None,
            retention_left_ms: None,
            remark: None,
        }
    }

    /// Onceward's own failure, exit 125. The message says what to do.
    pub(super) fn own(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..Self::new(exit.word(), OWN_FAILURE) }
    }

    /// Adds a line to a run that has an exit status. The first one stays.
    pub(super) fn remark(&mut self, word: &'static str, message: impl Into<String>) {
        if self.message.is_none() {
            self.remark = Some(word);
            self.message = Some(message.into());
        }
    }

    /// Says the line, if there is one. Stdout is the command's, so even JSON goes to stderr.
    pub(super) fn tell(&self, json: bool) {
        let Some(message) = &self.message else { return };
        if json {
            let _ = io::stderr().lock().write_all(&render::json(self));
        } else {
            let word = self.remark.unwrap_or(self.outcome);
            output::complain(&format!("onceward: {word}: {message}"));
        }
    }

    pub(super) fn exit(&self) -> ExitCode {
        self.exit_code.into()
    }
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        Self { field: failure.field, ..Self::own(failure.exit, failure.message) }
    }
}

/// The file of `--report`, opened before anything runs, so that a wrong path costs no run. It stays
/// empty if the run is killed.
pub(super) struct Report(Option<File>);

impl Report {
    /// # Errors
    /// A path that cannot be written.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let open = |path: &Path| {
            File::create(path).map_err(|error| {
                let message = format!("--report {} cannot be written: {error}", path.display());
                Failure::bad_input("report", message)
            })
        };
        Ok(Self(path.map(open).transpose()?))
    }

    /// Writes the ending; if that fails, the ending says so.
    pub(super) fn write(self, ending: &mut Ending) {
        let Some(mut file) = self.0 else { return };
        if let Err(error) = file.write_all(&render::json(ending)) {
            ending.remark(Exit::Failure.word(), format!("--report cannot be written: {error}"));
        }
    }
}
