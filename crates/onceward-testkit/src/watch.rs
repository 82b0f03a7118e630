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

#[cfg(test)]
mod tests {
    use super::*;
    use onceward_core::{
        Abandon, Begin, Body, Certainty, Completed, Fingerprint, Forget, Millis, Token,
    };

    const RETENTION_END: u64 = 1_000;

    fn fence(number: u64) -> Fence {
        Fence::new(number).unwrap()
    }

    fn attempt(byte: u8) -> AttemptId {
        AttemptId::from_bytes([byte; 16])
    }

    /// A begin by `of`, acquired at `now` with `number` and a lease of 100 ms.
    fn acquires(now: u64, number: u64, of: u8) -> (u64, Operation, Outcome) {
        let acquired = Acquired {
            token: Token { fence: fence(number), attempt_id: attempt(of) },
            attempt_number: 1,
            checkpoint: None,
            lease_left: Millis::new(100),
            retention_left: Millis::new(RETENTION_END.saturating_sub(now).max(200)),
        };
        let begin = Begin::new(Fingerprint::None, attempt(of));
        (now, Operation::Begin(begin), Outcome::Begin(BeginOutcome::Acquired(acquired)))
    }

    fn completes(now: u64, number: u64) -> (u64, Operation, Outcome) {
        let operation = Operation::Complete {
            token: Token { fence: fence(number), attempt_id: attempt(1) },
            result: result(1),
            fingerprint: None,
        };
        (now, operation, Outcome::Complete(CompleteOutcome::Completed { not_kept: None }))
    }

    fn looks(now: u64, body: Option<u8>) -> (u64, Operation, Outcome) {
        let outcome = match body {
            None => GetOutcome::Absent,
            Some(byte) => GetOutcome::Completed(Completed {
                result: result(byte),
                age: Millis::ZERO,
                attempt_number: 1,
                retention_left: Millis::ZERO,
                fence: None,
            }),
        };
        (now, Operation::Get, Outcome::Get(outcome))
    }

    fn abandons(now: u64, number: u64) -> (u64, Operation, Outcome) {
        let token = Token { fence: fence(number), attempt_id: attempt(1) };
        let operation = Operation::Abandon(Abandon { token, certainty: Certainty::NotDone });
        (now, operation, Outcome::Abandon(AbandonOutcome::Abandoned))
    }

    fn forgets(now: u64, number: u64) -> (u64, Operation, Outcome) {
        let operation = Operation::Forget(Forget { fence: fence(number) });
        (now, operation, Outcome::Forget(ForgetOutcome::Forgotten))
    }

    fn result(byte: u8) -> StoredResult<Vec<u8>> {
        StoredResult { status: 200, metadata: Vec::new(), body: Body::Kept(vec![byte]) }
    }

    #[test]
    fn each_broken_promise_is_noticed_and_no_other() {
        use BrokenPromise::{
            CompletedTwice, FenceNotLarger, FenceShared, ResultChanged, ResultLost, TwoOwners,
        };
        let two_owners = TwoOwners { first: fence(1), second: fence(2) };
        let not_larger = FenceNotLarger { largest: fence(3), got: fence(2) };
        #[rustfmt::skip]
        let cases = [
            ("the same owner again", vec![acquires(0, 1, 1), acquires(50, 1, 1)], None),
            ("another while the lease runs", vec![acquires(0, 1, 1), acquires(99, 2, 2)], Some(two_owners)),
            ("another when it has ended", vec![acquires(0, 1, 1), acquires(100, 2, 2)], None),
            ("another after an abandon", vec![acquires(0, 1, 1), abandons(1, 1), acquires(2, 2, 2)], None),
            ("one fence for two", vec![acquires(0, 1, 1), acquires(100, 1, 2)], Some(FenceShared { fence: fence(1) })),
            ("a smaller fence", vec![acquires(0, 3, 1), acquires(100, 2, 2)], Some(not_larger)),
            ("a smaller fence after the retention", vec![acquires(0, 3, 1), acquires(1_000, 2, 2)], Some(not_larger)),
            ("a second result", vec![acquires(0, 1, 1), completes(1, 1), completes(2, 1)], Some(CompletedTwice)),
            ("the result each time", vec![acquires(0, 1, 1), completes(1, 1), looks(2, Some(1)), looks(999, Some(1))], None),
            ("another result", vec![acquires(0, 1, 1), completes(1, 1), looks(2, Some(1)), looks(3, Some(2))], Some(ResultChanged)),
            ("lost a millisecond early", vec![acquires(0, 1, 1), completes(1, 1), looks(999, None)], Some(ResultLost)),
            ("absent when its time has come", vec![acquires(0, 1, 1), completes(1, 1), looks(1_000, None)], None),
            ("acquired over a result", vec![acquires(0, 1, 1), completes(1, 1), acquires(500, 2, 2)], Some(ResultLost)),
            ("abandoned over a result", vec![acquires(0, 1, 1), completes(1, 1), abandons(2, 1)], Some(ResultLost)),
            ("forgotten by request", vec![acquires(0, 1, 1), completes(1, 1), forgets(2, 1), acquires(3, 2, 2)], None),
        ];
        for (why, answers, want) in cases {
            let mut watch = Watch::new();
            let seen = answers.into_iter().try_for_each(|(now, operation, outcome)| {
                watch.see(Timestamp::from_millis(now), 0, &operation, &outcome)
            });
            assert_eq!(seen.err(), want, "{why}");
        }
    }
}
