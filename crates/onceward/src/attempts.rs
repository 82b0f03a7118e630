//! Attempt ids that have ended, remembered for a while so that a delayed duplicate of their begin
//! acquires nothing with nobody behind it (S3).

use std::hash::{BuildHasher as _, RandomState};
use std::ops::Bound::{Excluded, Included};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crossbeam_skiplist::SkipMap;
use onceward_core::{AttemptId, Timestamp};

use crate::storage::Hashed;

/// What one remembered attempt costs, charged to the budget: a node in each of two skip lists, of
/// 40 bytes of key, header, tower and the allocator's share.
pub(crate) const ATTEMPT_BYTES: u64 = 192;

/// Due ones forgotten for each one remembered, so that the memory shrinks by its own use too.
const FORGET_STEPS: usize = 2;
/// Cells of the filter, 4 KiB: a power of two.
const FILTER_CELLS: usize = 1024;

/// An attempt of one identity, which is named by 128 bits of keyed hashes: two of 64 bits under
/// keys of their own.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
struct Attempt {
    identity: (u64, u64),
    attempt_id: [u8; 16],
}

/// Bounded in number and in time. No locks: whoever pauses in a method holds nobody up.
///
/// Invariants:
/// 1. A record is held from its insertion into `by_attempt` to its removal from it; `held` and
///    the filter count it from before the one to after the other. So who sees the removal of an
///    entry, before which its attempt was remembered, does not overlook the attempt.
/// 2. Whoever takes a record out of `by_end`, where it is once, takes it out of `by_attempt` and
///    counts it as dropped. So each is dropped once, whoever helps.
pub(crate) struct EndedAttempts {
    /// The value names the call that inserted it: of several with one record one has added it.
    by_attempt: SkipMap<(Attempt, Timestamp), u64>,
    by_end: SkipMap<(Timestamp, Attempt), ()>,
    held: AtomicUsize,
    calls: AtomicU64,
    /// How many records there are by a few bits of the identity's hash.
    filter: Box<[AtomicU32]>,
    /// Makes an identity's second hash; taken only where an attempt is looked for.
    second: RandomState,
}

impl Default for EndedAttempts {
    fn default() -> Self {
        Self {
            by_attempt: SkipMap::new(),
            by_end: SkipMap::new(),
            held: AtomicUsize::new(0),
            calls: AtomicU64::new(0),
            filter: (0..FILTER_CELLS).map(|_| AtomicU32::new(0)).collect(),
            second: RandomState::new(),
        }
    }
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
        let identity = (id.hash, self.second.hash_one(id.identity));
        Attempt { identity, attempt_id: *attempt_id.as_bytes() }
    }

    #[inline]
    fn cell(&self, hash: u64) -> &AtomicU32 {
        &self.filter[(hash >> 16) as usize & (FILTER_CELLS - 1)]
    }

    /// Remembers an attempt until then, once however often it is called for that. At most `most`
    /// are held, give or take one for each thread that is in here.
    pub(crate) fn remember(
        &self,
        id: &Hashed<'_>,
        attempt_id: AttemptId,
        until: Timestamp,
        now: Timestamp,
        most: usize,
    ) -> Remembered {
        let mut steps = FORGET_STEPS;
        let mut change = self.forget_due(now, &mut steps);
        let attempt = self.attempt(id, attempt_id);
        if most == 0 || self.by_attempt.contains_key(&(attempt, until)) {
            return change;
        }
        while self.held.load(Relaxed) >= most && self.drop_first(now, &mut change) {}
        let call = self.calls.fetch_add(1, Relaxed);
        self.held.fetch_add(1, Relaxed);
        self.cell(id.hash).fetch_add(1, Relaxed);
        if *self.by_attempt.get_or_insert((attempt, until), call).value() != call {
            self.discount(&attempt); // Another call was first.
            return change;
        }
        self.by_end.insert((until, attempt), ());
        change.added = 1;
        // It may have ended before, for a shorter time: it is held once.
        let shorter = (Included(&(attempt, Timestamp::ZERO)), Excluded(&(attempt, until)));
        for record in self.by_attempt.range::<(Attempt, Timestamp), _>(shorter) {
            let (_, end) = *record.key();
            if self.by_end.remove(&(end, attempt)).is_some() {
                record.remove();
                self.discount(&attempt);
                if change.added == 1 {
                    change.added = 0;
                } else {
                    change.dropped += 1;
                }
            }
        }
        change
    }

    /// Mostly nothing is remembered, or nothing about an identity like this one: a look each.
    #[inline]
    pub(crate) fn contains(&self, id: &Hashed<'_>, attempt_id: AttemptId, now: Timestamp) -> bool {
        if self.held.load(Relaxed) == 0 || self.cell(id.hash).load(Relaxed) == 0 {
            return false;
        }
        let attempt = self.attempt(id, attempt_id);
        let later = (Excluded(&(attempt, now)), Included(&(attempt, Timestamp::MAX)));
        self.by_attempt.range::<(Attempt, Timestamp), _>(later).next().is_some()
    }

    /// Forgets those whose time has come, one per step; `steps` is lowered by the work done.
    pub(crate) fn forget_due(&self, now: Timestamp, steps: &mut usize) -> Remembered {
        let mut change = Remembered::default();
        while *steps > 0 && self.next_deadline().is_some_and(|until| until <= now) {
            *steps -= 1;
            self.drop_first(now, &mut change);
        }
        change
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        if self.held.load(Relaxed) == 0 {
            return None;
        }
        self.by_end.front().map(|first| first.key().0)
    }

    /// Whether there was one.
    fn drop_first(&self, now: Timestamp, change: &mut Remembered) -> bool {
        let Some(first) = self.by_end.pop_front() else { return false };
        let (until, attempt) = *first.key();
        self.by_attempt.remove(&(attempt, until));
        self.discount(&attempt);
        change.dropped += 1;
        change.dropped_early += u64::from(now < until);
        true
    }

    fn discount(&self, attempt: &Attempt) {
        self.cell(attempt.identity.0).fetch_sub(1, Relaxed);
        self.held.fetch_sub(1, Relaxed);
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
        Hashed { identity, hash, image: Image::of(names.number(identity.namespace()), identity) }
    }

    #[test]
    fn attempts_are_remembered_for_their_time_and_within_the_bound_s3() {
        let (attempts, one) = (EndedAttempts::default(), hashed(b"one", 1));
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
        let (attempts, one) = (EndedAttempts::default(), hashed(b"one", 1));
        let (id, at) = (AttemptId::from_bytes([1; 16]), Timestamp::from_millis);
        attempts.remember(&one, id, at(100), at(0), 10);
        let change = attempts.remember(&one, id, at(150), at(50), 10);
        assert_eq!(change, Remembered::default(), "it is held once");
        let mut steps = 10;
        assert_eq!(attempts.forget_due(at(100), &mut steps), Remembered::default());
        assert!(attempts.contains(&one, id, at(149)), "for as long as it ended last");
        let change = attempts.forget_due(at(150), &mut steps);
        assert_eq!(change, Remembered { added: 0, dropped: 1, dropped_early: 0 });
        assert_eq!((steps, attempts.next_deadline()), (9, None));
    }

    #[test]
    fn however_many_help_each_attempt_is_counted_once_s3() {
        const EACH: u64 = 500;
        let attempts = EndedAttempts::default();
        let at = Timestamp::from_millis;
        let all = |act: &(dyn Fn(u64) -> Remembered + Sync)| {
            let start = std::sync::Barrier::new(4);
            let run = || {
                start.wait();
                (0..EACH).map(act).fold((0, 0), |(added, dropped), change| {
                    (added + change.added, dropped + change.dropped)
                })
            };
            std::thread::scope(|scope| {
                let threads = [(); 4].map(|()| scope.spawn(run));
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
            })
        };
        let name = |number: u64| (number.to_le_bytes(), number << 16);
        let remember = |number| {
            let (key, hash) = name(number);
            let id = AttemptId::from_bytes([1; 16]);
            attempts.remember(&hashed(&key, hash), id, at(1_000 + number), at(0), usize::MAX)
        };
        assert_eq!(all(&remember), (EACH, 0));
        let (key, hash) = name(7);
        let held =
            |now| attempts.contains(&hashed(&key, hash), AttemptId::from_bytes([1; 16]), now);
        assert!(held(at(1_006)) && !held(at(1_007)));
        let forget = |number| attempts.forget_due(at(1_000 + number), &mut 2);
        let (_, dropped) = all(&forget);
        let rest = attempts.forget_due(at(10_000), &mut 10_000).dropped;
        assert_eq!(dropped + rest, EACH);
        assert_eq!(attempts.held.load(Relaxed), 0);
        assert!(attempts.filter.iter().all(|cell| cell.load(Relaxed) == 0));
        assert!(attempts.by_attempt.is_empty() && attempts.by_end.is_empty());
    }
}
