//! A clock that follows another one and can be moved ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use onceward::BootClock;
use onceward_core::{Clock, Millis, Timestamp};

/// Real time plus what it was moved ahead by, or, when made by [`SteeredClock::stopped`], only the
/// latter. Clones are one clock.
#[derive(Clone, Debug)]
pub struct SteeredClock {
    real: Option<Arc<BootClock>>,
    ahead_ms: Arc<AtomicU64>,
}

impl SteeredClock {
    /// A clock that runs with real time.
    #[must_use]
    pub fn running() -> Self {
        Self { real: Some(Arc::new(BootClock::new())), ahead_ms: Arc::default() }
    }

    /// A clock that moves only by [`SteeredClock::advance`].
    #[must_use]
    pub fn stopped() -> Self {
        Self { real: None, ahead_ms: Arc::default() }
    }

    /// Moves the clock ahead.
    pub fn advance(&self, by: Millis) {
        self.ahead_ms.fetch_add(by.get(), Relaxed);
    }
}

impl Clock for SteeredClock {
    fn now(&self) -> Timestamp {
        let real = self.real.as_ref().map_or(Timestamp::ZERO, |clock| clock.now());
        real.after(Millis::new(self.ahead_ms.load(Relaxed)))
    }
}
