//! The first word of every block: what it is, and how the rest is to be read.

use onceward_core::lifecycle::{Entered, State};
use onceward_core::{Digest, Fingerprint, NotKept, Policy};

use crate::hashed::Shape;

/// Kind 4 | how 2 | more 1 | continued 1 | fingerprint 6 | shape 25 | words 20 | quota 1.
///
/// Zero is no block at all: words that nothing was written to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Head(pub(crate) u64);

/// What a block holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u64)]
pub(crate) enum Kind {
    /// Nothing: zeroed words, or a reservation block that is free.
    Nothing = 0,
    /// An entry in RESERVED.
    Reserved = 1,
    /// An entry in IN DOUBT.
    InDoubt = 2,
    /// An entry in COMPLETED.
    Completed = 3,
    /// More of the result of an entry before it.
    Continuation = 4,
}

const HOW: u32 = 4;
const MORE: u32 = 6;
const CONTINUED: u32 = 7;
const FINGERPRINT: u32 = 8;
const SHAPE: u32 = 14;
const WORDS: u32 = SHAPE + Shape::BITS;
const WORDS_BITS: u32 = 20;
const QUOTA: u32 = WORDS + WORDS_BITS;
const _: () = assert!(QUOTA < 64);

const FINGERPRINT_NONE: u64 = 0;
const FINGERPRINT_LATER: u64 = 1;

impl Head {
    #[inline]
    pub(crate) fn new(kind: Kind, words: usize) -> Self {
        debug_assert!(words < 1 << WORDS_BITS);
        Self(kind as u64 | (words as u64) << WORDS)
    }

    #[inline]
    pub(crate) fn of_state(state: &State, words: usize) -> Self {
        let (kind, how) = match *state {
            State::Reserved { policy, .. } => {
                (Kind::Reserved, u64::from(policy != Policy::Takeover))
            }
            State::InDoubt { entered, .. } => {
                (Kind::InDoubt, u64::from(entered == Entered::ByAbandonment))
            }
            State::Completed { not_kept, .. } => {
                let how = match not_kept {
                    None => 0,
                    Some(NotKept::TooLarge) => 1,
                    Some(NotKept::Declined) => 2,
                    Some(NotKept::Capacity) => 3,
                };
                (Kind::Completed, how)
            }
        };
        Self(Self::new(kind, words).0 | how << HOW)
    }

    #[inline]
    pub(crate) fn with_identity(self, shape: Shape, fingerprint: &Fingerprint) -> Self {
        let code = match fingerprint {
            Fingerprint::None => FINGERPRINT_NONE,
            Fingerprint::Later => FINGERPRINT_LATER,
            Fingerprint::Digest(digest) => digest.size() as u64,
        };
        Self(self.0 | code << FINGERPRINT | u64::from(shape.0) << SHAPE)
    }

    #[inline]
    pub(crate) fn with_flags(self, more: bool, continued: bool, quota: bool) -> Self {
        let flags = u64::from(more) << MORE | u64::from(continued) << CONTINUED;
        Self(self.0 | flags | u64::from(quota) << QUOTA)
    }

    #[inline]
    pub(crate) fn kind(self) -> Kind {
        match self.0 & 0xf {
            1 => Kind::Reserved,
            2 => Kind::InDoubt,
            3 => Kind::Completed,
            4 => Kind::Continuation,
            _ => Kind::Nothing,
        }
    }

    #[inline]
    pub(crate) fn how(self) -> u64 {
        self.0 >> HOW & 3
    }

    /// Attempt number and doubt number are stated.
    #[inline]
    pub(crate) fn more(self) -> bool {
        self.0 >> MORE & 1 == 1
    }

    /// The result goes on in another block.
    #[inline]
    pub(crate) fn continued(self) -> bool {
        self.0 >> CONTINUED & 1 == 1
    }

    /// The entry has a place in its namespace's quota.
    #[inline]
    pub(crate) fn quota(self) -> bool {
        self.0 >> QUOTA & 1 == 1
    }

    #[inline]
    pub(crate) fn shape(self) -> Shape {
        Shape((self.0 >> SHAPE) as u32 & ((1 << Shape::BITS) - 1))
    }

    /// Words of the whole block.
    #[inline]
    pub(crate) fn words(self) -> usize {
        (self.0 >> WORDS) as usize & ((1 << WORDS_BITS) - 1)
    }

    #[inline]
    fn fingerprint_code(self) -> u64 {
        self.0 >> FINGERPRINT & 0x3f
    }

    /// Words that the fingerprint takes.
    #[inline]
    pub(crate) fn fingerprint_words(self) -> usize {
        match self.fingerprint_code() {
            FINGERPRINT_NONE | FINGERPRINT_LATER => 0,
            size => (size as usize).div_ceil(8),
        }
    }

    /// The fingerprint whose digest is in these words.
    #[inline]
    pub(crate) fn fingerprint(self, word: impl Fn(usize) -> u64) -> Fingerprint {
        let size = match self.fingerprint_code() {
            FINGERPRINT_NONE => return Fingerprint::None,
            FINGERPRINT_LATER => return Fingerprint::Later,
            size => size as usize,
        };
        let mut bytes = [0; 32];
        for (at, eight) in bytes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            if at < size.div_ceil(8) {
                *eight = word(at).to_le_bytes();
            }
        }
        // Written from a digest, so its size is one.
        Digest::from_padded(bytes, size).map_or(Fingerprint::None, Fingerprint::Digest)
    }

    #[inline]
    pub(crate) fn not_kept(self) -> Option<NotKept> {
        match self.how() {
            1 => Some(NotKept::TooLarge),
            2 => Some(NotKept::Declined),
            3 => Some(NotKept::Capacity),
            _ => None,
        }
    }
}

/// The words of a digest, padded with zeros.
#[inline]
pub(crate) fn digest_words(fingerprint: &Fingerprint) -> ([u64; 4], usize) {
    let Fingerprint::Digest(digest) = fingerprint else { return ([0; 4], 0) };
    let (words, _) = digest.padded().as_chunks::<8>();
    (std::array::from_fn(|at| u64::from_le_bytes(words[at])), digest_len(fingerprint))
}

/// How many of them there are.
#[inline]
pub(crate) fn digest_len(fingerprint: &Fingerprint) -> usize {
    match fingerprint {
        Fingerprint::None | Fingerprint::Later => 0,
        Fingerprint::Digest(digest) => digest.size().div_ceil(8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onceward_core::Timestamp;

    #[test]
    fn a_head_reads_as_it_was_written() {
        let at = Timestamp::from_millis(7);
        let digest = |size: usize| Fingerprint::Digest(Digest::new(&[9; 32][..size]).unwrap());
        let states = [
            State::Reserved { lease_until: at, policy: Policy::Takeover },
            State::Reserved { lease_until: at, policy: Policy::InDoubt },
            State::InDoubt { since: at, entered: Entered::ByLapse },
            State::InDoubt { since: at, entered: Entered::ByAbandonment },
            State::Completed { completed_at: at, not_kept: None },
            State::Completed { completed_at: at, not_kept: Some(NotKept::Capacity) },
        ];
        let prints = [Fingerprint::None, Fingerprint::Later, digest(16), digest(17), digest(32)];
        for state in states {
            for print in prints {
                for flags in 0..8_u32 {
                    let (more, continued, quota) = (flags & 1 > 0, flags & 2 > 0, flags & 4 > 0);
                    let shape = Shape((1 << Shape::BITS) - 1 - flags);
                    let head = Head::of_state(&state, (1 << WORDS_BITS) - 1)
                        .with_identity(shape, &print)
                        .with_flags(more, continued, quota);
                    let (words, count) = digest_words(&print);
                    assert_eq!(
                        (head.more(), head.continued(), head.quota()),
                        (more, continued, quota)
                    );
                    assert_eq!((head.shape(), head.words()), (shape, (1 << WORDS_BITS) - 1));
                    assert_eq!(head.fingerprint_words(), count);
                    assert_eq!(head.fingerprint(|at| words[at]), print);
                    match state {
                        State::Completed { not_kept, .. } => assert_eq!(head.not_kept(), not_kept),
                        State::Reserved { policy, .. } => {
                            assert_eq!(
                                (head.kind(), head.how() == 1),
                                (Kind::Reserved, policy == Policy::InDoubt)
                            );
                        }
                        State::InDoubt { .. } => assert_eq!(head.kind(), Kind::InDoubt),
                    }
                }
            }
        }
    }
}
