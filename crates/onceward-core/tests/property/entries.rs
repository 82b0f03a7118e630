//! The smallest store there is: it applies what a lifecycle decides, and decides nothing.

use std::collections::BTreeMap;

use onceward_core::lifecycle::{Decision, Finding, Transition, View};
use onceward_core::limits::METADATA_NOT_KEPT_BYTES_MAX;
use onceward_core::{
    AttemptId, BadInput, Begin, BeginOutcome, Body, Complete, Fence, GetOutcome, Limits, Metadata,
    NotKept, Resolve, ResultRef, SaveCheckpoint, StoredResult, Timestamp, Verdict,
};
use onceward_testkit::{Operation, Outcome, Plan, Request, Subject};

use crate::lifecycle::{Given, Lifecycle};

/// Entries stay in place when their retention ends, so that telling them from none is up to the
/// lifecycle (S7).
pub(crate) struct Entries<'a> {
    lifecycle: &'a dyn Lifecycle,
    limits: Limits,
    entries_max: usize,
    now: Timestamp,
    /// One counter for all identities, so that fences differ from the model's.
    fences_drawn: u64,
    versions: u64,
    records: BTreeMap<u32, Record>,
    ended: Vec<(u32, AttemptId, Timestamp)>,
}

struct Record {
    view: View,
    offered: StoredResult<Vec<u8>>,
    told: StoredResult<Vec<u8>>,
    checkpoint: Vec<u8>,
}

impl<'a> Entries<'a> {
    pub(crate) fn new(lifecycle: &'a dyn Lifecycle, plan: &Plan) -> Self {
        Self {
            lifecycle,
            limits: plan.limits,
            entries_max: plan.entries_max.unwrap_or(usize::MAX),
            now: plan.start,
            fences_drawn: 0,
            versions: 0,
            records: BTreeMap::new(),
            ended: Vec::new(),
        }
    }

    fn view(&self, identity: u32) -> Option<View> {
        self.records.get(&identity).map(|record| record.view)
    }

    fn given(&mut self, identity: u32) -> Given {
        self.fences_drawn += 3;
        let live = self.records.values().filter(|record| self.now < record.view.expires_at);
        Given {
            now: self.now,
            fence: Fence::new((1 << 40) + self.fences_drawn).expect("below 2^63"),
            room: live.count() < self.entries_max,
            attempt_ended: false,
            same_result: false,
            not_kept: self.records.get(&identity).and_then(|record| record.told.not_kept()),
        }
    }

    /// What comes with a result: whether it equals the stored one, and whether it can be kept.
    fn given_result(&mut self, identity: u32, result: &ResultRef<'_>) -> Given {
        let stored = self.records.get(&identity).map(|record| &record.offered);
        let same_result = stored == Some(&owned(result));
        let not_kept = match result.body {
            Body::Kept(bytes) if bytes.len() <= self.limits.result_bytes_max => None,
            Body::Kept(_) => Some(NotKept::TooLarge),
            Body::NotKept(_) => Some(NotKept::Declined),
        };
        Given { same_result, not_kept, ..self.given(identity) }
    }

    fn apply<O>(&mut self, identity: u32, decision: Decision<O>) -> O {
        match decision.transition {
            Transition::Keep => {}
            Transition::Put(view) => {
                let made_from = self.view(identity).map_or(0, |view| view.version);
                assert_eq!(view.version, made_from, "a transition names the version it changes");
                self.versions += 1;
                let view = View { version: self.versions, ..view };
                let record = self.records.entry(identity).or_insert_with(|| Record {
                    view,
                    offered: nothing(),
                    told: nothing(),
                    checkpoint: Vec::new(),
                });
                record.view = view;
            }
            Transition::Remove => {
                let record = self.records.remove(&identity).expect("only what is can be removed");
                let forgotten_at = self.now.after(self.limits.attempt_memory);
                self.ended.push((identity, record.view.attempt_id, forgotten_at));
            }
        }
        decision.outcome
    }

    fn begin(&mut self, identity: u32, request: &Begin) -> BeginOutcome<Vec<u8>> {
        let now = self.now;
        let attempt_ended = self
            .ended
            .iter()
            .any(|&(of, id, until)| (of, id) == (identity, request.attempt_id) && now < until);
        let given = Given { attempt_ended, ..self.given(identity) };
        let decision = self.lifecycle.begin(self.view(identity).as_ref(), request, given);
        let outcome = self.apply(identity, decision);
        let record = self.records.get(&identity);
        let checkpoint = |()| record.map_or_else(Vec::new, |record| record.checkpoint.clone());
        let told = told(record, &outcome);
        match (outcome.map(checkpoint), told) {
            (BeginOutcome::Replay(mut replay), Some(result)) => {
                replay.result = result;
                BeginOutcome::Replay(replay)
            }
            (outcome, _) => outcome,
        }
    }

    fn complete(&mut self, identity: u32, request: &Complete<'_>) -> Outcome {
        let given = self.given_result(identity, &request.result);
        let view = self.view(identity);
        let decision =
            self.lifecycle.complete(view.as_ref(), request.token, request.fingerprint, given);
        let stores = matches!(decision.transition, Transition::Put(_));
        let outcome = self.apply(identity, decision);
        if stores {
            self.store(identity, &request.result, given.not_kept);
        }
        Outcome::Complete(outcome)
    }

    fn checkpoint(&mut self, identity: u32, request: &SaveCheckpoint<'_>) -> Outcome {
        let given = self.given(identity);
        let view = self.view(identity);
        let decision =
            self.lifecycle.checkpoint(view.as_ref(), request.token, request.ordinal, given);
        let saves = matches!(decision.transition, Transition::Put(_));
        let outcome = self.apply(identity, decision);
        if let Some(record) = self.records.get_mut(&identity)
            && saves
        {
            record.checkpoint = request.bytes.to_vec();
        }
        Outcome::Checkpoint(outcome)
    }

    fn get(&mut self, identity: u32) -> GetOutcome<Vec<u8>> {
        let given = self.given(identity);
        let outcome = self.lifecycle.get(self.view(identity).as_ref(), given);
        let record = self.records.get(&identity);
        match outcome.map(|()| Vec::new()) {
            GetOutcome::Completed(mut completed) => {
                if let Some(record) = record {
                    completed.result = with_body_of(&record.told, &completed.result);
                }
                GetOutcome::Completed(completed)
            }
            outcome => outcome,
        }
    }

    fn resolve(&mut self, identity: u32, request: &Resolve<'_>) -> Outcome {
        let (given, finding) = match &request.verdict {
            Verdict::Completed { result, fingerprint } => {
                let given = self.given_result(identity, result);
                let same_result = given.same_result;
                (given, Finding::Completed { fingerprint: *fingerprint, same_result })
            }
            Verdict::NeverDone => (self.given(identity), Finding::NeverDone),
        };
        let view = self.view(identity);
        let (fence, doubt_number) = (request.fence, request.doubt_number);
        let decision = self.lifecycle.resolve(view.as_ref(), fence, doubt_number, finding, given);
        let stores = matches!(decision.transition, Transition::Put(_));
        let outcome = self.apply(identity, decision);
        if let Verdict::Completed { result, .. } = &request.verdict
            && stores
        {
            self.store(identity, result, given.not_kept);
        }
        Outcome::Resolve(outcome)
    }

    fn store(&mut self, identity: u32, offered: &ResultRef<'_>, not_kept: Option<NotKept>) {
        let record = self.records.get_mut(&identity).expect("written just now");
        record.offered = owned(offered);
        record.told = owned(offered);
        if let Some(why) = not_kept {
            let metadata = Metadata::decode(offered.metadata).expect("checked by the limits");
            record.told.metadata = metadata.prefix(METADATA_NOT_KEPT_BYTES_MAX).encoded().to_vec();
            record.told.body = Body::NotKept(why);
        }
    }
}

impl Subject for Entries<'_> {
    fn move_clock(&mut self, now: Timestamp) {
        self.now = now;
    }

    fn apply(&mut self, identity: u32, operation: &Operation) -> Outcome {
        let request = operation.request();
        if let Err(bad) = check(&self.limits, &request) {
            return Outcome::BadInput(bad);
        }
        let (view, given) = (self.view(identity), self.given(identity));
        match request {
            Request::Begin(request) => Outcome::Begin(self.begin(identity, request)),
            Request::Complete(request) => self.complete(identity, &request),
            Request::Renew(request) => {
                let decision = self.lifecycle.renew(view.as_ref(), request, given);
                Outcome::Renew(Self::apply(self, identity, decision))
            }
            Request::Abandon(request) => {
                let (token, certainty) = (request.token, request.certainty);
                let decision = self.lifecycle.abandon(view.as_ref(), token, certainty, given);
                Outcome::Abandon(Self::apply(self, identity, decision))
            }
            Request::Checkpoint(request) => self.checkpoint(identity, &request),
            Request::Get(_) => Outcome::Get(self.get(identity)),
            Request::Resolve(request) => self.resolve(identity, &request),
            Request::Forget(request) => {
                let decision = self.lifecycle.forget(view.as_ref(), request.fence, given);
                Outcome::Forget(Self::apply(self, identity, decision))
            }
        }
    }
}

fn check(limits: &Limits, request: &Request<'_>) -> Result<(), BadInput> {
    match request {
        Request::Begin(begin) => begin.check(limits),
        Request::Complete(complete) => complete.check(),
        Request::Renew(renew) => renew.check(limits),
        Request::Checkpoint(checkpoint) => checkpoint.check(),
        Request::Resolve(resolve) => resolve.check(),
        Request::Abandon(_) | Request::Get(_) | Request::Forget(_) => Ok(()),
    }
}

/// The stored result, if `outcome` replays it.
fn told(record: Option<&Record>, outcome: &BeginOutcome<()>) -> Option<StoredResult<Vec<u8>>> {
    match (record, outcome) {
        (Some(record), BeginOutcome::Replay(replay)) => {
            Some(with_body_of(&record.told, &replay.result.map(|()| Vec::new())))
        }
        (Some(_) | None, _) => None,
    }
}

/// `told`, but whether its body is kept is what the lifecycle says.
fn with_body_of(
    told: &StoredResult<Vec<u8>>,
    said: &StoredResult<Vec<u8>>,
) -> StoredResult<Vec<u8>> {
    match said.not_kept() {
        Some(why) => StoredResult { body: Body::NotKept(why), ..told.clone() },
        None => told.clone(),
    }
}

fn owned(result: &ResultRef<'_>) -> StoredResult<Vec<u8>> {
    result.map(<[u8]>::to_vec)
}

fn nothing() -> StoredResult<Vec<u8>> {
    StoredResult { status: 0, metadata: Vec::new(), body: Body::Kept(Vec::new()) }
}
