//! What reached the store, call by call.

use std::fmt;

use onceward_core::ScopedKey;

use super::outage::{Operation, Outage};
use onceward_keys::ShortHash;

/// One call, as the store met it. A client's repeat is a call of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    operation: Operation,
    outage: Option<Outage>,
    outcome: Option<&'static str>,
    /// A short hash of the key (S16).
    key_hash: Option<String>,
}

impl Call {
    pub(crate) fn new(
        operation: Operation,
        outage: Option<Outage>,
        key: Option<ScopedKey<'_>>,
    ) -> Self {
        let key_hash = key.map(|key| ShortHash(key).to_string());
        Self { operation, outage, outcome: None, key_hash }
    }

    pub(crate) const fn ended_in(&mut self, outcome: &'static str) {
        self.outcome = Some(outcome);
    }

    /// Which operation.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// What went wrong with it, by the script.
    #[must_use]
    pub const fn outage(&self) -> Option<Outage> {
        self.outage
    }

    /// What the store made of it, as a word, e.g. `acquired`, also where the caller never learnt;
    /// `None` if it never arrived or still waits.
    #[must_use]
    pub const fn outcome(&self) -> Option<&'static str> {
        self.outcome
    }
}

/// `begin: acquired`, `complete: completed, reply lost`, `renew: unavailable`.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.operation)?;
        match (self.outcome, self.outage) {
            (Some(outcome), None | Some(Outage::Refused { .. })) => f.write_str(outcome),
            (Some(outcome), Some(outage)) => write!(f, "{outcome}, {outage}"),
            (None, Some(outage)) => write!(f, "{outage}"),
            (None, None) => f.write_str("no answer"),
        }
    }
}

/// The calls so far, in the order in which they reached the store.
///
/// `Display` gives one line for each, so that `assert_eq!(calls.to_string(), "…")` shows at once
/// what was different.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Calls {
    pub(crate) calls: Vec<Call>,
    /// Calls beyond those that are kept.
    pub(crate) further: u64,
}

impl Calls {
    /// How many there were of `operation`; the first 16,384 calls of a store are counted.
    #[must_use]
    pub fn count(&self, operation: Operation) -> usize {
        self.calls.iter().filter(|call| call.operation == operation).count()
    }

    /// Those of one key alone.
    #[must_use]
    pub fn of_key<'k>(&self, key: impl Into<ScopedKey<'k>>) -> Self {
        let hash = ShortHash(key.into()).to_string();
        let mut calls = self.calls.clone();
        calls.retain(|call| call.key_hash.as_ref() == Some(&hash));
        Self { calls, further: self.further }
    }

    /// Those of one operation alone.
    #[must_use]
    pub fn of(&self, operation: Operation) -> Self {
        let mut calls = self.calls.clone();
        calls.retain(|call| call.operation == operation);
        Self { calls, further: self.further }
    }

    /// One by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Call> {
        self.calls.iter()
    }

    /// How many there were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}

impl<'a> IntoIterator for &'a Calls {
    type Item = &'a Call;
    type IntoIter = std::slice::Iter<'a, Call>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, call) in self.calls.iter().enumerate() {
            let line_break = if at == 0 { "" } else { "\n" };
            write!(f, "{line_break}{call}")?;
        }
        if self.further > 0 {
            write!(f, "\nand {} further calls of the store", self.further)?;
        }
        Ok(())
    }
}
