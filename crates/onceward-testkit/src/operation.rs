//! Operations and outcomes as plain values, so that one run can be put to several stores.

use onceward_core::{
    Abandon, AbandonOutcome, BadInput, Begin, BeginOutcome, Body, CheckpointOutcome, Complete,
    CompleteOutcome, Digest, Fence, Forget, ForgetOutcome, Get, GetOutcome, Renew, RenewOutcome,
    Resolve, ResolveOutcome, ResultRef, SaveCheckpoint, StoredResult, Timestamp, Token, Verdict,
};

/// One thing that happens in a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// The clock reaches an instant; never earlier than before.
    MoveClock(Timestamp),
    /// A caller asks something of an identity.
    Ask {
        /// Who asks, from 0. For reading a trace; stores know callers by their tokens only.
        caller: u32,
        /// Which identity, from 0. Whoever runs the step gives each number a key of its own.
        identity: u32,
        /// What it asks.
        operation: Operation,
    },
}

/// One request that owns its bytes. Fences are those of the model; see
/// [`FenceMap`](crate::FenceMap) for a store that draws its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Operation {
    /// May I run the work?
    Begin(Begin),
    /// Here is the result.
    Complete {
        /// The owner's right, held, outdated or forged.
        token: Token,
        /// What every retry will get.
        result: StoredResult<Vec<u8>>,
        /// Binds what was `later`.
        fingerprint: Option<Digest>,
    },
    /// I am still at work.
    Renew(Renew),
    /// I give up.
    Abandon(Abandon),
    /// For my successor.
    Checkpoint {
        /// The owner's right, held, outdated or forged.
        token: Token,
        /// Counts from 1.
        ordinal: u32,
        /// What to save.
        bytes: Vec<u8>,
    },
    /// How does it stand? With the operate right, and without a wait.
    Get,
    /// This is what became of it.
    Resolve {
        /// The acquisition judged.
        fence: Fence,
        /// The doubt judged.
        doubt_number: u32,
        /// What was found.
        finding: Finding,
    },
    /// Away with it.
    Forget(Forget),
}

/// A resolver's verdict that owns its bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Finding {
    /// The work was done, with this result.
    Completed {
        /// What every retry will get.
        result: StoredResult<Vec<u8>>,
        /// Binds what was `later`.
        fingerprint: Option<Digest>,
    },
    /// The work was never done.
    NeverDone,
}

/// An [`Operation`] in the request types that stores take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request<'a> {
    /// For begin.
    Begin(&'a Begin),
    /// For complete.
    Complete(Complete<'a>),
    /// For renew.
    Renew(&'a Renew),
    /// For abandon.
    Abandon(&'a Abandon),
    /// For checkpoint.
    Checkpoint(SaveCheckpoint<'a>),
    /// For get.
    Get(Get),
    /// For resolve.
    Resolve(Resolve<'a>),
    /// For forget.
    Forget(&'a Forget),
}

impl Operation {
    /// The request to hand to a store. Copies no bytes.
    #[must_use]
    pub fn request(&self) -> Request<'_> {
        match self {
            Self::Begin(begin) => Request::Begin(begin),
            Self::Complete { token, result, fingerprint } => Request::Complete(Complete {
                token: *token,
                result: borrowed(result),
                fingerprint: *fingerprint,
            }),
            Self::Renew(renew) => Request::Renew(renew),
            Self::Abandon(abandon) => Request::Abandon(abandon),
            Self::Checkpoint { token, ordinal, bytes } => {
                Request::Checkpoint(SaveCheckpoint { token: *token, ordinal: *ordinal, bytes })
            }
            Self::Get => Request::Get(Get::default()),
            Self::Resolve { fence, doubt_number, finding } => Request::Resolve(Resolve {
                fence: *fence,
                doubt_number: *doubt_number,
                verdict: match finding {
                    Finding::Completed { result, fingerprint } => {
                        Verdict::Completed { result: borrowed(result), fingerprint: *fingerprint }
                    }
                    Finding::NeverDone => Verdict::NeverDone,
                },
            }),
            Self::Forget(forget) => Request::Forget(forget),
        }
    }

    /// The operation's word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Begin(_) => "begin",
            Self::Complete { .. } => "complete",
            Self::Renew(_) => "renew",
            Self::Abandon(_) => "abandon",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Get => "get",
            Self::Resolve { .. } => "resolve",
            Self::Forget(_) => "forget",
        }
    }

    /// The same operation with every fence in it replaced.
    #[must_use]
    pub fn map_fence(mut self, translate: impl FnOnce(Fence) -> Fence) -> Self {
        match &mut self {
            Self::Complete { token, .. } | Self::Checkpoint { token, .. } => {
                token.fence = translate(token.fence);
            }
            Self::Renew(renew) => renew.token.fence = translate(renew.token.fence),
            Self::Abandon(abandon) => abandon.token.fence = translate(abandon.token.fence),
            Self::Resolve { fence, .. } | Self::Forget(Forget { fence }) => {
                *fence = translate(*fence);
            }
            Self::Begin(_) | Self::Get => {}
        }
        self
    }
}

fn borrowed(result: &StoredResult<Vec<u8>>) -> ResultRef<'_> {
    StoredResult {
        status: result.status,
        metadata: &result.metadata,
        body: match &result.body {
            Body::Kept(bytes) => Body::Kept(bytes),
            Body::NotKept(why) => Body::NotKept(*why),
        },
    }
}

/// What an operation answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Of begin.
    Begin(BeginOutcome<Vec<u8>>),
    /// Of complete.
    Complete(CompleteOutcome),
    /// Of renew.
    Renew(RenewOutcome),
    /// Of abandon.
    Abandon(AbandonOutcome),
    /// Of checkpoint.
    Checkpoint(CheckpointOutcome),
    /// Of get.
    Get(GetOutcome<Vec<u8>>),
    /// Of resolve.
    Resolve(ResolveOutcome),
    /// Of forget.
    Forget(ForgetOutcome),
    /// Of any of them: the request broke a limit and changed nothing.
    BadInput(BadInput),
}

impl Outcome {
    /// The outcome's word, snake case.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Begin(outcome) => outcome.name(),
            Self::Complete(outcome) => outcome.name(),
            Self::Renew(outcome) => outcome.name(),
            Self::Abandon(outcome) => outcome.name(),
            Self::Checkpoint(outcome) => outcome.name(),
            Self::Get(outcome) => outcome.name(),
            Self::Resolve(outcome) => outcome.name(),
            Self::Forget(outcome) => outcome.name(),
            Self::BadInput(_) => "bad_input",
        }
    }

    /// Whether the operation that was answered so may have changed the state: judged by the word
    /// alone, so a repeat that changed nothing counts too.
    #[must_use]
    pub const fn may_have_changed_something(&self) -> bool {
        matches!(
            self,
            Self::Begin(BeginOutcome::Acquired(_))
                | Self::Complete(CompleteOutcome::Completed { .. })
                | Self::Renew(RenewOutcome::Renewed { .. })
                | Self::Abandon(AbandonOutcome::Abandoned)
                | Self::Checkpoint(CheckpointOutcome::Saved { .. })
                | Self::Resolve(ResolveOutcome::Resolved)
                | Self::Forget(ForgetOutcome::Forgotten)
        )
    }

    /// The fence it shows, if any.
    #[must_use]
    pub const fn fence(&self) -> Option<Fence> {
        match self {
            Self::Begin(BeginOutcome::Acquired(acquired)) => Some(acquired.token.fence),
            Self::Get(GetOutcome::Reserved { fence, .. } | GetOutcome::InDoubt { fence, .. }) => {
                *fence
            }
            Self::Get(GetOutcome::Completed(completed)) => completed.fence,
            Self::Begin(_)
            | Self::Complete(_)
            | Self::Renew(_)
            | Self::Abandon(_)
            | Self::Checkpoint(_)
            | Self::Get(GetOutcome::Absent | GetOutcome::Expired { .. })
            | Self::Resolve(_)
            | Self::Forget(_)
            | Self::BadInput(_) => None,
        }
    }

    /// The same outcome with the fence it shows replaced.
    #[must_use]
    pub fn with_fence(mut self, new: Fence) -> Self {
        match &mut self {
            Self::Begin(BeginOutcome::Acquired(acquired)) => acquired.token.fence = new,
            Self::Get(
                GetOutcome::Reserved { fence: Some(fence), .. }
                | GetOutcome::InDoubt { fence: Some(fence), .. },
            ) => *fence = new,
            Self::Get(GetOutcome::Completed(completed)) => {
                completed.fence = completed.fence.map(|_| new);
            }
            Self::Begin(_)
            | Self::Complete(_)
            | Self::Renew(_)
            | Self::Abandon(_)
            | Self::Checkpoint(_)
            | Self::Get(_)
            | Self::Resolve(_)
            | Self::Forget(_)
            | Self::BadInput(_) => {}
        }
        self
    }

    /// The result it shows, if any.
    #[must_use]
    pub const fn result(&self) -> Option<&StoredResult<Vec<u8>>> {
        match self {
            Self::Begin(BeginOutcome::Replay(replay)) => Some(&replay.result),
            Self::Get(GetOutcome::Completed(completed)) => Some(&completed.result),
            Self::Begin(_)
            | Self::Complete(_)
            | Self::Renew(_)
            | Self::Abandon(_)
            | Self::Checkpoint(_)
            | Self::Get(_)
            | Self::Resolve(_)
            | Self::Forget(_)
            | Self::BadInput(_) => None,
        }
    }
}
