use super::*;
use crate::batch::{self, BatchHeader};
use crate::frame::encode::encode;
use crate::sample::{Sample, SampleEvent};

fn file() -> FileId {
    FileId::from_bytes([9; 16])
}

/// A file of batches, each with the frames of one removal per fence, and blank bytes behind.
struct Written {
    bytes: Vec<u8>,
    /// Where each batch begins, and where the last ends.
    edges: Vec<usize>,
}

fn written(batches: &[&[u64]], blank: usize) -> Written {
    let (mut bytes, mut edges) = (vec![7; HEADER_BYTES], vec![HEADER_BYTES]);
    let mut previous_crc = 0;
    for (number, fences) in (1..).zip(batches) {
        let mut buffer = Vec::new();
        batch::open(&mut buffer);
        for &fence in *fences {
            let sample =
                Sample { fence, at: fence, expires_at: 1 << 40, event: SampleEvent::Removed };
            sample.with(|fact| encode(fact, None, &mut buffer));
        }
        let header = BatchHeader {
            previous_crc,
            number,
            at: Timestamp::from_millis(10 * number),
            synced: *edges.last().unwrap() as u64,
            largest_fence: 1_000 + number,
            term: 0,
            index: 20 + number,
        };
        previous_crc = batch::seal(&mut buffer, &header, file());
        bytes.extend_from_slice(&buffer);
        edges.push(bytes.len());
    }
    bytes.resize(bytes.len() + blank, 0);
    Written { bytes, edges }
}

fn scanned(bytes: &[u8]) -> (Scan, Vec<u64>) {
    let mut fences = Vec::new();
    let scan = scan(&mut { bytes }, file(), |at, frame| {
        let found = FrameBytes::first(&bytes[at as usize..]).unwrap().fence();
        assert_eq!(found, Some(frame.fence), "the offset is the frame's");
        fences.push(frame.fence.get());
    })
    .expect("bytes in memory");
    (scan, fences)
}

#[test]
fn a_whole_file_shows_every_frame_and_what_its_batches_say() {
    for (blank, stop) in [(0, Stop::End), (4_096, Stop::Blank)] {
        let written = written(&[&[1, 2], &[], &[3]], blank);
        let (scan, fences) = scanned(&written.bytes);
        assert_eq!(fences, [1, 2, 3]);
        assert_eq!((scan.end, scan.stop), (written.edges[3] as u64, stop));
        assert_eq!((scan.batches, scan.frames, scan.index), (3, 3, 23));
        assert_eq!((scan.last_at, scan.largest_fence), (Timestamp::from_millis(30), 1_003));
        assert_eq!(scan.synced_beyond, 0);
    }
}

/// Whatever bit flips: frames are those of whole batches before it, never others, and a later batch
/// that is still there bears witness.
#[test]
fn a_flipped_bit_ends_the_file_at_its_batch_and_later_batches_bear_witness() {
    let written = written(&[&[1, 2], &[3], &[4]], 128);
    let shown: [&[u64]; 4] = [&[], &[1, 2], &[1, 2, 3], &[1, 2, 3, 4]];
    for at in HEADER_BYTES..written.bytes.len() {
        for bit in [0, 3, 7] {
            let mut bytes = written.bytes.clone();
            bytes[at] ^= 1 << bit;
            let (scan, fences) = scanned(&bytes);
            let batch = written.edges.iter().filter(|&&edge| edge <= at).count() - 1;
            assert_eq!(fences, shown[batch], "byte {at}");
            assert_eq!(scan.end, written.edges[batch] as u64, "byte {at}");
            assert!(matches!(scan.stop, Stop::Batch(_)), "byte {at}");
            let witness = if batch < 2 { written.edges[2] as u64 } else { 0 };
            assert_eq!(scan.synced_beyond, witness, "byte {at}");
            assert!(scan.fault_at() >= scan.end, "byte {at}");
        }
    }
}

#[test]
fn a_cut_file_ends_with_its_last_whole_batch() {
    let written = written(&[&[1, 2], &[3]], 0);
    for len in 0..written.bytes.len() {
        let (scan, fences) = scanned(&written.bytes[..len]);
        let whole = written.edges.iter().filter(|&&edge| edge <= len).count().saturating_sub(1);
        assert_eq!(fences.len(), [0, 2, 3][whole], "{len} bytes");
        assert_eq!(scan.end, written.edges[whole].min(len) as u64, "{len} bytes");
    }
}

#[test]
fn a_batch_at_a_wrong_place_ends_the_chain() {
    let written = written(&[&[1], &[2], &[3]], 64);
    let edges = &written.edges;
    let swapped = [
        ("the second written over the first", edges[1]..edges[2], edges[0], 0),
        ("the first again as the second", edges[0]..edges[1], edges[1], 1),
        ("the third early", edges[2]..edges[3], edges[1], 1),
    ];
    for (why, from, to, whole) in swapped {
        let mut bytes = written.bytes.clone();
        bytes.copy_within(from, to);
        let (scan, fences) = scanned(&bytes);
        assert_eq!((scan.stop, fences.len()), (Stop::Chain, whole), "{why}");
    }
}

#[test]
fn a_lost_write_between_others_is_seen() {
    let written = written(&[&[1], &[2], &[3]], 64);
    let mut bytes = written.bytes;
    bytes[written.edges[1]..written.edges[2]].fill(0);
    let (scan, fences) = scanned(&bytes);
    assert_eq!(fences, [1]);
    assert_eq!(scan.end, written.edges[1] as u64);
    assert_eq!(scan.synced_beyond, written.edges[2] as u64, "the third knows of the second");
}

#[test]
fn another_files_batches_are_nothing_here() {
    let written = written(&[&[1], &[2]], 0);
    let none = FileId::from_bytes([8; 16]);
    let scan = scan(&mut &written.bytes[..], none, |_, _| panic!("no frame"));
    let scan = scan.expect("bytes in memory");
    assert_eq!((scan.end, scan.synced_beyond), (HEADER_BYTES as u64, 0));
}
