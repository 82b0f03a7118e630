//! memcached's meta commands: an add, then a replace.
//!
//! There is no fingerprint, no fence and no owner. Where nothing is known of a key, `mg` with a
//! time to live creates it and tells the one who may fill it, which is as near as it comes.

use onceward_bench::engine::Fault;
use onceward_bench::load::{Answer, Ask, Decoded, Dialect, Grant, Known, Terms};

use super::{InOrder, PENDING, error_word, line, number, push_number};

/// One connection.
#[derive(Debug)]
pub struct MemcachedDialect {
    /// What follows the key in a claim, in a claim that fetches, and after a complete's length.
    claim: Vec<u8>,
    claim_or_get: Vec<u8>,
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

impl MemcachedDialect {
    /// A connection on which nothing was sent.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        let (lease, retention) = (terms.lease.as_secs().max(1), terms.retention.as_secs().max(1));
        let mut claim = format!(" {} T{lease} ME\r\n", PENDING.len()).into_bytes();
        claim.extend_from_slice(PENDING);
        claim.extend_from_slice(b"\r\n");
        Self {
            claim,
            claim_or_get: format!(" v N{lease}\r\n").into_bytes(),
            complete: format!(" T{retention} MR\r\n").into_bytes(),
            asked: InOrder::default(),
        }
    }
}

impl Dialect for MemcachedDialect {
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
                let (asked, command, rest) = match known {
                    Known::New => (Asked::Claim, b"ms ", &self.claim[..]),
                    Known::Stored => (Asked::Get, b"mg ", &b" v\r\n"[..]),
                    Known::Nothing => (Asked::ClaimOrGet, b"mg ", &self.claim_or_get[..]),
                };
                out.extend_from_slice(command);
                out.extend_from_slice(*key);
                out.extend_from_slice(rest);
                self.asked.asked(slot, asked);
            }
            Ask::Complete { key, value, .. } => {
                out.extend_from_slice(b"ms ");
                out.extend_from_slice(*key);
                out.push(b' ');
                push_number(value.len() as u64, out);
                out.extend_from_slice(&self.complete);
                out.extend_from_slice(value);
                out.extend_from_slice(b"\r\n");
                self.asked.asked(slot, Asked::Complete);
            }
        }
        Ok(())
    }

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Option<Decoded<'a>>, Fault> {
        let Some((head, start)) = line(input) else { return Ok(None) };
        let mut words = head.split(|byte| *byte == b' ');
        let code = words.next().unwrap_or_default();
        let (mut value, mut consumed, mut flags) = (&[][..], start, words);
        if code == b"VA" {
            let size = flags.next().and_then(number).and_then(|size| usize::try_from(size).ok());
            let end = start + size.ok_or("a value has no size")?;
            let Some(after) = input.get(end..end + 2) else { return Ok(None) };
            if after != b"\r\n" {
                return Err("a value is longer than it says".into());
            }
            (value, consumed) = (&input[start..end], end + 2);
        }
        let (slot, asked) = self.asked.next()?;
        self.asked.answered();
        let answer = match (asked, code) {
            (_, b"ERROR" | b"CLIENT_ERROR" | b"SERVER_ERROR") => Answer::Error(error_word(head)),
            (Asked::Claim, b"HD") => Answer::Acquired(Grant::default()),
            (Asked::Claim, b"NS") => Answer::Other("taken"),
            (Asked::Complete, b"HD") => Answer::Completed,
            (Asked::Complete, b"NS") => Answer::Other("gone"),
            (Asked::Get, b"EN") => Answer::Other("absent"),
            (Asked::Get, b"VA") if value == PENDING => Answer::InProgress,
            (Asked::Get, b"VA") => Answer::Replay(value),
            (Asked::ClaimOrGet, b"VA") => match flags.next() {
                Some(b"W") => Answer::Acquired(Grant::default()),
                Some(b"Z") => Answer::InProgress,
                _ if value == PENDING => Answer::InProgress,
                _ => Answer::Replay(value),
            },
            _ => return Err("the server answered with something that was not asked".into()),
        };
        Ok(Some(Decoded { consumed, slot, answer }))
    }
}
