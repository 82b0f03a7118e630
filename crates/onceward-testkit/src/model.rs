//! The rules once more, as plainly as they can be written: the oracle that stores are held to.
//!
//! Shares the words of `onceward-core` and none of its lifecycle. Where the lifecycle judges an
//! entry lazily at the instant of a request, the model does what is due when the clock moves;
//! where the lifecycle compares numbers in one view, the model keeps a list of facts and walks
//! through the checks in the order in which SEMANTICS names them. Slow and obvious on purpose.

mod entry;
mod judge;

use std::collections::BTreeMap;

use onceward_core::{
    AttemptId, BeginOutcome, CheckpointOutcome, CompleteOutcome, Fence, Fingerprint, Limits,
    Millis, NotKept, Refusal, StoredResult, Timestamp, Token,
};

use crate::operation::{Operation, Outcome};
use entry::{Entry, Phase};

/// A whole store for identities 0, 1, 2, …; answers every operation, waits excepted (S10): a
/// begin or get with a wait is answered as if it had none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Model {
    limits: Limits,
    entries_max: Option<usize>,
    now: u64,
    largest_fence: u64,
    /// Whether a store that is followed may say that it has no room.
    scarce: bool,
    /// What the store answered to the operation that is being judged; see [`Model::follow`].
    seen: Option<Outcome>,
    entries: BTreeMap<u32, Entry>,
    ended: Vec<EndedAttempt>,
}

/// An attempt that a begin may not revive (S3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
            largest_fence: Self::FENCE_FLOOR,
            scarce: false,
            seen: None,
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

    /// The same, but it lets a store that it follows say that it has no room (S11).
    #[must_use]
    pub const fn with_scarce_room(mut self) -> Self {
        self.scarce = true;
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
            Ok(()) => {
                self.settle_keeping(identity);
                self.judge(identity, operation)
            }
        }
    }

    /// Judges an operation that a store answered with `seen`, where the rules leave the store a
    /// choice as it chose: which larger fence it drew (S4), and, if room is scarce, whether there
    /// was any for a new entry, a checkpoint or a body (S11). The store keeps to the rules if and
    /// only if the outcome is `seen`; the state is of use only then.
    pub fn follow(&mut self, identity: u32, operation: &Operation, seen: &Outcome) -> Outcome {
        self.seen = Some(seen.clone());
        let outcome = self.apply(identity, operation);
        self.seen = None;
        outcome
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

    /// Where an identity stands, in one line of a trace.
    pub(crate) fn describe(&self, identity: u32) -> String {
        let at = format!("at {} ms", self.now);
        match self.entries.get(&identity) {
            None => format!("{at}: absent"),
            Some(entry) => format!(
                "{at}: fence {}, attempt number {}, acquired at {}, {:?}, {:?}, checkpoint {:?}, doubts {}, until {}: {}",
                entry.fence,
                entry.attempt_number,
                entry.acquired_at,
                entry.policy,
                entry.fingerprint,
                entry.checkpoint.as_ref().map(|held| held.ordinal),
                entry.doubts,
                entry.retention_ends,
                entry.phase
            ),
        }
    }

    /// The fence that the store drew if it is larger than all before it, else the next.
    fn draw_fence(&mut self) -> Fence {
        let next = Fence::new(self.largest_fence + 1).expect("far below 2^63");
        let drawn = self.seen.as_ref().and_then(Outcome::fence).unwrap_or(next);
        let fence = drawn.max(next);
        self.largest_fence = fence.get();
        fence
    }

    fn has_ended(&self, identity: u32, attempt_id: AttemptId) -> bool {
        self.ended_attempts().any(|ended| ended == (identity, attempt_id))
    }

    /// The identity becomes absent by request, and its attempt is remembered (S3).
    fn end(&mut self, identity: u32) {
        if let Some(entry) = self.entries.remove(&identity) {
            let forgotten_at = self.now.saturating_add(self.limits.attempt_memory.get());
            let attempt_id = entry.attempt_id;
            let ended = EndedAttempt { identity, attempt_id, forgotten_at };
            let place = |of: &EndedAttempt| (of.identity, *of.attempt_id.as_bytes());
            let at = self.ended.partition_point(|other| place(other) < place(&ended));
            self.ended.insert(at, ended); // In one order, whichever ended first.
        }
    }

    /// Whether the store said that there was no room for what it was asked to keep.
    fn lacks_room(&self) -> bool {
        let Some(seen) = self.seen.as_ref().filter(|_| self.scarce) else { return false };
        let not_kept = match seen {
            Outcome::Begin(BeginOutcome::Refused { reason: Refusal::Capacity, .. })
            | Outcome::Checkpoint(CheckpointOutcome::Refused { reason: Refusal::Capacity }) => {
                return true;
            }
            Outcome::Complete(
                CompleteOutcome::Completed { not_kept }
                | CompleteOutcome::AlreadyCompleted { not_kept },
            ) => *not_kept,
            seen => seen.result().and_then(StoredResult::not_kept),
        };
        not_kept == Some(NotKept::Capacity)
    }

    /// A resolve does not say whether there was room for the body; the next answer that shows or
    /// compares the result does.
    fn settle_keeping(&mut self, identity: u32) {
        let lacked = self.lacks_room();
        let tells = self.seen.as_ref().is_some_and(|seen| {
            let repeats = matches!(seen, Outcome::Complete(_)) && lacked;
            repeats || seen.result().is_some()
        });
        let body_max = self.limits.result_bytes_max;
        if let Some(entry) = self.entries.get_mut(&identity)
            && tells
        {
            entry.settle_keeping(lacked, body_max);
        }
    }

    fn is_full(&self) -> bool {
        self.lacks_room() || self.entries_max.is_some_and(|max| self.entries.len() >= max)
    }

    /// When the first entry's retention ends: room is due then at the latest.
    fn room_due(&self) -> Option<Millis> {
        let first = self.entries.values().map(|entry| entry.retention_ends).min();
        first.map(|ends| Millis::new(ends - self.now))
    }
}
