//! A daemon over the wire, through the client crate, many callers on one connection each.

use std::error::Error;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use onceward_client::Client;
use onceward_core::{
    AttemptId, Begin, BeginOutcome, Body, Complete, CompleteOutcome, Digest, Fingerprint,
    ResultRef, ScopedKey,
};

use crate::report::Measurement;
use crate::workload::Workload;

/// Latencies from 1 ns to a minute, three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3)
        .unwrap_or_else(|_| unreachable!("valid bounds"))
}

/// Runs the workload once against the daemon at `url`: `connections` callers share the keys, each
/// begins and completes its own, then asks for them again in another order. Closed loop: a caller
/// waits for its answer. Returns latencies in µs and operations per second.
///
/// # Errors
/// Any answer other than the right one, or a daemon that cannot be reached.
pub async fn run(
    url: &str,
    workload: &Workload,
    connections: u64,
) -> Result<Vec<Measurement>, Box<dyn Error + Send + Sync>> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        // Each on a connection of its own, opened before the clock starts.
        let client = Client::builder(url).request_timeout(Duration::from_secs(10)).open()?;
        client.store_stats().await?;
        clients.push(client);
    }
    let mut values = Vec::new();
    for phase in [Phase::First, Phase::Replay] {
        let started = Instant::now();
        let callers: Vec<_> = clients
            .iter()
            .zip(0..)
            .map(|(client, caller)| {
                let (client, workload) = (client.clone(), workload.clone());
                tokio::spawn(
                    async move { call(&client, &workload, phase, caller, connections).await },
                )
            })
            .collect();
        let mut latencies = histogram();
        for caller in callers {
            latencies.add(&caller.await??)?;
        }
        let rate = latencies.len() as f64 / started.elapsed().as_secs_f64();
        let (name, at) = (phase.name(), format!("{connections} connections"));
        values.push(Measurement::new(format!("{at}: {name}, rate"), "ops/s", rate));
        for (quantile, label) in [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")] {
            let micros = latencies.value_at_quantile(quantile) as f64 / 1_000.0;
            values.push(Measurement::new(format!("{at}: {name}, {label}"), "µs", micros));
        }
    }
    Ok(values)
}

#[derive(Clone, Copy)]
enum Phase {
    First,
    Replay,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::First => "begin or complete",
            Self::Replay => "replay",
        }
    }
}

async fn call(
    client: &Client,
    workload: &Workload,
    phase: Phase,
    caller: u64,
    callers: u64,
) -> Result<Histogram<u64>, Box<dyn Error + Send + Sync>> {
    let mut latencies = histogram();
    let mut timed = |started: Instant| {
        latencies.record(u64::try_from(started.elapsed().as_nanos())?.max(1))?;
        Ok::<(), Box<dyn Error + Send + Sync>>(())
    };
    let mut step = caller;
    while step < workload.entries {
        let number = match phase {
            Phase::First => step,
            Phase::Replay => workload.shuffled(step),
        };
        let key = workload.key(number);
        let key = ScopedKey::new(b"", &key)?;
        let fingerprint = Fingerprint::Digest(Digest::new(&workload.attempt(number))?);
        let attempt = match phase {
            Phase::First => number,
            Phase::Replay => workload.entries + number,
        };
        let begin = Begin::new(fingerprint, AttemptId::from_bytes(workload.attempt(attempt)));
        let started = Instant::now();
        let begun = client.begin(key, &begin).await?;
        timed(started)?;
        match (phase, begun) {
            (Phase::First, BeginOutcome::Acquired(acquired)) => {
                let value = workload.value(number);
                let result = ResultRef::of(201, &value);
                let complete = Complete { token: acquired.token, result, fingerprint: None };
                let started = Instant::now();
                let completed = client.complete(key, &complete).await?;
                timed(started)?;
                if completed != (CompleteOutcome::Completed { not_kept: None }) {
                    return Err(format!("complete answered {}", completed.name()).into());
                }
            }
            (Phase::Replay, BeginOutcome::Replay(replay)) => {
                let stored = workload.value(number);
                if !matches!(&replay.result.body, Body::Kept(body) if **body == *stored) {
                    return Err("a replay differs from what was stored".into());
                }
            }
            (Phase::First | Phase::Replay, other) => {
                return Err(format!("begin answered {}", other.name()).into());
            }
        }
        step += callers;
    }
    Ok(latencies)
}
