use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::disk::MemoryDisk;
use crate::manifest::FileState;
use crate::recovery::Recovered;
use crate::sample::SampleEvent;
use crate::written::{FILE_BYTES, Written, WrittenFile, acquired, completed, fact, options};

/// A sealed file and an open one, whose last batch is not synced.
fn scene() -> (Written, [WrittenFile; 2]) {
    let mut written = Written::new();
    let sealed = written.file(FILE_BYTES, &[&[acquired(4, "a", None)], &[completed(4, b"done")]]);
    let facts =
        [&[acquired(5, "b", None)][..], &[completed(5, b"body")], &[acquired(6, "c", None)]];
    let open = written.file(FILE_BYTES, &facts);
    written.state(&sealed, FileState::Sealed { length: sealed.edges[2] });
    written.synced(&open, open.edges[2]);
    written.commit();
    (written, [sealed, open])
}

fn flip(disk: &MemoryDisk, name: &str, at: u64) {
    disk.bytes(name).lock()[at as usize] ^= 0x10;
}

fn starts(disk: &Arc<MemoryDisk>) -> Result<Recovered, JournalError> {
    Recovered::open(Arc::clone(disk) as Arc<dyn Disk>, &options(), &|_| {})
}

#[test]
fn a_sound_directory_is_reported_as_it_is() {
    let (written, [sealed, open]) = scene();
    written.disk.put(&file_name::facts(77), vec![1]);
    let before = written.disk.names();
    let report = verify(&*written.disk).expect("readable");
    assert!(report.is_sound());
    assert_eq!(report.leftovers, [file_name::facts(77)]);
    assert_eq!(written.disk.names(), before, "it changes nothing");
    let got: Vec<_> =
        report.files.iter().map(|file| (file.valid_bytes, file.batches, file.frames)).collect();
    assert_eq!(got, [(sealed.edges[2], 2, 2), (open.edges[3], 3, 3)]);
}

#[test]
fn verify_says_of_each_damage_what_a_start_says() {
    let (written, [sealed, open]) = scene();
    let names = [&sealed, &open].map(|file| file_name::facts(file.number));
    let cases: [(&str, usize, u64, bool); 4] = [
        ("the header", 0, 20, false),
        ("a synced batch", 1, open.edges[1] + 30, false),
        ("a batch of a sealed file", 0, sealed.edges[1] + 70, false),
        ("the tail", 1, open.edges[2] + 70, true),
    ];
    for (why, file, at, is_sound) in cases {
        let disk = Arc::new(MemoryDisk::clone(&written.disk));
        flip(&disk, &names[file], at);
        let report = verify(&*disk).expect("readable");
        assert_eq!(report.is_sound(), is_sound, "{why}");
        let started = starts(&disk);
        assert_eq!(started.is_ok(), is_sound, "{why}");
        match (&report.files[file].finding, started) {
            (
                Finding::Damaged { at, .. },
                Err(JournalError::Damaged { file: name, offset, .. }),
            ) => {
                assert_eq!((*at, name), (offset, names[file].clone()), "{why}");
            }
            (Finding::TornTail { at }, Ok(_)) => assert_eq!(*at, open.edges[2], "{why}"),
            other => panic!("{why}: {other:?}"),
        }
    }
    let disk = Arc::new(MemoryDisk::clone(&written.disk));
    disk.remove(&names[0]).expect("there");
    assert_eq!(verify(&*disk).expect("readable").files[0].finding, Finding::Missing);
}

#[test]
fn a_repaired_directory_starts_and_what_was_cut_is_kept_apart() {
    let (written, [sealed, open]) = scene();
    let names = [&sealed, &open].map(|file| file_name::facts(file.number));
    type Damage<'a> = &'a dyn Fn(&MemoryDisk);
    let cases: [(&str, usize, u64, Damage<'_>); 4] = [
        ("a synced batch", 1, open.edges[1], &|disk| flip(disk, &names[1], open.edges[1] + 30)),
        ("a sealed file", 0, sealed.edges[1], &|disk| flip(disk, &names[0], sealed.edges[1] + 70)),
        ("a header", 0, 0, &|disk| flip(disk, &names[0], 20)),
        ("a file that is gone", 1, 0, &|disk| disk.remove(&names[1]).expect("there")),
    ];
    for (why, file, keeps, damage) in cases {
        let disk = Arc::new(MemoryDisk::clone(&written.disk));
        damage(&disk);
        assert!(starts(&disk).is_err(), "{why}");
        let before = disk.names();
        let plan = repair(&*disk, "a test", RepairMode::Plan).expect("a plan");
        assert_eq!(disk.names(), before, "{why}: a plan changes nothing");
        assert!(starts(&disk).is_err(), "{why}: a plan changes nothing");
        let done = repair(&*disk, "a test", RepairMode::Apply).expect("repaired");
        let [cut] = &done.cuts[..] else { panic!("{why}: {done:?}") };
        assert_eq!((&cut.name, cut.keeps), (&names[file], keeps), "{why}");
        assert_eq!((&plan.cuts[0].name, plan.cuts[0].loses), (&cut.name, cut.loses), "{why}");
        if let Some(quarantine) = &cut.quarantine {
            let rest = disk.bytes(quarantine).lock().clone();
            assert_eq!(rest, disk.bytes(&names[file]).lock()[keeps as usize..], "{why}");
        }
        assert_eq!(cut.quarantine.is_none(), why == "a file that is gone");
        let recovered = starts(&disk).expect(why);
        assert!(recovered.identities() > 0, "{why}: the rest is there");
        assert!(repair(&*disk, "a test", RepairMode::Apply).expect("again").is_empty(), "{why}");
    }
}

#[test]
fn without_a_witness_open_files_count_as_they_are_once_repaired() {
    let (written, [_, open]) = scene();
    written.disk.remove(file_name::PROGRESS).expect("there");
    let report = verify(&*written.disk).expect("readable");
    assert!(!report.is_sound() && !report.has_witness);
    assert!(starts(&written.disk).is_err());
    let done = repair(&*written.disk, "a test", RepairMode::Apply).expect("repaired");
    assert_eq!(done.without_witness, [file_name::facts(open.number)]);
    assert_eq!(starts(&written.disk).expect("repaired").identities(), 3);
}

fn dumped(disk: &dyn Disk, options: DumpOptions) -> Vec<Value> {
    let mut lines = Vec::new();
    dump(disk, options, &mut |line| {
        lines.push(line.clone());
        Ok(())
    })
    .expect("readable");
    lines
}

#[test]
fn a_dump_shows_no_key_body_or_attempt_id_unless_asked_to_s16() {
    let mut written = Written::new();
    let facts = [
        acquired(5, "secret-key", None),
        completed(5, b"secret-body"),
        acquired(6, "secret-other", Some((5, 2))),
        fact(6, SampleEvent::Checkpointed { ordinal: 3, bytes: b"secret-step".to_vec() }),
        fact(6, SampleEvent::Doubted { doubt_number: 1 }),
        fact(6, SampleEvent::Extended { lease: 7, doubts_over: 1, bound: None }),
        fact(6, SampleEvent::Removed),
    ];
    written.file(FILE_BYTES, &[&facts]);
    written.commit();
    let lines = dumped(&*written.disk, DumpOptions::default());
    let kinds: Vec<_> = lines.iter().filter_map(|line| line["kind"].as_str()).collect();
    let want =
        ["acquired", "completed", "acquired", "checkpointed", "doubted", "extended", "removed"];
    assert_eq!(kinds, want);
    assert_eq!((&lines[0]["fence"], &lines[0]["offset"]), (&"5".into(), &128.into()));
    let all = serde_json::to_string(&lines).expect("JSON");
    for secret in ["secret", "tenant", "0505050505050505"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    let shown = dumped(&*written.disk, DumpOptions { show_keys: true });
    assert_eq!((&shown[0]["key"], &shown[0]["scope"]), (&"secret-key".into(), &"tenant".into()));
    assert_eq!(shown[0]["attempt_id_hex"], "05".repeat(16));
    assert_eq!(
        (&shown[1]["body"], &shown[3]["checkpoint"]),
        (&"secret-body".into(), &"secret-step".into())
    );
}

#[test]
fn a_dump_of_a_damaged_file_ends_with_the_damage() {
    let (written, [_, open]) = scene();
    let name = file_name::facts(open.number);
    flip(&written.disk, &name, open.edges[1] + 30);
    let lines = dumped(&*written.disk, DumpOptions::default());
    let last = lines.last().expect("lines");
    assert_eq!((&last["file"], &last["offset"]), (&name.into(), &open.edges[1].into()));
    assert!(last["damaged"].as_str().is_some_and(|what| what.contains("synced")), "{last}");
}
