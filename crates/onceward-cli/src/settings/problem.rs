//! What is wrong in a settings file, and where.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// One thing that cannot be used, or that somebody should look at. Quotes no secret (S16).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Problem {
    /// The file it stands in; `None` if it stands in the environment, or in several places.
    pub(crate) file: Option<PathBuf>,
    /// From 1.
    pub(crate) line: Option<usize>,
    /// The table, such as `serve` or `namespaces.orders`; `None` at the top.
    pub(crate) section: Option<String>,
    pub(crate) key: Option<String>,
    /// What is wrong and what to write instead.
    pub(crate) message: String,
}

impl Problem {
    /// Of no place in particular.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { file: None, line: None, section: None, key: None, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        match (&self.section, &self.key) {
            (Some(section), Some(key)) => write!(f, "[{section}] {key}: ")?,
            (Some(section), None) => write!(f, "[{section}]: ")?,
            (None, Some(key)) => write!(f, "{key}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.message)
    }
}
