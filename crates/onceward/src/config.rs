//! How a store is set up, and why it may not start.

use std::collections::BTreeMap;
use std::fmt;

use onceward_core::{BadInput, Fence, Limits, Namespace};

use crate::attempts::ATTEMPT_BYTES;
pub use crate::namespaces::NamespaceConfig;

/// Smallest memory limit: below this not even a handful of default set-asides fits.
pub const MEMORY_BYTES_MIN: u64 = 1024 * 1024;
/// Largest set-aside of a begin without a hint: the ceiling of `set_aside_bytes` (S20).
pub const SET_ASIDE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest [`StoreConfig::fence_floor`]: half of all fences are left to draw.
pub const FENCE_FLOOR_MAX: u64 = Fence::MAX / 2;
/// One part in this many of the memory may be taken by ended attempts.
const ATTEMPTS_DIVISOR: u64 = 8;
/// Most shards.
pub const SHARDS_MAX: usize = 65_536;

/// How durable a fact is before an answer that rests on it is told (S14). It takes a journal:
/// without one, all is at `Memory`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Durability {
    /// Nothing is written: a restart forgets the namespace.
    #[default]
    Memory,
    /// Facts are written soon, and synced within an interval; when that is exceeded, answers wait.
    Interval,
    /// Every answer waits until what it rests on is synced.
    Always,
}

impl Durability {
    /// The word used in configuration files and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Interval => "interval",
            Self::Always => "always",
        }
    }
}

/// What a [`Store`](crate::Store) is built from.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreConfig {
    /// Bytes that entries, results and set-asides may take together (S11). Default 1 GiB. Ended
    /// attempts are remembered within an eighth of it: so a small store remembers fewer of them
    /// than its limits say.
    pub memory_bytes: u64,
    /// The movable limits (S20).
    pub limits: Limits,
    /// Entries that the index is sized for at the start, at about 15 bytes each; it does not grow.
    /// `None` reckons with one entry per 384 bytes of memory. Somewhere beyond twice as many,
    /// begins are Refused for capacity.
    pub max_entries: Option<u64>,
    /// Independent parts of the plain storage, rounded up to a power of two; the lock-free one has
    /// none. Default 64.
    pub shards: usize,
    /// What differs by namespace; a namespace that is not named works with the defaults.
    pub namespaces: BTreeMap<String, NamespaceConfig>,
    /// No fence is below this one. Default 1, at most [`FENCE_FLOOR_MAX`]; the wall clock raises
    /// it (S22).
    pub fence_floor: u64,
    /// Which life of the store this is, for whoever asks. Default `None`: a new one with each start
    /// (S22). With a journal, a number of its data directory's.
    pub boot_epoch: Option<u64>,
    /// The key of the hash that finds entries: 16 bytes that strangers do not know, lest they choose
    /// what collides. Default `None`: random bytes. State it for runs that are to repeat.
    pub hash_key: Option<[u8; 16]>,
    /// Of every namespace that states none of its own. Default [`Durability::Memory`]; any other
    /// takes a journal.
    pub durability: Durability,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            memory_bytes: 1024 * 1024 * 1024,
            limits: Limits::DEFAULT,
            max_entries: None,
            shards: 64,
            namespaces: BTreeMap::new(),
            fence_floor: 1,
            boot_epoch: None,
            hash_key: None,
            durability: Durability::Memory,
        }
    }
}

impl StoreConfig {
    /// A store of this many bytes, otherwise with the defaults.
    #[must_use]
    pub fn with_memory(memory_bytes: u64) -> Self {
        Self { memory_bytes, ..Self::default() }
    }

    /// How many ended attempts are remembered: they are charged regardless, so they must not be
    /// able to fill the store (S3, S11).
    pub(crate) fn attempts_max(&self) -> usize {
        let share = self.memory_bytes / ATTEMPTS_DIVISOR / ATTEMPT_BYTES;
        self.limits.attempts_remembered_max.min(usize::try_from(share).unwrap_or(usize::MAX))
    }

    /// Whether any namespace keeps facts.
    #[must_use]
    pub fn needs_journal(&self) -> bool {
        let levels = self.namespaces.values().filter_map(|config| config.durability);
        levels.chain([self.durability]).any(|level| level != Durability::Memory)
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        self.faults().into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything for which [`Store::new`](crate::Store::new) would refuse to start.
    #[must_use]
    pub fn faults(&self) -> Vec<StartError> {
        let mut faults = Vec::new();
        if self.memory_bytes < MEMORY_BYTES_MIN {
            faults.push(StartError::Memory { got: self.memory_bytes });
        }
        if self.shards == 0 || self.shards > SHARDS_MAX {
            faults.push(StartError::Shards { got: self.shards });
        }
        let limits = &self.limits;
        if limits.lease_max < onceward_core::limits::LEASE_MIN
            || limits.retention_max < limits.lease_max
        {
            faults.push(StartError::Times {
                lease_max: limits.lease_max.get(),
                retention_max: limits.retention_max.get(),
            });
        }
        if self.fence_floor > FENCE_FLOOR_MAX {
            faults.push(StartError::FenceFloor { got: self.fence_floor });
        }
        let set_asides = self.namespaces.values().filter_map(|config| config.set_aside_bytes);
        let set_asides = set_asides.chain([limits.set_aside_bytes]);
        let over = set_asides.filter(|got| *got > SET_ASIDE_BYTES_MAX);
        faults.extend(over.map(|got| StartError::SetAside { got }));
        faults.extend(self.namespaces.keys().filter_map(|name| {
            let why = Namespace::new(name).err()?;
            Some(StartError::Namespace { name: name.clone(), why })
        }));
        faults
    }
}

/// Why a store did not start: the configuration's fault.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StartError {
    /// Less memory than [`MEMORY_BYTES_MIN`].
    Memory {
        /// Bytes configured.
        got: u64,
    },
    /// No shards, or more than [`SHARDS_MAX`].
    Shards {
        /// Shards configured.
        got: usize,
    },
    /// The longest lease is under 100 ms, or over the longest retention.
    Times {
        /// In milliseconds.
        lease_max: u64,
        /// In milliseconds.
        retention_max: u64,
    },
    /// A set-aside of more than [`SET_ASIDE_BYTES_MAX`].
    SetAside {
        /// Bytes configured.
        got: usize,
    },
    /// The fence floor leaves too few fences: more than [`FENCE_FLOOR_MAX`].
    FenceFloor {
        /// As configured.
        got: u64,
    },
    /// A configured namespace has a name that no request could use.
    Namespace {
        /// As configured.
        name: String,
        /// What is wrong with it.
        why: BadInput,
    },
    /// The operating system gave no addresses for this much memory, or for this many entries.
    Addresses {
        /// What the operating system said.
        why: String,
    },
    /// Facts are to be kept, and no journal was given to keep them.
    NoJournal,
    /// The thread that calls `tick` could not be started.
    Thread {
        /// What the operating system said.
        why: String,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { got } => {
                write!(f, "memory_bytes is {got}: give at least {MEMORY_BYTES_MIN}")
            }
            Self::Shards { got } => write!(f, "shards is {got}: give 1 to {SHARDS_MAX}"),
            Self::Times { lease_max, retention_max } => write!(
                f,
                "lease_max is {lease_max} ms and retention_max {retention_max} ms: give a lease_max of at least 100 ms and no more than retention_max"
            ),
            Self::SetAside { got } => {
                write!(f, "set_aside_bytes is {got}: give at most {SET_ASIDE_BYTES_MAX}")
            }
            Self::FenceFloor { got } => {
                write!(f, "fence_floor is {got}: give at most {FENCE_FLOOR_MAX}")
            }
            Self::Namespace { name, why } => write!(f, "namespace {name:?}: {why}"),
            Self::Addresses { why } => write!(
                f,
                "no address space for memory_bytes and max_entries: {why}; lower them, or raise the limit of the process (ulimit -v)"
            ),
            Self::NoJournal => f.write_str(
                "durability is not `memory`, and there is no journal: give the store a data directory, or set durability to `memory`",
            ),
            Self::Thread { why } => write!(f, "the ticker's thread did not start: {why}"),
        }
    }
}

impl std::error::Error for StartError {}

#[cfg(test)]
mod tests {
    use super::*;
    use onceward_core::Millis;

    #[test]
    fn a_configuration_that_could_not_keep_its_promises_is_refused_s20() {
        let default = StoreConfig::default;
        let namespace = |name: &str, set_aside_bytes| {
            let config = NamespaceConfig { set_aside_bytes, ..NamespaceConfig::default() };
            BTreeMap::from([(name.to_owned(), config)])
        };
        let long = Limits { lease_max: Millis::new(u64::MAX), ..Limits::DEFAULT };
        let brief = Limits { lease_max: Millis::new(99), ..Limits::DEFAULT };
        let small = Limits { result_bytes_max: 64, ..Limits::DEFAULT };
        #[rustfmt::skip]
        let rows = [
            ("the defaults", default(), true),
            ("the least memory", StoreConfig::with_memory(MEMORY_BYTES_MIN), true),
            ("less", StoreConfig::with_memory(MEMORY_BYTES_MIN - 1), false),
            ("no shards", StoreConfig { shards: 0, ..default() }, false),
            ("too many", StoreConfig { shards: SHARDS_MAX + 1, ..default() }, false),
            ("a lease longer than any retention", StoreConfig { limits: long, ..default() }, false),
            ("no lease at all", StoreConfig { limits: brief, ..default() }, false),
            ("results smaller than a set-aside", StoreConfig { limits: small, ..default() }, true),
            ("the last fence floor", StoreConfig { fence_floor: FENCE_FLOOR_MAX, ..default() }, true),
            ("fences run out: S4", StoreConfig { fence_floor: FENCE_FLOOR_MAX + 1, ..default() }, false),
            ("a namespace of its own",
                StoreConfig { namespaces: namespace("orders", Some(0)), ..default() }, true),
            ("a name nobody could use",
                StoreConfig { namespaces: namespace("Orders", None), ..default() }, false),
            ("a set-aside beyond reckoning",
                StoreConfig { namespaces: namespace("orders", Some(usize::MAX)), ..default() }, false),
        ];
        for (why, config, good) in rows {
            let checked = config.check();
            assert_eq!(checked.is_ok(), good, "{why}: {checked:?}");
            if let Err(error) = checked {
                assert!(error.to_string().contains(": "), "{why}: says what to give: {error}");
            }
        }
    }
}
