//! Bugs of durability that can be planted, to see that the tests of crashes and faults catch them.
//!
//! Without the feature `planted-bugs` [`planted`] is `false` at compile time, and the wrong code is
//! not there. With it nothing is planted until one is chosen at run time: by `plant`, or by the
//! environment variable `ONCEWARD_PLANTED_BUG`.

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $bug:ident => $name:literal,)+) => {
        /// A bug that can be planted.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Bug {
            $($(#[doc = $doc])+ $bug,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$bug),+];

            /// The name to choose it by.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)+
                }
            }
        }
    };
}

bugs! {
    /// A fact's answer is told before its sync.
    AckBeforeSync => "ack-before-sync",
    /// AlreadyCompleted is told before the sync of the completion.
    AlreadyCompletedBeforeSync => "already-completed-before-sync",
    /// A repeated Acquired is told before the sync of the acquisition.
    RepeatedAcquiredBeforeSync => "repeated-acquired-before-sync",
    /// A replay is told before the sync of the completion.
    ReplayBeforeSync => "replay-before-sync",
    /// The fact of a change that lost is kept.
    UnsealedResultFlushed => "unsealed-result-flushed",
    /// Recovery takes a result whose acquisition was succeeded by another.
    FencedResultAcceptedAtRecovery => "fenced-result-accepted-at-recovery",
    /// A completion whose body is not kept is no fact.
    BodyLessCompleteNotLogged => "body-less-complete-not-logged",
    /// Binding a fingerprint by renew is no fact.
    BindNotLogged => "bind-not-logged",
    /// A renew longer than any before it is no fact.
    LongerRenewNotLogged => "longer-renew-not-logged",
    /// Changes of names are not synced.
    NoDirectorySync => "no-directory-sync",
    /// The fence ceiling is used before it is synced.
    FenceCeilingNotSynced => "fence-ceiling-not-synced",
    /// A restart begins below fences that were given.
    FenceReusedAfterRestore => "fence-reused-after-restore",
    /// The end of an acquisition goes to a file that is dropped before the acquisition's own.
    AbandonInShorterLivedFile => "abandon-in-shorter-lived-file",
    /// A restart leaves leases as they were.
    LeaseNotRearmed => "lease-not-rearmed",
    /// Leases are counted from the last tick.
    LeaseGrantedFromCachedTime => "lease-granted-from-cached-time",
    /// The store's clock follows the wall clock.
    EarlyEndAfterClockStep => "early-end-after-clock-step",
    /// A batch counts as whole although its checksum is wrong.
    TornTailAcceptedAsWhole => "torn-tail-accepted-as-whole",
    /// A sync that failed is asked for again, on the same file.
    RetryOfFailedSync => "retry-of-failed-sync",
    /// A witness of what is synced names more than that.
    HintBeyondDurableCut => "hint-beyond-durable-cut",
    /// A file is used again while its facts are needed.
    SegmentRecycledBeforeFactsDropped => "segment-recycled-before-facts-dropped",
}

/// Whether this bug is planted.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
#[must_use]
pub const fn planted(_: Bug) -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
mod chosen {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::Bug;

    /// No bug, or the place in [`Bug::ALL`] and one.
    static CHOSEN: OnceLock<AtomicUsize> = OnceLock::new();

    fn chosen() -> &'static AtomicUsize {
        CHOSEN.get_or_init(|| {
            let name = std::env::var("ONCEWARD_PLANTED_BUG").unwrap_or_default();
            let place = Bug::ALL.iter().position(|bug| bug.name() == name);
            if place.is_none() && !name.is_empty() {
                tracing::error!(name, "no bug of that name can be planted");
            }
            AtomicUsize::new(place.map_or(0, |place| place + 1))
        })
    }

    /// Whether this bug is planted.
    #[must_use]
    pub fn planted(bug: Bug) -> bool {
        chosen().load(Relaxed) == bug as usize + 1
    }

    /// Plants one bug in this process, in place of any other, or none.
    pub fn plant(bug: Option<Bug>) {
        chosen().store(bug.map_or(0, |bug| bug as usize + 1), Relaxed);
    }
}

#[cfg(feature = "planted-bugs")]
pub use chosen::{plant, planted};
