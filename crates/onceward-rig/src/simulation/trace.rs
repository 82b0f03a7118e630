//! What happened, as one number, and the last of it in words.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};

/// Events that are kept in words.
const LINES_MAX: usize = 120;

/// A hash over every event in order: two runs that did the same have the same.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    events: u64,
    /// `None`: words are not kept, which is faster.
    lines: Option<VecDeque<String>>,
}

impl Trace {
    pub(crate) fn new(keeps_lines: bool) -> Self {
        let lines = keeps_lines.then(VecDeque::new);
        Self { hash: 0xcbf2_9ce4_8422_2325, events: 0, lines }
    }

    /// Takes note of an event at `now` microseconds.
    pub(crate) fn note(&mut self, now: u64, event: fmt::Arguments<'_>) {
        self.events += 1;
        let mut hasher = Hasher(self.hash ^ now);
        // A hasher takes everything.
        let _ = hasher.write_fmt(event);
        self.hash = mixed(hasher.0);
        if let Some(lines) = &mut self.lines {
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(format!("{}.{:03} ms  {event}", now / 1_000, now % 1_000));
        }
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) const fn events(&self) -> u64 {
        self.events
    }

    /// The last events, if they were kept in words.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.iter().flatten().cloned().collect()
    }
}

/// FNV-1a, which needs no seed.
struct Hasher(u64);

impl fmt::Write for Hasher {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

const fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

/// A digest of bytes for the trace: fast, and the same everywhere.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().fold(bytes.len() as u64, |hash, word| {
        (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    });
    rest.iter().fold(words, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(events: &[(u64, &str)]) -> u64 {
        let mut trace = Trace::new(false);
        for (now, event) in events {
            trace.note(*now, format_args!("{event}"));
        }
        trace.hash()
    }

    #[test]
    fn the_hash_tells_order_time_and_words() {
        let base = [(1, "write"), (2, "sync")];
        assert_eq!(hash(&base), hash(&base));
        for other in
            [[(2, "sync"), (1, "write")], [(1, "write"), (3, "sync")], [(1, "writ"), (2, "esync")]]
        {
            assert_ne!(hash(&base), hash(&other), "{other:?}");
        }
        assert_ne!(digest(&[0; 8]), digest(&[0; 16]));
        assert_ne!(digest(b"facts"), digest(b"fact5"));
    }
}
