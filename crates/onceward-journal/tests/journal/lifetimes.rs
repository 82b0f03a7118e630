//! Files open, rotate and go; fences and names; what an earlier process left.

use onceward::{Event, Fact, FactLog as _, Fence, Millis, Timestamp};
use onceward_journal::{Disk as _, Manifest};

use crate::disk::{Fault, FaultDisk, Op};
use crate::scene::{DAY, OPTIONS, acquired, completed, record, recover, run, start};

/// (level, created at) of every facts file that the manifest names.
fn files(disk: &FaultDisk) -> Vec<(u8, u64)> {
    let manifest = Manifest::read(disk).expect("sound").expect("there");
    let header = |number: &u64| {
        let bytes = disk.header(&format!("facts-{number:016x}.log"));
        (bytes[40], u64::from_le_bytes(bytes[48..56].try_into().expect("8 bytes")))
    };
    manifest.files.keys().map(header).collect()
}

#[test]
fn files_rotate_and_go_within_the_bound_at_mixed_retentions_s7() {
    let disk = FaultDisk::default();
    let journal = start(&disk, 1).expect("a journal");
    let retentions = [1_000, 16_384, 32_767, 100_000, 131_072].map(Millis::new);
    let (mut now, mut fence, mut most) = (1, 0_u64, 0);
    let mut recorded = Vec::new();
    while now < 400_000 {
        for retention in retentions {
            fence += 1;
            let key = fence.to_le_bytes();
            acquired(&key, fence, now, retention, |fact| record(&journal, fact)).expect("kept");
            recorded.push((key.to_vec(), now + retention.get()));
        }
        now += 700;
        while run(&journal, now).is_some_and(|next| next <= now) {}
        let files = files(&disk);
        most = most.max(files.len());
        for (level, created_at) in files {
            let bound = (2 << level) + (1 << level) / 32;
            // Runs come every 700 ms here.
            assert!(now <= created_at + bound + 700, "level {level} at {now}: from {created_at}");
        }
        if now / 700 % 40 == 0 {
            // What has not expired is never dropped early.
            let (known, _) = recover(&disk.after_a_crash()).expect("recovered");
            let written = now - 1_000;
            let lost = recorded.iter().filter(|(key, end)| {
                let fence = u64::from_le_bytes(key[..].try_into().expect("8 bytes"));
                let at = fence / 5 * 700;
                *end > now && at < written && !known.contains_key(key)
            });
            assert_eq!(lost.count(), 0, "at {now}");
        }
        recorded.retain(|(_, end)| *end > now);
    }
    assert!(most > 30, "only {most} files at a time: nothing rotated");
    let idle = now + 300_000;
    while run(&journal, idle).is_some_and(|next| next <= idle) {}
    assert_eq!(files(&disk), [], "at rest nothing stays");
    let names = disk.list().expect("names");
    assert!(names.iter().filter(|name| name.starts_with("spare-")).count() <= 2);
    assert!(!names.iter().any(|name| name.starts_with("facts-")), "{names:?}");
}

#[test]
fn an_end_is_kept_as_long_as_what_it_ended_s4() {
    let disk = FaultDisk::default();
    let journal = start(&disk, 1).expect("a journal");
    let expires_at = acquired(b"a", 1, 1, DAY, |fact| {
        record(&journal, fact).expect("kept");
        fact.expires_at
    });
    let at = Timestamp::from_millis(DAY.get() - 50_000);
    let removed = Fact {
        fence: Fence::new(1).expect("a fence"),
        at,
        expires_at,
        retention: DAY,
        event: Event::Removed,
    };
    run(&journal, 5_000);
    journal.want(record(&journal, &removed).expect("kept"));
    run(&journal, at.as_millis());
    run(&journal, DAY.get() - 1_000);
    let (known, _) = recover(&disk.after_a_crash()).expect("recovered");
    assert!(known.is_empty(), "what was abandoned is back");
}

#[test]
fn a_full_file_gives_way_to_the_next_and_a_large_fact_gets_a_larger_one() {
    let disk = FaultDisk::default();
    let journal = start(&disk, 1).expect("a journal");
    let bodies = [1 << 20, 1 << 20, 1 << 20, 1 << 20, 5 << 20, 10];
    for (number, size) in (1..).zip(bodies) {
        acquired(&[number], u64::from(number), 1, DAY, |fact| record(&journal, fact))
            .expect("kept");
        let body = vec![number; size];
        let position = completed(u64::from(number), 1, DAY, &body, |fact| record(&journal, fact));
        journal.want(position.expect("kept"));
        run(&journal, 1);
    }
    assert!(files(&disk).len() >= 3);
    let (known, _) = recover(&disk.after_a_crash()).expect("recovered");
    assert_eq!(known.len(), bodies.len());
    assert!(known.values().all(|(_, has_result)| *has_result));
}

#[test]
fn a_ceiling_is_synced_before_fences_up_to_it_may_be_given_s4() {
    let disk = FaultDisk::default();
    let journal = start(&disk, 1).expect("a journal");
    let durable = |disk: &FaultDisk| {
        let manifest = Manifest::read(&disk.after_a_crash()).expect("sound").expect("there");
        manifest.fence_ceiling
    };
    let first = journal.fence_ceiling();
    assert!(first > 1 && durable(&disk) == first);
    journal.note_fence(first / 2);
    run(&journal, 1);
    assert_eq!(journal.fence_ceiling(), first, "enough is left");

    // The disk does not take the new ceiling: nobody may give fences up to it.
    disk.set_fault(Some(Fault::From(disk.calls())));
    journal.note_fence(first - 1);
    run(&journal, 2);
    assert_eq!(journal.fence_ceiling(), first);
    assert!(journal.halted().is_some());
    disk.set_fault(None);
    run(&journal, 2_000);
    assert!(journal.fence_ceiling() > first && journal.halted().is_none());
    assert_eq!(durable(&disk), journal.fence_ceiling());
    let (_, recovered) = recover(&disk.after_a_crash()).expect("recovered");
    assert!(recovered.fence_floor >= journal.fence_ceiling(), "a restart begins above it");
}

#[test]
fn a_cut_that_the_power_took_back_is_made_again() {
    let disk = FaultDisk::default();
    let journal = start(&disk, 1).expect("a journal");
    acquired(b"a", 1, 1, DAY, |fact| record(&journal, fact)).expect("kept");
    journal.stop(Timestamp::from_millis(1)).expect("a last sync");
    drop(journal);
    let manifest = Manifest::read(&disk).expect("sound").expect("there");
    let name = format!("facts-{:016x}.log", manifest.largest_file());
    let cut = disk.bytes(&name).len() as u64;
    disk.open(&name).expect("there").set_len(OPTIONS.file_bytes).expect("longer");

    let journal = start(&disk, 2).expect("a journal");
    run(&journal, 2);
    assert_eq!(disk.bytes(&name).len() as u64, cut);
    let (known, _) = recover(&disk.after_a_crash()).expect("recovered");
    assert_eq!(known.len(), 1);
}

#[test]
fn leftovers_of_half_made_files_do_no_harm() {
    let disk = FaultDisk::default();
    let journal = start(&disk, 1).expect("a journal");
    let position = acquired(b"a", 1, 1, DAY, |fact| record(&journal, fact)).expect("kept");
    journal.want(position);
    run(&journal, 1);
    drop(journal);
    let leftovers = [
        "facts-0000000000000777.log",
        "manifest.new",
        "progress.new",
        "spare-0000000000000778.log",
    ];
    for name in leftovers {
        disk.create(name, 100).expect("new").write_at(b"half", 0).expect("written");
    }
    let calls = disk.calls();
    let journal = start(&disk, 2).expect("it starts all the same");
    let calls = disk.calls_from(calls);
    let first = |op| calls.iter().position(|(called, _)| *called == op).expect("called");
    // The manifest that was read may not be durable, and the one before may name what goes.
    assert!(first(Op::SyncDirectory) < first(Op::Remove), "{calls:?}");
    let names = disk.list().expect("names");
    assert!(!names.iter().any(|name| leftovers.contains(&&**name)), "{names:?}");
    let position = acquired(b"b", 2, 2, DAY, |fact| record(&journal, fact)).expect("kept");
    journal.want(position);
    run(&journal, 2);
    let (known, _) = recover(&disk.after_a_crash()).expect("recovered");
    assert_eq!(known.len(), 2);
    let largest = Manifest::read(&disk).expect("sound").expect("there").largest_file();
    assert!(largest > 0x777, "no number is used twice: {largest:x}");
}

#[test]
fn a_namespace_gets_its_number_and_frames_then_use_it() {
    let disk = FaultDisk::default();
    let journal = start(&disk, 1).expect("a journal");
    for (number, at) in [(1, 1), (2, 2_000)] {
        acquired(&[number as u8], number, at, DAY, |fact| record(&journal, fact)).expect("kept");
        run(&journal, at + 10);
        run(&journal, at + 1_100);
    }
    let manifest = Manifest::read(&disk.after_a_crash()).expect("sound").expect("there");
    assert_eq!(manifest.names.values().collect::<Vec<_>>(), ["orders"]);
    let (known, _) = recover(&disk.after_a_crash()).expect("recovered");
    assert_eq!(known.len(), 2);
    let number = manifest.largest_file();
    let bytes = disk.bytes(&format!("facts-{number:016x}.log"));
    let spelt = bytes.windows(6).filter(|word| word == b"orders").count();
    assert_eq!(spelt, 1, "the first frame spells it out, the second does not");
}

#[test]
fn replies_wait_at_interval_only_when_a_sync_is_late_s14() {
    let disk = FaultDisk::default();
    let journal = start(&disk, 1).expect("a journal");
    let late = |now| journal.is_late(Timestamp::from_millis(now));
    assert!(!late(u64::MAX));
    acquired(b"a", 1, 100, DAY, |fact| record(&journal, fact)).expect("kept");
    assert!(!late(1_100) && late(1_101), "it is in memory");
    assert_eq!(run(&journal, 100), Some(110));
    assert_eq!(run(&journal, 110), Some(600), "written");
    assert!(!late(1_100) && late(1_101), "it is written");
    run(&journal, 600);
    assert!(!late(u64::MAX), "it is synced");
}
