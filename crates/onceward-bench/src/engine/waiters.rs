//! A crowd on one key: all are answered, one at a time acquires, and their memory comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Poll, Wake, Waker};
use std::time::Instant;

use onceward::{BeginTicket, BootClock, Store, StoreConfig, Waitable};
use onceward_core::{
    Abandon, AttemptId, Begin, BeginOutcome, Body, Certainty, Complete, Fingerprint, Identity,
    Millis, ResultRef, Token,
};

use super::findings::Findings;
use super::process;
use super::system::Fault;
use crate::workload::mix;

/// Keys with one waiter each before the first crowd: tables that a store touches bit by bit, such
/// as that of ended attempts, are touched all over then, and count for no crowd.
const WARM_UP: u64 = 1_000;
const BODY: &[u8] = b"the one result";

/// How many wait, and how often that is repeated.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Callers that wait for one key.
    pub waiters: u64,
    /// Keys, one after the other.
    pub rounds: u64,
}

#[derive(Default)]
struct Calls(AtomicU64);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// One round for each key: the owner gives up, one of the crowd acquires and completes, the rest
/// get its result.
///
/// # Errors
/// The store does not start, or answers an error.
pub fn run(crowd: Crowd) -> Result<Findings, Fault> {
    let mut findings = Findings::default();
    findings.report.setting("waiters on one key", crowd.waiters);
    findings.report.setting("keys, one after the other", crowd.rounds);
    let store = Store::new(StoreConfig::default(), Arc::new(BootClock::new()))?;
    let mut warm_up = Findings::default();
    for key in 0..WARM_UP {
        round(&store, Crowd { waiters: 1, rounds: 1 }, u64::MAX - key, &mut warm_up)?;
    }
    findings.faults.extend(warm_up.faults);
    let used_before = store.stats().memory_used_bytes;
    let mut resident_after = Vec::new();
    for key in 0..crowd.rounds {
        round(&store, crowd, key, &mut findings)?;
        resident_after.push(process::resident_bytes()? as f64);
    }
    let stats = store.stats();
    let kept = stats.memory_used_bytes.saturating_sub(used_before) / crowd.rounds.max(1);
    findings.note("memory charged per key afterwards", "B", kept as f64);
    if let (Some(first), Some(last)) = (resident_after.first(), resident_after.last()) {
        findings.note("resident memory after the first key", "MiB", first / f64::from(1 << 20));
        findings.note("resident memory after the last key", "MiB", last / f64::from(1 << 20));
        let grown = last - first;
        findings.expect(grown <= f64::from(4 << 20), || {
            format!("resident memory grew by {grown} bytes after the first key")
        });
    }
    findings.expect(stats.waiters == 0, || format!("{} waiters are left", stats.waiters));
    // A completed entry with a remembered attempt: nothing in it grows with the crowd.
    findings.expect(kept <= 8_192, || format!("{kept} bytes stay charged per key"));
    Ok(findings)
}

fn round(store: &Store, crowd: Crowd, round: u64, findings: &mut Findings) -> Result<(), Fault> {
    let key = round.to_le_bytes();
    let identity = Identity::new("default", b"", &key)?;
    let owner = begin(store, identity, attempt(round, 0))?.ok_or("a new key was not acquired")?;
    let used = store.stats().memory_used_bytes;
    let calls = Arc::new(Calls::default());
    let waker = Waker::from(Arc::clone(&calls));
    let started = Instant::now();
    let mut tickets = Vec::new();
    for waiter in 1..=crowd.waiters {
        let mut asked = Begin::new(Fingerprint::None, attempt(round, waiter));
        asked.wait = Millis::from_secs(60);
        match store.begin_or_wait(identity, &asked, &waker, |outcome| outcome.name())? {
            Waitable::Waiting(ticket) => tickets.push(ticket),
            Waitable::Answered(answer) => {
                return Err(format!("a waiter was answered {} at once", answer.value).into());
            }
        }
    }
    findings.note("registering one", "ns", nanos_each(started, crowd.waiters));
    let waiting = store.stats();
    let charged = waiting.memory_used_bytes.saturating_sub(used) / crowd.waiters.max(1);
    findings.note("memory charged per waiter", "B", charged as f64);
    findings.expect(waiting.waiters == crowd.waiters, || {
        format!("{} wait, {} are counted", crowd.waiters, waiting.waiters)
    });

    store.abandon(identity, &Abandon { token: owner, certainty: Certainty::NotDone })?;
    let (acquired, replayed, rest) = collect(tickets, &waker)?;
    let [heir] = acquired[..] else {
        return Err(format!("{} of the crowd acquired at once", acquired.len()).into());
    };
    findings.expect(replayed == 0, || format!("{replayed} results before there was one"));
    let started = Instant::now();
    let complete = Complete { token: heir, result: ResultRef::of(200, BODY), fingerprint: None };
    store.complete(identity, &complete)?;
    findings.note("answering one", "ns", nanos_each(started, crowd.waiters));
    let (acquired, replayed, rest) = collect(rest, &waker)?;
    findings.expect(acquired.is_empty(), || format!("{} more acquired", acquired.len()));
    findings.expect(replayed + 1 == crowd.waiters, || format!("{replayed} got the result"));
    findings.expect(rest.is_empty(), || format!("{} still wait", rest.len()));
    let calls = calls.0.load(Relaxed);
    findings.expect(calls >= crowd.waiters, || format!("{calls} wakers were called"));
    Ok(())
}

/// Tokens of those who acquired, number of those who got the result, and those who still wait.
fn collect(
    tickets: Vec<BeginTicket>,
    waker: &Waker,
) -> Result<(Vec<Token>, u64, Vec<BeginTicket>), Fault> {
    let (mut acquired, mut replayed, mut rest) = (Vec::new(), 0, Vec::new());
    for mut ticket in tickets {
        let polled = ticket.poll(waker, |outcome| match outcome {
            BeginOutcome::Acquired(own) => Ok(Some(own.token)),
            BeginOutcome::Replay(replay)
                if matches!(replay.result.body, Body::Kept(body) if body == BODY) =>
            {
                Ok(None)
            }
            other => Err(format!("a waiter was answered {}", other.name())),
        });
        match polled {
            Poll::Pending => rest.push(ticket),
            Poll::Ready(answer) => match answer?.value? {
                Some(token) => acquired.push(token),
                None => replayed += 1,
            },
        }
    }
    Ok((acquired, replayed, rest))
}

fn begin(
    store: &Store,
    identity: Identity<'_>,
    attempt: AttemptId,
) -> Result<Option<Token>, Fault> {
    let begin = Begin::new(Fingerprint::None, attempt);
    let answer = store.begin(identity, &begin, |outcome| match outcome {
        BeginOutcome::Acquired(acquired) => Some(acquired.token),
        _ => None,
    })?;
    Ok(answer.value)
}

fn attempt(round: u64, waiter: u64) -> AttemptId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&mix(round).to_le_bytes());
    id[8..].copy_from_slice(&waiter.to_le_bytes());
    AttemptId::from_bytes(id)
}

fn nanos_each(started: Instant, count: u64) -> f64 {
    started.elapsed().as_nanos() as f64 / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_crowd_is_answered_s10() {
        let findings = run(Crowd { waiters: 50, rounds: 3 }).unwrap();
        assert!(findings.faults.is_empty(), "{:?}", findings.faults);
    }
}
