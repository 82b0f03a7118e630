//! The block of an entry that is RESERVED or IN DOUBT. Immutable from its publication to its
//! retirement: a change writes another.
//!
//! | word | content |
//! |---|---|
//! | 0 | head |
//! | 1 | fence |
//! | 2 | expires at, ms 42 · number of the namespace 16 · level of its expiry slot 5 |
//! | 3 | lease until, or in doubt since, ms |
//! | 4 | acquired at, ms |
//! | 5, 6 | attempt id |
//! | 7 | attempt number 32 · doubt number 32 |
//! | 8 | checkpoint ordinal 32 · longest lease, ms 32 |
//! | 9 | number of the checkpoint 48, 0 without one · words charged for the entry 16 |
//! | 10 | bytes set aside for the result 32 · for checkpoints 32 |
//! | 11 | link, while it is on a list |
//! | 12… | fingerprint, then identity |
//!
//! With a fingerprint of 16 bytes, a UUID and an empty scope that is 128 bytes.

use std::sync::atomic::Ordering::Relaxed;

use onceward_core::lifecycle::{Entered, State, View};
use onceward_core::{AttemptId, Fence, Fingerprint, Millis, Policy, Timestamp};

use super::atomic::AtomicU64;
use super::head::{Head, Kind, digest_len, digest_words};
use crate::hashed::Image;
use crate::storage::Charge;

pub(crate) const FIXED_WORDS: usize = 12;
pub(crate) const LINK: usize = 11;
pub(crate) const EXPIRES: usize = 2;
/// Instants of 42 bits reach 139 years; a later end is kept for ever.
const TIME_BITS: u32 = 42;
const TIME_MAX: u64 = (1 << TIME_BITS) - 1;
/// Checkpoints are numbered within 48 bits: a million a second for nine years.
const NUMBER_BITS: u32 = 48;
const NUMBER_MAX: u64 = (1 << NUMBER_BITS) - 1;

/// The end of a retention, and what else stands in its word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ends {
    pub(crate) expires_at: Timestamp,
    pub(crate) namespace_number: u16,
    /// Of its expiry slot; fixed with the retention.
    pub(crate) level: u8,
}

impl Ends {
    #[inline]
    pub(crate) fn to_word(self) -> u64 {
        self.expires_at.as_millis().min(TIME_MAX)
            | u64::from(self.namespace_number) << TIME_BITS
            | u64::from(self.level) << (TIME_BITS + 16)
    }

    #[inline]
    pub(crate) fn of_word(word: u64) -> Self {
        let expires_at = match word & TIME_MAX {
            TIME_MAX => Timestamp::MAX,
            millis => Timestamp::from_millis(millis),
        };
        Self {
            expires_at,
            namespace_number: (word >> TIME_BITS) as u16,
            level: (word >> (TIME_BITS + 16)) as u8 & 31,
        }
    }
}

#[inline]
pub(crate) fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

#[inline]
pub(crate) fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

#[inline]
pub(crate) fn attempt_words(attempt: AttemptId) -> [u64; 2] {
    let bytes = *attempt.as_bytes();
    let half = |at: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(eight)
    };
    [half(0), half(8)]
}

#[inline]
pub(crate) fn attempt_of(words: [u64; 2]) -> AttemptId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&words[0].to_le_bytes());
    bytes[8..].copy_from_slice(&words[1].to_le_bytes());
    AttemptId::from_bytes(bytes)
}

/// Stores words as far as both reach.
#[inline]
pub(crate) fn put(to: &[AtomicU64], words: &[u64]) {
    for (to, word) in to.iter().zip(words) {
        to.store(*word, Relaxed);
    }
}

/// Words that a reservation of this identity takes.
#[inline]
pub(crate) fn words_of(image: &Image, fingerprint: &Fingerprint) -> usize {
    FIXED_WORDS + digest_len(fingerprint) + image.shape.words()
}

/// What is written of an entry that is not completed.
pub(crate) struct Reservation<'a> {
    pub(crate) view: &'a View,
    pub(crate) image: &'a Image,
    pub(crate) charge: Charge,
    pub(crate) checkpoint: u64,
    pub(crate) quota: bool,
    pub(crate) level: u8,
}

impl Reservation<'_> {
    /// Fills a block that nobody else sees yet. `block` is as long as its class.
    #[inline(always)]
    pub(crate) fn write(&self, block: &[AtomicU64]) {
        let view = self.view;
        let until = match view.state {
            State::Reserved { lease_until, .. } => lease_until,
            State::InDoubt { since, .. } => since,
            State::Completed { completed_at, .. } => completed_at,
        };
        let attempt = attempt_words(view.attempt_id);
        let small = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
        let head = Head::of_state(&view.state, block.len())
            .with_identity(self.image.shape, &view.fingerprint)
            .with_flags(false, false, self.quota);
        let fixed = [
            head.0,
            view.fence.get(),
            Ends {
                expires_at: view.expires_at,
                namespace_number: self.image.namespace_number,
                level: self.level,
            }
            .to_word(),
            until.as_millis(),
            view.acquired_at.as_millis(),
            attempt[0],
            attempt[1],
            pair(view.attempt_number, view.doubt_number),
            pair(view.checkpoint_ordinal, small(view.longest_lease.get())),
            (self.checkpoint & NUMBER_MAX) | ((self.charge.entry / 8) << NUMBER_BITS),
            pair(small(self.charge.result), small(self.charge.checkpoint)),
            0,
        ];
        let (digest, digest_len) = digest_words(&view.fingerprint);
        let (to_fixed, rest) = block.split_at(FIXED_WORDS);
        let (to_digest, to_image) = rest.split_at(digest_len);
        put(to_fixed, &fixed);
        put(to_digest, &digest);
        put(to_image, self.image.words());
    }
}

/// What a published reservation is charged, and its checkpoint's number.
#[inline]
pub(crate) fn kept(word: impl Fn(usize) -> u64) -> (Charge, u64) {
    let (result, checkpoint) = halves(word(10));
    let charge = Charge {
        entry: (word(9) >> NUMBER_BITS) * 8,
        result: u64::from(result),
        checkpoint: u64::from(checkpoint),
    };
    (charge, word(9) & NUMBER_MAX)
}

/// Reads a published reservation.
#[inline(always)]
pub(crate) fn read(head: Head, version: u64, block: &[AtomicU64]) -> (View, Charge, u64) {
    let (fixed, rest) = block.split_at(FIXED_WORDS);
    let word = |at: usize| fixed[at].load(Relaxed);
    let until = Timestamp::from_millis(word(3));
    let state = match (head.kind(), head.how()) {
        (Kind::InDoubt, how) => State::InDoubt {
            since: until,
            entered: if how == 1 { Entered::ByAbandonment } else { Entered::ByLapse },
        },
        (_, how) => State::Reserved {
            lease_until: until,
            policy: if how == 1 { Policy::InDoubt } else { Policy::Takeover },
        },
    };
    let (attempt_number, doubt_number) = halves(word(7));
    let (checkpoint_ordinal, longest_lease) = halves(word(8));
    let view = View {
        version,
        state,
        fence: Fence::new(word(1)).unwrap_or(Fence::LARGEST),
        attempt_id: attempt_of([word(5), word(6)]),
        attempt_number,
        doubt_number,
        fingerprint: head.fingerprint(|at| rest[at].load(Relaxed)),
        acquired_at: Timestamp::from_millis(word(4)),
        expires_at: Ends::of_word(word(EXPIRES)).expires_at,
        checkpoint_ordinal,
        longest_lease: Millis::new(longest_lease.into()),
    };
    let (charge, checkpoint) = kept(word);
    (view, charge, checkpoint)
}
