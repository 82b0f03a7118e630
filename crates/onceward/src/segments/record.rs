//! The block of an entry that is COMPLETED, with its result. Immutable.
//!
//! | word | content |
//! |---|---|
//! | 0 | head |
//! | 1 | fence |
//! | 2 | expires at, ms 42 · number of the namespace 16 · level of its expiry slot 5 |
//! | 3 | completed at, ms 42 · status 16 |
//! | 4 | body bytes 32 · metadata bytes 32 |
//! | 5, 6 | attempt id |
//! | + 1 | attempt number 32 · doubt number 32, unless they are 1 and 0 |
//! | + 1 | where the result goes on, if it does not end here |
//! | … | fingerprint, identity, SHA-256 of the result if its body is not kept |
//! | … | metadata and body, one after the other |
//!
//! With a fingerprint of 16 bytes, a UUID and an empty scope: 88 bytes, and the result. What does
//! not fit the rest of a segment goes on in continuations: head, where it goes on, more bytes.

use std::sync::atomic::Ordering::Relaxed;

use onceward_core::lifecycle::{CompletedView, State, View};
use onceward_core::{Body, Fence, Fingerprint, Millis, ResultRef, Timestamp};

use super::arena::Arena;
use super::atomic::AtomicU64;
use super::head::{Head, Kind, digest_len, digest_words};
use super::reservation::{Ends, attempt_of, attempt_words, halves, pair, put};
use crate::hashed::Image;
use crate::result_copy::ResultCopy;

const FIXED_WORDS: usize = 7;
pub(crate) const CONTINUATION_WORDS: usize = 2;
/// Of a continuation: where the result goes on.
const NEXT: usize = 1;
const DIGEST_WORDS: usize = 4;
const TIME_BITS: u32 = 42;
const TIME_MAX: u64 = (1 << TIME_BITS) - 1;

/// What is written of a completed entry.
pub(crate) struct Record<'a> {
    pub(crate) view: &'a View,
    pub(crate) image: &'a Image,
    pub(crate) stored: &'a ResultRef<'a>,
    /// Of the result as offered, when not all of it is stored.
    pub(crate) digest: Option<[u8; 32]>,
    pub(crate) quota: bool,
    pub(crate) level: u8,
}

/// Words before the result, if it needs all that a record may have, for what begin sets aside.
#[inline]
pub(crate) fn most_head_words(image: &Image, fingerprint: &Fingerprint) -> usize {
    // An unbound fingerprint may be bound by the longest digest.
    let digest = match fingerprint {
        Fingerprint::Later => DIGEST_WORDS,
        Fingerprint::None | Fingerprint::Digest(_) => digest_len(fingerprint),
    };
    FIXED_WORDS + 2 + digest + image.shape.words() + DIGEST_WORDS
}

/// Words that metadata and body take.
#[inline]
pub(crate) fn result_words(stored: &ResultRef<'_>) -> usize {
    result_bytes(stored).div_ceil(8)
}

#[inline]
fn result_bytes(stored: &ResultRef<'_>) -> usize {
    stored.metadata.len() + stored.body.kept().map_or(0, |body| body.len())
}

impl Record<'_> {
    #[inline]
    fn more(&self) -> bool {
        (self.view.attempt_number, self.view.doubt_number) != (1, 0)
    }

    /// Words before the result.
    #[inline]
    pub(crate) fn head_words(&self, continued: bool) -> usize {
        FIXED_WORDS
            + usize::from(self.more())
            + usize::from(continued)
            + digest_len(&self.view.fingerprint)
            + self.image.shape.words()
            + self.digest.map_or(0, |_| DIGEST_WORDS)
    }

    /// Fills the first block: what comes before the result, and as much of it as fits. `next` says
    /// where it goes on.
    #[inline(always)]
    pub(crate) fn write(&self, block: &[AtomicU64], next: Option<u64>) {
        let view = self.view;
        let completed_at = match view.state {
            State::Completed { completed_at, .. } => completed_at,
            State::Reserved { .. } | State::InDoubt { .. } => Timestamp::ZERO,
        };
        let attempt = attempt_words(view.attempt_id);
        let body = self.stored.body.kept().map_or(0, |body| body.len());
        let head = Head::of_state(&view.state, block.len())
            .with_identity(self.image.shape, &view.fingerprint)
            .with_flags(self.more(), next.is_some(), self.quota);
        let fixed = [
            head.0,
            view.fence.get(),
            Ends {
                expires_at: view.expires_at,
                namespace_number: self.image.namespace_number,
                level: self.level,
            }
            .to_word(),
            completed_at.as_millis().min(TIME_MAX) | u64::from(self.stored.status) << TIME_BITS,
            pair(body as u32, self.stored.metadata.len() as u32),
            attempt[0],
            attempt[1],
        ];
        let mut block = block;
        let mut append = |words: &[u64]| {
            let (to, rest) = block.split_at(words.len());
            put(to, words);
            block = rest;
        };
        append(&fixed);
        if self.more() {
            append(&[pair(view.attempt_number, view.doubt_number)]);
        }
        if let Some(next) = next {
            append(&[next]);
        }
        let (print, print_len) = digest_words(&view.fingerprint);
        append(&print[..print_len]);
        append(self.image.words());
        if let Some(digest) = self.digest {
            let (eights, _) = digest.as_chunks::<8>();
            for eight in eights {
                append(&[u64::from_le_bytes(*eight)]);
            }
        }
        self.write_result(block, 0);
    }

    /// Fills a continuation with the result from its word `from` on.
    pub(crate) fn write_continuation(&self, block: &[AtomicU64], from: usize, next: Option<u64>) {
        let head =
            Head::new(Kind::Continuation, block.len()).with_flags(false, next.is_some(), false);
        block[0].store(head.0, Relaxed);
        block[NEXT].store(next.unwrap_or(0), Relaxed);
        self.write_result(&block[CONTINUATION_WORDS..], from);
    }

    /// Writes words of metadata and body, from word `from` of both together on.
    #[inline]
    fn write_result(&self, to: &[AtomicU64], from: usize) {
        let metadata = self.stored.metadata;
        let body: &[u8] = self.stored.body.kept().copied().unwrap_or_default();
        let size = metadata.len() + body.len();
        let byte = |at: usize| match at.checked_sub(metadata.len()) {
            None => metadata[at],
            Some(at) => body.get(at).copied().unwrap_or(0),
        };
        // Words that lie in the body alone, which nearly all do.
        let whole_from = metadata.len().div_ceil(8).clamp(from, from + to.len());
        let whole_to = (size / 8).clamp(whole_from, from + to.len());
        let by_bytes = |word: usize| {
            let bytes = (0..8).map(|at| u64::from(byte(8 * word + at)) << (8 * at));
            bytes.fold(0, |word, byte| word | byte)
        };
        for word in (from..whole_from).chain(whole_to..size.div_ceil(8).min(from + to.len())) {
            to[word - from].store(by_bytes(word), Relaxed);
        }
        if whole_to > whole_from {
            let bytes = &body[8 * whole_from - metadata.len()..8 * whole_to - metadata.len()];
            copy_in(&to[whole_from - from..whole_to - from], bytes.as_chunks::<8>().0);
        }
    }
}

#[inline]
fn fingerprint_at(head: Head) -> usize {
    FIXED_WORDS + usize::from(head.more()) + usize::from(head.continued())
}

/// Where in a record of this head the identity is.
#[inline]
pub(crate) fn image_at(head: Head) -> usize {
    fingerprint_at(head) + head.fingerprint_words()
}

/// Words that are copied in one go.
const STRIDE: usize = 8;

/// Copies words out. Atomic ones are copied one by one, so at least the loop is unrolled.
#[inline]
fn copy_out(to: &mut [[u8; 8]], from: &[AtomicU64]) {
    let (to, to_rest) = to.as_chunks_mut::<STRIDE>();
    let (from, from_rest) = from.as_chunks::<STRIDE>();
    for (to, from) in to.iter_mut().zip(from) {
        for at in 0..STRIDE {
            to[at] = from[at].load(Relaxed).to_le_bytes();
        }
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = from.load(Relaxed).to_le_bytes();
    }
}

/// Copies words in, as [`copy_out`] does the other way.
#[inline]
fn copy_in(to: &[AtomicU64], from: &[[u8; 8]]) {
    let (to, to_rest) = to.as_chunks::<STRIDE>();
    let (from, from_rest) = from.as_chunks::<STRIDE>();
    for (to, from) in to.iter().zip(from) {
        for at in 0..STRIDE {
            to[at].store(u64::from_le_bytes(from[at]), Relaxed);
        }
    }
    for (to, from) in to_rest.iter().zip(from_rest) {
        to.store(u64::from_le_bytes(*from), Relaxed);
    }
}

/// A published record, read where it lies.
#[derive(Clone, Copy)]
pub(crate) struct Stored<'a> {
    arena: &'a Arena,
    head: Head,
    block: &'a [AtomicU64],
}

impl<'a> Stored<'a> {
    #[inline]
    pub(crate) fn new(arena: &'a Arena, head: Head, block: &'a [AtomicU64]) -> Self {
        Self { arena, head, block }
    }

    #[inline]
    fn word(&self, at: usize) -> u64 {
        self.block[at].load(Relaxed)
    }

    #[inline]
    fn digest_at(&self) -> usize {
        image_at(self.head) + self.head.shape().words()
    }

    #[inline]
    fn result_at(&self) -> usize {
        self.digest_at() + self.head.not_kept().map_or(0, |_| DIGEST_WORDS)
    }

    /// Attempt number and doubt number.
    #[inline(always)]
    fn numbers(&self) -> (u32, u32) {
        if self.head.more() { halves(self.word(FIXED_WORDS)) } else { (1, 0) }
    }

    #[inline(always)]
    pub(crate) fn completed(&self) -> CompletedView {
        let fingerprint_at = fingerprint_at(self.head);
        CompletedView {
            attempt_id: attempt_of([self.word(5), self.word(6)]),
            attempt_number: self.numbers().0,
            fingerprint: self.head.fingerprint(|at| self.word(fingerprint_at + at)),
            completed_at: Timestamp::from_millis(self.word(3) & TIME_MAX),
            not_kept: self.head.not_kept(),
            expires_at: Ends::of_word(self.word(2)).expires_at,
        }
    }

    #[inline(always)]
    pub(crate) fn view(&self, version: u64) -> View {
        let completed = self.completed();
        let CompletedView { completed_at, not_kept, .. } = completed;
        View {
            version,
            state: State::Completed { completed_at, not_kept },
            fence: Fence::new(self.word(1)).unwrap_or(Fence::LARGEST),
            attempt_id: completed.attempt_id,
            attempt_number: completed.attempt_number,
            doubt_number: self.numbers().1,
            fingerprint: completed.fingerprint,
            // Ages count from completion from now on.
            acquired_at: completed_at,
            expires_at: completed.expires_at,
            checkpoint_ordinal: 0,
            longest_lease: Millis::ZERO,
        }
    }

    #[inline]
    fn status(&self) -> u16 {
        (self.word(3) >> TIME_BITS) as u16
    }

    /// Bytes of metadata and body.
    #[inline]
    fn size(&self) -> usize {
        let (body, metadata) = halves(self.word(4));
        body as usize + metadata as usize
    }

    /// Calls `piece` with the words of each block that the result is in, in order.
    #[inline(always)]
    fn pieces(&self, mut piece: impl FnMut(&[AtomicU64])) {
        let mut left = self.size().div_ceil(8);
        let (mut block, mut at) = (self.block, self.result_at());
        let mut next =
            self.head.continued().then(|| self.word(FIXED_WORDS + usize::from(self.head.more())));
        loop {
            let here = &block[at.min(block.len())..];
            let count = left.min(here.len());
            piece(&here[..count]);
            left -= count;
            match next {
                Some(there) if left > 0 => {
                    let (head, further) = self.arena.block(there);
                    (block, at) = (further, CONTINUATION_WORDS);
                    next = head.continued().then(|| block[NEXT].load(Relaxed));
                }
                _ => return,
            }
        }
    }

    /// Copies the result out.
    #[inline(always)]
    pub(crate) fn copy(&self) -> ResultCopy {
        let (_, metadata) = halves(self.word(4));
        let body = self.head.not_kept().map_or(Body::Kept(()), Body::NotKept);
        ResultCopy::new(self.status(), metadata as usize, body, self.size(), |to| {
            let (mut to, _) = to.as_chunks_mut::<8>();
            self.pieces(|words| {
                let (here, rest) = std::mem::take(&mut to).split_at_mut(words.len());
                copy_out(here, words);
                to = rest;
            });
        })
    }

    /// Whether `offered` is the result that was stored (S3).
    pub(crate) fn is(&self, offered: &ResultRef<'_>, digest: impl FnOnce() -> [u8; 32]) -> bool {
        if self.head.not_kept().is_some() {
            let at = self.digest_at();
            let (stored, _) =
                digest().as_chunks::<8>().0.iter().fold((true, at), |(same, at), eight| {
                    (same && self.word(at) == u64::from_le_bytes(*eight), at + 1)
                });
            return stored;
        }
        self.copy().as_result() == *offered
    }
}
