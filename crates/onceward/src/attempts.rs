//! Attempt ids that have ended, remembered for a while so that a delayed duplicate of their begin
//! acquires nothing with nobody behind it (S3).

use std::collections::VecDeque;
use std::hash::RandomState;

use onceward_core::{AttemptId, Timestamp};

/// What one remembered attempt costs, charged to the budget: its place in map and queue.
pub(crate) const ATTEMPT_BYTES: u64 = 96;

/// Bounded in number and in time. `hash` names the identity.
#[derive(Default)]
pub(crate) struct EndedAttempts {
    ended: std::collections::HashMap<(u64, AttemptId), Timestamp, RandomState>,
    /// In the order in which they may be forgotten.
    queue: VecDeque<(Timestamp, u64, AttemptId)>,
}

/// How remembering changed the number of attempts held.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Remembered {
    pub(crate) added: u64,
    pub(crate) dropped: u64,
    /// Of the dropped ones, those whose time had not come.
    pub(crate) dropped_early: u64,
}

impl EndedAttempts {
    pub(crate) fn remember(
        &mut self,
        hash: u64,
        attempt_id: AttemptId,
        until: Timestamp,
        now: Timestamp,
        most: usize,
    ) -> Remembered {
        let mut change = self.forget_due(now);
        if most == 0 {
            return change;
        }
        if self.queue.len() >= most && self.drop_first() {
            change.dropped += 1;
            change.dropped_early += 1;
        }
        if self.ended.insert((hash, attempt_id), until).is_none() {
            self.queue.push_back((until, hash, attempt_id));
            change.added = 1;
        }
        change
    }

    pub(crate) fn contains(&self, hash: u64, attempt_id: AttemptId, now: Timestamp) -> bool {
        // Most stores never end an attempt early: one look at an empty map.
        !self.ended.is_empty()
            && self.ended.get(&(hash, attempt_id)).is_some_and(|&until| now < until)
    }

    pub(crate) fn forget_due(&mut self, now: Timestamp) -> Remembered {
        let mut change = Remembered::default();
        while self.queue.front().is_some_and(|&(until, ..)| until <= now) && self.drop_first() {
            change.dropped += 1;
        }
        change
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.queue.front().map(|&(until, ..)| until)
    }

    fn drop_first(&mut self) -> bool {
        let Some((_, hash, attempt_id)) = self.queue.pop_front() else { return false };
        self.ended.remove(&(hash, attempt_id)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_remembered_for_their_time_and_within_the_bound_s3() {
        let mut attempts = EndedAttempts::default();
        let id = |byte| AttemptId::from_bytes([byte; 16]);
        let at = Timestamp::from_millis;
        attempts.remember(1, id(1), at(100), at(0), 2);
        assert!(attempts.contains(1, id(1), at(99)));
        assert!(!attempts.contains(1, id(1), at(100)), "until its own instant");
        assert!(!attempts.contains(2, id(1), at(0)), "another identity's");
        attempts.remember(1, id(2), at(110), at(10), 2);
        let change = attempts.remember(1, id(3), at(120), at(20), 2);
        assert_eq!(change, Remembered { added: 1, dropped: 1, dropped_early: 1 });
        assert!(!attempts.contains(1, id(1), at(20)), "the oldest makes room");
        let change = attempts.remember(1, id(4), at(300), at(200), 2);
        assert_eq!(change, Remembered { added: 1, dropped: 2, dropped_early: 0 });
    }
}
