//! Figures, counted as things happen. Relaxed: each is exact, together they are a moment's blur.
//!
//! Every thread counts in a stripe of its own as far as there are stripes, so that two threads at
//! work on different keys share no cache line here, and no count is a locked instruction. Reading
//! adds the stripes up.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use onceward_core::lifecycle::View;
use onceward_core::{BeginOutcome, StateName, Stats};

use crate::engine::Effect;
use crate::segments::thread_number::{number_or_most, thread_number};

/// Stripes per store. The last is shared by all threads of a process from this many on, which
/// costs time and no count.
const STRIPES: usize = 64;

macro_rules! counters {
    ($($name:ident,)+) => {
        /// One stripe: a part of each figure of [`Stats`] that is counted. What one thread adds
        /// another may take away, so a part may wrap; their sum does not.
        #[derive(Debug, Default)]
        #[repr(align(128))] // Two lines of 64 bytes, which processors fetch in pairs.
        pub(crate) struct Figures { $(pub(crate) $name: Counter,)+ }

        impl Counters {
            pub(crate) fn fill(&self, stats: &mut Stats) {
                stats.waiters = self.waiters.get();
                $(stats.$name = self.sum(|figures| &figures.$name);)+
                stats.entries =
                    stats.entries_reserved + stats.entries_in_doubt + stats.entries_completed;
            }
        }
    };
}

counters! {
    entries_reserved, entries_in_doubt, entries_completed,
    attempts_remembered, attempts_forgotten_early,
    begin_acquired, begin_repeated, begin_takeover, begin_replay, begin_in_progress,
    begin_mismatch, begin_need_fingerprint, begin_in_doubt, begin_refused, begin_gone,
    waits_answered, waits_ended,
    complete_completed, complete_not_kept, complete_repeated, complete_conflict,
    fenced, abandoned, renewed, checkpoints_saved, resolved, forgotten,
    expired, expired_unfinished,
}

/// A part of some figures for each thread. Dereferences to that of the thread that counts.
#[derive(Debug)]
pub(crate) struct Striped<F>(Box<[F; STRIPES]>);

impl<F: Default> Default for Striped<F> {
    fn default() -> Self {
        Self(Box::new(std::array::from_fn(|_| F::default())))
    }
}

impl<F> Striped<F> {
    /// Of all parts; modulo 2^64, for each of them may be less than nothing.
    pub(crate) fn sum(&self, figure: impl Fn(&F) -> &Counter) -> u64 {
        self.0.iter().fold(0, |sum, stripe| sum.wrapping_add(figure(stripe).0.load(Relaxed)))
    }
}

impl<F> Deref for Striped<F> {
    type Target = F;

    #[inline]
    fn deref(&self) -> &F {
        &self.0[thread_number().min(STRIPES - 1)]
    }
}

/// The store's figures. Dereferences to the stripe of the thread that counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    stripes: Striped<Figures>,
    /// Held against a limit, hence in one place.
    pub(crate) waiters: SharedCounter,
}

impl Counters {
    fn sum(&self, figure: impl Fn(&Figures) -> &Counter) -> u64 {
        // What came on a stripe read early and went on one read late counts as less than nothing.
        self.stripes.sum(figure).cast_signed().max(0).cast_unsigned()
    }
}

impl Deref for Counters {
    type Target = Figures;

    #[inline]
    fn deref(&self) -> &Figures {
        &self.stripes
    }
}

/// A part of a figure. Reached by dereferencing [`Striped`] only: so nobody but the thread whose
/// stripe it is in changes it, except in the last one.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Says what it was before.
    #[inline]
    pub(crate) fn add(&self, amount: u64) -> u64 {
        if number_or_most() >= STRIPES - 1 {
            return self.0.fetch_add(amount, Relaxed);
        }
        let before = self.0.load(Relaxed);
        self.0.store(before.wrapping_add(amount), Relaxed);
        before
    }

    #[inline]
    pub(crate) fn one_more(&self) {
        self.add(1);
    }

    #[inline]
    pub(crate) fn less(&self, amount: u64) {
        self.add(amount.wrapping_neg());
    }
}

/// A figure in one place, which all threads change.
#[derive(Debug, Default)]
pub(crate) struct SharedCounter(AtomicU64);

impl SharedCounter {
    pub(crate) fn less(&self, amount: u64) {
        self.0.fetch_sub(amount, Relaxed);
    }

    /// Counts one more unless there are `most` already.
    pub(crate) fn one_more_up_to(&self, most: u64) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |count| (count < most).then_some(count + 1)).is_ok()
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Figures {
    #[inline]
    pub(crate) fn state(&self, state: StateName) -> &Counter {
        match state {
            StateName::Reserved => &self.entries_reserved,
            StateName::InDoubt => &self.entries_in_doubt,
            StateName::Completed => &self.entries_completed,
        }
    }

    /// An entry came or went; all states together are all entries.
    #[inline]
    pub(crate) fn came(&self, view: &View) {
        self.state(view.state_name()).one_more();
    }

    #[cfg(any(plain, test))]
    pub(crate) fn went(&self, view: &View) {
        self.state(view.state_name()).less(1);
    }

    /// A begin was judged for good: it waits no longer.
    #[inline]
    pub(crate) fn began(&self, outcome: &BeginOutcome<()>, effect: Effect) {
        let counter = match (outcome, effect) {
            (BeginOutcome::Acquired(_), Effect::Repeated) => &self.begin_repeated,
            (BeginOutcome::Acquired(_), Effect::TakenOver) => &self.begin_takeover,
            (BeginOutcome::Acquired(_), _) => &self.begin_acquired,
            (BeginOutcome::Replay(_), _) => &self.begin_replay,
            (BeginOutcome::InProgress { .. }, _) => &self.begin_in_progress,
            (BeginOutcome::Mismatch, _) => &self.begin_mismatch,
            (BeginOutcome::NeedFingerprint, _) => &self.begin_need_fingerprint,
            (BeginOutcome::InDoubt { .. }, _) => &self.begin_in_doubt,
            (BeginOutcome::Refused { .. }, _) => &self.begin_refused,
            (BeginOutcome::Gone | BeginOutcome::Expired { .. }, _) => &self.begin_gone,
        };
        counter.one_more();
    }

    /// An entry changed its state.
    #[cfg(any(plain, test))]
    pub(crate) fn changed(&self, from: &View, to: &View) {
        self.moved(from.state_name(), to.state_name());
    }

    /// An entry changed its state.
    #[inline]
    pub(crate) fn moved(&self, from: StateName, to: StateName) {
        if from != to {
            self.state(from).less(1);
            self.state(to).one_more();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn what_threads_count_adds_up() {
        let counters = Counters::default();
        counters.entries_completed.add(3);
        // More threads than stripes, each taking away what another one added.
        thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| {
                    counters.entries_completed.add(2);
                    counters.renewed.one_more();
                });
            }
        });
        thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| counters.entries_completed.less(2));
            }
        });
        let mut stats = Stats::default();
        counters.fill(&mut stats);
        assert_eq!((stats.entries, stats.renewed), (3, 2 * STRIPES as u64));
        counters.entries_completed.less(4);
        counters.fill(&mut stats);
        assert_eq!(stats.entries, 0, "a blur is no figure of 2^64");
    }
}
