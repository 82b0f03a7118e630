//! The fixed fields of a frequent reply, gathered to be appended in one piece: each piece that is
//! appended checks for room by itself.

use crate::code::OutcomeCode;

/// `N` bytes, the code first. Too many fields are a fault of ours and panic; the compiler sees that
/// there are not.
pub(crate) struct Fixed<const N: usize> {
    bytes: [u8; N],
    filled: usize,
}

impl<const N: usize> Fixed<N> {
    #[inline(always)]
    pub(crate) fn of(code: OutcomeCode) -> Self {
        let mut fixed = Self { bytes: [0; N], filled: 0 };
        fixed.put(&[code.as_u8()]);
        fixed
    }

    #[inline(always)]
    pub(crate) fn put(&mut self, field: &[u8]) {
        self.bytes[self.filled..self.filled + field.len()].copy_from_slice(field);
        self.filled += field.len();
    }

    #[inline(always)]
    pub(crate) fn whole(&self) -> &[u8; N] {
        debug_assert_eq!(self.filled, N, "every field is put");
        &self.bytes
    }
}
