//! A batch from the round that took its frames until the sync that makes them durable. Whatever
//! happens to the file it is written to, its frames are still here and can go to another.

use onceward::Timestamp;

use crate::batch;
use crate::frame;
use crate::header::FileId;
use crate::options::BATCH_BYTES_MAX;
use crate::stripes::Buffer;

/// A batch that is not durable.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Room for the header, then frames, then perhaps padding.
    bytes: Vec<u8>,
    /// Where padding begins.
    frames_end: usize,
    /// Latest end of an acquisition with a frame in it.
    pub(crate) end: Timestamp,
    /// Of its header.
    pub(crate) stamp: Stamp,
}

/// What a header says of a batch wherever it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) at: Timestamp,
    pub(crate) largest_fence: u64,
    /// Number of the round.
    pub(crate) index: u64,
}

impl Pending {
    /// A batch without frames.
    pub(crate) fn trailer(stamp: Stamp) -> Self {
        Self::open(Vec::new(), Timestamp::ZERO, stamp)
    }

    fn open(mut bytes: Vec<u8>, end: Timestamp, stamp: Stamp) -> Self {
        batch::open(&mut bytes);
        let frames_end = bytes.len();
        Self { bytes, frames_end, end, stamp }
    }

    fn append(&mut self, frames: &[u8]) {
        self.bytes.extend_from_slice(frames);
        self.frames_end = self.bytes.len();
    }

    /// Bytes it takes in a file.
    pub(crate) fn len(&self) -> usize {
        self.frames_end.next_multiple_of(batch::BATCH_ALIGN)
    }

    /// Whether it is a trailer.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames_end == batch::BATCH_HEADER_BYTES
    }

    /// Its bytes as they are to stand in `file`, and its checksum there.
    pub(crate) fn seal(&mut self, place: Place, file: FileId) -> (&[u8], u32) {
        self.bytes.truncate(self.frames_end);
        let header = batch::BatchHeader {
            previous_crc: place.previous_crc,
            number: place.number,
            at: self.stamp.at,
            synced: place.synced,
            largest_fence: self.stamp.largest_fence,
            term: 0,
            index: self.stamp.index,
        };
        let crc = batch::seal(&mut self.bytes, &header, file);
        (&self.bytes, crc)
    }

    /// The memory, for other frames.
    pub(crate) fn into_room(self) -> Vec<u8> {
        self.bytes
    }
}

/// What a header says of a batch's place in its file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) previous_crc: u32,
    pub(crate) number: u64,
    pub(crate) synced: u64,
}

/// Makes batches of one level's buffers, none much larger than it must be. Emptied buffers go to
/// `room`.
pub(crate) fn batches(
    buffers: impl IntoIterator<Item = Buffer>,
    stamp: Stamp,
    room: &mut Vec<Vec<u8>>,
) -> Vec<Pending> {
    let mut made = Vec::new();
    let mut open: Option<Pending> = None;
    for buffer in buffers {
        for piece in pieces(&buffer.frames, BATCH_BYTES_MAX) {
            let full = open.as_ref().is_some_and(|open| open.len() + piece.len() > BATCH_BYTES_MAX);
            if full {
                made.extend(open.take());
            }
            let batch = open.get_or_insert_with(|| {
                Pending::open(room.pop().unwrap_or_default(), buffer.end, stamp)
            });
            batch.append(piece);
            batch.end = batch.end.max(buffer.end);
        }
        crate::stripes::keep_room(room, buffer.frames);
    }
    made.extend(open);
    made
}

/// Cuts frames into pieces of `max` bytes at most, between frames; one frame may be larger.
fn pieces(mut frames: &[u8], max: usize) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if frames.is_empty() {
            return None;
        }
        let mut end = if frames.len() <= max { frames.len() } else { 0 };
        while end < frames.len() {
            let next = end + frame_bytes(&frames[end..]);
            if end > 0 && next > max {
                break;
            }
            end = next;
        }
        let piece;
        (piece, frames) = frames.split_at(end);
        Some(piece)
    })
}

fn frame_bytes(frames: &[u8]) -> usize {
    let word = frames.first_chunk().expect("frames of our own");
    frame::length_of(*word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`pieces`] looks at of a frame.
    fn frame(bytes: usize) -> Vec<u8> {
        let mut frame = vec![0; bytes];
        frame[..4].copy_from_slice(&(bytes as u32 | 3 << 28).to_le_bytes());
        frame
    }

    #[test]
    fn frames_are_cut_between_them_and_a_large_one_stands_alone() {
        #[rustfmt::skip]
        let cases = [
            ("nothing",                    vec![],             vec![]),
            ("all fit",                    vec![24, 24, 52],   vec![100]),
            ("one byte too many",          vec![24, 24, 53],   vec![48, 53]),
            ("a large one in the middle",  vec![24, 200, 24],  vec![24, 200, 24]),
            ("a large one alone",          vec![200],          vec![200]),
        ];
        for (why, sizes, want) in cases {
            let frames: Vec<u8> = sizes.iter().flat_map(|&size| frame(size)).collect();
            let got: Vec<_> = pieces(&frames, 100).map(<[u8]>::len).collect();
            assert_eq!(got, want, "{why}");
        }
    }
}
