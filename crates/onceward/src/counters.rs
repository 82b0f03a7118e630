//! Figures, counted as things happen. Relaxed: each is exact, together they are a moment's blur.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use onceward_core::lifecycle::View;
use onceward_core::{BeginOutcome, StateName, Stats};

use crate::engine::Effect;

macro_rules! counters {
    ($($name:ident,)+) => {
        /// One atomic per figure of [`Stats`] that is counted.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: Counter,)+ }

        impl Counters {
            pub(crate) fn fill(&self, stats: &mut Stats) {
                $(stats.$name = self.$name.get();)+
            }
        }
    };
}

counters! {
    entries, entries_reserved, entries_in_doubt, entries_completed, waiters,
    attempts_remembered, attempts_forgotten_early,
    begin_acquired, begin_repeated, begin_takeover, begin_replay, begin_in_progress,
    begin_mismatch, begin_need_fingerprint, begin_in_doubt, begin_refused, begin_gone,
    waits_answered, waits_ended,
    complete_completed, complete_not_kept, complete_repeated, complete_conflict,
    fenced, abandoned, renewed, checkpoints_saved, resolved, forgotten,
    expired, expired_unfinished,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    pub(crate) fn one_more(&self) {
        self.add(1);
    }

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

impl Counters {
    pub(crate) fn state(&self, state: StateName) -> &Counter {
        match state {
            StateName::Reserved => &self.entries_reserved,
            StateName::InDoubt => &self.entries_in_doubt,
            StateName::Completed => &self.entries_completed,
        }
    }

    /// An entry came or went.
    pub(crate) fn came(&self, view: &View) {
        self.entries.one_more();
        self.state(view.state_name()).one_more();
    }

    pub(crate) fn went(&self, view: &View) {
        self.entries.less(1);
        self.state(view.state_name()).less(1);
    }

    /// A begin was judged for good: it waits no longer.
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
    pub(crate) fn changed(&self, from: &View, to: &View) {
        let (from, to) = (from.state_name(), to.state_name());
        if from != to {
            self.state(from).less(1);
            self.state(to).one_more();
        }
    }
}
