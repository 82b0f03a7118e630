//! File descriptors: each connection takes one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What the daemon itself may hold: listeners, standard streams, the runtime's own.
const BESIDES_CONNECTIONS: u64 = 64;

/// Raises the soft limit as far as the hard one allows, and says so if connections may still
/// exceed it. Services often start with a soft limit of 1,024, kept low only for `select`.
pub(crate) fn raise(connections_max: usize) {
    let wanted = connections_max as u64 + BESIDES_CONNECTIONS;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let mut available = soft;
    let raised = wanted.min(hard);
    if soft < raised && setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok() {
        available = raised;
    }
    if available < wanted {
        tracing::warn!(
            "{available} file descriptors allow about {} connections, fewer than connections_max {connections_max}: raise the limit (ulimit -n, LimitNOFILE=)",
            available.saturating_sub(BESIDES_CONNECTIONS)
        );
    }
}
