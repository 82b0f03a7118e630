use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::sample::{Sample, SampleEvent, sample};

fn file() -> FileId {
    FileId::from_bytes(*b"0123456789abcdef")
}

fn header() -> BatchHeader {
    BatchHeader {
        previous_crc: 77,
        number: 3,
        at: Timestamp::from_millis(1_000),
        synced: 4_096,
        largest_fence: 99,
        term: 0,
        index: 12,
    }
}

fn sealed(samples: &[Sample]) -> (Vec<u8>, u32) {
    let mut buffer = vec![1, 2, 3];
    open(&mut buffer);
    for sample in samples {
        sample.with(|fact| frame::encode::encode(fact, None, &mut buffer));
    }
    let crc = seal(&mut buffer, &header(), file());
    (buffer, crc)
}

proptest! {
    #[test]
    fn a_batch_reads_back(samples in vec(sample(), 0..6)) {
        let (bytes, crc) = sealed(&samples);
        let mut longer = bytes.clone();
        longer.extend_from_slice(&[0xff; 9]);
        let batch = Batch::decode(&longer, file()).expect("a batch of our own");
        prop_assert_eq!(batch.header, header());
        prop_assert_eq!((batch.crc, batch.len), (crc, bytes.len()));
        let fences: Vec<_> =
            batch.frames().map(|(at, frame)| {
                assert_eq!(FrameBytes::first(&bytes[at..]).unwrap().len(), frame.len());
                frame.decode().expect("a frame").fence.get()
            }).collect();
        prop_assert_eq!(fences, samples.iter().map(|sample| sample.fence).collect::<Vec<_>>());
    }

    #[test]
    fn decoding_any_bytes_never_panics(mut bytes in vec(any::<u8>(), 0..300), length in 0..320_u32) {
        let _ = Batch::decode(&bytes, file());
        if bytes.len() >= 8 {
            bytes[..4].copy_from_slice(&MAGIC);
            bytes[4..8].copy_from_slice(&length.to_le_bytes());
            let _ = Batch::decode(&bytes, file());
        }
    }
}

#[test]
fn no_flipped_bit_and_no_cut_passes_nor_another_files_batch() {
    let samples =
        [SampleEvent::Removed, SampleEvent::Checkpointed { ordinal: 3, bytes: b"five!".to_vec() }]
            .map(|event| Sample { fence: 5, at: 1, expires_at: 2, event });
    let (bytes, _) = sealed(&samples);
    assert!(bytes.len() > BATCH_HEADER_BYTES + 24 + 25, "it has padding");
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Batch::decode(&flipped, file()).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(Batch::decode(&bytes[..len], file()).is_err(), "{len} bytes");
    }
    assert!(Batch::decode(&bytes, FileId::from_bytes([0; 16])).is_err());
}
