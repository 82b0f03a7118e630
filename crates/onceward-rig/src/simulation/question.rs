//! What a caller asks next about a key, drawn from what is known of it.

use std::time::Duration;

use onceward_testkit::SplitMix64;

use super::content;
use crate::call::{Asked, Owner, Print, Told, digest_of_bytes};

/// How the callers of one key begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) lease: Duration,
    pub(crate) retention: Duration,
    pub(crate) in_doubt: bool,
    /// Begins come before the body has been read (S9).
    pub(crate) later: bool,
}

impl Kind {
    pub(crate) fn draw(random: &mut SplitMix64) -> Self {
        let lease = match random.within(0..10) {
            0..5 => random.within(100..400),
            5..8 => random.within(400..2_000),
            _ => random.within(2_000..30_000),
        };
        let retention = match random.within(0..10) {
            0..2 => random.within(0..600),
            2..4 => random.within(600..4_000),
            // Other levels of retention, and so other files.
            4..6 => random.within(17_000..30_000),
            6..8 => random.within(40_000..60_000),
            _ => 3_600_000,
        };
        Self {
            lease: Duration::from_millis(lease),
            retention: Duration::from_millis(lease + retention),
            in_doubt: random.chance(25),
            later: random.chance(25),
        }
    }
}

/// What callers know of one key.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) kind: Kind,
    /// Latest last.
    owners: Vec<Owner>,
    /// Of this life, without an answer.
    unknown: Vec<Question>,
    attempts: Vec<u128>,
    /// What a resolver would name.
    doubt: Option<(u64, u32)>,
    shown_fence: Option<u64>,
    ordinal: u32,
    calls_of_life: u32,
}

/// Calls on a key in one life that the oracle can order in little time.
const CALLS_MAX: u32 = 24;
/// Calls without an answer on a key in one life: each multiplies what may have happened.
const UNKNOWN_MAX: usize = 2;
/// What a caller remembers of former owners and attempts.
const REMEMBERED_MAX: usize = 4;

/// One question, with what the record of it leaves out.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) asked: Asked,
    pub(crate) wait: Duration,
    /// The result comes in this variant.
    pub(crate) variant: u8,
}

impl Question {
    pub(crate) const fn of(asked: Asked) -> Self {
        Self { asked, wait: Duration::ZERO, variant: 0 }
    }
}

/// The fingerprint of what is usually asked.
const USUAL: u64 = 1;
/// Of something else.
const OTHER: u64 = 2;

impl Page {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            owners: Vec::new(),
            unknown: Vec::new(),
            attempts: Vec::new(),
            doubt: None,
            shown_fence: None,
            ordinal: 0,
            calls_of_life: 0,
        }
    }

    /// Whether the key may be asked about in this life.
    pub(crate) fn has_room(&self) -> bool {
        self.calls_of_life < CALLS_MAX && self.unknown.len() < UNKNOWN_MAX
    }

    /// Another life of the server. What got no answer in the last may happen no more; whether
    /// there was anything.
    pub(crate) fn turn(&mut self) -> bool {
        self.calls_of_life = 0;
        let was_any = !self.unknown.is_empty();
        self.unknown.clear();
        was_any
    }

    /// A call is made.
    pub(crate) fn call(&mut self) {
        self.calls_of_life += 1;
    }

    /// A call got no answer.
    pub(crate) fn unanswered(&mut self, question: &Question) {
        self.unknown.push(question.clone());
        self.sent(question);
    }

    fn sent(&mut self, question: &Question) {
        if let Asked::Begin { attempt, .. } = question.asked {
            self.attempts.retain(|known| *known != attempt);
            self.attempts.push(attempt);
            let surplus = self.attempts.len().saturating_sub(REMEMBERED_MAX);
            self.attempts.drain(..surplus);
        }
    }

    pub(crate) fn answered(&mut self, question: &Question, told: Told) {
        self.sent(question);
        match told {
            Told::Acquired { fence, checkpoint, .. } => {
                if let Asked::Begin { attempt, .. } = question.asked {
                    self.owners.retain(|owner| owner.attempt != attempt);
                    self.owners.push(Owner { fence, attempt });
                    let surplus = self.owners.len().saturating_sub(REMEMBERED_MAX);
                    self.owners.drain(..surplus);
                }
                self.ordinal = checkpoint.map_or(0, |held| held.0);
            }
            Told::Saved { ordinal } => self.ordinal = self.ordinal.max(ordinal),
            Told::Reserved { fence, doubt, .. } | Told::Doubted { fence, doubt, .. } => {
                self.doubt = Some((fence, doubt.max(1)));
                self.shown_fence = Some(fence);
            }
            Told::Done { fence, .. } => self.shown_fence = Some(fence),
            _ => {}
        }
    }

    /// The next question about `key`. `attempt`: a new one.
    pub(crate) fn question(&self, key: u32, attempt: u128, random: &mut SplitMix64) -> Question {
        if random.chance(10)
            && let Some(question) = random.pick(&self.unknown)
        {
            return question.clone();
        }
        let Some(owner) = self.owner(random) else { return self.begin(attempt, random) };
        match random.within(0..100) {
            0..34 => self.begin(attempt, random),
            34..54 => self.complete(key, owner, random),
            54..67 => {
                let lease = self.kind.lease * random.within(1..5) as u32;
                let lease = if random.chance(50) { self.kind.lease } else { lease };
                Question::of(Asked::Renew { owner, lease, print: self.named(60, random) })
            }
            67..74 => {
                let ordinal = (self.ordinal + random.within(0..3) as u32).max(1);
                let bytes = digest_of_bytes(&content::checkpoint(owner.attempt, ordinal));
                Question::of(Asked::Checkpoint { owner, ordinal, bytes })
            }
            74..82 => Question::of(Asked::Abandon { owner, in_doubt: random.chance(30) }),
            82..91 => {
                let wait = if random.chance(15) { random.within(1..200) } else { 0 };
                Question { wait: Duration::from_millis(wait), ..Question::of(Asked::Get) }
            }
            91..95 => self.resolve(key, owner, random),
            _ => Question::of(Asked::Forget { fence: self.shown_fence.unwrap_or(owner.fence) }),
        }
    }

    /// The latest owner, seldom an older one.
    fn owner(&self, random: &mut SplitMix64) -> Option<Owner> {
        if random.chance(12) {
            return random.pick(&self.owners).copied();
        }
        self.owners.last().copied()
    }

    /// A begin, sometimes one that was sent before (S3).
    pub(crate) fn begin(&self, attempt: u128, random: &mut SplitMix64) -> Question {
        let repeated = random.chance(25).then(|| self.attempts.last().copied()).flatten();
        let Kind { lease, retention, in_doubt, later } = self.kind;
        let print = match random.within(0..100) {
            0..4 => Print::Digest(OTHER),
            4..30 => Print::Digest(USUAL),
            _ if later => Print::Later,
            _ => Print::Digest(USUAL),
        };
        let attempt = repeated.unwrap_or(attempt);
        let asked = Asked::Begin { attempt, print, lease, retention, in_doubt };
        let wait = if random.chance(12) { random.within(1..300) } else { 0 };
        Question { wait: Duration::from_millis(wait), ..Question::of(asked) }
    }

    fn complete(&self, key: u32, owner: Owner, random: &mut SplitMix64) -> Question {
        let variant = u8::from(random.chance(10));
        let result = content::digest_of_offered(&content::result(key, owner.attempt, variant));
        let print = self.named(if self.kind.later { 80 } else { 20 }, random);
        Question { variant, ..Question::of(Asked::Complete { owner, result, print }) }
    }

    fn resolve(&self, key: u32, owner: Owner, random: &mut SplitMix64) -> Question {
        let (fence, doubt) = self.doubt.unwrap_or((owner.fence, 1));
        if random.chance(50) {
            return Question::of(Asked::Resolve { fence, doubt, result: None, print: None });
        }
        let result = content::result(key, u128::from(fence), content::RESOLVED);
        let result = Some(content::digest_of_offered(&result));
        let print = self.named(70, random);
        let asked = Asked::Resolve { fence, doubt, result, print };
        Question { variant: content::RESOLVED, ..Question::of(asked) }
    }

    fn named(&self, percent: u64, random: &mut SplitMix64) -> Option<u64> {
        random.chance(percent).then_some(USUAL)
    }
}
