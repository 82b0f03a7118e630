//! Asks a daemon through the client, and puts the answer into few words.

use std::time::Duration;

use bytes::Bytes;
use onceward_client::{
    Abandon, AttemptId, Begin, Body, Certainty, Client, ClientError, Complete, CompleteOutcome,
    Forget, Get, Millis, NotKept, Policy, Renew, Resolve, SaveCheckpoint, ScopedKey, StoredResult,
    Verdict,
};

use crate::call::{Asked, Call, Told};
use crate::load::content::{Content, digest as digest_of_content};
use crate::moment::Moment;
use crate::outcomes;

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
                ..Begin::new(print.fingerprint(), attempt)
            };
            Told::of_begin(&client.begin(key, &begin).await?, digest_of)
        }
        Asked::Complete { owner, print, .. } => {
            let complete =
                Complete { token: owner.token(), result, fingerprint: print.map(outcomes::digest) };
            match client.complete(key, &complete).await? {
                CompleteOutcome::Completed { not_kept: why }
                | CompleteOutcome::AlreadyCompleted { not_kept: why }
                    if why != not_kept =>
                {
                    Told::Strange
                }
                outcome => outcome.into(),
            }
        }
        Asked::Renew { owner, lease, print } => {
            let renew = Renew {
                token: owner.token(),
                lease: millis(lease),
                fingerprint: print.map(outcomes::digest),
            };
            client.renew(key, &renew).await?.into()
        }
        Asked::Abandon { owner, in_doubt } => {
            let certainty = if in_doubt { Certainty::InDoubt } else { Certainty::NotDone };
            client.abandon(key, &Abandon { token: owner.token(), certainty }).await?.into()
        }
        Asked::Checkpoint { owner, ordinal, .. } => {
            let save = SaveCheckpoint { token: owner.token(), ordinal, bytes: &question.bytes };
            client.checkpoint(key, &save).await?.into()
        }
        Asked::Get => {
            let get = Get { wait: millis(question.wait) };
            Told::of_get(&client.get(key, &get).await?, digest_of)
        }
        Asked::Resolve { fence, doubt, result: done, print } => {
            let verdict = match done {
                Some(_) => Verdict::Completed { result, fingerprint: print.map(outcomes::digest) },
                None => Verdict::NeverDone,
            };
            let resolve = Resolve { fence: outcomes::fence(fence), doubt_number: doubt, verdict };
            client.resolve(key, &resolve).await?.into()
        }
        Asked::Forget { fence } => {
            client.forget(key, &Forget { fence: outcomes::fence(fence) }).await?.into()
        }
    })
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
