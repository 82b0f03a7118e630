//! From the store's outcomes to what the service does (H3, H6). Pure.

use bytes::Bytes;
use http::Response;
use onceward_core::{
    AbandonOutcome, Acquired, BackendError, BeginOutcome, Certainty, CompleteOutcome, Millis,
    RenewOutcome, ScopedKey,
};

use crate::outcome::Outcome;
use crate::policy::HttpPolicy;
use crate::problem::Problem;
use crate::response;

/// What a begin asks for.
#[derive(Debug)]
#[must_use = "only Run and RunUnguarded may run the handler"]
pub enum Step {
    /// This request owns the key: run the handler.
    Run(Acquired<Bytes>),
    /// Answer this, and run nothing.
    Respond(Response<Bytes>, Outcome),
    /// The attempt has ended (S3): begin again with a new attempt id, a bounded number of times.
    BeginAnew,
    /// The key is bound to a fingerprint (S9): digest the body, begin again with it.
    NeedFingerprint,
    /// The store is out of reach, and the policy is to run without it. Counted.
    RunUnguarded,
}

impl HttpPolicy {
    /// What to do after a begin of `key`. A key that stands for another request is counted.
    pub fn answer(&self, key: ScopedKey<'_>, outcome: BeginOutcome<Bytes>) -> Step {
        let problem = match outcome {
            BeginOutcome::Acquired(acquired) => return Step::Run(acquired),
            BeginOutcome::Replay(stored) => match response::replay(&stored, self.types()) {
                Ok(response) => return Step::Respond(response, Outcome::Replayed),
                Err(problem) => problem,
            },
            BeginOutcome::Gone => return Step::BeginAnew,
            BeginOutcome::NeedFingerprint => return Step::NeedFingerprint,
            BeginOutcome::InProgress { retry_after, age, attempt_number } => Problem::InProgress {
                retry_after: retry_after.min(self.retry_after_max()),
                age,
                attempt_number,
            },
            BeginOutcome::Mismatch => {
                self.audit().mismatch(key);
                Problem::Mismatch
            }
            BeginOutcome::InDoubt { since } => Problem::InDoubt { since },
            BeginOutcome::Refused { retry_after, .. } => {
                Problem::Full { retry_after: retry_after.unwrap_or(self.unavailable_retry_after()) }
            }
            BeginOutcome::Expired { since } => Problem::Expired { since },
        };
        self.unguarded_or(problem)
    }

    /// What to do after a begin that got no outcome, its repeats included.
    pub fn answer_error(&self, error: &BackendError) -> Step {
        self.unguarded_or(Problem::of_error(error, self.unavailable_retry_after()))
    }

    /// A problem as it is answered.
    #[must_use]
    pub fn respond(&self, problem: &Problem) -> (Response<Bytes>, Outcome) {
        let mut response = problem.to_response(self.types());
        if let (Problem::ScopeMissing, Some(challenge)) = (problem, self.challenge()) {
            response.headers_mut().insert(http::header::WWW_AUTHENTICATE, challenge.clone());
        }
        (response, Outcome::Rejected(problem.name()))
    }

    /// Failing open is for a store that is out of reach or full. What it has answered about the key
    /// holds, and a service whose settings are wrong would never be guarded at all.
    fn unguarded_or(&self, problem: Problem) -> Step {
        if self.fails_open()
            && matches!(problem, Problem::Unavailable { .. } | Problem::Full { .. })
        {
            self.audit().failed_open();
            return Step::RunUnguarded;
        }
        let (response, outcome) = self.respond(&problem);
        Step::Respond(response, outcome)
    }
}

impl Problem {
    /// What an error of the store means to a caller.
    #[must_use]
    pub fn of_error(error: &BackendError, retry_after: Millis) -> Self {
        match error {
            BackendError::ResultUnavailable => Self::ResultUnavailable { retry_after },
            BackendError::BadInput { .. } | BackendError::Denied => Self::Misconfigured,
            _ => Self::Unavailable { retry_after },
        }
    }
}

/// Whether the handler's answer may leave after a complete.
///
/// # Errors
/// The problem that leaves instead: never the handler's bytes.
pub const fn after_complete(outcome: &CompleteOutcome) -> Result<(), Problem> {
    match outcome {
        CompleteOutcome::Completed { .. } | CompleteOutcome::AlreadyCompleted { .. } => Ok(()),
        CompleteOutcome::Mismatch => Err(Problem::Mismatch),
        // Unbound, because the layer has not digested the body: what ran is not stored.
        CompleteOutcome::NeedFingerprint
        | CompleteOutcome::Conflict
        | CompleteOutcome::Fenced
        | CompleteOutcome::Gone => Err(Problem::LostOwnership),
    }
}

/// Whether the handler's answer may leave after an abandon. What was not done may be said whoever
/// owns the key by now; what is in doubt may not, once somebody else owns it.
///
/// # Errors
/// The problem that leaves instead.
pub const fn after_abandon(outcome: &AbandonOutcome, certainty: Certainty) -> Result<(), Problem> {
    match (outcome, certainty) {
        (AbandonOutcome::Abandoned, _)
        | (AbandonOutcome::Gone | AbandonOutcome::Fenced, Certainty::NotDone) => Ok(()),
        (AbandonOutcome::Gone | AbandonOutcome::Fenced, Certainty::InDoubt)
        | (AbandonOutcome::Conflict, _) => Err(Problem::LostOwnership),
    }
}

/// Whether the owner still owns the key after a renew.
///
/// # Errors
/// The problem that leaves instead of the handler's answer.
pub const fn after_renew(outcome: &RenewOutcome) -> Result<Millis, Problem> {
    match outcome {
        RenewOutcome::Renewed { lease_left } => Ok(*lease_left),
        RenewOutcome::Mismatch => Err(Problem::Mismatch),
        RenewOutcome::Conflict | RenewOutcome::Fenced | RenewOutcome::Gone => {
            Err(Problem::LostOwnership)
        }
    }
}
