//! The store in this process, one thread.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use onceward::{BootClock, Store, StoreConfig};
use onceward_core::{
    AttemptId, Begin, BeginOutcome, Body, Complete, CompleteOutcome, Digest, Fingerprint, Identity,
    ResultRef, Token,
};

use crate::report::Measurement;
use crate::workload::Workload;

/// Runs the workload once: every key is begun, and completed `distance` begins later; then every
/// key is asked for again, in another order. Returns ns per operation and bytes per entry.
///
/// # Errors
/// Any answer other than the right one: a broken store is not measured.
pub fn run(workload: &Workload) -> Result<Vec<Measurement>, Box<dyn Error>> {
    let per_entry = workload.value_bytes as u64 + 2_048;
    let pending = (workload.distance + 1) * 8_192;
    let memory_bytes = workload.entries * per_entry + pending + (64 << 20);
    let config = StoreConfig { memory_bytes, ..StoreConfig::default() };
    let store = Store::new(config, Arc::new(BootClock::new()))?;

    let mut tokens = vec![None; usize::try_from(workload.distance + 1)?];
    let ring = tokens.len() as u64;
    let started = Instant::now();
    for step in 0..workload.entries + workload.distance {
        if step >= workload.distance {
            let number = step - workload.distance;
            let token = tokens[(number % ring) as usize].take();
            complete(&store, workload, number, token.ok_or("no token")?)?;
        }
        if step < workload.entries {
            tokens[(step % ring) as usize] = Some(begin(&store, workload, step)?);
        }
    }
    let first = nanos_each(started, workload.entries);

    let mut copied = Vec::with_capacity(workload.value_bytes);
    let started = Instant::now();
    for step in 0..workload.entries {
        replay(&store, workload, workload.shuffled(step), &mut copied)?;
    }
    let replayed = nanos_each(started, workload.entries);

    let charged = store.stats().memory_used_bytes as f64 / workload.entries as f64;
    Ok(vec![
        Measurement::new("in process: begin + complete", "ns", first),
        Measurement::new("in process: replay with copy", "ns", replayed),
        Measurement::new("in process: bytes charged per entry", "B", charged),
    ])
}

fn nanos_each(started: Instant, operations: u64) -> f64 {
    started.elapsed().as_nanos() as f64 / operations as f64
}

fn request(workload: &Workload, number: u64, attempt: u64) -> Result<Begin, Box<dyn Error>> {
    let fingerprint = Fingerprint::Digest(Digest::new(&workload.attempt(number))?);
    Ok(Begin::new(fingerprint, AttemptId::from_bytes(workload.attempt(attempt))))
}

fn begin(store: &Store, workload: &Workload, number: u64) -> Result<Token, Box<dyn Error>> {
    let key = workload.key(number);
    let identity = Identity::new("bench", b"", &key)?;
    let begun = store.begin(identity, &request(workload, number, number)?, |outcome| {
        if let BeginOutcome::Acquired(acquired) = outcome { Some(acquired.token) } else { None }
    })?;
    begun.value.ok_or_else(|| "a new key was not acquired".into())
}

fn complete(
    store: &Store,
    workload: &Workload,
    number: u64,
    token: Token,
) -> Result<(), Box<dyn Error>> {
    let key = workload.key(number);
    let identity = Identity::new("bench", b"", &key)?;
    let value = workload.value(number);
    let request = Complete { token, result: ResultRef::of(201, &value), fingerprint: None };
    match store.complete(identity, &request)?.value {
        CompleteOutcome::Completed { not_kept: None } => Ok(()),
        other => Err(format!("complete answered {}", other.name()).into()),
    }
}

fn replay(
    store: &Store,
    workload: &Workload,
    number: u64,
    copied: &mut Vec<u8>,
) -> Result<(), Box<dyn Error>> {
    let key = workload.key(number);
    let identity = Identity::new("bench", b"", &key)?;
    copied.clear();
    let retry = request(workload, number, workload.entries + number)?;
    store.begin(identity, &retry, |outcome| {
        if let BeginOutcome::Replay(replay) = outcome
            && let Body::Kept(body) = replay.result.body
        {
            copied.extend_from_slice(body);
        }
    })?;
    let stamp = &number.to_le_bytes()[..8.min(workload.value_bytes)];
    if copied.len() == workload.value_bytes && copied.starts_with(stamp) {
        Ok(())
    } else {
        Err("a replay differs from what was stored".into())
    }
}
