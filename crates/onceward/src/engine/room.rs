//! Room for what is to be written: set aside at begin, taken before a commit, given back when the
//! commit is stale (S11).

use onceward_core::limits::METADATA_NOT_KEPT_BYTES_MAX;
use onceward_core::{Begin, Millis, Timestamp};

use super::Engine;
use crate::budget::Budget;
use crate::namespaces::Namespaces;
use crate::storage::{Charge, Hashed, Storage};

/// Steps of reclaiming that a request without room does at once, before it lets others in.
const ASSIST_STEPS: usize = 256;
/// How often it does so before it gives up. A wheel slot of 60,000 entries is then sorted out.
const ASSIST_SLICES: usize = 256;

/// Bytes charged while an entry is being written; given back unless the write succeeds.
pub(super) struct Room<'a> {
    pub(super) budget: &'a Budget,
    pub(super) bytes: u64,
}

impl Room<'_> {
    #[inline]
    pub(super) fn spend(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Room<'_> {
    #[inline]
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

/// A place in a namespace's quota, given back unless it is kept.
pub(super) struct Place<'a> {
    pub(super) namespaces: &'a Namespaces,
    pub(super) quota: Option<u32>,
}

impl Place<'_> {
    #[inline]
    pub(super) fn keep(mut self) {
        self.quota = None;
    }
}

impl Drop for Place<'_> {
    #[inline]
    fn drop(&mut self) {
        self.namespaces.leave(self.quota);
    }
}

/// How far a request without room has gone to find some: what is due is as good as gone, whether
/// or not a tick has come by (S7).
#[derive(Default)]
pub(super) struct Shortage {
    slices: usize,
    nothing_due: bool,
    /// It is a place in a quota that is short, not memory.
    pub(super) of_places: bool,
}

impl Shortage {
    /// There is nothing more to be freed: refuse.
    #[inline]
    pub(super) fn is_final(&self) -> bool {
        self.nothing_due || self.slices >= ASSIST_SLICES
    }
}

impl<S: Storage> Engine<S> {
    /// What a begin is charged: entry and identity, and room for result and checkpoint (S11).
    /// Every set-aside holds the metadata of a result that is not kept (S12).
    #[inline]
    pub(super) fn set_aside(&self, id: &Hashed<'_>, request: &Begin) -> Charge {
        let namespace = self.namespaces.config(id.identity.namespace());
        let result = request
            .result_hint
            .or(namespace.set_aside_bytes)
            .unwrap_or(self.limits.set_aside_bytes)
            .max(METADATA_NOT_KEPT_BYTES_MAX);
        Charge {
            entry: self.storage.entry_bytes(id, request.fingerprint),
            result: result as u64,
            checkpoint: request.checkpoint_hint as u64,
        }
    }

    /// Charges `bytes`, none of them from the headroom; `None` if there is no room.
    #[inline]
    pub(super) fn reserve(&self, bytes: u64) -> Option<Room<'_>> {
        // What needs nothing is not refused, even while the headroom is drawn on.
        (bytes == 0 || self.budget.reserve(bytes)).then(|| Room { budget: &self.budget, bytes })
    }

    /// Frees a slice of what is due. The caller holds no pin.
    #[cold]
    pub(super) fn assist(&self, now: Timestamp, shortage: &mut Shortage) {
        let mut steps = ASSIST_STEPS;
        if shortage.of_places {
            self.storage.reclaim_places(now, &mut steps);
        } else {
            self.storage.reclaim(now, &mut steps);
        }
        shortage.slices += 1;
        shortage.nothing_due |= steps > 0;
    }

    /// When room is due, at the earliest.
    pub(super) fn room_due(&self, now: Timestamp) -> Option<Millis> {
        self.storage.next_room().map(|due| now.until(due))
    }
}
