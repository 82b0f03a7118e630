//! Which callers misbehave, how and when: fixed by the seed before anything runs.
//!
//! The schedule knows nothing of Onceward. It is drawn once and played twice, so that the two
//! passes differ in one thing only.

use rand::seq::SliceRandom as _;
use rand::{Rng, RngExt as _};
use serde::Serialize;

use super::random::{Purpose, random};
use super::traffic::{Repeatable, Traffic};

/// One crash for so many intents, within bounds: enough to meet every kind, few enough that the
/// leases they leave behind do not dominate the run.
const INTENTS_PER_CRASH: u32 = 600;
const CRASHES_MIN: u32 = 6;
const CRASHES_MAX: u32 = 36;

/// What one caller does to its intent, besides sending it until it has an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// The connection breaks once the reply is under way; the caller retries.
    LostReply { elsewhere: bool },
    /// The caller gives up while the work runs, and retries at once.
    HangUp { elsewhere: bool, after_ms: u64 },
    /// A second request goes out while the first runs; both replies are read.
    Overlap { elsewhere: bool, after_ms: u64 },
    /// After its answer the caller uses the key again, for another payload.
    OtherPayload,
    /// After its answer the caller comes back when so many further intents have started.
    ComeBack { after: u32 },
    /// The process that runs the work is killed.
    Crash { moment: Moment },
}

/// When a process is killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Moment {
    /// The work has begun, its side effect has not.
    Before,
    /// The side effect is in the ledger, and nobody has been told.
    After,
}

impl Moment {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Before, Self::After].into_iter().find(|moment| moment.name() == name)
    }
}

/// How many intents meet which fault.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(super) struct Planned {
    pub(super) lost_reply: u32,
    pub(super) hang_up: u32,
    pub(super) overlap: u32,
    pub(super) other_payload: u32,
    pub(super) come_back: u32,
    pub(super) crash_before: u32,
    pub(super) crash_after: u32,
}

/// The faults of a run, one for each intent.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Schedule {
    seed: u64,
    faults: Vec<Fault>,
}

impl Schedule {
    /// Draws the faults of `intents` intents, `disturbed_percent` of which are disturbed, rounded
    /// to the nearest whole intent.
    pub(super) fn draw(seed: u64, intents: u32, disturbed_percent: u8, traffic: &Traffic) -> Self {
        let mut faults = vec![Fault::None; intents as usize];
        let mut random = random(seed, Purpose::Schedule, 0);
        let count = (u64::from(intents) * u64::from(disturbed_percent) + 50) / 100;
        let mut disturbed: Vec<u32> = (0..intents).collect();
        disturbed.shuffle(&mut random);
        disturbed.truncate(count as usize);
        disturbed.sort_unstable();
        for &intent in &disturbed {
            faults[intent as usize] = draw_fault(&mut random, intents);
        }
        place_crashes(&mut faults, &disturbed, traffic);
        Self { seed, faults }
    }

    pub(super) fn intents(&self) -> u32 {
        self.faults.len() as u32
    }

    pub(super) fn fault(&self, intent: u32) -> Fault {
        self.faults[intent as usize]
    }

    /// Which of the two processes the caller tries first.
    pub(super) fn home(&self, intent: u32) -> usize {
        self.random(intent).random_range(0..2)
    }

    /// How long the work takes around its side effect, in microseconds. Long where a second
    /// request is to meet the first.
    pub(super) fn work_us(&self, intent: u32) -> u64 {
        let mut random = self.random(intent);
        let _home: usize = random.random_range(0..2);
        match self.fault(intent) {
            Fault::HangUp { .. } | Fault::Overlap { .. } => random.random_range(20_000..40_000),
            Fault::None
            | Fault::LostReply { .. }
            | Fault::OtherPayload
            | Fault::ComeBack { .. }
            | Fault::Crash { .. } => random.random_range(500..3_000),
        }
    }

    fn random(&self, intent: u32) -> impl Rng {
        random(self.seed, Purpose::Work, intent)
    }

    pub(super) fn disturbed(&self) -> u32 {
        self.faults.iter().filter(|fault| **fault != Fault::None).count() as u32
    }

    pub(super) fn planned(&self) -> Planned {
        let mut planned = Planned::default();
        for fault in &self.faults {
            let count = match fault {
                Fault::None => continue,
                Fault::LostReply { .. } => &mut planned.lost_reply,
                Fault::HangUp { .. } => &mut planned.hang_up,
                Fault::Overlap { .. } => &mut planned.overlap,
                Fault::OtherPayload => &mut planned.other_payload,
                Fault::ComeBack { .. } => &mut planned.come_back,
                Fault::Crash { moment: Moment::Before } => &mut planned.crash_before,
                Fault::Crash { moment: Moment::After } => &mut planned.crash_after,
            };
            *count += 1;
        }
        planned
    }
}

fn draw_fault(random: &mut impl Rng, intents: u32) -> Fault {
    let elsewhere = random.random_bool(0.5);
    match random.random_range(0..100) {
        0..30 => Fault::LostReply { elsewhere },
        30..45 => Fault::HangUp { elsewhere, after_ms: random.random_range(4..12) },
        45..65 => Fault::Overlap { elsewhere, after_ms: random.random_range(1..10) },
        65..77 => Fault::OtherPayload,
        _ => Fault::ComeBack { after: random.random_range(1..=intents / 2 + 1) },
    }
}

/// Turns some disturbed intents into crashes, spread over the run. Work that may run again is
/// killed before its side effect only; other work at either moment.
fn place_crashes(faults: &mut [Fault], disturbed: &[u32], traffic: &Traffic) {
    let kinds = [
        (Repeatable::Yes, Moment::Before),
        (Repeatable::No, Moment::After),
        (Repeatable::No, Moment::Before),
    ];
    let intents = faults.len() as u32;
    let wanted = (intents / INTENTS_PER_CRASH).clamp(CRASHES_MIN, CRASHES_MAX) as usize;
    let wanted = wanted.min(disturbed.len());
    for (index, (repeatable, moment)) in kinds.iter().cycle().take(wanted).enumerate() {
        let from = disturbed.len() * index / wanted;
        let fit = disturbed[from..].iter().find(|&&intent| {
            let taken = matches!(faults[intent as usize], Fault::Crash { .. });
            !taken && traffic.repeatable(intent) == *repeatable
        });
        if let Some(&intent) = fit {
            faults[intent as usize] = Fault::Crash { moment: *moment };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(seed: u64, intents: u32, percent: u8) -> Schedule {
        Schedule::draw(seed, intents, percent, &Traffic::generated(seed))
    }

    #[test]
    fn the_seed_fixes_the_schedule() {
        let (one, again) = (draw(7, 2_000, 30), draw(7, 2_000, 30));
        assert_eq!(one, again);
        for intent in 0..2_000 {
            assert_eq!(one.home(intent), again.home(intent));
            assert_eq!(one.work_us(intent), again.work_us(intent));
        }
        assert_ne!(one, draw(8, 2_000, 30), "another seed is another schedule");
    }

    #[test]
    fn the_share_of_disturbed_intents_is_the_one_asked_for() {
        #[rustfmt::skip]
        let cases = [
            ("the usual",                 2_000, 30, 600),
            ("none",                      2_000, 0, 0),
            ("all",                       500, 100, 500),
            ("rounded to the nearest",    5, 30, 2),
            ("a single calm intent",      1, 30, 0),
            ("a single disturbed intent", 1, 100, 1),
        ];
        for (why, intents, percent, want) in cases {
            let schedule = draw(7, intents, percent);
            assert_eq!(schedule.disturbed(), want, "{why}");
            assert_eq!(schedule.intents(), intents, "{why}");
        }
    }

    #[test]
    fn every_kind_of_fault_is_met_from_200_intents_on() {
        for (seed, intents) in (0..20).flat_map(|seed| [(seed, 200), (seed, 20_000)]) {
            let planned = draw(seed, intents, 30).planned();
            let Planned { lost_reply, hang_up, overlap, other_payload, come_back, .. } = planned;
            for count in [lost_reply, hang_up, overlap, other_payload, come_back] {
                assert!(count > 0, "seed {seed}, {intents} intents: {planned:?}");
            }
            let crashes = planned.crash_before + planned.crash_after;
            let bounds = CRASHES_MIN - 1..=CRASHES_MAX;
            assert!(bounds.contains(&crashes), "seed {seed}, {intents} intents: {planned:?}");
            assert!(planned.crash_after > 0, "seed {seed}: {planned:?}");
        }
    }

    #[test]
    fn repeatable_work_is_never_killed_after_its_side_effect_s8() {
        for seed in 0..20 {
            let traffic = Traffic::generated(seed);
            let schedule = Schedule::draw(seed, 5_000, 30, &traffic);
            let mut repeatable_crashes = 0;
            for intent in 0..5_000 {
                if let Fault::Crash { moment } = schedule.fault(intent)
                    && traffic.repeatable(intent) == Repeatable::Yes
                {
                    assert_eq!(moment, Moment::Before, "seed {seed}, intent {intent}");
                    repeatable_crashes += 1;
                }
            }
            assert!(repeatable_crashes > 0, "seed {seed}: takeovers need crashes");
        }
    }
}
