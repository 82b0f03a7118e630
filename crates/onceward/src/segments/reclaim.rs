//! Gives memory back once entries have ended: reservations one by one, completed entries by the
//! segment.
//!
//! A segment of completed entries goes through: its slot's end has come, nothing is added any more;
//! two epochs later nobody is about to publish an entry in it; its entries are unlinked; two epochs
//! later nobody reads any; its pages are given back.
//!
//! One thread reclaims at a time. Who finds another at it goes on without: a paused reclaimer keeps
//! memory from being freed, and nobody from working.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use onceward_core::{Millis, StateName, Timestamp};
use parking_lot::MutexGuard;

use super::Segments;
use super::arena::WORD;
use super::epoch::Pin;
use super::head::{Head, Kind};
use super::index::Found;
use super::reservation::{self, Ends};
use super::segment::NEVER;
use super::word::Word;
use crate::unfinished::Unfinished;

/// Blocks looked at under one pin, and fetched together.
const BATCH: usize = 16;

/// Between two releases of idle reservation blocks.
const RELEASE_PAUSE: Millis = Millis::from_secs(1);

/// Segments on their way from their end to their reuse.
#[derive(Default)]
pub(super) struct Reclaimer {
    /// Sealed in an epoch, and not walked before it has passed.
    sealed: VecDeque<(u64, u64)>,
    /// Being walked, in the order of their sealing.
    walking: VecDeque<u64>,
    /// Unlinked in an epoch, and not freed before it has passed.
    unlinked: VecDeque<(u64, u64)>,
    /// Where the next sweep of reservations begins.
    sweep_from: u64,
    /// When idle reservation blocks were last released.
    released_at: Option<Timestamp>,
}

impl Reclaimer {
    fn is_idle(&self) -> bool {
        self.sealed.is_empty() && self.walking.is_empty() && self.unlinked.is_empty()
    }
}

impl Segments {
    /// The reclaimer's part, unless another is at it for longer than a moment.
    fn reclaimer(&self) -> Option<MutexGuard<'_, Reclaimer>> {
        /// Looks for a reclaimer at work to end, before its work is left to it.
        const LOOKS: usize = 200;
        for _ in 0..LOOKS {
            if let Some(reclaimer) = self.reclaimer.try_lock() {
                return Some(reclaimer);
            }
            std::thread::yield_now();
        }
        self.reclaimer.try_lock()
    }

    pub(super) fn reclaim_due(&self, now: Timestamp, steps: &mut usize) {
        let Some(mut reclaimer) = self.reclaimer() else { return };
        let mut unfinished = Vec::new();
        self.ticked_at.fetch_max(now.as_millis(), Relaxed);
        self.forget_attempts(now, steps);
        self.sweep_reservations(&mut reclaimer, now, steps, &mut unfinished);
        self.expiry.take_due(&self.arena, now.as_millis(), |segment| {
            reclaimer.sealed.push_back((segment, self.epochs.stamp()));
        });
        // Each epoch that passes lets something go on; three rounds bring a segment to its end.
        for _ in 0..4 {
            self.advance(now);
            self.advance(now);
            self.walk_sealed(&mut reclaimer, now, steps, &mut unfinished);
            self.free_unlinked(&mut reclaimer);
            if reclaimer.is_idle() && !self.slab.has_retired() {
                break;
            }
        }
        // Where much is in use, not again at once: it costs a walk, and may find little.
        let idle_since = reclaimer.released_at.map(|at| at.after(RELEASE_PAUSE));
        if self.slab.is_unused() || idle_since.is_none_or(|again| now >= again) {
            self.slab.release_idle(&self.arena, &self.around.budget);
            reclaimer.released_at = Some(now);
        }
        let pending = !reclaimer.is_idle() || self.slab.has_retired();
        self.pending_since.store(if pending { now.as_millis() } else { NEVER }, Relaxed);
        drop(reclaimer);
        unfinished.iter().for_each(Unfinished::log);
        self.log_unlogged();
    }

    /// Moves the epoch on if nobody holds it back, and frees what has become free.
    pub(super) fn advance(&self, now: Timestamp) {
        // Pinned, the epoch moves on once at most: the list that is emptied below gets no more.
        let _pin = self.pinned();
        if let Some(epoch) = self.epochs.try_advance(now) {
            self.slab.free_retired(&self.arena, epoch.wrapping_sub(2));
        }
    }

    /// Unlinks reservations whose retention has ended.
    fn sweep_reservations(
        &self,
        reclaimer: &mut Reclaimer,
        now: Timestamp,
        steps: &mut usize,
        unfinished: &mut Vec<Unfinished>,
    ) {
        let segments = self.arena.slab_segments();
        let count = segments.end - segments.start;
        for offset in 0..count {
            let number = segments.start + (reclaimer.sweep_from + offset) % count;
            // Twice, where the first only ends a sweep that began earlier.
            let resumed = self.arena.segment(number).walked.load(Relaxed) > 0;
            if !self.sweep_segment(number, now, steps, unfinished)
                || (resumed && !self.sweep_segment(number, now, steps, unfinished))
            {
                reclaimer.sweep_from = number - segments.start;
                return;
            }
        }
    }

    /// Sweeps one segment; false if the steps ran out in it.
    fn sweep_segment(
        &self,
        number: u64,
        now: Timestamp,
        steps: &mut usize,
        unfinished: &mut Vec<Unfinished>,
    ) -> bool {
        let segment = self.arena.segment(number);
        let block_words = segment.block_words.load(Relaxed) as usize;
        let mut at = segment.walked.load(Relaxed) as usize;
        if block_words == 0 || (at == 0 && segment.due.load(Relaxed) > now.as_millis()) {
            return true;
        }
        if *steps == 0 {
            return false;
        }
        if at == 0 {
            // From here on ends are noted anew: by whoever writes a reservation, and below.
            segment.due.swap(NEVER, AcqRel);
            segment.noted.store(NEVER, Relaxed);
        }
        let most = self.slab.cut_words(&self.arena, number);
        while at < most {
            if *steps == 0 {
                segment.walked.store(at as u64, Relaxed);
                return false;
            }
            let pin = self.pinned();
            for _ in 0..BATCH.min(*steps) {
                if at >= most {
                    break;
                }
                *steps -= 1;
                let block = self.arena.location(number, at);
                at += block_words;
                let head = Head(self.arena.word(block).load(Relaxed));
                if head.kind() == Kind::Nothing {
                    continue; // Free, or not written yet: who writes it notes its end.
                }
                let word = self.arena.word(block + reservation::EXPIRES as u64).load(Relaxed);
                let ends = Ends::of_word(word);
                if ends.expires_at > now || !self.expire(&pin, block, head, ends, now, unfinished) {
                    segment.noted.fetch_min(ends.expires_at.as_millis(), Relaxed);
                }
            }
        }
        segment.walked.store(0, Relaxed);
        segment.due.fetch_min(segment.noted.load(Relaxed), AcqRel);
        true
    }

    /// Unlinks the entry whose block this is, if it is one and due; false if it must be looked at
    /// again.
    fn expire(
        &self,
        pin: &Pin<'_>,
        block: u64,
        head: Head,
        ends: Ends,
        now: Timestamp,
        unfinished: &mut Vec<Unfinished>,
    ) -> bool {
        let image = self.image_at(block, head, ends);
        let hash = image.hash(&self.hash_key);
        let Found::Entry(word) = self.index.find(hash, |word| word.location() == block) else {
            return true; // Not published, superseded, or being written by another.
        };
        // Published, and we are pinned: what is read from here on is this entry's.
        let head = Head(self.arena.word(block).load(Relaxed));
        let ends = self.ends_at(block);
        if ends.expires_at > now {
            return false;
        }
        // A dead word is somebody's to empty. Its block is in use until then: one of the slab can
        // wait, the segment of a record cannot go.
        let may_wait = head.kind() != Kind::Completed;
        if word.dead() {
            return may_wait;
        }
        if word.watched() {
            // Whoever waits is judged by the waits; the word keeps their place.
            if self.index.replace(hash, word, word.with_dead(true)).is_err() {
                return false;
            }
            unfinished.extend(self.ended(word, head, hash));
            return may_wait;
        }
        if self.index.remove(hash, word).is_err() {
            return false;
        }
        unfinished.extend(self.ended(word, head, hash));
        self.unlinked(pin, block, head);
        true
    }

    /// An entry is absent because its retention has ended.
    pub(super) fn ended(&self, word: Word, head: Head, hash: u64) -> Option<Unfinished> {
        let counters = &self.around.counters;
        counters.expired.one_more();
        let state = state_name(head.kind());
        let location = word.location();
        let unfinished = (state != StateName::Completed).then(|| {
            counters.expired_unfinished.one_more();
            let image = self.image_at(location, head, self.ends_at(location));
            let namespace = image
                .read(&self.around.namespaces, |identity| identity.namespace().as_str().into())
                .unwrap_or_default();
            Unfinished { namespace, key_hash: hash as u32, state }
        });
        self.left(location, head);
        unfinished
    }

    /// Unlinks completed entries with a place in a quota at their own ends, before their slots
    /// end: a place is free at once (S7).
    pub(super) fn free_places(&self, now: Timestamp, steps: &mut usize) {
        let Some(reclaimer) = self.reclaimer() else { return };
        let mut unfinished = Vec::new();
        self.expiry.visit_ending(&self.arena, now, |number, used| {
            let segment = self.arena.segment(number);
            if segment.noted.load(Relaxed) > now.as_millis() {
                return;
            }
            // From here on ends are noted anew: by whoever completes an entry, and below.
            let noted = segment.noted.swap(NEVER, AcqRel);
            // Only now how far to go: what was noted before lies within.
            let used = used();
            if used == 0 {
                segment.noted.fetch_min(noted, AcqRel); // Its sealer has not said so yet.
                return;
            }
            let mut at = 0;
            while at < used {
                let pin = self.pinned();
                let block = self.arena.location(number, at);
                let head = self.head_at(block);
                if head.words() == 0 {
                    // Not written yet: who writes it notes its end. What follows it comes later.
                    segment.noted.fetch_min(noted, AcqRel);
                    return;
                }
                at += head.words();
                *steps = steps.saturating_sub(1);
                if head.kind() != Kind::Completed || !head.quota() {
                    continue;
                }
                let ends = self.ends_at(block);
                if ends.expires_at > now {
                    segment.noted.fetch_min(ends.expires_at.as_millis(), AcqRel);
                } else {
                    self.expire(&pin, block, head, ends, now, &mut unfinished);
                }
            }
        });
        drop(reclaimer);
        unfinished.iter().for_each(Unfinished::log);
    }

    /// Walks the segments that nobody adds to any more.
    fn walk_sealed(
        &self,
        reclaimer: &mut Reclaimer,
        now: Timestamp,
        steps: &mut usize,
        unfinished: &mut Vec<Unfinished>,
    ) {
        while let Some(&(segment, stamp)) = reclaimer.sealed.front() {
            if !self.epochs.is_past(stamp) {
                break;
            }
            reclaimer.sealed.pop_front();
            reclaimer.walking.push_back(segment);
        }
        while *steps > 0
            && let Some(&segment) = reclaimer.walking.front()
        {
            if !self.walk(segment, now, steps, unfinished) {
                return;
            }
            reclaimer.walking.pop_front();
            reclaimer.unlinked.push_back((segment, self.epochs.stamp()));
        }
    }

    /// Unlinks the entries of one segment; false if it is not done.
    fn walk(
        &self,
        number: u64,
        now: Timestamp,
        steps: &mut usize,
        unfinished: &mut Vec<Unfinished>,
    ) -> bool {
        let segment = self.arena.segment(number);
        let used = segment.used.load(Relaxed) as usize;
        let mut at = segment.walked.load(Relaxed) as usize;
        let mut batch = Vec::with_capacity(BATCH);
        while at < used {
            if *steps == 0 {
                segment.walked.store(at as u64, Relaxed);
                return false;
            }
            let pin = self.pinned();
            batch.clear();
            let first = at;
            while at < used && batch.len() < BATCH.min(*steps) {
                let block = self.arena.location(number, at);
                let head = Head(self.arena.word(block).load(Relaxed));
                at += head.words().max(1);
                if head.kind() == Kind::Completed {
                    let image = self.image_at(block, head, self.ends_at(block));
                    let hash = image.hash(&self.hash_key);
                    self.index.prefetch(hash);
                    batch.push((block, head, hash));
                }
            }
            *steps -= batch.len().max(1).min(*steps);
            for &(block, head, hash) in &batch {
                let ends = self.ends_at(block);
                if !self.expire(&pin, block, head, ends, now, unfinished)
                    && matches!(
                        self.index.find(hash, |word| word.location() == block),
                        Found::Entry(_)
                    )
                {
                    // Somebody still waits on it: this batch again, later.
                    segment.walked.store(first as u64, Relaxed);
                    return false;
                }
            }
        }
        segment.walked.store(used as u64, Relaxed);
        true
    }

    fn free_unlinked(&self, reclaimer: &mut Reclaimer) {
        while let Some(&(number, stamp)) = reclaimer.unlinked.front() {
            if !self.epochs.is_past(stamp) {
                return;
            }
            reclaimer.unlinked.pop_front();
            let segment = self.arena.segment(number);
            let charged = segment.used.load(Relaxed) * WORD as u64 + segment.slack.load(Relaxed);
            segment.due.store(NEVER, Relaxed);
            self.arena.free_segment(number);
            self.around.budget.release(charged);
        }
    }

    /// When reservations end, at the earliest, in ms.
    pub(super) fn reservations_due(&self) -> u64 {
        let segments = self.arena.slab_segments();
        let due = segments.map(|number| {
            let segment = self.arena.segment(number);
            // A sweep that is not done is due at once.
            if segment.walked.load(Relaxed) > 0 { 0 } else { segment.due.load(Relaxed) }
        });
        due.min().unwrap_or(NEVER)
    }
}

pub(super) fn state_name(kind: Kind) -> StateName {
    match kind {
        Kind::InDoubt => StateName::InDoubt,
        Kind::Completed => StateName::Completed,
        Kind::Reserved | Kind::Nothing | Kind::Continuation => StateName::Reserved,
    }
}
