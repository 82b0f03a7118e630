//! Instants and lengths of time, in whole milliseconds of the store's clock (S15).

use core::fmt;
use core::time::Duration;

/// An instant on the store's clock, in milliseconds. It never travels: peers see lengths only.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The first instant of a store's clock.
    pub const ZERO: Self = Self(0);
    /// Later than every deadline.
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `millis` milliseconds after the clock's zero.
    #[must_use]
    #[inline]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the clock's zero.
    #[must_use]
    #[inline]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The instant `length` later; stops at [`Timestamp::MAX`].
    #[must_use]
    #[inline]
    pub const fn after(self, length: Millis) -> Self {
        Self(self.0.saturating_add(length.0))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    #[inline]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// How long until `later`; zero once it has passed.
    #[must_use]
    #[inline]
    pub const fn until(self, later: Self) -> Millis {
        later.since(self)
    }
}

/// A length of time in whole milliseconds, the only precision there is.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Millis(u64);

impl Millis {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// `millis` milliseconds.
    #[must_use]
    #[inline]
    pub const fn new(millis: u64) -> Self {
        Self(millis)
    }

    /// `seconds` seconds; stops at the largest length.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// The length in milliseconds.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The same length for use with a runtime's timers.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// Whole milliseconds that cover `duration`: a fraction rounds up, so that a caller never
    /// gets less than it asked for. Stops at the largest length.
    #[must_use]
    pub fn covering(duration: Duration) -> Self {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        Self(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

impl From<Millis> for Duration {
    fn from(length: Millis) -> Self {
        length.as_duration()
    }
}

impl From<Duration> for Millis {
    fn from(duration: Duration) -> Self {
        Self::covering(duration)
    }
}

/// How far the journal must be synced before an outcome may be told (S21). Zero without a journal.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Position(pub u64);

/// Where `now` comes from. Implemented once for the product and once for tests; everything below
/// takes `now` as a parameter.
pub trait Clock: Send + Sync {
    /// The present instant; never less than an instant it gave before (S15).
    fn now(&self) -> Timestamp;
}
