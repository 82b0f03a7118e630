//! Where facts wait in memory for the round that takes them.
//!
//! A thread appends to its stripe under the stripe's lock, and its commit runs under it; a round
//! takes from all stripes while it holds all locks. So a round is a consistent cut: if one fact's
//! commit came before another fact's append, the first is in the same round or an earlier one,
//! and the position that a commit is told is that of the round that will take its fact.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

use onceward::planted::{Bug, planted};
use onceward::{Event, Fact, Position, Timestamp};
use parking_lot::Mutex;

use crate::frame::encode::encode;
use crate::level::{LEVELS, Level};

/// More than threads that work at once on most machines; threads beyond share.
const STRIPES: usize = 16;
/// A stripe tells of its bytes in steps, so that appends share no cache line.
const BYTES_STEP: usize = 16 << 10;
/// Room that an emptied buffer may keep.
const BUFFER_KEPT_MAX: usize = 1 << 20;
/// New names that one stripe notes between two rounds.
const NEW_NAMES_MAX: usize = 64;

/// What the manifest calls namespaces.
pub(crate) type Names = HashMap<String, u16>;

/// All stripes.
pub(crate) struct Stripes {
    stripes: [Aligned; STRIPES],
    /// Number of the round that will take what is appended now. Changes under all locks.
    round: AtomicU64,
    /// When the oldest fact here was decided, and 1; 0 without one. Cleared under all locks.
    oldest: AtomicU64,
    /// Bytes here, in steps.
    bytes: AtomicU64,
}

#[repr(align(128))]
struct Aligned(Mutex<Stripe>);

#[derive(Default)]
struct Stripe {
    buffers: [Buffer; LEVELS],
    facts: u64,
    largest_fence: u64,
    bytes_untold: usize,
    bytes_told: u64,
    names: Arc<Names>,
    /// The name looked up last, which is the next one's most often.
    last_name: Option<(String, u16)>,
    new_names: Vec<String>,
}

/// Frames of one level, checksums zero.
#[derive(Default)]
pub(crate) struct Buffer {
    pub(crate) frames: Vec<u8>,
    /// Latest end of an acquisition with a frame here.
    pub(crate) end: Timestamp,
}

/// What became of a fact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Recorded {
    /// What its commit said.
    pub(crate) kept: bool,
    /// It is the first since the last round.
    pub(crate) is_first: bool,
    /// Bytes in all stripes, if that is worth a look.
    pub(crate) bytes: Option<u64>,
}

/// What a round took.
pub(crate) struct Round {
    pub(crate) number: u64,
    /// When the oldest fact in it was decided.
    pub(crate) oldest: Option<Timestamp>,
    pub(crate) facts: u64,
    pub(crate) largest_fence: u64,
    pub(crate) buffers: Vec<(Level, Buffer)>,
    /// Names that have no number yet.
    pub(crate) new_names: Vec<String>,
}

impl Stripes {
    /// Nothing is appended. The first round is not 0, for that position rests on nothing.
    pub(crate) fn new(first_round: u64) -> Self {
        Self {
            stripes: std::array::from_fn(|_| Aligned(Mutex::new(Stripe::default()))),
            round: AtomicU64::new(first_round),
            oldest: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Runs the commit, and appends the fact's frame if it came about.
    #[inline]
    pub(crate) fn record(
        &self,
        fact: &Fact<'_>,
        commit: &mut dyn FnMut(Position) -> bool,
    ) -> Recorded {
        let level = level_of(fact);
        let mut stripe = self.stripes[own_stripe()].0.lock();
        let stripe = &mut *stripe;
        let position = Position(self.round.load(Relaxed));
        let kept = commit(position);
        if !kept && !planted(Bug::UnsealedResultFlushed) {
            return Recorded { kept, is_first: false, bytes: None };
        }
        let namespace = match &fact.event {
            Event::Acquired { identity, .. } => stripe.number_of(identity.namespace().as_str()),
            Event::Completed { .. }
            | Event::Removed
            | Event::Doubted { .. }
            | Event::Extended { .. }
            | Event::Checkpointed { .. } => None,
        };
        let buffer = &mut stripe.buffers[level.place()];
        let before = buffer.frames.len();
        encode(fact, namespace, &mut buffer.frames);
        let end = match fact.event {
            Event::Removed if planted(Bug::AbandonInShorterLivedFile) => fact.at,
            _ => fact.expires_at,
        };
        buffer.end = buffer.end.max(end);
        stripe.bytes_untold += buffer.frames.len() - before;
        stripe.facts += 1;
        stripe.largest_fence = stripe.largest_fence.max(fact.fence.get());
        // Only the first since a round meets a zero. Its order against the flusher's own look
        // before it rests matters: see `Journal::rest`.
        let is_first = self.oldest.load(Relaxed) == 0 && {
            let at = fact.at.as_millis().saturating_add(1);
            self.oldest.compare_exchange(0, at, SeqCst, Relaxed).is_ok()
        };
        let mut bytes = None;
        if stripe.bytes_untold >= BYTES_STEP {
            let told = std::mem::take(&mut stripe.bytes_untold) as u64;
            stripe.bytes_told += told;
            bytes = Some(self.bytes.fetch_add(told, Relaxed) + told);
        }
        Recorded { kept, is_first, bytes }
    }

    /// Takes everything. `room` has emptied buffers to go on with.
    pub(crate) fn take(&self, room: &mut Vec<Vec<u8>>) -> Round {
        let mut stripes: Vec<_> = self.stripes.iter().map(|stripe| stripe.0.lock()).collect();
        let oldest = self.oldest.swap(0, SeqCst).checked_sub(1).map(Timestamp::from_millis);
        let mut round = Round {
            number: self.round.load(Relaxed),
            oldest,
            facts: 0,
            largest_fence: 0,
            buffers: Vec::new(),
            new_names: Vec::new(),
        };
        for stripe in &mut stripes {
            stripe.give(&mut round, room);
            self.bytes.fetch_sub(std::mem::take(&mut stripe.bytes_told), Relaxed);
        }
        self.round.store(round.number + 1, Relaxed);
        drop(stripes);
        round.new_names.sort_unstable();
        round.new_names.dedup();
        round
    }

    /// When the oldest fact here was decided.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.oldest.load(SeqCst).checked_sub(1).map(Timestamp::from_millis)
    }

    /// Facts here.
    pub(crate) fn facts(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.0.lock().facts).sum()
    }

    /// From now on frames call namespaces by these numbers, which a durable manifest has.
    pub(crate) fn set_names(&self, names: &Arc<Names>) {
        for stripe in &self.stripes {
            stripe.0.lock().names = Arc::clone(names);
        }
    }
}

impl Stripe {
    fn number_of(&mut self, name: &str) -> Option<u16> {
        if let Some((last, number)) = &self.last_name
            && last == name
        {
            return Some(*number);
        }
        let number = self.names.get(name).copied();
        match number {
            Some(number) => self.last_name = Some((name.to_owned(), number)),
            None => {
                let noted = self.new_names.iter().any(|noted| noted == name);
                if !noted && self.new_names.len() < NEW_NAMES_MAX {
                    self.new_names.push(name.to_owned());
                }
            }
        }
        number
    }

    fn give(&mut self, round: &mut Round, room: &mut Vec<Vec<u8>>) {
        for level in Level::all() {
            let buffer = &mut self.buffers[level.place()];
            if !buffer.frames.is_empty() {
                let empty = Buffer { frames: room.pop().unwrap_or_default(), end: Timestamp::ZERO };
                round.buffers.push((level, std::mem::replace(buffer, empty)));
            }
        }
        round.facts += std::mem::take(&mut self.facts);
        round.largest_fence = round.largest_fence.max(self.largest_fence);
        self.bytes_untold = 0;
        round.new_names.append(&mut self.new_names);
    }
}

/// Keeps an emptied buffer for a later round, unless it is too large or there are enough.
pub(crate) fn keep_room(room: &mut Vec<Vec<u8>>, mut buffer: Vec<u8>) {
    if buffer.capacity() <= BUFFER_KEPT_MAX && room.len() < STRIPES {
        buffer.clear();
        room.push(buffer);
    }
}

/// A frame belongs to the file of its acquisition: its end must not be forgotten first.
#[inline]
fn level_of(fact: &Fact<'_>) -> Level {
    match fact.event {
        Event::Removed if planted(Bug::AbandonInShorterLivedFile) => Level::numbered(0),
        _ => Level::of(fact.retention),
    }
}

/// The stripe of the calling thread.
#[inline]
fn own_stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    OWN.with(|own| {
        if own.get() == usize::MAX {
            own.set(NEXT.fetch_add(1, Relaxed) % STRIPES);
        }
        own.get()
    })
}

#[cfg(test)]
mod tests;
