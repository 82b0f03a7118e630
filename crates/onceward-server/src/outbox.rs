//! Replies that have not left yet.

use std::collections::VecDeque;
use std::io::IoSlice;

use onceward::ResultBody;
use onceward_core::Position;

/// Sent bytes at the front of a buffer that never runs empty are dropped above this size.
const SENT_BYTES_KEPT: usize = 64 * 1024;
/// Most parts of one write.
pub(crate) const PARTS_MAX: usize = 16;

/// A connection's encoded replies, and how far the journal must be synced before they may leave.
/// Large bodies are not copied behind what was encoded before them: they stay where they are, and
/// parts are written together.
///
/// No `Debug`: replies carry results and tokens (S16).
#[derive(Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// How many of `bytes` have left.
    sent: usize,
    /// Bodies that are to leave between `bytes`, in order.
    bodies: VecDeque<Apart>,
    /// Bytes of `bodies` that have not left.
    unsent_apart: usize,
    /// Replies encoded since the outbox was last empty.
    replies: u64,
    /// The largest position that any reply in `bytes` rests on (S21).
    rests_on: Position,
}

struct Apart {
    body: ResultBody,
    /// Where in `bytes` it belongs.
    at: usize,
    /// How much of it has left.
    sent: usize,
}

impl Outbox {
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
    pub(crate) fn encode_into(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// A body that belongs at a position of what was encoded, behind every one before.
    pub(crate) fn insert(&mut self, at: usize, body: ResultBody) {
        debug_assert!(self.sent <= at && at <= self.bytes.len());
        self.unsent_apart += body.as_ref().len();
        self.bodies.push_back(Apart { body, at, sent: 0 });
    }

    /// Notes that one reply has been encoded, and what it rests on.
    pub(crate) fn encoded(&mut self, position: Position) {
        self.replies += 1;
        self.rests_on = self.rests_on.max(position);
    }

    /// What may be written now, if it is in one part. Here replies are held until `rests_on` is
    /// synced; without a journal every position is zero and there is nothing to wait for.
    pub(crate) fn sendable(&self) -> Option<&[u8]> {
        debug_assert_eq!(self.rests_on, Position(0), "a journal's replies wait for its sync (S14)");
        self.bodies.is_empty().then(|| &self.bytes[self.sent..])
    }

    /// What may be written now, part by part. Gives how many parts there are.
    pub(crate) fn sendable_parts<'o>(&'o self, parts: &mut [IoSlice<'o>; PARTS_MAX]) -> usize {
        debug_assert_eq!(self.rests_on, Position(0), "a journal's replies wait for its sync (S14)");
        let mut count = 0;
        let mut add = |part: &'o [u8]| {
            let place = if part.is_empty() { None } else { parts.get_mut(count) };
            if let Some(place) = place {
                *place = IoSlice::new(part);
                count += 1;
            }
        };
        let mut from = self.sent;
        for Apart { body, at, sent } in self.bodies.iter().take(PARTS_MAX) {
            add(&self.bytes[from..*at]);
            add(&body.as_ref()[*sent..]);
            from = *at;
        }
        if self.bodies.len() <= PARTS_MAX {
            add(&self.bytes[from..]);
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
        self.bytes.capacity() > 0
    }

    /// Gives the memory back, if nothing is to be sent.
    pub(crate) fn release_memory(&mut self) {
        if self.is_empty() {
            self.bytes = Vec::new();
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
mod tests {
    use super::*;

    #[test]
    fn what_has_left_is_not_kept() {
        let mut outbox = Outbox::default();
        outbox.encode_into().extend_from_slice(&[1; 100 * 1024]);
        outbox.encoded(Position(0));
        assert_eq!(outbox.left(70 * 1024), 0, "the reply has not left whole");
        assert_eq!(outbox.sendable().map(<[u8]>::len), Some(30 * 1024));
        assert_eq!(outbox.bytes.len(), 30 * 1024, "the front is dropped: more than half is sent");
        outbox.encode_into().push(2);
        outbox.encoded(Position(0));
        assert_eq!(outbox.left(30 * 1024 + 1), 2);
        assert!(outbox.is_empty() && outbox.holds_memory());
        outbox.release_memory();
        assert!(!outbox.holds_memory());
    }
}
