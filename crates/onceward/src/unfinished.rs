//! Work whose retention ended before anybody recorded it as done (S7).

use onceward_core::StateName;
use tracing::warn;

/// What is logged of it, once no lock is held: a subscriber is foreign code, and may be slow.
#[must_use]
pub(crate) struct Unfinished {
    pub(crate) namespace: Box<str>,
    /// Of a hash under this process's own random key: tells entries apart, and nothing else (S16).
    pub(crate) key_hash: u32,
    pub(crate) state: StateName,
}

impl Unfinished {
    pub(crate) fn log(&self) {
        warn!(
            namespace = &*self.namespace,
            key_hash = format_args!("{:08x}", self.key_hash),
            state = self.state.name(),
            "retention ended before the work was recorded as done (S7)"
        );
    }
}
