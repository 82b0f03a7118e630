//! What this process knows of its own ownership of one identity.

use std::fmt;

use onceward_core::{Digest, Millis};
use tokio::time::Instant;

use crate::span::after;

/// How ownership was lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Lost {
    /// Another acquisition owns the identity now (S4).
    Fenced,
    /// The identity is absent: it was resolved, forgotten, or its retention ended.
    Gone,
    /// It was completed otherwise, by a resolver or by this token.
    Conflict,
    /// Another fingerprint is bound than this request's.
    Mismatch,
    /// The lease has ended by our own count and could not be renewed. Others may own it now.
    LeaseEnded,
}

impl Lost {
    /// The word, snake case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fenced => "fenced",
            Self::Gone => "gone",
            Self::Conflict => "conflict",
            Self::Mismatch => "mismatch",
            Self::LeaseEnded => "lease_ended",
        }
    }

    /// Whether the store said so, for good; a lease that ended by our count alone may still be ours.
    const fn is_final(self) -> bool {
        !matches!(self, Self::LeaseEnded)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fenced => "another acquisition owns the identity",
            Self::Gone => "the identity is absent",
            Self::Conflict => "the identity is completed otherwise",
            Self::Mismatch => "another fingerprint is bound",
            Self::LeaseEnded => "the lease ended and could not be renewed",
        })
    }
}

/// What a process knows of its own ownership. Counted from when requests were sent, so that it is
/// never later than the store's own deadline (S6).
#[derive(Clone, Copy, Debug)]
pub struct Ownership {
    /// Never moves back.
    lease_until: Instant,
    /// When the latest granted request was sent, and the lease it got.
    renewed_at: Instant,
    granted: Millis,
    /// Sticky: work that was told to stop is not told to go on.
    lost: Option<Lost>,
    /// The digest that the store has bound for this owner under fingerprint `later` (S9).
    bound: Option<Digest>,
}

/// Shortest time between two renewals, also where a lease is cut short by its retention.
const RENEW_EVERY_MIN: Millis = Millis::new(20);

impl Ownership {
    /// By a request that was sent then.
    #[must_use]
    pub fn granted(sent: Instant, lease: Millis) -> Self {
        let lease_until = after(sent, lease);
        Self { lease_until, renewed_at: sent, granted: lease, lost: None, bound: None }
    }

    /// A renewal sent before a bind may be answered after it: nothing unbinds (S9).
    pub(crate) fn renewed(&mut self, sent: Instant, lease: Millis, bound: Option<Digest>) {
        self.lease_until = self.lease_until.max(after(sent, lease));
        self.renewed_at = sent;
        self.granted = lease;
        self.bound = bound.or(self.bound);
    }

    /// Whether this is news. What the store said outweighs our own count.
    pub(crate) fn lose(&mut self, why: Lost) -> bool {
        let news = match self.lost {
            None => true,
            Some(known) => !known.is_final() && why.is_final(),
        };
        if news {
            self.lost = Some(why);
        }
        news
    }

    /// How it was lost, if it was.
    #[must_use]
    pub const fn lost(&self) -> Option<Lost> {
        self.lost
    }

    /// The digest that the store has bound for this owner.
    #[must_use]
    pub const fn bound(&self) -> Option<Digest> {
        self.bound
    }

    /// When the lease ends.
    #[must_use]
    pub const fn lease_until(&self) -> Instant {
        self.lease_until
    }

    /// Whether it holds, as far as is known.
    #[must_use]
    pub fn holds(&self, now: Instant) -> bool {
        self.lost.is_none() && now < self.lease_until
    }

    /// A third of the lease after it was granted.
    #[must_use]
    pub fn renewal_due(&self) -> Instant {
        let third = Millis::new(self.granted.get() / 3).max(RENEW_EVERY_MIN);
        after(self.renewed_at, third)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_lease_counts_from_the_sending_and_never_moves_back_s6() {
        let sent = Instant::now();
        let mut ownership = Ownership::granted(sent, Millis::from_secs(30));
        assert_eq!(ownership.renewal_due(), sent + Duration::from_secs(10));

        let later = sent + Duration::from_secs(12);
        ownership.renewed(later, Millis::from_secs(6), None); // Cut short by the retention.
        assert_eq!(ownership.lease_until(), sent + Duration::from_secs(30));
        assert_eq!(ownership.renewal_due(), later + Duration::from_secs(2));
    }

    #[test]
    fn the_store_outweighs_our_own_count_and_a_loss_stays() {
        let mut ownership = Ownership::granted(Instant::now(), Millis::from_secs(1));
        assert!(ownership.lose(Lost::LeaseEnded));
        assert!(!ownership.lose(Lost::LeaseEnded));
        assert!(ownership.lose(Lost::Fenced));
        assert!(!ownership.lose(Lost::Gone), "the first word of the store stands");
        assert_eq!(ownership.lost(), Some(Lost::Fenced));
    }
}
