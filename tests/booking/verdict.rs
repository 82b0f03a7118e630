//! Holds what is stored against what the system downstream knows.

use std::collections::BTreeMap;
use std::path::Path;

use onceward_client::{
    Fingerprint, Identity, PayloadFingerprint as _, Run, StepError, StepsDone, TerminalFailure,
    compensation_key, step_key,
};

use super::Account;
use super::child::{self, Booking, NAMESPACE, STEPS};
use super::downstream;
use super::plan::{Point, RunPlan};

/// Returns the number of the attempt that completed.
pub(super) fn check(
    address: &str,
    folder: &Path,
    plan: &RunPlan,
    account: &Account,
) -> Result<u64, String> {
    let StepsDone { outcome, done } = replay(address, plan)?;
    let effects = downstream::effects(folder).map_err(|error| error.to_string())?;
    let calls = downstream::calls(folder).map_err(|error| error.to_string())?;

    let key = child::key(plan.seed);
    let identity = key.as_ref();
    let identity = Identity::new(NAMESPACE, identity.scope(), identity.key())
        .map_err(|error| error.to_string())?;
    let finished = if plan.fails { STEPS.len() - 1 } else { STEPS.len() };
    let booked = STEPS.map(|step| step_key(identity, step));
    let cancelled = STEPS.map(|step| compensation_key(identity, step));

    // Once per derived key, and under no other key.
    let mut want_calls = BTreeMap::new();
    for (number, key) in booked.iter().enumerate().take(finished) {
        want_calls.insert(key.clone(), 1 + hits(account, Point::AfterEffect(number)));
    }
    if plan.fails {
        for (number, key) in cancelled.iter().enumerate().take(finished) {
            want_calls.insert(key.clone(), 1 + hits(account, Point::AfterUndo(number)));
        }
    }
    // A process that gave up, or died at an instant not of ours, may have called downstream.
    let unplanned = account.too_slow + account.at_any_instant;
    let agrees = calls.keys().eq(want_calls.keys())
        && calls.iter().all(|(key, got)| {
            let want = want_calls[key];
            (want..=want + unplanned).contains(got)
        });
    expect(agrees, || format!("calls are {calls:?}, not {want_calls:?}"))?;
    expect(effects.keys().eq(want_calls.keys()), || format!("effects are {effects:?}"))?;

    // What is stored is what downstream answered.
    let references: Vec<_> = booked.iter().take(finished).map(|key| effects[key].clone()).collect();
    if plan.fails {
        let failure = TerminalFailure { step: "driver".into(), message: "no driver".into() };
        expect(outcome == Err(failure), || format!("outcome is {outcome:?}"))?;
        for (key, reference) in cancelled.iter().zip(&references) {
            let cancels = effects[key].starts_with(&format!("cancel {reference} "));
            expect(cancels, || format!("{} does not cancel {reference}", effects[key]))?;
        }
    } else {
        expect(outcome == Ok(Booking(references)), || {
            format!("stored is {outcome:?}, downstream has {effects:?}")
        })?;
    }

    let (attempt, least) = (u64::from(done.attempt_number), 1 + account.taken_over);
    let most = least + account.at_any_instant;
    expect((least..=most).contains(&attempt), || {
        format!("attempt {attempt} completed, expected {least} to {most}")
    })?;
    Ok(attempt)
}

/// What every later caller gets.
fn replay(address: &str, plan: &RunPlan) -> Result<StepsDone<Booking>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let replayed = runtime.map_err(|error| error.to_string())?.block_on(async {
        let client = child::client(address);
        let payload = Fingerprint::of(plan.seed.to_le_bytes());
        let program = async |_: Run| -> Result<Booking, StepError> { unreachable!("it is done") };
        client.execution().execute_steps(child::key(plan.seed), payload, program).await
    });
    let executed = replayed.map_err(|error| error.to_string())?;
    executed.into_done().map_err(|other| format!("a later caller gets {other:?}"))
}

fn hits(account: &Account, point: Point) -> u64 {
    account.hits.get(&point).copied().unwrap_or_default()
}

fn expect(met: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if met { Ok(()) } else { Err(fault()) }
}
