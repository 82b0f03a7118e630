//! One execution, step by step: acquire, run, store.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use onceward_claim::{Claim, Keeper, NotStored, after, store, surely_not_done};
use onceward_core::{
    Backend, Begin, BeginOutcome, Certainty, Fingerprint, Millis, RenewOutcome, ScopedKeyBuf,
};
use tokio::time::Instant;

use crate::call::Call;
use crate::context::Context;
use crate::error::ClientError;
use crate::execution::Execution;
use crate::figures::Figure;
use crate::flight::{Lead, Place, Terms, WITHIN_WORK};
use crate::outcome::{Done, ExecuteError, Executed, ExecutionResult};
use crate::unfinished::{self, Action, Unfinished};
use onceward_keys::attempt_id;

/// An answer to a begin that could wait counts as given out of a wait if it took this long; the
/// owner then renews before it starts (S10). The lease is counted from the sending in any case.
const PROMPT_ANSWER_MAX: Duration = Duration::from_millis(10);

/// How often a begin is made anew, with a new attempt id, after an acquisition that ended before
/// its work started. At the limit the execution is unavailable.
const BEGINS_MAX: u32 = 3;

/// What a begin came to.
pub(crate) enum Begun<B> {
    /// Whoever follows waits until the lead is dropped.
    Claimed(Arc<Claim<B>>, Option<Arc<Lead>>),
    Answered(Executed),
}

impl<B: Backend<Bytes = Bytes> + Clone + 'static> Execution<B> {
    /// Asks the store, or gets the answer of a concurrent call; see `flight.rs`.
    pub(crate) async fn acquire(
        &self,
        call: &Call,
        key: ScopedKeyBuf,
        fingerprint: Fingerprint,
    ) -> Result<Begun<B>, ClientError> {
        let (lead, wait_until) = match self.place(&key, fingerprint).await {
            Place::Lead(lead, wait_until) => (lead, wait_until),
            Place::Alone(wait_until) => return self.ask(key, fingerprint, wait_until, None).await,
            Place::Answered(answer) => {
                call.coalesced();
                return answer.map(Begun::Answered);
            }
        };
        let begun = self.ask(key, fingerprint, wait_until, Some(&lead)).await;
        match &begun {
            Ok(Begun::Claimed(claim, _)) => {
                lead.watches(claim);
                lead.runs(claim.ownership());
            }
            Ok(Begun::Answered(answer)) => lead.answered(Ok(answer)),
            Err(error) => lead.answered(Err(error)),
        }
        begun
    }

    async fn place(&self, key: &ScopedKeyBuf, fingerprint: Fingerprint) -> Place {
        if !self.coalesce || fingerprint == Fingerprint::Later {
            return Place::Alone(after(Instant::now(), self.wait));
        }
        let terms = Terms {
            lease: self.lease,
            retention: self.retention,
            policy: self.policy,
            result_hint: self.result_hint,
            checkpoint_hint: self.checkpoint_hint,
        };
        self.flights.place(key, fingerprint, terms, self.wait).await
    }

    async fn ask(
        &self,
        key: ScopedKeyBuf,
        fingerprint: Fingerprint,
        wait_until: Instant,
        lead: Option<&Arc<Lead>>,
    ) -> Result<Begun<B>, ClientError> {
        for _ in 0..BEGINS_MAX {
            let begin = Begin {
                fingerprint,
                attempt_id: attempt_id(),
                lease: self.lease,
                retention: self.retention,
                policy: self.policy,
                wait: wait_until.saturating_duration_since(Instant::now()).into(),
                result_hint: self.result_hint,
                checkpoint_hint: self.checkpoint_hint,
            };
            if let Some(begun) = self.begin(&key, &begin, lead).await? {
                return Ok(begun);
            }
        }
        Err(ClientError::unavailable("each acquisition ended before its work could start"))
    }

    /// One begin; `None` if its attempt ended before the work could start.
    async fn begin(
        &self,
        key: &ScopedKeyBuf,
        begin: &Begin,
        lead: Option<&Arc<Lead>>,
    ) -> Result<Option<Begun<B>>, ClientError> {
        let backend = self.backend.clone();
        let undo = Action::Undo { backend, key: key.clone(), begin: *begin };
        let mut unfinished = Unfinished { action: Some(undo), lead: lead.cloned() };
        let sent = Instant::now();
        let outcome = self.backend.begin(key.as_ref(), begin).await;
        unfinished.action = None;
        let answer = match outcome? {
            BeginOutcome::Acquired(acquired) => {
                let backend = self.backend.clone();
                let (key, lease) = (key.clone(), begin.lease);
                let claim = Claim::new(backend, key, acquired, lease, sent);
                let ready = self.ready(Arc::new(claim), begin, sent, lead).await?;
                return Ok(ready.map(|claim| Begun::Claimed(claim, lead.cloned())));
            }
            BeginOutcome::Gone => return Ok(None),
            BeginOutcome::Replay(replay) => Executed::Replayed(replay.into()),
            BeginOutcome::InProgress { retry_after, age, attempt_number } => {
                Executed::InProgress { retry_after, age, attempt_number }
            }
            BeginOutcome::Mismatch => Executed::Mismatch,
            BeginOutcome::NeedFingerprint => Executed::NeedFingerprint,
            BeginOutcome::InDoubt { since } => Executed::InDoubt { since },
            BeginOutcome::Refused { reason, retry_after } => {
                Executed::Refused { reason, retry_after }
            }
            BeginOutcome::Expired { since } => Executed::Expired { since },
        };
        Ok(Some(Begun::Answered(answer)))
    }

    /// Renews before the start where the answer came out of a wait (S10) or ate into the lease;
    /// `None` if the acquisition has ended.
    async fn ready(
        &self,
        claim: Arc<Claim<B>>,
        begin: &Begin,
        sent: Instant,
        lead: Option<&Arc<Lead>>,
    ) -> Result<Option<Arc<Claim<B>>>, ClientError> {
        let now = Instant::now();
        let waited = begin.wait > Millis::ZERO && now - sent > PROMPT_ANSWER_MAX;
        if !waited && now < claim.renewal_due() {
            return Ok(Some(claim));
        }
        let give_back =
            surely_not_done(claim.acquired()).then(|| give_up(&claim, Certainty::NotDone));
        let mut unfinished = Unfinished { action: give_back, lead: lead.cloned() };
        // On an error `unfinished` gives the identity back in the background: nothing ran.
        let renewed = claim.renew(None).await?;
        unfinished.action = None;
        Ok(matches!(renewed, RenewOutcome::Renewed { .. }).then_some(claim))
    }

    pub(crate) async fn run<W, F, T, E>(
        &self,
        call: &Call,
        claim: Arc<Claim<B>>,
        lead: Option<&Arc<Lead>>,
        work: W,
    ) -> Result<Executed, ExecuteError<E>>
    where
        W: FnOnce(Context<B>) -> F,
        F: Future<Output = Result<T, E>>,
        T: Into<ExecutionResult>,
    {
        call.runs(claim.acquired().attempt_number);
        let dropped = self.drop_does().certainty();
        let cut_off = dropped.map(|certainty| give_up(&claim, certainty));
        let mut unfinished = Unfinished { action: cut_off, lead: lead.cloned() };
        let keeper = Keeper::start(Arc::clone(&claim));
        let context = Context::new(Arc::clone(&claim));
        // The panic is caught, the identity given up, and the panic goes on: nothing of ours is
        // left half-changed, and what the work itself leaves behind is the caller's as ever.
        let running = WITHIN_WORK.scope((), async { work(context).await.map(T::into) });
        let ran = AssertUnwindSafe(running).catch_unwind().await;
        drop(keeper); // From here on the lease only runs out.
        let result = match ran {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => {
                self.fail(&claim, &mut unfinished).await;
                return Err(ExecuteError::Work(error));
            }
            Err(panic) => {
                self.fail(&claim, &mut unfinished).await;
                resume_unwind(panic);
            }
        };
        unfinished.action =
            Some(Action::Store { claim: Arc::clone(&claim), result: result.clone() });
        let repeats = || self.figures.add(Figure::CompletesRepeated);
        let stored = store(&claim, result.as_ref(), repeats).await;
        unfinished.action = None;
        match stored {
            Ok(not_kept) => {
                let done = Done {
                    result: result.into(),
                    not_kept,
                    replayed: false,
                    attempt_number: claim.acquired().attempt_number,
                    age: Millis::ZERO,
                    retention_left: claim.acquired().retention_left,
                };
                if let Some(lead) = lead {
                    lead.ran(&done, claim.retention_until());
                }
                Ok(Executed::Ran(done))
            }
            Err(NotStored::Lost(why)) => {
                tracing::warn!(%why, "the work ran but lost ownership");
                Err(ExecuteError::LostOwnership { why, result })
            }
            Err(NotStored::Unanswered(cause)) => {
                let cause = ClientError::from(cause);
                tracing::warn!(error = %cause, "the work ran but its result is not stored");
                Err(ExecuteError::NotStored { cause, result })
            }
        }
    }

    async fn fail(&self, claim: &Arc<Claim<B>>, owed: &mut Unfinished<B>) {
        let certainty = self.failure_does().certainty();
        owed.action = certainty.map(|certainty| give_up(claim, certainty));
        if let Some(certainty) = certainty {
            unfinished::give_up(claim, certainty).await;
        }
        owed.action = None;
    }
}

fn give_up<B>(claim: &Arc<Claim<B>>, certainty: Certainty) -> Action<B> {
    Action::GiveUp { claim: Arc::clone(claim), certainty }
}
