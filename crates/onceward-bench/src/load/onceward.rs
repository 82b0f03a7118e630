//! Onceward's own dialect, over the protocol crate's frames.

use std::time::Duration;

use onceward_core::{
    AttemptId, Begin, BeginOutcome, Body, Complete, CompleteOutcome, Digest, Fence, Fingerprint,
    Millis, Namespace, Policy, ResultRef, ScopedKey, Token,
};
use onceward_proto::frame::{self, Direction};
use onceward_proto::{ClientConfig, ClientConn, Hello, Opcode, Received, Reply, Request};

use super::dialect::{Answer, Ask, Decoded, Dialect, Grant, Terms};
use crate::engine::Fault;

/// Status of every result.
const STATUS: u16 = 201;

/// One connection to an Onceward daemon.
///
/// The handshake is [`ClientConn`]'s. Requests and replies go past it: what it keeps about each
/// outstanding request is in the slots already, and a map of it would weigh more here than the
/// request. A correlation is a count of requests with the slot in its lowest bits, so that a reply to
/// an earlier request of a slot is not taken for one to the latest.
#[derive(Debug)]
pub struct OncewardDialect {
    namespace: String,
    credential: Vec<u8>,
    terms: Terms,
    conn: ClientConn,
    body_bytes_max: u32,
    requests: u64,
    /// The correlation that each slot waits for; zero if it waits for none.
    awaited: Vec<u64>,
}

const SLOT_BITS: u32 = 20;

impl OncewardDialect {
    /// A connection on which nothing was sent. A name that no namespace can have stands for the
    /// default one.
    #[must_use]
    pub fn new(namespace: &str, credential: &[u8], terms: Terms) -> Self {
        let conn = ClientConn::new(&ClientConfig::default());
        let body_bytes_max = conn.request_bytes_max();
        let (namespace, credential) = (namespace.to_owned(), credential.to_vec());
        let (requests, awaited) = (0, Vec::new());
        Self { namespace, credential, terms, conn, body_bytes_max, requests, awaited }
    }
}

const fn millis(length: Duration) -> Millis {
    Millis::new(length.as_millis() as u64)
}

/// What a begin asks the store, on the wire and in process alike.
///
/// # Errors
/// None for what the harness makes.
pub(super) fn begin(ask: &Ask<'_>, terms: &Terms) -> Result<Begin, Fault> {
    let Ask::Begin { attempt, fingerprint, wait, result_bytes, .. } = ask else {
        return Err("no begin".into());
    };
    Ok(Begin {
        fingerprint: Fingerprint::Digest(Digest::new(&fingerprint[..terms.fingerprint_bytes])?),
        attempt_id: AttemptId::from_bytes(**attempt),
        lease: millis(terms.lease),
        retention: millis(terms.retention),
        policy: Policy::Takeover,
        wait: millis(*wait),
        result_hint: Some(*result_bytes),
        checkpoint_hint: 0,
    })
}

/// The complete of a grant.
///
/// # Errors
/// The grant has no fence.
pub(super) fn complete<'a>(grant: Grant, value: &'a [u8]) -> Result<Complete<'a>, Fault> {
    let fence = Fence::new(grant.fence).ok_or("a grant without a fence")?;
    let token = Token { fence, attempt_id: AttemptId::from_bytes(grant.attempt) };
    Ok(Complete { token, result: ResultRef::of(STATUS, value), fingerprint: None })
}

pub(super) fn begun<'a>(outcome: &BeginOutcome<&'a [u8]>) -> Answer<'a> {
    match outcome {
        BeginOutcome::Acquired(acquired) => Answer::Acquired(Grant {
            fence: acquired.token.fence.get(),
            attempt: *acquired.token.attempt_id.as_bytes(),
        }),
        BeginOutcome::Replay(replay) => match replay.result.body {
            Body::Kept(body) if replay.result.status == STATUS => Answer::Replay(body),
            Body::Kept(_) => Answer::Other("a replay with another status"),
            Body::NotKept(_) => Answer::Other("a replay without a body"),
        },
        BeginOutcome::InProgress { .. } => Answer::InProgress,
        BeginOutcome::Mismatch => Answer::Mismatch,
        other => Answer::Other(other.name()),
    }
}

pub(super) fn ended(outcome: &CompleteOutcome) -> Answer<'static> {
    match outcome {
        CompleteOutcome::Completed { not_kept: None } => Answer::Completed,
        CompleteOutcome::Completed { not_kept: Some(_) } => Answer::Other("completed, not kept"),
        other => Answer::Other(other.name()),
    }
}

impl Dialect for OncewardDialect {
    const WAITS: bool = true;
    const TELLS_MISMATCH: bool = true;
    const TELLS_IN_PROGRESS: bool = true;

    fn handshake(&mut self, out: &mut Vec<u8>) {
        let namespace = Namespace::new(&self.namespace).unwrap_or(Namespace::DEFAULT);
        self.conn.hello(&Hello::new(namespace, &self.credential), out);
    }

    fn greeted(&mut self, input: &[u8]) -> Result<Option<usize>, Fault> {
        match self.conn.next(input)? {
            None => Ok(None),
            Some((Received::Reply { reply: Reply::Welcome(_), .. }, size)) => {
                self.body_bytes_max = self.conn.request_bytes_max();
                Ok(Some(size))
            }
            Some((Received::Reply { reply: Reply::Error(error), .. }, _))
            | Some((Received::Closing(error), _)) => Err(error.to_string().into()),
            Some(_) => Err("the server answered HELLO with something else".into()),
        }
    }

    fn encode(&mut self, ask: &Ask<'_>, slot: u32, out: &mut Vec<u8>) -> Result<(), Fault> {
        let request = match ask {
            Ask::Begin { key, .. } => {
                let key = ScopedKey::new(b"", *key)?;
                Request::Begin { key, begin: begin(ask, &self.terms)? }
            }
            Ask::Complete { key, grant, value, .. } => {
                let key = ScopedKey::new(b"", *key)?;
                Request::Complete { key, complete: complete(*grant, value)? }
            }
        };
        self.requests += 1;
        let correlation = (self.requests << SLOT_BITS) | u64::from(slot);
        let encoded = request.encode(correlation, self.body_bytes_max, out);
        encoded.map_err(|size| format!("a request of {size} bytes is over the frame limit"))?;
        let slot = slot as usize;
        if self.awaited.len() <= slot {
            self.awaited.resize(slot + 1, 0);
        }
        self.awaited[slot] = correlation;
        Ok(())
    }

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Option<Decoded<'a>>, Fault> {
        let decoded = frame::decode(input, Direction::Reply, self.body_bytes_max)?;
        let Some((frame, consumed)) = decoded else {
            return Ok(None);
        };
        let opcode = Opcode::from_u8(frame.opcode).unwrap_or(Opcode::Cancel);
        let answer = match Reply::decode(opcode, frame.body)? {
            Reply::Begin(outcome) => begun(&outcome),
            Reply::Complete(outcome) => ended(&outcome),
            Reply::Error(error) if frame.correlation == 0 => return Err(error.to_string().into()),
            Reply::Error(error) => Answer::Error(error.code.name()),
            _ => return Err("the server answered with something that was not asked".into()),
        };
        let slot = frame.correlation & ((1 << SLOT_BITS) - 1);
        match self.awaited.get_mut(slot as usize) {
            Some(awaited) if *awaited == frame.correlation => *awaited = 0,
            _ => return Err("the server answered what was not asked".into()),
        }
        Ok(Some(Decoded { consumed, slot: slot as u32, answer }))
    }
}
