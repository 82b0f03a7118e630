//! Where the processes of a run are killed.

use std::time::Duration;

use onceward_testkit::SplitMix64;

/// A place in the booking at which a process can die. In the order in which they are reached.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Point {
    /// The acquisition is this process's, and no step has started.
    BeforeStep(usize),
    /// Inside the step, before it calls downstream.
    BeforeEffect(usize),
    /// Downstream has done it, and nothing is recorded.
    AfterEffect(usize),
    /// The step's result is recorded.
    AfterRecord(usize),
    /// All steps are recorded, the result is not stored.
    BeforeComplete,
    /// Inside a compensation, before it calls downstream.
    BeforeUndo(usize),
    /// Downstream has undone it, and nothing is recorded.
    AfterUndo(usize),
    /// The final result is stored, and its caller not told.
    AfterComplete,
}

use Point::*;

impl Point {
    /// Every point, each reached by a booking that succeeds or by one that fails.
    pub(super) const ALL: [Self; 18] = [
        BeforeStep(0),
        BeforeEffect(0),
        AfterEffect(0),
        AfterRecord(0),
        BeforeStep(1),
        BeforeEffect(1),
        AfterEffect(1),
        AfterRecord(1),
        BeforeStep(2),
        BeforeEffect(2),
        AfterEffect(2),
        AfterRecord(2),
        BeforeComplete,
        BeforeUndo(1),
        AfterUndo(1),
        BeforeUndo(0),
        AfterUndo(0),
        AfterComplete,
    ];

    /// Those of a booking whose last step fails for good, or of one that succeeds.
    fn of(fails: bool) -> Vec<Self> {
        let is_on_the_way = |point: &Self| match point {
            AfterEffect(2) | AfterRecord(2) | BeforeComplete => !fails,
            BeforeUndo(_) | AfterUndo(_) => fails,
            BeforeStep(_) | BeforeEffect(_) | AfterEffect(_) | AfterRecord(_) | AfterComplete => {
                true
            }
        };
        Self::ALL.into_iter().filter(is_on_the_way).collect()
    }
}

/// How a process dies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kill {
    At(Point),
    /// At any instant, this long after it started: inside a request, between two, before the first
    /// or not at all.
    After(Duration),
}

/// About as long as a process takes.
const ANY_INSTANT_US_MAX: u64 = 10_000;

/// What happens in one run, from one seed.
#[derive(Clone, Debug)]
pub(super) struct RunPlan {
    pub(super) seed: u64,
    /// Whether the last step fails for good.
    pub(super) fails: bool,
    /// How each process dies. Points stand in the order in which they are reached: each can be, for
    /// the one before got no further. The process after the last lives.
    pub(super) kills: Vec<Kill>,
}

impl RunPlan {
    pub(super) fn of(seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let fails = random.chance(35);
        let count = random.within(1..5);
        if random.chance(20) {
            let kills = (0..count)
                .map(|_| Kill::After(Duration::from_micros(random.within(0..ANY_INSTANT_US_MAX))));
            return Self { seed, fails, kills: kills.collect() };
        }
        let points = Point::of(fails);
        let mut at: Vec<usize> =
            (0..count).map(|_| random.within(0..points.len() as u64) as usize).collect();
        at.sort_unstable();
        Self { seed, fails, kills: at.into_iter().map(|at| Kill::At(points[at])).collect() }
    }
}
