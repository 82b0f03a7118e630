//! Asks a daemon through the client, and puts the answer into few words.

use std::time::Duration;

use bytes::Bytes;
use onceward_client::{
    Abandon, AbandonOutcome, AttemptId, Begin, BeginOutcome, Body, Certainty, CheckpointOutcome,
    Client, ClientError, Complete, CompleteOutcome, Digest, Fence, Fingerprint, Forget,
    ForgetOutcome, Get, GetOutcome, Millis, NotKept, Policy, Renew, RenewOutcome, Resolve,
    ResolveOutcome, SaveCheckpoint, ScopedKey, StoredResult, Token, Verdict,
};

use crate::call::{Asked, Call, Owner, Print, Told, digest_of_bytes};
use crate::load::content::{Content, digest as digest_of_content};
use crate::moment::Moment;

/// One question, with the bytes that the record of it leaves out.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) asked: Asked,
    /// Of a completion or a verdict.
    pub(crate) content: Content,
    /// Of a checkpoint.
    pub(crate) bytes: Vec<u8>,
    pub(crate) wait: Duration,
}

impl Question {
    pub(crate) fn of(asked: Asked) -> Self {
        let content = Content::default();
        Self { asked, content, bytes: Vec::new(), wait: Duration::ZERO }
    }
}

/// Sends `question` once.
pub(crate) async fn ask(client: &Client, key: u32, question: Question) -> Call {
    let began = Moment::now();
    let told = told(client, key, &question).await;
    let ended = if told.is_some() { Moment::now() } else { Moment::NEVER };
    Call { key, began, ended, asked: question.asked, told }
}

async fn told(client: &Client, key: u32, question: &Question) -> Option<Told> {
    let name = format!("key-{key}");
    let scoped = ScopedKey::new("rig".as_bytes(), name.as_bytes()).ok()?;
    let answer = send(client, scoped, question).await;
    match answer {
        Ok(told) => Some(told),
        // Nothing may be concluded.
        Err(ClientError::Unavailable { .. }) => None,
        // The rig asks nothing that breaks a limit, and holds every right.
        Err(_) => Some(Told::Strange),
    }
}

async fn send(
    client: &Client,
    key: ScopedKey<'_>,
    question: &Question,
) -> Result<Told, ClientError> {
    let result = question.content.as_result();
    let not_kept = question.content.not_kept();
    Ok(match question.asked {
        Asked::Begin { attempt, print, lease, retention, in_doubt } => {
            let attempt = AttemptId::from_bytes(attempt.to_le_bytes());
            let begin = Begin {
                lease: millis(lease),
                retention: millis(retention),
                policy: if in_doubt { Policy::InDoubt } else { Policy::Takeover },
                wait: millis(question.wait),
                checkpoint_hint: 512,
                result_hint: Some(4_096),
                ..Begin::new(fingerprint(print), attempt)
            };
            of_begin(client.begin(key, &begin).await?)
        }
        Asked::Complete { owner, print, .. } => {
            let complete = Complete { token: token(owner), result, fingerprint: print.map(digest) };
            match client.complete(key, &complete).await? {
                CompleteOutcome::Completed { not_kept: why } if why == not_kept => Told::Completed,
                CompleteOutcome::AlreadyCompleted { not_kept: why } if why == not_kept => {
                    Told::AlreadyCompleted
                }
                CompleteOutcome::Completed { .. } | CompleteOutcome::AlreadyCompleted { .. } => {
                    Told::Strange
                }
                CompleteOutcome::Conflict => Told::Conflict,
                CompleteOutcome::Mismatch => Told::Mismatch,
                CompleteOutcome::NeedFingerprint => Told::NeedFingerprint,
                CompleteOutcome::Fenced => Told::Fenced,
                CompleteOutcome::Gone => Told::Gone,
            }
        }
        Asked::Renew { owner, lease, print } => {
            let renew =
                Renew { token: token(owner), lease: millis(lease), fingerprint: print.map(digest) };
            match client.renew(key, &renew).await? {
                RenewOutcome::Renewed { .. } => Told::Renewed,
                RenewOutcome::Mismatch => Told::Mismatch,
                RenewOutcome::Conflict => Told::Conflict,
                RenewOutcome::Fenced => Told::Fenced,
                RenewOutcome::Gone => Told::Gone,
            }
        }
        Asked::Abandon { owner, in_doubt } => {
            let certainty = if in_doubt { Certainty::InDoubt } else { Certainty::NotDone };
            match client.abandon(key, &Abandon { token: token(owner), certainty }).await? {
                AbandonOutcome::Abandoned => Told::Abandoned,
                AbandonOutcome::Conflict => Told::Conflict,
                AbandonOutcome::Fenced => Told::Fenced,
                AbandonOutcome::Gone => Told::Gone,
            }
        }
        Asked::Checkpoint { owner, ordinal, .. } => {
            let save = SaveCheckpoint { token: token(owner), ordinal, bytes: &question.bytes };
            match client.checkpoint(key, &save).await? {
                CheckpointOutcome::Saved { ordinal } => Told::Saved { ordinal },
                CheckpointOutcome::Refused { .. } => Told::Refused,
                CheckpointOutcome::NeedFingerprint => Told::NeedFingerprint,
                CheckpointOutcome::Conflict => Told::Conflict,
                CheckpointOutcome::Fenced => Told::Fenced,
                CheckpointOutcome::Gone => Told::Gone,
            }
        }
        Asked::Get => of_get(client.get(key, &Get { wait: millis(question.wait) }).await?),
        Asked::Resolve { fence, doubt, result: done, print } => {
            let verdict = match done {
                Some(_) => Verdict::Completed { result, fingerprint: print.map(digest) },
                None => Verdict::NeverDone,
            };
            let resolve = Resolve { fence: fence_of(fence), doubt_number: doubt, verdict };
            match client.resolve(key, &resolve).await? {
                ResolveOutcome::Resolved => Told::Resolved,
                ResolveOutcome::InProgress => Told::InProgress,
                ResolveOutcome::Mismatch => Told::Mismatch,
                ResolveOutcome::NeedFingerprint => Told::NeedFingerprint,
                ResolveOutcome::Conflict => Told::Conflict,
                ResolveOutcome::Fenced => Told::Fenced,
                ResolveOutcome::Gone => Told::Gone,
            }
        }
        Asked::Forget { fence } => {
            match client.forget(key, &Forget { fence: fence_of(fence) }).await? {
                ForgetOutcome::Forgotten => Told::Forgotten,
                ForgetOutcome::InProgress => Told::InProgress,
                ForgetOutcome::Fenced => Told::Fenced,
                ForgetOutcome::Gone => Told::Gone,
            }
        }
    })
}

fn of_begin(outcome: BeginOutcome<Bytes>) -> Told {
    match outcome {
        BeginOutcome::Acquired(acquired) => Told::Acquired {
            fence: acquired.token.fence.get(),
            number: acquired.attempt_number,
            checkpoint: acquired
                .checkpoint
                .map(|held| (held.ordinal, digest_of_bytes(&held.bytes))),
        },
        BeginOutcome::Replay(replay) => match digest_of(&replay.result) {
            Some(result) => Told::Replay { result, number: replay.attempt_number },
            None => Told::Strange,
        },
        BeginOutcome::InProgress { .. } => Told::InProgress,
        BeginOutcome::Mismatch => Told::Mismatch,
        BeginOutcome::NeedFingerprint => Told::NeedFingerprint,
        BeginOutcome::InDoubt { .. } => Told::InDoubt,
        BeginOutcome::Refused { .. } => Told::Refused,
        BeginOutcome::Gone => Told::Gone,
        BeginOutcome::Expired { .. } => Told::Strange,
    }
}

fn of_get(outcome: GetOutcome<Bytes>) -> Told {
    let seen = match outcome {
        GetOutcome::Absent => Some(Told::Absent),
        GetOutcome::Reserved { attempt_number: number, fence, doubt_number: doubt, .. } => {
            fence.map(|fence| Told::Reserved { fence: fence.get(), number, doubt })
        }
        GetOutcome::InDoubt { attempt_number: number, fence, doubt_number: doubt, .. } => {
            fence.map(|fence| Told::Doubted { fence: fence.get(), number, doubt })
        }
        GetOutcome::Completed(completed) => {
            let result = digest_of(&completed.result);
            result.zip(completed.fence).map(|(result, fence)| Told::Done {
                result,
                fence: fence.get(),
                number: completed.attempt_number,
            })
        }
        GetOutcome::Expired { .. } => None,
    };
    seen.unwrap_or(Told::Strange)
}

/// `None` for a body that is not kept for another reason than that its owner declined: every result
/// here has room.
fn digest_of(result: &StoredResult<Bytes>) -> Option<u64> {
    let body = match &result.body {
        Body::Kept(body) => Some(body.as_ref()),
        Body::NotKept(NotKept::Declined) => None,
        Body::NotKept(_) => return None,
    };
    Some(digest_of_content(result.status, &result.metadata, body))
}

fn millis(time: Duration) -> Millis {
    Millis::new(time.as_millis() as u64)
}

fn fence_of(fence: u64) -> Fence {
    Fence::new(fence).expect("a fence that was shown")
}

fn token(owner: Owner) -> Token {
    Token {
        fence: fence_of(owner.fence),
        attempt_id: AttemptId::from_bytes(owner.attempt.to_le_bytes()),
    }
}

fn digest(print: u64) -> Digest {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&print.to_le_bytes());
    Digest::new(&bytes).expect("32 bytes")
}

fn fingerprint(print: Print) -> Fingerprint {
    match print {
        Print::Later => Fingerprint::Later,
        Print::Digest(print) => digest(print).into(),
    }
}
