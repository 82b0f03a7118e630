//! A store with a clock of the test's own, and a diary of what ran.

use std::sync::{Arc, Mutex};

use onceward::{Store, StoreConfig};
use onceward_client::*;
use onceward_testkit::ManualClock;

pub(crate) const LEASE: Millis = Begin::LEASE_DEFAULT;

pub(crate) fn key() -> ScopedKeyBuf {
    ScopedKeyBuf::new("tenant-9", "booking-1").unwrap()
}

pub(crate) struct Scene {
    pub(crate) client: Client,
    pub(crate) diary: Diary,
    store: Store,
    clock: Arc<ManualClock>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new(1_000));
        let store = Store::new(StoreConfig::default(), Arc::clone(&clock) as _).unwrap();
        let client = Client::embedded(store.clone(), "orders").unwrap();
        Self { client, diary: Diary::default(), store, clock }
    }

    /// Ends every lease that runs.
    pub(crate) fn lapse(&self) {
        let now = self.clock.advance(LEASE);
        self.store.tick(now, usize::MAX);
    }

    /// Runs a program until it is done or `cut` is told, and then drops it, as a crash would. The
    /// lease is over afterwards.
    pub(crate) async fn crash<T>(&self, running: impl Future<Output = T>) {
        tokio::select! {
            biased;
            () = self.diary.crashed() => {}
            _ = running => panic!("it was to crash"),
        }
        self.lapse();
    }
}

/// What ran, in order. A line `crash` makes [`Scene::crash`] drop the run.
#[derive(Clone, Default)]
pub(crate) struct Diary(Arc<DiaryState>);

#[derive(Default)]
struct DiaryState {
    lines: Mutex<Vec<String>>,
    crash: tokio::sync::Notify,
}

impl Diary {
    pub(crate) fn note(&self, line: impl Into<String>) {
        self.0.lines.lock().unwrap().push(line.into());
    }

    /// The lines since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lines.lock().unwrap())
    }

    /// Never returns: the run is dropped.
    pub(crate) async fn crash_here(&self) -> ! {
        self.0.crash.notify_one();
        std::future::pending().await
    }

    async fn crashed(&self) {
        self.0.crash.notified().await;
    }
}
