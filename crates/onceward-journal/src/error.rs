//! What keeps a journal from starting, stopping or being read.

use std::fmt;
use std::io;

/// Why a journal cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process has the directory.
    Locked {
        /// What its lock says.
        owner: String,
    },
    /// The disk refused.
    Disk {
        /// What was tried.
        tried: &'static str,
        /// With which file; the directory itself if empty.
        file: String,
        /// At which byte of it, if at one.
        offset: Option<u64>,
        /// What the system said.
        why: io::Error,
    },
    /// A file holds what no journal wrote there.
    Damaged {
        /// Which.
        file: String,
        /// Where the damage was seen.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A file is of a format that this build does not read.
    NewerFormat {
        /// Which.
        file: String,
        /// Its version.
        got: u32,
        /// The largest that this build reads.
        reads: u32,
    },
    /// A file that the manifest names is not there.
    Missing {
        /// Which.
        file: String,
    },
    /// What the journal knows was told, and not taken in.
    NotTaken {
        /// Why.
        why: String,
    },
    /// The thread that runs the journal could not be started.
    Thread {
        /// What the system said.
        why: io::Error,
    },
    /// It was to stop and could not sync what it had: facts that nobody was told of may be lost.
    Halted {
        /// Why.
        why: String,
    },
}

impl JournalError {
    /// The disk's refusal, for use with `map_err`.
    pub(crate) fn disk(tried: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |why| Self::Disk { tried, file, offset: None, why }
    }

    /// As [`JournalError::disk`], at a byte.
    pub(crate) fn disk_at(
        tried: &'static str,
        file: &str,
        offset: u64,
    ) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |why| Self::Disk { tried, file, offset: Some(offset), why }
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { owner } => write!(
                f,
                "the data directory is in use ({owner}): stop that process, or choose another directory"
            ),
            Self::Disk { tried, file, offset, why } => {
                let file = if file.is_empty() { "the data directory" } else { file };
                write!(f, "cannot {tried} {file}")?;
                if let Some(offset) = offset {
                    write!(f, " at byte {offset}")?;
                }
                write!(f, ": {why}; ")?;
                f.write_str(match why.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room",
                    io::ErrorKind::PermissionDenied => "give the process the right to",
                    io::ErrorKind::ReadOnlyFilesystem => "mount the file system for writing",
                    _ => "look at the disk and the system's log",
                })
            }
            Self::Damaged { file, offset, what } => write!(
                f,
                "{file} is damaged at byte {offset}: {what}; restore the directory from a backup, or see what `onceward journal verify` and `repair` say"
            ),
            Self::NewerFormat { file, got, reads } => write!(
                f,
                "{file} has format version {got}, and this build reads up to {reads}: use a newer build"
            ),
            Self::Missing { file } => write!(
                f,
                "{file} is not there, and the manifest names it: restore the directory from a backup, or see what `onceward journal repair` says"
            ),
            Self::NotTaken { why } => write!(f, "what the journal knows was not taken in: {why}"),
            Self::Thread { why } => write!(f, "the journal's thread did not start: {why}"),
            Self::Halted { why } => write!(
                f,
                "the journal stopped without its last sync: {why}; what was acknowledged as durable is, later facts may be lost"
            ),
        }
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk { why, .. } | Self::Thread { why } => Some(why),
            Self::Locked { .. }
            | Self::Damaged { .. }
            | Self::NewerFormat { .. }
            | Self::Missing { .. }
            | Self::NotTaken { .. }
            | Self::Halted { .. } => None,
        }
    }
}
