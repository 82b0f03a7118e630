//! The floor's dialect: the lengths of Onceward's own requests and replies, and nothing in them.

use std::time::Duration;

use onceward_bench::engine::Fault;
use onceward_bench::load::{
    Answer, Ask, Decoded, Dialect, FINGERPRINT_BYTES, Grant, KEY_BYTES, Known, OncewardDialect,
    Terms,
};
use onceward_core::{
    Acquired, AttemptId, BeginOutcome, Body, CompleteOutcome, Fence, Millis, Replay, StoredResult,
    Token,
};
use onceward_proto::{ServerConfig, ServerConn};

use super::InOrder;
use crate::servers::echo::{MESSAGE_BYTES_MAX, REPLY_HEADER_BYTES, REQUEST_HEADER_BYTES};

/// Lengths of Onceward's frames where the value is empty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Lengths {
    pub(super) begin: usize,
    pub(super) complete: usize,
    pub(super) acquired: usize,
    pub(super) completed: usize,
    pub(super) replay: usize,
}

impl Lengths {
    /// Measured on the real encoders.
    pub(super) fn measure(terms: Terms) -> Result<Self, Fault> {
        let mut dialect = OncewardDialect::new("default", b"", terms);
        let (key, fingerprint) = (&[b'k'; KEY_BYTES], &[7; FINGERPRINT_BYTES]);
        let mut request = |ask: &Ask<'_>| -> Result<usize, Fault> {
            let mut out = Vec::new();
            dialect.encode(ask, 0, &mut out)?;
            Ok(out.len())
        };
        let begin = request(&Ask::Begin {
            key,
            attempt: &[1; 16],
            fingerprint,
            wait: Duration::ZERO,
            result_bytes: 0,
            known: Known::New,
        })?;
        let grant = Grant { fence: 1, attempt: [1; 16] };
        let complete = request(&Ask::Complete { key, grant, fingerprint, value: b"" })?;
        let replies = ServerConn::new(&ServerConfig::default()).replies();
        let begun = |outcome: &BeginOutcome<&[u8]>| {
            let mut out = Vec::new();
            replies.begin(1, outcome, &mut out);
            out.len()
        };
        let fence = Fence::new(1).ok_or("1 is no fence")?;
        let time = Millis::new(1);
        let acquired = begun(&BeginOutcome::Acquired(Acquired {
            token: Token { fence, attempt_id: AttemptId::from_bytes([1; 16]) },
            attempt_number: 1,
            checkpoint: None,
            lease_left: time,
            retention_left: time,
        }));
        let replay = begun(&BeginOutcome::Replay(Replay {
            result: StoredResult { status: 201, metadata: &[][..], body: Body::Kept(&[]) },
            age: time,
            attempt_number: 1,
            retention_left: time,
        }));
        let mut completed = Vec::new();
        replies.complete(1, CompleteOutcome::Completed { not_kept: None }, &mut completed);
        Ok(Self { begin, complete, acquired, completed: completed.len(), replay })
    }
}

/// One connection. It moves the bytes of mixes `first` and `replay`; where nobody knows what the
/// answer will be, nobody knows its length.
#[derive(Debug)]
pub struct EchoDialect {
    lengths: Lengths,
    asked: InOrder<()>,
}

impl EchoDialect {
    /// A connection on which nothing was sent.
    ///
    /// # Errors
    /// Onceward's encoders refuse a sample.
    pub fn new(terms: Terms) -> Result<Self, Fault> {
        Ok(Self { lengths: Lengths::measure(terms)?, asked: InOrder::default() })
    }

    /// Another connection.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { lengths: self.lengths, asked: InOrder::default() }
    }
}

/// What pads requests.
const PADDING: [u8; 4096] = [b'.'; 4096];

impl Dialect for EchoDialect {
    const WAITS: bool = false;
    const TELLS_MISMATCH: bool = false;
    const TELLS_IN_PROGRESS: bool = false;

    fn handshake(&mut self, _: &mut Vec<u8>) {}

    fn greeted(&mut self, _: &[u8]) -> Result<Option<usize>, Fault> {
        Ok(Some(0))
    }

    fn encode(&mut self, ask: &Ask<'_>, slot: u32, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Lengths { begin, complete, acquired, completed, replay } = self.lengths;
        let (request, reply, mut padding) = match ask {
            Ask::Begin { known: Known::Stored, result_bytes, .. } => {
                (begin, replay + result_bytes, &PADDING[..])
            }
            Ask::Begin { .. } => (begin, acquired, &PADDING[..]),
            Ask::Complete { value, .. } => (complete + value.len(), completed, *value),
        };
        if request > MESSAGE_BYTES_MAX || reply > MESSAGE_BYTES_MAX {
            return Err(format!("echo moves messages of up to {MESSAGE_BYTES_MAX} bytes").into());
        }
        let end = out.len() + request;
        out.extend_from_slice(&(request as u32).to_le_bytes());
        out.extend_from_slice(&(reply as u32).to_le_bytes());
        while out.len() < end {
            let size = padding.len().min(end - out.len());
            out.extend_from_slice(&padding[..size]);
            padding = &PADDING;
        }
        self.asked.asked(slot, ());
        Ok(())
    }

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Option<Decoded<'a>>, Fault> {
        let Some(length) = input.first_chunk::<REPLY_HEADER_BYTES>() else { return Ok(None) };
        let consumed = u32::from_le_bytes(*length) as usize;
        if !(REPLY_HEADER_BYTES..=MESSAGE_BYTES_MAX).contains(&consumed) {
            return Err("the server answered with a length that nobody asked for".into());
        }
        if input.len() < consumed {
            return Ok(None);
        }
        let (slot, ()) = self.asked.next()?;
        self.asked.answered();
        Ok(Some(Decoded { consumed, slot, answer: Answer::Moved }))
    }
}

// Padding must be able to follow any header.
const _: () = assert!(REQUEST_HEADER_BYTES == 2 * size_of::<u32>());
