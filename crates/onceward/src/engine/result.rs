//! Results: what of one is stored, and whether a repeat offers the same (S3, S11, S12).

use onceward_core::lifecycle::{Acceptance, State};
use onceward_core::{Body, NotKept, ResultRef, Timestamp};

use super::Engine;
use super::room::Room;
use crate::storage::{
    Access, Change, Hashed, Loaded, LoadedEntry, Storage, Uncommitted, without_body,
};

impl<S: Storage> Engine<S> {
    /// Writes a result: whole if it fits its set-aside or the headroom, else without its body.
    /// Never refused (S11, S12).
    #[expect(clippy::too_many_arguments, reason = "two callers; the parts have no common noun")]
    #[inline(always)]
    pub(super) fn store_result(
        &self,
        pin: &S::Pin<'_>,
        id: &Hashed<'_>,
        loaded: &Loaded<S::Bytes>,
        acceptance: Acceptance<'_>,
        offered: &ResultRef<'_>,
        access: Access,
        now: Timestamp,
    ) -> Result<Option<NotKept>, Uncommitted> {
        let LoadedEntry { charge: before, .. } = loaded.entry.as_ref().ok_or(Uncommitted::Stale)?;
        let whole = before.completed(offered);
        let (stored, drawn) = match offered.body {
            Body::NotKept(why) => (without_body(offered, why), 0),
            Body::Kept(body) if body.len() > self.limits.result_bytes_max => {
                (without_body(offered, NotKept::TooLarge), 0)
            }
            Body::Kept(_) => {
                let beyond = whole.total().saturating_sub(before.total());
                if beyond == 0 || self.budget.draw(beyond) {
                    (*offered, beyond)
                } else {
                    (without_body(offered, NotKept::Capacity), 0)
                }
            }
        };
        let drawn = Room { budget: &self.budget, bytes: drawn };
        let not_kept = stored.not_kept();
        let room = before.total() + drawn.bytes;
        let view = acceptance.storing(not_kept);
        let change = Change::Complete { view: &view, offered, stored: &stored, room };
        self.commit(pin, id, loaded, access, change, now)?;
        drawn.spend();
        Ok(not_kept)
    }

    /// Whether the offered result is the stored one; asked of the storage only in COMPLETED.
    #[inline]
    pub(super) fn is_stored(
        &self,
        pin: &S::Pin<'_>,
        loaded: &Loaded<S::Bytes>,
        offered: &ResultRef<'_>,
    ) -> bool {
        loaded.entry.as_ref().is_some_and(|entry| {
            matches!(entry.view.state, State::Completed { .. })
                && self.storage.is_stored(pin, entry, offered)
        })
    }
}
