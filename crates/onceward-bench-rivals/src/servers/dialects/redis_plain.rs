//! Redis and Valkey as they are mostly used for this: `SET NX`, then `SET XX`.
//!
//! There is no fingerprint, no fence and no owner: whoever comes late overwrites the result of
//! whoever took over, and another payload under the same key gets the first one's result.

use onceward_bench::engine::Fault;
use onceward_bench::load::{Answer, Ask, Decoded, Dialect, Grant, Known, Terms};

use super::resp::{self, Reply};
use super::{InOrder, PENDING};

/// One connection.
#[derive(Debug)]
pub struct RedisPlainDialect {
    set: Vec<u8>,
    set_or_get: Vec<u8>,
    get: Vec<u8>,
    /// What follows the key in a claim, and in a claim that fetches.
    claim: Vec<u8>,
    claim_or_get: Vec<u8>,
    /// What follows the value.
    complete: Vec<u8>,
    asked: InOrder<Asked>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asked {
    Claim,
    ClaimOrGet,
    Get,
    Complete,
}

impl RedisPlainDialect {
    /// A connection on which nothing was sent.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        let lease = terms.lease.as_millis().to_string();
        let retention = terms.retention.as_millis().to_string();
        Self {
            set: resp::head(6, &[b"SET"]),
            set_or_get: resp::head(7, &[b"SET"]),
            get: resp::head(2, &[b"GET"]),
            claim: resp::tail(&[PENDING, b"NX", b"PX", lease.as_bytes()]),
            claim_or_get: resp::tail(&[PENDING, b"NX", b"GET", b"PX", lease.as_bytes()]),
            complete: resp::tail(&[b"XX", b"PX", retention.as_bytes()]),
            asked: InOrder::default(),
        }
    }
}

impl Dialect for RedisPlainDialect {
    const WAITS: bool = false;
    const TELLS_MISMATCH: bool = false;
    const TELLS_IN_PROGRESS: bool = true;

    fn handshake(&mut self, _: &mut Vec<u8>) {}

    fn greeted(&mut self, _: &[u8]) -> Result<Option<usize>, Fault> {
        Ok(Some(0))
    }

    fn encode(&mut self, ask: &Ask<'_>, slot: u32, out: &mut Vec<u8>) -> Result<(), Fault> {
        match ask {
            Ask::Begin { key, known, .. } => {
                // What the caller expects decides which words are cheapest.
                let (asked, head, tail) = match known {
                    Known::New => (Asked::Claim, &self.set, &self.claim[..]),
                    Known::Stored => (Asked::Get, &self.get, &[][..]),
                    Known::Nothing => (Asked::ClaimOrGet, &self.set_or_get, &self.claim_or_get[..]),
                };
                out.extend_from_slice(head);
                resp::push_bulk(*key, out);
                out.extend_from_slice(tail);
                self.asked.asked(slot, asked);
            }
            Ask::Complete { key, value, .. } => {
                out.extend_from_slice(&self.set);
                resp::push_bulk(*key, out);
                resp::push_bulk(value, out);
                out.extend_from_slice(&self.complete);
                self.asked.asked(slot, Asked::Complete);
            }
        }
        Ok(())
    }

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Option<Decoded<'a>>, Fault> {
        let Some((reply, consumed)) = resp::reply(input)? else { return Ok(None) };
        let (slot, asked) = self.asked.next()?;
        self.asked.answered();
        let answer = match (asked, reply) {
            (_, Reply::Error(word)) => Answer::Error(word),
            (Asked::Claim, Reply::Simple(b"OK")) | (Asked::ClaimOrGet, Reply::Nil) => {
                Answer::Acquired(Grant::default())
            }
            (Asked::Claim, Reply::Nil) => Answer::Other("taken"),
            (Asked::Get | Asked::ClaimOrGet, Reply::Bulk(value)) if value == PENDING => {
                Answer::InProgress
            }
            (Asked::Get | Asked::ClaimOrGet, Reply::Bulk(value)) => Answer::Replay(value),
            (Asked::Get, Reply::Nil) => Answer::Other("absent"),
            (Asked::Complete, Reply::Simple(b"OK")) => Answer::Completed,
            (Asked::Complete, Reply::Nil) => Answer::Other("gone"),
            _ => return Err("the server answered with something that was not asked".into()),
        };
        Ok(Some(Decoded { consumed, slot, answer }))
    }
}
