//! What one key may hold, and every way in which one call may have gone.
//!
//! The rules of SEMANTICS once more, for an observer outside: it knows when a call was sent and
//! when it was answered, never when it was judged. So where the daemon compares two instants, the
//! observer has bounds, and a call has several ways to go. What is bounded here from below are the
//! ends of leases and retentions: nothing may end early (S6, S7). That something ends late is not
//! judged: errors lean towards keeping keys longer (S15).

use std::time::Duration;

use crate::call::{Asked, Owner, Print, Told};
use crate::moment::Moment;
use crate::oracle::fences::Fences;

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

/// One way for a call to have gone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Way {
    pub(crate) held: Held,
    /// Whether it made a fact, which a crash may take back unless it was synced (S14).
    pub(crate) fact: bool,
    /// The fence it drew, if it drew one and that is known.
    pub(crate) drawn: Option<u64>,
    /// A takeover: synced at every level with a journal (S14).
    pub(crate) takeover: bool,
}

/// When a call was judged: not before, not after.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: Moment,
    pub(crate) until: Moment,
}

impl Held {
    /// Every way in which `asked` may have been judged here within `window` and answered `told`;
    /// without an answer every way that changes something. `floor`: the largest fence known so far.
    pub(crate) fn ways(
        &self,
        asked: &Asked,
        told: Option<&Told>,
        window: Window,
        floor: u64,
        fences: &Fences,
    ) -> Vec<Way> {
        let mut ways = Ways { told, window, floor, fences, found: Vec::new() };
        ways.judge(self, asked);
        // S7: its retention may have ended by then.
        if let Some(entry) = &self.entry
            && entry.kept_until <= window.until
        {
            let expired = Some(Box::new(entry.clone()));
            ways.judge(&Self { entry: None, expired, ended: self.ended.clone() }, asked);
        }
        ways.found
    }
}

impl Entry {
    fn may_have_lapsed(&self, window: Window) -> bool {
        matches!(self.phase, Phase::Reserved(until) if until <= window.until)
    }

    /// S6: anew, never back, never past the retention. Whether it is longer than any before.
    fn lease_anew(&mut self, lease: Duration, from: Moment) -> bool {
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
    fn has_fence(&mut self, fence: u64, fences: &Fences) -> bool {
        match self.fence {
            Some(known) => known == fence,
            None if fences.may_be(fence, self.attempt) => {
                self.fence = Some(fence);
                true
            }
            None => false,
        }
    }

    fn differs_from(&self, named: Option<u64>) -> bool {
        matches!((self.print, named), (Print::Digest(bound), Some(named)) if bound != named)
    }

    fn stays_unbound(&self, named: Option<u64>) -> bool {
        self.print == Print::Later && named.is_none()
    }

    /// S9; whether something was bound now.
    fn bind(&mut self, named: Option<u64>) -> bool {
        match (self.print, named) {
            (Print::Later, Some(named)) => {
                self.print = Print::Digest(named);
                true
            }
            _ => false,
        }
    }
}

struct Ways<'a> {
    told: Option<&'a Told>,
    window: Window,
    floor: u64,
    fences: &'a Fences,
    found: Vec<Way>,
}

impl Ways<'_> {
    /// A way that changes nothing: of interest only if it is what was told.
    fn stays(&mut self, held: &Held, told: Told) {
        if self.told == Some(&told) {
            self.push(held.clone(), false);
        }
    }

    /// A way that changes something, and is answered `told`.
    fn changes(&mut self, held: Held, told: Told, fact: bool) {
        if self.told.is_none_or(|seen| *seen == told) {
            self.push(held, fact);
        }
    }

    /// `fence`, which somebody names, may be another's than that of an acquisition which no answer has
    /// shown.
    fn may_name_another(&mut self, held: &Held, fence: u64) {
        let Some(entry) = &held.entry else { return };
        if entry.fence.is_none() && self.fences.may_be(fence, entry.attempt) {
            self.stays(held, Told::Fenced);
        }
    }

    fn push(&mut self, held: Held, fact: bool) {
        self.found.push(Way { held, fact, drawn: None, takeover: false });
    }

    fn judge(&mut self, held: &Held, asked: &Asked) {
        match *asked {
            Asked::Begin { .. } => self.begin(held, asked),
            Asked::Complete { owner, result, print } => self.complete(held, owner, result, print),
            Asked::Renew { owner, lease, print } => {
                let from = self.window.from;
                self.with_token(held, owner, |ways, mut held, mut entry| {
                    if entry.differs_from(print) {
                        return ways.stays(&held, Told::Mismatch);
                    }
                    if let Phase::Done(_) = entry.phase {
                        return ways.stays(&held, Told::Conflict);
                    }
                    let left_doubt = entry.phase == Phase::InDoubt;
                    let bound = entry.bind(print);
                    let fact = entry.lease_anew(lease, from) || bound || left_doubt;
                    held.entry = Some(entry);
                    ways.changes(held, Told::Renewed, fact);
                });
            }
            Asked::Abandon { owner, in_doubt } => {
                let from = self.window.from;
                self.with_token(held, owner, |ways, mut held, mut entry| {
                    if let Phase::Done(_) = entry.phase {
                        return ways.stays(&held, Told::Conflict);
                    }
                    if in_doubt {
                        entry.in_doubt = true;
                        entry.phase = Phase::InDoubt;
                        held.entry = Some(entry);
                    } else {
                        held.end(from);
                    }
                    ways.changes(held, Told::Abandoned, true);
                });
            }
            Asked::Checkpoint { owner, ordinal, bytes } => {
                self.with_token(held, owner, |ways, mut held, mut entry| {
                    if let Phase::Done(_) = entry.phase {
                        return ways.stays(&held, Told::Conflict);
                    }
                    if entry.print == Print::Later {
                        return ways.stays(&held, Told::NeedFingerprint);
                    }
                    ways.stays(&held, Told::Refused);
                    match entry.checkpoint {
                        Some((held_ordinal, _)) if held_ordinal >= ordinal => {
                            ways.stays(&held, Told::Saved { ordinal: held_ordinal });
                        }
                        Some(_) | None => {
                            entry.checkpoint = Some((ordinal, bytes));
                            held.entry = Some(entry);
                            ways.changes(held, Told::Saved { ordinal }, true);
                        }
                    }
                });
            }
            Asked::Get => self.get(held),
            Asked::Resolve { fence, result, print, .. } => {
                self.resolve(held, fence, result, print);
            }
            Asked::Forget { fence } => {
                let (window, fences) = (self.window, self.fences);
                let mut held = held.clone();
                self.may_name_another(&held, fence);
                let Some(entry) = &mut held.entry else { return self.stays(&held, Told::Gone) };
                if !entry.has_fence(fence, fences) {
                    return self.stays(&held, Told::Fenced);
                }
                let runs = matches!(entry.phase, Phase::Reserved(_));
                let lapsed = entry.may_have_lapsed(window);
                if runs {
                    self.stays(&held, Told::InProgress);
                }
                if !runs || lapsed {
                    held.end(window.from);
                    self.changes(held, Told::Forgotten, true);
                }
            }
        }
    }

    fn begin(&mut self, held: &Held, asked: &Asked) {
        let Asked::Begin { attempt, print, lease, retention, in_doubt } = *asked else { return };
        if let Some(ended) = held.ended.iter().find(|ended| ended.attempt == attempt) {
            self.stays(held, Told::Gone); // S3
            if self.window.until < ended.until {
                return;
            }
        }
        let Some(entry) = &held.entry else {
            self.stays(held, Told::Refused);
            let kept_until = self.window.from.least_end(retention);
            let phase = Phase::Reserved(self.window.from.least_end(lease).min(kept_until));
            let entry = Entry {
                attempt,
                fence: None,
                number: 1,
                print,
                in_doubt,
                kept_until,
                longest: lease,
                checkpoint: None,
                phase,
            };
            return self.acquires(held, entry, false);
        };
        // S1: the fingerprint in every state; the owner's own `later` matches.
        let own = entry.attempt == attempt;
        let own_later = own && print == Print::Later;
        if !own_later && entry.print != Print::Later && entry.print != print {
            let need = print == Print::Later;
            return self.stays(held, if need { Told::NeedFingerprint } else { Told::Mismatch });
        }
        if let Phase::Done(result) = entry.phase {
            return self.stays(held, Told::Replay { result, number: entry.number });
        }
        if own {
            return self.acquires_again(held, entry.clone(), lease);
        }
        if entry.phase == Phase::InDoubt {
            return self.stays(held, Told::InDoubt);
        }
        self.stays(held, Told::InProgress);
        if entry.may_have_lapsed(self.window) {
            if entry.in_doubt {
                return self.stays(held, Told::InDoubt);
            }
            // S8: policy and lease are the newcomer's; retention and checkpoint stay.
            let anew = self.window.from.least_end(lease).min(entry.kept_until);
            let entry = Entry {
                attempt,
                fence: None,
                number: entry.number + 1,
                print,
                in_doubt,
                longest: lease,
                phase: Phase::Reserved(anew),
                ..entry.clone()
            };
            self.acquires(held, entry, true);
        }
    }

    fn acquires(&mut self, held: &Held, mut entry: Entry, takeover: bool) {
        let drawn = match self.told {
            None => None,
            Some(&Told::Acquired { fence, number, checkpoint }) => {
                // S4: larger than all before it.
                if number != entry.number || checkpoint != entry.checkpoint || fence <= self.floor {
                    return;
                }
                Some(fence)
            }
            Some(_) => return,
        };
        entry.fence = drawn;
        let held = Held { entry: Some(entry), expired: None, ended: held.ended.clone() };
        self.found.push(Way { held, fact: true, drawn, takeover });
    }

    /// S3: the same acquisition again, with nothing new but the lease.
    fn acquires_again(&mut self, held: &Held, mut entry: Entry, lease: Duration) {
        let unknown = entry.fence.is_none();
        if let Some(told) = self.told {
            let Told::Acquired { fence, number, checkpoint } = *told else { return };
            let same = number == entry.number && checkpoint == entry.checkpoint;
            if !same || !entry.has_fence(fence, self.fences) {
                return;
            }
        }
        let left_doubt = entry.phase == Phase::InDoubt;
        let fact = entry.lease_anew(lease, self.window.from) || left_doubt;
        let drawn = entry.fence.filter(|_| unknown);
        let held = Held { entry: Some(entry), expired: None, ended: held.ended.clone() };
        self.found.push(Way { held, fact, drawn, takeover: false });
    }

    /// Gone and Fenced before all else (S4). Until completion the whole token must be current,
    /// after it the fence alone.
    fn with_token(
        &mut self,
        held: &Held,
        owner: Owner,
        judge: impl FnOnce(&mut Self, Held, Entry),
    ) {
        let Some(entry) = &held.entry else { return self.stays(held, Told::Gone) };
        let mut entry = entry.clone();
        let mine = entry.attempt == owner.attempt;
        let completed = matches!(entry.phase, Phase::Done(_));
        // A fence that no answer has shown cannot be in anybody's hands but the attempt's own.
        if mine {
            self.may_name_another(held, owner.fence);
        }
        let current = (mine || completed && entry.fence.is_some())
            && entry.has_fence(owner.fence, self.fences);
        if !current {
            return self.stays(held, Told::Fenced);
        }
        let held = Held { entry: Some(entry.clone()), expired: None, ended: held.ended.clone() };
        judge(self, held, entry);
    }

    fn complete(&mut self, held: &Held, owner: Owner, result: u64, print: Option<u64>) {
        self.with_token(held, owner, |ways, mut held, mut entry| {
            if entry.differs_from(print) {
                return ways.stays(&held, Told::Mismatch);
            }
            if let Phase::Done(stored) = entry.phase {
                let same = stored == result;
                return ways
                    .stays(&held, if same { Told::AlreadyCompleted } else { Told::Conflict });
            }
            if entry.stays_unbound(print) {
                return ways.stays(&held, Told::NeedFingerprint);
            }
            entry.bind(print);
            entry.store(result);
            held.entry = Some(entry);
            ways.changes(held, Told::Completed, true);
        });
    }

    fn get(&mut self, held: &Held) {
        let Some(entry) = &held.entry else { return self.stays(held, Told::Absent) };
        let Some(told) = self.told else { return };
        let shown = match *told {
            Told::Reserved { fence, number, .. } => {
                matches!(entry.phase, Phase::Reserved(_)).then_some((fence, number))
            }
            Told::Doubted { fence, number, .. } => {
                let lapsed = entry.in_doubt && entry.may_have_lapsed(self.window);
                (entry.phase == Phase::InDoubt || lapsed).then_some((fence, number))
            }
            Told::Done { result, fence, number } => {
                (entry.phase == Phase::Done(result)).then_some((fence, number))
            }
            _ => None,
        };
        let mut entry = entry.clone();
        let unknown = entry.fence.is_none();
        if let Some((fence, number)) = shown
            && entry.number == number
            && entry.has_fence(fence, self.fences)
        {
            let drawn = entry.fence.filter(|_| unknown);
            let held = Held { entry: Some(entry), expired: None, ended: held.ended.clone() };
            self.found.push(Way { held, fact: false, drawn, takeover: false });
        }
    }

    fn resolve(&mut self, held: &Held, fence: u64, result: Option<u64>, print: Option<u64>) {
        let (window, fences) = (self.window, self.fences);
        let mut held = held.clone();
        self.may_name_another(&held, fence);
        let Some(entry) = &mut held.entry else { return self.stays(&held, Told::Gone) };
        if !entry.has_fence(fence, fences) {
            return self.stays(&held, Told::Fenced);
        }
        if result.is_some() && entry.differs_from(print) {
            return self.stays(&held, Told::Mismatch);
        }
        if let Phase::Done(stored) = entry.phase {
            let same = result == Some(stored);
            return self.stays(&held, if same { Told::Resolved } else { Told::Conflict });
        }
        let runs = matches!(entry.phase, Phase::Reserved(_));
        let lapsed = entry.may_have_lapsed(window);
        let before = held.clone();
        if runs {
            self.stays(&before, Told::InProgress);
        }
        if runs && !lapsed {
            return;
        }
        // The number of a doubt is not followed: the verdict may have named an earlier one.
        self.stays(&before, Told::Fenced);
        match result {
            None => held.end(window.from),
            Some(result) => {
                let Some(entry) = &mut held.entry else { return };
                if entry.stays_unbound(print) {
                    return self.stays(&before, Told::NeedFingerprint);
                }
                entry.bind(print);
                entry.store(result);
            }
        }
        self.changes(held, Told::Resolved, true);
    }
}

impl Entry {
    /// S19: checkpoints end with completion.
    fn store(&mut self, result: u64) {
        self.checkpoint = None;
        self.phase = Phase::Done(result);
    }
}

impl Held {
    /// Absent by request, and its attempt is remembered (S3).
    fn end(&mut self, from: Moment) {
        if let Some(entry) = self.entry.take() {
            self.expired = None;
            let Entry { attempt, kept_until, .. } = entry;
            self.ended.push(Ended { attempt, until: from.least_end(ATTEMPT_MEMORY), kept_until });
            self.ended.sort_unstable();
        }
    }
}
