//! A batch: what one write appends to a facts file, a header and frames.
//!
//! Invariants:
//! 1. The header's checksum covers the file's id, the header and the frames' checksums, which cover
//!    the frames: a batch is valid as a whole or not at all.
//! 2. Each batch states the checksum of the one before it in its file, and counts on from it: what
//!    was written at a wrong place, or is left from an earlier life of the file, ends the chain.

use onceward::Timestamp;

use crate::bytes::Reader;
use crate::frame::{self, FrameBytes, FrameError};
use crate::header::FileId;

/// Bytes of a batch before its frames.
pub(crate) const BATCH_HEADER_BYTES: usize = 64;
/// A batch takes a multiple of this.
pub(crate) const BATCH_ALIGN: usize = 8;

const MAGIC: [u8; 4] = *b"OWB1";
const CRC_AT: std::ops::Range<usize> = 8..12;

/// What a batch's header says beside length and checksum.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct BatchHeader {
    /// Checksum of the batch before it in the file; 0 for the first.
    pub(crate) previous_crc: u32,
    /// Counts the file's batches, from 1.
    pub(crate) number: u64,
    /// When it was made.
    pub(crate) at: Timestamp,
    /// Bytes of the file that were known to be synced then.
    pub(crate) synced: u64,
    /// No larger one had been given then.
    pub(crate) largest_fence: u64,
    /// For a replicated log; 0 until there is one.
    pub(crate) term: u64,
    /// The round that took the frames.
    pub(crate) index: u64,
}

/// A valid batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    pub(crate) header: BatchHeader,
    /// Its checksum, which the next one states.
    pub(crate) crc: u32,
    /// Bytes of it all.
    pub(crate) len: usize,
    frames: &'a [u8],
}

/// Why bytes are no batch; offsets count from the batch's first byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BatchError {
    /// There are too few bytes for a header, or they are no batch's.
    Magic,
    /// The length is not possible here.
    Length,
    /// A frame is none.
    Frame {
        /// Where it begins.
        at: usize,
        /// Why.
        error: FrameError,
    },
    /// Header and frames do not belong together, or to this file.
    Checksum,
    /// Padding is not zero.
    Padding,
}

impl BatchError {
    /// Where in the batch the damage was seen.
    pub(crate) const fn at(&self) -> usize {
        match self {
            Self::Frame { at, .. } => *at,
            Self::Magic | Self::Length | Self::Checksum | Self::Padding => 0,
        }
    }
}

impl std::fmt::Display for BatchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Magic => f.write_str("no batch begins here"),
            Self::Length => f.write_str("the batch's length is not possible"),
            Self::Frame { error, .. } => write!(f, "the frame here is damaged: {error}"),
            Self::Checksum => f.write_str("the batch's checksum does not fit"),
            Self::Padding => f.write_str("the batch's padding is not zero"),
        }
    }
}

/// Empties `buffer` and leaves room for a batch's header; frames are to be appended.
pub(crate) fn open(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.resize(BATCH_HEADER_BYTES, 0);
}

/// Makes a batch of a buffer that [`open`] began: pads it, fills in all checksums and the header.
/// Says the batch's checksum, for the next one.
///
/// # Panics
/// If anything but encoded frames was appended.
pub(crate) fn seal(buffer: &mut Vec<u8>, header: &BatchHeader, file: FileId) -> u32 {
    let end = buffer.len();
    buffer.resize(end.next_multiple_of(BATCH_ALIGN), 0);
    let length = u32::try_from(buffer.len()).expect("a batch fits into its file");
    let (start, frames) = buffer.split_at_mut(BATCH_HEADER_BYTES);
    start[..4].copy_from_slice(&MAGIC);
    start[4..8].copy_from_slice(&length.to_le_bytes());
    start[CRC_AT].fill(0);
    start[12..16].copy_from_slice(&header.previous_crc.to_le_bytes());
    let fields = [
        header.number,
        header.at.as_millis(),
        header.synced,
        header.largest_fence,
        header.term,
        header.index,
    ];
    for (field, place) in fields.iter().zip(start[16..].chunks_exact_mut(8)) {
        place.copy_from_slice(&field.to_le_bytes());
    }
    let crc = crc32c::crc32c_append(file.crc(), start);
    let crc = frame::encode::seal(&mut frames[..end - BATCH_HEADER_BYTES], file, crc);
    start[CRC_AT].copy_from_slice(&crc.to_le_bytes());
    crc
}

impl<'a> Batch<'a> {
    /// Whether `bytes` begin as a batch does. Says nothing of what follows.
    pub(crate) fn begins(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// The length that the batch at the front of `bytes` states; `None` if there is none.
    pub(crate) fn stated_len(bytes: &[u8]) -> Option<usize> {
        let mut fields = Reader::new(bytes.strip_prefix(&MAGIC)?);
        fields.u32().map(|len| len as usize)
    }

    /// Reads the batch at the front of `bytes` and checks every checksum in it. That it follows
    /// the batch before is for the caller to see.
    pub(crate) fn decode(bytes: &'a [u8], file: FileId) -> Result<Self, BatchError> {
        let Some((start, _)) = bytes.split_first_chunk::<BATCH_HEADER_BYTES>() else {
            return Err(BatchError::Magic);
        };
        if !Self::begins(start) {
            return Err(BatchError::Magic);
        }
        let mut fields = Reader::new(&start[4..]);
        let mut read = || {
            let (len, crc, previous_crc) = (fields.u32()?, fields.u32()?, fields.u32()?);
            let number = fields.u64()?;
            let at = Timestamp::from_millis(fields.u64()?);
            let (synced, largest_fence) = (fields.u64()?, fields.u64()?);
            let (term, index) = (fields.u64()?, fields.u64()?);
            let header =
                BatchHeader { previous_crc, number, at, synced, largest_fence, term, index };
            Some((len as usize, crc, header))
        };
        let (len, stated_crc, header) = read().ok_or(BatchError::Magic)?;
        if len < BATCH_HEADER_BYTES || !len.is_multiple_of(BATCH_ALIGN) {
            return Err(BatchError::Length);
        }
        let Some(batch) = bytes.get(..len) else {
            return Err(BatchError::Length);
        };
        let mut unsummed = *start;
        unsummed[CRC_AT].fill(0);
        let mut crc = crc32c::crc32c_append(file.crc(), &unsummed);
        let mut at = BATCH_HEADER_BYTES;
        // A frame is longer than padding.
        while batch.len() - at >= BATCH_ALIGN {
            let frame =
                FrameBytes::first(&batch[at..]).map_err(|error| BatchError::Frame { at, error })?;
            let sum = frame.stated_crc();
            if frame.crc(file) != sum {
                return Err(BatchError::Frame { at, error: FrameError::Checksum });
            }
            crc = crc32c::crc32c_append(crc, &sum.to_le_bytes());
            at += frame.len();
        }
        if crc != stated_crc {
            return Err(BatchError::Checksum);
        }
        if batch[at..].iter().any(|&byte| byte != 0) {
            return Err(BatchError::Padding);
        }
        Ok(Self { header, crc, len, frames: &batch[BATCH_HEADER_BYTES..at] })
    }

    /// Its frames, each with its offset in the batch.
    pub(crate) fn frames(&self) -> impl Iterator<Item = (usize, FrameBytes<'a>)> + use<'a> {
        let mut rest = self.frames;
        let mut at = BATCH_HEADER_BYTES;
        std::iter::from_fn(move || {
            let frame = FrameBytes::first(rest).ok()?;
            let from = at;
            rest = &rest[frame.len()..];
            at += frame.len();
            Some((from, frame))
        })
    }
}

#[cfg(test)]
mod tests;
