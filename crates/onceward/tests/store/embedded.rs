//! The store as a subject of seeded runs, ticked at random moments with small budgets, and the
//! same with faults planted around it.

use std::collections::BTreeMap;
use std::sync::Arc;

use onceward::{
    BeginOutcome, CompleteOutcome, Fingerprint, Identity, Limits, MEMORY_BYTES_MIN, Millis,
    NamespaceConfig, RenewOutcome, Store, StoreConfig, Timestamp, Token,
};
use onceward_testkit::{ManualClock, Operation, Outcome, Plan, SplitMix64, Subject};

use crate::put::put;

const NAMESPACE: &str = "orders";

pub(crate) struct Embedded {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Store,
    keys: Vec<Vec<u8>>,
    random: SplitMix64,
    fault: Option<Fault>,
    /// The latest acquisition of each identity, for faults that use it.
    latest: BTreeMap<u32, Token>,
    bulk: bool,
}

/// What is wrong with the store, or with its clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// Its clock stands still for every other millisecond.
    ClockOffByOne,
    /// A result is acknowledged and not stored.
    CompleteLost,
    /// A renew is acknowledged and not done.
    RenewLost,
    /// A tick drops what is live.
    LiveDropped,
    /// Two identities share an entry.
    IdentitiesMixed,
    /// Whoever knows the fence owns the acquisition.
    AttemptUnchecked,
    /// An older token passes for the current one.
    FenceUnchecked,
    /// The fingerprint is not looked at.
    FingerprintIgnored,
    /// Ended attempts are not remembered.
    AttemptsForgotten,
    /// The first byte of a body is another one.
    BodyChanged,
    /// A begin beyond the quota is granted.
    QuotaIgnored,
}

impl Fault {
    pub(crate) const ALL: [Self; 11] = [
        Self::ClockOffByOne,
        Self::CompleteLost,
        Self::RenewLost,
        Self::LiveDropped,
        Self::IdentitiesMixed,
        Self::AttemptUnchecked,
        Self::FenceUnchecked,
        Self::FingerprintIgnored,
        Self::AttemptsForgotten,
        Self::BodyChanged,
        Self::QuotaIgnored,
    ];
}

impl Embedded {
    pub(crate) fn new(seed: u64, plan: &Plan, fault: Option<Fault>) -> Self {
        let is = |one| fault == Some(one);
        let entries_max = plan.entries_max.map(|most| most as u64);
        let quota = NamespaceConfig {
            entries_max: entries_max.filter(|_| !is(Fault::QuotaIgnored)),
            ..NamespaceConfig::default()
        };
        let mut limits = plan.limits;
        if is(Fault::AttemptsForgotten) {
            limits.attempt_memory = Millis::ZERO;
        }
        let config = StoreConfig {
            limits,
            namespaces: BTreeMap::from([(NAMESPACE.to_owned(), quota)]),
            memory_bytes: if plan.bulk { MEMORY_BYTES_MIN } else { 1 << 30 },
            shards: if seed.is_multiple_of(2) { 1 } else { 64 },
            ..StoreConfig::default()
        };
        let clock = Arc::new(ManualClock::new(plan.start.as_millis()));
        let store = Store::new(config, Arc::clone(&clock) as _).expect("a valid configuration");
        Self {
            clock,
            store,
            keys: (0..plan.identities).map(|number| format!("key-{number}").into()).collect(),
            random: SplitMix64::new(seed),
            fault,
            latest: BTreeMap::new(),
            bulk: plan.bulk,
        }
    }

    /// Once everything has ended, and its attempts are forgotten, nothing is left (S7, S11).
    pub(crate) fn check_end(&self) {
        for _ in 0..2 {
            self.clock.advance(self.store.limits().retention_max);
            self.tick_out();
        }
        let stats = self.store.stats();
        assert_eq!((stats.entries, stats.memory_used_bytes), (0, 0), "left behind");
    }

    /// Reclaims all that is due.
    fn tick_out(&self) {
        while self.store.tick(self.store.now(), 1_000).is_some_and(|at| at <= self.store.now()) {}
    }

    pub(crate) fn limits() -> Limits {
        Plan::default().limits
    }

    pub(crate) fn identity(&self, number: u32) -> Identity<'_> {
        let number = if self.is(Fault::IdentitiesMixed) { number / 2 } else { number };
        Identity::new(NAMESPACE, b"tenant", &self.keys[number as usize]).expect("valid")
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn tick_perhaps(&mut self) {
        if self.random.chance(30) {
            let budget = self.random.within(0..4) as usize;
            let _ = self.store.tick(self.store.now(), budget);
            if self.is(Fault::LiveDropped) {
                for (&identity, token) in &self.latest {
                    let forget = onceward::Forget { fence: token.fence };
                    let _ = self.store.forget(self.identity(identity), &forget);
                }
            }
        }
    }

    /// The operation as the fault lets it through, or the answer it makes up.
    fn distorted(&self, identity: u32, operation: &Operation) -> Result<Operation, Outcome> {
        let mut operation = operation.clone();
        let Some(latest) = self.latest.get(&identity).copied() else { return Ok(operation) };
        let unchecked = |token: &mut Token| match self.fault {
            Some(Fault::AttemptUnchecked) if token.fence == latest.fence => {
                token.attempt_id = latest.attempt_id;
            }
            Some(Fault::FenceUnchecked) if token.fence < latest.fence => *token = latest,
            _ => {}
        };
        match (&mut operation, self.fault) {
            (Operation::Complete { token, .. }, Some(Fault::CompleteLost)) if *token == latest => {
                return Err(Outcome::Complete(CompleteOutcome::Completed { not_kept: None }));
            }
            (Operation::Renew(renew), Some(Fault::RenewLost)) if renew.token == latest => {
                let lease_left = renew.lease;
                return Err(Outcome::Renew(RenewOutcome::Renewed { lease_left }));
            }
            (Operation::Begin(begin), Some(Fault::FingerprintIgnored)) => {
                begin.fingerprint = Fingerprint::None;
            }
            (Operation::Complete { result, .. }, Some(Fault::BodyChanged)) => {
                if let onceward::Body::Kept(body) = &mut result.body
                    && let Some(first) = body.first_mut()
                {
                    *first ^= 1;
                }
            }
            (Operation::Complete { token, .. } | Operation::Checkpoint { token, .. }, _) => {
                unchecked(token);
            }
            (Operation::Renew(renew), _) => unchecked(&mut renew.token),
            (Operation::Abandon(abandon), _) => unchecked(&mut abandon.token),
            _ => {}
        }
        Ok(operation)
    }
}

impl Subject for Embedded {
    fn move_clock(&mut self, now: Timestamp) {
        let now = match self.fault {
            Some(Fault::ClockOffByOne) => Timestamp::from_millis(now.as_millis() & !1),
            _ => now,
        };
        self.clock.set(now).expect("runs move forward");
        if self.bulk && self.random.chance(50) {
            self.tick_out(); // What it was in is used again at once.
        }
        self.tick_perhaps();
    }

    fn apply(&mut self, identity: u32, operation: &Operation) -> Outcome {
        self.tick_perhaps();
        let outcome = match self.distorted(identity, operation) {
            Ok(operation) => put(&self.store, self.identity(identity), &operation),
            Err(made_up) => made_up,
        };
        if let Outcome::Begin(BeginOutcome::Acquired(acquired)) = &outcome {
            self.latest.insert(identity, acquired.token);
        }
        outcome
    }
}
