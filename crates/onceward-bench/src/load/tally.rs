//! What one thread counts; several make the record of a run.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};

use super::dialect::Answer;
use super::record::{Counters, Latency, Wire};
use super::script::Operation;
use crate::engine::Fault;

/// Longest time that is told apart from a longer one.
const NANOS_MAX: u64 = 120_000_000_000;
const PERCENTILES: [(&str, f64); 6] =
    [("50", 0.5), ("90", 0.9), ("99", 0.99), ("99.9", 0.999), ("99.99", 0.9999), ("100", 1.0)];

/// A round trip, for telling latencies apart.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Kind {
    /// A begin that acquires.
    Begin,
    /// A complete.
    Complete,
    /// A begin of a stored key.
    Replay,
    /// A begin of a held key.
    Conflict,
    /// A begin with another payload.
    Mismatch,
    /// From the owner's complete to the answer of one who waited.
    Wait,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Begin, Self::Complete, Self::Replay, Self::Conflict, Self::Mismatch, Self::Wait];

    const fn name(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Complete => "complete",
            Self::Replay => "replay",
            Self::Conflict => "conflict",
            Self::Mismatch => "mismatch",
            Self::Wait => "wait",
        }
    }

    /// The kind of an operation's begin.
    #[must_use]
    pub(super) const fn of(operation: Operation) -> Self {
        match operation {
            Operation::First | Operation::Hold => Self::Begin,
            Operation::Replay => Self::Replay,
            Operation::Conflict => Self::Conflict,
            Operation::Mismatch => Self::Mismatch,
        }
    }
}

/// Times of one kind.
#[derive(Clone, Debug)]
pub(super) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        let times = Histogram::new_with_bounds(1, NANOS_MAX, 3);
        Self(times.unwrap_or_else(|_| unreachable!("valid bounds")))
    }
}

impl Times {
    /// Counts one time.
    pub(super) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos.max(1));
    }

    fn add(&mut self, other: &Self) {
        // The bounds are the same.
        let _ = self.0.add(&other.0);
    }

    /// The time that this part of all samples stays within.
    #[must_use]
    pub(super) fn at(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }

    /// As it is written.
    ///
    /// # Errors
    /// The histogram cannot be written.
    pub(super) fn written(&self) -> Result<Latency, Fault> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.0, &mut bytes)
            .map_err(|error| format!("a histogram cannot be written: {error}"))?;
        Ok(Latency {
            count: self.0.len(),
            mean_ns: self.0.mean(),
            percentile_ns: PERCENTILES
                .iter()
                .map(|(name, quantile)| ((*name).to_owned(), self.at(*quantile)))
                .collect(),
            histogram: STANDARD.encode(bytes),
        })
    }
}

/// What one thread saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// What the answers were.
    pub(super) counters: Counters,
    /// Requests answered.
    pub(super) round_trips: u64,
    /// What an answer that was not the right one said, first come.
    pub(super) complaint: Option<String>,
    /// Open loop: from the intended start, or from when a slot was free if that was later, to the
    /// write.
    pub(super) lag: Times,
    /// Open loop: from the intended start to the write.
    pub(super) send_lag: Times,
    times: [Times; 6],
    wire: [Wire; 6],
}

impl Tally {
    /// Counts the bytes of a request.
    pub(super) fn sent(&mut self, kind: Kind, bytes: usize) {
        self.wire[kind as usize].requests += 1;
        self.wire[kind as usize].request_bytes += bytes as u64;
    }

    /// Counts a reply's bytes and time.
    pub(super) fn received(&mut self, kind: Kind, bytes: usize, nanos: u64) {
        self.round_trips += 1;
        self.wire[kind as usize].reply_bytes += bytes as u64;
        self.times[kind as usize].record(nanos);
    }

    /// Counts an answer that was not the right one.
    #[cold]
    pub(super) fn complain(&mut self, asked: Kind, answer: &Answer<'_>) {
        match (asked, answer) {
            // Whoever is told to run what another runs or ran.
            (Kind::Replay | Kind::Conflict | Kind::Mismatch | Kind::Wait, Answer::Acquired(_)) => {
                self.counters.executed_twice += 1;
            }
            (Kind::Begin, _) | (Kind::Complete, _) => self.counters.not_executed += 1,
            (Kind::Replay | Kind::Wait, Answer::Replay(_)) => self.counters.wrong_replays += 1,
            _ => self.counters.errors += 1,
        }
        let asked = match asked {
            Kind::Begin => "a begin of a new key",
            Kind::Complete => "a complete",
            Kind::Replay => "a begin of a stored key",
            Kind::Conflict => "a begin of a held key",
            Kind::Mismatch => "a begin with another payload",
            Kind::Wait => "a begin that waited",
        };
        let answered = match answer {
            Answer::Acquired(_) => "with the right to run",
            Answer::Completed => "completed",
            Answer::Replay(_) if asked == "a begin of a stored key" => "with other bytes",
            Answer::Replay(_) => "with a result",
            Answer::InProgress => "in progress",
            Answer::Mismatch => "mismatch",
            Answer::Moved => "with bytes that mean nothing",
            Answer::Other(what) => what,
            Answer::Error(what) => what,
        };
        self.complaint.get_or_insert_with(|| format!("{asked} was answered {answered}"));
    }

    /// Adds what another thread saw.
    pub(super) fn add(&mut self, other: &Self) {
        self.counters.add(&other.counters);
        self.round_trips += other.round_trips;
        if self.complaint.is_none() {
            self.complaint.clone_from(&other.complaint);
        }
        self.lag.add(&other.lag);
        self.send_lag.add(&other.send_lag);
        for kind in Kind::ALL {
            self.times[kind as usize].add(&other.times[kind as usize]);
            self.wire[kind as usize].add(&other.wire[kind as usize]);
        }
    }

    /// Latencies by kind, and of all together.
    ///
    /// # Errors
    /// A histogram cannot be written.
    pub(super) fn latency(&self) -> Result<BTreeMap<String, Latency>, Fault> {
        let mut all = Times::default();
        let mut latency = BTreeMap::new();
        for kind in Kind::ALL {
            let times = &self.times[kind as usize];
            if times.0.is_empty() {
                continue;
            }
            all.add(times);
            latency.insert(kind.name().to_owned(), times.written()?);
        }
        latency.insert("all".to_owned(), all.written()?);
        Ok(latency)
    }

    /// Bytes by kind.
    #[must_use]
    pub(super) fn wire(&self) -> BTreeMap<String, Wire> {
        let kinds = Kind::ALL.iter().zip(&self.wire).filter(|(_, wire)| wire.requests > 0);
        kinds.map(|(kind, wire)| (kind.name().to_owned(), *wire)).collect()
    }
}
