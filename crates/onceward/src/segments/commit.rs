//! Changes of one entry: write a block, replace the word, put the old block away.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use onceward_core::lifecycle::View;
use onceward_core::{AttemptId, ResultRef, StateName, Timestamp};

use super::Segments;
use super::arena::WORD;
use super::epoch::Pin;
use super::expiry::{Piece, Slot};
use super::head::{Head, Kind};
use super::index::{Absence, InsertError};
use super::reclaim::state_name;
use super::record::{CONTINUATION_WORDS, Record, result_words};
use super::reservation::{self, Reservation};
use super::word::{Word, tag_of};
use crate::attempts::{ATTEMPT_BYTES, Remembered};
use crate::storage::{Access, Change, Charge, Hashed, Stale, Uncommitted, digest};

/// Words of a result that its first block holds at least, so that a record's head is not cut off
/// from a result that nearly fits, nor the rest of a segment used for crumbs.
const RESULT_WORDS_LEAST: usize = 32;

/// What of an entry stays the same from block to block.
struct Kept {
    charge: Charge,
    checkpoint: u64,
    quota: bool,
    level: u8,
}

/// Where a record is written: in one piece nearly always.
struct Pieces {
    first: Piece,
    more: Vec<Piece>,
}

impl Pieces {
    fn bytes(&self) -> u64 {
        let more = self.more.iter().map(|piece| piece.words).sum::<usize>();
        ((self.first.words + more) * WORD) as u64
    }
}

impl Segments {
    #[inline(always)]
    pub(super) fn commit_change(
        &self,
        pin: &Pin<'_>,
        id: &Hashed<'_>,
        version: u64,
        access: Access,
        change: Change<'_>,
    ) -> Result<(), Uncommitted> {
        let seen = Word::from_bits(version);
        if seen.is_some_and(Word::watched) && access == Access::Free {
            return Err(Uncommitted::Stale);
        }
        if let Change::Insert { view, charge, quota } = change {
            return self.insert(pin, id, version, view, charge, quota);
        }
        if let Change::InsertCompleted { view, stored, digest, room, quota } = change {
            let retention = view.acquired_at.until(view.expires_at);
            let (level, quota) = (Slot::level(retention.get()), quota.is_some());
            let record = Record { view, image: &id.image, stored, digest, quota, level };
            return self.insert_completed(id, version, &record, room);
        }
        let seen = seen.filter(|word| !word.dead()).ok_or(Stale)?;
        match change {
            Change::Insert { .. } | Change::InsertCompleted { .. } => Ok(()),
            Change::Update { view } => Ok(self.update(pin, id, seen, view)?),
            Change::Checkpoint { view, bytes, charge } => {
                Ok(self.save_checkpoint(pin, id, seen, view, bytes, charge)?)
            }
            Change::Complete { view, offered, stored, room } => {
                let digest = stored.not_kept().is_some().then(|| digest(offered));
                self.complete(pin, id, seen, view, stored, digest, room)
            }
            Change::Remove { remembered_until, now } => {
                Ok(self.remove(pin, id, seen, remembered_until, now)?)
            }
        }
    }

    #[inline(always)]
    fn insert(
        &self,
        pin: &Pin<'_>,
        id: &Hashed<'_>,
        version: u64,
        view: &View,
        charge: Charge,
        quota: Option<u32>,
    ) -> Result<(), Uncommitted> {
        let stripe = Self::stripe();
        let retention = view.acquired_at.until(view.expires_at);
        let slot = Slot::new(Slot::level(retention.get()), view.expires_at);
        let (arena, budget) = (&self.arena, &self.around.budget);
        let kept = Kept { charge, checkpoint: 0, quota: quota.is_some(), level: slot.level };
        let block = self.write_reservation(id, view, &kept, false).ok_or(Uncommitted::NoRoom)?;
        // Last, for a slot that is open stays so until it ends.
        if !self.expiry.ensure(arena, budget, stripe, slot) {
            self.slab.give_back(arena, stripe, block);
            return Err(Uncommitted::NoRoom);
        }
        let word = Word::new(tag_of(id.hash), block);
        let inserted = match Word::from_bits(version) {
            None => Absence::from_bits(version).map_or(Err(Uncommitted::Stale), |absence| {
                self.index.insert(id.hash, absence, word).map_err(|why| match why {
                    InsertError::Stale => Uncommitted::Stale,
                    InsertError::Full => Uncommitted::NoRoom,
                })
            }),
            Some(seen) => self.replace_ended(pin, id, seen, word, view.acquired_at),
        };
        if inserted.is_err() {
            self.slab.give_back(arena, stripe, block);
            return inserted;
        }
        self.around.counters.came(view);
        Ok(())
    }

    /// What was completed before a restart needs no reservation first.
    fn insert_completed(
        &self,
        id: &Hashed<'_>,
        version: u64,
        record: &Record<'_>,
        room: u64,
    ) -> Result<(), Uncommitted> {
        // An entry, or what is left of one, is not replaced: after a restart there is none.
        let absence = Absence::from_bits(version).ok_or(Uncommitted::Stale)?;
        let view = record.view;
        let slot = Slot::new(record.level, view.expires_at);
        let pieces = self.take_pieces(record, slot).ok_or(Uncommitted::NoRoom)?;
        self.write_pieces(record, &pieces);
        if record.quota {
            let segment = self.arena.segment(self.arena.segment_of(pieces.first.location));
            segment.noted.fetch_min(view.expires_at.as_millis(), AcqRel);
        }
        let word = Word::new(tag_of(id.hash), pieces.first.location);
        if let Err(why) = self.index.insert(id.hash, absence, word) {
            self.lose_pieces(slot, &pieces);
            return Err(match why {
                InsertError::Stale => Uncommitted::Stale,
                InsertError::Full => Uncommitted::NoRoom,
            });
        }
        let (bytes, budget) = (pieces.bytes(), &self.around.budget);
        budget.release(room.saturating_sub(bytes));
        budget.charge(bytes.saturating_sub(room));
        self.around.counters.came(view);
        Ok(())
    }

    /// Puts a new entry in the place of one that is due or dead.
    fn replace_ended(
        &self,
        pin: &Pin<'_>,
        id: &Hashed<'_>,
        seen: Word,
        word: Word,
        now: Timestamp,
    ) -> Result<(), Uncommitted> {
        let head = self.head_at(seen.location());
        if seen.dead() {
            // Who made it dead may not have come to this yet; twice does no harm.
            let (ended, ..) = self.view_at(seen);
            if ended.expires_at > now {
                self.remember(id, ended.attempt_id, now.after(self.around.attempt_memory), now);
            }
        }
        self.index
            .replace(id.hash, seen, word.with_watched(seen.watched()))
            .map_err(|_| Uncommitted::Stale)?;
        if !seen.dead()
            && let Some(unfinished) = self.ended(seen, head, id.hash)
        {
            self.unlogged.insert(self.last_unlogged.fetch_add(1, Relaxed), unfinished);
        }
        self.unlinked(pin, seen.location(), head);
        Ok(())
    }

    /// Writes a reservation that nobody sees yet; `None` if there is no room for it.
    #[inline(always)]
    fn write_reservation(
        &self,
        id: &Hashed<'_>,
        view: &View,
        kept: &Kept,
        owed: bool,
    ) -> Option<u64> {
        let words = reservation::words_of(&id.image, &view.fingerprint);
        let (arena, budget) = (&self.arena, &self.around.budget);
        let (block, words) = self.slab.take(arena, budget, Self::stripe(), words, owed)?;
        let reservation = Reservation {
            view,
            image: &id.image,
            charge: kept.charge,
            checkpoint: kept.checkpoint,
            quota: kept.quota,
            level: kept.level,
        };
        reservation.write(arena.words(block, words));
        self.slab.ends(arena, block, view.expires_at.as_millis());
        Some(block)
    }

    /// What stays of the entry of a word that was found under the present pin, and its head.
    #[inline]
    fn kept_at(&self, seen: Word) -> (Head, Kept) {
        let location = seen.location();
        let head = self.head_at(location);
        let word = |at: usize| self.arena.word(location + at as u64).load(Relaxed);
        let (charge, checkpoint) = reservation::kept(word);
        let level = self.ends_at(location).level;
        (head, Kept { charge, checkpoint, quota: head.quota(), level })
    }

    fn update(
        &self,
        pin: &Pin<'_>,
        id: &Hashed<'_>,
        seen: Word,
        view: &View,
    ) -> Result<(), Uncommitted> {
        let (before, kept) = self.kept_at(seen);
        self.replace_reservation(pin, id, seen, before, view, &kept)
    }

    fn replace_reservation(
        &self,
        pin: &Pin<'_>,
        id: &Hashed<'_>,
        seen: Word,
        before: Head,
        view: &View,
        kept: &Kept,
    ) -> Result<(), Uncommitted> {
        let block = self.write_reservation(id, view, kept, true).ok_or(Uncommitted::NoRoom)?;
        if self.index.replace(id.hash, seen, seen.with_location(block)).is_err() {
            self.slab.give_back(&self.arena, Self::stripe(), block);
            return Err(Uncommitted::Stale);
        }
        let now = state_name(Head::of_state(&view.state, 0).kind());
        self.around.counters.moved(state_name(before.kind()), now);
        self.unlinked(pin, seen.location(), before);
        Ok(())
    }

    fn save_checkpoint(
        &self,
        pin: &Pin<'_>,
        id: &Hashed<'_>,
        seen: Word,
        view: &View,
        bytes: &[u8],
        charge: Charge,
    ) -> Result<(), Uncommitted> {
        let (before, kept) = self.kept_at(seen);
        let number = self.last_checkpoint.fetch_add(1, Relaxed) + 1;
        self.checkpoints.insert(number, Arc::from(bytes));
        let former = kept.checkpoint;
        let kept = Kept { charge, checkpoint: number, ..kept };
        let saved = self.replace_reservation(pin, id, seen, before, view, &kept);
        self.drop_checkpoint(if saved.is_ok() { former } else { number });
        saved
    }

    #[expect(clippy::too_many_arguments, reason = "one caller; the parts have no common noun")]
    #[inline(always)]
    fn complete(
        &self,
        pin: &Pin<'_>,
        id: &Hashed<'_>,
        seen: Word,
        view: &View,
        stored: &ResultRef<'_>,
        digest: Option<[u8; 32]>,
        room: u64,
    ) -> Result<(), Uncommitted> {
        let (before, kept) = self.kept_at(seen);
        let slot = Slot::new(kept.level, view.expires_at);
        let record =
            Record { view, image: &id.image, stored, digest, quota: kept.quota, level: kept.level };
        let pieces = self.take_pieces(&record, slot).ok_or(Uncommitted::NoRoom)?;
        self.write_pieces(&record, &pieces);
        if kept.quota {
            let segment = self.arena.segment(self.arena.segment_of(pieces.first.location));
            segment.noted.fetch_min(view.expires_at.as_millis(), AcqRel);
        }
        let bytes = pieces.bytes();
        let word = seen.with_location(pieces.first.location);
        let budget = &self.around.budget;
        if self.index.replace(id.hash, seen, word).is_err() {
            self.lose_pieces(slot, &pieces);
            return Err(Uncommitted::Stale);
        }
        // What is charged is what the blocks take, whatever was reckoned.
        budget.release(room.saturating_sub(bytes));
        budget.charge(bytes.saturating_sub(room));
        self.around.counters.moved(state_name(before.kind()), StateName::Completed);
        self.drop_checkpoint(kept.checkpoint);
        self.unlinked(pin, seen.location(), before);
        Ok(())
    }

    /// Takes room for a record: in one piece nearly always.
    #[inline(always)]
    fn take_pieces(&self, record: &Record<'_>, slot: Slot) -> Option<Pieces> {
        let (arena, budget, stripe) = (&self.arena, &self.around.budget, Self::stripe());
        let result = result_words(record.stored);
        let take = |least, words| self.expiry.take(arena, budget, stripe, slot, least, words);
        let (head, whole) = (record.head_words(true), record.head_words(false) + result);
        let first = take(head + RESULT_WORDS_LEAST, whole)?;
        let mut pieces = Pieces { first, more: Vec::new() };
        if first.words == whole {
            return Some(pieces);
        }
        let mut left = result - (first.words - head);
        loop {
            let whole = CONTINUATION_WORDS + left;
            let Some(piece) = take(CONTINUATION_WORDS + RESULT_WORDS_LEAST, whole) else {
                self.lose_pieces(slot, &pieces);
                return None;
            };
            pieces.more.push(piece);
            if piece.words == whole {
                return Some(pieces);
            }
            left -= piece.words - CONTINUATION_WORDS;
        }
    }

    #[inline(always)]
    fn write_pieces(&self, record: &Record<'_>, pieces: &Pieces) {
        let next = |at: usize| pieces.more.get(at).map(|piece| piece.location);
        let words = |piece: &Piece| self.arena.words(piece.location, piece.words);
        record.write(words(&pieces.first), next(0));
        if pieces.more.is_empty() {
            return;
        }
        let mut from = pieces.first.words - record.head_words(true);
        for (at, piece) in pieces.more.iter().enumerate() {
            record.write_continuation(words(piece), from, next(at + 1));
            from += piece.words - CONTINUATION_WORDS;
        }
    }

    /// Gives room back that was not published. What cannot be given back stays charged until its
    /// segment is reclaimed.
    fn lose_pieces(&self, slot: Slot, pieces: &Pieces) {
        for piece in pieces.more.iter().rev().chain([&pieces.first]) {
            if !self.expiry.give_back(&self.arena, slot, *piece) {
                self.around.budget.charge((piece.words * WORD) as u64);
            }
        }
    }

    fn remove(
        &self,
        pin: &Pin<'_>,
        id: &Hashed<'_>,
        seen: Word,
        remembered_until: Timestamp,
        now: Timestamp,
    ) -> Result<(), Stale> {
        let (view, ..) = self.view_at(seen);
        let (location, head) = (seen.location(), self.head_at(seen.location()));
        let dead = seen.with_dead(true);
        self.index.replace(id.hash, seen, dead).map_err(|_| Stale)?;
        self.left(location, head);
        self.remember(id, view.attempt_id, remembered_until, now);
        // While somebody waits the word stays, so that nobody comes before who waited.
        if !dead.watched() && self.index.remove(id.hash, dead).is_ok() {
            self.unlinked(pin, location, head);
        }
        Ok(())
    }

    /// An entry is absent: its room and its place in the quota are free.
    pub(super) fn left(&self, location: u64, head: Head) {
        let around = &self.around;
        around.counters.state(state_name(head.kind())).less(1);
        if head.quota() {
            let image = self.image_at(location, head, self.ends_at(location));
            let names = &around.namespaces;
            let number = image.read(names, |id| names.quota_number(id.namespace()));
            names.leave(number.flatten());
        }
        if head.kind() == Kind::Completed {
            return; // Its room comes back with its segment.
        }
        let word = |at: usize| self.arena.word(location + at as u64).load(Relaxed);
        let (charge, checkpoint) = reservation::kept(word);
        self.drop_checkpoint(checkpoint);
        around.budget.release(charge.total());
    }

    #[inline]
    fn drop_checkpoint(&self, number: u64) {
        if number > 0 {
            self.checkpoints.remove(&number);
        }
    }

    /// No word names this block any more: it is free two epochs later.
    #[inline]
    pub(super) fn unlinked(&self, _pin: &Pin<'_>, location: u64, head: Head) {
        if head.kind() == Kind::Completed {
            return;
        }
        let stamp = self.epochs.stamp();
        if self.slab.retire(&self.arena, Self::stripe(), location, stamp) {
            self.advance(Timestamp::from_millis(self.ticked_at.load(Relaxed)));
        }
    }

    #[inline]
    pub(super) fn has_ended(&self, id: &Hashed<'_>, attempt: AttemptId, now: Timestamp) -> bool {
        self.attempts.contains(id, attempt, now)
    }

    pub(super) fn remember(
        &self,
        id: &Hashed<'_>,
        attempt: AttemptId,
        until: Timestamp,
        now: Timestamp,
    ) {
        let most = self.around.attempts_max;
        let change = self.attempts.remember(id, attempt, until, now, most);
        self.count_attempts(&change);
    }

    pub(super) fn forget_attempts(&self, now: Timestamp, steps: &mut usize) {
        let change = self.attempts.forget_due(now, steps);
        self.count_attempts(&change);
    }

    fn count_attempts(&self, change: &Remembered) {
        let counters = &self.around.counters;
        counters.attempts_remembered.add(change.added);
        counters.attempts_remembered.less(change.dropped);
        counters.attempts_forgotten_early.add(change.dropped_early);
        self.around.budget.charge(change.added * ATTEMPT_BYTES);
        self.around.budget.release(change.dropped * ATTEMPT_BYTES);
    }

    /// Logs what was found unfinished. The caller holds neither pin nor lock.
    pub(super) fn log_unlogged(&self) {
        if self.unlogged.is_empty() {
            return; // One load, for this follows each acquisition.
        }
        while let Some(unfinished) = self.unlogged.pop_front() {
            unfinished.value().log();
        }
    }
}
