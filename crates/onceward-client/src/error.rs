//! Errors of the client: whose fault, and what now. Expected answers are outcomes, not errors.

use std::fmt;

use onceward::StoreError;
use onceward_core::{BackendError, BadInput};

use onceward_keys::DeriveError;
use onceward_keys::FieldsError;
use onceward_keys::JsonFingerprintError;

/// Why an operation got no outcome.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClientError {
    /// The caller's fault: the request breaks a limit. It changed nothing; mend it.
    BadInput {
        /// The field at fault.
        field: String,
        /// What, with which bound.
        message: String,
    },
    /// The world's fault: no answer within the deadline. Nothing may be concluded; repeat with
    /// the same attempt id or token, and never run the work because of it.
    Unavailable {
        /// The last thing that went wrong, for the log.
        message: String,
    },
    /// The operator's fault, or the caller's: the credential lacks the right.
    Denied,
    /// Another node leads (S23, reserved).
    NotLeader {
        /// Where, if known.
        address: String,
        /// Its term.
        epoch: u64,
    },
    /// The work is done, but its result cannot be read now. Do not run it; ask again (S23).
    ResultUnavailable,
    /// The peer's fault: what answers at the address does not speak this protocol, or broke it.
    Protocol {
        /// What was wrong, for the log.
        message: String,
    },
}

impl ClientError {
    /// Whether the same request, with the same attempt id or token, may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::NotLeader { .. } | Self::ResultUnavailable => true,
            Self::BadInput { .. } | Self::Denied | Self::Protocol { .. } => false,
        }
    }

    fn bad_input(field: &str, error: &dyn fmt::Display) -> Self {
        Self::BadInput { field: field.to_owned(), message: format!("{field}: {error}") }
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into() }
    }
}

impl From<BadInput> for ClientError {
    fn from(bad: BadInput) -> Self {
        BackendError::from(bad).into()
    }
}

/// Nothing was sent.
impl From<DeriveError> for ClientError {
    fn from(error: DeriveError) -> Self {
        Self::bad_input("key", &error)
    }
}

/// Nothing was sent.
impl From<FieldsError> for ClientError {
    fn from(error: FieldsError) -> Self {
        Self::bad_input("fingerprint", &error)
    }
}

/// Nothing was sent.
impl From<JsonFingerprintError> for ClientError {
    fn from(error: JsonFingerprintError) -> Self {
        Self::bad_input("fingerprint", &error)
    }
}

impl From<StoreError> for ClientError {
    fn from(error: StoreError) -> Self {
        BackendError::from(error).into()
    }
}

impl From<BackendError> for ClientError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::BadInput { field, message } => Self::BadInput { field, message },
            BackendError::Unavailable { message } => Self::Unavailable { message },
            BackendError::Denied => Self::Denied,
            BackendError::NotLeader { address, epoch } => Self::NotLeader { address, epoch },
            BackendError::ResultUnavailable => Self::ResultUnavailable,
            // A word of a later version: whatever it says, nothing may be concluded from it.
            other => Self::unavailable(other.to_string()),
        }
    }
}

impl From<ClientError> for BackendError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::BadInput { field, message } => Self::BadInput { field, message },
            ClientError::Unavailable { message } => Self::Unavailable { message },
            ClientError::Denied => Self::Denied,
            ClientError::NotLeader { address, epoch } => Self::NotLeader { address, epoch },
            ClientError::ResultUnavailable => Self::ResultUnavailable,
            ClientError::Protocol { .. } => Self::Unavailable { message: error.to_string() },
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadInput { message, .. } => write!(f, "bad input: {message}"),
            Self::Unavailable { message } => write!(
                f,
                "unavailable: {message}; nothing may be concluded, repeat with the same attempt id or token"
            ),
            Self::Denied => f.write_str("denied: the credential lacks the right to do this"),
            Self::NotLeader { address, epoch } => {
                write!(f, "not the leader: ask {address} (epoch {epoch})")
            }
            Self::ResultUnavailable => f.write_str(
                "completed, but the result cannot be read now: do not run the work, ask again",
            ),
            Self::Protocol { message } => write!(
                f,
                "the peer does not speak this protocol: {message}; check address and version"
            ),
        }
    }
}

impl std::error::Error for ClientError {}

/// Why a client was not made: the URL or the options at fault, or no store to embed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum OpenError {
    /// The text is no URL at all.
    NotAUrl {
        /// Why not.
        message: String,
    },
    /// The scheme is none of the three.
    Scheme {
        /// What stands there.
        got: String,
    },
    /// The URL names a Unix socket, and this platform has none that this client can use.
    UnixSockets,
    /// The URL holds a user or a password, which would end up in logs and process lists.
    Credential,
    /// One part of the URL is not accepted.
    Part {
        /// Which: `host`, `port`, `path`, `query` or `fragment`.
        part: &'static str,
        /// What is accepted there.
        accepted: &'static str,
    },
    /// The namespace breaks its limits.
    Namespace(BadInput),
    /// An option is out of range.
    Option {
        /// Its name.
        name: &'static str,
        /// What is accepted.
        accepted: &'static str,
    },
    /// The embedded store did not start.
    Store {
        /// Why not.
        message: String,
    },
    /// The runtime of a blocking client did not start.
    Runtime {
        /// Why not.
        message: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAUrl { message } => write!(
                f,
                "not a URL ({message}): give mem://, onceward://HOST[:PORT][/NAMESPACE] or onceward+unix:///PATH?namespace=NAME"
            ),
            Self::Scheme { got } => write!(
                f,
                "URL scheme is {got}: give mem://, onceward://HOST[:PORT][/NAMESPACE] or onceward+unix:///PATH?namespace=NAME"
            ),
            Self::UnixSockets => f.write_str(
                "this platform has no Unix sockets: reach the server over TCP, onceward://HOST[:PORT][/NAMESPACE]",
            ),
            Self::Credential => f.write_str(
                "URL holds a user or a password: remove it, and hand the credential to ClientBuilder::credential",
            ),
            Self::Part { part, accepted } => write!(f, "URL {part} is not accepted: {accepted}"),
            Self::Namespace(bad) => write!(f, "URL names no namespace: {bad}"),
            Self::Option { name, accepted } => write!(f, "{name} is out of range: {accepted}"),
            Self::Store { message } => write!(f, "embedded store did not start: {message}"),
            Self::Runtime { message } => write!(
                f,
                "the blocking client's runtime did not start: {message}; the limit of threads or open files may be reached"
            ),
        }
    }
}

impl std::error::Error for OpenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backend_error_keeps_its_word_s23() {
        let errors = [
            BackendError::from(BadInput::KeyLength { got: 0 }),
            BackendError::Unavailable { message: "down".into() },
            BackendError::Denied,
            BackendError::NotLeader { address: "b:1".into(), epoch: 3 },
            BackendError::ResultUnavailable,
        ];
        for error in errors {
            let mapped = ClientError::from(error.clone());
            assert_eq!(mapped.is_retryable(), error.is_retryable(), "{error}");
            assert_eq!(BackendError::from(mapped), error);
        }
        let broken = ClientError::Protocol { message: "bad magic".into() };
        assert!(!broken.is_retryable(), "another program answers: asking again cannot help");
        assert!(
            matches!(BackendError::from(broken), BackendError::Unavailable { .. }),
            "nothing may be concluded"
        );
    }
}
