//! Whether the calls on one key within one life of the daemon can be put into an order that
//! explains every answer: a linearizability check after Wing & Gong and Lowe, with calls that got
//! no answer put anywhere between their sending and the daemon's death, or nowhere.

use std::collections::HashSet;

use crate::call::Call;
use crate::moment::Moment;
use crate::oracle::standing::{Life, Standing};

/// Most calls on one key in one life: one bit each.
pub const CALLS_MAX: usize = 128;

/// Pairs of calls done and standing that one search may look at before it gives up, unless it is
/// told otherwise.
pub(crate) const PAIRS_MAX: usize = 300_000;

/// How a search ended.
#[derive(Debug)]
pub(crate) enum Searched {
    /// Where the key may stand now, which is somewhere, and the pairs of calls done and standing that
    /// were looked at.
    Explained { standing: Vec<Standing>, pairs: usize },
    /// No order explains the calls. The furthest that one got: where it stood, and the calls that
    /// had to come next and could not, by number.
    Unexplained { standing: Box<Standing>, stuck: Vec<usize> },
    /// Not found out: too many orders.
    TooMany,
}

/// `calls` are sorted by when they began.
pub(crate) fn search(
    standing: &[Standing],
    calls: &[Call],
    life: &Life<'_>,
    pairs_max: usize,
) -> Searched {
    if calls.len() > CALLS_MAX {
        return Searched::TooMany;
    }
    let answered = calls
        .iter()
        .enumerate()
        .filter(|(_, call)| call.told.is_some())
        .fold(0u128, |mask, (number, _)| mask | 1 << number);
    let mut seen: HashSet<(u128, Standing)> =
        standing.iter().map(|standing| (0, standing.clone())).collect();
    let mut open: Vec<_> = seen.iter().cloned().collect();
    let mut ends = HashSet::new();
    let mut furthest: Option<(u32, u128, Standing)> = None;
    while let Some((done, standing)) = open.pop() {
        let reached = (done & answered).count_ones();
        if furthest.as_ref().is_none_or(|(most, ..)| reached > *most) {
            furthest = Some((reached, done, standing.clone()));
        }
        if done & answered == answered {
            ends.insert(standing.clone());
        }
        for next in successors(&standing, calls, done, life) {
            if seen.len() >= pairs_max {
                return Searched::TooMany;
            }
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    if ends.is_empty() {
        let (_, done, standing) = furthest.unwrap_or_default();
        let stuck = next_calls(calls, done).filter(|&number| calls[number].told.is_some());
        return Searched::Unexplained { standing: Box::new(standing), stuck: stuck.collect() };
    }
    Searched::Explained { standing: ends.into_iter().collect(), pairs: seen.len() }
}

/// Calls that may come next: not done, and sent before any other that is not done was answered.
fn next_calls(calls: &[Call], done: u128) -> impl Iterator<Item = usize> {
    let is_open = move |number: &usize| done >> number & 1 == 0;
    let first_end = (0..calls.len()).filter(is_open).map(|number| calls[number].ended).min();
    let first_end = first_end.unwrap_or(Moment::NEVER);
    (0..calls.len()).filter(is_open).filter(move |&number| calls[number].began <= first_end)
}

fn successors(
    standing: &Standing,
    calls: &[Call],
    done: u128,
    life: &Life<'_>,
) -> Vec<(u128, Standing)> {
    let mut found = Vec::new();
    for number in next_calls(calls, done) {
        let after = standing.after(&calls[number], life);
        let with = done | 1 << number;
        // An answer that changes nothing is put in order as soon as it can be: whatever follows is
        // the same without it, and what it proves to be synced is the least here. (Not so a renew
        // that happens to change nothing now: it might have later.)
        if let [only] = after.as_slice()
            && calls[number].told.is_some_and(|told| !told.may_tell_of_a_change())
            && only.held == standing.held
        {
            return vec![(with, only.clone())];
        }
        found.extend(after.into_iter().map(|standing| (with, standing)));
    }
    found
}
