//! Onceward as a system under measurement.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use onceward::{Stats, Store, StoreConfig, Ticker};
use onceward_core::{
    AttemptId, Begin, BeginOutcome, Body, Clock as _, Complete, CompleteOutcome, Digest,
    Fingerprint, GetOutcome, Identity, Millis, ResultRef, Token,
};
use serde::{Deserialize, Serialize};

use super::process;
use super::steered::SteeredClock;
use super::system::{BATCH, Expiry, Fault, Request, System};
use super::values::Values;
use crate::workload::mix;

/// Entries that one tick handles, as the store's own ticker has it.
const TICK_BUDGET: usize = 2_048;
/// Reclaiming takes seconds at most; what goes on for longer hangs.
const EXPIRY_PATIENCE: Duration = Duration::from_secs(120);

/// What the store under measurement is built from.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct OwnSettings {
    /// The memory limit.
    pub memory_bytes: u64,
    /// Entries that the index is sized for; `None` leaves that to the memory limit.
    pub max_entries: Option<u64>,
    /// Bytes of each fingerprint: 16 to 32.
    pub fingerprint_bytes: usize,
}

impl OwnSettings {
    /// The store's configuration.
    #[must_use]
    pub fn config(&self) -> StoreConfig {
        with_max_entries(StoreConfig::with_memory(self.memory_bytes), self.max_entries)
    }
}

/// The configuration for so many entries.
#[must_use]
pub fn with_max_entries(config: StoreConfig, max_entries: Option<u64>) -> StoreConfig {
    StoreConfig { max_entries, ..config }
}

/// A store with its ticker, and a clock that can be moved to the end of every retention.
#[derive(Debug)]
pub struct OwnStore {
    store: Store,
    clock: SteeredClock,
    ticker: Mutex<Option<Ticker>>,
    fingerprint_bytes: usize,
    values: Values,
}

impl OwnStore {
    /// An empty store. `values` says what a begin gives as the size of its result.
    ///
    /// # Errors
    /// The configuration's faults.
    pub fn new(settings: &OwnSettings, values: &Values) -> Result<Self, Fault> {
        let clock = SteeredClock::running();
        let store = Store::new(settings.config(), Arc::new(clock.clone()))?;
        let ticker = Mutex::new(Some(Ticker::start(&store)?));
        let (fingerprint_bytes, values) = (settings.fingerprint_bytes, values.clone());
        Ok(Self { store, clock, ticker, fingerprint_bytes, values })
    }

    /// The store's figures.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.store.stats()
    }

    fn asked(&self, number: u64, attempt: AttemptId) -> Result<Begin, Fault> {
        let mut digest = [0; 32];
        for (at, part) in digest.chunks_exact_mut(8).enumerate() {
            part.copy_from_slice(&mix(number.wrapping_add(at as u64)).to_le_bytes());
        }
        let digest = Digest::new(&digest[..self.fingerprint_bytes])?;
        let mut begin = Begin::new(Fingerprint::Digest(digest), attempt);
        begin.result_hint = Some(self.values.size(number));
        Ok(begin)
    }

    fn first(&self, number: u64) -> Result<Begin, Fault> {
        self.asked(number, attempt(number, 0))
    }

    fn retry(&self, number: u64) -> Result<Begin, Fault> {
        self.asked(number, attempt(number, 1))
    }
}

fn attempt(number: u64, nth: u64) -> AttemptId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&mix(number.wrapping_add(nth << 48)).to_le_bytes());
    id[8..].copy_from_slice(&number.to_le_bytes());
    AttemptId::from_bytes(id)
}

fn identity(key: &[u8; 36]) -> Result<Identity<'_>, Fault> {
    Ok(Identity::new("default", b"", key)?)
}

/// The error of an answer other than the right one.
#[cold]
fn wrong(asked: &str, answered: &str) -> Fault {
    format!("{asked} was answered {answered}").into()
}

fn acquired(outcome: BeginOutcome<&[u8]>) -> Result<Token, Fault> {
    match outcome {
        BeginOutcome::Acquired(acquired) => Ok(acquired.token),
        other => Err(wrong("a begin of a new key", other.name())),
    }
}

fn copied(outcome: BeginOutcome<&[u8]>, into: &mut Vec<u8>) -> Result<(), Fault> {
    into.clear();
    match outcome {
        BeginOutcome::Replay(replay) => match replay.result.body {
            Body::Kept(body) => {
                into.extend_from_slice(body);
                Ok(())
            }
            Body::NotKept { .. } => Err(wrong("a begin of a stored key", "without a body")),
        },
        other => Err(wrong("a begin of a stored key", other.name())),
    }
}

fn completed(outcome: CompleteOutcome) -> Result<(), Fault> {
    match outcome {
        CompleteOutcome::Completed { not_kept: None } => Ok(()),
        other => Err(wrong("a complete", other.name())),
    }
}

impl System for OwnStore {
    type Token = Token;

    fn begin(&self, request: &Request) -> Result<Token, Fault> {
        let begin = self.first(request.number)?;
        self.store.begin(identity(&request.key)?, &begin, acquired)?.value
    }

    fn complete(&self, request: &Request, token: Token, value: &[u8]) -> Result<(), Fault> {
        let complete = Complete { token, result: ResultRef::of(201, value), fingerprint: None };
        completed(self.store.complete(identity(&request.key)?, &complete)?.value)
    }

    fn replay(&self, request: &Request, into: &mut Vec<u8>) -> Result<(), Fault> {
        let begin = self.retry(request.number)?;
        self.store.begin(identity(&request.key)?, &begin, |outcome| copied(outcome, into))?.value
    }

    fn duplicate(&self, request: &Request) -> Result<(), Fault> {
        let begin = self.retry(request.number)?;
        let answer =
            self.store.begin(identity(&request.key)?, &begin, |outcome| match outcome {
                BeginOutcome::InProgress { .. } => Ok(()),
                other => Err(wrong("a begin of a running key", other.name())),
            })?;
        answer.value
    }

    fn get(&self, request: &Request, into: &mut Vec<u8>) -> Result<bool, Fault> {
        into.clear();
        let answer = self.store.get(identity(&request.key)?, |outcome| match outcome {
            GetOutcome::Completed(done) => match done.result.body {
                Body::Kept(body) => {
                    into.extend_from_slice(body);
                    Ok(true)
                }
                Body::NotKept { .. } => Err(wrong("a get", "without a body")),
            },
            other => Err(wrong("a get of a stored key", other.name())),
        })?;
        answer.value
    }

    fn begin_batch(
        &self,
        requests: &[Request; BATCH],
        tokens: &mut Vec<Token>,
    ) -> Result<(), Fault> {
        let mut asked = Vec::with_capacity(BATCH);
        for request in requests {
            asked.push((identity(&request.key)?, self.first(request.number)?));
        }
        let mut fault = None;
        self.store.begin_many(&asked, |_, answer| {
            match answer.map_err(Fault::from).and_then(|answer| acquired(answer.value)) {
                Ok(token) => tokens.push(token),
                Err(why) => fault = Some(why),
            }
        });
        fault.map_or(Ok(()), Err)
    }

    fn complete_batch(
        &self,
        requests: &[Request; BATCH],
        tokens: &[Token; BATCH],
        values: &[&[u8]; BATCH],
    ) -> Result<(), Fault> {
        let mut asked = Vec::with_capacity(BATCH);
        for (at, request) in requests.iter().enumerate() {
            let result = ResultRef::of(201, values[at]);
            let complete = Complete { token: tokens[at], result, fingerprint: None };
            asked.push((identity(&request.key)?, complete));
        }
        let mut fault = None;
        self.store.complete_many(&asked, |_, answer| {
            let done = answer.map_err(Fault::from).and_then(|answer| completed(answer.value));
            fault = done.err().or(fault.take());
        });
        fault.map_or(Ok(()), Err)
    }

    fn replay_batch(
        &self,
        requests: &[Request; BATCH],
        into: &mut [Vec<u8>; BATCH],
    ) -> Result<(), Fault> {
        let mut asked = Vec::with_capacity(BATCH);
        for request in requests {
            asked.push((identity(&request.key)?, self.retry(request.number)?));
        }
        let mut fault = None;
        self.store.begin_many(&asked, |at, answer| {
            let done =
                answer.map_err(Fault::from).and_then(|answer| copied(answer.value, &mut into[at]));
            fault = done.err().or(fault.take());
        });
        fault.map_or(Ok(()), Err)
    }

    fn expire(&self) -> Result<Option<Expiry>, Fault> {
        // The ticks are this thread's, so that they can be timed.
        drop(self.ticker.lock().unwrap_or_else(PoisonError::into_inner).take());
        let before = self.store.stats();
        self.clock.advance(Millis::from_secs(2 * Begin::RETENTION_DEFAULT.get() / 1_000));
        let mut longest = Duration::ZERO;
        let (started, busy) = (Instant::now(), process::thread_cpu_time()?);
        while self.store.stats().entries > 0 {
            let slice = Instant::now();
            self.store.tick(self.clock.now(), TICK_BUDGET);
            longest = longest.max(slice.elapsed());
            if started.elapsed() > EXPIRY_PATIENCE {
                let left = self.store.stats().entries;
                return Err(format!("{left} entries stayed after their retention").into());
            }
        }
        let busy = process::thread_cpu_time()?.saturating_sub(busy);
        let gone = self.store.stats().expired - before.expired;
        if gone != before.entries {
            let held = before.entries;
            return Err(format!("{held} entries were held, {gone} counted as expired").into());
        }
        Ok(Some(Expiry {
            entries: gone,
            nanos_each: busy.as_nanos() as f64 / gone.max(1) as f64,
            slice_micros_max: longest.as_nanos() as f64 / 1e3,
        }))
    }
}
