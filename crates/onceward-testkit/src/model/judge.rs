//! The checks of every operation, in the order in which SEMANTICS names them.

use onceward_core::{
    AbandonOutcome, Acquired, BadInput, Begin, BeginOutcome, Certainty, CheckpointOutcome,
    Checkpointed, CompleteOutcome, Completed, Digest, Fence, Fingerprint, ForgetOutcome,
    GetOutcome, Limits, Millis, Policy, Refusal, RenewOutcome, Replay, ResolveOutcome,
    StoredResult, Token,
};

use super::Model;
use super::entry::{Entry, Phase, as_told};
use crate::operation::{Finding, Operation, Outcome, Request};

/// S20: what breaks a limit changes nothing.
pub(super) fn limits(limits: &Limits, operation: &Operation) -> Result<(), BadInput> {
    match operation.request() {
        Request::Begin(begin) => begin.check(limits),
        Request::Complete(complete) => complete.check(),
        Request::Renew(renew) => renew.check(limits),
        Request::Checkpoint(checkpoint) => checkpoint.check(),
        Request::Resolve(resolve) => resolve.check(),
        Request::Abandon(_) | Request::Get(_) | Request::Forget(_) => Ok(()),
    }
}

/// Who comes with a token; Gone and Fenced before all else (S4).
enum Standing<'a> {
    Gone,
    Fenced,
    Current(&'a mut Entry),
}

impl Model {
    pub(super) fn judge(&mut self, identity: u32, operation: &Operation) -> Outcome {
        match operation {
            Operation::Begin(begin) => Outcome::Begin(self.begin(identity, begin)),
            Operation::Complete { token, result, fingerprint } => {
                Outcome::Complete(self.complete(identity, *token, result, *fingerprint))
            }
            Operation::Renew(renew) => Outcome::Renew(self.renew(
                identity,
                renew.token,
                renew.lease.get(),
                renew.fingerprint,
            )),
            Operation::Abandon(abandon) => {
                Outcome::Abandon(self.abandon(identity, abandon.token, abandon.certainty))
            }
            Operation::Checkpoint { token, ordinal, bytes } => {
                Outcome::Checkpoint(self.checkpoint(identity, *token, *ordinal, bytes))
            }
            Operation::Get => Outcome::Get(self.get(identity)),
            Operation::Resolve { fence, doubt_number, finding } => {
                Outcome::Resolve(self.resolve(identity, *fence, *doubt_number, finding))
            }
            Operation::Forget(forget) => Outcome::Forget(self.forget(identity, forget.fence)),
        }
    }

    fn begin(&mut self, identity: u32, begin: &Begin) -> BeginOutcome<Vec<u8>> {
        let now = self.now;
        if self.has_ended(identity, begin.attempt_id) {
            return BeginOutcome::Gone; // S3
        }
        let Some(entry) = self.entries.get_mut(&identity) else {
            return self.first_acquisition(identity, begin);
        };
        let own = entry.attempt_id == begin.attempt_id;

        // S1: fingerprint, in every state. The owner's own `later` matches.
        let own_later = own && begin.fingerprint == Fingerprint::Later;
        let unbound = entry.fingerprint == Fingerprint::Later;
        if !own_later && !unbound && entry.fingerprint != begin.fingerprint {
            let asked_later = begin.fingerprint == Fingerprint::Later;
            let bound_to_digest = matches!(entry.fingerprint, Fingerprint::Digest(_));
            if asked_later && bound_to_digest {
                return BeginOutcome::NeedFingerprint; // S9
            }
            return BeginOutcome::Mismatch;
        }

        // S1: completed.
        if let Phase::Done(done) = &entry.phase {
            return BeginOutcome::Replay(Replay {
                result: done.told.clone(),
                age: Millis::new(now - done.at),
                attempt_number: entry.attempt_number,
                retention_left: Millis::new(entry.retention_ends - now),
            });
        }

        // S1: own attempt id, RESERVED or IN DOUBT. S3: the same fence, and nothing else new
        // but the lease.
        if own {
            entry.lease_anew(begin.lease.get(), now);
            return acquired(entry, now);
        }

        // S1: lease running; takeover or in doubt.
        match entry.phase {
            Phase::Leased { lease_ends } => BeginOutcome::InProgress {
                retry_after: Millis::new(lease_ends - now),
                age: Millis::new(now - entry.acquired_at),
                attempt_number: entry.attempt_number,
            },
            Phase::InDoubt { since } => BeginOutcome::InDoubt { since: Millis::new(now - since) },
            Phase::Lapsed { .. } | Phase::Done(_) => self.takeover(identity, begin),
        }
    }

    fn first_acquisition(&mut self, identity: u32, begin: &Begin) -> BeginOutcome<Vec<u8>> {
        if self.is_full() {
            return BeginOutcome::Refused {
                reason: Refusal::Capacity,
                retry_after: self.room_due(),
            };
        }
        let mut entry = Entry {
            fence: self.draw_fence(),
            attempt_id: begin.attempt_id,
            attempt_number: 1,
            fingerprint: begin.fingerprint,
            policy: begin.policy,
            acquired_at: self.now,
            retention_ends: self.now.saturating_add(begin.retention.get()),
            doubts: 0,
            checkpoint: None,
            phase: Phase::Lapsed { since: self.now },
        };
        entry.lease_anew(begin.lease.get(), self.now);
        let outcome = acquired(&entry, self.now);
        self.entries.insert(identity, entry);
        outcome
    }

    /// S8: policy and lease are the newcomer's; retention and checkpoint stay. S9: binds the
    /// newcomer's fingerprint if unbound, else they are equal already.
    fn takeover(&mut self, identity: u32, begin: &Begin) -> BeginOutcome<Vec<u8>> {
        let fence = self.draw_fence();
        let entry = self.entries.get_mut(&identity).expect("judged just now");
        entry.fence = fence;
        entry.attempt_id = begin.attempt_id;
        entry.attempt_number += 1;
        entry.fingerprint = begin.fingerprint;
        entry.policy = begin.policy;
        entry.acquired_at = self.now;
        entry.doubts = 0;
        entry.lease_anew(begin.lease.get(), self.now);
        acquired(entry, self.now)
    }

    /// Until completion the whole token must be current, after it the fence alone.
    fn standing(&mut self, identity: u32, token: Token) -> Standing<'_> {
        match self.entries.get_mut(&identity) {
            None => Standing::Gone,
            Some(entry) if entry.fence != token.fence => Standing::Fenced,
            Some(entry) => {
                let completed = matches!(entry.phase, Phase::Done(_));
                if completed || entry.attempt_id == token.attempt_id {
                    Standing::Current(entry)
                } else {
                    Standing::Fenced
                }
            }
        }
    }

    fn complete(
        &mut self,
        identity: u32,
        token: Token,
        result: &StoredResult<Vec<u8>>,
        fingerprint: Option<Digest>,
    ) -> CompleteOutcome {
        let (now, body_max) = (self.now, self.limits.result_bytes_max);
        let no_room = self.lacks_room();
        let entry = match self.standing(identity, token) {
            Standing::Gone => return CompleteOutcome::Gone,
            Standing::Fenced => return CompleteOutcome::Fenced,
            Standing::Current(entry) => entry,
        };
        if entry.differs_from(fingerprint) {
            return CompleteOutcome::Mismatch;
        }
        if let Phase::Done(done) = &entry.phase {
            if done.offered == *result {
                return CompleteOutcome::AlreadyCompleted { not_kept: done.told.not_kept() };
            }
            return CompleteOutcome::Conflict; // S5
        }
        if entry.stays_unbound(fingerprint) {
            return CompleteOutcome::NeedFingerprint;
        }
        entry.bind(fingerprint);
        entry.store(result, as_told(result, body_max, no_room), now);
        let Phase::Done(done) = &entry.phase else { unreachable!("stored just now") };
        CompleteOutcome::Completed { not_kept: done.told.not_kept() }
    }

    fn renew(
        &mut self,
        identity: u32,
        token: Token,
        lease: u64,
        fingerprint: Option<Digest>,
    ) -> RenewOutcome {
        let now = self.now;
        let entry = match self.standing(identity, token) {
            Standing::Gone => return RenewOutcome::Gone,
            Standing::Fenced => return RenewOutcome::Fenced,
            Standing::Current(entry) => entry,
        };
        if entry.differs_from(fingerprint) {
            return RenewOutcome::Mismatch;
        }
        if matches!(entry.phase, Phase::Done(_)) {
            return RenewOutcome::Conflict;
        }
        entry.bind(fingerprint);
        entry.lease_anew(lease, now);
        RenewOutcome::Renewed { lease_left: Millis::new(entry.lease_left(now)) }
    }

    fn abandon(&mut self, identity: u32, token: Token, certainty: Certainty) -> AbandonOutcome {
        let now = self.now;
        let entry = match self.standing(identity, token) {
            Standing::Gone => return AbandonOutcome::Gone,
            Standing::Fenced => return AbandonOutcome::Fenced,
            Standing::Current(entry) => entry,
        };
        if matches!(entry.phase, Phase::Done(_)) {
            return AbandonOutcome::Conflict; // S5
        }
        match certainty {
            Certainty::NotDone => self.end(identity),
            Certainty::InDoubt => {
                // S8: ends the lease at once, and the policy becomes in-doubt. What has lapsed
                // already is the same doubt, and began when the lease ended.
                entry.policy = Policy::InDoubt;
                let since = match entry.phase {
                    Phase::Lapsed { since } | Phase::InDoubt { since } => since,
                    Phase::Leased { .. } | Phase::Done(_) => {
                        entry.doubts += 1;
                        now
                    }
                };
                entry.phase = Phase::InDoubt { since };
            }
        }
        AbandonOutcome::Abandoned
    }

    fn checkpoint(
        &mut self,
        identity: u32,
        token: Token,
        ordinal: u32,
        bytes: &[u8],
    ) -> CheckpointOutcome {
        let no_room = self.lacks_room();
        let entry = match self.standing(identity, token) {
            Standing::Gone => return CheckpointOutcome::Gone,
            Standing::Fenced => return CheckpointOutcome::Fenced,
            Standing::Current(entry) => entry,
        };
        if matches!(entry.phase, Phase::Done(_)) {
            return CheckpointOutcome::Conflict;
        }
        if entry.fingerprint == Fingerprint::Later {
            return CheckpointOutcome::NeedFingerprint; // S9
        }
        // S19: a lower or equal ordinal is Saved and changes nothing.
        match &entry.checkpoint {
            Some(held) if held.ordinal >= ordinal => {
                CheckpointOutcome::Saved { ordinal: held.ordinal }
            }
            Some(_) | None if no_room => CheckpointOutcome::Refused { reason: Refusal::Capacity },
            Some(_) | None => {
                entry.checkpoint = Some(Checkpointed { ordinal, bytes: bytes.to_vec() });
                CheckpointOutcome::Saved { ordinal }
            }
        }
    }

    fn get(&self, identity: u32) -> GetOutcome<Vec<u8>> {
        let now = self.now;
        let Some(entry) = self.entries.get(&identity) else { return GetOutcome::Absent };
        let fence = Some(entry.fence);
        match &entry.phase {
            Phase::Leased { .. } | Phase::Lapsed { .. } => GetOutcome::Reserved {
                age: Millis::new(now - entry.acquired_at),
                attempt_number: entry.attempt_number,
                lease_left: Millis::new(entry.lease_left(now)),
                fence,
                doubt_number: entry.doubts,
            },
            Phase::InDoubt { since } => GetOutcome::InDoubt {
                since: Millis::new(now - since),
                attempt_number: entry.attempt_number,
                fence,
                doubt_number: entry.doubts,
            },
            Phase::Done(done) => GetOutcome::Completed(Completed {
                result: done.told.clone(),
                age: Millis::new(now - done.at),
                attempt_number: entry.attempt_number,
                retention_left: Millis::new(entry.retention_ends - now),
                fence,
            }),
        }
    }

    fn resolve(
        &mut self,
        identity: u32,
        fence: Fence,
        doubt_number: u32,
        finding: &Finding,
    ) -> ResolveOutcome {
        let (now, body_max) = (self.now, self.limits.result_bytes_max);
        let scarce = self.scarce;
        let Some(entry) = self.entries.get_mut(&identity) else { return ResolveOutcome::Gone };
        if entry.fence != fence {
            return ResolveOutcome::Fenced;
        }
        if let Finding::Completed { fingerprint, .. } = finding
            && entry.differs_from(*fingerprint)
        {
            return ResolveOutcome::Mismatch;
        }
        if let Phase::Done(done) = &entry.phase {
            return match finding {
                Finding::Completed { result, .. } if done.offered == *result => {
                    ResolveOutcome::Resolved
                }
                Finding::Completed { .. } | Finding::NeverDone => ResolveOutcome::Conflict,
            };
        }
        if entry.lease_runs() {
            return ResolveOutcome::InProgress;
        }
        if entry.doubts != doubt_number {
            return ResolveOutcome::Fenced;
        }
        match finding {
            Finding::NeverDone => self.end(identity),
            Finding::Completed { fingerprint, .. } if entry.stays_unbound(*fingerprint) => {
                return ResolveOutcome::NeedFingerprint;
            }
            Finding::Completed { result, fingerprint } => {
                entry.bind(*fingerprint);
                entry.store(result, as_told(result, body_max, false), now);
                entry.leave_keeping_open(scarce);
            }
        }
        ResolveOutcome::Resolved
    }

    fn forget(&mut self, identity: u32, fence: Fence) -> ForgetOutcome {
        match self.entries.get(&identity) {
            None => ForgetOutcome::Gone,
            Some(entry) if entry.fence != fence => ForgetOutcome::Fenced,
            Some(entry) if entry.lease_runs() => ForgetOutcome::InProgress,
            Some(_) => {
                self.end(identity);
                ForgetOutcome::Forgotten
            }
        }
    }
}

fn acquired(entry: &Entry, now: u64) -> BeginOutcome<Vec<u8>> {
    BeginOutcome::Acquired(Acquired {
        token: Token { fence: entry.fence, attempt_id: entry.attempt_id },
        attempt_number: entry.attempt_number,
        checkpoint: entry.checkpoint.clone(),
        lease_left: Millis::new(entry.lease_left(now)),
        retention_left: Millis::new(entry.retention_ends - now),
    })
}
