//! What all facts together say, in whatever order they stand: a pure function of rows of fixed
//! size.
//!
//! Invariants:
//! 1. The order of rows and how they are spread over files changes nothing; a row that is there
//!    twice counts once.
//! 2. A row counts only if its acquisition is there (S4): what a loser wrote belongs to nobody.
//! 3. Of an identity's acquisitions the largest fence decides alone. From earlier ones it
//!    inherits checkpoints, along the chain of takeovers (S19).
//! 4. Of one acquisition: removed, else completed, else in doubt, else reserved. Nothing completes
//!    after a removal, and only what was forgotten is removed after it completed.
//!
//! [`Rows`] are sorted by where a fence, or an identity, falls among a few hundred parts, so that
//! threads share the work without a lock, and no entry costs an allocation.

use onceward::{Millis, Timestamp};

use onceward::planted::{Bug, planted};

/// Where a frame stands: its file among those recovered, and its offset there.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place(u64);

const OFFSET_BITS: u32 = 40;

impl Place {
    /// No frame.
    pub(crate) const NONE: Self = Self(u64::MAX);

    pub(crate) const fn new(file: u32, offset: u64) -> Self {
        debug_assert!(offset < 1 << OFFSET_BITS);
        Self((file as u64) << OFFSET_BITS | offset)
    }

    pub(crate) const fn file(self) -> usize {
        (self.0 >> OFFSET_BITS) as usize
    }

    pub(crate) const fn offset(self) -> u64 {
        self.0 & ((1 << OFFSET_BITS) - 1)
    }

    pub(crate) fn is_some(self) -> bool {
        self != Self::NONE
    }
}

/// 128 bits that stand for an identity, keyed so that nobody outside can make two alike.
pub(crate) type IdentityHash = [u64; 2];

/// An acquisition was granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct AcquiredRow {
    pub(crate) fence: u64,
    pub(crate) identity: IdentityHash,
    pub(crate) expires_at: Timestamp,
    pub(crate) place: Place,
}

/// An acquisition has its result.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CompletedRow {
    pub(crate) fence: u64,
    pub(crate) place: Place,
}

/// What else happened to an acquisition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct OtherRow {
    pub(crate) fence: u64,
    pub(crate) place: Place,
    pub(crate) other: Other,
}

/// See [`crate::frame::FrameEvent`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Other {
    TookOver { previous: u64 },
    Removed { at: Timestamp },
    Doubted { doubt_number: u32 },
    Extended { lease: u32, doubts_over: u32, binds: bool },
    Checkpointed { ordinal: u32 },
}

/// Rows of one part of all fences.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) acquired: Vec<AcquiredRow>,
    pub(crate) completed: Vec<CompletedRow>,
    pub(crate) others: Vec<OtherRow>,
}

/// What one acquisition came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Life {
    pub(crate) identity: IdentityHash,
    pub(crate) fence: u64,
    pub(crate) expires_at: Timestamp,
    pub(crate) acquired: Place,
    pub(crate) completed: Place,
    /// Number of its [`Extra`]; [`Extra::NONE`] for the many that have none.
    pub(crate) extra: u32,
}

/// What happened to an acquisition beside grant and completion.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Extra {
    /// The acquisition taken over from; 0 for none.
    pub(crate) previous: u64,
    pub(crate) removed_at: Option<Timestamp>,
    /// The largest number of a doubt entered by abandonment, and its frame.
    pub(crate) doubted: (u32, Place),
    pub(crate) doubts_over: u32,
    /// The longest lease that an extension gave, in ms.
    pub(crate) lease: u32,
    /// An extension that bound a digest.
    pub(crate) bound: Place,
    /// The largest ordinal, and its frame.
    pub(crate) checkpoint: (u32, Place),
}

impl Extra {
    /// A number that no extra has.
    pub(crate) const NONE: u32 = u32::MAX;

    /// Of an acquisition that nothing else happened to.
    pub(crate) const EMPTY: Self = Self {
        previous: 0,
        removed_at: None,
        doubted: (0, Place::NONE),
        doubts_over: 0,
        lease: 0,
        bound: Place::NONE,
        checkpoint: (0, Place::NONE),
    };

    /// Adds what a row says; in any order, any number of times.
    fn add(&mut self, row: &OtherRow) {
        match row.other {
            Other::TookOver { previous } => self.previous = self.previous.max(previous),
            Other::Removed { at } => self.removed_at = self.removed_at.max(Some(at)),
            Other::Doubted { doubt_number } => {
                self.doubted = later(self.doubted, (doubt_number, row.place));
            }
            Other::Extended { lease, doubts_over, binds } => {
                self.lease = self.lease.max(lease);
                self.doubts_over = self.doubts_over.max(doubts_over);
                if binds {
                    self.bound = self.bound.min(row.place);
                }
            }
            Other::Checkpointed { ordinal } => {
                self.checkpoint = later(self.checkpoint, (ordinal, row.place));
            }
        }
    }

    /// Whether its owner left it in doubt, and nobody has ended that doubt.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.doubted.1.is_some() && self.doubted.0 > self.doubts_over
    }
}

/// The larger number decides; of equal ones the first place, so that order does not.
fn later(one: (u32, Place), other: (u32, Place)) -> (u32, Place) {
    match one.0.cmp(&other.0) {
        std::cmp::Ordering::Less => other,
        std::cmp::Ordering::Equal => (one.0, one.1.min(other.1)),
        std::cmp::Ordering::Greater => one,
    }
}

/// What is known of one identity: which frames to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Winner {
    pub(crate) acquired: Place,
    pub(crate) completed: Place,
    /// As in [`Life`].
    pub(crate) extra: u32,
}

impl Winner {
    /// The frame with most bytes to read, mostly.
    pub(crate) fn main(&self) -> Place {
        if self.completed.is_some() { self.completed } else { self.acquired }
    }
}

/// An attempt that ended without a result and is remembered (S3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ended {
    pub(crate) acquired: Place,
    pub(crate) ended_at: Timestamp,
}

/// Joins the rows of one part of all fences into acquisitions. `used` is told each frame that
/// belongs to one, with the end of its retention.
pub(crate) fn join(
    mut rows: Rows,
    extras: &mut Vec<Extra>,
    mut used: impl FnMut(Place, Timestamp),
) -> Vec<Life> {
    rows.acquired.sort_unstable_by_key(|row| (row.fence, row.place));
    rows.acquired.dedup_by_key(|row| row.fence);
    rows.completed.sort_unstable_by_key(|row| (row.fence, row.place));
    rows.others.sort_unstable_by_key(|row| (row.fence, row.place));
    let mut completed = rows.completed.iter().peekable();
    let mut others = rows.others.iter().peekable();
    let mut lives = Vec::with_capacity(rows.acquired.len());
    for row in &rows.acquired {
        let mut life = Life {
            identity: row.identity,
            fence: row.fence,
            expires_at: row.expires_at,
            acquired: row.place,
            completed: Place::NONE,
            extra: Extra::NONE,
        };
        while let Some(done) = completed.next_if(|done| done.fence <= row.fence) {
            if done.fence == row.fence {
                used(done.place, row.expires_at);
                life.completed = life.completed.min(done.place);
            }
        }
        while let Some(other) = others.next_if(|other| other.fence <= row.fence) {
            if other.fence == row.fence {
                used(other.place, row.expires_at);
                if life.extra == Extra::NONE {
                    life.extra = extras.len() as u32;
                    extras.push(Extra::EMPTY);
                }
                extras[life.extra as usize].add(other);
            }
        }
        lives.push(life);
    }
    lives
}

/// What the store is to be told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Decided {
    pub(crate) winners: Vec<Winner>,
    pub(crate) ended: Vec<Ended>,
    /// Of the winners alone.
    pub(crate) extras: Vec<Extra>,
}

/// Decides for each identity of one part of all identities, at store time `now`.
pub(crate) fn decide(
    lives: &mut [Life],
    extras: &[Extra],
    now: Timestamp,
    attempt_memory: Millis,
    decided: &mut Decided,
) {
    let extra_of = |life: &Life| extras.get(life.extra as usize).copied();
    lives.sort_unstable_by_key(|life| (life.identity, life.fence));
    for group in lives.chunk_by(|one, other| one.identity == other.identity) {
        for life in group {
            let removed_at = extra_of(life).and_then(|extra| extra.removed_at);
            if let Some(ended_at) = removed_at
                && now < ended_at.after(attempt_memory)
            {
                decided.ended.push(Ended { acquired: life.acquired, ended_at });
            }
        }
        let Some((last, earlier)) = group.split_last() else { continue };
        let mut extra = extra_of(last);
        let removed = extra.is_some_and(|extra| extra.removed_at.is_some());
        if removed || last.expires_at <= now {
            continue; // S7: absent.
        }
        let completed = completed_of(last, group);
        if !completed.is_some()
            && let Some(extra) = &mut extra
        {
            inherit(extra, earlier, extra_of);
        }
        let number = match extra {
            None => Extra::NONE,
            Some(extra) => {
                decided.extras.push(extra);
                decided.extras.len() as u32 - 1
            }
        };
        decided.winners.push(Winner { acquired: last.acquired, completed, extra: number });
    }
}

/// The result of the identity's last acquisition: its own and nobody else's (S4).
fn completed_of(last: &Life, group: &[Life]) -> Place {
    if planted(Bug::FencedResultAcceptedAtRecovery) {
        return group.iter().map(|life| life.completed).min().unwrap_or(Place::NONE);
    }
    last.completed
}

/// Takes over the checkpoints of those that were taken over from.
fn inherit(extra: &mut Extra, earlier: &[Life], extra_of: impl Fn(&Life) -> Option<Extra>) {
    let mut previous = extra.previous;
    // Fences grow along the chain, so one way back is enough.
    for life in earlier.iter().rev() {
        if previous == 0 {
            return;
        }
        if life.fence == previous {
            let before = extra_of(life).unwrap_or(Extra::EMPTY);
            extra.checkpoint = later(extra.checkpoint, before.checkpoint);
            previous = before.previous;
        }
    }
}

#[cfg(test)]
mod tests;
