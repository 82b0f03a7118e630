use onceward::{Event, Fact};
use proptest::prelude::*;

use super::encode::{encode, seal};
use super::*;
use crate::sample::{Sample, sample};

fn encoded(sample: &Sample, namespace: Option<u16>) -> Vec<u8> {
    let mut bytes = Vec::new();
    sample.with(|fact| encode(fact, namespace, &mut bytes));
    bytes
}

/// That a frame says what its fact said.
fn check(fact: &Fact<'_>, frame: &Frame<'_>, number: Option<u16>) {
    assert_eq!(frame.fence, fact.fence);
    match (&fact.event, &frame.event) {
        (Event::Acquired { identity, view, previous, set_aside }, FrameEvent::Acquired(got)) => {
            assert_eq!(got.attempt_id, view.attempt_id);
            assert_eq!(got.expires_at, fact.expires_at);
            assert_eq!(got.acquired_at, view.acquired_at);
            let state = onceward::lifecycle::State::Reserved {
                lease_until: got.acquired_at.after(got.lease),
                policy: got.policy,
            };
            assert_eq!(state, view.state);
            assert_eq!(got.set_aside, *set_aside);
            assert_eq!(got.fingerprint, view.fingerprint);
            assert_eq!(got.takeover.map(|(fence, _)| fence), *previous);
            assert_eq!(got.attempt_number(), view.attempt_number);
            assert_eq!(got.scope, identity.scoped_key().scope());
            assert_eq!(got.key, identity.scoped_key().key());
            let name = match number {
                Some(number) => NamespaceName::Number(number),
                None => NamespaceName::Spelt(identity.namespace().as_str()),
            };
            assert_eq!(got.namespace, name);
        }
        (
            Event::Completed { result, digest, bound },
            FrameEvent::Completed { at, result: got, digest: got_digest, bound: got_bound },
        ) => {
            assert_eq!((*at, got_digest, got_bound), (fact.at, digest, bound));
            assert!(got == result, "status, metadata, body");
        }
        (Event::Removed, FrameEvent::Removed { at }) => assert_eq!(*at, fact.at),
        (Event::Doubted { doubt_number }, FrameEvent::Doubted { since, doubt_number: got }) => {
            assert_eq!((*since, got), (fact.at, doubt_number));
        }
        (
            Event::Extended { lease, doubts_over, bound },
            FrameEvent::Extended { lease: got_lease, doubts_over: got_over, bound: got_bound },
        ) => assert_eq!((got_lease, got_over, got_bound), (lease, doubts_over, bound)),
        (
            Event::Checkpointed { ordinal, bytes },
            FrameEvent::Checkpointed { ordinal: got, bytes: got_bytes },
        ) => assert_eq!((got, got_bytes), (ordinal, bytes)),
        (_, got) => panic!("another kind: {got:?}"),
    }
}

proptest! {
    #[test]
    fn a_fact_reads_back_from_its_frame(sample in sample(), number in any::<Option<u16>>()) {
        let bytes = encoded(&sample, number);
        let frame = FrameBytes::first(&bytes).expect("a frame");
        prop_assert_eq!(frame.len(), bytes.len());
        let decoded = frame.decode().expect("a frame of our own");
        sample.with(|fact| check(fact, &decoded, number));
    }

    #[test]
    fn decoding_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(frame) = FrameBytes::first(&bytes) {
            let _ = (frame.decode(), frame.crc(FileId::from_bytes([0; 16])));
        }
    }

    /// Nearly valid bytes get further into the decoder than random ones.
    #[test]
    fn decoding_changed_frames_never_panics(
        sample in sample(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encoded(&sample, None);
        let len = bytes.len();
        bytes[at.index(len)] = byte;
        bytes.truncate(cut.index(len + 1).max(1));
        if let Ok(frame) = FrameBytes::first(&bytes) {
            let _ = frame.decode();
        }
    }
}

#[test]
fn sealing_gives_each_frame_the_checksum_of_its_file() {
    let facts = [(1, 40), (2, 7)].map(|(fence, ordinal)| Sample {
        fence,
        at: 9,
        expires_at: 99,
        event: crate::sample::SampleEvent::Checkpointed {
            ordinal,
            bytes: vec![5; ordinal as usize],
        },
    });
    let mut bytes: Vec<u8> = facts.iter().flat_map(|fact| encoded(fact, None)).collect();
    let (here, there) = (FileId::from_bytes([1; 16]), FileId::from_bytes([2; 16]));
    let crc = seal(&mut bytes, here, 0);
    let mut want = 0;
    let mut rest = &bytes[..];
    while let Ok(frame) = FrameBytes::first(rest) {
        assert_eq!(frame.stated_crc(), frame.crc(here));
        assert_ne!(frame.stated_crc(), frame.crc(there), "a frame of another file is none here");
        want = crc32c::crc32c_append(want, &frame.stated_crc().to_le_bytes());
        rest = &rest[frame.len()..];
    }
    assert!(rest.is_empty());
    assert_eq!(crc, want);
}

#[test]
fn fields_that_no_fact_has_are_refused() {
    let mut bytes = encoded(
        &Sample { fence: 3, at: 9, expires_at: 99, event: crate::sample::SampleEvent::Removed },
        None,
    );
    let decode = |bytes: &[u8]| FrameBytes::first(bytes).and_then(FrameBytes::decode).map(|_| ());
    assert_eq!(decode(&bytes), Ok(()));
    let cases: [(&str, usize, u8, FrameError); 5] = [
        ("a length below the prefix", 0, 15, FrameError::Length),
        ("a length beyond the bytes", 0, 25, FrameError::Length),
        ("kind 0", 3, 0, FrameError::Kind),
        ("a fence of 2^63", 15, 0x80, FrameError::Field),
        ("a byte that must be zero", 23, 1, FrameError::Field),
    ];
    for (why, at, byte, want) in cases {
        let before = std::mem::replace(&mut bytes[at], byte);
        assert_eq!(decode(&bytes), Err(want), "{why}");
        bytes[at] = before;
    }
}
