//! The oracle: it knows what callers asked and were told, life after life of the daemon, and says
//! which promise the answers break. It knows nothing of the daemon's inside.
//!
//! A **life** is one process of the daemon. Calls are handed over life by life. A call without an
//! answer may have happened at any moment until that process was dead, or never; the next life
//! shows which, and until it does both are kept.
//!
//! What is judged, per key:
//! 1. The calls can be put in an order that explains every answer (`search`), through crashes.
//! 2. At `always` no answer rests on a fact that a crash took; at `interval` what is lost is
//!    younger than the interval (see [`Level::Interval`]); at `memory` all may be lost.
//! 3. No second owner while a lease runs, at least from when its grant was asked for; after a
//!    restart from when the new process was started (S13).
//! 4. A fence is given once, and grows; over all keys, every acquisition of a life has a larger
//!    fence than any that was shown in an earlier life (S13).
//! 5. A result that is shown is one that an owner of the key stored, byte for byte.

mod entry;
mod fences;
mod search;
mod standing;
#[cfg(test)]
mod tests;
mod violation;
mod ways;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use serde::Serialize;

use crate::call::{Asked, Call, Told};
use crate::moment::Moment;
use fences::Fences;
pub use search::CALLS_MAX;
use search::{PAIRS_MAX, Searched, search};
pub use standing::{Ending, Level};
use standing::{Life, Restart, Standing};
pub use violation::{Promise, Violation};

/// Calls of one key that a report shows.
const HISTORY_MAX: usize = 60;

/// Numbers of keys that no load reaches.
const FRESH_KEYS_FROM: u32 = 1 << 31;

/// Violations of one life that are kept; more say nothing new.
const VIOLATIONS_MAX: usize = 3;

/// What was judged.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Judged {
    /// Lives of the daemon.
    pub lives: u64,
    /// Calls, answered or not.
    pub calls: u64,
    /// Calls without an answer.
    pub unanswered: u64,
    /// Keys.
    pub keys: u64,
    /// Keys of a life whose order was not found out, because there were too many. Not a violation,
    /// and not a proof.
    pub unjudged: u64,
    /// Most pairs of calls done and standing that an order was found among.
    pub pairs_most: u64,
    /// How often each outcome was seen, as `operation outcome`.
    pub outcomes: BTreeMap<String, u64>,
}

impl Judged {
    /// Adds what another oracle has judged.
    pub fn add(&mut self, other: &Self) {
        self.lives += other.lives;
        self.calls += other.calls;
        self.unanswered += other.unanswered;
        self.keys += other.keys;
        self.unjudged += other.unjudged;
        self.pairs_most = self.pairs_most.max(other.pairs_most);
        for (outcome, times) in &other.outcomes {
            *self.outcomes.entry(outcome.clone()).or_default() += times;
        }
    }
}

/// Judges one daemon and its successors over one data directory.
#[derive(Debug)]
pub struct Oracle {
    level: Level,
    pairs_max: usize,
    may_boot: bool,
    keys: HashMap<u32, Key>,
    restarts: Vec<Restart>,
    last_acknowledged: Moment,
    largest_fence: u64,
    fresh_keys: u32,
    judged: Judged,
}

#[derive(Debug)]
struct Key {
    /// Where it may stand. Empty once that could not be found out: it is judged no more.
    standing: Vec<Standing>,
    /// Restarts that `standing` has gone through.
    restarts: usize,
    fences: Fences,
    offered: HashSet<u64>,
    history: VecDeque<Call>,
}

impl Oracle {
    /// Before anything has happened, over an empty data directory.
    #[must_use]
    pub fn new(level: Level) -> Self {
        Self {
            level,
            pairs_max: PAIRS_MAX,
            may_boot: false,
            keys: HashMap::new(),
            restarts: Vec::new(),
            last_acknowledged: Moment::START,
            largest_fence: 0,
            fresh_keys: 0,
            judged: Judged::default(),
        }
    }

    /// The same, that gives a key up once it has looked at so many pairs of calls and standing.
    #[must_use]
    pub const fn searching(mut self, pairs_max: usize) -> Self {
        self.pairs_max = pairs_max;
        self
    }

    /// The same over a machine that is booted between some lives, as [`Oracle::life_begins_after_boot`]
    /// then tells: it has to remember what has expired, which multiplies what it has to tell apart.
    #[must_use]
    pub const fn over_boots(mut self) -> Self {
        self.may_boot = true;
        self
    }

    /// What was judged so far.
    #[must_use]
    pub const fn judged(&self) -> &Judged {
        &self.judged
    }

    /// Every key with a call, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<u32> {
        let mut keys: Vec<_> = self.keys.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    /// A key that no caller of a load uses, another one each time.
    pub fn fresh_key(&mut self) -> u32 {
        self.fresh_keys += 1;
        FRESH_KEYS_FROM + self.fresh_keys
    }

    /// Keys that hold an entry for a good while yet, all of whose facts are synced.
    #[must_use]
    pub fn settled_keys(&self) -> Vec<u32> {
        let soon = Moment::now().after(Duration::from_secs(60));
        let settled = |standing: &Standing| {
            let kept = standing.held.entry.as_ref().is_some_and(|entry| entry.kept_until > soon);
            kept && standing.unsettled.is_empty()
        };
        let settled = self.keys.iter().filter(|(_, key)| {
            !key.standing.is_empty()
                && key.restarts == self.restarts.len()
                && key.standing.iter().all(settled)
        });
        settled.map(|(number, _)| *number).collect()
    }

    /// Judges a life that has ended: all its calls, and when its process was dead. The next life
    /// must be announced before its calls are handed over.
    ///
    /// # Errors
    /// The promises that were broken, a few of them.
    pub fn life_ended(&mut self, calls: Vec<Call>, death: Moment) -> Result<(), Vec<Violation>> {
        self.judged.lives += 1;
        let mut violations = Vec::new();
        let (mut largest, mut last) = (self.largest_fence, self.last_acknowledged);
        let mut by_key: BTreeMap<u32, Vec<Call>> = BTreeMap::new();
        let mut begins: HashMap<u128, u32> = HashMap::new();
        for call in &calls {
            if let Asked::Begin { attempt, .. } = call.asked {
                *begins.entry(attempt).or_default() += 1;
            }
        }
        for call in calls {
            self.judged.calls += 1;
            let told = call.told.map_or("no_answer", |told| told.name());
            *self.judged.outcomes.entry(format!("{} {told}", call.asked.name())).or_default() += 1;
            match call.told {
                None => self.judged.unanswered += 1,
                Some(told) => {
                    if self.made_a_fact(&call, &begins) {
                        last = last.max(call.began);
                    }
                    if let Told::Acquired { fence, .. } = told {
                        largest = largest.max(fence);
                    }
                }
            }
            // Sent to a process that was dead: it never happened. At the very instant of its death it
            // may have.
            if call.told.is_some() || call.began <= death {
                by_key.entry(call.key).or_default().push(call);
            }
        }
        for (number, mut calls) in by_key {
            if violations.len() >= VIOLATIONS_MAX {
                break;
            }
            calls.sort_by_key(|call| (call.began, call.ended));
            violations.extend(self.judge(number, &calls, death));
        }
        self.largest_fence = largest;
        self.last_acknowledged = last;
        self.judged.keys = self.keys.len() as u64;
        if violations.is_empty() { Ok(()) } else { Err(violations) }
    }

    /// A new process was about to be started at `began_anew`, after the last had ended so.
    pub fn life_begins(&mut self, ending: Ending, began_anew: Moment) {
        self.begins(ending, began_anew, false);
    }

    /// The same, and the machine was off in between: the store's clock resumed at the last time that
    /// it had recorded (S15), so what had expired since may be there again. Only of an oracle made with
    /// [`Oracle::over_boots`].
    pub fn life_begins_after_boot(&mut self, ending: Ending, began_anew: Moment) {
        debug_assert!(self.may_boot, "what expired was not remembered");
        self.begins(ending, began_anew, true);
    }

    fn begins(&mut self, ending: Ending, began_anew: Moment, after_boot: bool) {
        let last_acknowledged = self.last_acknowledged;
        self.restarts.push(Restart { ending, last_acknowledged, began_anew, after_boot });
    }

    /// Whether the answer can only be of a call that made a fact itself, and not of one that repeats
    /// another or that found what it asked for.
    fn made_a_fact(&self, call: &Call, begins: &HashMap<u128, u32>) -> bool {
        match (&call.asked, call.told) {
            (_, Some(Told::Completed | Told::Forgotten)) => true,
            (Asked::Begin { attempt, .. }, Some(Told::Acquired { .. })) => {
                let earlier =
                    self.keys.get(&call.key).is_some_and(|key| key.fences.knows(*attempt));
                begins.get(attempt) == Some(&1) && !earlier
            }
            _ => false,
        }
    }

    fn judge(&mut self, number: u32, calls: &[Call], death: Moment) -> Option<Violation> {
        let (level, may_boot, floor) = (self.level, self.may_boot, self.largest_fence);
        let key = self.keys.entry(number).or_insert_with(|| Key::new(self.restarts.len()));
        key.go_through(&self.restarts, level);
        let named = |promise, what: String, key: &Key| Violation {
            promise,
            what: format!("key {number}: {what}"),
            history: key.told(),
        };
        let direct = key.check_answers(calls, floor);
        for call in calls {
            key.history.push_back(call.clone());
        }
        let surplus = key.history.len().saturating_sub(HISTORY_MAX);
        key.history.drain(..surplus);
        if let Err((promise, what)) = direct {
            return Some(named(promise, what, key));
        }
        if key.standing.is_empty() {
            return None;
        }
        let life = Life { level, death, fences: &key.fences, may_boot };
        match search(&key.standing, calls, &life, self.pairs_max) {
            Searched::Explained { standing, pairs } => {
                self.judged.pairs_most = self.judged.pairs_most.max(pairs as u64);
                key.standing = standing;
            }
            Searched::TooMany => {
                self.judged.unjudged += 1;
                key.standing.clear();
            }
            Searched::Unexplained { standing, stuck } => {
                let stuck: Vec<_> = stuck.iter().map(|&number| &calls[number]).collect();
                let (promise, what) = violation::explain(&standing, &stuck);
                return Some(named(promise, what, key));
            }
        }
        None
    }
}

impl Key {
    fn new(restarts: usize) -> Self {
        Self {
            standing: vec![Standing::default()],
            restarts,
            fences: Fences::default(),
            offered: HashSet::new(),
            history: VecDeque::new(),
        }
    }

    fn go_through(&mut self, restarts: &[Restart], level: Level) {
        for restart in &restarts[self.restarts..] {
            let after: HashSet<_> =
                self.standing.iter().flat_map(|standing| standing.over(restart, level)).collect();
            self.standing = after.into_iter().collect();
        }
        self.restarts = restarts.len();
    }

    /// What needs no order to be seen: fences and bytes.
    fn check_answers(&mut self, calls: &[Call], floor: u64) -> Result<(), (Promise, String)> {
        for call in calls {
            match call.asked {
                Asked::Complete { result, .. } | Asked::Resolve { result: Some(result), .. } => {
                    self.offered.insert(result);
                }
                Asked::Begin { attempt, .. } => self.fences.sent(attempt, floor),
                _ => {}
            }
        }
        for call in calls {
            if call.told == Some(Told::Strange) {
                let what = format!("{} got an answer that no rule allows", call.asked.name());
                return Err((Promise::Linearizable, what));
            }
            if let Some(result) = call.told.and_then(|told| told.result())
                && !self.offered.contains(&result)
            {
                let what = format!(
                    "{} shows a result that nobody offered ({result:016x})",
                    call.asked.name()
                );
                return Err((Promise::Bytes, what));
            }
            let (Asked::Begin { attempt, .. }, Some(Told::Acquired { fence, .. })) =
                (&call.asked, call.told)
            else {
                continue;
            };
            if !self.fences.told(fence, *attempt) {
                return Err((
                    Promise::Fences,
                    format!("fence {fence} was granted to two attempts"),
                ));
            }
            // An attempt of an earlier life may have acquired then, unheard.
            let floor = self.fences.floor(*attempt);
            if fence <= floor {
                let what = format!(
                    "fence {fence} was granted after a restart, and {floor} before it (S13)"
                );
                return Err((Promise::Fences, what));
            }
        }
        Ok(())
    }

    fn told(&self) -> Vec<String> {
        self.history
            .iter()
            .map(|call| {
                let told = match call.told {
                    Some(told) => format!("{told:?}"),
                    None => "no answer".to_owned(),
                };
                format!("{} to {}: {:?} -> {told}", call.began, call.ended, call.asked)
            })
            .collect()
    }
}
