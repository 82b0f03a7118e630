//! The rules once more, as plainly as they can be written: the oracle that stores are held to.
//!
//! Shares the words of `onceward-core` and none of its lifecycle. Where the lifecycle judges an
//! entry lazily at the instant of a request, the model does what is due when the clock moves;
//! where the lifecycle compares numbers in one view, the model keeps a list of facts and walks
//! through the checks in the order in which SEMANTICS names them. Slow and obvious on purpose.

mod entry;
mod judge;

use std::collections::BTreeMap;

use onceward_core::{AttemptId, Fence, Fingerprint, Limits, Millis, Timestamp, Token};

use crate::operation::{Operation, Outcome};
use entry::{Entry, Phase};

/// A whole store for identities 0, 1, 2, …; answers every operation, waits excepted (S10): a
/// begin or get with a wait is answered as if it had none.
#[derive(Clone, Debug)]
pub struct Model {
    limits: Limits,
    entries_max: Option<usize>,
    now: u64,
    fences_drawn: u64,
    entries: BTreeMap<u32, Entry>,
    ended: Vec<EndedAttempt>,
}

/// An attempt that a begin may not revive (S3).
#[derive(Clone, Copy, Debug)]
struct EndedAttempt {
    identity: u32,
    attempt_id: AttemptId,
    forgotten_at: u64,
}

/// What a generator of operations may know of an entry, to aim at it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Glimpse {
    /// The current owner's right.
    pub token: Token,
    /// What it is bound to.
    pub fingerprint: Fingerprint,
    /// What a resolver would name now.
    pub doubt_number: u32,
    /// The ordinal held; 0 without a checkpoint.
    pub checkpoint_ordinal: u32,
}

impl Model {
    /// Every fence the model draws is larger than this, so that smaller ones can be forged.
    pub const FENCE_FLOOR: u64 = 1_000;

    /// An empty store whose clock stands at `now`, without a bound on entries.
    #[must_use]
    pub const fn new(limits: Limits, now: Timestamp) -> Self {
        Self {
            limits,
            entries_max: None,
            now: now.as_millis(),
            fences_drawn: 0,
            entries: BTreeMap::new(),
            ended: Vec::new(),
        }
    }

    /// The same with room for `entries_max` entries; a begin that needs one more is Refused (S11).
    #[must_use]
    pub const fn with_room_for(mut self, entries_max: usize) -> Self {
        self.entries_max = Some(entries_max);
        self
    }

    /// Where the clock stands.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    /// Moves the clock and does what has come due by then.
    ///
    /// # Panics
    /// If the clock would go back, which no run may ask for (S15).
    pub fn move_clock(&mut self, now: Timestamp) {
        assert!(self.now <= now.as_millis(), "a run moved the clock back");
        self.now = now.as_millis();
        let now = self.now;
        for entry in self.entries.values_mut() {
            entry.lapse_if_due(now);
        }
        // S7: from the end of its retention on it is absent, whatever its state.
        self.entries.retain(|_, entry| now < entry.retention_ends);
        self.ended.retain(|attempt| now < attempt.forgotten_at);
    }

    /// Judges one operation and changes the state as the rules say.
    pub fn apply(&mut self, identity: u32, operation: &Operation) -> Outcome {
        match judge::limits(&self.limits, operation) {
            Err(bad) => Outcome::BadInput(bad),
            Ok(()) => self.judge(identity, operation),
        }
    }

    /// Every instant at which something happens by itself, past ones excluded. Unsorted.
    #[must_use]
    pub fn deadlines(&self) -> Vec<Timestamp> {
        let mut deadlines = Vec::new();
        for entry in self.entries.values() {
            deadlines.push(entry.retention_ends);
            if let Phase::Leased { lease_ends } = entry.phase {
                deadlines.push(lease_ends);
            }
        }
        deadlines.extend(self.ended.iter().map(|attempt| attempt.forgotten_at));
        deadlines.into_iter().map(Timestamp::from_millis).collect()
    }

    /// What is to be known of an identity that is not absent.
    #[must_use]
    pub fn glimpse(&self, identity: u32) -> Option<Glimpse> {
        self.entries.get(&identity).map(|entry| Glimpse {
            token: Token { fence: entry.fence, attempt_id: entry.attempt_id },
            fingerprint: entry.fingerprint,
            doubt_number: entry.doubts,
            checkpoint_ordinal: entry.checkpoint.as_ref().map_or(0, |held| held.ordinal),
        })
    }

    /// Attempt ids that would be Gone, with their identities.
    pub fn ended_attempts(&self) -> impl Iterator<Item = (u32, AttemptId)> {
        self.ended.iter().map(|attempt| (attempt.identity, attempt.attempt_id))
    }

    fn draw_fence(&mut self) -> Fence {
        self.fences_drawn += 1;
        Fence::new(Self::FENCE_FLOOR + self.fences_drawn).expect("far below 2^63")
    }

    fn has_ended(&self, identity: u32, attempt_id: AttemptId) -> bool {
        self.ended_attempts().any(|ended| ended == (identity, attempt_id))
    }

    /// The identity becomes absent by request, and its attempt is remembered (S3).
    fn end(&mut self, identity: u32) {
        if let Some(entry) = self.entries.remove(&identity) {
            let forgotten_at = self.now.saturating_add(self.limits.attempt_memory.get());
            let attempt_id = entry.attempt_id;
            self.ended.push(EndedAttempt { identity, attempt_id, forgotten_at });
        }
    }

    fn is_full(&self) -> bool {
        self.entries_max.is_some_and(|max| self.entries.len() >= max)
    }

    /// When the first entry's retention ends: room is due then at the latest.
    fn room_due(&self) -> Option<Millis> {
        let first = self.entries.values().map(|entry| entry.retention_ends).min();
        first.map(|ends| Millis::new(ends - self.now))
    }
}
