//! What one seed makes of a run: how many callers, how slow the disk, which faults. Each run has
//! some of them and not others, so that none hides another.

use std::ops::Range;

use onceward::{Durability, Millis};
use onceward_testkit::SplitMix64;

/// Namespaces, one per durability level.
pub(crate) const NAMESPACES: [(&str, Durability); 3] = [
    ("memory", Durability::Memory),
    ("interval", Durability::Interval),
    ("always", Durability::Always),
];

/// Times are in microseconds, chances in percent.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) callers: u32,
    /// In each namespace.
    pub(crate) keys: u32,
    pub(crate) interval: Millis,
    pub(crate) file_bytes: u64,
    /// Between an answer and the next question.
    pub(crate) think: Range<u64>,
    /// On the way there, and back.
    pub(crate) delay: Range<u64>,
    pub(crate) patience: Range<u64>,
    /// Until the journal comes to run when somebody waits for it.
    pub(crate) sync: Range<u64>,
    /// Of a life of the server.
    pub(crate) life: Range<u64>,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) interrupted: u64,
    /// Of a question: all fall silent after it.
    pub(crate) quiet: u64,
    pub(crate) quiet_for: Range<u64>,
    /// Of a life.
    pub(crate) failing: u64,
    pub(crate) full: u64,
    pub(crate) dying: u64,
    pub(crate) paused: u64,
    pub(crate) damaged: u64,
    pub(crate) misdirected: u64,
    pub(crate) stepped: u64,
    /// Of an end: the power goes; else the process is killed, or stopped.
    pub(crate) power: u64,
    pub(crate) stopped: u64,
    /// Downtime that counts for the store (S15).
    pub(crate) count_downtime: Millis,
}

impl Plan {
    pub(crate) fn draw(random: &mut SplitMix64) -> Self {
        let mut some = |percent: u64, of: Range<u64>| {
            if random.chance(percent) { random.within(of) } else { 0 }
        };
        let (lost, duplicated) = (some(40, 1..15), some(40, 1..10));
        let (failing, full, dying) = (some(30, 20..90), some(15, 20..70), some(45, 20..80));
        let (paused, stepped) = (some(30, 10..60), some(40, 20..80));
        let (damaged, misdirected) = (some(12, 30..80), some(6, 20..60));
        let interrupted = some(60, 10..60);
        let quiet = some(50, 1..6);
        let delay = pick(random, &[20..200, 100..3_000, 500..15_000]);
        let sync = pick(random, &[50..500, 300..6_000, 5_000..120_000]);
        // Some give up in the middle of a sync, and come again before its end.
        let there_and_back = 2 * delay.end;
        let patience = if random.chance(40) {
            there_and_back..there_and_back + sync.end
        } else {
            there_and_back + 2 * sync.end..2 * there_and_back + 5 * sync.end
        };
        Self {
            callers: random.within(2..6) as u32,
            keys: random.within(1..5) as u32,
            interval: Millis::new(random.within(10..250)),
            file_bytes: 1 << random.within(16..19),
            think: pick(random, &[100..2_000, 500..10_000, 2_000..60_000]),
            delay,
            patience,
            sync,
            life: pick(random, &[5_000..150_000, 50_000..1_500_000, 500_000..8_000_000]),
            lost,
            duplicated,
            interrupted,
            quiet,
            quiet_for: pick(random, &[100_000..2_000_000, 1_000_000..45_000_000]),
            failing,
            full,
            dying,
            paused,
            damaged,
            misdirected,
            stepped,
            power: random.within(20..90),
            stopped: random.within(0..60),
            // With a wall clock that was set nobody knows how long the machine was down.
            count_downtime: Millis::new(if stepped > 0 { 0 } else { random.within(0..20_000) }),
        }
    }
}

fn pick(random: &mut SplitMix64, ranges: &[Range<u64>]) -> Range<u64> {
    random.pick(ranges).cloned().unwrap_or(0..1)
}
