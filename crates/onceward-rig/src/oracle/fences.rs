//! What is known of one key's fences whatever order its calls had, so that no standing has to carry it.

use std::collections::HashMap;

/// Who was told which fence, and from where on the fences of an attempt can be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fences {
    owners: HashMap<u64, u128>,
    floors: HashMap<u128, u64>,
}

impl Fences {
    /// `attempt` was sent to a life of the daemon before which `floor` was the largest fence of any
    /// key that an answer had shown.
    pub(crate) fn sent(&mut self, attempt: u128, floor: u64) {
        self.floors.entry(attempt).or_insert(floor);
    }

    /// Whether `attempt` was ever sent.
    pub(crate) fn knows(&self, attempt: u128) -> bool {
        self.floors.contains_key(&attempt)
    }

    /// The largest fence shown before the first life that `attempt` was sent to.
    pub(crate) fn floor(&self, attempt: u128) -> u64 {
        self.floors.get(&attempt).copied().unwrap_or_default()
    }

    /// `attempt` was told that `fence` is its own; whether nobody else was (S4).
    pub(crate) fn told(&mut self, fence: u64, attempt: u128) -> bool {
        *self.owners.entry(fence).or_insert(attempt) == attempt
    }

    /// Whether `fence` may be that of an acquisition by `attempt` that nobody heard of: not another
    /// attempt's, and larger than what earlier lives have shown (S13). It may be smaller than what
    /// was shown since it was drawn: a crash may take what followed it, and it is there again.
    pub(crate) fn may_be(&self, fence: u64, attempt: u128) -> bool {
        let not_anothers = self.owners.get(&fence).is_none_or(|owner| *owner == attempt);
        not_anothers && fence > self.floor(attempt)
    }
}
