//! One attempt at owning an identity: from the first begin to the start of the work.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onceward_claim::{Backoff, Claim, LateDigest, surely_not_done};
use onceward_core::{
    Backend, BackendError, Begin, BeginOutcome, Certainty, Fingerprint, Millis, RenewOutcome,
    ScopedKeyBuf,
};
use onceward_keys::attempt_id;
use tokio::time::{Instant, sleep};
use tracing::Instrument as _;

use crate::layer::Shared;

/// An answer to a begin that could wait counts as given out of a wait if it took this long; the
/// owner then renews before it starts (S10). The lease is counted from the sending in any case.
const PROMPT_ANSWER_MAX: Duration = Duration::from_millis(10);

/// How often a begin is made anew, with a new attempt id, after an acquisition that ended before
/// its work started. At the limit the store counts as unavailable.
const BEGINS_MAX: u32 = 3;

/// Pauses between repeats of an operation that got no answer: from, to.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What a begin came to.
pub(crate) enum Begun<B> {
    /// Run the work.
    Owned(Arc<Claim<B>>),
    /// Any other outcome.
    Answered(BeginOutcome<Bytes>),
    /// Nothing may be concluded.
    Unanswered(BackendError),
}

/// Begins until there is an answer to act on: the same attempt again while the store gives none, for
/// as long as the layer's patience lasts; another where an attempt ended before its work (S3).
pub(crate) async fn acquire<B: Backend<Bytes = Bytes> + Clone + 'static>(
    shared: &Shared<B>,
    key: &ScopedKeyBuf,
    fingerprint: Fingerprint,
    late: Option<&LateDigest>,
) -> Begun<B> {
    let wait_until = Instant::now() + shared.policy.wait().as_duration();
    for _ in 0..BEGINS_MAX {
        let begin = Begin {
            checkpoint_hint: shared.settings.checkpoint_hint,
            ..shared.policy.begin(fingerprint, attempt_id())
        };
        match attempt(shared, key, begin, wait_until, late).await {
            Ok(Some(begun)) => return begun,
            Ok(None) => {}
            Err(error) => {
                // The grant may be there all the same. Where nobody will run it is given back; who
                // runs without a guard leaves it to its lease.
                if error.is_retryable() && !shared.policy.fails_open() {
                    let undoing = undo(shared.backend.clone(), key.clone(), begin);
                    shared.spawn_background(undoing);
                }
                return Begun::Unanswered(error);
            }
        }
    }
    let message = "each acquisition ended before its work could start".to_owned();
    Begun::Unanswered(BackendError::Unavailable { message })
}

/// `None` if the attempt ended before its work could start.
async fn attempt<B: Backend<Bytes = Bytes> + Clone + 'static>(
    shared: &Shared<B>,
    key: &ScopedKeyBuf,
    mut begin: Begin,
    wait_until: Instant,
    late: Option<&LateDigest>,
) -> Result<Option<Begun<B>>, BackendError> {
    let patience = Instant::now().max(wait_until) + shared.settings.begin_patience;
    let mut pauses = Backoff::new(PAUSE_MIN, PAUSE_MAX);
    loop {
        let sent = Instant::now();
        begin.wait = Millis::covering(wait_until.saturating_duration_since(sent));
        match shared.backend.begin(key.as_ref(), &begin).await {
            Ok(BeginOutcome::Acquired(acquired)) => {
                let backend = shared.backend.clone();
                let (key, late) = (key.clone(), late.cloned());
                let claim = Claim::new(backend, key, acquired, begin.lease, sent);
                let claim = claim.with_late_digest(late);
                return ready(shared, Arc::new(claim), &begin, sent).await;
            }
            Ok(BeginOutcome::Gone) => return Ok(None),
            Ok(answer) => return Ok(Some(Begun::Answered(answer))),
            // The work is done; only its result cannot be read, which may last.
            Err(BackendError::ResultUnavailable) => {
                return Ok(Some(Begun::Unanswered(BackendError::ResultUnavailable)));
            }
            Err(error) => {
                let left = patience.saturating_duration_since(Instant::now());
                if !error.is_retryable() || left.is_zero() {
                    return Err(error);
                }
                tracing::debug!(%error, "begin failed, repeating it");
                sleep(pauses.next().min(left)).await;
            }
        }
    }
}

/// Renews before the start where the answer came out of a wait (S10) or ate into the lease; `None`
/// if the acquisition has ended.
async fn ready<B: Backend<Bytes = Bytes> + Clone + 'static>(
    shared: &Shared<B>,
    claim: Arc<Claim<B>>,
    begin: &Begin,
    sent: Instant,
) -> Result<Option<Begun<B>>, BackendError> {
    let now = Instant::now();
    let waited = begin.wait > Millis::ZERO && now - sent > PROMPT_ANSWER_MAX;
    if !waited && now < claim.renewal_due() {
        return Ok(Some(Begun::Owned(claim)));
    }
    Box::pin(renewed(shared, claim)).await // Boxed, for it is seldom needed; see `flow.rs`.
}

async fn renewed<B: Backend<Bytes = Bytes> + Clone + 'static>(
    shared: &Shared<B>,
    claim: Arc<Claim<B>>,
) -> Result<Option<Begun<B>>, BackendError> {
    let patience = Instant::now() + shared.settings.begin_patience;
    let mut pauses = Backoff::new(PAUSE_MIN, PAUSE_MAX);
    loop {
        match claim.renew(None).await {
            Ok(RenewOutcome::Renewed { .. }) => return Ok(Some(Begun::Owned(claim))),
            Ok(_) => return Ok(None),
            Err(error) => {
                let left = patience.saturating_duration_since(Instant::now());
                if !error.is_retryable() || left.is_zero() {
                    return Err(error);
                }
                sleep(pauses.next().min(left)).await;
            }
        }
    }
}

/// Repeats the begin to learn its fence (S3), then abandons: nothing ran. Goes on for the length of
/// the lease, after which there is nothing to give back.
async fn undo<B: Backend<Bytes = Bytes>>(backend: B, key: ScopedKeyBuf, begin: Begin) {
    let until = Instant::now() + begin.lease.as_duration();
    let begin = Begin { wait: Millis::ZERO, ..begin };
    let mut pauses = Backoff::new(PAUSE_MAX, 10 * PAUSE_MAX);
    while Instant::now() < until {
        match backend.begin(key.as_ref(), &begin).await {
            Ok(BeginOutcome::Acquired(acquired)) => {
                if surely_not_done(&acquired) {
                    let claim = Claim::new(backend, key, acquired, begin.lease, Instant::now());
                    give_up(&claim, Certainty::NotDone, until).await;
                }
                return;
            }
            Ok(_) => return,
            Err(error) if !error.is_retryable() => return,
            Err(_) => sleep(pauses.next()).await,
        }
    }
}

/// Abandons, repeating it while it gets no answer, at least once and until then.
pub(crate) async fn give_up<B: Backend<Bytes = Bytes>>(
    claim: &Claim<B>,
    certainty: Certainty,
    until: Instant,
) {
    let mut pauses = Backoff::new(PAUSE_MIN, PAUSE_MAX);
    loop {
        match claim.abandon(certainty).await {
            Ok(outcome) => {
                tracing::debug!(outcome = outcome.name(), "gave the identity up");
                return;
            }
            Err(error) if !error.is_retryable() || until <= Instant::now() => {
                let key = claim.key_hash();
                tracing::warn!(%key, %error, "could not give the identity up: its lease decides");
                return;
            }
            Err(_) => sleep(pauses.next()).await,
        }
    }
}

impl<B> Shared<B> {
    /// What is still owed to the store goes on without a caller, up to a number of such tasks at
    /// once; beyond it the lease decides.
    pub(crate) fn spawn_background(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Ok(permit) = Arc::clone(&self.background).try_acquire_owned() {
            let counted = self.detached.enter();
            let running = async move {
                task.await;
                drop((permit, counted));
            };
            tokio::spawn(running.in_current_span());
        } else {
            tracing::debug!("too many keys are being given back: this one's lease decides");
        }
    }
}
