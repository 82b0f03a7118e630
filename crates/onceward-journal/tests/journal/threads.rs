//! Facts from many threads at once, and a journal on a thread of its own.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use onceward::{FactLog as _, Millis, Position, Timestamp};
use onceward_journal::{
    ClockReading, Disk, FileState, Journal, JournalThread, Manifest, Recovered, RecoveryOptions,
    Start, SystemDisk, resume_clock, wall_ms,
};
use parking_lot::Mutex;

use crate::disk::FaultDisk;
use crate::scene::{DAY, OPTIONS, acquired, recover, start};

#[test]
fn rounds_are_a_consistent_cut_of_commits_in_their_order_s14() {
    const THREADS: u64 = 6;
    const FACTS: u64 = 400;
    let disk = FaultDisk::default();
    let journal = start(&disk, 1).expect("a journal");
    // Positions in the order of commits.
    let order = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let recorders: Vec<_> = (0..THREADS)
            .map(|number| {
                let (journal, order) = (&journal, &order);
                scope.spawn(move || {
                    for count in 0..FACTS {
                        let fence = 1 + number * FACTS + count;
                        acquired(&fence.to_le_bytes(), fence, 5, DAY, |fact| {
                            journal.record(fact, &mut |position| {
                                order.lock().push((position, fence));
                                journal.want(position);
                                // Every third change loses, and leaves nothing.
                                !fence.is_multiple_of(3)
                            })
                        })
                        .expect("kept");
                    }
                })
            })
            .collect();
        while recorders.iter().any(|recorder| !recorder.is_finished()) {
            journal.run(Timestamp::from_millis(5));
            // Whatever this moment leaves of the disk: with a commit, all before it that were
            // told are there.
            let (seen, synced) = (order.lock().clone(), journal.synced());
            let told =
                seen.iter().filter(|(at, fence)| *at <= synced && !fence.is_multiple_of(3)).count();
            assert!(journal.counts().facts >= told as u64, "a told fact was in no round");
        }
    });
    let order = order.into_inner();
    assert!(order.is_sorted_by_key(|(position, _)| *position), "a later commit, an earlier round");
    let last = order.last().expect("facts").0;
    while journal.synced() < last {
        journal.run(Timestamp::from_millis(5));
    }
    let (known, _) = recover(&disk.after_a_crash()).expect("recovered");
    let kept = order.iter().filter(|(_, fence)| !fence.is_multiple_of(3)).count();
    assert_eq!(known.len(), kept);
    assert!(
        known.values().all(|(fence, _)| !fence.is_multiple_of(3)),
        "a change that lost left a fact"
    );
}

fn options() -> RecoveryOptions {
    RecoveryOptions {
        owner: "a test".into(),
        threads: 1,
        clocks: ClockReading::default(),
        count_downtime: Millis::ZERO,
        attempt_memory: Millis::new(120_000),
        random: [[3; 16], [4; 16]],
    }
}

#[test]
fn a_thread_syncs_for_who_waits_and_once_more_when_it_stops_s17() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk::open(folder.path()).expect("a disk"));
    let mut recovered = Recovered::open(Arc::clone(&disk), &options(), &|_| {}).expect("new");
    let (clock, record) = resume_clock(&recovered.manifest.clock, Millis::ZERO);
    let (_, start) = Start::of(&mut recovered, record, Arc::new(wall_ms)).expect("the first");
    let now = onceward::Clock::now(&*clock);
    let journal = Journal::start(Arc::clone(&disk), start, OPTIONS, now).expect("a journal");
    let journal = Arc::new(journal);
    let (told, synced) = mpsc::channel();
    journal.on_synced(Arc::new(move || {
        // Who waits may be gone.
        let _ = told.send(());
    }));
    let thread = JournalThread::start(&journal, clock.clone()).expect("a thread");
    let mut position = Position(0);
    for fence in 1..=50_u64 {
        let at = onceward::Clock::now(&*clock).as_millis();
        position = acquired(&fence.to_le_bytes(), fence, at, DAY, |fact| {
            crate::scene::record(&journal, fact)
        })
        .expect("kept");
        if fence % 10 == 0 {
            journal.want(position);
            while journal.synced() < position {
                synced.recv().expect("it tells");
            }
        }
    }
    let at = onceward::Clock::now(&*clock).as_millis();
    acquired(b"last", 51, at, DAY, |fact| crate::scene::record(&journal, fact)).expect("kept");
    thread.stop().expect("a last sync");
    assert!(journal.synced() > position);
    assert!(journal.halted().is_some_and(|why| why.contains("stopped")));
    acquired(b"later", 52, at, DAY, |fact| crate::scene::record(&journal, fact))
        .expect_err("it has stopped");
    drop(journal);
    let manifest = Manifest::read(&*disk).expect("sound").expect("there");
    let is_sealed = |state| matches!(state, FileState::Sealed { .. });
    assert!(manifest.files.values().all(|file| is_sealed(file.state)));
    let recovered = Recovered::open(disk, &options(), &|_| {}).expect("recovered");
    assert_eq!(recovered.identities(), 51);
}
