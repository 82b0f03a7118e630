//! Every way in which one call may have gone, with what it was told.
//!
//! The rules of SEMANTICS once more, for an observer outside: it knows when a call was sent and
//! when it was answered, never when it was judged. So where the daemon compares two instants, the
//! observer has bounds, and a call has several ways to go. What is bounded here from below are the
//! ends of leases and retentions: nothing may end early (S6, S7). That something ends late is not
//! judged: errors lean towards keeping keys longer (S15).

use std::time::Duration;

use crate::call::{Asked, Owner, Print, Told};
use crate::moment::Moment;
use crate::oracle::entry::{Entry, Held, Phase};
use crate::oracle::fences::Fences;

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
                let window = self.window;
                self.with_fence(held, fence, |ways, mut held, entry| {
                    let runs = matches!(entry.phase, Phase::Reserved(_));
                    if runs {
                        ways.stays(&held, Told::InProgress);
                    }
                    if !runs || entry.may_have_lapsed(window) {
                        held.end(window.from);
                        ways.changes(held, Told::Forgotten, true);
                    }
                });
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
        let mine = entry.attempt == owner.attempt;
        let completed = matches!(entry.phase, Phase::Done(_));
        // A fence that no answer has shown cannot be in anybody's hands but the attempt's own.
        if !(mine || completed && entry.fence.is_some()) {
            return self.stays(held, Told::Fenced);
        }
        self.with_fence(held, owner.fence, judge);
    }

    /// The same for whoever names a fence alone.
    fn with_fence(&mut self, held: &Held, fence: u64, judge: impl FnOnce(&mut Self, Held, Entry)) {
        let Some(entry) = &held.entry else { return self.stays(held, Told::Gone) };
        let mut entry = entry.clone();
        // It may be another's than that of an acquisition which no answer has shown.
        if entry.fence.is_none() && self.fences.may_be(fence, entry.attempt) {
            self.stays(held, Told::Fenced);
        }
        if !entry.has_fence(fence, self.fences) {
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
        let window = self.window;
        self.with_fence(held, fence, |ways, mut held, mut entry| {
            if result.is_some() && entry.differs_from(print) {
                return ways.stays(&held, Told::Mismatch);
            }
            if let Phase::Done(stored) = entry.phase {
                let same = result == Some(stored);
                return ways.stays(&held, if same { Told::Resolved } else { Told::Conflict });
            }
            if matches!(entry.phase, Phase::Reserved(_)) {
                ways.stays(&held, Told::InProgress);
                if !entry.may_have_lapsed(window) {
                    return;
                }
            }
            // The number of a doubt is not followed: the verdict may have named an earlier one.
            ways.stays(&held, Told::Fenced);
            match result {
                None => held.end(window.from),
                Some(_) if entry.stays_unbound(print) => {
                    return ways.stays(&held, Told::NeedFingerprint);
                }
                Some(result) => {
                    entry.bind(print);
                    entry.store(result);
                    held.entry = Some(entry);
                }
            }
            ways.changes(held, Told::Resolved, true);
        });
    }
}
