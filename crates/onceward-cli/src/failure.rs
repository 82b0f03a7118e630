//! Why a command got no answer: what, with which number, and what now.

use std::fmt;
use std::io;
use std::path::Path;

use onceward_client::{BadInput, ClientError, OpenError};

use crate::exit::Exit;

/// An error on its way to stderr, or into `--json`'s `error` object. Holds no key, no body and no
/// credential (S16).
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    /// The field at fault, in the protocol's words.
    pub(crate) field: Option<String>,
    /// Whether the same command, with the same attempt or token, may succeed later.
    pub(crate) retryable: bool,
    /// Of a begin that got no answer. Printed to stdout, like the token, so that whoever asked can
    /// repeat that very begin; never part of the message.
    pub(crate) attempt: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), field: None, retryable: false, attempt: None }
    }

    pub(crate) fn bad_input(field: &str, message: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), ..Self::new(Exit::BadInput, message) }
    }

    /// Several of one kind as one; the first one's field stands for all.
    pub(crate) fn all(failures: Vec<Self>) -> Self {
        let mut failures = failures.into_iter();
        let Some(mut first) = failures.next() else {
            return Self::new(Exit::Failure, "nothing failed");
        };
        for other in failures {
            first.message += "\n";
            first.message += &other.message;
        }
        first
    }

    /// Adds where it was asked, if nobody answered there. A client refuses a URL that holds a
    /// password before anything can fail there.
    pub(crate) fn at(mut self, url: &str) -> Self {
        if matches!(self.exit, Exit::Unavailable | Exit::Protocol) {
            self.message += &format!("; is a daemon running at {url}?");
        }
        self
    }

    /// A file of the caller's that could not be read.
    pub(crate) fn unreadable(field: &str, path: &Path, error: &io::Error) -> Self {
        Self::bad_input(field, format!("{} cannot be read: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<BadInput> for Failure {
    fn from(bad: BadInput) -> Self {
        Self::bad_input(bad.field(), bad.to_string())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Store { .. } => Self::new(Exit::Failure, error.to_string()),
            OpenError::Option { name, accepted } => {
                let name = match name {
                    "request_timeout" => "timeout", // The option's name here.
                    other => other,
                };
                let message = format!("--{} is out of range: {accepted}", name.replace('_', "-"));
                Self::bad_input(name, message)
            }
            OpenError::Credential => Self::bad_input(
                "url",
                "--url holds a user or a password, which any process on the machine can read: remove it and set ONCEWARD_CREDENTIAL or --credential-file",
            ),
            other => Self::bad_input("url", format!("--url: {other}")),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::BadInput { .. } => Exit::BadInput,
            ClientError::Unavailable { .. } => Exit::Unavailable,
            ClientError::Denied => Exit::Denied,
            ClientError::NotLeader { .. } => Exit::NotLeader,
            ClientError::ResultUnavailable => Exit::ResultUnavailable,
            ClientError::Protocol { .. } => Exit::Protocol,
            // A word of a later client: nothing is known of it but its message.
            _ => Exit::Failure,
        };
        let failure =
            Self { retryable: error.is_retryable(), ..Self::new(exit, error.to_string()) };
        match error {
            // As if it had been found here: the exit code says already that it is bad input.
            ClientError::BadInput { field, message } => {
                Self { field: Some(field), message, ..failure }
            }
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_error_has_its_exit_code_s23() {
        let bad = ClientError::BadInput { field: "lease".into(), message: "too long".into() };
        let down = ClientError::Unavailable { message: "down".into() };
        let elsewhere = ClientError::NotLeader { address: "b:1".into(), epoch: 3 };
        let stranger = ClientError::Protocol { message: "bad magic".into() };
        let cases = [
            ("the caller's fault", bad, 2, false),
            ("nothing may be concluded", down, 20, true),
            ("no right", ClientError::Denied, 21, false),
            ("ask another", elsewhere, 22, true),
            ("done, unreadable", ClientError::ResultUnavailable, 23, true),
            ("another program answers", stranger, 24, false),
        ];
        for (why, error, code, retryable) in cases {
            let failure = Failure::from(error);
            assert_eq!(failure.exit.code(), code, "{why}");
            assert_eq!(failure.retryable, retryable, "{why}");
        }
    }
}
