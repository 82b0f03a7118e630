//! A journal that runs: takes facts from any thread, and makes them durable from one.

mod flush;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
};

use onceward::planted::{Bug, planted};
use onceward::{Fact, FactLog, Fence, Halted, LogCounts, Millis, Position, Timestamp};
use parking_lot::{Mutex, RwLock};

use crate::disk::Disk;
use crate::error::JournalError;
use crate::lock::Lock;
use crate::options::{FENCE_STEP, JournalOptions};
use crate::start::{self, Start};
use crate::stripes::Stripes;
use flush::Flusher;

/// Bits of [`Journal::refusing`].
mod refusal {
    /// A write or sync failed.
    pub(super) const HALTED: u8 = 1;
    /// Too many bytes wait for a sync.
    pub(super) const FULL: u8 = 2;
    /// It has stopped, or is about to.
    pub(super) const STOPPED: u8 = 4;
}

type Hook = Arc<dyn Fn() + Send + Sync>;

/// Keeps facts in files. Give it to the store as its [`FactLog`], and have [`Journal::run`] called:
/// by a [`JournalThread`](crate::JournalThread), or by hand.
pub struct Journal {
    options: JournalOptions,
    stripes: Stripes,
    /// The last round that is durable.
    synced: AtomicU64,
    /// Somebody waits for this round, or an earlier one.
    wanted: AtomicU64,
    /// When the oldest fact was decided that a round took and no sync covers, and 1; 0 without one.
    taken_since: AtomicU64,
    /// Bytes of such facts.
    taken_bytes: AtomicU64,
    /// Facts that the last sync covered, and those that came during it.
    expected: AtomicU64,
    fence_ceiling: AtomicU64,
    /// Fences from this one on are reason to raise the ceiling.
    raise_from: AtomicU64,
    /// Largest fence that was reason.
    fence_noted: AtomicU64,
    refusing: AtomicU8,
    /// There is too much in memory: sync, whoever wants it.
    is_forced: AtomicBool,
    /// Whoever runs the journal may be asleep until something is recorded.
    is_resting: AtomicBool,
    why_halted: Mutex<Option<String>>,
    on_synced: RwLock<Option<Hook>>,
    on_wake: RwLock<Option<Hook>>,
    counts: Counts,
    flusher: Mutex<Flusher>,
    _lock: Lock,
}

#[derive(Debug, Default)]
struct Counts {
    syncs: AtomicU64,
    facts: AtomicU64,
    bytes: AtomicU64,
    halts: AtomicU64,
}

impl Journal {
    /// Starts a journal on what recovery found. Whatever was open before is sealed, what of it is
    /// not known to be synced is written anew, and a ceiling of fences above the floor is durable,
    /// before this returns.
    ///
    /// # Errors
    /// [`JournalError::Disk`], [`JournalError::Missing`] for a file that `start` knows nothing of,
    /// [`JournalError::Damaged`].
    pub fn start(
        disk: Arc<dyn Disk>,
        start: Start,
        options: JournalOptions,
        now: Timestamp,
    ) -> Result<Self, JournalError> {
        let Start { lock, mut manifest, files: known, fence_floor, next_round, clock, wall_clock } =
            start;
        let next_round = next_round.max(1);
        let floor = fence_floor.max(manifest.fence_ceiling);
        let ceiling = raised(floor);
        if !planted(Bug::FenceCeilingNotSynced) {
            manifest.fence_ceiling = ceiling;
        }
        manifest.instance += 1;
        manifest.clock = clock;
        let files = start::files(disk, manifest, &known, wall_clock, &options, now)?;
        let flusher = Flusher::begin(files, floor, next_round - 1, now)?;
        let journal = Self {
            options,
            stripes: Stripes::new(next_round),
            synced: AtomicU64::new(next_round - 1),
            wanted: AtomicU64::new(0),
            taken_since: AtomicU64::new(0),
            taken_bytes: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            fence_ceiling: AtomicU64::new(0),
            raise_from: AtomicU64::new(0),
            fence_noted: AtomicU64::new(0),
            refusing: AtomicU8::new(0),
            is_forced: AtomicBool::new(false),
            is_resting: AtomicBool::new(false),
            why_halted: Mutex::new(None),
            on_synced: RwLock::new(None),
            on_wake: RwLock::new(None),
            counts: Counts::default(),
            flusher: Mutex::new(flusher),
            _lock: lock,
        };
        journal.publish_ceiling(ceiling);
        journal.stripes.set_names(&journal.flusher.lock().names());
        Ok(journal)
    }

    /// Calls `hook` when [`Journal::run`] should be called before the instant that it gave last.
    /// One hook per journal: the latest takes the place of the one before.
    pub fn on_wake(&self, hook: Arc<dyn Fn() + Send + Sync>) {
        *self.on_wake.write() = Some(hook);
    }

    /// How old an unsynced fact may get before replies wait for it at `interval`.
    #[must_use]
    pub const fn interval(&self) -> Millis {
        self.options.interval
    }

    /// Whether somebody waits for a sync, and facts can be kept.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Acquire) > self.synced.load(Acquire)
            && self.refusing.load(Relaxed) & refusal::HALTED == 0
    }

    /// Facts that no round took yet.
    pub(crate) fn buffered(&self) -> u64 {
        self.stripes.facts()
    }

    /// Facts that the last sync covered, and those that came during it: so many will be there when
    /// everybody whom it released is back.
    pub(crate) fn expected(&self) -> u64 {
        self.expected.load(Relaxed)
    }

    fn wake(&self) {
        // Whoever sleeps is woken once; it looks at everything before it sleeps again.
        self.is_resting.store(false, Relaxed);
        let hook = self.on_wake.read().clone();
        if let Some(hook) = hook {
            hook();
        }
    }

    fn tell(&self) {
        let hook = self.on_synced.read().clone();
        if let Some(hook) = hook {
            hook();
        }
    }

    /// The manifest with this ceiling is durable.
    fn publish_ceiling(&self, ceiling: u64) {
        self.raise_from.store(ceiling - FENCE_STEP / 2, Relaxed);
        self.fence_ceiling.store(ceiling, Release);
    }

    /// More facts wait than fit into memory for long.
    #[cold]
    fn press(&self) {
        self.is_forced.store(true, Relaxed);
        self.wake();
    }

    /// Many more do: the disk does not keep up.
    #[cold]
    fn refuse(&self) {
        if self.refusing.fetch_or(refusal::FULL, AcqRel) & refusal::FULL == 0 {
            tracing::warn!("facts are refused: the disk does not keep up with them");
            self.tell();
        }
    }

    #[cold]
    fn want_raise(&self, fence: u64) {
        let before = self.fence_noted.fetch_max(fence, AcqRel);
        // Once at half of the step, and again for whoever meets the ceiling.
        let ceiling = self.fence_ceiling.load(Relaxed);
        if before < self.raise_from.load(Relaxed) || fence >= ceiling && before < ceiling {
            self.wake();
        }
    }
}

/// A ceiling above `fence`.
fn raised(fence: u64) -> u64 {
    fence.saturating_add(FENCE_STEP).min(Fence::MAX + 1)
}

impl FactLog for Journal {
    #[inline]
    fn record(
        &self,
        fact: &Fact<'_>,
        commit: &mut dyn FnMut(Position) -> bool,
    ) -> Result<bool, Halted> {
        if self.refusing.load(Acquire) != 0 {
            return Err(Halted);
        }
        let recorded = self.stripes.record(fact, commit);
        if let Some(bytes) = recorded.bytes {
            let bytes = bytes + self.taken_bytes.load(Relaxed);
            if bytes > self.options.unsynced_bytes_max.saturating_mul(2) {
                self.refuse();
            } else if bytes > self.options.unsynced_bytes_max && !self.is_forced.load(Relaxed) {
                self.press();
            }
        }
        if recorded.is_first && self.is_resting.load(SeqCst) {
            self.wake();
        }
        Ok(recorded.kept)
    }

    #[inline]
    fn synced(&self) -> Position {
        Position(self.synced.load(Acquire))
    }

    #[inline]
    fn is_late(&self, now: Timestamp) -> bool {
        // In this order: a round notes what it takes before the stripes forget it.
        let buffered = self.stripes.oldest();
        let taken = self.taken_since.load(Acquire).checked_sub(1).map(Timestamp::from_millis);
        let oldest = [taken, buffered].into_iter().flatten().min();
        oldest.is_some_and(|oldest| now.since(oldest) > self.options.interval)
    }

    #[inline]
    fn fence_ceiling(&self) -> u64 {
        self.fence_ceiling.load(Acquire)
    }

    #[inline]
    fn note_fence(&self, fence: u64) {
        if fence >= self.raise_from.load(Relaxed) {
            self.want_raise(fence);
        }
    }

    #[inline]
    fn want(&self, position: Position) {
        if self.wanted.load(Relaxed) >= position.0 {
            return;
        }
        if self.wanted.fetch_max(position.0, AcqRel) < position.0 {
            self.wake();
        }
    }

    fn on_synced(&self, hook: Arc<dyn Fn() + Send + Sync>) {
        *self.on_synced.write() = Some(hook);
    }

    fn halted(&self) -> Option<String> {
        let refusing = self.refusing.load(Acquire);
        if refusing & refusal::HALTED != 0 {
            return self.why_halted.lock().clone();
        }
        if refusing & refusal::STOPPED != 0 {
            return Some("the journal has stopped".to_owned());
        }
        if refusing & refusal::FULL != 0 {
            return Some("the disk does not keep up with the facts to be synced".to_owned());
        }
        let short = self.fence_noted.load(Relaxed) >= self.fence_ceiling.load(Relaxed);
        short.then(|| "more fences are being made ready".to_owned())
    }

    fn counts(&self) -> LogCounts {
        LogCounts {
            syncs: self.counts.syncs.load(Relaxed),
            facts: self.counts.facts.load(Relaxed),
            bytes: self.counts.bytes.load(Relaxed),
            halts: self.counts.halts.load(Relaxed),
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let synced = self.synced();
        f.debug_struct("Journal").field("synced", &synced).finish_non_exhaustive()
    }
}
