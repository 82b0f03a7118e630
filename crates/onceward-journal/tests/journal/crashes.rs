//! Whatever call fails, or is the last before the power goes: nothing told as synced is lost, and
//! the journal heals (S14).

use onceward::FactLog as _;
use onceward_journal::Disk as _;

use crate::disk::{Fault, FaultDisk, Op};
use crate::scene::{DAY, acquired, completed, record, recover, run, start};

/// Facts that one run records, of alternating retention and with a result each.
const FACTS: u64 = 24;
const BODY: &[u8] = &[9; 1 << 10];
/// After this many facts a day's file is too old for more: 2^26 / 32 ms and some.
const ROTATES_AFTER: u64 = 12;
const ROTATION_MS: u64 = 2_100_000;

/// Drives a journal on a disk with that fault, and holds it to what it told. Says how many calls
/// it made.
fn drive(fault: Option<Fault>) -> Result<u64, String> {
    let disk = FaultDisk::default();
    disk.set_fault(fault);
    let mut told = Vec::new();
    let journal = match start(&disk, 1) {
        Ok(journal) => journal,
        // The fault came at the start: nothing was told.
        Err(_) => {
            disk.set_fault(None);
            let disk = disk.after_a_crash();
            return start(&disk, 1).map(|_| 0).map_err(|why| format!("after no start: {why}"));
        }
    };
    let mut now = 10;
    let mut halts = 0;
    for number in 1..=FACTS {
        let retention = if number % 5 == 0 { onceward::Millis::new(3_600_000) } else { DAY };
        let key = number.to_le_bytes();
        let recorded = acquired(&key, number, now, retention, |fact| record(&journal, fact))
            .and_then(|_| completed(number, now, retention, BODY, |fact| record(&journal, fact)));
        if let Ok(position) = recorded {
            // Every other fact is left to the interval.
            if number % 2 == 0 {
                journal.want(position);
            }
            told.push((key.to_vec(), number, position));
        }
        run(&journal, now);
        let is_halted = journal.halted().is_some();
        halts += u32::from(is_halted);
        now += if number == ROTATES_AFTER { ROTATION_MS } else { 300 };
        // Without power the disk does not change any more.
        let cut = matches!(fault, Some(Fault::From(_)));
        if number < FACTS && (cut || !is_halted && !number.is_multiple_of(6)) {
            continue;
        }
        let synced = journal.synced();
        let (known, _) = recover(&disk.after_a_crash())
            .map_err(|why| format!("fact {number}, with {fault:?}: no recovery: {why}"))?;
        for (key, fence, position) in &told {
            if *position <= synced && known.get(key) != Some(&(*fence, true)) {
                return Err(format!("fact {fence} was told as synced and is lost: {fault:?}"));
            }
        }
    }
    if matches!(fault, Some(Fault::From(_))) {
        return Ok(disk.calls());
    }
    if halts > 8 {
        return Err(format!("it did not heal: {fault:?}"));
    }
    if disk.was_asked_again() {
        return Err(format!("a failed file was written or synced again: {fault:?}"));
    }
    journal.stop(onceward::Timestamp::from_millis(now + 2_000)).map_err(|why| why.to_string())?;
    let (known, recovered) = recover(&disk.after_a_crash()).map_err(|why| why.to_string())?;
    let kept = told.iter().filter(|(key, fence, _)| known.get(key) == Some(&(*fence, true)));
    if kept.count() != told.len() {
        return Err(format!("a fact that was kept did not outlive a stop: {fault:?}"));
    }
    if recovered.files.iter().any(|file| file.is_torn) {
        return Err("a file is torn after a stop".to_owned());
    }
    Ok(disk.calls())
}

/// Both sweeps, over every call.
pub(crate) fn sweep() -> Result<(), String> {
    let calls = drive(None)?;
    assert!(calls > 60, "only {calls} calls");
    for number in 0..calls {
        drive(Some(Fault::Once(number)))?;
        drive(Some(Fault::From(number)))?;
    }
    Ok(())
}

#[test]
fn whatever_call_fails_nothing_told_is_lost_and_it_heals_s14() {
    sweep().expect("nothing is lost");
}

#[test]
fn a_full_disk_is_said_and_heals_when_room_returns_s14() {
    let disk = FaultDisk::default();
    let journal = start(&disk, 1).expect("a journal");
    let position = acquired(b"a", 1, 1, DAY, |fact| record(&journal, fact)).expect("kept");
    journal.want(position);
    disk.set_fault(Some(Fault::Full));
    run(&journal, 1);
    assert!(journal.synced() < position);
    let why = journal.halted().expect("halted");
    assert!(why.contains("make room"), "{why}");
    acquired(b"b", 2, 1, DAY, |fact| record(&journal, fact)).expect_err("refused");

    let calls = disk.calls();
    assert_eq!(run(&journal, 1_000), Some(1_001), "nothing is tried before its time");
    assert_eq!(disk.calls(), calls);
    run(&journal, 1_001);
    assert!(journal.halted().is_some() && disk.calls() > calls, "tried, and still full");
    disk.set_fault(None);
    run(&journal, 2_001);
    assert_eq!(journal.halted(), None);
    assert!(journal.synced() >= position, "what waited is told");
    acquired(b"b", 2, 2_001, DAY, |fact| record(&journal, fact)).expect("kept again");
    let (known, _) = recover(&disk.after_a_crash()).expect("recovered");
    assert_eq!(known.len(), 1);
}

#[test]
fn nothing_is_told_without_a_witness_that_it_is_synced_s14() {
    let disk = FaultDisk::default();
    let journal = start(&disk, 1).expect("a journal");
    let position = acquired(b"a", 1, 1, DAY, |fact| record(&journal, fact)).expect("kept");
    journal.want(position);
    run(&journal, 1);
    let calls = disk.calls();
    let position = acquired(b"b", 2, 2, DAY, |fact| record(&journal, fact)).expect("kept");
    journal.want(position);
    // The batch is written and synced; its witness is not written, and finds no new file.
    disk.set_fault(Some(Fault::From(calls + 2)));
    run(&journal, 2);
    let failed = disk.calls_from(calls + 2);
    assert!(failed[0].0 == Op::Write && failed[0].1.starts_with("progress"), "{failed:?}");
    assert!(journal.synced() < position && journal.halted().is_some());
    disk.set_fault(None);
    run(&journal, 1_002);
    assert!(journal.synced() >= position && journal.halted().is_none(), "and it heals");

    // The slot that fails may take the witness of earlier syncs along: a new file has them at once.
    let calls = disk.calls();
    let position = acquired(b"c", 3, 1_003, DAY, |fact| record(&journal, fact)).expect("kept");
    journal.want(position);
    disk.set_fault(Some(Fault::Once(calls + 2)));
    run(&journal, 1_003);
    assert!(journal.synced() >= position && journal.halted().is_none());
    assert!(
        disk.calls_from(calls).iter().any(|(op, name)| *op == Op::Rename && name == "progress.new")
    );
    let name = disk.list().expect("names").into_iter().find(|name| name.starts_with("facts-"));
    let name = name.expect("a file");
    let length = disk.bytes(&name).iter().rposition(|byte| *byte != 0).expect("facts");
    let last = disk.bytes(&name)[length];
    let file = disk.open(&name).expect("there");
    file.write_at(&[last ^ 1], length as u64).expect("a bit flips");
    recover(&disk).expect_err("what was told is damaged, and no start goes on without it");
}

#[test]
fn a_round_of_one_retention_syncs_one_file_once() {
    let disk = FaultDisk::default();
    let journal = start(&disk, 1).expect("a journal");
    for number in 1..=20 {
        let calls = disk.calls();
        for key in 0..10_u64 {
            let fence = number * 10 + key;
            acquired(&fence.to_le_bytes(), fence, 5, DAY, |fact| record(&journal, fact))
                .expect("kept");
        }
        let position =
            completed(number * 10, 5, DAY, b"done", |fact| record(&journal, fact)).expect("kept");
        journal.want(position);
        run(&journal, 5);
        assert!(journal.synced() >= position);
        let calls = disk.calls_from(calls);
        let facts: Vec<_> = calls.iter().filter(|(_, name)| name.starts_with("facts-")).collect();
        let name = facts[0].1.clone();
        if number > 1 {
            assert_eq!(facts, [&(Op::Write, name.clone()), &(Op::Sync, name)], "round {number}");
        }
    }
}

#[test]
fn what_is_not_known_to_be_synced_is_written_anew_at_the_start_s14() {
    let disk = FaultDisk::default();
    let journal = start(&disk, 1).expect("a journal");
    let position = acquired(b"a", 1, 1, DAY, |fact| record(&journal, fact)).expect("kept");
    journal.want(position);
    run(&journal, 1);
    // Written, not synced; then the process is killed, and the disk's memory goes on.
    acquired(b"b", 2, 5, DAY, |fact| record(&journal, fact)).expect("kept");
    run(&journal, 15);
    let (known, _) = recover(&disk.after_a_crash()).expect("recovered");
    assert_eq!(known.len(), 1, "the second is not durable yet");
    drop(journal);
    let journal = start(&disk, 20).expect("a journal");
    let (known, _) = recover(&disk.after_a_crash()).expect("recovered");
    assert_eq!(known.len(), 2, "whatever a start restores is durable when it returns");
    drop(journal);
}
