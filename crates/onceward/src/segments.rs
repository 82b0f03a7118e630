//! The lock-free storage: one atomic word per entry, immutable blocks, memory by expiry slot.
//!
//! Where data flows: a look hashes the identity, finds its word in the index and reads the block
//! that it names. A change writes a new block and replaces the word, which is its linearisation
//! point; then it puts the old block away. Nothing else of an entry ever changes.
//!
//! | file | noun |
//! |---|---|
//! | `word` | an entry's slot word, to the bit |
//! | `header` | a bucket's header word, to the bit |
//! | `bucket` | a cache line of the index |
//! | `overflow` | the pool of further buckets |
//! | `index` | find, insert, replace, remove |
//! | `head` | the first word of every block |
//! | `reservation` | the block of RESERVED and IN DOUBT |
//! | `record` | the block of COMPLETED, and its result |
//! | `arena` | the memory that blocks live in |
//! | `mapping` | its pages: the one file with `unsafe` |
//! | `segment` | what is known of a part of it |
//! | `cursor` | how far an open segment is used |
//! | `slab` | reservation blocks, freed one by one |
//! | `expiry` | completed entries' segments, by the end of their retention |
//! | `reclaim` | giving memory back |
//! | `stack` | a lock-free list of blocks or segments |
//! | `epoch` | when something unlinked may be reused |
//! | `thread_number` | which epoch slot and stripe a thread uses |
//! | `atomic` | the atomics of all of them |
//! | `mutant` | faults that the models must find |
//!
//! Invariants:
//! 1. A published block is not written to until two epochs after it was unlinked. So whoever is
//!    pinned reads what was true when it found the word.
//! 2. While a thread is pinned, no word that it has seen comes again with another meaning: a
//!    location is reused only after its block's epoch has passed.
//! 3. Whoever replaces or removes a word puts away the block that it named; nobody else does.
//! 4. A word marked DEAD is of an absent identity. Who wants the slot, or empties it, first sees to
//!    it that the attempt is remembered (S3).
//! 5. A word marked WATCHED is changed by exclusive commits only, and a change keeps the mark.
//! 6. What is acknowledged is charged: a reservation for its block, its record's head and its
//!    set-asides; a record for its words. A slot with reservations has an open segment.

use std::hash::RandomState;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crossbeam_skiplist::SkipMap;
use onceward_core::lifecycle::View;
use onceward_core::{AttemptId, Fingerprint, Identity, Millis, ResultRef, Timestamp};
use parking_lot::Mutex;

use crate::attempts::EndedAttempts;
use crate::budget::Budget;
use crate::counters::Counters;
use crate::hashed::Image;
use crate::namespaces::Namespaces;
use crate::storage::{
    Access, Change, Charge, Hashed, Held, Loaded, LoadedEntry, Stale, Storage, Uncommitted,
};
use crate::unfinished::Unfinished;
use arena::{Arena, Geometry};
use atomic::AtomicU64;
use epoch::{Epochs, Pin, SLOTS_DEFAULT};
use expiry::Expiry;
use head::{Head, Kind};
use index::{Found, Index};
use reclaim::Reclaimer;
use record::Stored;
use reservation::Ends;
use segment::NEVER;
use slab::{STRIPES, Slab};
use thread_number::thread_number;
use word::Word;

mod arena;
mod commit;
mod cursor;
mod expiry;
mod head;
mod mapping;
mod reclaim;
mod record;
mod reservation;
mod segment;
mod slab;
mod stack;

pub(crate) mod atomic;
pub(crate) mod bucket;
pub(crate) mod epoch;
pub(crate) mod header;
pub(crate) mod index;
pub(crate) mod mutant;
pub(crate) mod overflow;
pub(crate) mod thread_number;
pub(crate) mod word;

/// Buckets that a page looks through, at most: 4 MiB of them.
const PAGE_STEPS_MAX: usize = 65_536;
/// Entries per bucket of the index at which it is meant to work.
const ENTRIES_PER_BUCKET: f64 = 5.5;
/// What an entry is taken to cost at least where the number of entries is not stated.
const ENTRY_BYTES_EXPECTED: u64 = 256;

/// What the storage reports to while it works.
pub(crate) struct Surroundings {
    pub(crate) budget: Arc<Budget>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) namespaces: Arc<Namespaces>,
    pub(crate) attempts_max: usize,
    pub(crate) attempt_memory: Millis,
}

pub(crate) struct Segments {
    index: Index,
    epochs: Epochs,
    arena: Arena,
    slab: Slab,
    expiry: Expiry,
    /// By number. Few entries have one, and each is large: they are ordinary allocations.
    checkpoints: SkipMap<u64, Arc<[u8]>>,
    last_checkpoint: AtomicU64,
    attempts: Mutex<EndedAttempts>,
    hasher: RandomState,
    reclaimer: Mutex<Reclaimer>,
    /// The latest instant that a tick came at, in ms.
    ticked_at: AtomicU64,
    /// What expired unfinished where nothing could be logged.
    unlogged: Mutex<Vec<Unfinished>>,
    has_unlogged: AtomicU64,
    /// Since when something waits for an epoch to pass, in ms of the store's clock.
    pending_since: AtomicU64,
    around: Surroundings,
}

/// Names the bytes of one version.
pub(crate) struct Bytes {
    location: u64,
    head: Head,
    checkpoint: Option<Arc<[u8]>>,
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
        let entries = entries_max.unwrap_or(limit / ENTRY_BYTES_EXPECTED).max(1);
        let buckets = ((entries as f64 / ENTRIES_PER_BUCKET) as usize).max(64);
        let geometry = Geometry::of(limit, expiry::SLOTS_AHEAD * STRIPES);
        Ok(Self {
            // As many again for what crowds into few buckets, or is smaller than expected.
            index: Index::try_new(buckets, 2 * buckets)?,
            epochs: Epochs::new(SLOTS_DEFAULT, now),
            arena: Arena::new(geometry)?,
            slab: Slab::new(),
            expiry: Expiry::new(),
            checkpoints: SkipMap::new(),
            last_checkpoint: AtomicU64::new(0),
            attempts: Mutex::new(EndedAttempts::default()),
            hasher: RandomState::new(),
            reclaimer: Mutex::new(Reclaimer::default()),
            ticked_at: AtomicU64::new(0),
            unlogged: Mutex::new(Vec::new()),
            has_unlogged: AtomicU64::new(0),
            pending_since: AtomicU64::new(NEVER),
            around,
        })
    }

    fn pinned(&self) -> Pin<'_> {
        self.epochs.pin(thread_number())
    }

    fn stripe() -> usize {
        thread_number() % STRIPES
    }

    fn head_at(&self, location: u64) -> Head {
        Head(self.arena.word(location).load(Relaxed))
    }

    fn ends_at(&self, location: u64) -> Ends {
        let word = self.arena.word(location + reservation::EXPIRES as u64);
        Ends::of_word(word.load(Relaxed))
    }

    fn image_word_at(&self, location: u64, head: Head) -> u64 {
        let at = match head.kind() {
            Kind::Completed => Stored::new(&self.arena, location, head).image_at(),
            _ => reservation::FIXED_WORDS + head.fingerprint_words(),
        };
        location + at as u64
    }

    fn image_at(&self, location: u64, head: Head, ends: Ends) -> Image {
        let first = self.image_word_at(location, head);
        Image::stored(head.shape(), ends.namespace_number, |at| {
            self.arena.word(first + at as u64).load(Relaxed)
        })
    }

    /// Whether the block there is of this identity.
    #[inline]
    fn is(&self, location: u64, image: &Image) -> bool {
        let head = self.head_at(location);
        if head.shape() != image.shape
            || self.ends_at(location).namespace_number != image.namespace_number
        {
            return false;
        }
        let words = image.words();
        let stored = self.arena.words(self.image_word_at(location, head), words.len());
        stored.iter().zip(words).all(|(stored, word)| stored.load(Relaxed) == *word)
    }

    fn find(&self, id: &Hashed<'_>) -> Found {
        self.index.find(id.hash, |word| self.is(word.location(), &id.image))
    }

    fn view_at(&self, word: Word) -> (View, Charge, Head, u64) {
        let (location, version) = (word.location(), word.to_bits());
        let head = self.head_at(location);
        if head.kind() == Kind::Completed {
            let view = Stored::new(&self.arena, location, head).view(version);
            return (view, Charge::default(), head, 0);
        }
        let words = self.arena.words(location, head.words());
        let (view, charge, checkpoint) =
            reservation::read(head, version, |at| words[at].load(Relaxed));
        (view, charge, head, checkpoint)
    }
}

impl Storage for Segments {
    type Pin<'a> = Pin<'a>;
    type Bytes = Bytes;

    fn pin(&self) -> Pin<'_> {
        self.pinned()
    }

    fn hashed<'a>(&self, identity: Identity<'a>) -> Hashed<'a> {
        Hashed::new(&self.hasher, &self.around.namespaces, identity)
    }

    fn prefetch(&self, _pin: &Pin<'_>, ids: &[Hashed<'_>]) {
        for id in ids {
            self.index.prefetch(id.hash);
        }
        for id in ids {
            // Whatever the tag matches: the misses of all blocks overlap.
            let _ = self.index.find(id.hash, |word| {
                std::hint::black_box(self.arena.word(word.location()).load(Relaxed));
                true
            });
        }
    }

    fn load(
        &self,
        _pin: &Pin<'_>,
        id: &Hashed<'_>,
        attempt: Option<AttemptId>,
        now: Timestamp,
    ) -> Loaded<Bytes> {
        loop {
            let word = match self.find(id) {
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
            let (view, charge, head, number) = self.view_at(word);
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
            let checkpoint = match number {
                0 => None,
                // Gone: it was superseded since, and so was the word.
                number => match self.checkpoints.get(&number) {
                    Some(entry) => Some(Arc::clone(entry.value())),
                    None => continue,
                },
            };
            let bytes = Bytes { location: word.location(), head, checkpoint };
            let entry = Some(LoadedEntry { view, bytes, charge });
            return Loaded { entry, version, watched, attempt_ended };
        }
    }

    fn held(&self, _pin: &Pin<'_>, entry: LoadedEntry<Bytes>) -> Held {
        let Bytes { location, head, checkpoint } = entry.bytes;
        match head.kind() {
            Kind::Completed => Held::Copy(Stored::new(&self.arena, location, head).copy()),
            _ => checkpoint.map_or(Held::Nothing, Held::Checkpoint),
        }
    }

    fn is_stored(
        &self,
        _pin: &Pin<'_>,
        entry: &LoadedEntry<Bytes>,
        offered: &ResultRef<'_>,
    ) -> bool {
        let Bytes { location, head, .. } = &entry.bytes;
        head.kind() == Kind::Completed
            && Stored::new(&self.arena, *location, *head)
                .is(offered, || crate::storage::digest(offered))
    }

    fn entry_bytes(&self, id: &Hashed<'_>, fingerprint: Fingerprint) -> u64 {
        // The record's head, and the padding of its last word.
        8 * (record::most_head_words(&id.image, &fingerprint) as u64 + 1)
    }

    fn charge_completed(&self, before: Charge, stored: &ResultRef<'_>) -> Charge {
        let body = stored.body.kept().map_or(0, |body| body.len());
        Charge { result: (stored.metadata.len() + body) as u64, checkpoint: 0, ..before }
    }

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
        while let Found::Entry(word) = self.find(id)
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
        due.into_iter().chain(self.attempts.lock().next_deadline()).min()
    }

    fn next_room(&self) -> Option<Timestamp> {
        let due = self.reservations_due().min(self.expiry.due());
        let due = (due != NEVER).then_some(Timestamp::from_millis(due));
        due.or_else(|| self.attempts.lock().next_deadline())
    }

    fn page(&self, cursor: u64, visit: &mut dyn FnMut(Identity<'_>, &View) -> bool) -> Option<u64> {
        let _pin = self.pinned();
        self.index.page(cursor, PAGE_STEPS_MAX, |word| {
            if word.dead() {
                return true;
            }
            let (view, _, head, _) = self.view_at(word);
            let location = word.location();
            let image = self.image_at(location, head, self.ends_at(location));
            image.read(&self.around.namespaces, |identity| visit(identity, &view)).unwrap_or(true)
        })
    }
}
