//! Random operations by several callers who know, half know, remember wrongly and forge.

use std::collections::BTreeMap;

use onceward_core::limits::CHECKPOINT_BYTES_MAX;
use onceward_core::{
    Abandon, AttemptId, Begin, BeginOutcome, Body, Certainty, Digest, Fence, Fingerprint, Forget,
    Limits, MetadataBuf, Millis, Policy, Renew, StoredResult, Timestamp, Token,
};

use crate::model::{Glimpse, Model};
use crate::operation::{Finding, Operation, Outcome, Step};
use crate::random::SplitMix64;

/// Draws steps one by one, looking at the model so as to aim: at deadlines, one millisecond to
/// either side of them, at tokens that are current or were, at ordinals around the held one.
///
/// The same seed and the same model give the same steps. Attempt ids differ between identities.
#[derive(Clone, Debug)]
pub struct Generator {
    random: SplitMix64,
    callers: u32,
    identities: u32,
    limits: Limits,
    granted: Vec<(u32, Token)>,
    begins: BTreeMap<(u32, u32), Begin>,
    attempts_made: u64,
    number: u8,
    bulk: bool,
}

impl Generator {
    /// For `callers` callers, who share `identities` identities. At least one of each.
    #[must_use]
    pub fn new(seed: u64, callers: u32, identities: u32, limits: Limits) -> Self {
        Self {
            random: SplitMix64::new(seed),
            callers: callers.max(1),
            identities: identities.max(1),
            limits,
            granted: Vec::new(),
            begins: BTreeMap::new(),
            attempts_made: 0,
            number: 0,
            bulk: false,
        }
    }

    /// The same, making attempt ids that no generator of another number makes.
    #[must_use]
    pub const fn numbered(mut self, number: u8) -> Self {
        self.number = number;
        self
    }

    /// The same, with results and checkpoints of every size up to their limits, hints of what to
    /// set aside, and retentions of up to the longest.
    #[must_use]
    pub const fn in_bulk(mut self) -> Self {
        self.bulk = true;
        self
    }

    /// The next step of a run that has brought `model` to where it stands.
    pub fn next(&mut self, model: &Model) -> Step {
        // In bulk, time is slow, for memory to fill.
        if self.random.chance(if self.bulk { 5 } else { 25 }) {
            return Step::MoveClock(self.instant(model));
        }
        let caller = self.random.within(0..u64::from(self.callers)) as u32;
        let identity = self.random.within(0..u64::from(self.identities)) as u32;
        let ended: Vec<_> =
            model.ended_attempts().filter(|&(of, _)| of == identity).map(|(_, id)| id).collect();
        let operation = self.operation(caller, identity, model.glimpse(identity), &ended);
        Step::Ask { caller, identity, operation }
    }

    /// Remembers the tokens that were granted, for use and misuse later. `outcome` is the model's.
    pub fn observe(&mut self, identity: u32, outcome: &Outcome) {
        if let Outcome::Begin(BeginOutcome::Acquired(acquired)) = outcome {
            self.granted.push((identity, acquired.token));
        }
    }

    /// An instant that the clock may move to: no earlier than the model's.
    pub fn instant(&mut self, model: &Model) -> Timestamp {
        let now = model.now();
        let mut deadlines = model.deadlines();
        if self.bulk {
            deadlines.sort_unstable();
            deadlines.truncate(4);
        }
        let aim = match self.random.pick(&deadlines) {
            Some(deadline) if self.random.chance(70) => match self.random.within(0..3) {
                0 => deadline.as_millis().saturating_sub(1),
                1 => deadline.as_millis(),
                _ => deadline.as_millis().saturating_add(1),
            },
            Some(_) | None if self.random.chance(80) => now.as_millis() + self.random.within(0..60),
            Some(_) | None => now.as_millis() + self.random.within(0..3_000),
        };
        now.max(Timestamp::from_millis(aim))
    }

    /// What a caller asks who takes `held` for the identity's state, and `ended` for attempts
    /// that have ended.
    pub fn operation(
        &mut self,
        caller: u32,
        identity: u32,
        held: Option<Glimpse>,
        ended: &[AttemptId],
    ) -> Operation {
        match self.random.within(0..100) {
            0..35 => Operation::Begin(self.begin(caller, identity, held, ended)),
            35..47 => Operation::Complete {
                token: self.token(identity, held),
                result: self.result(),
                fingerprint: self.named(held),
            },
            47..62 => Operation::Renew(Renew {
                token: self.token(identity, held),
                lease: self.lease(),
                fingerprint: self.named(held),
            }),
            62..71 => Operation::Abandon(Abandon {
                token: self.token(identity, held),
                certainty: if self.random.chance(50) {
                    Certainty::NotDone
                } else {
                    Certainty::InDoubt
                },
            }),
            71..81 => {
                let ordinal = self.ordinal(held);
                Operation::Checkpoint {
                    token: self.token(identity, held),
                    ordinal,
                    bytes: self.checkpoint(caller, ordinal),
                }
            }
            81..84 => Operation::Get,
            84..95 => Operation::Resolve {
                fence: self.token(identity, held).fence,
                doubt_number: self.doubt_number(held),
                finding: self.finding(held),
            },
            _ => Operation::Forget(Forget { fence: self.token(identity, held).fence }),
        }
    }

    fn begin(
        &mut self,
        caller: u32,
        identity: u32,
        held: Option<Glimpse>,
        ended: &[AttemptId],
    ) -> Begin {
        let dice = self.random.within(0..100);
        if dice < 25
            && let Some(&repeated) = self.begins.get(&(caller, identity))
        {
            return repeated; // The reply was lost, or a duplicate was under way for long.
        }
        let attempt_id = match (held, self.random.pick(ended)) {
            (_, Some(&ended)) if (25..35).contains(&dice) => ended,
            (Some(held), _) if (35..50).contains(&dice) => held.token.attempt_id,
            (Some(_) | None, Some(_) | None) => self.new_attempt(identity),
        };
        let lease = self.lease();
        let retention = match self.random.within(0..20) {
            0 => lease.get().saturating_sub(1), // Bad input.
            1..5 => lease.get(),
            5..12 => lease.get() + self.random.within(1..400),
            12..15 if self.bulk => self.long_retention(lease.get()),
            _ => lease.get() + 2_000,
        };
        let (mut result_hint, mut checkpoint_hint) = (None, 0);
        if self.bulk && self.random.chance(50) {
            result_hint = Some(self.random.within(0..100_000) as usize);
            checkpoint_hint = self.random.within(0..CHECKPOINT_BYTES_MAX as u64) as usize;
        }
        let begin = Begin {
            result_hint,
            checkpoint_hint,
            lease,
            retention: Millis::new(retention),
            policy: if self.random.chance(50) { Policy::Takeover } else { Policy::InDoubt },
            ..Begin::new(self.fingerprint(held), attempt_id)
        };
        self.begins.insert((caller, identity), begin);
        begin
    }

    /// Of any order of magnitude.
    fn long_retention(&mut self, lease: u64) -> u64 {
        let magnitude = self.random.within(7..32);
        (lease + self.random.within(0..1 << magnitude)).min(self.limits.retention_max.get())
    }

    fn checkpoint(&mut self, caller: u32, ordinal: u32) -> Vec<u8> {
        let mut bytes = vec![caller as u8, ordinal as u8, self.random.next_u64() as u8];
        if self.bulk {
            let sizes = [3, 100, 5_000, CHECKPOINT_BYTES_MAX - 1, CHECKPOINT_BYTES_MAX];
            let size = self.random.pick(&sizes).copied().unwrap_or(3);
            bytes.resize(size, ordinal as u8);
        }
        bytes
    }

    fn new_attempt(&mut self, identity: u32) -> AttemptId {
        self.attempts_made += 1;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.attempts_made.to_le_bytes());
        bytes[8..12].copy_from_slice(&identity.to_le_bytes());
        bytes[13] = self.number;
        bytes[12] = 1; // No attempt id is all zeros.
        AttemptId::from_bytes(bytes)
    }

    fn lease(&mut self) -> Millis {
        let lease = [100, 100, 101, 150, 250, 400, 1_000];
        let lease = self.random.pick(&lease).copied().unwrap_or(100);
        Millis::new(if self.random.chance(1) { 99 } else { lease })
    }

    fn fingerprint(&mut self, held: Option<Glimpse>) -> Fingerprint {
        match held {
            Some(held) if self.random.chance(60) => held.fingerprint,
            Some(_) | None => match self.random.within(0..10) {
                0..3 => digest(1).into(),
                3..5 => digest(2).into(),
                5..7 => Fingerprint::None,
                _ => Fingerprint::Later,
            },
        }
    }

    /// What complete, renew and resolve name.
    fn named(&mut self, held: Option<Glimpse>) -> Option<Digest> {
        match (held.map(|held| held.fingerprint), self.random.within(0..10)) {
            (Some(Fingerprint::Digest(bound)), 0..4) => Some(bound),
            (_, 4..6) => Some(digest(1)),
            (_, 6) => Some(digest(2)),
            (_, _) => None,
        }
    }

    /// The current token more often than not; else one that was, is another identity's, is half
    /// right, or that nobody was granted.
    fn token(&mut self, identity: u32, held: Option<Glimpse>) -> Token {
        let nobodys =
            Token { fence: fence(Fence::MAX - 1), attempt_id: self.new_attempt(identity) };
        let current = held.map(|held| held.token);
        let theirs = |of: &(u32, Token)| of.0 == identity;
        let old: Vec<_> = self.granted.iter().filter(|of| theirs(of)).map(|of| of.1).collect();
        let others: Vec<_> = self.granted.iter().filter(|of| !theirs(of)).map(|of| of.1).collect();
        // Late ones are the interesting ones: prefer the last few.
        let old = self.random.pick(&old[old.len().saturating_sub(4)..]).copied();
        let other = self.random.pick(&others).copied();
        let (known, old) = (current.or(old).unwrap_or(nobodys), old.unwrap_or(nobodys));
        match self.random.within(0..100) {
            0..62 => known,
            62..74 => old,
            74..79 => Token { fence: old.fence, ..known },
            79..84 => Token { attempt_id: old.attempt_id, ..known },
            84..88 => Token { attempt_id: nobodys.attempt_id, ..known },
            88..92 => Token { fence: nobodys.fence, ..known },
            92..95 => Token { fence: fence(1), ..known },
            _ => other.unwrap_or(nobodys),
        }
    }

    fn ordinal(&mut self, held: Option<Glimpse>) -> u32 {
        let held = held.map_or(0, |held| held.checkpoint_ordinal);
        match self.random.within(0..10) {
            0 => 1,
            1..3 => held.saturating_sub(1),
            3..5 => held, // 0 is bad input.
            5..8 => held + 1,
            _ => held + 3,
        }
    }

    fn doubt_number(&mut self, held: Option<Glimpse>) -> u32 {
        let current = held.map_or(1, |held| held.doubt_number);
        match self.random.within(0..10) {
            0..7 => current,
            7..9 => current.saturating_sub(1),
            _ => current + 1,
        }
    }

    fn finding(&mut self, held: Option<Glimpse>) -> Finding {
        if self.random.chance(50) {
            return Finding::NeverDone;
        }
        Finding::Completed { result: self.result(), fingerprint: self.named(held) }
    }

    /// Few, so that the same one is often offered twice; two of them differ in the body alone,
    /// two in the metadata, two in the status, and some cannot be kept.
    fn result(&mut self) -> StoredResult<Vec<u8>> {
        let body_max = self.limits.result_bytes_max;
        if self.bulk && self.random.chance(60) {
            let sizes = [1, 255, 1_000, 4_095, 4_096, 20_000, 65_535, 65_536, 65_537, body_max];
            let size = self.random.pick(&sizes).copied().unwrap_or(1);
            let first = self.random.within(0..3) as u8;
            let body = (0..size).map(|at| first.wrapping_add((at / 7) as u8)).collect();
            return StoredResult { status: 200, metadata: Vec::new(), body: Body::Kept(body) };
        }
        let (status, pairs, body) = match self.random.within(0..12) {
            0..3 => (200, 0, Body::Kept(b"shipped".to_vec())),
            3..5 => (200, 0, Body::Kept(b"refused".to_vec())),
            5 => (200, 1, Body::Kept(b"shipped".to_vec())),
            6 => (201, 0, Body::Kept(b"shipped".to_vec())),
            7 => (200, 0, Body::Kept(Vec::new())),
            8 => (200, 2, Body::Kept(vec![7; body_max])),
            9 => (200, 3, Body::Kept(vec![7; body_max + 1])),
            10 => (200, 3, Body::Kept(vec![8; body_max + 1])),
            _ => (200, 1, Body::NotKept(onceward_core::NotKept::Declined)),
        };
        let mut metadata = MetadataBuf::new();
        for number in 0..pairs {
            metadata.push([b'a' + number], [number; 500]).expect("far below the limits");
        }
        StoredResult { status, metadata: metadata.into_encoded(), body }
    }
}

fn digest(byte: u8) -> Digest {
    Digest::new(&[byte; 16]).expect("16 bytes")
}

fn fence(number: u64) -> Fence {
    Fence::new(number).expect("not 0 and below 2^63")
}
