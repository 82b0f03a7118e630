//! Replies that have not left yet.

use std::collections::VecDeque;
use std::io::IoSlice;

use onceward::ResultBody;
use onceward_core::Position;
use onceward_proto::Opcode;

/// Sent bytes at the front of a buffer that never runs empty are dropped above this size.
const SENT_BYTES_KEPT: usize = 64 * 1024;
/// Most parts of one write.
pub(crate) const PARTS_MAX: usize = 16;

/// A connection's encoded replies, and how far the journal must be synced before they may leave.
/// Large bodies are not copied behind what was encoded before them: they stay where they are, and
/// parts are written together.
///
/// Replies leave in order: those behind one that is held wait with it (S14). Without a journal every
/// position is zero and nothing is held.
///
/// Invariant: `sent <= limit()`, so of a held reply nothing has left, and another can take its place.
///
/// No `Debug`: replies carry results and tokens (S16).
pub(crate) struct Outbox<B = ResultBody> {
    bytes: Vec<u8>,
    /// How many of `bytes` have left.
    sent: usize,
    /// Bodies that are to leave between `bytes`, in order.
    bodies: VecDeque<Apart<B>>,
    /// Bytes of `bodies` that have not left.
    unsent_apart: usize,
    /// Replies encoded since the outbox was last empty.
    replies: u64,
    /// Where in `bytes` the latest reply begins.
    begun: usize,
    /// Replies that may not leave yet; apart, for idle connections and stores without a journal hold
    /// none.
    holding: Option<Box<Holding>>,
}

/// The replies that wait for the journal.
#[derive(Default)]
struct Holding {
    /// In order.
    replies: VecDeque<Held>,
    /// At least the position of each of them.
    rests_on: Position,
}

/// A reply that waits for the journal.
struct Held {
    /// Where in `bytes` it is.
    from: usize,
    to: usize,
    /// What must be synced before it may leave (S21).
    position: Position,
    /// Whom it answers.
    asked: Asked,
}

/// The request that a reply answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Asked {
    pub(crate) correlation: u64,
    pub(crate) opcode: Opcode,
}

struct Apart<B> {
    body: B,
    /// Where in `bytes` it belongs.
    at: usize,
    /// How much of it has left.
    sent: usize,
}

impl<B> Default for Outbox<B> {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            sent: 0,
            bodies: VecDeque::new(),
            unsent_apart: 0,
            replies: 0,
            begun: 0,
            holding: None,
        }
    }
}

impl<B: AsRef<[u8]>> Outbox<B> {
    /// Takes a buffer to encode into, unless it has one. Given back by [`Outbox::give_back`].
    pub(crate) fn lend(&mut self, buffer: &mut Vec<u8>) {
        if self.bytes.capacity() == 0 {
            std::mem::swap(&mut self.bytes, buffer);
        }
    }

    /// Gives the buffer to whoever has none, once all has left: then nothing is held.
    pub(crate) fn give_back(&mut self, buffer: &mut Vec<u8>) {
        if self.is_empty() && buffer.capacity() == 0 {
            std::mem::swap(&mut self.bytes, buffer);
        }
    }

    /// Where a reply is encoded.
    #[inline]
    pub(crate) fn encode_into(&mut self) -> &mut Vec<u8> {
        self.begun = self.bytes.len();
        &mut self.bytes
    }

    /// A body that belongs at a position of what was encoded, behind every one before.
    pub(crate) fn insert(&mut self, at: usize, body: B) {
        debug_assert!(self.sent <= at && at <= self.bytes.len());
        self.unsent_apart += body.as_ref().len();
        self.bodies.push_back(Apart { body, at, sent: 0 });
    }

    /// Notes that one reply has been encoded, which rests on nothing.
    #[inline]
    pub(crate) fn encoded(&mut self) {
        self.replies += 1;
    }

    /// Notes that one reply has been encoded, and what it rests on.
    #[inline]
    pub(crate) fn encoded_on(&mut self, position: Position, asked: Asked) {
        self.replies += 1;
        if position != Position(0) {
            self.hold(position, asked);
        }
    }

    fn hold(&mut self, position: Position, asked: Asked) {
        let holding = self.holding.get_or_insert_default();
        let (from, to) = (self.begun, self.bytes.len());
        holding.replies.push_back(Held { from, to, position, asked });
        holding.rests_on = holding.rests_on.max(position);
    }

    /// The first reply that may not leave yet.
    #[inline]
    fn first_held(&self) -> Option<&Held> {
        self.holding.as_ref().and_then(|holding| holding.replies.front())
    }

    /// Whether any reply is held.
    #[inline]
    pub(crate) fn holds(&self) -> bool {
        self.first_held().is_some()
    }

    /// Lets replies go that rest on no later position, up to the first that does. Gives what is to
    /// be synced for the rest, if any is held.
    pub(crate) fn release(&mut self, synced: Position) -> Option<Position> {
        let Holding { replies, rests_on } = &mut **self.holding.as_mut()?;
        while replies.front().is_some_and(|held| held.position <= synced) {
            replies.pop_front();
        }
        if replies.is_empty() {
            *rests_on = Position(0);
            return None;
        }
        Some(*rests_on)
    }

    /// Puts what `encode` says in place of each held reply that rests on more than `synced`, and
    /// lets all go.
    pub(crate) fn replace_held(
        &mut self,
        synced: Position,
        mut encode: impl FnMut(Asked, &mut Vec<u8>),
    ) {
        let old = std::mem::take(&mut self.bytes);
        let mut bodies = std::mem::take(&mut self.bodies).into_iter().peekable();
        // Copies `from..to`, with the bodies there; those of a reply that ended at `from` are given up
        // if it was `replaced`.
        let mut keep = |this: &mut Self, from: usize, to: usize, replaced: bool| {
            let start = this.bytes.len();
            this.bytes.extend_from_slice(&old[from..to]);
            while let Some(apart) = bodies.next_if(|apart| apart.at <= to) {
                if replaced && apart.at <= from {
                    this.unsent_apart -= apart.body.as_ref().len();
                } else {
                    this.bodies.push_back(Apart { at: start + apart.at - from, ..apart });
                }
            }
        };
        let (mut from, mut replaced) = (self.sent, false);
        let held = self.holding.take().unwrap_or_default().replies;
        for held in held.into_iter().filter(|held| held.position > synced) {
            keep(self, from, held.from, replaced);
            encode(held.asked, &mut self.bytes);
            (from, replaced) = (held.to, true);
        }
        keep(self, from, old.len(), replaced);
        self.sent = 0;
    }

    /// Where what may leave ends.
    fn limit(&self) -> usize {
        self.first_held().map_or(self.bytes.len(), |held| held.from)
    }

    /// Whether anything may leave now.
    #[inline]
    pub(crate) fn has_sendable(&self) -> bool {
        match self.first_held() {
            None => !self.is_empty(),
            Some(held) => {
                let body = self.bodies.front().is_some_and(|body| body.at <= held.from);
                self.sent < held.from || body
            }
        }
    }

    /// What may be written now, if it is in one part.
    pub(crate) fn sendable(&self) -> Option<&[u8]> {
        let limit = self.limit();
        let body = self.bodies.front().is_some_and(|body| body.at <= limit);
        (!body).then(|| &self.bytes[self.sent..limit])
    }

    /// What may be written now, part by part. Gives how many parts there are.
    pub(crate) fn sendable_parts<'o>(&'o self, parts: &mut [IoSlice<'o>; PARTS_MAX]) -> usize {
        let limit = self.limit();
        let mut count = 0;
        let mut add = |part: &'o [u8]| {
            let place = if part.is_empty() { None } else { parts.get_mut(count) };
            if let Some(place) = place {
                *place = IoSlice::new(part);
                count += 1;
            }
        };
        let mut from = self.sent;
        let mut bodies = self.bodies.iter().take_while(|body| body.at <= limit);
        for Apart { body, at, sent } in bodies.by_ref().take(PARTS_MAX) {
            add(&self.bytes[from..*at]);
            add(&body.as_ref()[*sent..]);
            from = *at;
        }
        if bodies.next().is_none() {
            add(&self.bytes[from..limit]);
        }
        count
    }

    /// Notes that `size` bytes have left. Gives the replies that are gone for certain.
    pub(crate) fn left(&mut self, size: usize) -> u64 {
        let mut size = size;
        while let Some(first) = self.bodies.front_mut() {
            let before = size.min(first.at - self.sent);
            self.sent += before;
            size -= before;
            let part = size.min(first.body.as_ref().len() - first.sent);
            first.sent += part;
            self.unsent_apart -= part;
            size -= part;
            if self.sent < first.at || first.sent < first.body.as_ref().len() {
                return 0;
            }
            self.bodies.pop_front();
        }
        self.sent += size;
        if self.sent < self.bytes.len() {
            if self.sent >= SENT_BYTES_KEPT && self.sent * 2 >= self.bytes.len() {
                self.bytes.drain(..self.sent);
                let holding = self.holding.iter_mut();
                for held in holding.flat_map(|holding| &mut holding.replies) {
                    held.from -= self.sent;
                    held.to -= self.sent;
                }
                self.sent = 0;
            }
            return 0;
        }
        self.bytes.clear();
        self.sent = 0;
        std::mem::take(&mut self.replies)
    }

    /// Bytes that have not left.
    pub(crate) fn unsent(&self) -> usize {
        self.bytes.len() - self.sent + self.unsent_apart
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unsent() == 0
    }

    /// Whether memory is held although nothing is to be sent.
    pub(crate) fn holds_memory(&self) -> bool {
        self.bytes.capacity() > 0 || self.holding.is_some()
    }

    /// Gives the memory back, if nothing is to be sent.
    pub(crate) fn release_memory(&mut self) {
        if self.is_empty() {
            self.bytes = Vec::new();
            self.holding = None;
        }
    }

    /// All that may be written now, for tests.
    #[cfg(test)]
    pub(crate) fn flat(&self) -> Vec<u8> {
        let mut parts = [IoSlice::new(&[]); PARTS_MAX];
        let count = self.sendable_parts(&mut parts);
        parts[..count].iter().flat_map(|part| part.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests;
