//! What really happened in one pass, put together from what the processes and callers saw.
//!
//! The verdicts rest on this and on the ledger, not on anything Onceward says of itself.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

use super::event::Event;

/// Longest latency told apart; longer ones count as this.
const LATENCY_US_MAX: u64 = 60_000_000;

#[derive(Default)]
pub(super) struct Witness {
    seen: Mutex<Seen>,
}

/// Attempt `attempt` at `intent`.
type Attempt = (u32, u32);

#[derive(Default)]
struct Seen {
    /// By process: requests taken and not yet answered.
    in_hand: [HashMap<u32, u32>; 2],
    /// By process: attempts begun and not yet ended.
    running: [HashMap<Attempt, u32>; 2],
    /// Every attempt that any process began.
    began: HashSet<Attempt>,
    /// Attempts that were running in a process when it was killed.
    killed_running: HashSet<Attempt>,
    /// Intents whose request was in the hands of a process when it was killed.
    killed_in_hand: HashSet<u32>,
    takeovers: Vec<Attempt>,
    /// Intents whose crash has been caused.
    crashed: HashSet<u32>,
    executions: u64,
    /// The first answer that anybody saw to an intent.
    digests: HashMap<u32, u128>,
    differing: HashSet<u32>,
    latencies: Latencies,
}

/// Microseconds from outside of the layer: from a request's arrival to its handler's start, from the
/// handler's end to its answer, and of a whole replay.
#[derive(Clone)]
pub(super) struct Latencies {
    pub(super) begin: Histogram<u64>,
    pub(super) complete: Histogram<u64>,
    pub(super) replay: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        let empty =
            || Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are in order");
        Self { begin: empty(), complete: empty(), replay: empty() }
    }
}

/// The figures of a pass.
#[derive(Clone, Default)]
pub(super) struct Testimony {
    pub(super) executions: u64,
    pub(super) crashes: u64,
    pub(super) takeovers: u64,
    /// Takeovers that no crash explains.
    pub(super) takeovers_unexplained: u64,
    /// Intents of which two different answers were seen.
    pub(super) intents_differing: u64,
    pub(super) latencies: Latencies,
}

impl Witness {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes down what `process` tells.
    pub(super) fn record(&self, process: usize, event: Event) {
        self.seen().record(process, event);
    }

    /// Whether the intent's crash is still to come.
    pub(super) fn crash_due(&self, intent: u32) -> bool {
        !self.seen().crashed.contains(&intent)
    }

    /// Takes down that `process` was killed because `intent` stood at its crash point. Call it
    /// once everything the process told has been recorded.
    pub(super) fn killed(&self, process: usize, intent: u32) {
        let mut seen = self.seen();
        seen.crashed.insert(intent);
        let running = std::mem::take(&mut seen.running[process]);
        seen.killed_running.extend(running.into_keys());
        let in_hand = std::mem::take(&mut seen.in_hand[process]);
        seen.killed_in_hand.extend(in_hand.into_keys());
    }

    /// Takes down an answer to `intent`, whoever saw it.
    pub(super) fn answer(&self, intent: u32, digest: u128) {
        self.seen().answer(intent, digest);
    }

    pub(super) fn testimony(&self) -> Testimony {
        let seen = self.seen();
        let unexplained = seen.takeovers.iter().filter(|takeover| !seen.explained(**takeover));
        Testimony {
            executions: seen.executions,
            crashes: seen.crashed.len() as u64,
            takeovers: seen.takeovers.len() as u64,
            takeovers_unexplained: unexplained.count() as u64,
            intents_differing: seen.differing.len() as u64,
            latencies: seen.latencies.clone(),
        }
    }
}

impl Seen {
    fn record(&mut self, process: usize, event: Event) {
        match event {
            Event::Ready { .. } | Event::Parked { .. } => {}
            Event::Asked { intent } => add(&mut self.in_hand[process], intent),
            Event::Answered { intent, replay_us } => {
                remove(&mut self.in_hand[process], &intent);
                note(&mut self.latencies.replay, replay_us);
            }
            Event::Began { intent, attempt, begin_us } => {
                self.executions += 1;
                self.began.insert((intent, attempt));
                add(&mut self.running[process], (intent, attempt));
                if attempt > 1 {
                    self.takeovers.push((intent, attempt));
                }
                note(&mut self.latencies.begin, begin_us);
            }
            Event::Ended { intent, attempt, complete_us, digest } => {
                remove(&mut self.running[process], &(intent, attempt));
                note(&mut self.latencies.complete, complete_us);
                if let Some(digest) = digest {
                    self.answer(intent, digest.0);
                }
            }
        }
    }

    fn answer(&mut self, intent: u32, digest: u128) {
        if *self.digests.entry(intent).or_insert(digest) != digest {
            self.differing.insert(intent);
        }
    }

    /// A takeover is explained by a crash that cut off the attempt before it: while it ran, or
    /// while its begin was under way and nobody had said that it runs.
    fn explained(&self, (intent, attempt): Attempt) -> bool {
        let before = (intent, attempt - 1);
        self.killed_running.contains(&before)
            || (!self.began.contains(&before) && self.killed_in_hand.contains(&intent))
    }
}

fn add<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, u32>, key: K) {
    *counts.entry(key).or_insert(0) += 1;
}

fn remove<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn note(histogram: &mut Histogram<u64>, us: Option<u64>) {
    if let Some(us) = us {
        histogram.saturating_record(us.clamp(1, LATENCY_US_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Hex;
    use super::*;

    const I: u32 = 17;

    const fn asked() -> Event {
        Event::Asked { intent: I }
    }

    const fn began(attempt: u32) -> Event {
        Event::Began { intent: I, attempt, begin_us: None }
    }

    const fn ended(attempt: u32) -> Event {
        Event::Ended { intent: I, attempt, complete_us: None, digest: None }
    }

    enum Step {
        Tells(usize, Event),
        Killed(usize),
    }

    #[test]
    fn every_takeover_needs_the_crash_that_caused_it() {
        use Step::{Killed, Tells};
        #[rustfmt::skip]
        let cases = [
            ("its owner was killed",             vec![Tells(0, asked()), Tells(0, began(1)), Killed(0), Tells(1, began(2))], 0),
            ("its owner was killed in begin",    vec![Tells(0, asked()), Killed(0), Tells(1, began(2))], 0),
            ("told in another order",            vec![Tells(1, began(2)), Tells(0, asked()), Tells(0, began(1)), Killed(0)], 0),
            ("nobody was killed",                vec![Tells(0, asked()), Tells(0, began(1)), Tells(1, began(2))], 1),
            ("the other process was killed",     vec![Tells(0, asked()), Tells(0, began(1)), Killed(1), Tells(1, began(2))], 1),
            ("its owner had ended before",       vec![Tells(0, began(1)), Tells(0, ended(1)), Killed(0), Tells(1, began(2))], 1),
            ("a waiter was killed, no owner",    vec![Tells(0, began(1)), Tells(1, asked()), Killed(1), Tells(1, began(2))], 1),
            ("one crash, two takeovers",         vec![Tells(0, began(1)), Killed(0), Tells(0, began(2)), Tells(1, began(3))], 1),
            ("two crashes, two takeovers",       vec![Tells(0, began(1)), Killed(0), Tells(0, began(2)), Killed(0), Tells(1, began(3))], 0),
        ];
        for (why, steps, unexplained) in cases {
            let witness = Witness::default();
            for step in steps {
                match step {
                    Tells(process, event) => witness.record(process, event),
                    Killed(process) => witness.killed(process, I),
                }
            }
            assert_eq!(witness.testimony().takeovers_unexplained, unexplained, "{why}");
        }
    }

    #[test]
    fn two_answers_to_one_intent_show_whoever_saw_them() {
        let witness = Witness::default();
        witness.answer(1, 5);
        witness.answer(1, 5);
        witness.answer(2, 5);
        assert_eq!(witness.testimony().intents_differing, 0);
        let digest = Some(Hex(6));
        witness.record(0, Event::Ended { intent: 2, attempt: 1, complete_us: None, digest });
        witness.answer(2, 7);
        assert_eq!(witness.testimony().intents_differing, 1);
    }

    #[test]
    fn a_crash_is_due_once() {
        let witness = Witness::default();
        assert!(witness.crash_due(I));
        witness.killed(0, I);
        assert!(!witness.crash_due(I));
        assert!(witness.crash_due(I + 1));
        assert_eq!(witness.testimony().crashes, 1);
    }
}
