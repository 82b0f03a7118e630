//! A journal on a disk that can fail, a clock that stands still, and what it was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use onceward::lifecycle::{BeginDecision, begin};
use onceward::{
    AttemptId, Begin, Body, Event, Fact, FactLog as _, Fence, Fingerprint, Halted, Identity,
    Millis, Position, Restored, RestoredState, SetAside, StoredResult, Timestamp,
};
use onceward_journal::{
    ClockReading, EndedAttempt, FILE_BYTES_MIN, Journal, JournalError, JournalOptions, Recovered,
    RecoveryOptions, RestoreInto, Start,
};
use parking_lot::Mutex;

use crate::disk::FaultDisk;

pub(crate) const DAY: Millis = Millis::new(86_400_000);

pub(crate) const OPTIONS: JournalOptions = JournalOptions {
    interval: Millis::new(1_000),
    file_bytes: FILE_BYTES_MIN,
    unsynced_bytes_max: 64 << 20,
};

/// What a directory knows of an identity: its fence, and whether it has a result.
pub(crate) type Known = BTreeMap<Vec<u8>, (u64, bool)>;

#[derive(Default)]
struct Collected(Mutex<Known>);

impl RestoreInto for Collected {
    fn restore(&self, restored: &Restored<'_>) -> Result<(), String> {
        let has_result = matches!(restored.state, RestoredState::Completed { .. });
        let key = restored.identity.scoped_key().key().to_vec();
        self.0.lock().insert(key, (restored.fence.get(), has_result));
        Ok(())
    }

    fn restore_ended(&self, _: &EndedAttempt<'_>) {}
}

pub(crate) fn recover(disk: &FaultDisk) -> Result<(Known, Recovered), JournalError> {
    let options = RecoveryOptions {
        owner: "a test".into(),
        threads: 1,
        clocks: ClockReading { boot_id: "boot".into(), ..ClockReading::default() },
        count_downtime: Millis::ZERO,
        attempt_memory: Millis::new(120_000),
        random: [[1; 16], [2; 16]],
    };
    let mut recovered = Recovered::open(Arc::new(disk.clone()), &options, &|_| {})?;
    let known = Collected::default();
    recovered.restore(&known, &|_| {})?;
    Ok((known.0.into_inner(), recovered))
}

/// A journal that goes on from what the disk holds.
pub(crate) fn start(disk: &FaultDisk, now: u64) -> Result<Journal, JournalError> {
    start_with(disk, now, OPTIONS)
}

/// The same, with other options.
pub(crate) fn start_with(
    disk: &FaultDisk,
    now: u64,
    options: JournalOptions,
) -> Result<Journal, JournalError> {
    let (_, mut recovered) = recover(disk)?;
    let clock = recovered.manifest.clock.clone();
    let start = Start::of(&mut recovered, clock, Arc::new(|| 1_000_000));
    let (disk, start) = start.expect("the first");
    Journal::start(disk, start, options, Timestamp::from_millis(now))
}

/// Lends `take` the fact of an acquisition.
pub(crate) fn acquired<R>(
    key: &[u8],
    fence: u64,
    at: u64,
    retention: Millis,
    take: impl FnOnce(&Fact<'_>) -> R,
) -> R {
    let at = Timestamp::from_millis(at);
    let fence = Fence::new(fence).expect("a fence");
    let lease = Millis::new(retention.get().min(1_000));
    let mut asked = Begin::new(Fingerprint::None, AttemptId::from_bytes([7; 16]));
    (asked.lease, asked.retention) = (lease, retention);
    let BeginDecision::Acquire(grant) = begin(None, &asked, false, at) else {
        unreachable!("absent: acquired")
    };
    let view = grant.with_fence(fence).0;
    let identity = Identity::new("orders", b"", key).expect("an identity");
    let event =
        Event::Acquired { identity, view: &view, previous: None, set_aside: SetAside::default() };
    take(&Fact { fence, at, expires_at: view.expires_at, retention, event })
}

/// Lends `take` the fact of its completion.
pub(crate) fn completed<R>(
    fence: u64,
    at: u64,
    retention: Millis,
    body: &[u8],
    take: impl FnOnce(&Fact<'_>) -> R,
) -> R {
    let at = Timestamp::from_millis(at);
    let result = StoredResult { status: 200, metadata: &[][..], body: Body::Kept(body) };
    let event = Event::Completed { result, digest: None, bound: None };
    let fence = Fence::new(fence).expect("a fence");
    take(&Fact { fence, at, expires_at: at.after(retention), retention, event })
}

/// Records it; gives its position.
pub(crate) fn record(journal: &Journal, fact: &Fact<'_>) -> Result<Position, Halted> {
    let mut position = Position(0);
    let kept = journal.record(fact, &mut |told| {
        position = told;
        true
    })?;
    assert!(kept);
    Ok(position)
}

/// Runs it until nothing is due at `now`.
pub(crate) fn run(journal: &Journal, now: u64) -> Option<u64> {
    let now = Timestamp::from_millis(now);
    for _ in 0..100 {
        let next = journal.run(now);
        if next.is_none_or(|next| next > now) {
            return next.map(Timestamp::as_millis);
        }
    }
    panic!("it does not come to rest");
}
