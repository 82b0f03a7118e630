//! How long a recovery takes: writes a directory of completed executions with a journal, then
//! recovers it from the page cache, into nothing and into a store.
//!
//! ```text
//! cargo run --release -p onceward-journal --example recovery_time -- DIR [ENTRIES [BODY_BYTES]]
//! ```
//!
//! DIR is made, or recovered as it is if it is there. It takes about 700 bytes per entry.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use onceward::lifecycle::{BeginDecision, begin};
use onceward::{
    AttemptId, Begin, BootClock, Digest, Event, Fact, FactLog as _, Fence, Identity, Restored,
    ResultRef, SetAside, Store, StoreConfig, Timestamp,
};
use onceward_journal::{
    Disk, EndedAttempt, Journal, JournalOptions, Recovered, RecoveryOptions, RestoreInto, Start,
    SystemDisk, read_clocks, wall_ms,
};

/// Results that are behind their grants, as many as are in flight.
const IN_FLIGHT: u64 = 1_000;
/// Facts between two calls of the journal's rounds.
const ROUND: u64 = 2_000;

type Any = Box<dyn Error>;

/// Counts what it is told.
#[derive(Default)]
struct Nothing(AtomicU64);

impl RestoreInto for Nothing {
    fn restore(&self, _: &Restored<'_>) -> Result<(), String> {
        self.0.fetch_add(1, Relaxed);
        Ok(())
    }

    fn restore_ended(&self, _: &EndedAttempt<'_>) {}
}

fn recovered(disk: &Arc<dyn Disk>, threads: usize) -> Result<Recovered, Any> {
    let options = RecoveryOptions {
        owner: "recovery_time".into(),
        threads,
        clocks: read_clocks(),
        count_downtime: onceward::Millis::ZERO,
        attempt_memory: onceward::Millis::from_secs(120),
        random: [[1; 16], [2; 16]],
    };
    Ok(Recovered::open(Arc::clone(disk), &options, &|_| {})?)
}

/// A fact of an acquisition that was granted when the directory was made.
fn fact(fence: u64, event: Event<'_>) -> Fact<'_> {
    let (at, retention) = (Timestamp::from_millis(1), Begin::RETENTION_DEFAULT);
    let fence = Fence::new(fence).expect("a small number");
    Fact { fence, at, expires_at: at.after(retention), retention, event }
}

fn write(disk: &Arc<dyn Disk>, entries: u64, body: &[u8]) -> Result<(), Any> {
    let mut new = recovered(disk, 1)?;
    new.restore(&Nothing::default(), &|_| {})?;
    let (now, floor) = (Timestamp::from_millis(1), new.fence_floor);
    let record = new.manifest.clock.clone();
    let started = Start::of(&mut new, record, Arc::new(wall_ms));
    let (disk, start) = started.ok_or("the directory is taken")?;
    let journal = Journal::start(disk, start, JournalOptions::default(), now)?;
    let keep = |fact: &Fact<'_>| journal.record(fact, &mut |_| true).map_err(|_| "halted");
    for number in 0..entries + IN_FLIGHT {
        if number < entries {
            let key = format!("{:08x}-{number:027}", number.wrapping_mul(2_654_435_761) as u32);
            let mut attempt = [0; 16];
            attempt[..8].copy_from_slice(&number.to_le_bytes());
            let fingerprint = Digest::new(&[7; 32])?.into();
            let asked = Begin::new(fingerprint, AttemptId::from_bytes(attempt));
            let BeginDecision::Acquire(grant) = begin(None, &asked, false, now) else {
                unreachable!("absent: acquired")
            };
            let view = grant.with_fence(fact(floor + number, Event::Removed).fence).0;
            let identity = Identity::new("orders", b"tenant", key.as_bytes())?;
            let set_aside = SetAside { result: 4_096, checkpoint: 0 };
            let acquired = Event::Acquired { identity, view: &view, previous: None, set_aside };
            keep(&fact(floor + number, acquired))?;
        }
        if let Some(number) = number.checked_sub(IN_FLIGHT) {
            let result = ResultRef::of(200, body);
            keep(&fact(floor + number, Event::Completed { result, digest: None, bound: None }))?;
        }
        journal.note_fence(floor + number);
        if number % ROUND == 0 {
            journal.run(now);
        }
    }
    Ok(journal.stop(now)?)
}

/// Milliseconds since boot, and of this process's work.
fn both_clocks() -> (u64, u64) {
    let used = nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID
        .now()
        .map_or(0, |used| used.tv_sec() as u64 * 1_000 + used.tv_nsec() as u64 / 1_000_000);
    (read_clocks().boot_ms, used)
}

fn print(what: &str, entries: u64, [from, scanned, told]: [(u64, u64); 3]) {
    println!(
        "{what}, {entries} entries: scan {} ms ({} ms of cores), restore {} ms ({} ms), together {} ms ({} ms)",
        scanned.0 - from.0,
        scanned.1 - from.1,
        told.0 - scanned.0,
        told.1 - scanned.1,
        told.0 - from.0,
        told.1 - from.1,
    );
}

fn main() -> Result<(), Any> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("name a directory that is to be made")?;
    let entries = arguments.next().map_or(Ok(5_000_000), |text| text.parse())?;
    let body_bytes = arguments.next().map_or(Ok(512), |text| text.parse())?;
    let is_new = !std::path::Path::new(&directory).exists();
    std::fs::create_dir_all(&directory)?;
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk::open(directory.as_ref())?);
    if is_new {
        let from = read_clocks().boot_ms;
        write(&disk, entries, &vec![b'x'; body_bytes])?;
        println!("written in {} ms", read_clocks().boot_ms - from);
    }
    for threads in [1, 2, 2] {
        let from = both_clocks();
        let mut known = recovered(&disk, threads)?;
        let scanned = both_clocks();
        let nothing = Nothing::default();
        known.restore(&nothing, &|_| {})?;
        let told = both_clocks();
        let what = format!("{threads} threads, into nothing");
        print(&what, nothing.0.into_inner(), [from, scanned, told]);
    }
    let from = both_clocks();
    let mut known = recovered(&disk, 2)?;
    let scanned = both_clocks();
    let config = StoreConfig { memory_bytes: 12 << 30, ..StoreConfig::default() };
    let store = Store::new(config, Arc::new(BootClock::resuming_at(known.now)))?;
    let counts = known.restore(&store, &|_| {})?;
    print("2 threads, into a store", counts.identities, [from, scanned, both_clocks()]);
    Ok(())
}
