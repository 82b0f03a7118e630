//! Redis and Valkey doing the whole job, in scripts: fingerprint, fence, owner, lease, retention.
//!
//! One packed string for each key is cheaper than a hash: a begin of a stored key is one `GET` and
//! one cut. A lease is the expiry of the pending record, so no script asks for the time; the price
//! is that with the lease the fingerprint goes, too. The complete compares the whole record of the
//! owner, fence included, in one comparison, and stores what the client packed.

use onceward_bench::engine::Fault;
use onceward_bench::load::{Answer, Ask, Decoded, Dialect, Grant, Terms};

use super::resp::{self, Reply};
use super::{InOrder, push_number};

const BEGIN: &str = include_str!("../lua/begin.lua");
const COMPLETE: &str = include_str!("../lua/complete.lua");
const FENCES: &[u8] = b"fences";

/// One connection.
#[derive(Debug)]
pub struct RedisLuaDialect {
    /// What comes before the key, once the server has told the scripts' names.
    begin: Vec<u8>,
    complete: Vec<u8>,
    /// Between key and fingerprint.
    fences: Vec<u8>,
    lease: Vec<u8>,
    retention: Vec<u8>,
    /// The digits of the fence being written.
    fence: Vec<u8>,
    asked: InOrder<Asked>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asked {
    Begin { attempt: [u8; 16] },
    Complete,
}

impl RedisLuaDialect {
    /// A connection on which nothing was sent.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            begin: Vec::new(),
            complete: Vec::new(),
            fences: resp::tail(&[FENCES]),
            lease: resp::tail(&[terms.lease.as_millis().to_string().as_bytes()]),
            retention: resp::tail(&[terms.retention.as_millis().to_string().as_bytes()]),
            fence: Vec::new(),
            asked: InOrder::default(),
        }
    }
}

/// Appends one argument that consists of parts.
fn push_joined(parts: [&[u8]; 4], out: &mut Vec<u8>) {
    out.push(b'$');
    push_number(parts.iter().map(|part| part.len() as u64).sum(), out);
    out.extend_from_slice(b"\r\n");
    for part in parts {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}

impl Dialect for RedisLuaDialect {
    const WAITS: bool = false;
    const TELLS_MISMATCH: bool = true;
    const TELLS_IN_PROGRESS: bool = true;

    fn handshake(&mut self, out: &mut Vec<u8>) {
        for script in [BEGIN, COMPLETE] {
            out.extend(resp::head(3, &[b"SCRIPT", b"LOAD", script.as_bytes()]));
        }
    }

    fn greeted(&mut self, input: &[u8]) -> Result<Option<usize>, Fault> {
        let name = |from: usize| match resp::reply(&input[from..])? {
            None => Ok(None),
            Some((Reply::Bulk(name), size)) => Ok(Some((name, from + size))),
            Some((Reply::Error(word), _)) => Err(format!("SCRIPT LOAD: {word}").into()),
            Some(_) => Err(Fault::from("SCRIPT LOAD was answered with something else")),
        };
        let Some((begin, size)) = name(0)? else { return Ok(None) };
        let Some((complete, size)) = name(size)? else { return Ok(None) };
        self.begin = resp::head(8, &[b"EVALSHA", begin, b"2"]);
        self.complete = resp::head(7, &[b"EVALSHA", complete, b"1"]);
        Ok(Some(size))
    }

    fn encode(&mut self, ask: &Ask<'_>, slot: u32, out: &mut Vec<u8>) -> Result<(), Fault> {
        match ask {
            Ask::Begin { key, attempt, fingerprint, .. } => {
                out.extend_from_slice(&self.begin);
                resp::push_bulk(*key, out);
                out.extend_from_slice(&self.fences);
                resp::push_bulk(*fingerprint, out);
                resp::push_bulk(*attempt, out);
                out.extend_from_slice(&self.lease);
                self.asked.asked(slot, Asked::Begin { attempt: **attempt });
            }
            Ask::Complete { key, grant, fingerprint, value } => {
                out.extend_from_slice(&self.complete);
                resp::push_bulk(*key, out);
                self.fence.clear();
                push_number(grant.fence, &mut self.fence);
                push_joined([b"P", *fingerprint, &grant.attempt, &self.fence], out);
                push_joined([b"C", *fingerprint, value, b""], out);
                out.extend_from_slice(&self.retention);
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
            (Asked::Begin { .. }, Reply::Bulk(value)) => Answer::Replay(value),
            (Asked::Begin { .. }, Reply::Integer(0)) => Answer::InProgress,
            (Asked::Begin { .. }, Reply::Integer(-1)) => Answer::Mismatch,
            (Asked::Begin { attempt }, Reply::Integer(fence)) => {
                let fence = u64::try_from(fence).map_err(|_| "a fence is below zero")?;
                Answer::Acquired(Grant { fence, attempt })
            }
            (Asked::Complete, Reply::Integer(1)) => Answer::Completed,
            (Asked::Complete, Reply::Integer(0)) => Answer::Other("fenced"),
            _ => return Err("the server answered with something that was not asked".into()),
        };
        Ok(Some(Decoded { consumed, slot, answer }))
    }
}
