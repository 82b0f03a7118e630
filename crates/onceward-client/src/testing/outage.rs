//! What can go wrong between a client and its store, and with which operation.

use std::fmt;
use std::time::Duration;

use onceward_core::Millis;
use onceward_proto::Request;

/// An operation of a [`Client`](crate::Client).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Operation {
    /// Begin, of an execution too.
    Begin,
    /// Complete.
    Complete,
    /// Abandon.
    Abandon,
    /// Renew, by the task that keeps a lease too.
    Renew,
    /// Checkpoint.
    Checkpoint,
    /// Get.
    Get,
    /// Resolve.
    Resolve,
    /// Forget.
    Forget,
    /// List.
    List,
    /// Figures of the store.
    Stats,
    /// Ping.
    Ping,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Begin,
        Self::Complete,
        Self::Abandon,
        Self::Renew,
        Self::Checkpoint,
        Self::Get,
        Self::Resolve,
        Self::Forget,
        Self::List,
        Self::Stats,
        Self::Ping,
    ];

    /// The operation's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Complete => "complete",
            Self::Abandon => "abandon",
            Self::Renew => "renew",
            Self::Checkpoint => "checkpoint",
            Self::Get => "get",
            Self::Resolve => "resolve",
            Self::Forget => "forget",
            Self::List => "list",
            Self::Stats => "stats",
            Self::Ping => "ping",
        }
    }

    pub(crate) const fn of(request: &Request<'_>) -> Self {
        match request {
            Request::Ping { .. } => Self::Ping,
            Request::Begin { .. } => Self::Begin,
            Request::Complete { .. } => Self::Complete,
            Request::Abandon { .. } => Self::Abandon,
            Request::Renew { .. } => Self::Renew,
            Request::Checkpoint { .. } => Self::Checkpoint,
            Request::Get { .. } => Self::Get,
            Request::Resolve { .. } => Self::Resolve,
            Request::Forget { .. } => Self::Forget,
            Request::List(_) => Self::List,
            Request::Stats => Self::Stats,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What goes wrong with one call. The client repeats calls that got no answer, as it does with a
/// server, so one outage of that kind is seldom seen by its caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Outage {
    /// The request never arrives: nothing happened, and no answer comes.
    RequestLost,
    /// The request is applied, and its answer never comes (S3).
    ReplyLost,
    /// The store answers Unavailable: nothing happened, though the caller cannot know.
    Unavailable,
    /// There is no room (S11). Of begin and checkpoint only; no other operation has that outcome.
    Refused {
        /// When room is due; only a begin tells.
        retry_after: Option<Millis>,
    },
    /// The request is applied, and the answer takes this long on the runtime's clock. Longer than
    /// the client's request timeout, and the client repeats the call.
    Slow(Duration),
}

impl Outage {
    /// Whether `operation` can meet it.
    pub(crate) const fn fits(self, operation: Operation) -> bool {
        match self {
            Self::Refused { .. } => {
                matches!(operation, Operation::Begin | Operation::Checkpoint)
            }
            Self::RequestLost | Self::ReplyLost | Self::Unavailable | Self::Slow(_) => true,
        }
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestLost => f.write_str("request lost"),
            Self::ReplyLost => f.write_str("reply lost"),
            Self::Unavailable => f.write_str("unavailable"),
            Self::Refused { .. } => f.write_str("refused"),
            Self::Slow(by) => write!(f, "slow by {} ms", by.as_millis()),
        }
    }
}
