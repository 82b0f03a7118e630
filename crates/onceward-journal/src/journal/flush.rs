//! The side of a journal that touches the disk. One caller at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use onceward::planted::{Bug, planted};
use onceward::{FactLog, Timestamp};

use super::{Journal, raised, refusal};
use crate::error::JournalError;
use crate::files::Files;
use crate::level::Level;
use crate::open_file::OpenFile;
use crate::options::{CLOCK_AFTER, NAMES_AFTER, NAMES_MAX, PROGRESS_SYNC_AFTER, RETRY_AFTER};
use crate::pending::{Stamp, batches};
use crate::progress::{Progress, ProgressFile};
use crate::rounds::{Standing, Step, next_step};
use crate::stripes::{Names, Round};

/// Steps in one call: a caller with a fresh `now` goes on.
const STEPS_MAX: usize = 8;

/// What touches the disk.
pub(super) struct Flusher {
    files: Files,
    /// `None` after it failed: it is made anew.
    progress: Option<ProgressFile>,
    /// Number of the progress file's last slot.
    progress_sequence: u64,
    /// When the progress file was last synced, and last written.
    progress_synced_at: Timestamp,
    recorded_at: Timestamp,
    retry_at: Option<Timestamp>,
    untrailed_since: Option<Timestamp>,
    largest_fence: u64,
    last_round: u64,
    /// Facts and bytes that rounds took since the last sync.
    facts_taken: u64,
    bytes_taken: u64,
    new_names: Vec<String>,
    names_at: Option<Timestamp>,
    names_told: usize,
}

impl Flusher {
    /// Makes what the files of an earlier journal were left with durable, and the manifest.
    pub(super) fn begin(
        mut files: Files,
        fence_floor: u64,
        last_round: u64,
        now: Timestamp,
    ) -> Result<Self, JournalError> {
        let sequence = Progress::read(files.disk())?.map_or(0, |progress| progress.sequence);
        files.write(now)?;
        files.sync(now)?;
        let mut flusher = Self {
            names_told: files.manifest.names.len(),
            files,
            progress: None,
            progress_sequence: sequence,
            progress_synced_at: now,
            recorded_at: now,
            retry_at: None,
            untrailed_since: None,
            largest_fence: fence_floor.saturating_sub(1),
            last_round,
            facts_taken: 0,
            bytes_taken: 0,
            new_names: Vec::new(),
            names_at: None,
        };
        flusher.write_progress(OpenFile::synced, now)?;
        Ok(flusher)
    }

    /// What the manifest calls namespaces.
    pub(super) fn names(&self) -> Arc<Names> {
        let names = self.files.manifest.names.iter();
        Arc::new(names.map(|(number, name)| (name.clone(), *number)).collect())
    }

    fn stamp(&self, now: Timestamp) -> Stamp {
        Stamp { at: now, largest_fence: self.largest_fence, index: self.last_round }
    }

    fn upkeep_at(&self) -> Option<Timestamp> {
        let progress = self.progress.as_ref();
        let is_unsynced = progress.is_some_and(|progress| !progress.is_synced());
        let due = [
            self.files.next_end(),
            self.names_at,
            is_unsynced.then(|| self.progress_synced_at.after(PROGRESS_SYNC_AFTER)),
            Some(self.recorded_at.after(CLOCK_AFTER)),
        ];
        due.into_iter().flatten().min()
    }

    /// Turns what a round took into batches.
    fn enqueue(&mut self, mut round: Round, now: Timestamp) {
        self.last_round = round.number;
        self.largest_fence = self.largest_fence.max(round.largest_fence);
        self.facts_taken += round.facts;
        let stamp = self.stamp(now);
        round.buffers.sort_by_key(|(level, _)| *level);
        let mut buffers = round.buffers.into_iter().peekable();
        while let Some((level, first)) = buffers.next() {
            let same = |(other, _): &(Level, _)| *other == level;
            let more = std::iter::from_fn(|| buffers.next_if(same).map(|(_, buffer)| buffer));
            let of_level: Vec<_> = std::iter::once(first).chain(more).collect();
            self.bytes_taken += of_level.iter().map(|it| it.frames.len() as u64).sum::<u64>();
            let made = batches(of_level, stamp, &mut self.files.room);
            self.files.enqueue(level, made);
        }
        if !round.new_names.is_empty() {
            self.new_names.append(&mut round.new_names);
            self.names_at.get_or_insert(now.after(NAMES_AFTER));
        }
    }

    /// Gives new names their numbers, as far as there are any.
    fn number_names(&mut self) {
        self.names_at = None;
        let names = &mut self.files.manifest.names;
        for name in self.new_names.drain(..) {
            let next = names.last_key_value().map_or(0, |(number, _)| number + 1);
            if names.len() < NAMES_MAX && !names.values().any(|known| *known == name) {
                names.insert(next, name);
                self.files.is_stale = true;
            }
        }
    }

    /// Records how far files are synced, and the time.
    fn write_progress(
        &mut self,
        bytes: impl Fn(&OpenFile) -> u64,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let mut progress = Progress {
            sequence: self.progress_sequence,
            at: now,
            wall_ms: self.files.wall_ms(),
            synced: self.files.open_files().map(|file| (file.number, bytes(file))).collect(),
        };
        // Taken out, so that after an error nothing more is asked of the file. The slot that failed may
        // be all that said so of earlier syncs: a new file says it at once.
        let file = match self.progress.take() {
            Some(mut file) => match file.write(&mut progress) {
                Ok(()) => file,
                Err(error) => {
                    tracing::warn!("the progress file is made anew: {error}");
                    ProgressFile::create(self.files.disk(), progress)?
                }
            },
            None => ProgressFile::create(self.files.disk(), progress)?,
        };
        self.progress_sequence = file.sequence();
        self.progress = Some(file);
        self.recorded_at = now;
        Ok(())
    }

    fn sync_progress(&mut self, now: Timestamp) -> Result<(), JournalError> {
        if let Some(mut file) = self.progress.take() {
            if !file.is_synced() {
                file.sync()?;
            }
            self.progress = Some(file);
        }
        self.progress_synced_at = now;
        Ok(())
    }
}

impl Journal {
    /// Does what is due at `now`, and says when something will be; `None` if not before something
    /// is recorded or wanted, of which the hook of [`Journal::on_wake`] tells. Waits for the disk.
    /// Not before whatever recovery knows is restored: what its files do not need is taken away.
    pub fn run(&self, now: Timestamp) -> Option<Timestamp> {
        let mut flusher = self.flusher.lock();
        let flusher = &mut *flusher;
        if self.refusing.load(Acquire) & refusal::STOPPED != 0 {
            return None;
        }
        flusher.files.let_go();
        for _ in 0..STEPS_MAX {
            let standing = self.standing(flusher);
            let step = next_step(&standing, self.options.interval, now);
            let done = match step {
                Step::Rest(until) => return self.rest(&standing, until, now),
                Step::Heal => self.heal(flusher, now),
                Step::Sync => self.sync_round(flusher, now),
                Step::Write => self.write_round(flusher, now),
                Step::Upkeep => self.keep_up(flusher, now),
                Step::Trailer => {
                    flusher.untrailed_since = None;
                    flusher.files.write_trailers(flusher.stamp(now))
                }
            };
            if let Err(error) = done {
                self.halt(flusher, &error, now);
            }
            if step == Step::Sync {
                break;
            }
        }
        Some(now)
    }

    /// Makes everything durable a last time and takes no facts any more. A later start finds every
    /// file sealed.
    ///
    /// # Errors
    /// [`JournalError::Halted`] if that did not come about. What was told as synced is.
    pub fn stop(&self, now: Timestamp) -> Result<(), JournalError> {
        self.refusing.fetch_or(refusal::STOPPED, AcqRel);
        let mut flusher = self.flusher.lock();
        let flusher = &mut *flusher;
        flusher.files.let_go();
        let stopped = self.finish(flusher, now).or_else(|error| {
            tracing::error!("the last sync failed and is tried once more, with new files: {error}");
            self.finish(flusher, now)
        });
        self.tell();
        stopped.map_err(|error| JournalError::Halted { why: error.to_string() })
    }

    fn finish(&self, flusher: &mut Flusher, now: Timestamp) -> Result<(), JournalError> {
        self.sync_round(flusher, now)?;
        flusher.files.write_trailers(flusher.stamp(now))?;
        flusher.files.sync(now)?;
        flusher.files.seal_all();
        flusher.files.replace_manifest(now)?;
        flusher.write_progress(OpenFile::synced, now)?;
        flusher.sync_progress(now)
    }

    fn standing(&self, flusher: &Flusher) -> Standing {
        let taken_since = self.taken_since.load(Relaxed);
        let short = self.fence_noted.load(Acquire) >= self.raise_from.load(Relaxed);
        Standing {
            retry_at: flusher.retry_at,
            is_wanted: self.wanted.load(Acquire) > self.synced.load(Relaxed)
                || self.is_forced.load(Relaxed),
            buffered_since: self.stripes.oldest(),
            written_since: taken_since.checked_sub(1).map(Timestamp::from_millis),
            untrailed_since: flusher.untrailed_since,
            upkeep_at: if short { Some(Timestamp::ZERO) } else { flusher.upkeep_at() },
        }
    }

    /// Nothing is to be done before `until`. Whoever records the first fact from now on wakes who
    /// sleeps: it writes `oldest` and then reads `is_resting`, here it is the other way round, so
    /// one of both sees the other.
    fn rest(
        &self,
        standing: &Standing,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if standing.buffered_since.is_some() || standing.retry_at.is_some() {
            return until;
        }
        self.is_resting.store(true, SeqCst);
        if self.stripes.oldest().is_some() {
            self.is_resting.store(false, Relaxed);
            return Some(now);
        }
        until
    }

    fn note_taken(&self, oldest: Timestamp) {
        let at = oldest.as_millis().saturating_add(1);
        let taken_since = self.taken_since.load(Relaxed);
        if taken_since == 0 || at < taken_since {
            self.taken_since.store(at, Release);
        }
    }

    fn take_round(&self, flusher: &mut Flusher, now: Timestamp) -> u64 {
        // Before the stripes forget it: whoever asks in between whether facts are late must find it in
        // one place or the other. A fact that comes after this look is young.
        if let Some(oldest) = self.stripes.oldest() {
            self.note_taken(oldest);
        }
        let round = self.stripes.take(&mut flusher.files.room);
        if let Some(oldest) = round.oldest {
            self.note_taken(oldest);
        }
        flusher.enqueue(round, now);
        self.taken_bytes.store(flusher.bytes_taken, Relaxed);
        flusher.last_round
    }

    fn write_round(&self, flusher: &mut Flusher, now: Timestamp) -> Result<(), JournalError> {
        self.take_round(flusher, now);
        flusher.files.write(now)?;
        if planted(Bug::HintBeyondDurableCut) {
            flusher.write_progress(OpenFile::written, now)?;
        }
        Ok(())
    }

    fn sync_round(&self, flusher: &mut Flusher, now: Timestamp) -> Result<(), JournalError> {
        let round = self.take_round(flusher, now);
        flusher.files.write(now)?;
        if planted(Bug::AckBeforeSync) {
            self.publish(flusher, round);
        }
        flusher.files.sync(now)?;
        if flusher.facts_taken > 0 {
            flusher.untrailed_since = Some(now);
            // Before anybody is told: a tail without a witness counts as torn when it is damaged.
            flusher.write_progress(OpenFile::synced, now)?;
        }
        self.publish(flusher, round);
        self.publish_manifest(flusher);
        Ok(())
    }

    /// Everything up to `round` is durable.
    fn publish(&self, flusher: &mut Flusher, round: u64) {
        let facts = std::mem::take(&mut flusher.facts_taken);
        let bytes = std::mem::take(&mut flusher.bytes_taken);
        if facts > 0 {
            self.counts.syncs.fetch_add(1, Relaxed);
            self.counts.facts.fetch_add(facts, Relaxed);
            self.counts.bytes.fetch_add(bytes, Relaxed);
        }
        // Before anybody is told: who comes back is not yet among those who came meanwhile.
        self.expected.store(facts + self.stripes.facts(), Relaxed);
        self.taken_since.store(0, Release);
        self.taken_bytes.store(0, Relaxed);
        self.is_forced.store(false, Relaxed);
        self.synced.store(round, Release);
        self.refusing.fetch_and(!refusal::FULL, AcqRel);
        self.tell();
    }

    /// The directory's manifest is that of memory.
    fn publish_manifest(&self, flusher: &mut Flusher) {
        let manifest = &flusher.files.manifest;
        if manifest.fence_ceiling > self.fence_ceiling() {
            self.publish_ceiling(manifest.fence_ceiling);
            self.tell();
        }
        if manifest.names.len() != flusher.names_told {
            flusher.names_told = manifest.names.len();
            self.stripes.set_names(&flusher.names());
        }
    }

    /// Tries again what failed, with new files in place of those that did.
    fn heal(&self, flusher: &mut Flusher, now: Timestamp) -> Result<(), JournalError> {
        self.sync_round(flusher, now)?;
        flusher.retry_at = None;
        self.refusing.fetch_and(!refusal::HALTED, AcqRel);
        *self.why_halted.lock() = None;
        tracing::info!("facts are kept again");
        self.tell();
        Ok(())
    }

    fn halt(&self, flusher: &mut Flusher, error: &JournalError, now: Timestamp) {
        flusher.retry_at = Some(now.after(RETRY_AFTER));
        let why = format!("no facts can be kept: {error}");
        tracing::error!("{why}");
        *self.why_halted.lock() = Some(why);
        if self.refusing.fetch_or(refusal::HALTED, AcqRel) & refusal::HALTED == 0 {
            self.counts.halts.fetch_add(1, Relaxed);
            self.tell();
        }
    }

    /// What is due beside facts.
    fn keep_up(&self, flusher: &mut Flusher, now: Timestamp) -> Result<(), JournalError> {
        let noted = self.fence_noted.load(Acquire);
        if noted >= self.raise_from.load(Relaxed) {
            let ceiling = raised(noted.max(self.fence_ceiling()));
            if planted(Bug::FenceCeilingNotSynced) {
                self.publish_ceiling(ceiling);
            } else {
                flusher.files.manifest.fence_ceiling = ceiling;
                flusher.files.is_stale = true;
            }
        }
        flusher.number_names();
        flusher.files.drop_expired(now)?;
        self.publish_manifest(flusher);
        if flusher.progress_synced_at.after(PROGRESS_SYNC_AFTER) <= now {
            flusher.sync_progress(now)?;
        }
        if flusher.recorded_at.after(CLOCK_AFTER) <= now {
            flusher.write_progress(OpenFile::synced, now)?;
        }
        flusher.files.prepare_spare();
        Ok(())
    }
}
