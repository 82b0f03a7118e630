//! A caller's side of its connections: questions into frames, frames into answers.

use onceward_core::{
    Abandon, AttemptId, Begin, Body, Certainty, Complete, CompleteOutcome, Forget, Get, Millis,
    Namespace, NotKept, Policy, Renew, Resolve, ResultRef, SaveCheckpoint, ScopedKey, StoredResult,
    Verdict,
};
use onceward_proto::{ClientConfig, ClientConn, ErrorCode, Hello, Received, Reply, Request};

use super::content;
use super::question::Question;
use crate::call::{Asked, Told};
use crate::outcomes;

/// One connection of one caller to one namespace, for as long as the server lives.
#[derive(Debug)]
pub(crate) struct Line {
    conn: ClientConn,
}

/// A reply, read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    /// The connection is open.
    Welcome,
    /// To the request of that number; `None` if nothing may be concluded.
    Told(u64, Option<Told>),
    /// The server broke the protocol.
    Broken,
}

impl Line {
    /// A connection, and what is sent on it first.
    pub(crate) fn open(namespace: Namespace<'_>) -> (Self, Vec<u8>) {
        let mut bytes = Vec::new();
        let mut conn = ClientConn::new(&ClientConfig::default());
        conn.hello(&Hello::new(namespace, b""), &mut bytes);
        (Self { conn }, bytes)
    }

    /// The question as a frame, and its number. `None` if the connection cannot carry it.
    pub(crate) fn ask(&mut self, key: u32, question: &Question) -> Option<(u64, Vec<u8>)> {
        let mut bytes = Vec::new();
        let name = format!("key-{key}");
        let key_of = ScopedKey::new(b"simulation", name.as_bytes()).ok()?;
        let number =
            with_request(key, key_of, question, |request| self.conn.request(&request, &mut bytes));
        Some((number.ok()?, bytes))
    }

    /// Reads what has arrived: one frame.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Answer {
        match self.conn.next(bytes) {
            Ok(Some((Received::Reply { reply: Reply::Welcome(_), .. }, _))) => Answer::Welcome,
            Ok(Some((Received::Reply { correlation, reply }, _))) => {
                Answer::Told(correlation, told(&reply))
            }
            _ => Answer::Broken,
        }
    }
}

fn with_request<T>(
    key: u32,
    name: ScopedKey<'_>,
    question: &Question,
    send: impl FnOnce(Request<'_>) -> T,
) -> T {
    match question.asked {
        Asked::Begin { attempt, print, lease, retention, in_doubt } => {
            let begin = Begin {
                lease: Millis::from(lease),
                retention: Millis::from(retention),
                policy: if in_doubt { Policy::InDoubt } else { Policy::Takeover },
                wait: Millis::from(question.wait),
                checkpoint_hint: 1_024,
                result_hint: Some(content::BODY_BYTES_MAX),
                ..Begin::new(print.fingerprint(), AttemptId::from_bytes(attempt.to_le_bytes()))
            };
            send(Request::Begin { key: name, begin })
        }
        Asked::Complete { owner, print, .. } => {
            let result = content::result(key, owner.attempt, question.variant);
            let (token, fingerprint) = (owner.token(), print.map(outcomes::digest));
            let complete = Complete { token, result: borrowed(&result), fingerprint };
            send(Request::Complete { key: name, complete })
        }
        Asked::Renew { owner, lease, print } => {
            let renew = Renew {
                token: owner.token(),
                lease: Millis::from(lease),
                fingerprint: print.map(outcomes::digest),
            };
            send(Request::Renew { key: name, renew })
        }
        Asked::Abandon { owner, in_doubt } => {
            let certainty = if in_doubt { Certainty::InDoubt } else { Certainty::NotDone };
            send(Request::Abandon {
                key: name,
                abandon: Abandon { token: owner.token(), certainty },
            })
        }
        Asked::Checkpoint { owner, ordinal, .. } => {
            let bytes = content::checkpoint(owner.attempt, ordinal);
            let checkpoint = SaveCheckpoint { token: owner.token(), ordinal, bytes: &bytes };
            send(Request::Checkpoint { key: name, checkpoint })
        }
        Asked::Get => {
            send(Request::Get { key: name, get: Get { wait: Millis::from(question.wait) } })
        }
        Asked::Resolve { fence: judged, doubt, result, print } => {
            let stored = content::result(key, u128::from(judged), question.variant);
            let verdict = match result {
                Some(_) => Verdict::Completed {
                    result: borrowed(&stored),
                    fingerprint: print.map(outcomes::digest),
                },
                None => Verdict::NeverDone,
            };
            let resolve = Resolve { fence: outcomes::fence(judged), doubt_number: doubt, verdict };
            send(Request::Resolve { key: name, resolve })
        }
        Asked::Forget { fence: judged } => {
            send(Request::Forget { key: name, forget: Forget { fence: outcomes::fence(judged) } })
        }
    }
}

fn borrowed(result: &StoredResult<Vec<u8>>) -> ResultRef<'_> {
    StoredResult {
        status: result.status,
        metadata: &result.metadata,
        body: match &result.body {
            Body::Kept(body) => Body::Kept(body),
            Body::NotKept(why) => Body::NotKept(*why),
        },
    }
}

/// `None`: nothing may be concluded.
fn told(reply: &Reply<'_>) -> Option<Told> {
    let digest_of = |result: &StoredResult<&[u8]>| Some(content::digest_of_shown(result));
    Some(match reply {
        Reply::Begin(outcome) => Told::of_begin(outcome, digest_of),
        Reply::Get(outcome) => Told::of_get(outcome, digest_of),
        // There is room for all here.
        Reply::Complete(CompleteOutcome::Completed { not_kept: Some(NotKept::Capacity) }) => {
            Told::Strange
        }
        Reply::Complete(outcome) => (*outcome).into(),
        Reply::Renew(outcome) => (*outcome).into(),
        Reply::Abandon(outcome) => (*outcome).into(),
        Reply::Checkpoint(outcome) => (*outcome).into(),
        Reply::Resolve(outcome) => (*outcome).into(),
        Reply::Forget(outcome) => (*outcome).into(),
        Reply::Error(error) if error.code == ErrorCode::Unavailable => return None,
        _ => Told::Strange,
    })
}
