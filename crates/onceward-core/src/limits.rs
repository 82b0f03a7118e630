//! Every limit, in one table: name, default, ceiling, and what happens there (S20).
//!
//! Constants bound the words themselves and never change. [`Limits`] holds the ones an operator
//! may move, each up to its ceiling. [`TABLE`] is what `docs/semantics.md` prints.

use crate::error::BadInput;
use crate::time::Millis;

/// Most bytes of a namespace's name; over: bad input.
pub const NAMESPACE_BYTES_MAX: usize = 64;
/// Most bytes of a scope; over: bad input.
pub const SCOPE_BYTES_MAX: usize = 255;
/// Most bytes of a key, which has at least one; over, or empty: bad input.
pub const KEY_BYTES_MAX: usize = 255;
/// Fewest bytes of a fingerprint's digest; under: bad input.
pub const DIGEST_BYTES_MIN: usize = 16;
/// Most bytes of a fingerprint's digest; over: bad input.
pub const DIGEST_BYTES_MAX: usize = 32;
/// Most name-value pairs of a result's metadata; over: bad input.
pub const METADATA_PAIRS_MAX: usize = 64;
/// Most bytes of all names and values of a result's metadata; over: bad input.
pub const METADATA_BYTES_MAX: usize = 16 * 1024;
/// What of the metadata, encoded, outlives a body that is not kept: whole pairs in order (S12).
pub const METADATA_NOT_KEPT_BYTES_MAX: usize = 1024;
/// Most bytes of one checkpoint; over: bad input (S19).
pub const CHECKPOINT_BYTES_MAX: usize = 64 * 1024;
/// Shortest lease; under: bad input.
pub const LEASE_MIN: Millis = Millis::new(100);
/// Most entries in one page of `list`; over: bad input.
pub const PAGE_ENTRIES_MAX: u16 = 1_000;
/// What a frame may hold beyond the largest kept body: metadata, identity and fixed fields.
pub const FRAME_BYTES_BEYOND_BODY: usize = 64 * 1024;

/// The limits an operator may move. A store checks every request against its own copy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Longest lease; over: bad input.
    pub lease_max: Millis,
    /// Longest retention; over: bad input. Never shorter than `lease_max`.
    pub retention_max: Millis,
    /// Longest wait; a longer one is cut to this (S10).
    pub wait_max: Millis,
    /// Largest result body kept, in bytes; over: completes as not kept (S12).
    pub result_bytes_max: usize,
    /// Memory set aside for a result when begin gives no hint, in bytes (S11).
    pub set_aside_bytes: usize,
    /// Waiters on one key; over: a begin is InProgress at once (S10).
    pub waiters_per_key_max: usize,
    /// Waiters in the whole store; over: a begin is InProgress at once (S10).
    pub waiters_max: usize,
    /// How long an ended attempt id is remembered (S3).
    pub attempt_memory: Millis,
    /// How many ended attempt ids are remembered; over: the oldest is forgotten, and counted.
    pub attempts_remembered_max: usize,
}

impl Limits {
    /// The defaults of [`TABLE`].
    pub const DEFAULT: Self = Self {
        lease_max: Millis::from_secs(24 * 3_600),
        retention_max: Millis::from_secs(30 * 24 * 3_600),
        wait_max: Millis::from_secs(60),
        result_bytes_max: 1024 * 1024,
        set_aside_bytes: 4 * 1024,
        waiters_per_key_max: 100_000,
        waiters_max: 1_000_000,
        attempt_memory: Millis::from_secs(120),
        attempts_remembered_max: 1_000_000,
    };

    /// Checks a lease.
    ///
    /// # Errors
    /// [`BadInput::Lease`] under [`LEASE_MIN`] or over `lease_max`.
    #[inline]
    pub fn check_lease(&self, lease: Millis) -> Result<(), BadInput> {
        if lease < LEASE_MIN || lease > self.lease_max {
            return Err(BadInput::Lease { got: lease, min: LEASE_MIN, max: self.lease_max });
        }
        Ok(())
    }

    /// Checks a retention against its ceiling and against the lease it must outlast (S6).
    ///
    /// # Errors
    /// [`BadInput::RetentionBelowLease`] or [`BadInput::Retention`].
    #[inline]
    pub fn check_retention(&self, retention: Millis, lease: Millis) -> Result<(), BadInput> {
        if retention < lease {
            return Err(BadInput::RetentionBelowLease { retention, lease });
        }
        if retention > self.retention_max {
            return Err(BadInput::Retention { got: retention, max: self.retention_max });
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One row of the table of limits, as the documents print it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Row {
    /// The limit's name in configuration, documents and errors.
    pub name: &'static str,
    /// What holds unless configured.
    pub default: &'static str,
    /// The most that configuration may set; `fixed` where it may not.
    pub ceiling: &'static str,
    /// What a caller sees there.
    pub at_the_limit: &'static str,
}

const fn row(
    name: &'static str,
    default: &'static str,
    ceiling: &'static str,
    at_the_limit: &'static str,
) -> Row {
    Row { name, default, ceiling, at_the_limit }
}

/// The table of limits. Rows of the server and client are here too, so that there is one table.
pub const TABLE: &[Row] = &[
    row("key", "1–255 B", "fixed", "bad input"),
    row("scope", "0–255 B", "fixed", "bad input"),
    row("namespace", "1–64 B of [a-z0-9._-]", "fixed", "bad input"),
    row("fingerprint digest", "16–32 B", "fixed", "bad input"),
    row("fields of a derived key or a fingerprint", "1–64", "fixed", "the client's error"),
    row("label of a derived key; name of a field", "1–255 B", "fixed", "the client's error"),
    row("values of all fields", "16 MiB", "fixed", "the client's error"),
    row("JSON that is made canonical", "1 MiB, 64 deep", "fixed", "the client's error"),
    row("metadata pairs", "64", "fixed", "bad input"),
    row("metadata", "16 KiB", "fixed", "bad input"),
    row("metadata of a result not kept", "1 KiB", "fixed", "whole pairs in order while they fit"),
    row("codec id of a typed result", "1–64 B of visible ASCII", "fixed", "does not compile"),
    row("schema tag of a typed result", "1–128 B of visible ASCII", "fixed", "does not compile"),
    row("checkpoint", "64 KiB", "fixed", "bad input; beyond its set-aside it may be refused"),
    row(
        "name of a step",
        "1–64 B of [a-z0-9._-]",
        "fixed",
        "the client's error; the step does not run",
    ),
    row(
        "names and results of a run's steps",
        "60 KiB as JSON",
        "fixed",
        "the client's error; the step has run",
    ),
    row("message of a step's failure", "512 B", "fixed", "cut at a character"),
    row("tries of a step", "1,000", "fixed", "cut to it"),
    row("result_bytes_max", "1 MiB", "16 MiB", "completes as not kept"),
    row(
        "set_aside_bytes",
        "4 KiB",
        "16 MiB",
        "a larger result draws on the headroom, then is not kept",
    ),
    row("lease (shortest)", "100 ms", "fixed", "bad input"),
    row("lease_max", "24 h", "30 d", "bad input"),
    row("retention_max", "30 d", "400 d", "bad input; shorter than the lease: bad input"),
    row("wait_max", "60 s", "1 h", "a longer wait is cut to it"),
    row(
        "waiters_per_key_max",
        "100,000",
        "waiters_max",
        "in progress, or for a get reserved, at once",
    ),
    row("waiters_max", "1,000,000", "10,000,000", "in progress, or for a get reserved, at once"),
    row("attempt_memory", "2 min", "1 h", "a later begin with that attempt id may acquire"),
    row(
        "attempts_remembered_max",
        "1,000,000",
        "10,000,000",
        "the oldest is forgotten early, and counted",
    ),
    row("page", "100", "1,000", "bad input"),
    row(
        "memory",
        "1 GiB, or half the cgroup's if less",
        "the machine's",
        "begin is refused with the time at which room is due; one that would wait is answered at once: in progress, or reserved",
    ),
    row(
        "max_entries",
        "one for every 384 B of memory",
        "what there are addresses for",
        "somewhere beyond twice as many, begin is refused",
    ),
    row("frame", "1 MiB + 64 KiB", "16 MiB + 64 KiB", "an error, then the connection closes"),
    row(
        "requests in flight per connection",
        "16,384",
        "65,536",
        "one that would wait is answered at once: in progress, or reserved",
    ),
    row(
        "unsent replies per connection",
        "256 KiB",
        "64 MiB",
        "the server stops reading until replies have left",
    ),
    row("connections", "16,384", "1,000,000", "a new connection gets an error frame and is closed"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_and_retentions_have_their_bounds_s6_s20() {
        let limits = Limits::DEFAULT;
        let day = 24 * 3_600_000;
        for (lease, good) in
            [(0, false), (99, false), (100, true), (day, true), (day + 1, false), (u64::MAX, false)]
        {
            assert_eq!(limits.check_lease(Millis::new(lease)).is_ok(), good, "lease {lease}");
        }
        let lease = Millis::new(1_000);
        for (retention, good) in [
            (0, false),
            (999, false),
            (1_000, true),
            (30 * day, true),
            (30 * day + 1, false),
            (u64::MAX, false),
        ] {
            assert_eq!(
                limits.check_retention(Millis::new(retention), lease).is_ok(),
                good,
                "retention {retention}"
            );
        }
    }
}
