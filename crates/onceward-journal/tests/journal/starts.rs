//! Power that goes while a journal starts on what another left: nothing is lost, and the next start
//! takes it.

use onceward::FactLog as _;
use onceward_journal::{FILE_BYTES_MIN, JournalOptions};

use crate::disk::{Fault, FaultDisk};
use crate::scene::{
    DAY, Known, OPTIONS, acquired, completed, record, recover, run, start, start_with,
};

/// Starts on `left` with the power cut at every call in turn, and expects `known` after each.
fn start_with_every_cut(left: &FaultDisk, known: &Known, now: u64) {
    let mut cuts = 0;
    loop {
        let disk = left.after_a_crash();
        disk.set_fault(Some(Fault::From(cuts)));
        let started = start(&disk, now);
        let (again, _) = recover(&disk.after_a_crash())
            .unwrap_or_else(|why| panic!("cut at call {cuts}: no recovery: {why}"));
        assert!(again == *known, "cut at call {cuts}: {} of {}", again.len(), known.len());
        if started.is_ok() {
            assert!(cuts > 5, "only {cuts} calls");
            return;
        }
        cuts += 1;
    }
}

#[test]
fn a_tail_that_fills_a_file_is_whole_wherever_its_start_ends_s14() {
    let disk = FaultDisk::default();
    let roomy = JournalOptions { file_bytes: 64 * FILE_BYTES_MIN, ..OPTIONS };
    let journal = start_with(&disk, 1, roomy).expect("a journal");
    let mut position = journal.synced();
    for fence in 1..=20_u64 {
        let key = fence.to_le_bytes();
        acquired(&key, fence, 1, DAY, |fact| record(&journal, fact)).expect("kept");
        let body = [9; 100 << 10];
        position = completed(fence, 1, DAY, &body, |fact| record(&journal, fact)).expect("kept");
        run(&journal, 1 + fence * 10);
    }
    journal.want(position);
    run(&journal, 300);
    assert!(journal.synced() >= position, "told, though the witness is not durable yet");
    let left = disk.after_a_crash();
    let (known, recovered) = recover(&left.after_a_crash()).expect("recovered");
    assert_eq!(known.len(), 20);
    // More than one batch takes, so that it is written in several parts.
    let file = recovered.files[0];
    assert!(file.end - file.synced > 16 * FILE_BYTES_MIN, "{file:?}");
    start_with_every_cut(&left, &known, 400);
}
