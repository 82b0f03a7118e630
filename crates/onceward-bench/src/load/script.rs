//! Which operation comes at which step: a pure function, so that every target meets the same ones.

use std::time::Duration;

use super::dialect::{FINGERPRINT_BYTES, Known};
use super::distribution::Distribution;
use crate::workload::{Workload, mix};

/// What the operations of a run are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mix {
    /// A begin of a new key, then its complete.
    First,
    /// Begins of keys whose results are stored.
    Replay,
    /// 95 in 100 as in [`Mix::First`], the others as in [`Mix::Replay`].
    Mixed,
    /// Begins of keys that somebody else holds.
    Conflict,
    /// Begins of stored keys with another payload.
    Mismatch,
    /// Begins that wait for the owner of a key, who then completes.
    Waiters,
}

impl Mix {
    /// Every mix, in the order of the documents.
    pub const ALL: [Self; 6] =
        [Self::First, Self::Replay, Self::Mixed, Self::Conflict, Self::Mismatch, Self::Waiters];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Replay => "replay",
            Self::Mixed => "mixed",
            Self::Conflict => "conflict",
            Self::Mismatch => "mismatch",
            Self::Waiters => "waiters",
        }
    }

    /// The mix of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mix| mix.name() == name)
    }

    /// What keys must be there before it begins.
    #[must_use]
    pub const fn setup(self) -> Option<Setup> {
        match self {
            Self::First | Self::Waiters => None,
            Self::Replay | Self::Mixed | Self::Mismatch => Some(Setup::Fill),
            Self::Conflict => Some(Setup::Hold),
        }
    }
}

/// What makes the keys that a mix asks for. Runs before it, and is measured apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Setup {
    /// Begins and completes each key.
    Fill,
    /// Begins each key and leaves it so.
    Hold,
}

/// Of this many operations of [`Mix::Mixed`] one is a replay.
const MIXED_REPLAY_EVERY: u64 = 20;

/// What one operation does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operation {
    /// A begin that must acquire, then a complete.
    First,
    /// A begin that must acquire, and nothing after it.
    Hold,
    /// A begin that must be answered with the stored result.
    Replay,
    /// A begin that must be told that somebody else holds the key.
    Conflict,
    /// A begin with another payload, which must be refused.
    Mismatch,
}

/// One operation on one key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Job {
    /// What to do.
    pub(super) operation: Operation,
    /// The key's number; never used by another run of the invocation.
    pub(super) number: u64,
    /// Differs between all begins of the invocation.
    pub(super) begin: u64,
}

/// What a series of jobs is made from.
#[derive(Clone, Debug)]
pub(super) struct Script {
    workload: Workload,
    distribution: Distribution,
    /// Added to the number of each key: tells this run's keys from another's.
    base: u64,
    seed: u64,
}

/// Numbers between two runs.
const RUN_STRIDE: u64 = 1 << 40;
/// Where the new keys of [`Mix::Mixed`] begin, beyond those that were stored before.
const NEW_KEYS: u64 = 1 << 39;

/// Tells begins of one key in one phase from those in another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Making the keys that the mix asks for.
    Setup(Setup),
    /// Not counted.
    WarmUp(Mix),
    /// Counted.
    Measured(Mix),
    /// Asking again for what the measured mix stored or read, `count` keys of its first `steps`.
    Verify {
        /// The mix.
        mix: Mix,
        /// Steps that were surely taken.
        steps: u64,
        /// How many of them are looked at.
        count: u64,
    },
}

impl Phase {
    /// The mix whose jobs it takes.
    pub(super) const fn mix(self) -> Option<Mix> {
        match self {
            Self::WarmUp(mix) | Self::Measured(mix) => Some(mix),
            Self::Setup(_) | Self::Verify { .. } => None,
        }
    }
}

impl Phase {
    /// What the caller of an operation's begin may know.
    #[must_use]
    pub(super) const fn known(self, operation: Operation) -> Known {
        match (self, operation) {
            (Self::WarmUp(Mix::Mixed) | Self::Measured(Mix::Mixed), _) => Known::Nothing,
            (_, Operation::First | Operation::Hold) => Known::New,
            (_, Operation::Replay) => Known::Stored,
            (_, Operation::Conflict | Operation::Mismatch) => Known::Nothing,
        }
    }
}

impl Script {
    /// The jobs of run number `run` over `keys` keys.
    #[must_use]
    pub(super) fn new(keys: u64, distribution: Distribution, seed: u64, run: u64) -> Self {
        let entries = keys.max(1);
        let workload = Workload { entries, value_bytes: 0, distance: 0, seed };
        Self { workload, distribution, base: run * RUN_STRIDE, seed }
    }

    /// The job of this step.
    #[must_use]
    pub(super) fn job(&self, phase: Phase, step: u64) -> Job {
        match phase {
            Phase::Setup(Setup::Fill) => self.old(Operation::First, 0, step, step),
            Phase::Setup(Setup::Hold) => self.old(Operation::Hold, 0, step, step),
            // A warm-up walks elsewhere: it must not bring the measured keys into the caches in
            // the order in which they are then asked for, nor use up new ones.
            Phase::WarmUp(mix) => self.of_mix(mix, 1, step),
            Phase::Measured(mix) => self.of_mix(mix, 2, step),
            Phase::Verify { mix, steps, count } => {
                let spread = u128::from(step) * u128::from(steps) / u128::from(count.max(1));
                let asked = self.of_mix(mix, 2, spread as u64);
                Job { operation: Operation::Replay, begin: self.begin(3, step), ..asked }
            }
        }
    }

    fn of_mix(&self, mix: Mix, phase: u64, step: u64) -> Job {
        let stored = |operation| {
            let walk = step.wrapping_add((phase - 1) * (self.workload.entries / 2));
            let number = self.distribution.pick(&self.workload, walk);
            self.old(operation, phase, number, step)
        };
        let new = || {
            let number = self.base + phase * NEW_KEYS / 4 + step;
            Job { operation: Operation::First, number, begin: self.begin(phase, step) }
        };
        match mix {
            Mix::First | Mix::Waiters => new(),
            Mix::Replay => stored(Operation::Replay),
            Mix::Mixed if mix_of(step ^ self.seed).is_multiple_of(MIXED_REPLAY_EVERY) => {
                stored(Operation::Replay)
            }
            Mix::Mixed => new(),
            Mix::Conflict => stored(Operation::Conflict),
            Mix::Mismatch => stored(Operation::Mismatch),
        }
    }

    fn old(&self, operation: Operation, phase: u64, number: u64, step: u64) -> Job {
        Job { operation, number: self.base + number, begin: self.begin(phase, step) }
    }

    const fn begin(&self, phase: u64, step: u64) -> u64 {
        self.base + phase * NEW_KEYS / 4 + step
    }

    /// The begin of one who waits for the owner of `job`, or looks whether it is still owned.
    #[must_use]
    pub(super) fn beside(&self, job: Job, operation: Operation, nth: u64) -> Job {
        // Above the numbers of all runs.
        Job { operation, number: job.number, begin: job.begin | ((nth + 1) << 48) }
    }

    /// The text of a key.
    #[must_use]
    pub(super) fn key(&self, job: Job) -> [u8; 36] {
        self.workload.key(job.number)
    }

    /// The attempt id of a job's begin.
    #[must_use]
    pub(super) fn attempt(&self, job: Job) -> [u8; 16] {
        let mut attempt = [0; 16];
        attempt[..8].copy_from_slice(&mix(job.begin ^ !self.seed).to_le_bytes());
        attempt[8..].copy_from_slice(&job.begin.to_le_bytes());
        attempt
    }

    /// The fingerprint of a job's payload.
    #[must_use]
    pub(super) fn fingerprint(&self, job: Job) -> [u8; FINGERPRINT_BYTES] {
        let mut digest = [0; FINGERPRINT_BYTES];
        let other = u64::from(job.operation == Operation::Mismatch) << 63;
        for (at, part) in (0_u64..).zip(digest.chunks_exact_mut(8)) {
            part.copy_from_slice(&mix((job.number ^ other).wrapping_add(at << 60)).to_le_bytes());
        }
        digest
    }
}

fn mix_of(number: u64) -> u64 {
    mix(number.wrapping_add(0x9e37_79b9_7f4a_7c15))
}

/// Longest that a begin waits for the owner of its key.
pub(super) const WAIT: Duration = Duration::from_secs(30);
