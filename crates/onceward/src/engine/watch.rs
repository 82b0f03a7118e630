//! Looks that end in a mark: what is found to be waited for changes under the waits' lock from
//! then on (S10).

use onceward_core::lifecycle::{self, BeginDecision, Decision, State};
use onceward_core::{Begin, BeginOutcome, GetOutcome, Timestamp};

use super::Engine;
use crate::storage::{Hashed, Loaded, Storage};

impl<S: Storage> Engine<S> {
    /// Marks the identity if this begin is to wait for what stands. `false` if it is not, or if
    /// something else came to stand meanwhile.
    pub(crate) fn watch_for_begin(&self, id: &Hashed<'_>, request: &Begin, now: Timestamp) -> bool {
        let pin = self.storage.pin();
        let loaded = self.storage.load(&pin, id, Some(request.attempt_id), now);
        let waits = matches!(
            lifecycle::begin(loaded.view(), request, loaded.attempt_ended, now),
            BeginDecision::Decided(Decision { outcome: BeginOutcome::InProgress { .. }, .. })
        );
        waits && self.storage.watch(&pin, id, loaded.version).is_ok()
    }

    /// The same for a get.
    pub(crate) fn watch_for_get(&self, id: &Hashed<'_>, now: Timestamp) -> bool {
        let pin = self.storage.pin();
        let loaded = self.storage.load(&pin, id, None, now);
        let waits = matches!(lifecycle::get(loaded.view(), now), GetOutcome::Reserved { .. });
        waits && self.storage.watch(&pin, id, loaded.version).is_ok()
    }
}

impl<B> Loaded<B> {
    /// Whether something has fallen due that those who wait are to see first: then nobody is
    /// answered past them. Else what stands is as good for a reader as it is for them.
    #[inline]
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.view().is_some_and(|view| {
            let lapsed =
                matches!(view.state, State::Reserved { lease_until, .. } if lease_until <= now);
            lapsed || view.expires_at <= now
        })
    }
}
