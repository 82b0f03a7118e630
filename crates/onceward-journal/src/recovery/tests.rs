//! Directories written by hand, recovered whole, recovered damaged.

mod damaged;

use onceward::{AttemptId, Digest, Fingerprint, IdentityBuf, Policy, RestoredState, SetAside};

use super::*;
use crate::disk::MemoryDisk;
use crate::sample::{Sample, SampleEvent};
use crate::written::{
    ACQUIRED_AT, EXPIRES_AT, FILE_BYTES, Written, acquired, completed, fact, options,
};

/// What a store would have been told of one identity.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    fence: u64,
    attempt: (AttemptId, u32),
    doubt_number: u32,
    fingerprint: Fingerprint,
    times: (u64, u64),
    policy: Policy,
    lease: u64,
    set_aside: SetAside,
    checkpoint: (u32, Vec<u8>),
    state: String,
}

/// Takes in everything.
#[derive(Debug, Default)]
pub(super) struct Memory {
    told: Mutex<Vec<(IdentityBuf, Told)>>,
    ended: Mutex<Vec<(IdentityBuf, AttemptId, u64)>>,
}

impl RestoreInto for Memory {
    fn restore(&self, restored: &Restored<'_>) -> Result<(), String> {
        let state = match restored.state {
            RestoredState::Reserved => "reserved".to_owned(),
            RestoredState::InDoubt { since } => format!("in doubt since {}", since.as_millis()),
            RestoredState::Completed { at, result, digest } => {
                let body = result.body.kept().map(|body| String::from_utf8_lossy(body));
                format!(
                    "{} {:?} {body:?} {digest:?} at {}",
                    result.status,
                    result.metadata,
                    at.as_millis()
                )
            }
        };
        let told = Told {
            fence: restored.fence.get(),
            attempt: (restored.attempt_id, restored.attempt_number),
            doubt_number: restored.doubt_number,
            fingerprint: restored.fingerprint,
            times: (restored.acquired_at.as_millis(), restored.expires_at.as_millis()),
            policy: restored.policy,
            lease: restored.lease.get(),
            set_aside: restored.set_aside,
            checkpoint: (restored.checkpoint.0, restored.checkpoint.1.to_vec()),
            state,
        };
        self.told.lock().push((restored.identity.to_owned(), told));
        Ok(())
    }

    fn restore_ended(&self, ended: &EndedAttempt<'_>) {
        let one = (ended.identity.to_owned(), ended.attempt_id, ended.ended_at.as_millis());
        self.ended.lock().push(one);
    }
}

impl Memory {
    /// Everything told, in the order of fences.
    pub(super) fn told(&self) -> Vec<Told> {
        let mut told: Vec<_> = self.told.lock().iter().map(|(_, told)| told.clone()).collect();
        told.sort_by_key(|told| told.fence);
        told
    }
}

pub(super) fn recover(
    disk: Arc<MemoryDisk>,
    options: &RecoveryOptions,
) -> Result<(Recovered, Memory), JournalError> {
    let mut recovered = Recovered::open(disk, options, &|_| {})?;
    let memory = Memory::default();
    recovered.restore(&memory, &|_| {})?;
    Ok((recovered, memory))
}

#[test]
fn no_number_of_a_doubt_that_only_lapsed_is_shown_again_after_a_restart_s8_s13() {
    let doubted = fact(6, SampleEvent::Doubted { doubt_number: 2 });
    let mut written = Written::new();
    written.manifest.instance = 3;
    written.file(
        FILE_BYTES,
        &[&[acquired(5, "lapsed", None), acquired(6, "given up", None), doubted]],
    );
    written.commit();
    let (_, memory) = recover(written.disk, &options()).expect("recovered");
    let numbers: Vec<_> = memory.told().iter().map(|told| told.doubt_number).collect();
    assert_eq!(numbers, [3 * 4_096, 2], "a doubt that its owner declared is the same as before");
}

/// What is told of an acquisition of which nothing but the grant is known.
fn reserved(fence: u64, attempt_number: u32) -> Told {
    Told {
        fence,
        attempt: (AttemptId::from_bytes([fence as u8; 16]), attempt_number),
        doubt_number: 0,
        fingerprint: Fingerprint::Later,
        times: (ACQUIRED_AT, EXPIRES_AT),
        policy: Policy::Takeover,
        lease: 30_000,
        set_aside: SetAside { result: 4_096, checkpoint: 100 },
        checkpoint: (0, Vec::new()),
        state: "reserved".to_owned(),
    }
}

fn done(body: &str) -> String {
    format!("201 [] {:?} None at {ACQUIRED_AT}", Some(body))
}

fn digest() -> Digest {
    Digest::new(&[5; 20]).expect("20 bytes")
}

#[test]
fn each_kind_of_fact_comes_back_s13() {
    let extended = |lease, doubts_over, bound| SampleEvent::Extended { lease, doubts_over, bound };
    let checkpointed =
        |ordinal, text: &str| SampleEvent::Checkpointed { ordinal, bytes: text.into() };
    #[rustfmt::skip]
    let cases: Vec<(&str, Vec<Sample>, Option<Told>)> = vec![
        ("a grant", vec![acquired(5, "k", None)], Some(reserved(5, 1))),
        ("a result", vec![acquired(5, "k", None), completed(5, b"body")],
            Some(Told { state: done("body"), ..reserved(5, 1) })),
        ("a longer lease and a bound digest",
            vec![acquired(5, "k", None), fact(5, extended(60_000, 0, Some(digest()))), fact(5, extended(50_000, 0, None))],
            Some(Told { lease: 60_000, fingerprint: digest().into(), ..reserved(5, 1) })),
        ("an extension shorter than the grant's lease",
            vec![acquired(5, "k", None), fact(5, extended(200, 0, None))], Some(reserved(5, 1))),
        ("left in doubt: nobody may take over (S8)",
            vec![acquired(5, "k", None), fact(5, SampleEvent::Doubted { doubt_number: 2 })],
            Some(Told {
                doubt_number: 2, policy: Policy::InDoubt,
                state: format!("in doubt since {ACQUIRED_AT}"), ..reserved(5, 1)
            })),
        ("a doubt that is over: its policy stays (S8)",
            vec![acquired(5, "k", None), fact(5, SampleEvent::Doubted { doubt_number: 2 }), fact(5, extended(100, 2, None))],
            Some(Told { doubt_number: 2, policy: Policy::InDoubt, ..reserved(5, 1) })),
        ("a checkpoint, the largest ordinal",
            vec![acquired(5, "k", None), fact(5, checkpointed(2, "two")), fact(5, checkpointed(1, "one"))],
            Some(Told { checkpoint: (2, b"two".to_vec()), ..reserved(5, 1) })),
        ("a takeover inherits the checkpoint, along the chain (S19)",
            vec![acquired(5, "k", None), fact(5, checkpointed(2, "two")), acquired(6, "k", Some((5, 2))), acquired(7, "k", Some((6, 3)))],
            Some(Told { checkpoint: (2, b"two".to_vec()), ..reserved(7, 3) })),
        ("a new acquisition inherits nothing",
            vec![acquired(5, "k", None), fact(5, checkpointed(2, "two")), fact(5, SampleEvent::Removed), acquired(6, "k", None)],
            Some(reserved(6, 1))),
        ("a fenced owner's result is nobody's (S4)",
            vec![acquired(5, "k", None), acquired(6, "k", Some((5, 2))), completed(5, b"late")],
            Some(reserved(6, 2))),
        ("abandoned", vec![acquired(5, "k", None), fact(5, SampleEvent::Removed)], None),
        ("completed and forgotten",
            vec![acquired(5, "k", None), completed(5, b"body"), fact(5, SampleEvent::Removed)], None),
        ("the rest of what nobody was granted", vec![completed(5, b"body"), fact(5, SampleEvent::Removed)], None),
    ];
    for (why, facts, want) in cases {
        // All in one batch; one by one; backwards, in two files.
        let (mut whole, mut single, mut apart) = (Written::new(), Written::new(), Written::new());
        whole.file(FILE_BYTES, &[&facts]);
        single.file(FILE_BYTES, &facts.chunks(1).collect::<Vec<_>>());
        let backwards: Vec<_> = facts.iter().rev().cloned().collect();
        let (first, second) = backwards.split_at(backwards.len() / 2);
        apart.file(FILE_BYTES, &[first]);
        apart.file(FILE_BYTES, &[second, first]);
        for written in [whole, single, apart] {
            written.commit();
            let (recovered, memory) = recover(written.disk, &options()).expect(why);
            assert_eq!(memory.told(), Vec::from_iter(want.clone()), "{why}");
            assert_eq!(recovered.identities(), 0, "the plan is used up");
            let largest = facts.iter().map(|fact| fact.fence).max().expect("facts");
            assert!(recovered.fence_floor > largest && recovered.fence_floor >= 1 << 22, "{why}");
        }
    }
}

#[test]
fn identities_are_told_in_full_and_ended_attempts_are_remembered_s3() {
    let mut written = Written::new();
    let facts =
        [acquired(4, "abandoned", None), fact(4, SampleEvent::Removed), acquired(5, "k", None)];
    written.file(FILE_BYTES, &[&facts]);
    written.commit();
    let (_, memory) = recover(Arc::clone(&written.disk), &options()).expect("sound");
    let identity = |key: &str| {
        onceward::Identity::new("orders", b"tenant", key.as_bytes()).expect("valid").to_owned()
    };
    assert_eq!(memory.told.lock()[0].0, identity("k"));
    let ended = (identity("abandoned"), AttemptId::from_bytes([4; 16]), ACQUIRED_AT);
    assert_eq!(*memory.ended.lock(), [ended]);
    let forgetful = RecoveryOptions { attempt_memory: Millis::ZERO, ..options() };
    let (_, memory) = recover(written.disk, &forgetful).expect("sound");
    assert!(memory.ended.lock().is_empty(), "it ended too long ago");
}

#[test]
fn fences_go_on_above_all_that_were_given_s13() {
    let cases = [
        ("the ceiling", 1 << 40, 7, 0, 1 << 40),
        ("a fence in a file", 5, 1 << 50, 1_000, (1 << 50) + 1),
        ("the wall clock", 5, 7, 1_700_000_000_000, 1_700_000_000_000 << 20),
        ("a wall clock that lies", 5, 7, u64::MAX, 8),
    ];
    for (why, ceiling, fence, wall_ms, want) in cases {
        let mut written = Written::new();
        written.manifest.fence_ceiling = ceiling;
        written.file(FILE_BYTES, &[&[acquired(fence, "k", None)]]);
        written.commit();
        let clocks = ClockReading { wall_ms, ..options().clocks };
        let options = RecoveryOptions { clocks, ..options() };
        let (recovered, _) = recover(written.disk, &options).expect(why);
        assert_eq!(recovered.fence_floor, want, "{why}");
    }
}

#[test]
fn the_clock_goes_on_from_the_latest_record_and_what_has_expired_is_gone_s7_s15() {
    let record = |store_ms, wall_ms| ClockRecord { store_ms, wall_ms, ..ClockRecord::default() };
    for (now, present) in [(EXPIRES_AT - 1, 1), (EXPIRES_AT, 0)] {
        let mut by_manifest = Written::new();
        by_manifest.manifest.clock = record(now, 1);
        by_manifest.file(FILE_BYTES, &[&[acquired(5, "k", None)]]);
        let mut by_progress = Written::new();
        by_progress.progress.at = Timestamp::from_millis(now);
        by_progress.file(FILE_BYTES, &[&[acquired(5, "k", None)]]);
        for written in [by_manifest, by_progress] {
            written.commit();
            let (recovered, memory) = recover(written.disk, &options()).expect("sound");
            assert_eq!((recovered.now.as_millis(), memory.told().len()), (now, present));
        }
    }
    // A batch is later than both; the time since then does not count twice as downtime.
    let mut written = Written::new();
    written.file(FILE_BYTES, &[&[acquired(5, "k", None)]]);
    written.commit();
    let clocks = ClockReading { wall_ms: 7_501 + 10, ..options().clocks };
    let down = RecoveryOptions { clocks, count_downtime: Millis::new(99), ..options() };
    let (recovered, _) = recover(written.disk, &down).expect("sound");
    assert_eq!(recovered.manifest.clock, record(ACQUIRED_AT + 1, 7_501));
    assert_eq!(recovered.now.as_millis(), ACQUIRED_AT + 11);
}

#[test]
fn files_say_how_far_they_are_valid_and_how_long_they_are_needed() {
    let mut written = Written::new();
    let short = Sample { expires_at: 9_000, ..acquired(4, "short", None) };
    let first = written.file(FILE_BYTES, &[&[short], &[]]);
    let second = written.file(FILE_BYTES, &[&[acquired(5, "k", None)]]);
    let third = written.file(FILE_BYTES, &[&[Sample { expires_at: 0, ..completed(4, b"done") }]]);
    written.commit();
    let (recovered, _) = recover(written.disk, &options()).expect("sound");
    let ends: Vec<_> = recovered.files.iter().map(|file| file.expires_at.as_millis()).collect();
    assert_eq!(ends, [9_000, EXPIRES_AT, 9_000], "a result is needed as long as its grant");
    for (file, written) in recovered.files.iter().zip([first, second, third]) {
        assert_eq!((file.number, file.is_torn), (written.number, false));
        assert_eq!(Some(&file.end), written.edges.last());
        assert_eq!(file.batches as usize, written.edges.len() - 1);
    }
    assert_eq!(recovered.next_round, 32, "above the third file's only round");
}

#[test]
fn what_no_manifest_names_is_taken_away_and_a_new_directory_is_empty() {
    let disk = Arc::new(MemoryDisk::default());
    let (recovered, memory) = recover(Arc::clone(&disk), &options()).expect("new");
    assert_eq!(recovered.manifest, Manifest::new([3; 16], [4; 16]));
    assert!(memory.told().is_empty() && recovered.files.is_empty());

    let mut written = Written::new();
    written.file(FILE_BYTES, &[&[acquired(5, "k", None)]]);
    written.commit();
    let unnamed =
        [file_name::facts(9), file_name::MANIFEST_NEW.into(), file_name::PROGRESS_NEW.into()];
    for name in &unnamed {
        written.disk.put(name, vec![1, 2, 3]);
    }
    written.disk.put(&file_name::spare(7), vec![0; 64]);
    written.disk.put("lost+found", vec![]);
    let (recovered, memory) = recover(Arc::clone(&written.disk), &options()).expect("sound");
    assert_eq!((recovered.spares, memory.told().len()), (vec![7], 1));
    let left = written.disk.names();
    assert!(!unnamed.iter().any(|name| left.contains(name)), "{left:?}");
    assert!(left.contains(&"lost+found".to_owned()), "what is not ours stays");
}

#[test]
fn several_threads_tell_what_one_does() {
    let mut written = Written::new();
    for file in 0..9_u64 {
        let fences = (0..40).map(|number| 1 + file * 40 + number);
        let facts: Vec<_> = fences
            .flat_map(|fence| {
                // Every third is completed in the next file's fences, which are other identities'.
                let key = format!("key {}", fence % 200);
                let takeover = (fence > 200).then(|| (fence - 200, 2));
                [acquired(fence, &key, takeover), completed(fence / 2 + 1, b"result")]
            })
            .collect();
        written.file(32_768, &facts.chunks(7).collect::<Vec<_>>());
    }
    written.commit();
    let (_, alone) = recover(Arc::clone(&written.disk), &options()).expect("sound");
    let progress = Mutex::new(Vec::new());
    let several = RecoveryOptions { threads: 4, ..options() };
    let mut recovered =
        Recovered::open(written.disk, &several, &|step| progress.lock().push(step)).expect("sound");
    let together = Memory::default();
    let counts = recovered.restore(&together, &|step| progress.lock().push(step)).expect("told");
    assert_eq!(together.told(), alone.told());
    assert_eq!((together.told().len(), counts.identities), (200, 200));
    let last = |pass| {
        let steps = progress.lock();
        steps.iter().filter(|step| step.pass == pass).map(|step| step.done).max()
    };
    assert_eq!((last(Pass::Scan), last(Pass::Restore)), (Some(9 * 32_768), Some(200)));
}

#[test]
fn a_store_that_refuses_ends_the_recovery() {
    struct Full;
    impl RestoreInto for Full {
        fn restore(&self, _: &Restored<'_>) -> Result<(), String> {
            Err("no room".to_owned())
        }
        fn restore_ended(&self, _: &EndedAttempt<'_>) {}
    }
    let mut written = Written::new();
    written.file(FILE_BYTES, &[&[acquired(5, "k", None)]]);
    written.commit();
    let mut recovered = Recovered::open(written.disk, &options(), &|_| {}).expect("sound");
    let refused = recovered.restore(&Full, &|_| {}).expect_err("full");
    assert!(refused.to_string().contains("no room"), "{refused}");
}
