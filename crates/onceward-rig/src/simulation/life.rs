//! One life of the server: what the daemon puts together at its start, without its sockets and
//! threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use onceward::{Clock as _, FactLog, Limits, NamespaceConfig, Store, StoreConfig};
use onceward_journal::{
    ClockRecord, Disk, Journal, JournalError, JournalOptions, Recovered, RecoveryOptions, Start,
};

use super::content;
use super::desk::Desk;
use super::disk::SimulatedDisk;
use super::interruption::InterruptedLog;
use super::plan::{NAMESPACES, Plan};
use super::time::{StoreClock, Time};

/// Far more than all keys take.
const MEMORY_BYTES: u64 = 4 << 20;
const ENTRIES_MAX: u64 = 256;

/// A server that runs.
pub(crate) struct Life {
    pub(crate) desk: Arc<Desk>,
    clock: Arc<StoreClock>,
    journal: Arc<Journal>,
    /// The journal is to run earlier than it said.
    wakes: Arc<AtomicBool>,
    /// The store is to be called earlier than it said.
    is_earlier: Arc<AtomicBool>,
}

impl Life {
    /// Recovers what the disk has, and goes on with it.
    ///
    /// # Errors
    /// Why the server does not start.
    pub(crate) fn start(
        disk: &SimulatedDisk,
        time: &Arc<Time>,
        plan: &Plan,
        random: [u64; 2],
    ) -> Result<Self, JournalError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let [first, second] = random.map(|number| u128::from(number).to_le_bytes());
        let reading = time.read();
        let limits = Limits { result_bytes_max: content::BODY_BYTES_MAX, ..Limits::DEFAULT };
        let options = RecoveryOptions {
            owner: "the simulation".to_owned(),
            threads: 1,
            clocks: reading.clone(),
            count_downtime: plan.count_downtime,
            attempt_memory: limits.attempt_memory,
            random: [first, second],
        };
        let mut recovered = Recovered::open(Arc::clone(&disk), &options, &|_| {})?;
        let now = recovered.now;
        let clock = Arc::new(StoreClock::resuming_at(now, time));
        let wall = Arc::clone(time);
        let record = ClockRecord::of(now.as_millis(), &reading);
        let start = Start::of(&mut recovered, record, Arc::new(move || wall.wall_ms()));
        let (disk, start) = start.expect("asked once");
        let options = JournalOptions {
            interval: plan.interval,
            file_bytes: plan.file_bytes,
            ..JournalOptions::default()
        };
        let journal = Arc::new(Journal::start(disk, start, options, now)?);
        let log = Arc::new(InterruptedLog::new(Arc::clone(&journal) as Arc<dyn FactLog>));
        let config = StoreConfig {
            memory_bytes: MEMORY_BYTES,
            max_entries: Some(ENTRIES_MAX),
            limits,
            namespaces: namespaces(),
            fence_floor: recovered.fence_floor,
            boot_epoch: Some(1),
            hash_key: Some(second),
            ..StoreConfig::default()
        };
        let store = Store::with_journal(config, Arc::clone(&clock) as _, Arc::clone(&log) as _)
            .expect("a configuration that is always the same");
        recovered.restore(&store, &|_| {})?;
        store.arm_restored();
        let desk = Arc::new(Desk::new(store.clone(), Arc::clone(&journal) as _));
        log.set_desk(&desk);
        let [wakes, is_earlier] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let hook = Arc::clone(&wakes);
        journal.on_wake(Arc::new(move || hook.store(true, Relaxed)));
        let hook = Arc::clone(&is_earlier);
        store.on_earlier_deadline(Arc::new(move || hook.store(true, Relaxed)));
        Ok(Self { desk, clock, journal, wakes, is_earlier })
    }

    /// Lets the journal do what is due. When it is to be called again, in microseconds.
    pub(crate) fn run_journal(&self) -> Option<u64> {
        self.wakes.store(false, Relaxed);
        self.journal.run(self.clock.now()).map(|next| self.clock.when(next))
    }

    /// Lets the store do what is due. When it is to be called again, in microseconds.
    pub(crate) fn tick(&self, budget: usize) -> Option<u64> {
        self.is_earlier.store(false, Relaxed);
        self.desk.store.tick(self.clock.now(), budget).map(|next| self.clock.when(next))
    }

    /// Whether the journal, and whether the store, want to be called soon; asked once.
    pub(crate) fn wants(&self) -> (bool, bool) {
        (self.wakes.swap(false, Relaxed), self.is_earlier.swap(false, Relaxed))
    }

    /// Syncs a last time.
    ///
    /// # Errors
    /// If that did not come about.
    pub(crate) fn stop(&self) -> Result<(), JournalError> {
        self.journal.stop(self.clock.now())
    }

    /// Why facts are not kept, if they are not.
    pub(crate) fn halted(&self) -> Option<String> {
        self.journal.halted()
    }
}

fn namespaces() -> BTreeMap<String, NamespaceConfig> {
    NAMESPACES
        .iter()
        .map(|&(name, durability)| {
            let config =
                NamespaceConfig { durability: Some(durability), ..NamespaceConfig::default() };
            (name.to_owned(), config)
        })
        .collect()
}
