//! What callers ask for and what the warehouse answers: generated, or recorded elsewhere.
//!
//! Every process of the demonstration opens the same traffic and gets the same calls from it, so
//! that only numbers of intents travel between them.

use std::path::Path;

use axum::http::Method;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::document::Document;
use super::goods::{self, Kind};
use super::recorded::{self, Record, TrafficError};

/// Whether work may safely run again after an owner fell silent. Chooses the policy (S8).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Repeatable {
    /// Policy takeover.
    Yes,
    /// Policy in-doubt.
    No,
}

/// What the ledger says of one side effect.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Confirmation {
    /// The row, counted from 1.
    pub(super) number: u64,
    /// Since 1970, by the ledger's wall clock.
    pub(super) recorded_at_ms: u64,
}

/// One request as a caller sends it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Call {
    pub(super) method: Method,
    /// With its query, if it has one.
    pub(super) path: String,
    pub(super) content_type: Option<String>,
    pub(super) body: Bytes,
}

/// Calls and answers for any number of intents.
#[derive(Debug)]
pub(super) enum Traffic {
    Generated { seed: u64 },
    Recorded { records: Vec<Record> },
}

impl Traffic {
    pub(super) const fn generated(seed: u64) -> Self {
        Self::Generated { seed }
    }

    /// The traffic recorded in `file`, or generated without one.
    pub(super) fn open(file: Option<&Path>, seed: u64) -> Result<Self, TrafficError> {
        match file {
            None => Ok(Self::generated(seed)),
            Some(path) => Ok(Self::Recorded { records: recorded::load(path)? }),
        }
    }

    /// How a ledger names what the intent is about: a purchase order's number, say. Every request
    /// of an intent carries it, whatever its key.
    pub(super) fn reference(intent: u32) -> String {
        format!("PO-{intent:06}")
    }

    /// Whether the intent's work may run again.
    pub(super) fn repeatable(&self, intent: u32) -> Repeatable {
        match self {
            Self::Generated { seed } => match Kind::of(*seed, intent) {
                Kind::Inventory => Repeatable::Yes,
                Kind::Order | Kind::Shipment => Repeatable::No,
            },
            Self::Recorded { records } => record(records, intent).repeatable(),
        }
    }

    /// The intent's request.
    pub(super) fn call(&self, intent: u32) -> Call {
        match self {
            Self::Generated { seed } => goods::call(*seed, intent, 0),
            Self::Recorded { records } => record(records, intent).call(),
        }
    }

    /// A request for the same thing with another payload, as a caller sends it who reuses a key.
    pub(super) fn other_call(&self, intent: u32) -> Call {
        match self {
            Self::Generated { seed } => goods::call(*seed, intent, 1),
            Self::Recorded { records } => {
                let mut call = record(records, intent).call();
                call.body = Bytes::from([&call.body[..], b"\n{\"quantity\": 2}"].concat());
                call
            }
        }
    }

    /// The answer to a request with `body` once the ledger has confirmed its side effect. The same
    /// confirmation makes the same answer, whoever makes it: the service that ran the work, or the
    /// reconciler that found its row.
    ///
    /// # Errors
    /// What is wrong with the body.
    pub(super) fn answer(
        &self,
        intent: u32,
        body: &[u8],
        confirmation: Confirmation,
    ) -> Result<Document, serde_json::Error> {
        match self {
            Self::Generated { seed } => goods::answer(*seed, intent, body, confirmation),
            Self::Recorded { records } => Ok(record(records, intent).answer()),
        }
    }
}

fn record(records: &[Record], intent: u32) -> &Record {
    &records[intent as usize % records.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_fixes_the_traffic() {
        let (one, again) = (Traffic::generated(7), Traffic::generated(7));
        let other = Traffic::generated(8);
        let confirmation = Confirmation { number: 3, recorded_at_ms: 1_700_000_000_000 };
        let mut differing = 0;
        for intent in 0..200 {
            let call = one.call(intent);
            assert_eq!(call, again.call(intent));
            assert_ne!(call.body, one.other_call(intent).body);
            let answer = one.answer(intent, &call.body, confirmation).unwrap();
            assert_eq!(answer, again.answer(intent, &call.body, confirmation).unwrap());
            differing += usize::from(call != other.call(intent));
        }
        assert!(differing > 190, "another seed is other traffic: {differing}");
    }

    #[test]
    fn a_second_execution_would_show() {
        let traffic = Traffic::generated(7);
        let first = Confirmation { number: 3, recorded_at_ms: 1_700_000_000_000 };
        let second = Confirmation { number: 4, ..first };
        for intent in 0..200 {
            let body = traffic.call(intent).body;
            let answer = |confirmation| traffic.answer(intent, &body, confirmation).unwrap();
            assert_ne!(answer(first), answer(second), "intent {intent}");
        }
    }

    #[test]
    fn generated_sizes_are_like_real_ones() {
        let traffic = Traffic::generated(7);
        let mut sizes: Vec<usize> = (0..2_000).map(|i| traffic.call(i).body.len()).collect();
        sizes.sort_unstable();
        let median = sizes[1_000];
        assert!((600..2_000).contains(&median), "median {median} B");
        assert!((10_000..64_000).contains(&sizes[1_999]), "largest {} B", sizes[1_999]);
    }

    #[test]
    fn a_body_that_is_no_order_is_refused() {
        let confirmation = Confirmation { number: 1, recorded_at_ms: 0 };
        for body in [&b""[..], b"{}", b"[]", b"\xff", b"{\"purchase_order\":"] {
            assert!(Traffic::generated(7).answer(0, body, confirmation).is_err());
        }
    }
}
