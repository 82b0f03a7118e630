//! Where one key may stand, and what a crash may take from it at each durability level (S14).

use std::time::Duration;

use crate::call::Call;
use crate::moment::Moment;
use crate::oracle::entry::{Held, Phase};
use crate::oracle::fences::Fences;
use crate::oracle::ways::{Way, Window};

/// How far apart the daemon's millisecond and the rig's microsecond clocks may judge one age.
const CLOCK_SLACK: Duration = Duration::from_millis(2);

/// What the daemon promises to keep.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// Nothing but that fences grow.
    Memory,
    /// All that was acknowledged longer than this before the last acknowledgement of a fact.
    ///
    /// To the letter: as long as the oldest fact that is not synced is no older than the
    /// interval, answers leave at once; once it is older, every answer that rests on a fact that
    /// is not synced waits for the sync, and so does every call that makes one. So if a fact was
    /// acknowledged by `t`, any later call that was *sent* after `t` + interval, made a fact of its
    /// own and was answered proves that the first fact was synced. An acknowledged fact may
    /// therefore be lost only if it was acknowledged no earlier than one interval before the
    /// moment at which the last call was sent that made a fact and was answered.
    Interval(Duration),
    /// All that was acknowledged, and all that an acknowledged answer rests on.
    Always,
}

impl Level {
    /// The word used on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Interval(_) => "interval",
            Self::Always => "always",
        }
    }
}

/// How a life of the daemon ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// Without warning: killed, or the disk's power cut before that.
    Crashed,
    /// Asked to stop, and it did: nothing acknowledged is lost at any level with a journal (S17).
    Stopped,
}

/// The end of a life and the start of the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restart {
    pub(crate) ending: Ending,
    /// When the last call was sent that made a fact and was answered.
    pub(crate) last_acknowledged: Moment,
    /// Before the next process existed.
    pub(crate) began_anew: Moment,
    /// The machine was booted in between.
    pub(crate) after_boot: bool,
}

/// What is known of the life of the daemon that calls were sent to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life<'a> {
    pub(crate) level: Level,
    /// When its process was dead.
    pub(crate) death: Moment,
    pub(crate) fences: &'a Fences,
    /// Whether the machine is ever booted; if not, what has expired does not come back.
    pub(crate) may_boot: bool,
}

#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Standing {
    pub(crate) held: Held,
    /// The largest fence that an answer has shown. A crash takes nothing from it (S4).
    pub(crate) floor: u64,
    /// Facts that a crash might take, oldest first.
    pub(crate) unsettled: Vec<Unsettled>,
}

/// A fact that may not be synced yet.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Unsettled {
    /// What stands if it is lost, with all after it.
    pub(crate) without: Held,
    /// When it had been acknowledged; [`Moment::NEVER`] if it was not.
    acknowledged: Moment,
}

impl Standing {
    /// Every standing that `call`, which was sent to that life of the daemon, may lead to.
    pub(crate) fn after(&self, call: &Call, life: &Life<'_>) -> Vec<Self> {
        let window = Window { from: call.began, until: call.ended.min(life.death) };
        let ways = self.held.ways(&call.asked, call.told.as_ref(), window, self.floor, life.fences);
        ways.into_iter().map(|way| self.go(way, call, life)).collect()
    }

    fn go(&self, mut way: Way, call: &Call, life: &Life<'_>) -> Self {
        if !life.may_boot {
            way.held.expired = None;
        }
        let mut unsettled = self.unsettled.clone();
        if way.fact {
            let without = self.held.clone();
            unsettled.push(Unsettled { without, acknowledged: call.ended });
        }
        if call.told.is_some_and(|told| told.rests_on_facts()) {
            match life.level {
                Level::Always => unsettled.clear(),
                Level::Interval(_) if way.takeover => unsettled.clear(),
                Level::Interval(interval) => {
                    let settled = |fact: &Unsettled| {
                        fact.acknowledged.after(interval + CLOCK_SLACK) < call.began
                    };
                    let settled = unsettled.iter().rposition(settled);
                    unsettled.drain(..settled.map_or(0, |last| last + 1));
                }
                Level::Memory => unsettled.clear(), // A crash takes everything.
            }
        }
        Self { held: way.held, floor: self.floor.max(way.drawn.unwrap_or(0)), unsettled }
    }

    /// Every standing that a restart may leave.
    pub(crate) fn over(&self, restart: &Restart, level: Level) -> Vec<Self> {
        if level == Level::Memory {
            return vec![Self { floor: self.floor, ..Self::default() }];
        }
        let may_be_lost = |fact: &Unsettled| {
            fact.acknowledged == Moment::NEVER
                || match (level, restart.ending) {
                    (Level::Interval(interval), Ending::Crashed) => {
                        fact.acknowledged.after(interval + CLOCK_SLACK) >= restart.last_acknowledged
                    }
                    _ => false,
                }
        };
        let mut left = vec![self.clone()];
        for (at, fact) in self.unsettled.iter().enumerate().rev() {
            if !may_be_lost(fact) {
                break;
            }
            left.push(Self {
                held: fact.without.clone(),
                floor: self.floor,
                unsettled: self.unsettled[..at].to_vec(),
            });
        }
        if restart.after_boot {
            let back = |standing: &Self| {
                let entry =
                    standing.held.expired.clone().filter(|_| standing.held.entry.is_none())?;
                let held =
                    Held { entry: Some(*entry), expired: None, ended: standing.held.ended.clone() };
                Some(Self { held, ..standing.clone() })
            };
            let back: Vec<_> = left.iter().filter_map(back).collect();
            left.extend(back);
        }
        for standing in &mut left {
            standing.rearm(restart.began_anew);
            for fact in &mut standing.unsettled {
                fact.without.rearm(restart.began_anew);
            }
        }
        left
    }

    fn rearm(&mut self, from: Moment) {
        self.held.rearm(from);
    }
}

impl Held {
    /// S13: a lease runs anew for the longest length recorded for it, from when the daemon is ready.
    fn rearm(&mut self, from: Moment) {
        for ended in &mut self.ended {
            ended.until = ended.until.min(ended.kept_until);
        }
        if let Some(entry) = &mut self.entry
            && let Phase::Reserved(until) = entry.phase
        {
            let anew = from.least_end(entry.longest).min(entry.kept_until);
            entry.phase = Phase::Reserved(until.max(anew));
        }
    }
}
