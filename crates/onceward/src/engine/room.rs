//! Room for what is to be written: set aside at begin, taken before a commit, given back when the
//! commit is stale (S11).

use onceward_core::limits::METADATA_NOT_KEPT_BYTES_MAX;
use onceward_core::{Begin, Millis, Timestamp};

use super::Engine;
use crate::budget::Budget;
use crate::plain::ENTRY_BYTES;
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
    pub(super) fn spend(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

impl Engine {
    /// What a begin is charged: entry and identity, and room for result and checkpoint (S11).
    /// Every set-aside holds the metadata of a result that is not kept (S12).
    pub(super) fn set_aside(&self, id: &Hashed<'_>, request: &Begin) -> Charge {
        let namespace = self.namespaces.config(id.identity.namespace());
        let result = request
            .result_hint
            .or(namespace.set_aside_bytes)
            .unwrap_or(self.limits.set_aside_bytes)
            .max(METADATA_NOT_KEPT_BYTES_MAX);
        Charge {
            entry: ENTRY_BYTES + id.identity.size() as u64,
            result: result as u64,
            checkpoint: request.checkpoint_hint as u64,
        }
    }

    /// Charges `bytes`, none of them from the headroom; `None` if there is no room.
    pub(super) fn reserve(&self, bytes: u64, now: Timestamp) -> Option<Room<'_>> {
        // What needs nothing is not refused, even while the headroom is drawn on.
        if bytes > 0 {
            self.freeing_what_is_due(now, || self.budget.reserve(bytes).then_some(()))?;
        }
        Some(Room { budget: &self.budget, bytes })
    }

    /// Tries to take something, and again after each slice of reclaiming: what is due is as good
    /// as gone, whether or not a tick has come by (S7).
    pub(super) fn freeing_what_is_due<T>(
        &self,
        now: Timestamp,
        take: impl Fn() -> Option<T>,
    ) -> Option<T> {
        for _ in 0..ASSIST_SLICES {
            if let Some(taken) = take() {
                return Some(taken);
            }
            let mut steps = ASSIST_STEPS;
            self.storage.reclaim(now, &mut steps);
            if steps > 0 {
                break; // Nothing else is due.
            }
        }
        take()
    }

    /// When room is due, at the earliest.
    pub(super) fn room_due(&self, now: Timestamp) -> Option<Millis> {
        self.storage.next_room().map(|due| now.until(due))
    }
}
