//! Which outage the next call meets, and what calls there were.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use onceward_core::ScopedKey;

use super::calls::{Call, Calls};
use super::outage::{Operation, Outage};

/// Calls that are kept; further ones are only counted.
const CALLS_MAX: usize = 16_384;

/// Outages of one operation that may be scripted ahead; one more is a panic of the test.
const OUTAGES_MAX: usize = 1_024;

/// Shared by the store and its clients.
#[derive(Default)]
pub(crate) struct Script {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    planned: VecDeque<Planned>,
    calls: Vec<Call>,
    further: u64,
}

/// One line of the script.
#[derive(Clone, Debug)]
struct Planned {
    /// `None`: of every operation.
    operation: Option<Operation>,
    outage: Outage,
    /// `None`: until healed.
    times: Option<u32>,
    met: u32,
    healed: bool,
}

impl Planned {
    fn applies_to(&self, operation: Operation) -> bool {
        let left = self.times.is_none_or(|times| self.met < times);
        left && !self.healed && self.operation.is_none_or(|planned| planned == operation)
    }

    fn is_used_up(&self) -> bool {
        self.met >= self.times.unwrap_or(1)
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = self.operation.map_or("every operation", Operation::name);
        write!(f, "{operation}: {}, ", self.outage)?;
        match self.times {
            Some(times) => write!(f, "met by {} of {times} calls", self.met),
            None => write!(f, "until healed, met by {} calls", self.met),
        }
    }
}

impl Script {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole wherever it could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `times` calls of `operation` meet, or all until healed.
    #[track_caller]
    pub(crate) fn plan(&self, operation: Option<Operation>, outage: Outage, times: Option<u32>) {
        if let Some(operation) = operation {
            assert!(
                outage.fits(operation),
                "{operation} has no outcome Refused: script it for begin or checkpoint (S11)"
            );
        }
        assert_ne!(times, Some(0), "an outage of 0 calls: script at least 1");
        let mut state = self.state();
        let many = state.planned.iter().filter(|planned| planned.operation == operation).count();
        if many >= OUTAGES_MAX {
            drop(state);
            panic!("{OUTAGES_MAX} outages of one operation are scripted: use fail_times");
        }
        state.planned.push_back(Planned { operation, outage, times, met: 0, healed: false });
    }

    pub(crate) fn heal(&self) {
        for planned in &mut self.state().planned {
            planned.healed |= planned.times.is_none();
        }
    }

    /// Notes a call; gives what it meets and its place among the calls kept.
    pub(crate) fn next(
        &self,
        operation: Operation,
        key: Option<ScopedKey<'_>>,
    ) -> (Option<Outage>, Option<usize>) {
        let mut state = self.state();
        // What is counted goes before what lasts, so that one lost reply may be scripted within
        // an outage that lasts.
        let State { planned, calls, further } = &mut *state;
        let fitting = planned.iter_mut().filter(|planned| planned.applies_to(operation));
        let met = fitting.min_by_key(|planned| planned.times.is_none());
        let outage = met.map(|planned| {
            planned.met = planned.met.saturating_add(1);
            planned.outage
        });
        if calls.len() == CALLS_MAX {
            *further += 1;
            return (outage, None);
        }
        calls.push(Call::new(operation, outage, key));
        (outage, Some(calls.len() - 1))
    }

    pub(crate) fn ended(&self, place: Option<usize>, outcome: &'static str) {
        let mut state = self.state();
        if let Some(call) = place.and_then(|place| state.calls.get_mut(place)) {
            call.ended_in(outcome);
        }
    }

    pub(crate) fn calls(&self) -> Calls {
        let state = self.state();
        Calls { calls: state.calls.clone(), further: state.further }
    }

    /// What is left of the script, for people; `None` if nothing is.
    pub(crate) fn left(&self) -> Option<String> {
        let state = self.state();
        let left: Vec<_> = state.planned.iter().filter(|planned| !planned.is_used_up()).collect();
        if left.is_empty() {
            return None;
        }
        let mut text = String::from("scripted outages were not used up:");
        for planned in left {
            text.push_str(&format!("\n  {planned}"));
        }
        drop(state);
        let calls = self.calls();
        text.push_str("\nthe calls that reached the store:");
        if calls.is_empty() {
            text.push_str(" none");
        }
        for call in &calls {
            text.push_str(&format!("\n  {call}"));
        }
        Some(text)
    }
}
