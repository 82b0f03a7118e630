//! What one key may hold, as an observer outside knows it.

use std::time::Duration;

use crate::call::Print;
use crate::moment::Moment;
use crate::oracle::fences::Fences;
use crate::oracle::ways::Window;

/// How long an ended attempt is remembered at least: the daemon's default of `attempt_memory` (S3).
const ATTEMPT_MEMORY: Duration = Duration::from_secs(120);

/// What the daemon holds for one key.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Held {
    pub(crate) entry: Option<Entry>,
    /// What had expired when it was seen to be absent. No fact says so, so a store whose clock
    /// resumes at an earlier time has it again (S15).
    pub(crate) expired: Option<Box<Entry>>,
    /// Attempts that a begin may not revive (S3).
    pub(crate) ended: Vec<Ended>,
}

/// An attempt that has ended.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Ended {
    pub(crate) attempt: u128,
    /// Remembered until then at least.
    pub(crate) until: Moment,
    /// A restart forgets it with the retention of its acquisition, for then no fact is left.
    pub(crate) kept_until: Moment,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Entry {
    pub(crate) attempt: u128,
    /// `None` while no answer has shown it.
    pub(crate) fence: Option<u64>,
    pub(crate) number: u32,
    pub(crate) print: Print,
    /// Policy in-doubt, else takeover.
    pub(crate) in_doubt: bool,
    /// It is not absent before this (S7).
    pub(crate) kept_until: Moment,
    /// The longest lease recorded for this acquisition (S13).
    pub(crate) longest: Duration,
    pub(crate) checkpoint: Option<(u32, u64)>,
    pub(crate) phase: Phase,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Phase {
    /// Owned; the lease runs at least until then. Later it may have lapsed.
    Reserved(Moment),
    /// Given up in doubt.
    InDoubt,
    /// With this result.
    Done(u64),
}

impl Entry {
    pub(super) fn may_have_lapsed(&self, window: Window) -> bool {
        matches!(self.phase, Phase::Reserved(until) if until <= window.until)
    }

    /// S6: anew, never back, never past the retention. Whether it is longer than any before.
    pub(super) fn lease_anew(&mut self, lease: Duration, from: Moment) -> bool {
        let anew = from.least_end(lease).min(self.kept_until);
        let until = match self.phase {
            Phase::Reserved(until) => until.max(anew),
            Phase::InDoubt | Phase::Done(_) => anew,
        };
        self.phase = Phase::Reserved(until);
        let longer = lease > self.longest;
        self.longest = self.longest.max(lease);
        longer
    }

    /// Whether `fence` is this acquisition's; a fence not known so far is learned.
    pub(super) fn has_fence(&mut self, fence: u64, fences: &Fences) -> bool {
        match self.fence {
            Some(known) => known == fence,
            None if fences.may_be(fence, self.attempt) => {
                self.fence = Some(fence);
                true
            }
            None => false,
        }
    }

    pub(super) fn differs_from(&self, named: Option<u64>) -> bool {
        matches!((self.print, named), (Print::Digest(bound), Some(named)) if bound != named)
    }

    pub(super) fn stays_unbound(&self, named: Option<u64>) -> bool {
        self.print == Print::Later && named.is_none()
    }

    /// S9; whether something was bound now.
    pub(super) fn bind(&mut self, named: Option<u64>) -> bool {
        match (self.print, named) {
            (Print::Later, Some(named)) => {
                self.print = Print::Digest(named);
                true
            }
            _ => false,
        }
    }
}

impl Entry {
    /// S19: checkpoints end with completion.
    pub(super) fn store(&mut self, result: u64) {
        self.checkpoint = None;
        self.phase = Phase::Done(result);
    }
}

impl Held {
    /// Absent by request, and its attempt is remembered (S3).
    pub(super) fn end(&mut self, from: Moment) {
        if let Some(entry) = self.entry.take() {
            self.expired = None;
            let Entry { attempt, kept_until, .. } = entry;
            self.ended.push(Ended { attempt, until: from.least_end(ATTEMPT_MEMORY), kept_until });
            self.ended.sort_unstable();
        }
    }
}
