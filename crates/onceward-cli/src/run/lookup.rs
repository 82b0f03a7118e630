//! Finds the command before its key is acquired, so that a typing error costs no acquisition.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// A command that can be started.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// As typed: the command's own idea of its name, and what is digested.
    pub(crate) typed: OsString,
    pub(crate) arguments: Vec<OsString>,
}

/// Why it cannot, in the words and codes of `env` and `timeout`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unusable {
    /// 126.
    NotExecutable,
    /// 127.
    NotFound,
}

/// Looks `words[0]` up as a shell would: in `PATH`, or as a path if there is a slash in it.
///
/// # Errors
/// See [`Unusable`].
pub(crate) fn find(words: &[OsString]) -> Result<Found, Unusable> {
    let (typed, arguments) = words.split_first().ok_or(Unusable::NotFound)?;
    match which::which(typed) {
        Ok(path) => Ok(Found { path, typed: typed.clone(), arguments: arguments.to_vec() }),
        Err(_) if is_somewhere(typed) => Err(Unusable::NotExecutable),
        Err(_) => Err(Unusable::NotFound),
    }
}

/// Whether there is a file of that name where the command was looked for.
fn is_somewhere(typed: &OsStr) -> bool {
    if typed.is_empty() {
        return false;
    }
    if typed.as_encoded_bytes().contains(&b'/') {
        return Path::new(typed).exists();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(typed).is_file())
}
