//! What callers know about the keys in use: tokens they were given, calls without an answer.

use std::collections::HashMap;
use std::ops::Range;

use crate::call::{Asked, Call, Owner, Told};
use crate::oracle::CALLS_MAX;

/// Keys in use at once.
const WINDOW: u32 = 160;

/// Calls on a key, over all lives, after which another takes its place.
const CALLS_PER_KEY: u32 = 30;

/// Calls on a key in one life: far below what the oracle can order.
const CALLS_PER_LIFE: u32 = CALLS_MAX as u32 * 2 / 3;

/// Calls on a key in one life that have no answer, or none yet. Should the daemon end now, each
/// multiplies what may have happened.
const UNKNOWN_MAX: usize = 3;

/// Calls without an answer on a key, over all lives, after which another takes its place: what may have
/// happened multiplies over lives, too.
const UNANSWERED_PER_KEY: u32 = 6;

/// What is known, by key.
#[derive(Debug)]
pub struct Notebook {
    pages: HashMap<u32, Page>,
    next: u32,
    touched: Vec<u32>,
    attempts: u64,
    salt: u64,
}

/// What is known of one key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// Latest last.
    pub(crate) owners: Vec<Owner>,
    /// Calls of this life without an answer.
    pub(crate) unknown: Vec<Asked>,
    /// Latest attempts that were sent.
    pub(crate) attempts: Vec<u128>,
    /// What a resolver would name.
    pub(crate) doubt: Option<(u64, u32)>,
    pub(crate) shown_fence: Option<u64>,
    pub(crate) ordinal: u32,
    /// Some answer said that the work is done.
    pub(crate) done: bool,
    calls: u32,
    unanswered: u32,
    calls_of_life: u32,
    /// Calls of this life that are under way.
    under_way: usize,
}

impl Notebook {
    /// A notebook without a page. `salt` makes its attempt ids its own.
    #[must_use]
    pub fn new(salt: u64) -> Self {
        Self { pages: HashMap::new(), next: WINDOW, touched: Vec::new(), attempts: 0, salt }
    }

    /// Another life: what got no answer is asked again by whoever looks back, and may be used.
    /// Returns the keys that the last life's callers touched.
    #[must_use]
    pub fn turn(&mut self) -> Vec<u32> {
        for page in self.pages.values_mut() {
            page.calls_of_life = 0;
            page.under_way = 0;
        }
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// Keys that workers may draw now.
    #[must_use]
    pub const fn in_use(&self) -> Range<u32> {
        self.next - WINDOW..self.next
    }

    pub(crate) fn new_attempt(&mut self) -> u128 {
        self.attempts += 1;
        u128::from(self.salt | 1) << 64 | u128::from(self.attempts)
    }

    /// A key to ask about, and what is known of it; `None` if the one drawn has had enough.
    pub(crate) fn open(&mut self, draw: u64) -> Option<(u32, Page)> {
        let slot = (draw % u64::from(WINDOW)) as u32;
        let oldest = self.next - WINDOW;
        let key = oldest + slot;
        let page = self.pages.entry(key).or_default();
        if page.is_full() {
            // The window moves on from its oldest end; a full key inside it rests.
            if key == oldest || self.pages.get(&oldest).is_some_and(|page| page.is_full()) {
                self.next += 1;
            }
            return None;
        }
        if page.calls_of_life >= CALLS_PER_LIFE
            || page.unknown.len() + page.under_way >= UNKNOWN_MAX
        {
            return None;
        }
        page.calls += 1;
        page.calls_of_life += 1;
        page.under_way += 1;
        let page = page.clone();
        self.touched.push(key);
        Some((key, page))
    }

    /// What was opened is done with, answered or not.
    pub(crate) fn close(&mut self, key: u32) {
        if let Some(page) = self.pages.get_mut(&key) {
            page.under_way = page.under_way.saturating_sub(1);
        }
    }

    /// The page of a key that is looked back at, with the calls that got no answer taken from it.
    pub(crate) fn look_back(&mut self, key: u32) -> Page {
        let page = self.pages.entry(key).or_default();
        let known = page.clone();
        page.unknown.clear();
        known
    }

    pub(crate) fn write(&mut self, call: &Call) {
        let page = self.pages.entry(call.key).or_default();
        let Some(told) = call.told else {
            page.unanswered += 1;
            return page.unknown.push(call.asked.clone());
        };
        if let Asked::Begin { attempt, .. } = call.asked {
            page.attempts.retain(|known| *known != attempt);
            page.attempts.push(attempt);
        }
        match told {
            Told::Acquired { fence, checkpoint, .. } => {
                if let Asked::Begin { attempt, .. } = call.asked {
                    page.owners.retain(|owner| owner.attempt != attempt);
                    page.owners.push(Owner { fence, attempt });
                }
                page.ordinal = page.ordinal.max(checkpoint.map_or(0, |held| held.0));
                page.done = false;
            }
            Told::Saved { ordinal } => page.ordinal = page.ordinal.max(ordinal),
            Told::Reserved { fence, doubt, .. } | Told::Doubted { fence, doubt, .. } => {
                page.doubt = Some((fence, doubt.max(1)));
                page.shown_fence = Some(fence);
            }
            Told::Done { fence, .. } => {
                page.shown_fence = Some(fence);
                page.done = true;
            }
            Told::Completed | Told::AlreadyCompleted | Told::Replay { .. } => page.done = true,
            _ => {}
        }
    }
}

impl Page {
    const fn is_full(&self) -> bool {
        self.calls >= CALLS_PER_KEY || self.is_unclear()
    }

    /// Whether so many calls got no answer that it should only be looked at.
    pub(crate) const fn is_unclear(&self) -> bool {
        self.unanswered >= UNANSWERED_PER_KEY
    }
}
