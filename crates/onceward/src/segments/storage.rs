//! The lock-free storage behind the seam: looks, and what the parts share.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crossbeam_skiplist::SkipMap;
use onceward_core::lifecycle::{CompletedView, View};
use onceward_core::{AttemptId, Fingerprint, Identity, Millis, ResultRef, Stats, Timestamp};
use parking_lot::Mutex;

use super::arena::{Arena, Geometry};
use super::atomic::AtomicU64;
use super::bucket::Bucket;
use super::epoch::{Epochs, Pin, SLOTS_DEFAULT};
use super::expiry::Expiry;
use super::head::{Head, Kind};
use super::index::{Found, Index};
use super::reclaim::Reclaimer;
use super::record::Stored;
use super::reservation::Ends;
use super::segment::NEVER;
use super::slab::{STRIPES, Slab};
use super::thread_number::thread_number;
use super::word::Word;
use crate::attempts::EndedAttempts;
use crate::budget::Budget;
use crate::counters::Counters;
use crate::hash_key::HashKey;
use crate::hashed::Image;
use crate::namespaces::Namespaces;
use crate::storage::{
    Access, Change, Charge, Hashed, Held, Loaded, LoadedEntry, ResultCopy, Stale, Storage,
    Uncommitted,
};
use crate::unfinished::Unfinished;

/// Buckets that a page looks through, at most: 4 MiB of them.
const PAGE_STEPS_MAX: usize = 65_536;
/// Entries per bucket of the index at which it is meant to work.
const ENTRIES_PER_BUCKET: f64 = 4.5;
/// What an entry is taken to cost at least where the number of entries is not stated.
const ENTRY_BYTES_EXPECTED: u64 = 384;

/// What the storage reports to while it works.
pub(crate) struct Surroundings {
    pub(crate) budget: Arc<Budget>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) namespaces: Arc<Namespaces>,
    pub(crate) attempts_max: usize,
    pub(crate) attempt_memory: Millis,
    pub(crate) hash_key: Option<[u8; 16]>,
}

pub(crate) struct Segments {
    pub(super) index: Index,
    pub(super) epochs: Epochs,
    pub(super) arena: Arena,
    pub(super) slab: Slab,
    pub(super) expiry: Expiry,
    /// By number. Few entries have one, and each is large: they are ordinary allocations.
    pub(super) checkpoints: SkipMap<u64, Arc<[u8]>>,
    pub(super) last_checkpoint: AtomicU64,
    pub(super) attempts: EndedAttempts,
    pub(super) hash_key: HashKey,
    pub(super) reclaimer: Mutex<Reclaimer>,
    /// The latest instant that a tick came at, in ms.
    pub(super) ticked_at: AtomicU64,
    /// What expired unfinished where nothing could be logged, by number. No lock: whoever paused
    /// under it would hold up begins of other keys.
    pub(super) unlogged: SkipMap<u64, Unfinished>,
    pub(super) last_unlogged: AtomicU64,
    /// Since when something waits for an epoch to pass, in ms of the store's clock.
    pub(super) pending_since: AtomicU64,
    pub(super) around: Surroundings,
}

/// Names the bytes of one version.
#[derive(Clone, Copy)]
pub(crate) struct Bytes {
    location: u64,
    /// Its number; 0 without one.
    checkpoint: u64,
}

/// First buckets of the index for a memory limit, or for a number of entries.
fn first_buckets(limit: u64, entries_max: Option<u64>) -> usize {
    let entries = entries_max.unwrap_or(limit / ENTRY_BYTES_EXPECTED).max(1);
    ((entries as f64 / ENTRIES_PER_BUCKET) as usize).max(64)
}

/// Bytes of the limit that the index takes from the start.
pub(crate) fn index_bytes(limit: u64, entries_max: Option<u64>) -> u64 {
    (first_buckets(limit, entries_max) * size_of::<Bucket>()) as u64
}

impl Segments {
    /// A storage for `entries_max` entries, if that is stated, within the budget.
    ///
    /// # Errors
    /// The operating system gives no addresses.
    pub(crate) fn new(
        entries_max: Option<u64>,
        around: Surroundings,
        now: Timestamp,
    ) -> io::Result<Self> {
        let limit = around.budget.limit();
        let buckets = first_buckets(limit, entries_max);
        let geometry = Geometry::of(limit, super::expiry::SLOTS_AHEAD * STRIPES);
        Ok(Self {
            // For what crowds into few buckets, or is smaller than expected: addresses only.
            index: Index::try_new(buckets, 4 * buckets)?,
            epochs: Epochs::new(SLOTS_DEFAULT, now),
            arena: Arena::new(geometry)?,
            slab: Slab::new(),
            expiry: Expiry::new(),
            checkpoints: SkipMap::new(),
            last_checkpoint: AtomicU64::new(0),
            attempts: EndedAttempts::default(),
            hash_key: HashKey::of(around.hash_key),
            reclaimer: Mutex::new(Reclaimer::default()),
            ticked_at: AtomicU64::new(0),
            unlogged: SkipMap::new(),
            last_unlogged: AtomicU64::new(0),
            pending_since: AtomicU64::new(NEVER),
            around,
        })
    }

    #[inline]
    pub(super) fn pinned(&self) -> Pin<'_> {
        self.epochs.pin(thread_number())
    }

    #[inline]
    pub(super) fn stripe() -> usize {
        thread_number() % STRIPES
    }

    #[inline]
    pub(super) fn head_at(&self, location: u64) -> Head {
        Head(self.arena.word(location).load(Relaxed))
    }

    #[inline]
    pub(super) fn ends_at(&self, location: u64) -> Ends {
        let word = self.arena.word(location + super::reservation::EXPIRES as u64);
        Ends::of_word(word.load(Relaxed))
    }

    /// Where in a block its identity is.
    #[inline]
    fn image_in(head: Head) -> usize {
        match head.kind() {
            Kind::Completed => super::record::image_at(head),
            _ => super::reservation::FIXED_WORDS + head.fingerprint_words(),
        }
    }

    pub(super) fn image_at(&self, location: u64, head: Head, ends: Ends) -> Image {
        let first = location + Self::image_in(head) as u64;
        Image::stored(head.shape(), ends.namespace_number, |at| {
            self.arena.word(first + at as u64).load(Relaxed)
        })
    }

    /// Whether the block there is of this identity.
    #[inline(always)]
    fn is(&self, location: u64, image: &Image) -> bool {
        let (head, block) = self.arena.block(location);
        let ends = Ends::of_word(block[super::reservation::EXPIRES].load(Relaxed));
        if head.shape() != image.shape || ends.namespace_number != image.namespace_number {
            return false;
        }
        let words = image.words();
        let stored = &block[Self::image_in(head)..][..words.len()];
        stored.iter().zip(words).all(|(stored, word)| stored.load(Relaxed) == *word)
    }

    #[inline(always)]
    fn look(&self, id: &Hashed<'_>) -> Found {
        self.index.find(id.hash, |word| {
            self.arena.fetch(word.location());
            self.is(word.location(), &id.image)
        })
    }

    #[inline(always)]
    pub(super) fn view_at(&self, word: Word) -> (View, Charge, u64) {
        let (head, block) = self.arena.block(word.location());
        if head.kind() == Kind::Completed {
            let view = Stored::new(&self.arena, head, block).view(word.to_bits());
            return (view, Charge::default(), 0);
        }
        super::reservation::read(head, word.to_bits(), block)
    }
}

impl Storage for Segments {
    type Pin<'a> = Pin<'a>;
    type Bytes = Bytes;
    type Found = Found;

    #[inline]
    fn pin(&self) -> Pin<'_> {
        self.pinned()
    }

    #[inline(always)]
    fn hashed<'a>(&self, identity: Identity<'a>) -> Hashed<'a> {
        Hashed::new(&self.hash_key, &self.around.namespaces, identity)
    }

    #[inline]
    fn prefetch_first(&self, id: &Hashed<'_>) {
        self.index.prefetch(id.hash);
    }

    #[inline]
    fn prefetch_entry(&self, id: &Hashed<'_>) {
        if let Some(word) = self.index.peek(id.hash) {
            self.arena.fetch(word.location());
        }
    }

    fn fill(&self, stats: &mut Stats, now: Timestamp) {
        stats.memory_index_bytes = self.index.bytes();
        stats.memory_idle_bytes = self.slab.idle_bytes();
        stats.oldest_pin_ms = self.epochs.oldest_pin_age(now).map_or(0, Millis::get);
    }

    #[inline(always)]
    fn find(&self, _pin: &Pin<'_>, id: &Hashed<'_>) -> Found {
        self.look(id)
    }

    #[inline(always)]
    fn replay<R>(
        &self,
        _pin: &Pin<'_>,
        id: &Hashed<'_>,
        found: Found,
        attempt: AttemptId,
        now: Timestamp,
        judge: impl FnOnce(&CompletedView, bool) -> Option<R>,
    ) -> Option<(R, ResultCopy)> {
        let Found::Entry(word) = found else { return None };
        let (head, block) = self.arena.block(word.location());
        if word.dead() || head.kind() != Kind::Completed {
            return None;
        }
        let stored = Stored::new(&self.arena, head, block);
        let view = stored.completed();
        let attempt_ended = view.attempt_id != attempt && self.has_ended(id, attempt, now);
        judge(&view, attempt_ended).map(|judged| (judged, stored.copy()))
    }

    #[inline(always)]
    fn load_found(
        &self,
        _pin: &Pin<'_>,
        id: &Hashed<'_>,
        found: Found,
        attempt: Option<AttemptId>,
        now: Timestamp,
    ) -> Loaded<Bytes> {
        let word = match found {
            Found::Absent(absence) => {
                return Loaded {
                    entry: None,
                    version: absence.to_bits(),
                    watched: false,
                    attempt_ended: attempt.is_some_and(|it| self.has_ended(id, it, now)),
                };
            }
            Found::Entry(word) => word,
        };
        let (view, charge, checkpoint) = self.view_at(word);
        let (version, watched) = (word.to_bits(), word.watched());
        let is_its = attempt == Some(view.attempt_id);
        // An attempt that owns the identity has not ended; one that owned a dead word has,
        // unless it was the retention that ended.
        let attempt_ended = match attempt {
            Some(_) if is_its && word.dead() && now < view.expires_at => true,
            Some(_) if is_its && !word.dead() => false,
            Some(attempt) => self.has_ended(id, attempt, now),
            None => false,
        };
        if word.dead() {
            return Loaded { entry: None, version, watched, attempt_ended };
        }
        let bytes = Bytes { location: word.location(), checkpoint };
        Loaded { entry: Some(LoadedEntry { view, bytes, charge }), version, watched, attempt_ended }
    }

    #[inline(always)]
    fn held(&self, _pin: &Pin<'_>, entry: &LoadedEntry<Bytes>) -> Option<Held> {
        let Bytes { location, checkpoint } = entry.bytes;
        let (head, block) = self.arena.block(location);
        if head.kind() == Kind::Completed {
            return Some(Held::Copy(Stored::new(&self.arena, head, block).copy()));
        }
        match checkpoint {
            0 => Some(Held::Nothing),
            // Gone: it was superseded since, and so was the word.
            number => {
                self.checkpoints.get(&number).map(|it| Held::Checkpoint(Arc::clone(it.value())))
            }
        }
    }

    #[inline]
    fn is_stored(
        &self,
        _pin: &Pin<'_>,
        entry: &LoadedEntry<Bytes>,
        offered: &ResultRef<'_>,
    ) -> bool {
        let (head, block) = self.arena.block(entry.bytes.location);
        head.kind() == Kind::Completed
            && Stored::new(&self.arena, head, block).is(offered, || crate::storage::digest(offered))
    }

    fn remember_ended(
        &self,
        id: &Hashed<'_>,
        attempt: AttemptId,
        until: Timestamp,
        now: Timestamp,
    ) {
        self.remember(id, attempt, until, now);
    }

    #[inline]
    fn entry_bytes(&self, id: &Hashed<'_>, fingerprint: Fingerprint) -> u64 {
        // The record's head, and the padding of its last word.
        8 * (super::record::most_head_words(&id.image, &fingerprint) as u64 + 1)
    }

    #[inline(always)]
    fn commit(
        &self,
        pin: &Pin<'_>,
        id: &Hashed<'_>,
        version: u64,
        access: Access,
        change: Change<'_>,
    ) -> Result<(), Uncommitted> {
        self.commit_change(pin, id, version, access, change)
    }

    fn watch(&self, _pin: &Pin<'_>, id: &Hashed<'_>, version: u64) -> Result<(), Stale> {
        let word = Word::from_bits(version).filter(|word| !word.dead()).ok_or(Stale)?;
        if word.watched() {
            return Ok(());
        }
        self.index.replace(id.hash, word, word.with_watched(true)).map_err(|_| Stale)
    }

    fn unwatch(&self, id: &Hashed<'_>) {
        let pin = self.pinned();
        while let Found::Entry(word) = self.look(id)
            && word.watched()
        {
            if word.dead() {
                if self.index.remove(id.hash, word).is_ok() {
                    self.unlinked(&pin, word.location(), self.head_at(word.location()));
                }
            } else {
                // Failed: it has changed since, and is looked at again.
                let _ = self.index.replace(id.hash, word, word.with_watched(false));
            }
        }
    }

    fn reclaim(&self, now: Timestamp, steps: &mut usize) {
        self.reclaim_due(now, steps);
    }

    fn reclaim_places(&self, now: Timestamp, steps: &mut usize) {
        self.reclaim_due(now, steps);
        self.free_places(now, steps);
    }

    fn log_unfinished(&self) {
        self.log_unlogged();
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        // What waits for an epoch: a thread is pinned, for less than this.
        let pending = match self.pending_since.load(Relaxed) {
            NEVER => NEVER,
            since => since + 1,
        };
        let due = self.reservations_due().min(self.expiry.due()).min(pending);
        let due = (due != NEVER).then_some(Timestamp::from_millis(due));
        due.into_iter().chain(self.attempts.next_deadline()).min()
    }

    fn next_room(&self) -> Option<Timestamp> {
        let due = self.reservations_due().min(self.expiry.due());
        let due = (due != NEVER).then_some(Timestamp::from_millis(due));
        due.or_else(|| self.attempts.next_deadline())
    }

    fn page(&self, cursor: u64, visit: &mut dyn FnMut(Identity<'_>, &View) -> bool) -> Option<u64> {
        let _pin = self.pinned();
        self.index.page(cursor, PAGE_STEPS_MAX, |word| {
            if word.dead() {
                return true;
            }
            let (view, ..) = self.view_at(word);
            let location = word.location();
            let image = self.image_at(location, self.head_at(location), self.ends_at(location));
            image.read(&self.around.namespaces, |identity| visit(identity, &view)).unwrap_or(true)
        })
    }
}
