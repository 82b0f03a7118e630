//! What is known of one segment beside its words.

use std::sync::atomic::Ordering::Relaxed;

use super::atomic::AtomicU64;

/// 64 bytes, in an array of their own, so that a look at many segments touches no block.
///
/// Who opens a segment sets it up before anybody can see it; the reclaimer alone changes it after
/// it was sealed.
#[repr(C, align(64))]
pub(crate) struct Segment {
    /// The next one on the list that it is on.
    pub(crate) link: AtomicU64,
    /// Of values: the end of the expiry slot, in ms; all in it has expired by then. Of
    /// reservations: no live one ends earlier than this.
    pub(crate) due: AtomicU64,
    /// Words that blocks were cut from, once it is sealed.
    pub(crate) used: AtomicU64,
    /// Bytes charged for it beyond its blocks.
    pub(crate) slack: AtomicU64,
    /// The reclaimer's: how far it has come, in words.
    pub(crate) walked: AtomicU64,
    /// Of reservations, the reclaimer's: the earliest end seen in this walk. Of values: no later
    /// than the end of any completed entry in it that has a place in a quota.
    pub(crate) noted: AtomicU64,
    /// Of reservations: words per block; 0 while it is free.
    pub(crate) block_words: AtomicU64,
}

const _: () = assert!(size_of::<Segment>() == 64);

/// No end that anything waits for.
pub(crate) const NEVER: u64 = u64::MAX;

impl Segment {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            link: zero(),
            due: AtomicU64::new(NEVER),
            used: zero(),
            slack: zero(),
            walked: zero(),
            noted: zero(),
            block_words: zero(),
        }
    }

    /// Sets up what nobody else sees yet.
    pub(crate) fn open(&self, due: u64, slack: u64, block_words: u64) {
        self.due.store(due, Relaxed);
        self.used.store(0, Relaxed);
        self.slack.store(slack, Relaxed);
        self.walked.store(0, Relaxed);
        self.noted.store(NEVER, Relaxed);
        self.block_words.store(block_words, Relaxed);
    }
}
