//! What operators read: pages of entries, and figures.

use alloc::vec::Vec;

use crate::error::BadInput;
use crate::identity::ScopedKeyBuf;
use crate::limits::PAGE_ENTRIES_MAX;
use crate::outcome::StateName;
use crate::time::Millis;
use crate::token::Fence;

/// Where a page starts. Zero is the beginning; otherwise what the page before gave.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PageCursor(pub u64);

/// Which entries to list. Entries that come or go while pages are read may or may not be seen;
/// every entry present throughout is seen once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListQuery {
    /// Only entries in this state.
    pub state: Option<StateName>,
    /// Only entries whose acquisition, or completion once completed, is at least this long ago.
    pub older_than: Option<Millis>,
    /// Where to start.
    pub cursor: PageCursor,
    /// At most this many entries, 1 to 1,000.
    pub entries_max: u16,
}

impl ListQuery {
    /// # Errors
    /// [`BadInput::PageEntries`].
    pub fn check(&self) -> Result<(), BadInput> {
        if self.entries_max == 0 || self.entries_max > PAGE_ENTRIES_MAX {
            return Err(BadInput::PageEntries { got: self.entries_max });
        }
        Ok(())
    }
}

impl Default for ListQuery {
    fn default() -> Self {
        Self { state: None, older_than: None, cursor: PageCursor(0), entries_max: 100 }
    }
}

/// One listed entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListEntry {
    /// Which, within the namespace.
    pub scoped_key: ScopedKeyBuf,
    /// Its state.
    pub state: StateName,
    /// Since acquisition, or completion once completed.
    pub age: Millis,
    /// Of the latest acquisition.
    pub attempt_number: u32,
    /// What resolve and forget name.
    pub fence: Fence,
    /// What resolve names.
    pub doubt_number: u32,
    /// Until the identity is absent again.
    pub retention_left: Millis,
}

/// One page of entries.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ListPage {
    /// The entries, in no order that means anything.
    pub entries: Vec<ListEntry>,
    /// Where the next page starts; `None` after the last.
    pub next: Option<PageCursor>,
}

macro_rules! stats {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Figures of a store. Counters count from the store's start.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        #[non_exhaustive]
        pub struct Stats { $($(#[doc = $doc])+ pub $name: u64,)+ }

        impl Stats {
            /// Name and value of every figure, in a fixed order.
            #[must_use]
            pub fn rows(&self) -> Vec<StatsRow> {
                alloc::vec![$(StatsRow { name: stringify!($name), value: self.$name },)+]
            }

            /// The figure called `name`, to be set; `None` for a name this version does not know.
            pub fn row_mut(&mut self, name: &str) -> Option<&mut u64> {
                match name { $(stringify!($name) => Some(&mut self.$name),)+ _ => None }
            }
        }
    };
}

/// One figure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StatsRow {
    /// Its name, snake case.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
}

stats! {
    /// Entries held, due ones that are not reclaimed yet included.
    entries,
    /// Entries held in RESERVED.
    entries_reserved,
    /// Entries held in IN DOUBT; a lapse is counted when it is noticed.
    entries_in_doubt,
    /// Entries held in COMPLETED.
    entries_completed,
    /// Callers waiting now.
    waiters,
    /// Bytes charged: entries, identities, results, checkpoints and what is set aside.
    memory_used_bytes,
    /// Most bytes charged since start.
    memory_high_water_bytes,
    /// Bytes that may be charged.
    memory_limit_bytes,
    /// Bytes of the index. Not charged, but the limit's part that it takes at the start is not there
    /// for entries; what crowds later comes on top.
    memory_index_bytes,
    /// Bytes of those charged that are kept for the next reservations.
    memory_idle_bytes,
    /// How long ago the oldest epoch began that a thread is pinned in, in ms; 0 if none is. Memory
    /// that went since waits for that thread.
    oldest_pin_ms,
    /// 1 while the journal keeps no facts, after a write or sync that failed (S14).
    journal_halted,
    /// How often that has begun.
    journal_halts,
    /// Facts that the journal has made durable.
    journal_facts,
    /// Bytes of theirs.
    journal_bytes,
    /// Syncs that it took.
    journal_syncs,
    /// Attempt ids remembered as ended (S3).
    attempts_remembered,
    /// Attempt ids forgotten early because there were too many (S3).
    attempts_forgotten_early,
    /// Begins that found the identity absent and acquired it.
    begin_acquired,
    /// Begins repeated by the owner and acquired again (S3).
    begin_repeated,
    /// Begins that took an identity over.
    begin_takeover,
    /// Begins answered with the stored result.
    begin_replay,
    /// Begins answered InProgress.
    begin_in_progress,
    /// Begins answered Mismatch.
    begin_mismatch,
    /// Begins answered NeedFingerprint.
    begin_need_fingerprint,
    /// Begins answered InDoubt.
    begin_in_doubt,
    /// Begins refused.
    begin_refused,
    /// Begins answered Gone.
    begin_gone,
    /// Begins and gets answered by push after waiting.
    waits_answered,
    /// Waits that reached their end, or the limit of waiters.
    waits_ended,
    /// Results stored, kept or not.
    complete_completed,
    /// Results stored without their body.
    complete_not_kept,
    /// Completes repeated with the same result.
    complete_repeated,
    /// Completes with another result than the stored one.
    complete_conflict,
    /// Token operations answered Fenced.
    fenced,
    /// Acquisitions abandoned.
    abandoned,
    /// Leases renewed.
    renewed,
    /// Checkpoints saved.
    checkpoints_saved,
    /// Doubts and lapsed leases resolved.
    resolved,
    /// Identities forgotten by request.
    forgotten,
    /// Entries whose retention has ended and whose memory is reclaimed.
    expired,
    /// Of those, how many were RESERVED or IN DOUBT: work whose outcome nobody recorded (S7).
    expired_unfinished,
}
