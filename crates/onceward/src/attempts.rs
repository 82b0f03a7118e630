//! Attempt ids that have ended, remembered for a while so that a delayed duplicate of their begin
//! acquires nothing with nobody behind it (S3).

use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;

use onceward_core::{AttemptId, Timestamp};

/// What one remembered attempt costs, charged to the budget: its place in map and queue.
pub(crate) const ATTEMPT_BYTES: u64 = 96;

/// Due ones forgotten for each one remembered, so that the memory shrinks by its own use too.
const FORGET_STEPS: usize = 2;

/// Bounded in number and in time. `hash` names the identity.
#[derive(Default)]
pub(crate) struct EndedAttempts {
    ended: HashMap<(u64, AttemptId), Timestamp, RandomState>,
    /// In the order in which they may be forgotten. Every attempt in the map is here with the
    /// instant that the map has; one that was remembered anew is here with earlier ones as well.
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
        let mut steps = FORGET_STEPS;
        let mut change = self.forget_due(now, &mut steps);
        if most == 0 {
            return change;
        }
        while self.queue.len() >= most {
            self.drop_first(now, &mut change);
        }
        self.queue.push_back((until, hash, attempt_id));
        if self.ended.insert((hash, attempt_id), until).is_none() {
            change.added = 1;
        }
        change
    }

    pub(crate) fn contains(&self, hash: u64, attempt_id: AttemptId, now: Timestamp) -> bool {
        // Most stores never end an attempt early: one look at an empty map.
        !self.ended.is_empty()
            && self.ended.get(&(hash, attempt_id)).is_some_and(|&until| now < until)
    }

    /// Forgets those whose time has come, one per step; `steps` is lowered by the work done.
    pub(crate) fn forget_due(&mut self, now: Timestamp, steps: &mut usize) -> Remembered {
        let mut change = Remembered::default();
        while *steps > 0 && self.queue.front().is_some_and(|&(until, ..)| until <= now) {
            *steps -= 1;
            self.drop_first(now, &mut change);
        }
        change
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.queue.front().map(|&(until, ..)| until)
    }

    fn drop_first(&mut self, now: Timestamp, change: &mut Remembered) {
        let Some((until, hash, attempt_id)) = self.queue.pop_front() else { return };
        if self.ended.get(&(hash, attempt_id)) == Some(&until) {
            self.ended.remove(&(hash, attempt_id));
            change.dropped += 1;
            change.dropped_early += u64::from(now < until);
        }
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

    #[test]
    fn an_attempt_that_ends_again_is_remembered_anew_s3() {
        let mut attempts = EndedAttempts::default();
        let (id, at) = (AttemptId::from_bytes([1; 16]), Timestamp::from_millis);
        attempts.remember(1, id, at(100), at(0), 10);
        let change = attempts.remember(1, id, at(150), at(50), 10);
        assert_eq!(change, Remembered::default(), "it is held once");
        let mut steps = 10;
        assert_eq!(attempts.forget_due(at(100), &mut steps), Remembered::default());
        assert!(attempts.contains(1, id, at(149)), "for as long as it ended last");
        let change = attempts.forget_due(at(150), &mut steps);
        assert_eq!(change, Remembered { added: 0, dropped: 1, dropped_early: 0 });
        assert_eq!((steps, attempts.next_deadline()), (8, None));
    }
}
