//! What a journal can be told, with its limits.

use onceward::Millis;

/// Facts are written, though not synced, at the latest this long after they were recorded: so much
/// a killed process loses at `interval`, while its machine goes on.
pub(crate) const WRITE_AFTER: Millis = Millis::new(10);
/// A batch without frames follows when nothing else does for this long: it witnesses the sync.
pub(crate) const TRAILER_AFTER: Millis = Millis::new(10);
/// After a fault everything is tried anew this often, and not more.
pub(crate) const RETRY_AFTER: Millis = Millis::new(1_000);
/// The progress file is synced at most this often.
pub(crate) const PROGRESS_SYNC_AFTER: Millis = Millis::new(1_000);
/// New names of namespaces reach the manifest at the latest after this; until then frames spell
/// them out.
pub(crate) const NAMES_AFTER: Millis = Millis::new(1_000);
/// While nothing else is recorded the store's time is, this often: so much longer a reboot keeps
/// keys (S15).
pub(crate) const CLOCK_AFTER: Millis = Millis::new(10_000);
/// The ceiling of fences is raised by so many at once, when less than half is left (S4).
pub(crate) const FENCE_STEP: u64 = 1 << 22;
/// Bytes of frames in one batch, unless one frame alone is larger: a torn one loses so much.
pub(crate) const BATCH_BYTES_MAX: usize = 1 << 20;
/// Files kept for their room when all in them has expired; more are taken away.
pub(crate) const SPARES_MAX: usize = 2;
/// Namespaces that get a number; frames spell out any others.
pub(crate) const NAMES_MAX: usize = 4_096;

/// Smallest [`JournalOptions::file_bytes`]: smaller files cost more syncs than they save room.
pub const FILE_BYTES_MIN: u64 = 64 << 10;
/// Largest [`JournalOptions::file_bytes`]: recovery reads a file into memory as a whole.
pub const FILE_BYTES_MAX: u64 = 1 << 30;

/// What a journal can be told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct JournalOptions {
    /// How old an unsynced fact may get before replies wait for it at `interval` (S14); syncs
    /// begin at half of it. Default 1 s.
    pub interval: Millis,
    /// Bytes that a facts file gets when it is made. A fact that is larger gets a larger file.
    /// Default 64 MiB; brought into [`FILE_BYTES_MIN`] to [`FILE_BYTES_MAX`].
    pub file_bytes: u64,
    /// Bytes of facts in memory that are not synced. Above it a sync begins at once, above twice
    /// that facts are refused until it has ended. Default 64 MiB.
    pub unsynced_bytes_max: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { interval: Millis::new(1_000), file_bytes: 64 << 20, unsynced_bytes_max: 64 << 20 }
    }
}
