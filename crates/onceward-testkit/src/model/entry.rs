//! The facts about one identity.

use onceward_core::{
    AttemptId, Body, Checkpointed, Digest, Fence, Fingerprint, Metadata, MetadataBuf, NotKept,
    Policy, StoredResult, limits::METADATA_NOT_KEPT_BYTES_MAX,
};

/// One identity that is not absent. Instants in milliseconds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) fence: Fence,
    pub(super) attempt_id: AttemptId,
    pub(super) attempt_number: u32,
    pub(super) fingerprint: Fingerprint,
    pub(super) policy: Policy,
    pub(super) acquired_at: u64,
    /// Fixed at the first acquisition (S7).
    pub(super) retention_ends: u64,
    /// How often this acquisition has fallen in doubt, or lapsed, so far.
    pub(super) doubts: u32,
    pub(super) checkpoint: Option<Checkpointed<Vec<u8>>>,
    pub(super) phase: Phase,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// The owner's lease runs.
    Leased { lease_ends: u64 },
    /// The lease has ended under policy takeover: anyone may take over.
    Lapsed { since: u64 },
    /// Nobody runs again until resolved.
    InDoubt { since: u64 },
    /// Final.
    Done(Done),
}

/// A result, as offered and as it is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Done {
    pub(super) at: u64,
    /// What the owner sent: what a repeat is compared with (S3).
    pub(super) offered: StoredResult<Vec<u8>>,
    /// What retries get (S12).
    pub(super) told: StoredResult<Vec<u8>>,
    /// The store has not said yet whether it had room for the body.
    pub(super) keeping_open: bool,
}

impl core::fmt::Display for Phase {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Leased { lease_ends } => write!(f, "leased until {lease_ends}"),
            Self::Lapsed { since } => write!(f, "lapsed at {since}"),
            Self::InDoubt { since } => write!(f, "in doubt since {since}"),
            Self::Done(done) => {
                write!(f, "completed at {} with {}", done.at, crate::trace::Content(&done.told))
            }
        }
    }
}

impl Entry {
    /// S6: the lease ends at its own instant. S8: the policy decides what that means.
    pub(super) fn lapse_if_due(&mut self, now: u64) {
        let Phase::Leased { lease_ends } = self.phase else { return };
        if lease_ends > now {
            return;
        }
        self.doubts += 1;
        self.phase = match self.policy {
            Policy::Takeover => Phase::Lapsed { since: lease_ends },
            Policy::InDoubt => Phase::InDoubt { since: lease_ends },
        };
    }

    /// S6: the lease begins anew, never moves back, and never outlasts the retention. S8: it is
    /// RESERVED again.
    pub(super) fn lease_anew(&mut self, lease: u64, now: u64) {
        let mut lease_ends = now.saturating_add(lease);
        if let Phase::Leased { lease_ends: earlier } = self.phase
            && earlier > lease_ends
        {
            lease_ends = earlier;
        }
        if lease_ends > self.retention_ends {
            lease_ends = self.retention_ends;
        }
        self.phase = Phase::Leased { lease_ends };
    }

    /// How long the lease runs yet; zero if it does not.
    pub(super) fn lease_left(&self, now: u64) -> u64 {
        match self.phase {
            Phase::Leased { lease_ends } => lease_ends - now,
            Phase::Lapsed { .. } | Phase::InDoubt { .. } | Phase::Done(_) => 0,
        }
    }

    pub(super) fn lease_runs(&self) -> bool {
        matches!(self.phase, Phase::Leased { .. })
    }

    /// "Other fingerprint bound": only what is bound can differ.
    pub(super) fn differs_from(&self, named: Option<Digest>) -> bool {
        match named {
            None => false,
            Some(named) => match self.fingerprint {
                Fingerprint::Later => false,
                Fingerprint::None => true,
                Fingerprint::Digest(bound) => bound != named,
            },
        }
    }

    /// S9: `later` is bound once.
    pub(super) fn bind(&mut self, named: Option<Digest>) {
        if self.fingerprint == Fingerprint::Later
            && let Some(named) = named
        {
            self.fingerprint = Fingerprint::Digest(named);
        }
    }

    /// S9: whether a result would be stored with nothing bound.
    pub(super) fn stays_unbound(&self, named: Option<Digest>) -> bool {
        self.fingerprint == Fingerprint::Later && named.is_none()
    }

    pub(super) fn store(
        &mut self,
        offered: &StoredResult<Vec<u8>>,
        told: StoredResult<Vec<u8>>,
        now: u64,
    ) {
        self.checkpoint = None; // S19: checkpoints end with complete.
        let done = Done { at: now, offered: offered.clone(), told, keeping_open: false };
        self.phase = Phase::Done(done);
    }

    pub(super) fn leave_keeping_open(&mut self, open: bool) {
        if let Phase::Done(done) = &mut self.phase {
            done.keeping_open = open;
        }
    }

    pub(super) fn settle_keeping(&mut self, lacked_room: bool, body_max: usize) {
        if let Phase::Done(done) = &mut self.phase
            && done.keeping_open
        {
            done.told = as_told(&done.offered, body_max, lacked_room);
            done.keeping_open = false;
        }
    }
}

/// S12: what is left of a result whose body is declined, too large, or had no room (S11).
pub(super) fn as_told(
    offered: &StoredResult<Vec<u8>>,
    body_max: usize,
    no_room: bool,
) -> StoredResult<Vec<u8>> {
    let why = match &offered.body {
        Body::Kept(bytes) if bytes.len() <= body_max && no_room => NotKept::Capacity,
        Body::Kept(bytes) if bytes.len() <= body_max => return offered.clone(),
        Body::Kept(_) => NotKept::TooLarge,
        Body::NotKept(_) => NotKept::Declined,
    };
    let offered_pairs = Metadata::decode(&offered.metadata).expect("checked by the limits");
    let mut kept = Vec::new();
    for (name, value) in offered_pairs.pairs() {
        let mut pair = MetadataBuf::new();
        pair.push(name, value).expect("one of the offered pairs");
        if kept.len() + pair.as_ref().encoded().len() > METADATA_NOT_KEPT_BYTES_MAX {
            break; // Whole pairs in order.
        }
        kept.extend_from_slice(pair.as_ref().encoded());
    }
    StoredResult { status: offered.status, metadata: kept, body: Body::NotKept(why) }
}
