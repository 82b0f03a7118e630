//! A budget filled until it refuses: what was acknowledged stays, what is open can still end.

use std::sync::Arc;

use onceward::{BootClock, Store, StoreConfig};
use onceward_core::{
    AttemptId, Begin, BeginOutcome, Body, Complete, CompleteOutcome, Fingerprint, GetOutcome,
    Identity, ResultRef, Token,
};

use super::findings::Findings;
use super::process;
use super::system::Fault;
use crate::workload::Workload;

/// One begin in this many stays open until the budget is gone.
const OPEN_EVERY: u64 = 16;
/// Begins that are tried after the first refusal: each must be refused, too.
const TRIED_AFTER: u64 = 1_000;
/// Resident memory over the limit and the empty process that is allowed.
const RESIDENT_PART_MAX: f64 = 1.05;
const ENTRIES_MAX: u64 = 100_000_000;

/// The budget, and the size of what fills it.
#[derive(Clone, Copy, Debug)]
pub struct Full {
    /// The store's memory limit.
    pub memory_bytes: u64,
    /// Bytes of each body.
    pub value_bytes: usize,
}

/// Runs it.
///
/// # Errors
/// The store does not start, or answers an error.
pub fn run(full: Full) -> Result<Findings, Fault> {
    let mut findings = Findings::default();
    findings.report.setting("memory limit", full.memory_bytes);
    findings.report.setting("value bytes", full.value_bytes);
    findings.report.setting("left open until full", format!("one begin in {OPEN_EVERY}"));
    let workload = Workload { entries: 0, value_bytes: full.value_bytes, distance: 0, seed: 13 };
    let empty = process::resident_bytes()?;
    let store =
        Store::new(StoreConfig::with_memory(full.memory_bytes), Arc::new(BootClock::new()))?;
    // Bodies of open reservations are as large as what every begin sets aside.
    let largest = store.limits().set_aside_bytes;
    let mut resident_most = empty;
    let mut open: Vec<(u64, Token)> = Vec::new();
    let mut number = 0;
    let refused_after = loop {
        match begin(&store, &workload, number)? {
            Some(token) if number % OPEN_EVERY == 0 => open.push((number, token)),
            Some(token) => complete(&store, &workload, number, token)?,
            None => break number,
        }
        number += 1;
        if number % 1_024 == 0 {
            resident_most = resident_most.max(process::resident_bytes()?);
        }
        if number > ENTRIES_MAX {
            return Err(format!("nothing was refused within {ENTRIES_MAX} begins").into());
        }
    };
    let mut acquired_after = 0;
    for later in 1..=TRIED_AFTER {
        if let Some(token) = begin(&store, &workload, refused_after + later)? {
            // Room may be left for one more: its end must work as well.
            complete(&store, &workload, refused_after + later, token)?;
            acquired_after += 1;
        }
    }
    let at_full = store.stats();
    resident_most = resident_most.max(process::resident_bytes()?);
    let opened = open.len() as u64;
    let large = Workload { value_bytes: largest, ..workload.clone() };
    for (number, token) in &open {
        if let Err(fault) = complete(&store, &large, *number, *token) {
            findings.faults.push(fault.to_string());
        }
    }
    resident_most = resident_most.max(process::resident_bytes()?);
    let mut damaged = 0;
    for number in 0..refused_after {
        let stored = if number % OPEN_EVERY == 0 { &large } else { &workload };
        damaged += u64::from(!intact(&store, stored, number)?);
    }
    let stats = store.stats();
    findings.note("keys acknowledged before the first refusal", "entries", refused_after as f64);
    findings.note("open reservations completed with their set-aside", "entries", opened as f64);
    findings.note("begins refused", "begins", stats.begin_refused as f64);
    findings.note("begins acquired after the first refusal", "begins", acquired_after as f64);
    findings.note("memory charged at the first refusal", "B", at_full.memory_used_bytes as f64);
    findings.note("memory charged at the end", "B", stats.memory_used_bytes as f64);
    findings.note("most memory charged", "B", stats.memory_high_water_bytes as f64);
    findings.note("body and key bytes held at the end", "B", {
        let bodies = (refused_after - opened) * full.value_bytes as u64 + opened * largest as u64;
        (bodies + refused_after * 36) as f64
    });
    findings.note("resident memory of the empty process", "B", empty as f64);
    findings.note("most resident memory", "B", resident_most as f64);
    let bound = RESIDENT_PART_MAX * full.memory_bytes as f64 + empty as f64;
    findings.note("bound: 1.05 of the limit and the empty process", "B", bound);
    findings.note("most resident memory / bound", "", resident_most as f64 / bound);
    findings.expect(damaged == 0, || format!("{damaged} acknowledged keys are not intact"));
    findings.expect(stats.expired == 0, || format!("{} entries are gone", stats.expired));
    findings.expect(refused_after > 0, || "the first begin was refused".to_owned());
    findings.expect(stats.memory_high_water_bytes <= full.memory_bytes, || {
        format!("{} bytes were charged", stats.memory_high_water_bytes)
    });
    findings.expect(resident_most as f64 <= bound, || {
        format!("the process held {resident_most} bytes, {bound:.0} are allowed")
    });
    Ok(findings)
}

fn identity(key: &[u8; 36]) -> Result<Identity<'_>, Fault> {
    Ok(Identity::new("default", b"", key)?)
}

/// `None` if it was refused.
fn begin(store: &Store, workload: &Workload, number: u64) -> Result<Option<Token>, Fault> {
    let key = workload.key(number);
    let attempt = AttemptId::from_bytes(workload.attempt(number));
    let begin = Begin::new(Fingerprint::None, attempt);
    let answer = store.begin(identity(&key)?, &begin, |outcome| match outcome {
        BeginOutcome::Acquired(acquired) => Ok(Some(acquired.token)),
        BeginOutcome::Refused { .. } => Ok(None),
        other => Err(format!("begin {number} of a new key was answered {}", other.name())),
    })?;
    Ok(answer.value?)
}

fn complete(store: &Store, workload: &Workload, number: u64, token: Token) -> Result<(), Fault> {
    let key = workload.key(number);
    let value = workload.value(number);
    let complete = Complete { token, result: ResultRef::of(201, &value), fingerprint: None };
    match store.complete(identity(&key)?, &complete)?.value {
        CompleteOutcome::Completed { not_kept: None } => Ok(()),
        CompleteOutcome::Completed { not_kept: Some(why) } => {
            Err(format!("complete {number} was not kept: {}", why.name()).into())
        }
        other => Err(format!("complete {number} was answered {}", other.name()).into()),
    }
}

fn intact(store: &Store, workload: &Workload, number: u64) -> Result<bool, Fault> {
    let key = workload.key(number);
    let value = workload.value(number);
    let answer = store.get(identity(&key)?, |outcome| match outcome {
        GetOutcome::Completed(done) => {
            matches!(done.result.body, Body::Kept(body) if body == value)
        }
        _ => false,
    })?;
    Ok(answer.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_gone_or_differs_is_not_intact_s11() {
        let store =
            Store::new(StoreConfig::with_memory(8 << 20), Arc::new(BootClock::new())).unwrap();
        let workload = Workload { entries: 0, value_bytes: 64, distance: 0, seed: 13 };
        let token = begin(&store, &workload, 1).unwrap().unwrap();
        complete(&store, &workload, 1, token).unwrap();
        assert!(intact(&store, &workload, 1).unwrap());
        assert!(!intact(&store, &workload, 2).unwrap(), "never stored");
        let longer = Workload { value_bytes: 65, ..workload.clone() };
        assert!(!intact(&store, &longer, 1).unwrap(), "another body");
        assert!(complete(&store, &longer, 1, token).is_err(), "a conflict");
    }
}
