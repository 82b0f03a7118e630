//! What a command wrote, as one sequence: the body that `run` stores, version 1.
//!
//! ```text
//! body   = "onceward-run" version chunk*
//! version= 1 byte, 0x01
//! chunk  = stream length bytes
//! stream = 1 byte, 1 for stdout, 2 for stderr
//! length = 4 bytes, little-endian, at least 1
//! ```
//! Chunks stand in the order in which they were read; neighbours of one stream are one chunk.

use std::fmt;

/// What every body starts with. The version follows it.
const MAGIC: &[u8] = b"onceward-run";
const VERSION: u8 = 1;
const CHUNK_HEADER_BYTES: usize = 5;

/// A stream of the command's, by its file descriptor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Stream {
    Stdout = 1,
    Stderr = 2,
}

/// A body in the making. Holds at most `body_bytes_max` bytes, whatever the command writes.
pub(crate) struct Recording {
    /// `None` once it would have been larger than allowed.
    body: Option<Vec<u8>>,
    body_bytes_max: usize,
    /// The last chunk: its stream, and where its header stands.
    last: Option<(Stream, usize)>,
    written: [u64; 2],
}

impl Recording {
    pub(crate) fn new(body_bytes_max: usize) -> Self {
        let body = [MAGIC, &[VERSION]].concat();
        let body = (body.len() <= body_bytes_max).then_some(body);
        Self { body, body_bytes_max, last: None, written: [0; 2] }
    }

    /// Adds what was read. From the first byte beyond the limit on only lengths are counted.
    pub(crate) fn push(&mut self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.written[stream as usize - 1] += bytes.len() as u64;
        let Some(body) = &mut self.body else { return };
        let goes_on = match self.last {
            Some((last, header)) if last == stream => Some(header),
            Some(_) | None => None,
        };
        let header_bytes = if goes_on.is_some() { 0 } else { CHUNK_HEADER_BYTES };
        // A chunk is shorter than the body, so its length fits with the body's.
        let limit = self.body_bytes_max.min(u32::MAX as usize);
        if limit.saturating_sub(body.len()) < header_bytes + bytes.len() {
            self.body = None; // Gives the memory back: it will not be needed.
            return;
        }
        let header = goes_on.unwrap_or_else(|| {
            let header = body.len();
            body.push(stream as u8);
            body.extend([0; 4]);
            header
        });
        body.extend_from_slice(bytes);
        let length = (body.len() - header - CHUNK_HEADER_BYTES) as u32;
        body[header + 1..header + CHUNK_HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
        self.last = Some((stream, header));
    }

    /// Bytes the command wrote to `stream`, recorded or not.
    pub(crate) fn written(&self, stream: Stream) -> u64 {
        self.written[stream as usize - 1]
    }

    /// The body, if all of it was recorded.
    pub(crate) fn into_body(self) -> Option<Vec<u8>> {
        self.body
    }
}

/// S16: sizes only.
impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("written", &self.written)
            .field("body_bytes", &self.body.as_ref().map(Vec::len))
            .finish()
    }
}

/// Why a body is none of this version. Nothing of it was replayed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unreadable {
    /// It does not start as a recording does.
    Foreign,
    /// A version that this program does not know.
    Version { got: u8 },
    /// A chunk that is empty, cut off, or of no known stream.
    Chunk { at: usize },
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("it is no recording of onceward run"),
            Self::Version { got } => write!(
                f,
                "it is a recording of version {got}, and this program reads version {VERSION}"
            ),
            Self::Chunk { at } => write!(f, "the recording is damaged at byte {at}"),
        }
    }
}

/// The chunks of a body, in order. Checked to the end before the first one is handed out, so that
/// no half of a recording is taken for the whole.
///
/// # Errors
/// See [`Unreadable`].
pub(crate) fn chunks(body: &[u8]) -> Result<Vec<(Stream, &[u8])>, Unreadable> {
    let rest = body.strip_prefix(MAGIC).ok_or(Unreadable::Foreign)?;
    let (&version, mut rest) = rest.split_first().ok_or(Unreadable::Foreign)?;
    if version != VERSION {
        return Err(Unreadable::Version { got: version });
    }
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let damaged = Unreadable::Chunk { at: body.len() - rest.len() };
        let (&[stream, l0, l1, l2, l3], after) = rest.split_first_chunk().ok_or(damaged)?;
        let stream = match stream {
            1 => Stream::Stdout,
            2 => Stream::Stderr,
            _ => return Err(damaged),
        };
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length == 0 || after.len() < length {
            return Err(damaged);
        }
        let (bytes, after) = after.split_at(length);
        chunks.push((stream, bytes));
        rest = after;
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Stream::{Stderr, Stdout};

    const HEAD: usize = MAGIC.len() + 1;

    fn recorded(pieces: &[(Stream, &[u8])], max: usize) -> Recording {
        let mut recording = Recording::new(max);
        for (stream, bytes) in pieces {
            recording.push(*stream, bytes);
        }
        recording
    }

    /// The example in `docs/run-format.md`, byte for byte.
    #[test]
    fn a_body_follows_its_document() {
        let pieces: &[(Stream, &[u8])] =
            &[(Stdout, b"a"), (Stdout, b"b\n"), (Stderr, b""), (Stderr, b"\xff"), (Stdout, b"c")];
        let body = recorded(pieces, 1_000).into_body().expect("small");
        let hex = crate::hex::encode(&body);
        let want = "6f6e6365776172642d72756e01 01 03000000 61620a 02 01000000 ff 01 01000000 63";
        assert_eq!(hex, want.replace(' ', ""));
        let document = include_str!("../../../../docs/run-format.md");
        assert!(document.contains(want), "docs/run-format.md must hold: {want}");
        let want: Vec<(Stream, &[u8])> = vec![(Stdout, b"ab\n"), (Stderr, b"\xff"), (Stdout, b"c")];
        assert_eq!(chunks(&body), Ok(want));
    }

    #[test]
    fn memory_ends_at_the_limit_and_counting_goes_on_s12() {
        // Head, one header, three bytes.
        let max = HEAD + CHUNK_HEADER_BYTES + 3;
        type Case<'a> = (&'a str, &'a [(Stream, &'a [u8])], bool);
        let cases: &[Case] = &[
            ("nothing", &[], true),
            ("at the limit", &[(Stdout, b"ab"), (Stdout, b"c")], true),
            ("one byte over", &[(Stdout, b"abc"), (Stdout, b"d")], false),
            ("no room for a header", &[(Stdout, b"a"), (Stderr, b"b")], false),
            ("over, then small again", &[(Stdout, b"abcd"), (Stdout, b"e")], false),
        ];
        for (why, pieces, kept) in cases {
            let recording = recorded(pieces, max);
            let bytes: usize = pieces.iter().map(|(_, bytes)| bytes.len()).sum();
            let written = recording.written(Stdout) + recording.written(Stderr);
            assert_eq!(written, bytes as u64, "{why}");
            assert!(recording.body.as_ref().is_none_or(|body| body.len() <= max), "{why}");
            assert_eq!(recording.into_body().is_some(), *kept, "{why}");
        }
        assert!(Recording::new(HEAD - 1).into_body().is_none(), "not even the head");
    }

    #[test]
    fn what_is_no_recording_is_refused_whole() {
        let good = recorded(&[(Stdout, b"ab"), (Stderr, b"c")], 1_000).into_body().expect("small");
        let changed = |at: usize, byte: u8| {
            let mut body = good.clone();
            body[at] = byte;
            body
        };
        let second = HEAD + CHUNK_HEADER_BYTES + 2;
        let cases = [
            ("nothing at all", vec![], Unreadable::Foreign),
            ("text", b"order 17".to_vec(), Unreadable::Foreign),
            ("magic alone", MAGIC.to_vec(), Unreadable::Foreign),
            ("a later version", changed(HEAD - 1, 2), Unreadable::Version { got: 2 }),
            ("a third stream", changed(HEAD, 3), Unreadable::Chunk { at: HEAD }),
            ("an empty chunk", changed(second + 1, 0), Unreadable::Chunk { at: second }),
            ("a length beyond the end", changed(second + 4, 255), Unreadable::Chunk { at: second }),
            ("half a header", good[..second + 3].to_vec(), Unreadable::Chunk { at: second }),
        ];
        for (why, body, want) in cases {
            assert_eq!(chunks(&body), Err(want), "{why}");
        }
        for cut in HEAD..good.len() {
            let whole = [HEAD, second].contains(&cut);
            assert_eq!(chunks(&good[..cut]).is_ok(), whole, "cut at {cut}");
        }
    }
}
