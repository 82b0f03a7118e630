//! A reply that owns its bytes, on its way from the connection to the caller.

use bytes::Bytes;
use onceward_core::{
    AbandonOutcome, BeginOutcome, CheckpointOutcome, CompleteOutcome, ForgetOutcome, GetOutcome,
    ListPage, RenewOutcome, ResolveOutcome, Stats,
};
use onceward_proto as proto;
use onceward_proto::ErrorCode;

use crate::error::ClientError;

/// What a request got: an outcome of its own kind, or an error.
pub(crate) enum Reply {
    Pong { boot_epoch: u64 },
    Begin(BeginOutcome<Bytes>),
    Complete(CompleteOutcome),
    Abandon(AbandonOutcome),
    Renew(RenewOutcome),
    Checkpoint(CheckpointOutcome),
    Get(GetOutcome<Bytes>),
    Resolve(ResolveOutcome),
    Forget(ForgetOutcome),
    List(ListPage),
    Stats(Box<Stats>),
    Error(ClientError),
}

impl Reply {
    /// `boot_epoch` is that of the connection's server.
    ///
    /// Copies the bytes: a slice of the read buffer would hold all of it while the caller keeps a
    /// small result.
    pub(crate) fn of(reply: proto::Reply<'_>, boot_epoch: u64) -> Self {
        match reply {
            proto::Reply::Pong { .. } => Self::Pong { boot_epoch },
            proto::Reply::Begin(outcome) => Self::Begin(outcome.map(Bytes::copy_from_slice)),
            proto::Reply::Complete(outcome) => Self::Complete(outcome),
            proto::Reply::Abandon(outcome) => Self::Abandon(outcome),
            proto::Reply::Renew(outcome) => Self::Renew(outcome),
            proto::Reply::Checkpoint(outcome) => Self::Checkpoint(outcome),
            proto::Reply::Get(outcome) => Self::Get(outcome.map(Bytes::copy_from_slice)),
            proto::Reply::Resolve(outcome) => Self::Resolve(outcome),
            proto::Reply::Forget(outcome) => Self::Forget(outcome),
            proto::Reply::List(page) => Self::List(page),
            proto::Reply::Stats(rows) => Self::Stats(Box::new(rows.to_stats())),
            proto::Reply::Error(error) => Self::Error(error_of(&error)),
            // S23: nothing may be concluded from words of a later version, or from a tombstone.
            proto::Reply::Expired { .. } => {
                Self::Error(ClientError::unavailable("the identity is a tombstone"))
            }
            proto::Reply::Unknown { code } => Self::Error(ClientError::unavailable(format!(
                "the server answered with code {code:#04x} of a later version"
            ))),
            proto::Reply::Welcome(_) => Self::Error(another_operation()),
        }
    }

    /// The error, for a caller that has looked for its own kind of outcome in vain.
    pub(crate) fn into_error(self) -> ClientError {
        match self {
            Self::Error(error) => error,
            _ => another_operation(),
        }
    }
}

/// `ClientConn` pairs opcodes, so no server can cause this.
fn another_operation() -> ClientError {
    let message = "the server answered another operation than was asked".to_owned();
    ClientError::Protocol { message }
}

/// What an error reply means for a caller.
pub(crate) fn error_of(error: &proto::ErrorReply<'_>) -> ClientError {
    match error.code {
        ErrorCode::UnknownOpcode
        | ErrorCode::Malformed
        | ErrorCode::FrameTooLarge
        | ErrorCode::Version
        | ErrorCode::HelloFirst
        | ErrorCode::HelloAgain => ClientError::Protocol { message: error.to_string() },
        ErrorCode::Unavailable
        | ErrorCode::Denied
        | ErrorCode::NotLeader
        | ErrorCode::ResultUnavailable
        | ErrorCode::BadInput
        | ErrorCode::TooManyConnections
        | ErrorCode::TimedOut
        | ErrorCode::Other(_) => error.to_backend_error().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_once_what_it_is() {
        let error = error_of(&proto::ErrorReply::unavailable("the server is shutting down"));
        assert_eq!(
            error.to_string(),
            "unavailable: the server is shutting down; nothing may be concluded, repeat with the same attempt id or token"
        );
    }
}
