//! One store for one case: its backend, its clock, and the hand that moves both.

use std::sync::Arc;

use onceward::{Store, StoreConfig};
use onceward_core::{Backend, Limits, Millis};
use onceward_testkit::ManualClock;

use crate::case::Case;

/// The backend under test, with the store behind it and the store's clock.
pub(crate) struct World<B> {
    pub(crate) backend: Arc<B>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
}

/// A store that keeps to the case's limits, and its clock.
///
/// # Errors
/// The case names a limit that there is not, or one that no store takes.
pub(crate) fn store_for(case: &Case) -> Result<(Store, Arc<ManualClock>), String> {
    let mut config = StoreConfig { limits: Limits::DEFAULT, ..StoreConfig::default() };
    for (name, &value) in &case.config {
        let size = usize::try_from(value).map_err(|why| format!("{name}: {why}"))?;
        match name.as_str() {
            "memory_bytes" => config.memory_bytes = value,
            "waiters_per_key_max" => config.limits.waiters_per_key_max = size,
            "waiters_max" => config.limits.waiters_max = size,
            unknown => return Err(format!("no limit `{unknown}`")),
        }
    }
    let clock = Arc::new(ManualClock::new(1_000_000));
    let shared: Arc<ManualClock> = Arc::clone(&clock);
    let store = Store::new(config, shared).map_err(|why| why.to_string())?;
    Ok((store, clock))
}

impl<B: Backend> World<B> {
    /// Moves the clock and does all that is due.
    ///
    /// # Errors
    /// The store finds no end of things due.
    pub(crate) fn advance(&self, length: Millis) -> Result<(), String> {
        const TICKS_MAX: usize = 1_000;
        let now = self.clock.advance(length);
        for _ in 0..TICKS_MAX {
            match self.store.tick(now, 1_024) {
                Some(next) if next <= now => {}
                Some(_) | None => return Ok(()),
            }
        }
        Err(format!("more was due after {TICKS_MAX} ticks"))
    }
}
