//! Reads a body front to back. Every step is checked; none allocates.

use crate::error::Malformed;

/// What is left of a body.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) const fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    pub(crate) const fn left(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(crate) fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed::Cut { field })?;
        self.0 = rest;
        Ok(*array)
    }

    #[inline]
    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, Malformed> {
        self.array(field).map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, Malformed> {
        self.array(field).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, Malformed> {
        self.array(field).map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, Malformed> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A length that the body must still hold, so that nothing is sized by a lie.
    pub(crate) fn u32_size(&mut self, field: &'static str) -> Result<usize, Malformed> {
        let size = self.u32(field)?;
        usize::try_from(size).map_err(|_| Malformed::Cut { field })
    }

    #[inline]
    pub(crate) fn bytes(
        &mut self,
        size: usize,
        field: &'static str,
    ) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(size).ok_or(Malformed::Cut { field })?;
        self.0 = rest;
        Ok(bytes)
    }

    /// The optional fields, which reach to the end of the body.
    pub(crate) const fn options(self) -> Options<'a> {
        Options { rest: self, last_tag: 0 }
    }

    /// Checks the optional fields of a message that knows none yet.
    pub(crate) fn skip_options(self) -> Result<(), Malformed> {
        let mut options = self.options();
        while options.next()?.is_some() {}
        Ok(())
    }
}

/// Optional fields: `tag: u8, length: u32, value`, tags rising from 1. The caller skips the tags
/// it does not know.
pub(crate) struct Options<'a> {
    rest: Cursor<'a>,
    last_tag: u8,
}

impl<'a> Options<'a> {
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u8, Cursor<'a>)>, Malformed> {
        if self.rest.left() == 0 {
            return Ok(None);
        }
        let tag = self.rest.u8("optional field")?;
        if tag <= self.last_tag {
            return Err(Malformed::OptionOrder { tag });
        }
        self.last_tag = tag;
        let size = self.rest.u32_size("optional field")?;
        let value = self.rest.bytes(size, "optional field")?;
        Ok(Some((tag, Cursor::new(value))))
    }
}

/// Values of optional fields fill their length to the byte.
impl<'a> Cursor<'a> {
    pub(crate) fn only_u64(mut self, field: &'static str) -> Result<u64, Malformed> {
        let value = self.u64(field)?;
        if self.left() > 0 {
            return Err(Malformed::OptionSize { field });
        }
        Ok(value)
    }

    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }
}
