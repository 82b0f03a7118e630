//! The promise itself, checked on what a store answers, without a model of how it should.

use core::fmt;
use std::collections::BTreeMap;

use onceward_core::{
    AbandonOutcome, Acquired, AttemptId, BeginOutcome, CompleteOutcome, Fence, ForgetOutcome,
    GetOutcome, RenewOutcome, ResolveOutcome, StoredResult, Timestamp,
};

use crate::operation::{Finding, Operation, Outcome};

/// Watches the answers about every identity and knows nothing but them: one owner at a time and
/// per fence (S2), fences that grow (S4), results that stand until the retention ends (S5, S7).
///
/// Answers must be shown in the order in which they took effect.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    seen: BTreeMap<u32, Seen>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    owners: BTreeMap<Fence, AttemptId>,
    /// The latest acquisition's lease, as its owner was told, until the owner or a resolver
    /// ends it.
    lease: Option<(Fence, Timestamp)>,
    retention_ends: Timestamp,
    completed: Option<Stands>,
}

#[derive(Clone, Debug, Default)]
struct Stands {
    result: Option<StoredResult<Vec<u8>>>,
}

impl Watch {
    /// Nothing seen yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { seen: BTreeMap::new() }
    }

    /// Takes note of one answer, given at `now`.
    ///
    /// # Errors
    /// The promise that this answer breaks.
    pub fn see(
        &mut self,
        now: Timestamp,
        identity: u32,
        operation: &Operation,
        outcome: &Outcome,
    ) -> Result<(), BrokenPromise> {
        let seen = self.seen.entry(identity).or_default();
        if now >= seen.retention_ends {
            (seen.completed, seen.lease) = (None, None);
        }
        if let Outcome::Begin(BeginOutcome::Acquired(acquired)) = outcome {
            return seen.acquired(now, acquired);
        }
        match outcome {
            Outcome::Complete(CompleteOutcome::Completed { .. }) => seen.completes()?,
            Outcome::Resolve(ResolveOutcome::Resolved) => match operation {
                Operation::Resolve { finding: Finding::Completed { .. }, .. } => {
                    // Also answered to what holds that very result.
                    seen.lease = None;
                    seen.completed.get_or_insert_default();
                }
                _ => seen.ends()?,
            },
            Outcome::Abandon(AbandonOutcome::Abandoned) => seen.ends()?,
            Outcome::Forget(ForgetOutcome::Forgotten) => {
                (seen.completed, seen.lease) = (None, None);
            }
            Outcome::Renew(RenewOutcome::Renewed { lease_left }) => {
                if seen.completed.is_some() {
                    return Err(BrokenPromise::ResultLost);
                }
                if let Operation::Renew(renew) = operation {
                    seen.lease = Some((renew.token.fence, now.after(*lease_left)));
                }
            }
            Outcome::Get(
                GetOutcome::Absent | GetOutcome::Reserved { .. } | GetOutcome::InDoubt { .. },
            )
            | Outcome::Begin(BeginOutcome::InProgress { .. } | BeginOutcome::InDoubt { .. })
                if seen.completed.is_some() =>
            {
                return Err(BrokenPromise::ResultLost);
            }
            _ => {}
        }
        match outcome.result() {
            Some(result) => seen.shows(result),
            None => Ok(()),
        }
    }
}

impl Seen {
    fn acquired(
        &mut self,
        now: Timestamp,
        acquired: &Acquired<Vec<u8>>,
    ) -> Result<(), BrokenPromise> {
        let token = acquired.token;
        if self.completed.is_some() {
            return Err(BrokenPromise::ResultLost);
        }
        if let Some((fence, until)) = self.lease
            && fence != token.fence
            && now < until
        {
            return Err(BrokenPromise::TwoOwners { first: fence, second: token.fence });
        }
        match self.owners.last_key_value() {
            Some((&largest, &owner)) if largest == token.fence => {
                if owner != token.attempt_id {
                    return Err(BrokenPromise::FenceShared { fence: token.fence });
                }
            }
            Some((&largest, _)) if largest > token.fence => {
                return Err(BrokenPromise::FenceNotLarger { largest, got: token.fence });
            }
            Some(_) | None => {}
        }
        self.owners.insert(token.fence, token.attempt_id);
        self.lease = Some((token.fence, now.after(acquired.lease_left)));
        self.retention_ends = now.after(acquired.retention_left);
        Ok(())
    }

    fn completes(&mut self) -> Result<(), BrokenPromise> {
        if self.completed.is_some() {
            return Err(BrokenPromise::CompletedTwice);
        }
        self.lease = None;
        self.completed = Some(Stands::default());
        Ok(())
    }

    fn ends(&mut self) -> Result<(), BrokenPromise> {
        self.lease = None;
        if self.completed.is_some() { Err(BrokenPromise::ResultLost) } else { Ok(()) }
    }

    fn shows(&mut self, result: &StoredResult<Vec<u8>>) -> Result<(), BrokenPromise> {
        let stands = self.completed.get_or_insert_default();
        let first = stands.result.get_or_insert_with(|| result.clone());
        if first == result { Ok(()) } else { Err(BrokenPromise::ResultChanged) }
    }
}

/// A promise that an answer breaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BrokenPromise {
    /// A second caller was granted ownership while the first one's lease ran.
    TwoOwners {
        /// Whose lease ran.
        first: Fence,
        /// Who was granted ownership too.
        second: Fence,
    },
    /// Two attempts were granted the same fence.
    FenceShared {
        /// That fence.
        fence: Fence,
    },
    /// A new acquisition's fence is not larger than all before it.
    FenceNotLarger {
        /// The largest before it.
        largest: Fence,
        /// Its own.
        got: Fence,
    },
    /// Two results were accepted for one identity within one retention.
    CompletedTwice,
    /// A result was replayed with other content than before.
    ResultChanged,
    /// A completed identity was seen in another state before its retention ended.
    ResultLost,
}

impl fmt::Display for BrokenPromise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoOwners { first, second } => {
                write!(f, "fence {second} was granted while the lease of fence {first} ran (S2)")
            }
            Self::FenceShared { fence } => {
                write!(f, "fence {fence} was granted to two attempts (S4)")
            }
            Self::FenceNotLarger { largest, got } => {
                write!(f, "fence {got} was granted after fence {largest} (S4)")
            }
            Self::CompletedTwice => f.write_str("a second result was accepted (S5)"),
            Self::ResultChanged => f.write_str("a replay differs from the one before it (S5)"),
            Self::ResultLost => {
                f.write_str("a completed identity lost its result before its time (S5, S7)")
            }
        }
    }
}

impl core::error::Error for BrokenPromise {}
