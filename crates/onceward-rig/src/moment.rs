//! The rig's own time: one monotonic clock for all who call, outside the daemon.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Microseconds since the rig started.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Moment(u64);

impl Moment {
    /// The rig's start.
    pub const START: Self = Self(0);
    /// Later than anything that happens: of a call without an answer.
    pub const NEVER: Self = Self(u64::MAX);

    /// Now.
    ///
    /// # Panics
    /// After half a million years.
    #[must_use]
    pub fn now() -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        let elapsed = START.get_or_init(Instant::now).elapsed();
        Self(u64::try_from(elapsed.as_micros()).expect("runs are short"))
    }

    /// That many milliseconds after the start.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000)
    }

    /// That many microseconds after the start.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The moment that much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// When something that was granted for `length` at this moment, or later, may end at the earliest:
    /// the store counts whole milliseconds, and from the last one that had begun.
    #[must_use]
    pub fn least_end(self, length: Duration) -> Self {
        const GRAIN: Duration = Duration::from_millis(1);
        self.after(length.saturating_sub(GRAIN))
    }

    /// From `earlier` to this; zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NEVER => f.write_str("never"),
            Self(micros) => write!(f, "{}.{:03} ms", micros / 1_000, micros % 1_000),
        }
    }
}
