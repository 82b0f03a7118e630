//! A store, a clock moved by hand, and short ways to ask.

use std::sync::Arc;

use onceward::{
    Abandon, AbandonOutcome, Acquired, AttemptId, Begin, BeginOutcome, BeginTicket, Certainty,
    Complete, CompleteOutcome, Fingerprint, GetOutcome, Identity, Millis, ResultRef, Store,
    StoreConfig, Timestamp, Token, Waitable,
};
use onceward_testkit::ManualClock;

use crate::bell::Bell;

/// Where every scene's clock stands at first.
pub(crate) const START: u64 = 10_000;

pub(crate) struct Scene {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Store,
}

/// A begin's outcome with its bytes copied.
pub(crate) type Begun = BeginOutcome<Vec<u8>>;

pub(crate) fn id(key: &str) -> Identity<'_> {
    within("orders", key)
}

pub(crate) fn within<'a>(namespace: &'a str, key: &'a str) -> Identity<'a> {
    Identity::new(namespace, b"tenant", key.as_bytes()).expect("a valid identity")
}

pub(crate) fn attempt(number: u64) -> AttemptId {
    let mut bytes = [1; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    AttemptId::from_bytes(bytes)
}

/// Lease 1 s, retention 10 s, policy takeover.
pub(crate) fn ask(number: u64) -> Begin {
    Begin {
        lease: Millis::new(1_000),
        retention: Millis::new(10_000),
        ..Begin::new(Fingerprint::None, attempt(number))
    }
}

/// The same with a wait of half a minute.
pub(crate) fn patient(number: u64) -> Begin {
    Begin { wait: Millis::new(30_000), ..ask(number) }
}

pub(crate) fn acquired(outcome: Begun) -> Acquired<Vec<u8>> {
    match outcome {
        BeginOutcome::Acquired(acquired) => acquired,
        other => panic!("not acquired but {other:?}"),
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(StoreConfig::default())
    }

    /// With 1 MiB of memory, the least there is.
    pub(crate) fn small() -> Self {
        Self::with(StoreConfig::with_memory(onceward::MEMORY_BYTES_MIN))
    }

    pub(crate) fn with(config: StoreConfig) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store = Store::new(config, Arc::clone(&clock) as _).expect("a valid configuration");
        Self { clock, store }
    }

    pub(crate) fn begin(&self, key: &str, request: &Begin) -> Begun {
        begin(&self.store, id(key), request)
    }

    /// Begins and expects to own the key.
    pub(crate) fn own(&self, key: &str, request: &Begin) -> Token {
        acquired(self.begin(key, request)).token
    }

    /// Begins, expecting to stand in line.
    pub(crate) fn line_up(&self, key: &str, request: &Begin, bell: &Arc<Bell>) -> BeginTicket {
        let waker = Arc::clone(bell).into();
        match self.store.begin_or_wait(id(key), request, &waker, |outcome| outcome.name()) {
            Ok(Waitable::Waiting(ticket)) => ticket,
            other => panic!("not in line but {other:?}"),
        }
    }

    pub(crate) fn complete(&self, key: &str, token: Token, body: &[u8]) -> CompleteOutcome {
        let result = ResultRef::of(200, body);
        let request = Complete { token, result, fingerprint: None };
        self.store.complete(id(key), &request).expect("open, and no bad input").value
    }

    /// Completes, for the first time.
    pub(crate) fn finish(&self, key: &str, token: Token, body: &[u8]) {
        assert_eq!(self.complete(key, token, body).name(), "completed");
    }

    pub(crate) fn abandon(&self, key: &str, token: Token, certainty: Certainty) -> AbandonOutcome {
        self.store.abandon(id(key), &Abandon { token, certainty }).expect("open").value
    }

    pub(crate) fn get(&self, key: &str) -> GetOutcome<Vec<u8>> {
        self.store.get(id(key), |outcome| outcome.map(<[u8]>::to_vec)).expect("open").value
    }

    /// Moves the clock and ticks until nothing is due.
    pub(crate) fn advance(&self, millis: u64) -> Option<Timestamp> {
        let now = self.clock.advance(Millis::new(millis));
        loop {
            let next = self.store.tick(now, usize::MAX);
            if next.is_none_or(|next| next > now) {
                return next;
            }
        }
    }

    pub(crate) fn memory_used(&self) -> u64 {
        self.store.stats().memory_used_bytes
    }
}

pub(crate) fn begin(store: &Store, identity: Identity<'_>, request: &Begin) -> Begun {
    store
        .begin(identity, request, |outcome| outcome.map(<[u8]>::to_vec))
        .expect("open, and no bad input")
        .value
}

/// Bytes and instants are exact to the last one where the plain storage keeps entries; the
/// lock-free one gives back by blocks and segments.
pub(crate) const IS_PLAIN: bool = cfg!(feature = "plain-storage");
