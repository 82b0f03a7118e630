//! A transport booked in three steps at three systems: a truck, a slot at the dock, the insurance.
//!
//! ```text
//! cargo run -p onceward-client --example booking
//! ONCEWARD_URL=onceward://127.0.0.1:7977/bookings cargo run -p onceward-client --example booking
//! ```
//!
//! Each finished step is recorded. When the process dies a successor goes on after the last one;
//! when a step fails for good the finished ones are undone, last one first, and every retry is told
//! the same.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use onceward_client::{
    Client, Execution, Fingerprint, Key, PayloadFingerprint as _, Run, Schema, ScopedKeyBuf,
    StepError, StepFailure, TerminalFailure,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Booking {
    truck: String,
    slot: String,
    policy: String,
}

impl Schema for Booking {
    const TAG: &'static str = "booking/1";
}

/// The three systems outside. Like any API worth calling they take an idempotency key: one key,
/// one booking, however often it is asked for.
#[derive(Clone, Default)]
struct Partners {
    booked: Arc<Mutex<BTreeMap<String, String>>>,
    insurer_declines: bool,
    /// Makes the call that books this never answer, as if the process died there.
    hangs_at: Option<&'static str>,
}

impl Partners {
    async fn book(&self, what: &'static str, key: String) -> Result<String, StepFailure> {
        if self.hangs_at == Some(what) {
            std::future::pending::<()>().await;
        }
        if what == "policy" && self.insurer_declines {
            return Err(StepFailure::terminal("the insurer declines this freight"));
        }
        let mut booked = self.booked.lock().map_err(|_| StepFailure::retryable("poisoned"))?;
        let number = booked.len() + 1;
        Ok(booked.entry(key).or_insert_with(|| format!("{what}-{number}")).clone())
    }

    /// Cancelling what is cancelled already is fine: a compensation may be repeated.
    async fn cancel(&self, booking: String) -> Result<(), StepFailure> {
        let mut booked = self.booked.lock().map_err(|_| StepFailure::retryable("poisoned"))?;
        booked.retain(|_, held| *held != booking);
        println!("  cancelled {booking}");
        Ok(())
    }

    fn held(&self) -> BTreeSet<String> {
        let booked = self.booked.lock().expect("no thread panics while it holds the bookings");
        booked.values().cloned().collect()
    }
}

async fn book_transport(mut run: Run, partners: Partners) -> Result<Booking, StepError> {
    println!("  attempt {}", run.attempt_number());
    let truck = run
        .step("book-truck", |step| partners.book("truck", step.derived_key()))
        .compensate({
            let partners = partners.clone();
            move |truck, _| {
                let partners = partners.clone();
                async move { partners.cancel(truck).await }
            }
        })
        .await?;
    let slot = run
        .step("book-slot", |step| partners.book("slot", step.derived_key()))
        .compensate({
            let partners = partners.clone();
            move |slot, _| {
                let partners = partners.clone();
                async move { partners.cancel(slot).await }
            }
        })
        .await?;
    let policy = run.step("insure", |step| partners.book("policy", step.derived_key())).await?;
    Ok(Booking { truck, slot, policy })
}

/// Who asks, for what; new for each run of this example, for a daemon remembers.
fn intent() -> Result<(ScopedKeyBuf, Fingerprint), Box<dyn Error>> {
    let key = Key::generate().in_scope("shipper-3")?;
    Ok((key, Fingerprint::of(r#"{"from":"north","to":"south","pallets":12}"#)))
}

/// Books once with a crash in the middle, once with a refusal at the end, and checks both.
pub(crate) async fn run(client: Client) -> Result<(), Box<dyn Error>> {
    let execution: Execution = client
        .execution()
        .lease(Duration::from_millis(300)) // Short: renewed meanwhile, and soon over after a crash.
        .wait(Duration::from_secs(10));

    println!("a process dies while it books the slot; its successor goes on");
    let (key, fingerprint) = intent()?;
    let partners = Partners::default();
    let dies = Partners { hangs_at: Some("slot"), ..partners.clone() };
    let dying = execution.execute_steps(key.clone(), fingerprint, |run| book_transport(run, dies));
    // Dropped at the end of its patience, as a killed process would be.
    let gave_up = tokio::time::timeout(Duration::from_millis(100), dying).await;
    assert!(gave_up.is_err());
    let done = execution
        .execute_steps(key.clone(), fingerprint, |run| book_transport(run, partners.clone()))
        .await?
        .into_done()
        .map_err(|other| other.name())?;
    let booking = done.outcome?;
    println!("  {booking:?}");
    assert_eq!(done.done.attempt_number, 2);
    let Booking { truck, slot, policy } = booking;
    assert_eq!(partners.held(), BTreeSet::from([truck, slot, policy]), "one of each");

    println!("the insurer declines; what was booked is cancelled, and a retry is told the same");
    let (key, fingerprint) = intent()?;
    let partners = Partners { insurer_declines: true, ..Partners::default() };
    for _ in 0..2 {
        let done = execution
            .execute_steps(key.clone(), fingerprint, |run| book_transport(run, partners.clone()))
            .await?
            .into_done()
            .map_err(|other| other.name())?;
        let refused: TerminalFailure = done.outcome.err().ok_or("the insurer declined")?;
        println!("  {refused} (replayed: {})", done.done.replayed);
        assert_eq!(refused.step, "insure");
    }
    assert!(partners.held().is_empty());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("ONCEWARD_URL").unwrap_or_else(|_| "mem://bookings".to_owned());
    run(Client::open(&url)?).await
}
