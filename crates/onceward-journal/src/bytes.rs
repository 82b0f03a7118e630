//! Little-endian fields of the journal's files, read within bounds.

use crate::frame::FrameError;

/// Reads fields one after the other; `None` at the end of the bytes, never a panic.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (field, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(field)
    }

    pub(crate) fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.rest.split_at_checked(size)?;
        self.rest = rest;
        Some(field)
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|field| field[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(|field| u16::from_le_bytes(*field))
    }

    pub(crate) fn u24(&mut self) -> Option<u32> {
        let [a, b, c] = *self.array()?;
        Some(u32::from_le_bytes([a, b, c, 0]))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(|field| u32::from_le_bytes(*field))
    }

    pub(crate) fn u48(&mut self) -> Option<u64> {
        let [a, b, c, d, e, f] = *self.array()?;
        Some(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(|field| u64::from_le_bytes(*field))
    }

    /// Bytes that are zero in this version of the format.
    pub(crate) fn zeros<const N: usize>(&mut self) -> Result<(), FrameError> {
        match self.array::<N>() {
            Some(field) if field.iter().all(|&byte| byte == 0) => Ok(()),
            Some(_) => Err(FrameError::Field),
            None => Err(FrameError::Length),
        }
    }
}

/// Appends the low 24 bits; a larger number becomes the largest.
pub(crate) fn put_u24(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.min((1 << 24) - 1).to_le_bytes()[..3]);
}

/// Appends the low 48 bits; a larger number becomes the largest.
pub(crate) fn put_u48(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.min((1 << 48) - 1).to_le_bytes()[..6]);
}
