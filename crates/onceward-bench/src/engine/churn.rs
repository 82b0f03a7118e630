//! Many begins under a compressed clock, few alive: nothing leaks, nothing ends early or late.

use std::sync::Arc;

use onceward::{Store, StoreConfig};
use onceward_core::{
    AttemptId, Begin, BeginOutcome, Body, Clock as _, Complete, CompleteOutcome, Fingerprint,
    GetOutcome, Identity, Millis, ResultRef, Token,
};

use super::findings::Findings;
use super::own::with_max_entries;
use super::process;
use super::steered::SteeredClock;
use super::system::Fault;
use crate::workload::{Workload, mix};

const RETENTION_MS: u64 = 20_000;
const VALUE_BYTES: usize = 64;
/// Begins between two ticks.
const TICK_EVERY: u64 = 256;
const TICK_BUDGET: usize = 2_048;
/// Begins between two looks at keys that must be there or must not.
const LOOK_EVERY: u64 = 16;
/// Begins between a key's begin and its complete.
const DISTANCE: u64 = 1_000;
/// Growth of memory from a fifth of the way to its end that counts as a leak.
const DRIFT_PART_MAX: f64 = 0.05;
const TICKS_MAX: u64 = 1_000_000;

/// How much is begun, and how much of it is alive at a time.
#[derive(Clone, Copy, Debug)]
pub struct Churn {
    /// Begins in all.
    pub begins: u64,
    /// Entries alive at a time, at most: a multiple of 20,000.
    pub alive: u64,
}

struct Course {
    store: Store,
    clock: SteeredClock,
    workload: Workload,
    per_ms: u64,
}

/// Runs it. `progress` gets the begins done so far, now and then.
///
/// # Errors
/// The store does not start, or answers an error.
pub fn run(churn: Churn, progress: impl Fn(u64)) -> Result<Findings, Fault> {
    let per_ms = churn.alive / RETENTION_MS;
    if per_ms == 0 || !churn.alive.is_multiple_of(RETENTION_MS) {
        return Err(format!("{} alive: give a multiple of {RETENTION_MS}", churn.alive).into());
    }
    let clock = SteeredClock::stopped();
    let memory = churn.alive * 2 * (VALUE_BYTES as u64 + 512) + (64 << 20);
    let config = with_max_entries(StoreConfig::with_memory(memory), Some(churn.alive * 2));
    let store = Store::new(config, Arc::new(clock.clone()))?;
    let workload =
        Workload { entries: churn.begins, value_bytes: VALUE_BYTES, distance: DISTANCE, seed: 11 };
    let course = Course { store, clock, workload, per_ms };
    let mut findings = Findings::default();
    findings.report.setting("begins", churn.begins);
    findings.report.setting("alive at a time", churn.alive);
    findings.report.setting("retention", format!("{RETENTION_MS} ms of a compressed clock"));

    let used_before = course.store.stats().memory_used_bytes;
    let mut samples = Vec::new();
    let mut entries_most = 0;
    let mut tokens: Vec<Option<Token>> = vec![None; DISTANCE as usize];
    for number in 0..churn.begins + DISTANCE {
        let place = (number % DISTANCE) as usize;
        if let Some(token) = tokens[place].take() {
            course.complete(number - DISTANCE, token)?;
        }
        if number >= churn.begins {
            continue;
        }
        if number > 0 && number % per_ms == 0 {
            course.clock.advance(Millis::new(1));
        }
        tokens[place] = Some(course.begin(number)?);
        if number % LOOK_EVERY == 0 {
            course.look(number, &mut findings)?;
        }
        if number % TICK_EVERY == 0 {
            course.store.tick(course.clock.now(), TICK_BUDGET);
            entries_most = entries_most.max(course.store.stats().entries);
        }
        let tenth = (churn.begins / 10).max(1);
        if (number + 1).is_multiple_of(tenth) {
            let used = course.store.stats().memory_used_bytes;
            samples.push((process::resident_bytes()?, used));
            progress(number + 1);
        }
    }
    findings.note("entries held at a time, most", "entries", entries_most as f64);
    drift(&mut findings, churn, &samples);
    course.end(churn, used_before, &mut findings);
    Ok(findings)
}

/// Compares memory at a fifth of the way, when as many entries are alive as ever, with its end.
fn drift(findings: &mut Findings, churn: Churn, samples: &[(u64, u64)]) {
    // Below five times the entries alive, a fifth of the way is still filling up.
    let (Some(&early), Some(&late)) = (samples.get(1), samples.last()) else { return };
    let parts = [
        ("resident memory", early.0 as f64, late.0 as f64),
        ("memory charged", early.1 as f64, late.1 as f64),
    ];
    for (name, early, late) in parts {
        let drift = (late - early) / early.max(1.0);
        findings.note(format!("{name} at a fifth"), "MiB", early / f64::from(1 << 20));
        findings.note(format!("{name} at the end"), "MiB", late / f64::from(1 << 20));
        findings.note(format!("{name}, drift"), "%", drift * 100.0);
        if churn.begins >= 10 * churn.alive {
            findings.expect(drift <= DRIFT_PART_MAX, || {
                format!("{name} grew by {:.1} % from a fifth of the way to the end", drift * 100.0)
            });
        }
    }
}

impl Course {
    fn begin(&self, number: u64) -> Result<Token, Fault> {
        let key = self.workload.key(number);
        let attempt = AttemptId::from_bytes(self.workload.attempt(number));
        let mut begin = Begin::new(Fingerprint::None, attempt);
        begin.lease = Millis::from_secs(5);
        begin.retention = Millis::new(RETENTION_MS);
        begin.result_hint = Some(VALUE_BYTES);
        let answer = self.store.begin(identity(&key)?, &begin, |outcome| match outcome {
            BeginOutcome::Acquired(acquired) => Ok(acquired.token),
            other => Err(format!("begin {number} of a new key was answered {}", other.name())),
        })?;
        Ok(answer.value?)
    }

    fn complete(&self, number: u64, token: Token) -> Result<(), Fault> {
        let key = self.workload.key(number);
        let value = self.workload.value(number);
        let complete = Complete { token, result: ResultRef::of(201, &value), fingerprint: None };
        match self.store.complete(identity(&key)?, &complete)?.value {
            CompleteOutcome::Completed { not_kept: None } => Ok(()),
            other => Err(format!("complete {number} was answered {}", other.name()).into()),
        }
    }

    /// Looks at the youngest key that has ended, the oldest that has not, and one in between.
    fn look(&self, number: u64, findings: &mut Findings) -> Result<(), Fault> {
        let now = self.clock.now().as_millis();
        let first_alive = (now + 1).saturating_sub(RETENTION_MS) * self.per_ms;
        let youngest = number.saturating_sub(DISTANCE);
        let between = first_alive + mix(number) % (youngest.saturating_sub(first_alive) + 1);
        for looked in [first_alive.checked_sub(1), Some(first_alive), Some(between)] {
            let Some(looked) = looked.filter(|looked| *looked < youngest) else { continue };
            let ends = looked / self.per_ms + RETENTION_MS;
            let key = self.workload.key(looked);
            let body = self.workload.value(looked);
            let right = self.store.get(identity(&key)?, |outcome| match outcome {
                GetOutcome::Absent => ends <= now,
                GetOutcome::Completed(done) => {
                    matches!(done.result.body, Body::Kept(kept) if kept == body)
                        && done.retention_left.get() == ends.saturating_sub(now)
                        && now < ends
                }
                _ => false,
            })?;
            findings.expect(right.value, || {
                format!("key {looked}, which ends at {ends} ms, is wrong at {now} ms")
            });
            if findings.faults.len() > 20 {
                return Err(format!("too much is wrong: {}", findings.faults.join("; ")).into());
            }
        }
        Ok(())
    }

    /// Lets the rest end: everything must go, and be counted.
    fn end(&self, churn: Churn, used_before: u64, findings: &mut Findings) {
        // An overhang of a second or a twentieth of the retention is allowed.
        self.clock.advance(Millis::new(RETENTION_MS + RETENTION_MS / 20 + 1_000));
        let mut ticks = 0;
        while self.store.stats().entries > 0 && ticks < TICKS_MAX {
            self.store.tick(self.clock.now(), TICK_BUDGET);
            ticks += 1;
        }
        let stats = self.store.stats();
        let counts = [
            ("entries left", stats.entries, 0),
            ("begins acquired", stats.begin_acquired, churn.begins),
            ("completed", stats.complete_completed, churn.begins),
            ("expired", stats.expired, churn.begins),
            ("expired unfinished", stats.expired_unfinished, 0),
        ];
        for (name, got, want) in counts {
            findings.note(name, "entries", got as f64);
            findings.expect(got == want, || format!("{name}: {got}, not {want}"));
        }
        let left = stats.memory_used_bytes.saturating_sub(used_before);
        findings.note("memory still charged", "B", left as f64);
        findings.expect(left <= stats.memory_high_water_bytes / 50, || {
            format!("{left} bytes stay charged for no entry")
        });
    }
}

fn identity(key: &[u8; 36]) -> Result<Identity<'_>, Fault> {
    Ok(Identity::new("default", b"", key)?)
}
