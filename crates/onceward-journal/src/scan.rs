//! One facts file read front to back: its valid batches, and why they end.
//!
//! Over the file's bytes, wherever they come from. What the end means is for [`crate::damage`] to say.

use std::io;

use onceward::Timestamp;

use crate::batch::{BATCH_ALIGN, BATCH_HEADER_BYTES, Batch, BatchError};
use crate::frame::{Frame, FrameBytes, FrameError};
use crate::header::{FileId, HEADER_BYTES};
use crate::stream::Bytes;
use onceward::planted::{Bug, planted};

/// What a file holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Scan {
    /// Valid batches reach to here.
    pub(crate) end: u64,
    /// Why they do not reach further.
    pub(crate) stop: Stop,
    /// Checksum of the last of them; 0 without one.
    pub(crate) crc: u32,
    /// How many there are.
    pub(crate) batches: u64,
    /// Frames in them.
    pub(crate) frames: u64,
    /// When the last was made.
    pub(crate) last_at: Timestamp,
    /// No larger one had been given when the last was made.
    pub(crate) largest_fence: u64,
    /// The largest round of any.
    pub(crate) index: u64,
    /// Bytes of the file that were synced, by the word of its batches.
    pub(crate) synced: u64,
    /// The same, by the word of batches beyond `end`: of this file, though not of the chain.
    pub(crate) synced_beyond: u64,
}

/// Why a file's valid batches end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stop {
    /// All that was to be read has been.
    End,
    /// Nothing was written there.
    Blank,
    /// What is there is no batch of this file.
    Batch(BatchError),
    /// There is a batch of this file, but it does not follow the one before.
    Chain,
    /// A batch is valid, and a frame in it says what none may say.
    Frame {
        /// Where the frame begins, from the batch on.
        at: usize,
        /// Why.
        error: FrameError,
    },
}

impl Scan {
    /// Where in the file the fault was seen; the end if there is none.
    pub(crate) fn fault_at(&self) -> u64 {
        let within = match self.stop {
            Stop::Batch(error) => error.at(),
            Stop::Frame { at, .. } => at,
            Stop::End | Stop::Blank | Stop::Chain => 0,
        };
        self.end + within as u64
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::End => f.write_str("the file's bytes end here"),
            Self::Blank => f.write_str("nothing is written here"),
            Self::Batch(error) => error.fmt(f),
            Self::Chain => f.write_str("the batch here does not follow the one before it"),
            Self::Frame { error, .. } => write!(f, "the frame here is valid, but {error}"),
        }
    }
}

/// Reads the batches in `bytes`, all that is to be read of the file `id`, and shows each frame of
/// each valid batch with its offset in the file.
///
/// # Errors
/// Those of reading.
pub(crate) fn scan(
    bytes: &mut impl Bytes,
    id: FileId,
    mut visit: impl FnMut(u64, &Frame<'_>),
) -> io::Result<Scan> {
    let mut scan = Scan {
        end: bytes.len().min(HEADER_BYTES as u64),
        stop: Stop::End,
        crc: 0,
        batches: 0,
        frames: 0,
        last_at: Timestamp::ZERO,
        largest_fence: 0,
        index: 0,
        synced: 0,
        synced_beyond: 0,
    };
    while scan.end < bytes.len() {
        let rest = batch_at(bytes, scan.end)?;
        if rest.is_empty() {
            return Ok(scan); // It was cut meanwhile.
        }
        let batch = match Batch::decode(rest, id) {
            Ok(batch) => batch,
            Err(error) => {
                if planted(Bug::TornTailAcceptedAsWhole) && Batch::begins(rest) {
                    accept_torn(rest, &mut scan, &mut visit);
                }
                scan.stop = Stop::Batch(error);
                break;
            }
        };
        if (batch.header.previous_crc, batch.header.number) != (scan.crc, scan.batches + 1) {
            scan.stop = Stop::Chain;
            break;
        }
        for (at, frame) in batch.frames() {
            match frame.decode() {
                Ok(frame) => {
                    scan.largest_fence = scan.largest_fence.max(frame.fence.get());
                    visit(scan.end + at as u64, &frame);
                    scan.frames += 1;
                }
                Err(error) => {
                    // Never a torn tail, so it does not matter that frames before it were shown.
                    scan.stop = Stop::Frame { at, error };
                    return Ok(scan);
                }
            }
        }
        scan.crc = batch.crc;
        scan.batches += 1;
        scan.last_at = scan.last_at.max(batch.header.at);
        scan.largest_fence = scan.largest_fence.max(batch.header.largest_fence);
        scan.index = scan.index.max(batch.header.index);
        scan.synced = scan.synced.max(batch.header.synced);
        scan.end += batch.len as u64;
    }
    if scan.stop != Stop::End {
        if is_blank(bytes, scan.end)? {
            scan.stop = Stop::Blank;
        } else {
            scan.synced_beyond = synced_beyond(bytes, scan.end, id)?;
        }
    }
    Ok(scan)
}

/// What is at `from`, as long as the batch says that it is, if that is possible.
fn batch_at(bytes: &mut impl Bytes, from: u64) -> io::Result<&[u8]> {
    let left = bytes.len() - from;
    let stated = Batch::stated_len(bytes.get(from, BATCH_HEADER_BYTES)?);
    let len = stated.filter(|&len| len as u64 <= left).unwrap_or(BATCH_HEADER_BYTES);
    bytes.get(from, len)
}

/// Whether nothing was written: what was preallocated reads as zeros.
fn is_blank(bytes: &mut impl Bytes, mut from: u64) -> io::Result<bool> {
    loop {
        let part = bytes.get(from, 1)?;
        if part.is_empty() {
            return Ok(true);
        }
        let (words, rest) = part.as_chunks::<BATCH_ALIGN>();
        let is_zero = words.iter().all(|word| u64::from_ne_bytes(*word) == 0);
        if !is_zero || rest.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        from += part.len() as u64;
    }
}

/// The largest count of synced bytes that any batch of this file from `from` on states. Batches
/// begin at multiples of their alignment, wherever the chain was broken.
fn synced_beyond(bytes: &mut impl Bytes, mut from: u64, id: FileId) -> io::Result<u64> {
    let mut largest = 0;
    while from < bytes.len() {
        let part = bytes.get(from, BATCH_HEADER_BYTES)?;
        let (words, _) = part.as_chunks::<BATCH_ALIGN>();
        let Some(first) = words.iter().position(|word| Batch::begins(word)) else {
            if words.is_empty() {
                break;
            }
            from += (words.len() * BATCH_ALIGN) as u64;
            continue;
        };
        from += (first * BATCH_ALIGN) as u64;
        match Batch::decode(batch_at(bytes, from)?, id) {
            Ok(batch) => {
                largest = largest.max(batch.header.synced);
                from += batch.len as u64;
            }
            Err(_) => from += BATCH_ALIGN as u64,
        }
    }
    Ok(largest)
}

/// Takes the frames of a batch that was torn for facts: a planted bug.
fn accept_torn(bytes: &[u8], scan: &mut Scan, visit: &mut impl FnMut(u64, &Frame<'_>)) {
    let mut at = BATCH_HEADER_BYTES;
    while let Some(Ok(frame)) = bytes.get(at..).map(FrameBytes::first) {
        if let Ok(frame) = frame.decode() {
            visit(scan.end + at as u64, &frame);
            scan.frames += 1;
        }
        at += frame.len();
    }
}

#[cfg(test)]
mod tests;
