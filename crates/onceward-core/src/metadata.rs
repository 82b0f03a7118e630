//! A result's metadata: ordered pairs of bytes, e.g. HTTP headers, in the one encoding that
//! memory, wire and sink share.
//!
//! Each pair is `name size: u16 LE, value size: u16 LE, name, value`. Order and repeats are kept.

use alloc::vec::Vec;
use core::fmt;

use crate::error::BadInput;
use crate::limits::{METADATA_BYTES_MAX, METADATA_PAIRS_MAX};

const PAIR_HEADER_SIZE: usize = 4;

/// Encoded pairs, checked: whole, at most 64, at most 16 KiB of names and values.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct Metadata<'a>(&'a [u8]);

impl<'a> Metadata<'a> {
    /// No pairs.
    pub const EMPTY: Metadata<'static> = Metadata(&[]);
    /// Most bytes an encoding can have.
    pub const ENCODED_BYTES_MAX: usize = METADATA_BYTES_MAX + METADATA_PAIRS_MAX * PAIR_HEADER_SIZE;

    /// Checks an encoding. Cost: one step per pair.
    ///
    /// # Errors
    /// [`BadInput::MetadataTruncated`], [`BadInput::MetadataPairs`], [`BadInput::MetadataBytes`].
    #[inline]
    pub fn decode(encoded: &'a [u8]) -> Result<Self, BadInput> {
        if encoded.len() > Self::ENCODED_BYTES_MAX {
            return Err(BadInput::MetadataBytes { got: encoded.len() });
        }
        let (mut pairs, mut size, mut rest) = (0, 0, encoded);
        while !rest.is_empty() {
            let (name, value, after) = split_pair(rest).ok_or(BadInput::MetadataTruncated)?;
            pairs += 1;
            size += name.len() + value.len();
            rest = after;
        }
        if pairs > METADATA_PAIRS_MAX {
            return Err(BadInput::MetadataPairs { got: pairs });
        }
        if size > METADATA_BYTES_MAX {
            return Err(BadInput::MetadataBytes { got: size });
        }
        Ok(Self(encoded))
    }

    /// The encoding.
    #[must_use]
    pub const fn encoded(self) -> &'a [u8] {
        self.0
    }

    /// The pairs in order.
    #[must_use]
    pub const fn pairs(self) -> MetadataPairs<'a> {
        MetadataPairs(self.0)
    }

    /// The value of the first pair of that name, compared byte by byte: HTTP's headers differ in
    /// case, so store their names in one. Cost: one step per pair.
    #[must_use]
    pub fn get(self, name: impl AsRef<[u8]>) -> Option<&'a [u8]> {
        let name = name.as_ref();
        self.pairs().find(|pair| pair.0 == name).map(|pair| pair.1)
    }

    /// Whole pairs in order while their encoding fits `bytes_max` (S12).
    #[must_use]
    pub fn prefix(self, bytes_max: usize) -> Self {
        let mut end = 0;
        for (name, value) in self.pairs() {
            let next = end + PAIR_HEADER_SIZE + name.len() + value.len();
            if next > bytes_max {
                break;
            }
            end = next;
        }
        Self(&self.0[..end])
    }
}

impl fmt::Debug for Metadata<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} pairs)", self.pairs().count())
    }
}

fn split_pair(rest: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&[n0, n1, v0, v1], rest) = rest.split_first_chunk()?;
    let name_size = usize::from(u16::from_le_bytes([n0, n1]));
    let value_size = usize::from(u16::from_le_bytes([v0, v1]));
    let (name, rest) = rest.split_at_checked(name_size)?;
    let (value, rest) = rest.split_at_checked(value_size)?;
    Some((name, value, rest))
}

/// Iterates over name and value of each pair, in order.
#[derive(Clone, Debug)]
pub struct MetadataPairs<'a>(&'a [u8]);

impl<'a> Iterator for MetadataPairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value, rest) = split_pair(self.0)?;
        self.0 = rest;
        Some((name, value))
    }
}

/// Builds metadata pair by pair.
#[derive(Clone, Default)]
pub struct MetadataBuf {
    encoded: Vec<u8>,
    pairs: usize,
}

impl MetadataBuf {
    /// No pairs yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { encoded: Vec::new(), pairs: 0 }
    }

    /// Adds one pair after the others.
    ///
    /// # Errors
    /// [`BadInput::MetadataPairs`] or [`BadInput::MetadataBytes`]; the pair is then not added.
    pub fn push(
        &mut self,
        name: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<(), BadInput> {
        let (name, value) = (name.as_ref(), value.as_ref());
        if self.pairs == METADATA_PAIRS_MAX {
            return Err(BadInput::MetadataPairs { got: self.pairs + 1 });
        }
        let held = self.encoded.len() - self.pairs * PAIR_HEADER_SIZE;
        let got = held + name.len() + value.len();
        if got > METADATA_BYTES_MAX {
            return Err(BadInput::MetadataBytes { got });
        }
        self.encoded.extend_from_slice(&(name.len() as u16).to_le_bytes());
        self.encoded.extend_from_slice(&(value.len() as u16).to_le_bytes());
        self.encoded.extend_from_slice(name);
        self.encoded.extend_from_slice(value);
        self.pairs += 1;
        Ok(())
    }

    /// The borrowed form.
    #[must_use]
    pub fn as_ref(&self) -> Metadata<'_> {
        Metadata(&self.encoded)
    }

    /// The encoding.
    #[must_use]
    pub fn into_encoded(self) -> Vec<u8> {
        self.encoded
    }
}

impl fmt::Debug for MetadataBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_keep_order_and_repeats() {
        let mut built = MetadataBuf::new();
        let pairs: [(&[u8], &[u8]); 3] = [(b"link", b"a"), (b"etag", b""), (b"link", b"b")];
        for (name, value) in pairs {
            built.push(name, value).unwrap();
        }
        let read = Metadata::decode(built.as_ref().encoded()).unwrap();
        assert!(read.pairs().eq(pairs));
    }

    #[test]
    fn what_is_cut_or_too_much_is_refused() {
        let mut built = MetadataBuf::new();
        built.push("n", "value").unwrap();
        let whole = built.into_encoded();
        for cut in 1..whole.len() {
            assert_eq!(Metadata::decode(&whole[..cut]), Err(BadInput::MetadataTruncated), "{cut}");
        }
        let mut built = MetadataBuf::new();
        for _ in 0..METADATA_PAIRS_MAX {
            built.push("", "").unwrap();
        }
        assert_eq!(built.push("", ""), Err(BadInput::MetadataPairs { got: 65 }));
        let mut encoded = built.into_encoded();
        encoded.extend_from_slice(&[0; 4]);
        assert_eq!(Metadata::decode(&encoded), Err(BadInput::MetadataPairs { got: 65 }));
        let mut built = MetadataBuf::new();
        built.push([0; METADATA_BYTES_MAX - 1], "1").unwrap();
        assert_eq!(
            built.push("n", ""),
            Err(BadInput::MetadataBytes { got: METADATA_BYTES_MAX + 1 })
        );
        assert!(Metadata::decode(built.as_ref().encoded()).is_ok());
    }

    #[test]
    fn a_prefix_holds_whole_pairs_s12() {
        let mut built = MetadataBuf::new();
        built.push("a", [1; 500]).unwrap();
        built.push("b", [2; 500]).unwrap();
        built.push("c", "3").unwrap();
        let prefix = built.as_ref().prefix(1_024);
        assert_eq!(prefix.pairs().count(), 3, "505 + 505 + 6 bytes fit");
        assert_eq!(built.as_ref().prefix(1_009).pairs().count(), 1, "order is not broken");
        assert_eq!(built.as_ref().prefix(0).pairs().count(), 0);
    }
}
