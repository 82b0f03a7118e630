//! A promise that the daemon broke, with the calls that show it.

use std::fmt;

use serde::Serialize;

use crate::call::{Call, Told};
use crate::oracle::entry::Phase;
use crate::oracle::standing::Standing;

/// Which promise.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promise {
    /// An acknowledged operation was lost (S13, S14).
    Acknowledged,
    /// A second owner while a lease ran (S2, S6), or an outdated one that was obeyed (S4).
    OneOwner,
    /// A result differs from what its owner stored (S5).
    Bytes,
    /// A fence was given twice, or did not grow (S4, S13).
    Fences,
    /// No order of the calls explains the answers.
    Linearizable,
    /// The daemon did not start, ended by itself, or did not answer, where it should have.
    Available,
    /// Damage that had to be refused, or to be named, was not (S13).
    Damage,
    /// A file whose sync had failed was written or synced again (S14).
    FailedFile,
}

/// One broken promise.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// Which promise.
    pub promise: Promise,
    /// In one sentence, with numbers.
    pub what: String,
    /// The calls on the key in question, the latest last.
    pub history: Vec<String>,
}

impl Violation {
    /// One without a history.
    pub fn new(promise: Promise, what: impl Into<String>) -> Self {
        Self { promise, what: what.into(), history: Vec::new() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.what)?;
        for line in &self.history {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// What it means that none of `stuck` can come next where the key stands.
pub(crate) fn explain(standing: &Standing, stuck: &[&Call]) -> (Promise, String) {
    let first = stuck.iter().min_by_key(|call| call.ended);
    let Some(told) = first.and_then(|call| call.told) else {
        return (Promise::Linearizable, "no order explains the answers".to_owned());
    };
    let asked = first.map_or("", |call| call.asked.name());
    let at = first.map_or(String::new(), |call| format!(" at {}", call.ended));
    let answer = format!("{asked} answered {}{at}", told.name());
    let (promise, stands) = match standing.held.entry.as_ref() {
        None => (Promise::Linearizable, "the key is absent".to_owned()),
        Some(entry) => {
            let shows_absence = matches!(
                told,
                Told::Absent | Told::Gone | Told::Acquired { number: 1, .. } | Told::Refused
            );
            match entry.phase {
                Phase::Done(result) => match told.result() {
                    Some(other) if other != result => {
                        (Promise::Bytes, format!("the key holds the result {result:016x}"))
                    }
                    _ => (Promise::Acknowledged, "the key is completed".to_owned()),
                },
                Phase::Reserved(until) if shows_absence => {
                    (Promise::Acknowledged, format!("the key is reserved, its lease until {until}"))
                }
                Phase::Reserved(until) if matches!(told, Told::Acquired { .. }) => {
                    (Promise::OneOwner, format!("a lease runs at least until {until}"))
                }
                Phase::InDoubt if shows_absence => {
                    (Promise::Acknowledged, "the key is in doubt".to_owned())
                }
                Phase::Reserved(_) => (Promise::Linearizable, "the key is reserved".to_owned()),
                Phase::InDoubt => (Promise::Linearizable, "the key is in doubt".to_owned()),
            }
        }
    };
    (promise, format!("{answer}, but {stands} (largest fence {})", standing.floor))
}
