//! What the journal does next: a pure function from how things stand and the time.

use onceward::{Millis, Timestamp};

use crate::options::{TRAILER_AFTER, WRITE_AFTER};

/// How things stand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// Facts are not kept; when everything is tried anew.
    pub(crate) retry_at: Option<Timestamp>,
    /// Somebody waits for a position that is not synced, or there is too much in memory.
    pub(crate) is_wanted: bool,
    /// When the oldest fact in the stripes was decided.
    pub(crate) buffered_since: Option<Timestamp>,
    /// When the oldest fact that is written and not synced was decided.
    pub(crate) written_since: Option<Timestamp>,
    /// When facts were synced that no trailer follows yet.
    pub(crate) untrailed_since: Option<Timestamp>,
    /// When something else is due: an end of files, a name, the progress file, a fence.
    pub(crate) upkeep_at: Option<Timestamp>,
}

/// What to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Everything unsynced to new files, and sync it.
    Heal,
    /// What is due beside facts.
    Upkeep,
    /// Take a round, write it, sync it, tell it.
    Sync,
    /// Take a round and write it.
    Write,
    /// A batch without frames.
    Trailer,
    /// Nothing until then, or until there is something.
    Rest(Option<Timestamp>),
}

/// Says what to do at `now`. `interval`: how old an unsynced fact may get (S14).
pub(crate) fn next_step(standing: &Standing, interval: Millis, now: Timestamp) -> Step {
    if let Some(retry_at) = standing.retry_at {
        return if retry_at <= now { Step::Heal } else { Step::Rest(Some(retry_at)) };
    }
    let half = Millis::new(interval.get() / 2);
    let oldest = earliest([standing.buffered_since, standing.written_since]);
    let sync_at = oldest.map(|oldest| oldest.after(half));
    let write_at = standing.buffered_since.map(|since| since.after(WRITE_AFTER));
    let trailer_at = standing.untrailed_since.map(|since| since.after(TRAILER_AFTER));
    let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
    if is_due(standing.upkeep_at) {
        // Before those who wait, or they would keep it from ever being done.
        Step::Upkeep
    } else if standing.is_wanted || is_due(sync_at) {
        Step::Sync
    } else if is_due(write_at) {
        Step::Write
    } else if is_due(trailer_at) && oldest.is_none() {
        Step::Trailer
    } else {
        let trailer_at = if oldest.is_none() { trailer_at } else { None };
        Step::Rest(earliest([sync_at, write_at, trailer_at, standing.upkeep_at]))
    }
}

fn earliest<const N: usize>(instants: [Option<Timestamp>; N]) -> Option<Timestamp> {
    instants.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(ms))
    }

    #[test]
    fn each_standing_has_its_step_s14() {
        let none = Standing::default();
        let [wanted, halted] = [
            Standing { is_wanted: true, ..none },
            Standing { is_wanted: true, retry_at: at(500), upkeep_at: at(0), ..none },
        ];
        let buffered = Standing { buffered_since: at(100), ..none };
        let written = Standing { written_since: at(100), ..none };
        let both = Standing { buffered_since: at(300), ..written };
        let untrailed = Standing { untrailed_since: at(100), ..none };
        #[rustfmt::skip]
        let cases = [
            ("nothing to do",                            none, 0, Step::Rest(None)),
            ("somebody waits: at once",                  wanted, 0, Step::Sync),
            ("halted: nothing before its time",          halted, 499, Step::Rest(at(500))),
            ("halted: then heal, whatever else is due",  halted, 500, Step::Heal),
            ("a fact is young",                          buffered, 109, Step::Rest(at(110))),
            ("then it is written",                       buffered, 110, Step::Write),
            ("at half the interval it is synced",        buffered, 600, Step::Sync),
            ("written: it rests until then",             written, 599, Step::Rest(at(600))),
            ("then it is synced",                        written, 600, Step::Sync),
            ("the older decides when to sync",           both, 600, Step::Sync),
            ("the younger when to write",                both, 309, Step::Rest(at(310))),
            ("a trailer has its time",                   untrailed, 109, Step::Rest(at(110))),
            ("then it follows",                          untrailed, 110, Step::Trailer),
            ("not while facts do",  Standing { buffered_since: at(105), ..untrailed }, 110, Step::Rest(at(115))),
            ("upkeep has its time", Standing { upkeep_at: at(50), ..none }, 49, Step::Rest(at(50))),
            ("then it comes first", Standing { upkeep_at: at(50), ..wanted }, 50, Step::Upkeep),
        ];
        for (why, standing, now, want) in cases {
            let now = Timestamp::from_millis(now);
            assert_eq!(next_step(&standing, Millis::new(1_000), now), want, "{why}");
        }
    }
}
