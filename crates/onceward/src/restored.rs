//! What a journal knows of an identity after a restart, as the store takes it in (S13).

use onceward_core::{
    AttemptId, Fence, Fingerprint, Identity, Millis, Policy, ResultRef, Timestamp,
};

use crate::facts::SetAside;

/// One identity, put together from all facts about it.
#[derive(Clone, Copy)]
pub struct Restored<'a> {
    /// Whose.
    pub identity: Identity<'a>,
    /// Of the latest acquisition, as are all below.
    pub fence: Fence,
    /// The owner's.
    pub attempt_id: AttemptId,
    /// 1, and one more with each takeover.
    pub attempt_number: u32,
    /// No smaller than any that was shown for it: the next doubt has a larger one.
    pub doubt_number: u32,
    /// What the identity is bound to.
    pub fingerprint: Fingerprint,
    /// When it was granted.
    pub acquired_at: Timestamp,
    /// End of its retention.
    pub expires_at: Timestamp,
    /// What the end of the lease means (S8).
    pub policy: Policy,
    /// The longest that any of its leases has been.
    pub lease: Millis,
    /// What is set aside for it while it is not completed.
    pub set_aside: SetAside,
    /// The checkpoint's ordinal and bytes, of this acquisition or inherited; 0 without one.
    pub checkpoint: (u32, &'a [u8]),
    /// How far it got.
    pub state: RestoredState<'a>,
}

/// How far an acquisition got, as far as is known.
#[derive(Clone, Copy)]
pub enum RestoredState<'a> {
    /// Neither completed nor left in doubt: its lease is armed anew, from readiness (S13).
    Reserved,
    /// Its owner left it in doubt.
    InDoubt {
        /// When.
        since: Timestamp,
    },
    /// It has its result.
    Completed {
        /// When.
        at: Timestamp,
        /// What of it is kept.
        result: ResultRef<'a>,
        /// SHA-256 of the result as offered, where not all of it is kept.
        digest: Option<[u8; 32]>,
    },
}
