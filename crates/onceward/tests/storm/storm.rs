//! One storm: the store, its clock, its threads, and what must be left of it: nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use onceward::{
    Clock, Limits, ListQuery, Millis, Namespace, Store, StoreConfig, Timestamp, limits::LEASE_MIN,
};
use onceward_testkit::SplitMix64;

use crate::caller::{Caller, Counts};
use crate::keys::Owners;

/// A clock that orders nothing, so that a sanitizer sees what the store alone orders.
pub(crate) struct Loose(AtomicU64);

impl Clock for Loose {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Relaxed))
    }
}

impl Loose {
    pub(crate) fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Relaxed);
    }
}

pub(crate) struct Storm {
    pub(crate) seed: u64,
    pub(crate) clock: Arc<Loose>,
    pub(crate) store: Store,
    pub(crate) owners: Owners,
    /// No fence is smaller.
    pub(crate) first_fence: u64,
}

/// What is owed is taken even when the budget is used up: of a small one, up to this part.
const OVER_DIVISOR: u64 = 8;

/// Longest retention asked for.
pub(crate) const RETENTION_MAX: u64 = 2_000;

const LIMITS: Limits = Limits {
    result_bytes_max: 300_000,
    attempt_memory: Millis::new(200),
    wait_max: Millis::new(500),
    ..Limits::DEFAULT
};

#[derive(Default)]
pub(crate) struct Report {
    counts: Counts,
    listed: u64,
    ticks: u64,
    clock_ms: u64,
    high_water: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counts, listed, ticks, clock_ms, high_water } = self;
        write!(
            f,
            "{counts}; {listed} listed, {ticks} ticks over {clock_ms} ms, at most {high_water} B"
        )
    }
}

pub(crate) fn run(seed: u64, threads: u64, operations: u64) -> Report {
    let clock = Arc::new(Loose(AtomicU64::new(1_000)));
    // Little memory, so that it is used again, and that there is none at times.
    let memory_bytes = if seed.is_multiple_of(2) { 5 << 20 } else { 64 << 20 };
    let config = StoreConfig { memory_bytes, limits: LIMITS, ..StoreConfig::default() };
    let store = Store::new(config, Arc::clone(&clock) as _).expect("a valid configuration");
    let first_fence = crate::caller::first_fence(&store);
    let storm =
        Storm { seed, clock: Arc::clone(&clock), store, owners: Owners::new(), first_fence };
    let working = AtomicBool::new(true);
    let mut report = Report::default();
    thread::scope(|scope| {
        let ticker = scope.spawn(|| storm.tick_along(&clock, &working));
        let lister = scope.spawn(|| storm.list_along(&working));
        let callers: Vec<_> = (0..threads)
            .map(|number| {
                let storm = &storm;
                scope.spawn(move || Caller::new(storm, number).work(operations))
            })
            .collect();
        let mut failed = false;
        for caller in callers {
            match caller.join() {
                Ok(counts) => report.counts.add(&counts),
                Err(_) => failed = true,
            }
        }
        working.store(false, Relaxed);
        report.ticks = ticker.join().expect("see above");
        report.listed = lister.join().expect("see above");
        assert!(!failed, "seed {seed}: see above");
    });
    report.clock_ms = clock.now().as_millis();
    report.high_water = storm.store.stats().memory_high_water_bytes;
    storm.check_end(&clock);
    report.counts.check();
    report
}

impl Storm {
    /// With every budget there is.
    fn tick_along(&self, clock: &Loose, working: &AtomicBool) -> u64 {
        let mut random = SplitMix64::new(self.seed);
        let mut ticks = 0;
        while working.load(Relaxed) {
            let budget = if random.chance(80) { random.within(0..8) } else { 1_000 };
            let _ = self.store.tick(clock.now(), budget as usize);
            ticks += 1;
            thread::yield_now();
        }
        ticks
    }

    fn list_along(&self, working: &AtomicBool) -> u64 {
        let namespace = Namespace::new("orders").expect("valid");
        let mut query = ListQuery { entries_max: 100, ..ListQuery::default() };
        let mut listed = 0;
        while working.load(Relaxed) {
            let page = self.store.list(namespace, &query).expect("open");
            for entry in &page.entries {
                let key = entry.scoped_key.as_ref().key();
                let text = std::str::from_utf8(key).expect("keys are texts");
                let known = text.starts_with("order-")
                    || text.ends_with("-ac96-774b-bcce-b302099a8057")
                    || text.starts_with("01ARZ3NDEKTSV4RRFFQ");
                assert!(known, "S16: {text:?} is nobody's key");
                assert!(entry.fence.get() >= self.first_fence, "a fence nobody drew");
            }
            listed += page.entries.len() as u64;
            query.cursor = page.next.unwrap_or(onceward::PageCursor(0));
            let stats = self.store.stats();
            let most = stats.memory_limit_bytes + stats.memory_limit_bytes / OVER_DIVISOR;
            assert!(stats.memory_high_water_bytes <= most, "S11: over the limit: {stats:?}");
            thread::yield_now();
        }
        listed
    }

    /// S7, S11: once all is due, all is given back.
    fn check_end(&self, clock: &Loose) {
        // Memory may outlive what was in it by a second, or a twentieth of the retention.
        let overhang = 1_000 + RETENTION_MAX / 20;
        let longest = RETENTION_MAX + LIMITS.attempt_memory.get() + LEASE_MIN.get() + overhang;
        for _ in 0..2 {
            // What leaves at the first end may be remembered until the second.
            clock.advance(longest);
            while self.store.tick(clock.now(), 10_000).is_some_and(|next| next <= clock.now()) {}
        }
        let stats = self.store.stats();
        let left = (stats.entries, stats.waiters);
        assert_eq!(left, (0, 0), "seed {}: left behind: entries, waiters", self.seed);
        // An expiry slot that has not ended keeps a page at hand for each stripe, and one was
        // begun for a retention of a day.
        let (bytes, pages) = (stats.memory_used_bytes, 4 * 4_096);
        assert!(bytes <= pages, "seed {}: {bytes} bytes left behind", self.seed);
    }
}
