//! Attempt ids that have ended, remembered for a while so that a delayed duplicate of their begin
//! acquires nothing with nobody behind it (S3).

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use onceward_core::{AttemptId, Timestamp};

use crate::storage::Hashed;

/// What one remembered attempt costs, charged to the budget: its place in map and queue.
pub(crate) const ATTEMPT_BYTES: u64 = 128;

/// Due ones forgotten for each one remembered, so that the memory shrinks by its own use too.
const FORGET_STEPS: usize = 2;

/// An attempt of one identity, which is named by 128 bits of keyed hashes: two of 64 bits under
/// keys of their own.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
struct Attempt {
    identity: (u64, u64),
    attempt_id: AttemptId,
}

/// Bounded in number and in time.
#[derive(Default)]
pub(crate) struct EndedAttempts {
    ended: HashMap<Attempt, Timestamp, RandomState>,
    /// In the order in which they may be forgotten. Every attempt in the map is here with the
    /// instant that the map has; one that was remembered anew is here with earlier ones as well.
    queue: VecDeque<(Timestamp, Attempt)>,
    /// Makes an identity's second hash; taken only where an attempt is looked for.
    second: RandomState,
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
    fn attempt(&self, id: &Hashed<'_>, attempt_id: AttemptId) -> Attempt {
        Attempt { identity: (id.hash, self.second.hash_one(id.identity)), attempt_id }
    }

    pub(crate) fn remember(
        &mut self,
        id: &Hashed<'_>,
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
        let attempt = self.attempt(id, attempt_id);
        self.queue.push_back((until, attempt));
        if self.ended.insert(attempt, until).is_none() {
            change.added = 1;
        }
        change
    }

    pub(crate) fn contains(&self, id: &Hashed<'_>, attempt_id: AttemptId, now: Timestamp) -> bool {
        // Most stores never end an attempt early: one look at an empty map.
        !self.ended.is_empty()
            && self.ended.get(&self.attempt(id, attempt_id)).is_some_and(|&until| now < until)
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
        let Some((until, attempt)) = self.queue.pop_front() else { return };
        if self.ended.get(&attempt) == Some(&until) {
            self.ended.remove(&attempt);
            change.dropped += 1;
            change.dropped_early += u64::from(now < until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashed::Image;
    use crate::namespaces::Namespaces;
    use onceward_core::Identity;

    fn hashed(key: &[u8], hash: u64) -> Hashed<'_> {
        let identity = Identity::new("orders", b"", key).unwrap();
        let names = Namespaces::new(&std::collections::BTreeMap::new());
        Hashed { identity, hash, image: Image::of(&names, identity) }
    }

    #[test]
    fn attempts_are_remembered_for_their_time_and_within_the_bound_s3() {
        let (mut attempts, one) = (EndedAttempts::default(), hashed(b"one", 1));
        let id = |byte| AttemptId::from_bytes([byte; 16]);
        let at = Timestamp::from_millis;
        attempts.remember(&one, id(1), at(100), at(0), 2);
        assert!(attempts.contains(&one, id(1), at(99)));
        assert!(!attempts.contains(&one, id(1), at(100)), "until its own instant");
        assert!(!attempts.contains(&hashed(b"other", 2), id(1), at(0)), "another identity's");
        assert!(!attempts.contains(&hashed(b"other", 1), id(1), at(0)), "that shares a hash");
        attempts.remember(&one, id(2), at(110), at(10), 2);
        let change = attempts.remember(&one, id(3), at(120), at(20), 2);
        assert_eq!(change, Remembered { added: 1, dropped: 1, dropped_early: 1 });
        assert!(!attempts.contains(&one, id(1), at(20)), "the oldest makes room");
        let change = attempts.remember(&one, id(4), at(300), at(200), 2);
        assert_eq!(change, Remembered { added: 1, dropped: 2, dropped_early: 0 });
    }

    #[test]
    fn an_attempt_that_ends_again_is_remembered_anew_s3() {
        let (mut attempts, one) = (EndedAttempts::default(), hashed(b"one", 1));
        let (id, at) = (AttemptId::from_bytes([1; 16]), Timestamp::from_millis);
        attempts.remember(&one, id, at(100), at(0), 10);
        let change = attempts.remember(&one, id, at(150), at(50), 10);
        assert_eq!(change, Remembered::default(), "it is held once");
        let mut steps = 10;
        assert_eq!(attempts.forget_due(at(100), &mut steps), Remembered::default());
        assert!(attempts.contains(&one, id, at(149)), "for as long as it ended last");
        let change = attempts.forget_due(at(150), &mut steps);
        assert_eq!(change, Remembered { added: 0, dropped: 1, dropped_early: 0 });
        assert_eq!((steps, attempts.next_deadline()), (8, None));
    }
}
