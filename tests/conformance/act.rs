//! Does one operation of a case on any backend.

use onceward_core::{
    Abandon, AttemptId, Backend, BackendError, BadInput, Begin, BeginOutcome, Body, Certainty,
    Complete, Digest, Forget, Get, ListQuery, Millis, NotKept, Policy, Renew, Resolve, ResultRef,
    SaveCheckpoint, ScopedKey, StateName, StoredResult, Token, Verdict,
};

use crate::answer::Answer;
use crate::case::{CertaintyWord, Operation, PolicyWord, StateWord, Target, VerdictWord};
use crate::value::{self, FingerprintText, Octets, Tokens};

/// An answer, and the token if one was acquired, with the label it goes by.
pub(crate) struct Acted {
    pub(crate) answer: Answer,
    pub(crate) token: Option<(String, Token)>,
}

impl From<Answer> for Acted {
    fn from(answer: Answer) -> Self {
        Self { answer, token: None }
    }
}

/// Why there is no outcome: the case is at fault, or the product says so.
enum Stop {
    Case(String),
    Product(BackendError),
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Case(why)
    }
}

impl From<BackendError> for Stop {
    fn from(error: BackendError) -> Self {
        Self::Product(error)
    }
}

impl From<BadInput> for Stop {
    fn from(bad: BadInput) -> Self {
        Self::Product(bad.into())
    }
}

/// Asks `backend` and turns what it says into fields.
///
/// # Errors
/// The case itself is at fault, e.g. names a token that was never acquired.
pub(crate) async fn act<B: Backend>(
    backend: &B,
    target: &Target,
    operation: &Operation,
    tokens: &Tokens,
) -> Result<Acted, String> {
    match try_act(backend, target, operation, tokens).await {
        Ok(acted) => Ok(acted),
        Err(Stop::Product(error)) => Ok(Answer::error(&error).into()),
        Err(Stop::Case(why)) => Err(why),
    }
}

async fn try_act<B: Backend>(
    backend: &B,
    target: &Target,
    operation: &Operation,
    tokens: &Tokens,
) -> Result<Acted, Stop> {
    let key = || ScopedKey::new(&target.scope, &target.key);
    match operation {
        Operation::Begin {
            attempt,
            fingerprint,
            lease,
            retention,
            policy,
            wait,
            result_hint,
            checkpoint_hint,
        } => {
            let request = Begin {
                fingerprint: fingerprint.fingerprint()??,
                attempt_id: value::attempt(attempt)?,
                lease: Millis::new(*lease),
                retention: Millis::new(*retention),
                policy: match policy {
                    PolicyWord::Takeover => Policy::Takeover,
                    PolicyWord::InDoubt => Policy::InDoubt,
                },
                wait: Millis::new(*wait),
                result_hint: *result_hint,
                checkpoint_hint: *checkpoint_hint,
            };
            begin(backend, key()?, attempt, &request).await
        }
        Operation::Complete {
            token,
            fence,
            attempt,
            status,
            metadata,
            body,
            declined,
            fingerprint,
        } => {
            let (metadata, body) = (encoded(metadata)?, body.bytes()?);
            let request = Complete {
                token: value::token(token, fence.as_ref(), attempt.as_deref(), tokens)?,
                result: result(*status, &metadata, &body, *declined),
                fingerprint: named(fingerprint.as_ref())?,
            };
            Ok(Answer::from(&backend.complete(key()?, &request).await?).into())
        }
        Operation::Abandon { token, fence, attempt, certainty } => {
            let request = Abandon {
                token: value::token(token, fence.as_ref(), attempt.as_deref(), tokens)?,
                certainty: match certainty {
                    CertaintyWord::NotDone => Certainty::NotDone,
                    CertaintyWord::InDoubt => Certainty::InDoubt,
                },
            };
            Ok(Answer::outcome(backend.abandon(key()?, &request).await?.name()).into())
        }
        Operation::Renew { token, fence, attempt, lease, fingerprint } => {
            let request = Renew {
                token: value::token(token, fence.as_ref(), attempt.as_deref(), tokens)?,
                lease: Millis::new(*lease),
                fingerprint: named(fingerprint.as_ref())?,
            };
            Ok(Answer::from(&backend.renew(key()?, &request).await?).into())
        }
        Operation::Checkpoint { token, fence, attempt, ordinal, bytes } => {
            let request = SaveCheckpoint {
                token: value::token(token, fence.as_ref(), attempt.as_deref(), tokens)?,
                ordinal: *ordinal,
                bytes: &bytes.bytes()?,
            };
            Ok(Answer::from(&backend.checkpoint(key()?, &request).await?).into())
        }
        Operation::Get { wait } => {
            let request = Get { wait: Millis::new(*wait) };
            Ok(Answer::from(&backend.get(key()?, &request).await?).into())
        }
        Operation::Resolve {
            fence,
            doubt_number,
            verdict,
            status,
            metadata,
            body,
            declined,
            fingerprint,
        } => {
            let (metadata, body) = (encoded(metadata)?, body.bytes()?);
            let verdict = match verdict {
                VerdictWord::NeverDone => Verdict::NeverDone,
                VerdictWord::Completed => Verdict::Completed {
                    result: result(*status, &metadata, &body, *declined),
                    fingerprint: named(fingerprint.as_ref())?,
                },
            };
            let fence = fence.fence(tokens)?;
            let request = Resolve { fence, doubt_number: *doubt_number, verdict };
            Ok(Answer::outcome(backend.resolve(key()?, &request).await?.name()).into())
        }
        Operation::Forget { fence } => {
            let request = Forget { fence: fence.fence(tokens)? };
            Ok(Answer::outcome(backend.forget(key()?, &request).await?.name()).into())
        }
        Operation::List { state, older_than, entries_max } => {
            let state = state.map(|state| match state {
                StateWord::Reserved => StateName::Reserved,
                StateWord::InDoubt => StateName::InDoubt,
                StateWord::Completed => StateName::Completed,
            });
            let older_than = older_than.map(Millis::new);
            list(
                backend,
                ListQuery { state, older_than, entries_max: *entries_max, ..Default::default() },
            )
            .await
        }
        Operation::Stats {} => Ok(Answer::from(&backend.stats().await?).into()),
        // The port has no ping; a round trip is one.
        Operation::Ping {} => {
            backend.stats().await.map(|_| Answer::default().into()).map_err(Stop::from)
        }
    }
}

async fn begin<B: Backend>(
    backend: &B,
    key: ScopedKey<'_>,
    label: &str,
    request: &Begin,
) -> Result<Acted, Stop> {
    let outcome = backend.begin(key, request).await?;
    let token = match &outcome {
        BeginOutcome::Acquired(acquired) => {
            check_own(acquired.token, request.attempt_id)?;
            Some((label.to_owned(), acquired.token))
        }
        _ => None,
    };
    Ok(Acted { answer: Answer::from(&outcome), token })
}

/// A token proves the attempt that asked for it, never another (S3).
fn check_own(token: Token, asked: AttemptId) -> Result<(), String> {
    if token.attempt_id == asked { Ok(()) } else { Err("acquired for another attempt id".into()) }
}

/// Follows the pages to the last.
async fn list<B: Backend>(backend: &B, mut query: ListQuery) -> Result<Acted, Stop> {
    const PAGES_MAX: usize = 1_000;
    let mut entries = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = backend.list(&query).await?;
        if page.entries.len() > usize::from(query.entries_max) {
            return Err(Stop::Case(format!("a page of {} entries", page.entries.len())));
        }
        entries.extend(page.entries);
        match page.next {
            Some(next) => query.cursor = next,
            None => return Ok(Answer::from(entries.as_slice()).into()),
        }
    }
    Err(Stop::Case("a list without a last page".into()))
}

fn named(fingerprint: Option<&FingerprintText>) -> Result<Option<Digest>, Stop> {
    match fingerprint {
        Some(fingerprint) => Ok(Some(fingerprint.digest()??)),
        None => Ok(None),
    }
}

fn result<'a>(status: u16, metadata: &'a [u8], body: &'a [u8], declined: bool) -> ResultRef<'a> {
    let body = if declined { Body::NotKept(NotKept::Declined) } else { Body::Kept(body) };
    StoredResult { status, metadata, body }
}

/// By hand and not through `MetadataBuf`, which refuses what a hostile peer may send.
fn encoded(pairs: &[(Octets, Octets)]) -> Result<Vec<u8>, String> {
    let mut encoded = Vec::new();
    for (name, value) in pairs {
        let (name, value) = (name.bytes()?, value.bytes()?);
        for size in [name.len(), value.len()] {
            let size = u16::try_from(size).map_err(|_| format!("{size} bytes in a pair"))?;
            encoded.extend_from_slice(&size.to_le_bytes());
        }
        encoded.extend_from_slice(&name);
        encoded.extend_from_slice(&value);
    }
    Ok(encoded)
}
