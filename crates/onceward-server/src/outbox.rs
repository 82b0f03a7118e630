//! Replies that have not left yet.

use onceward_core::Position;

/// Sent bytes at the front of a buffer that never runs empty are dropped above this size.
const SENT_BYTES_KEPT: usize = 64 * 1024;

/// A connection's encoded replies, and how far the journal must be synced before they may leave.
/// No `Debug`: replies carry results and tokens (S16).
#[derive(Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// How many of `bytes` have left.
    sent: usize,
    /// Replies encoded since the outbox was last empty.
    replies: u64,
    /// The largest position that any reply in `bytes` rests on (S21).
    rests_on: Position,
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

    /// Notes that one reply has been encoded, and what it rests on.
    pub(crate) fn encoded(&mut self, position: Position) {
        self.replies += 1;
        self.rests_on = self.rests_on.max(position);
    }

    /// What may be written now. Here replies are held until `rests_on` is synced; without a
    /// journal every position is zero and there is nothing to wait for.
    pub(crate) fn sendable(&self) -> &[u8] {
        debug_assert_eq!(self.rests_on, Position(0), "a journal's replies wait for its sync (S14)");
        &self.bytes[self.sent..]
    }

    /// Notes that `size` bytes have left. Gives the replies that are gone for certain.
    pub(crate) fn left(&mut self, size: usize) -> u64 {
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
        self.bytes.len() - self.sent
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
        assert_eq!(outbox.sendable().len(), 30 * 1024);
        assert_eq!(outbox.bytes.len(), 30 * 1024, "the front is dropped: more than half is sent");
        outbox.encode_into().push(2);
        outbox.encoded(Position(0));
        assert_eq!(outbox.left(30 * 1024 + 1), 2);
        assert!(outbox.is_empty() && outbox.holds_memory());
        outbox.release_memory();
        assert!(!outbox.holds_memory());
    }
}
