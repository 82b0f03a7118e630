//! Operations and outcomes in one readable line each. Product code shows no attempt id and no
//! byte of a body (S16); these were made up for a test, and a trace is of no use without them.

use core::fmt;

use onceward_core::{
    AttemptId, BeginOutcome, Body, Checkpointed, Digest, Fingerprint, GetOutcome, Metadata,
    StoredResult, Token,
};

use crate::operation::{Finding, Operation, Outcome};

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Begin(begin) => write!(
                f,
                " {} with {}, lease {}, retention {}, policy {}",
                Attempt(begin.attempt_id),
                Print(begin.fingerprint),
                begin.lease,
                begin.retention,
                begin.policy.name()
            ),
            Self::Complete { token, result, fingerprint } => {
                write!(f, " {} with {}{}", Right(*token), Content(result), Named(*fingerprint))
            }
            Self::Renew(renew) => {
                let (right, named) = (Right(renew.token), Named(renew.fingerprint));
                write!(f, " {right} for {}{named}", renew.lease)
            }
            Self::Abandon(abandon) => {
                write!(f, " {} as {:?}", Right(abandon.token), abandon.certainty)
            }
            Self::Checkpoint { token, ordinal, bytes } => {
                write!(f, " {} with ordinal {ordinal}, bytes {bytes:?}", Right(*token))
            }
            Self::Get => Ok(()),
            Self::Resolve { fence, doubt_number, finding } => {
                write!(f, " fence {fence}, doubt {doubt_number} as ")?;
                match finding {
                    Finding::Completed { result, fingerprint } => {
                        write!(f, "{}{}", Content(result), Named(*fingerprint))
                    }
                    Finding::NeverDone => f.write_str("never done"),
                }
            }
            Self::Forget(forget) => write!(f, " fence {}", forget.fence),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(BeginOutcome::Acquired(acquired)) => {
                write!(
                    f,
                    "acquired {}, attempt number {}, {} of lease, {} of retention",
                    Right(acquired.token),
                    acquired.attempt_number,
                    acquired.lease_left,
                    acquired.retention_left
                )?;
                match &acquired.checkpoint {
                    Some(Checkpointed { ordinal, bytes }) => {
                        write!(f, ", checkpoint {ordinal} {bytes:?}")
                    }
                    None => f.write_str(", no checkpoint"),
                }
            }
            Self::Begin(BeginOutcome::Replay(replay)) => write!(
                f,
                "replay of {}, {} old, attempt number {}, {} of retention",
                Content(&replay.result),
                replay.age,
                replay.attempt_number,
                replay.retention_left
            ),
            Self::Get(GetOutcome::Completed(completed)) => write!(
                f,
                "completed with {}, {} old, attempt number {}, {} of retention, fence {:?}",
                Content(&completed.result),
                completed.age,
                completed.attempt_number,
                completed.retention_left,
                completed.fence
            ),
            Self::Begin(outcome) => write!(f, "{outcome:?}"),
            Self::Get(outcome) => write!(f, "{outcome:?}"),
            Self::Complete(outcome) => write!(f, "{outcome:?}"),
            Self::Renew(outcome) => write!(f, "{outcome:?}"),
            Self::Abandon(outcome) => write!(f, "{outcome:?}"),
            Self::Checkpoint(outcome) => write!(f, "{outcome:?}"),
            Self::Resolve(outcome) => write!(f, "{outcome:?}"),
            Self::Forget(outcome) => write!(f, "{outcome:?}"),
            Self::BadInput(bad) => write!(f, "bad input: {bad}"),
        }
    }
}

struct Attempt(AttemptId);

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("attempt ")?;
        write_start(f, self.0.as_bytes())
    }
}

struct Right(Token);

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fence {} of {}", self.0.fence, Attempt(self.0.attempt_id))
    }
}

struct Print(Fingerprint);

impl fmt::Display for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Fingerprint::None => f.write_str("fingerprint none"),
            Fingerprint::Later => f.write_str("fingerprint later"),
            Fingerprint::Digest(digest) => {
                f.write_str("fingerprint ")?;
                write_start(f, digest.as_bytes())
            }
        }
    }
}

struct Named(Option<Digest>);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(digest) => write!(f, ", {}", Print(digest.into())),
            None => Ok(()),
        }
    }
}

/// A result in a few words.
pub(crate) struct Content<'a>(pub(crate) &'a StoredResult<Vec<u8>>);

impl fmt::Display for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = Metadata::decode(&self.0.metadata).map_or(0, |held| held.pairs().count());
        write!(f, "status {}, {pairs} pairs of metadata, body ", self.0.status)?;
        match &self.0.body {
            Body::Kept(bytes) => {
                write!(f, "of {} B ", bytes.len())?;
                write_start(f, bytes)
            }
            Body::NotKept(why) => f.write_str(why.name()),
        }
    }
}

/// The first bytes, enough to tell what a generator made apart.
fn write_start(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
    if bytes.len() > 4 { f.write_str("…") } else { Ok(()) }
}
