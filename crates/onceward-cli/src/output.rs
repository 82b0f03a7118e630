//! Stdout, which may be a pipe whose reader has left.

use std::io::{self, Write as _};

use crate::exit::Exit;
use crate::failure::Failure;

/// Writes `bytes` to stdout and flushes them. A reader that has left wants no more: that is no
/// failure, as with any filter in a pipe.
///
/// # Errors
/// A full disk, say.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    offer(bytes).map(drop)
}

/// The same, and says whether anybody still reads: whoever has more to print asks first whether
/// it is worth making.
///
/// # Errors
/// As [`print`].
pub(crate) fn offer(bytes: &[u8]) -> Result<bool, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failure, format!("stdout cannot be written: {error}")))
        }
        Ok(()) => Ok(true),
        Err(_) => Ok(false),
    }
}

/// Writes a line to stderr, if anybody reads it.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}
