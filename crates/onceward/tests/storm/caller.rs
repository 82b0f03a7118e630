//! One thread of a storm: owns, works, falls silent, repeats, waits, forgets.

use std::collections::VecDeque;
use std::fmt;
use std::task::Waker;

use onceward::limits::LEASE_MIN;
use onceward::{
    Abandon, AbandonOutcome, Acquired, AttemptId, Begin, BeginOutcome, BeginTicket, Body,
    Certainty, Complete, CompleteOutcome, Fence, Fingerprint, Forget, GetOutcome, Millis, NotKept,
    Policy, Renew, RenewOutcome, Resolve, ResultRef, SaveCheckpoint, Store, Timestamp, Token,
    Verdict, Waitable,
};
use onceward_testkit::SplitMix64;

use crate::bytes;
use crate::keys::{FEW, MANY, earliest, identity, is_forgotten, text};
use crate::storm::{RETENTION_MAX, Storm};

/// Acquisitions that a caller keeps in hand.
const HELD_MAX: usize = 50;
const TICKETS_MAX: usize = 20;
/// Operations of a hundred that move the clock by a millisecond: whatever the machine's speed, a
/// lease ends after some hundreds of operations, a retention after some thousands.
const CLOCK_PERCENT: u64 = 50;

pub(crate) struct Caller<'a> {
    storm: &'a Storm,
    random: SplitMix64,
    number: u64,
    attempts: u64,
    held: VecDeque<Held>,
    tickets: VecDeque<(u64, BeginTicket)>,
    counts: Counts,
}

struct Held {
    key: u64,
    begin: Begin,
    token: Token,
    ordinal: u32,
}

#[derive(Default)]
pub(crate) struct Counts {
    acquired: u64,
    takeovers: u64,
    completed: u64,
    not_kept: u64,
    replayed: u64,
    refused: u64,
    fenced: u64,
    waits: u64,
    forgotten: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.acquired += other.acquired;
        self.takeovers += other.takeovers;
        self.completed += other.completed;
        self.not_kept += other.not_kept;
        self.replayed += other.replayed;
        self.refused += other.refused;
        self.fenced += other.fenced;
        self.waits += other.waits;
        self.forgotten += other.forgotten;
    }

    /// A storm in which nothing happens proves nothing.
    pub(crate) fn check(&self) {
        let Self { acquired, completed, replayed, .. } = self;
        assert!(*acquired > 0 && *completed > 0 && *replayed > 0, "a calm: {self}");
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acquired, takeovers, completed, not_kept, replayed, .. } = self;
        let Self { refused, fenced, waits, forgotten, .. } = self;
        write!(
            f,
            "{acquired} acquired, {takeovers} of them takeovers, {completed} completed, {not_kept} not kept, {replayed} replayed, {refused} refused, {fenced} fenced, {waits} waits, {forgotten} forgotten"
        )
    }
}

/// A fence that is smaller than all that the storm will draw.
pub(crate) fn first_fence(store: &Store) -> u64 {
    let begin = Begin {
        lease: LEASE_MIN,
        retention: Millis::new(RETENTION_MAX),
        ..Begin::new(Fingerprint::None, AttemptId::from_bytes([9; 16]))
    };
    let begun = store.begin(identity("first"), &begin, |outcome| match outcome {
        BeginOutcome::Acquired(acquired) => acquired.token,
        other => panic!("an empty store: {other:?}"),
    });
    let token = begun.expect("open").value;
    let abandon = Abandon { token, certainty: Certainty::NotDone };
    let abandoned = store.abandon(identity("first"), &abandon).expect("open").value;
    assert_eq!(abandoned, AbandonOutcome::Abandoned);
    token.fence.get()
}

impl<'a> Caller<'a> {
    pub(crate) fn new(storm: &'a Storm, number: u64) -> Self {
        Self {
            storm,
            random: SplitMix64::new(storm.seed * 1_000 + number),
            number,
            attempts: 0,
            held: VecDeque::new(),
            tickets: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn work(mut self, operations: u64) -> Counts {
        for _ in 0..operations {
            if self.random.chance(CLOCK_PERCENT) {
                self.storm.clock.advance(1);
            }
            match self.random.within(0..100) {
                0..35 => self.begin(),
                35..40 => self.wait(),
                40..45 => self.poll(),
                45..65 => self.complete(),
                65..75 => self.renew(),
                75..80 => self.checkpoint(),
                80..85 => self.abandon(),
                85..95 => self.get(),
                _ => self.batch(),
            }
            while self.held.len() > HELD_MAX {
                self.held.pop_front(); // It falls silent, and its lease ends.
            }
        }
        self.tickets.clear();
        self.counts
    }

    fn now(&self) -> Timestamp {
        self.storm.store.now()
    }

    fn key(&mut self) -> u64 {
        let end = if self.random.chance(40) { FEW } else { MANY };
        self.random.within(0..end)
    }

    fn request(&mut self) -> Begin {
        self.attempts += 1;
        let mut attempt = [7; 16];
        attempt[..8].copy_from_slice(&self.attempts.to_le_bytes());
        attempt[8] = self.number as u8;
        let lease = 100 + self.random.within(0..50);
        let checkpoint_hint = if self.random.chance(20) { 200 } else { 0 };
        Begin {
            lease: Millis::new(lease),
            retention: Millis::new(self.random.within(lease..RETENTION_MAX)),
            policy: if self.random.chance(80) { Policy::Takeover } else { Policy::InDoubt },
            result_hint: self.random.chance(50).then_some(100),
            checkpoint_hint,
            ..Begin::new(Fingerprint::None, AttemptId::from_bytes(attempt))
        }
    }

    fn begin(&mut self) {
        let again = self.random.within(0..self.held.len() as u64 * 4 + 1) as usize;
        let (key, begin) = match self.held.get(again) {
            Some(held) => (held.key, held.begin), // Its reply was lost.
            None => (self.key(), self.request()),
        };
        let text = text(key);
        let asked = self.now();
        let store = &self.storm.store;
        let outcome = store.begin(identity(&text), &begin, |o| o.map(<[u8]>::to_vec));
        self.hear(key, &begin, asked, outcome.expect("open").value);
    }

    fn hear(&mut self, key: u64, begin: &Begin, asked: Timestamp, heard: BeginOutcome<Vec<u8>>) {
        match heard {
            BeginOutcome::Acquired(acquired) => self.acquired(key, begin, asked, &acquired),
            BeginOutcome::Replay(replay) => {
                self.counts.replayed += 1;
                if let Body::Kept(body) = &replay.result.body {
                    let fence = bytes::check(key, body);
                    assert!(fence > self.storm.first_fence, "a fence nobody drew");
                    assert_eq!(
                        u64::from(replay.result.status),
                        200 + fence % 100,
                        "another's status"
                    );
                    if is_forgotten(key) && self.random.chance(50) {
                        self.forget(key, fence);
                    }
                }
            }
            BeginOutcome::Refused { .. } => self.counts.refused += 1,
            BeginOutcome::InDoubt { .. } => self.resolve(key),
            BeginOutcome::InProgress { .. } | BeginOutcome::Gone => {}
            other => panic!("key {key}: {other:?}"),
        }
    }

    fn acquired(&mut self, key: u64, begin: &Begin, asked: Timestamp, got: &Acquired<Vec<u8>>) {
        let token = got.token;
        assert_eq!(token.attempt_id, begin.attempt_id, "S16: another's right");
        if let Some(checkpoint) = &got.checkpoint {
            let of = bytes::check(key, &checkpoint.bytes);
            assert!(of <= token.fence.get(), "S19: a checkpoint of a successor");
        }
        let until = earliest(asked, got.lease_left);
        self.storm.owners.acquire(key, self.counted(token.fence), self.now(), until);
        if self.held.iter().any(|held| held.token == token) {
            return; // The same again.
        }
        self.counts.acquired += 1;
        self.counts.takeovers += u64::from(got.attempt_number > 1);
        let ordinal = got.checkpoint.as_ref().map_or(0, |held| held.ordinal);
        self.held.push_back(Held { key, begin: *begin, token, ordinal });
    }

    fn counted(&self, fence: Fence) -> u64 {
        fence.get() - self.storm.first_fence
    }

    fn wait(&mut self) {
        let (key, begin) = (self.key(), self.request());
        let begin = Begin { wait: Millis::new(self.random.within(1..400)), ..begin };
        let (text, asked) = (text(key), self.now());
        let mut heard = None;
        let store = &self.storm.store;
        let waits = store.begin_or_wait(identity(&text), &begin, Waker::noop(), |outcome| {
            heard = Some(outcome.map(<[u8]>::to_vec));
        });
        match waits.expect("open") {
            Waitable::Answered(_) => {
                self.hear(key, &begin, asked, heard.expect("the sink was called"));
            }
            Waitable::Waiting(ticket) => {
                self.counts.waits += 1;
                self.tickets.push_back((key, ticket));
                if self.tickets.len() > TICKETS_MAX {
                    self.tickets.pop_front(); // It hangs up.
                }
            }
        }
    }

    fn poll(&mut self) {
        let Some((key, mut ticket)) = self.tickets.pop_front() else { return };
        if self.random.chance(30) {
            ticket.end_wait();
        }
        let told = ticket.poll(Waker::noop(), |outcome| {
            if let BeginOutcome::Replay(replay) = outcome
                && let Body::Kept(body) = replay.result.body
            {
                bytes::check(key, body);
            }
        });
        if told.is_pending() {
            self.tickets.push_back((key, ticket));
        }
    }

    fn pick(&mut self) -> Option<Held> {
        let at = self.random.within(0..self.held.len() as u64) as usize;
        self.held.remove(at)
    }

    fn complete(&mut self) {
        let Some(Held { key, token, .. }) = self.pick() else { return };
        let fence = token.fence.get();
        let size = match self.random.within(0..100) {
            0..60 => self.random.within(16..300),
            60..90 => self.random.within(16..6_000),
            90..97 => self.random.within(16..80_000),
            97..99 => self.random.within(60_000..300_000),
            _ => 300_001,
        };
        let body = bytes::of(key, fence, size as usize);
        let status = (200 + fence % 100) as u16;
        let result = ResultRef::of(status, &body);
        let complete = Complete { token, result, fingerprint: None };
        let text = text(key);
        self.storm.owners.release(key, self.counted(token.fence));
        let store = &self.storm.store;
        match store.complete(identity(&text), &complete).expect("open").value {
            CompleteOutcome::Completed { not_kept } => {
                self.counts.completed += 1;
                self.counts.not_kept += u64::from(not_kept.is_some());
                let too_large = body.len() > store.limits().result_bytes_max;
                assert_eq!(not_kept == Some(NotKept::TooLarge), too_large, "S12");
                self.repeat(key, &complete, not_kept);
            }
            CompleteOutcome::Fenced => self.counts.fenced += 1,
            CompleteOutcome::Gone => {}
            other => panic!("key {key}: the first complete of {token:?}: {other:?}"),
        }
    }

    /// S3, S5: the same again, and another in its place.
    fn repeat(&mut self, key: u64, complete: &Complete<'_>, not_kept: Option<NotKept>) {
        let text = text(key);
        let store = &self.storm.store;
        if self.random.chance(20) {
            match store.complete(identity(&text), complete).expect("open").value {
                CompleteOutcome::AlreadyCompleted { not_kept: again } => {
                    assert_eq!(again, not_kept)
                }
                CompleteOutcome::Fenced | CompleteOutcome::Gone => {}
                other => panic!("S3: key {key}: {other:?}"),
            }
        }
        if self.random.chance(20) {
            let other = Complete { result: ResultRef::of(500, b"other"), ..*complete };
            match store.complete(identity(&text), &other).expect("open").value {
                CompleteOutcome::Conflict | CompleteOutcome::Fenced | CompleteOutcome::Gone => {}
                other => panic!("S5: key {key}: {other:?}"),
            }
        }
    }

    fn renew(&mut self) {
        let Some(held) = self.pick() else { return };
        let (text, asked) = (text(held.key), self.now());
        let lease = Millis::new(100 + self.random.within(0..100));
        let renew = Renew { token: held.token, lease, fingerprint: None };
        match self.storm.store.renew(identity(&text), &renew).expect("open").value {
            RenewOutcome::Renewed { lease_left } => {
                let (fence, until) = (self.counted(held.token.fence), earliest(asked, lease_left));
                // Granted anew, but not to somebody new: nothing to compare with.
                self.storm.owners.acquire(held.key, fence, Timestamp::MAX, until);
                self.held.push_back(held);
            }
            RenewOutcome::Fenced => self.counts.fenced += 1,
            RenewOutcome::Gone => {}
            other => panic!("key {}: {other:?}", held.key),
        }
    }

    fn checkpoint(&mut self) {
        let Some(mut held) = self.pick() else { return };
        held.ordinal += 1;
        let size = if self.random.chance(10) { 20_000 } else { 100 };
        let bytes = bytes::of(held.key, held.token.fence.get(), size);
        let text = text(held.key);
        let save = SaveCheckpoint { token: held.token, ordinal: held.ordinal, bytes: &bytes };
        let outcome = self.storm.store.checkpoint(identity(&text), &save).expect("open").value;
        match outcome.name() {
            "saved" => self.held.push_back(held),
            "refused" => {
                self.counts.refused += 1;
                self.held.push_back(held);
            }
            "fenced" => self.counts.fenced += 1,
            "gone" => {}
            other => panic!("key {}: {other}", held.key),
        }
    }

    fn abandon(&mut self) {
        let Some(Held { key, token, .. }) = self.pick() else { return };
        let text = text(key);
        let certainty =
            if self.random.chance(70) { Certainty::NotDone } else { Certainty::InDoubt };
        self.storm.owners.release(key, self.counted(token.fence));
        let abandon = Abandon { token, certainty };
        match self.storm.store.abandon(identity(&text), &abandon).expect("open").value {
            AbandonOutcome::Abandoned | AbandonOutcome::Gone => {}
            AbandonOutcome::Fenced => self.counts.fenced += 1,
            AbandonOutcome::Conflict => panic!("key {key}: nobody completed it"),
        }
    }

    fn get(&mut self) {
        let key = self.key();
        let text = text(key);
        let seen = self.storm.store.get(identity(&text), |outcome| {
            if let GetOutcome::Completed(completed) = outcome
                && let Body::Kept(body) = completed.result.body
            {
                let fence = bytes::check(key, body);
                assert_eq!(completed.fence.map(Fence::get), Some(fence), "S16: another's fence");
            }
        });
        seen.expect("open");
    }

    fn resolve(&mut self, key: u64) {
        let text = text(key);
        let store = &self.storm.store;
        let stands = store.get(identity(&text), |outcome| match outcome {
            GetOutcome::InDoubt { fence, doubt_number, .. } => Some((fence?, doubt_number)),
            _ => None,
        });
        if let Some((fence, doubt_number)) = stands.expect("open").value {
            let resolve = Resolve { fence, doubt_number, verdict: Verdict::NeverDone };
            self.storm.owners.release(key, self.counted(fence));
            let outcome = store.resolve(identity(&text), &resolve).expect("open").value;
            let known = ["resolved", "in_progress", "conflict", "fenced", "gone"];
            assert!(known.contains(&outcome.name()), "key {key}: {outcome:?}");
        }
    }

    fn forget(&mut self, key: u64, fence: u64) {
        let (text, fence) = (text(key), Fence::new(fence).expect("granted"));
        let outcome = self.storm.store.forget(identity(&text), &Forget { fence }).expect("open");
        self.counts.forgotten += u64::from(outcome.value.name() == "forgotten");
    }

    /// Sixteen begins at once, as the server makes them.
    fn batch(&mut self) {
        let asks: Vec<_> = (0..16).map(|_| (self.key(), self.request())).collect();
        let texts: Vec<_> = asks.iter().map(|(key, _)| text(*key)).collect();
        let requests: Vec<_> =
            asks.iter().zip(&texts).map(|((_, begin), text)| (identity(text), *begin)).collect();
        let asked = self.now();
        let mut heard = Vec::new();
        self.storm.store.begin_many(&requests, |_, outcome| {
            heard.push(outcome.expect("open").value.map(<[u8]>::to_vec));
        });
        for ((key, begin), outcome) in asks.iter().zip(heard) {
            self.hear(*key, begin, asked, outcome);
        }
    }
}
