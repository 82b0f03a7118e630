//! A caller's side of its connections: questions into frames, frames into answers.

use onceward_core::{
    Abandon, AbandonOutcome, AttemptId, Begin, BeginOutcome, Body, Certainty, CheckpointOutcome,
    Complete, CompleteOutcome, Digest, Fence, Fingerprint, Forget, ForgetOutcome, Get, GetOutcome,
    Millis, Namespace, NotKept, Policy, Renew, RenewOutcome, Resolve, ResolveOutcome, ResultRef,
    SaveCheckpoint, ScopedKey, StoredResult, Token, Verdict,
};
use onceward_proto::{ClientConfig, ClientConn, ErrorCode, Hello, Received, Reply, Request};

use super::content;
use super::question::Question;
use crate::call::{Asked, Owner, Print, Told, digest_of_bytes};

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
                ..Begin::new(fingerprint(print), AttemptId::from_bytes(attempt.to_le_bytes()))
            };
            send(Request::Begin { key: name, begin })
        }
        Asked::Complete { owner, print, .. } => {
            let result = content::result(key, owner.attempt, question.variant);
            let (token, fingerprint) = (token(owner), print.map(digest));
            let complete = Complete { token, result: borrowed(&result), fingerprint };
            send(Request::Complete { key: name, complete })
        }
        Asked::Renew { owner, lease, print } => {
            let renew = Renew {
                token: token(owner),
                lease: Millis::from(lease),
                fingerprint: print.map(digest),
            };
            send(Request::Renew { key: name, renew })
        }
        Asked::Abandon { owner, in_doubt } => {
            let certainty = if in_doubt { Certainty::InDoubt } else { Certainty::NotDone };
            send(Request::Abandon {
                key: name,
                abandon: Abandon { token: token(owner), certainty },
            })
        }
        Asked::Checkpoint { owner, ordinal, .. } => {
            let bytes = content::checkpoint(owner.attempt, ordinal);
            let checkpoint = SaveCheckpoint { token: token(owner), ordinal, bytes: &bytes };
            send(Request::Checkpoint { key: name, checkpoint })
        }
        Asked::Get => {
            send(Request::Get { key: name, get: Get { wait: Millis::from(question.wait) } })
        }
        Asked::Resolve { fence: judged, doubt, result, print } => {
            let stored = content::result(key, u128::from(judged), question.variant);
            let verdict = match result {
                Some(_) => {
                    Verdict::Completed { result: borrowed(&stored), fingerprint: print.map(digest) }
                }
                None => Verdict::NeverDone,
            };
            let resolve = Resolve { fence: fence(judged), doubt_number: doubt, verdict };
            send(Request::Resolve { key: name, resolve })
        }
        Asked::Forget { fence: judged } => {
            send(Request::Forget { key: name, forget: Forget { fence: fence(judged) } })
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

fn fence(fence: u64) -> Fence {
    Fence::new(fence).expect("a fence that was shown")
}

fn token(owner: Owner) -> Token {
    let attempt_id = AttemptId::from_bytes(owner.attempt.to_le_bytes());
    Token { fence: fence(owner.fence), attempt_id }
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

/// `None`: nothing may be concluded.
fn told(reply: &Reply<'_>) -> Option<Told> {
    Some(match reply {
        Reply::Begin(outcome) => of_begin(outcome),
        Reply::Get(outcome) => of_get(outcome),
        Reply::Complete(outcome) => match outcome {
            // There is room for all here.
            CompleteOutcome::Completed { not_kept: Some(NotKept::Capacity) } => Told::Strange,
            CompleteOutcome::Completed { .. } => Told::Completed,
            CompleteOutcome::AlreadyCompleted { .. } => Told::AlreadyCompleted,
            CompleteOutcome::Conflict => Told::Conflict,
            CompleteOutcome::Mismatch => Told::Mismatch,
            CompleteOutcome::NeedFingerprint => Told::NeedFingerprint,
            CompleteOutcome::Fenced => Told::Fenced,
            CompleteOutcome::Gone => Told::Gone,
        },
        Reply::Renew(outcome) => match outcome {
            RenewOutcome::Renewed { .. } => Told::Renewed,
            RenewOutcome::Mismatch => Told::Mismatch,
            RenewOutcome::Conflict => Told::Conflict,
            RenewOutcome::Fenced => Told::Fenced,
            RenewOutcome::Gone => Told::Gone,
        },
        Reply::Abandon(outcome) => match outcome {
            AbandonOutcome::Abandoned => Told::Abandoned,
            AbandonOutcome::Conflict => Told::Conflict,
            AbandonOutcome::Fenced => Told::Fenced,
            AbandonOutcome::Gone => Told::Gone,
        },
        Reply::Checkpoint(outcome) => match *outcome {
            CheckpointOutcome::Saved { ordinal } => Told::Saved { ordinal },
            CheckpointOutcome::Refused { .. } => Told::Refused,
            CheckpointOutcome::NeedFingerprint => Told::NeedFingerprint,
            CheckpointOutcome::Conflict => Told::Conflict,
            CheckpointOutcome::Fenced => Told::Fenced,
            CheckpointOutcome::Gone => Told::Gone,
        },
        Reply::Resolve(outcome) => match outcome {
            ResolveOutcome::Resolved => Told::Resolved,
            ResolveOutcome::InProgress => Told::InProgress,
            ResolveOutcome::Mismatch => Told::Mismatch,
            ResolveOutcome::NeedFingerprint => Told::NeedFingerprint,
            ResolveOutcome::Conflict => Told::Conflict,
            ResolveOutcome::Fenced => Told::Fenced,
            ResolveOutcome::Gone => Told::Gone,
        },
        Reply::Forget(outcome) => match outcome {
            ForgetOutcome::Forgotten => Told::Forgotten,
            ForgetOutcome::InProgress => Told::InProgress,
            ForgetOutcome::Fenced => Told::Fenced,
            ForgetOutcome::Gone => Told::Gone,
        },
        Reply::Error(error) if error.code == ErrorCode::Unavailable => return None,
        _ => Told::Strange,
    })
}

fn of_begin(outcome: &BeginOutcome<&[u8]>) -> Told {
    match outcome {
        BeginOutcome::Acquired(acquired) => Told::Acquired {
            fence: acquired.token.fence.get(),
            number: acquired.attempt_number,
            checkpoint: acquired
                .checkpoint
                .as_ref()
                .map(|held| (held.ordinal, digest_of_bytes(held.bytes))),
        },
        BeginOutcome::Replay(replay) => Told::Replay {
            result: content::digest_of_shown(&replay.result),
            number: replay.attempt_number,
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

fn of_get(outcome: &GetOutcome<&[u8]>) -> Told {
    let seen = match outcome {
        GetOutcome::Absent => Some(Told::Absent),
        GetOutcome::Reserved { attempt_number, fence, doubt_number, .. } => fence.map(|fence| {
            Told::Reserved { fence: fence.get(), number: *attempt_number, doubt: *doubt_number }
        }),
        GetOutcome::InDoubt { attempt_number, fence, doubt_number, .. } => fence.map(|fence| {
            Told::Doubted { fence: fence.get(), number: *attempt_number, doubt: *doubt_number }
        }),
        GetOutcome::Completed(completed) => completed.fence.map(|fence| Told::Done {
            result: content::digest_of_shown(&completed.result),
            fence: fence.get(),
            number: completed.attempt_number,
        }),
        GetOutcome::Expired { .. } => None,
    };
    seen.unwrap_or(Told::Strange)
}
