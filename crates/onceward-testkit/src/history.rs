//! Whether what several threads saw of one identity at once can be explained by the rules: a
//! linearizability check after Wing & Gong and Lowe.
//!
//! A history is right if its calls can be put into one order that keeps every call that was
//! answered before another was made before that other, and in which the naive model gives each
//! call the answer it got. Moves of the clock are part of the order. They must not overlap a call,
//! except calls that wait: so the instant at which any other call was judged is known.
//!
//! The search goes breadth first over pairs of which calls are done and where the model stands; a
//! pair that is reached twice is followed once. A call whose answer means that nothing was changed
//! is put in order as soon as it can be, which loses no order: whatever follows is the same
//! without it. (Not so a renew that happens to change nothing now: it might have later.)
//! Between two moments at which no call is under way nothing is remembered but where the model may
//! stand, so a long history costs no more than its busiest stretch.

mod witness;

use std::collections::HashMap;

use onceward_core::Timestamp;

use crate::model::Model;
use crate::operation::{Operation, Outcome};
pub use witness::Impossible;

/// Pairs that one stretch of a history may take before the check gives up.
const PAIRS_MAX: usize = 1_000_000;

/// Something that one thread did, from a moment before it to a moment after it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// When it began. Moments are of one counter that all threads share; each is used once.
    pub began: u64,
    /// When it had ended.
    pub ended: u64,
    /// What it was.
    pub what: Happened,
}

/// What happens in a history.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are calls")]
pub enum Happened {
    /// The clock was moved.
    MoveClock(Timestamp),
    /// The store was asked about the identity.
    Call {
        /// By whom.
        caller: u32,
        /// What.
        operation: Operation,
        /// With this answer.
        outcome: Outcome,
    },
}

/// Checks the history of one identity piece by piece.
#[derive(Debug)]
pub struct Checker {
    identity: u32,
    /// Where the model may stand. Never empty.
    standing: Vec<Model>,
    pairs_most: usize,
}

/// Why a stretch has no order.
enum Searched {
    Orders(Vec<Model>),
    None,
    TooMany,
}

impl Checker {
    /// Before anything has happened.
    #[must_use]
    pub fn new(identity: u32, model: Model) -> Self {
        Self { identity, standing: vec![model], pairs_most: 0 }
    }

    /// One of the models that explain the history so far.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.standing[0]
    }

    /// The most pairs that a stretch has taken so far.
    #[must_use]
    pub const fn pairs_most(&self) -> usize {
        self.pairs_most
    }

    /// Goes on with what happened next, in any order; no call may be under way at the end.
    ///
    /// # Errors
    /// [`Impossible`] with the shortest piece of it that has no explanation.
    pub fn go_on(&mut self, mut events: Vec<Event>) -> Result<(), Box<Impossible>> {
        events.sort_by_key(|event| event.began);
        let mut stretch = Vec::new();
        let mut ends = 0;
        for event in events {
            if !stretch.is_empty() && event.began > ends {
                self.explain(core::mem::take(&mut stretch))?;
            }
            ends = ends.max(event.ended);
            stretch.push(event);
        }
        self.explain(stretch)
    }

    fn explain(&mut self, stretch: Vec<Event>) -> Result<(), Box<Impossible>> {
        if stretch.is_empty() {
            return Ok(());
        }
        match self.search(&stretch, u64::MAX) {
            Searched::Orders(standing) => {
                self.standing = standing;
                Ok(())
            }
            Searched::None => Err(Box::new(self.shortest(stretch))),
            Searched::TooMany => Err(Box::new(self.give_up(stretch))),
        }
    }

    /// Every model that may stand after `stretch`, sorted by when its events began. Events that
    /// ended after `cut` may have happened or not.
    fn search(&mut self, stretch: &[Event], cut: u64) -> Searched {
        let certain = stretch.iter().filter(|event| event.ended <= cut).count();
        let mut level = HashMap::from([(Done::none(stretch.len()), self.standing.clone())]);
        let mut last = Vec::new();
        let mut pairs = 0;
        while !level.is_empty() {
            let mut next: HashMap<Done, Vec<Model>> = HashMap::new();
            for (done, models) in level {
                if done.certain(stretch, cut) == certain {
                    last.extend(models.iter().cloned());
                }
                for model in models {
                    pairs += 1;
                    if pairs > PAIRS_MAX {
                        return Searched::TooMany;
                    }
                    for (done, model) in self.successors(stretch, cut, &done, &model) {
                        let held = next.entry(done).or_default();
                        if !held.contains(&model) {
                            held.push(model);
                        }
                    }
                }
            }
            level = next;
        }
        self.pairs_most = self.pairs_most.max(pairs);
        if last.is_empty() { Searched::None } else { Searched::Orders(last) }
    }

    fn successors(
        &self,
        stretch: &[Event],
        cut: u64,
        done: &Done,
        model: &Model,
    ) -> Vec<(Done, Model)> {
        let open = |number: &usize| !done.has(*number);
        let first_end = (0..stretch.len())
            .filter(open)
            .map(|number| stretch[number].ended)
            .min()
            .unwrap_or_default();
        let mut successors = Vec::new();
        // What began after another had ended comes after it.
        let may_be_next = |number: &usize| stretch[*number].began < first_end;
        for number in (0..stretch.len()).take_while(may_be_next).filter(open) {
            let event = &stretch[number];
            let mut after = model.clone();
            match &event.what {
                Happened::MoveClock(now) => after.move_clock(*now),
                Happened::Call { operation, outcome, .. } => {
                    if after.follow(self.identity, operation, outcome) != *outcome {
                        continue;
                    }
                    if !outcome.may_have_changed_something() && event.ended <= cut {
                        return vec![(done.with(number), after)];
                    }
                }
            }
            successors.push((done.with(number), after));
        }
        successors
    }
}

/// Which events of a stretch have been put in order.
#[derive(Clone, Eq, Hash, PartialEq)]
struct Done(Box<[u64]>);

impl Done {
    fn none(events: usize) -> Self {
        Self(vec![0; events.div_ceil(64)].into())
    }

    fn has(&self, number: usize) -> bool {
        self.0[number / 64] >> (number % 64) & 1 == 1
    }

    fn with(&self, number: usize) -> Self {
        let mut with = self.clone();
        with.0[number / 64] |= 1 << (number % 64);
        with
    }

    fn certain(&self, stretch: &[Event], cut: u64) -> usize {
        (0..stretch.len()).filter(|&n| self.has(n) && stretch[n].ended <= cut).count()
    }
}
