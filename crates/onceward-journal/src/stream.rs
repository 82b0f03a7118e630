//! A file's bytes, read from front to back as they are needed.

use std::io;

use crate::disk::DiskFile;

/// Read at once: together with what is made of it, this stays in a core's own cache.
const READ_BYTES: usize = 256 * 1024;

/// Bytes that can be asked for by their place.
pub(crate) trait Bytes {
    /// How many there are.
    fn len(&self) -> u64;

    /// Those from `from` on: at least `least`, unless there are fewer.
    fn get(&mut self, from: u64, least: usize) -> io::Result<&[u8]>;
}

impl Bytes for &[u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn get(&mut self, from: u64, _: usize) -> io::Result<&[u8]> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(<[u8]>::get(self, from..).unwrap_or_default())
    }
}

/// The first bytes of a file, of which a part is in memory.
pub(crate) struct Stream<'a> {
    file: &'a dyn DiskFile,
    len: u64,
    /// Belongs to its thread, so that it is made once. Of it `filled` bytes are the file's, from
    /// `start` on.
    buffer: &'a mut Vec<u8>,
    start: u64,
    filled: usize,
}

impl<'a> Stream<'a> {
    /// The first `len` bytes of `file`.
    pub(crate) fn new(file: &'a dyn DiskFile, len: u64, buffer: &'a mut Vec<u8>) -> Self {
        Self { file, len, buffer, start: 0, filled: 0 }
    }
}

impl Bytes for Stream<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn get(&mut self, from: u64, least: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.len.saturating_sub(from)).unwrap_or(usize::MAX);
        let held = match from.checked_sub(self.start) {
            Some(skipped) if skipped <= self.filled as u64 => self.filled - skipped as usize,
            Some(_) | None => 0,
        };
        if held < least.min(left) {
            self.buffer.copy_within(self.filled - held..self.filled, 0);
            (self.start, self.filled) = (from, held);
            let wanted = least.max(READ_BYTES).min(left);
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted, 0);
            }
            let read = self.file.read_at(&mut self.buffer[held..wanted], from + held as u64)?;
            self.filled += read;
            if self.filled < wanted {
                self.len = from + self.filled as u64; // It was cut meanwhile.
            }
            return Ok(&self.buffer[..self.filled]);
        }
        let from = self.filled - held;
        Ok(&self.buffer[from..from + held.min(left)])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::disk::{Disk as _, MemoryDisk};

    proptest! {
        #[test]
        fn a_stream_gives_what_the_file_has(
            asked in proptest::collection::vec((0..900_000_u64, 0..600_000_usize), 1..20),
        ) {
            let whole: Vec<u8> = (0..800_000_u32).map(|at| (at / 7) as u8).collect();
            let disk = MemoryDisk::default();
            disk.put("file", whole.clone());
            let (file, mut buffer) = (disk.open("file").expect("there"), vec![9; 3]);
            let mut stream = Stream::new(&*file, 700_000, &mut buffer);
            for (from, least) in asked {
                let mut slice = &whole[..700_000];
                let want = Bytes::get(&mut slice, from, least).expect("a slice");
                let got = stream.get(from, least).expect("readable");
                prop_assert!(got.len() >= least.min(want.len()));
                prop_assert_eq!(got, &want[..got.len()]);
            }
        }
    }
}
