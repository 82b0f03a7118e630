//! What was asked: a digest of the payload, or a stated absence of one.

use core::fmt;
use core::str::FromStr;

use crate::error::BadInput;
use crate::hex;
use crate::limits;

/// A digest of 16 to 32 bytes, made by the caller (SHA-256 unless there is a reason).
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Digest {
    /// Bytes past `size` are zero, so that equality and hashing need not look at `size`' end.
    bytes: [u8; limits::DIGEST_BYTES_MAX],
    size: u8,
}

impl Digest {
    /// Takes a digest as computed.
    ///
    /// # Errors
    /// [`BadInput::DigestLength`] unless there are 16 to 32 bytes.
    #[inline]
    pub fn new(digest: &[u8]) -> Result<Self, BadInput> {
        let got = digest.len();
        if !(limits::DIGEST_BYTES_MIN..=limits::DIGEST_BYTES_MAX).contains(&got) {
            return Err(BadInput::DigestLength { got });
        }
        let mut bytes = [0; limits::DIGEST_BYTES_MAX];
        bytes[..got].copy_from_slice(digest);
        Ok(Self { bytes, size: got as u8 })
    }

    /// Takes a digest of `size` bytes that stands at the front of zeros, as [`Digest::padded`]
    /// gives it: without the copy that [`Digest::new`] makes.
    ///
    /// # Errors
    /// [`BadInput::DigestLength`] unless `size` is 16 to 32 and all bytes from there on are zero.
    #[inline]
    pub fn from_padded(
        bytes: [u8; limits::DIGEST_BYTES_MAX],
        size: usize,
    ) -> Result<Self, BadInput> {
        let sizes = limits::DIGEST_BYTES_MIN..=limits::DIGEST_BYTES_MAX;
        if !sizes.contains(&size) || bytes[size..].iter().any(|&byte| byte != 0) {
            return Err(BadInput::DigestLength { got: size });
        }
        Ok(Self { bytes, size: size as u8 })
    }

    /// The digest's bytes, and zeros up to the longest digest's size.
    #[must_use]
    #[inline]
    pub const fn padded(&self) -> &[u8; limits::DIGEST_BYTES_MAX] {
        &self.bytes
    }

    /// How many bytes the digest has.
    #[must_use]
    #[inline]
    pub const fn size(&self) -> usize {
        self.size as usize
    }

    /// The digest's 16 to 32 bytes.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.size)]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(f, self.as_bytes())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A fingerprint can be tried against guessed payloads, so logs get its size only (S16).
        write!(f, "Digest({} bytes)", self.size)
    }
}

impl FromStr for Digest {
    type Err = BadInput;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let got = text.len() / 2;
        if !(limits::DIGEST_BYTES_MIN..=limits::DIGEST_BYTES_MAX).contains(&got) {
            return Err(BadInput::DigestLength { got });
        }
        let mut bytes = [0; limits::DIGEST_BYTES_MAX];
        hex::parse(text.as_bytes(), &mut bytes[..got]).ok_or(BadInput::DigestText)?;
        Ok(Self { bytes, size: got as u8 })
    }
}

/// What a begin says about its payload, and what an entry is bound to (S1, S9).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Fingerprint {
    /// The caller states that there is nothing to compare. Matches only itself.
    #[default]
    None,
    /// The body is still streaming; the owner binds a digest once, by renew or complete (S9).
    Later,
    /// The payload's digest.
    Digest(Digest),
}

impl Fingerprint {
    /// The digest, for an owner that binds one late, by renew or complete (S9); `None` where there
    /// is none.
    #[must_use]
    pub const fn digest(self) -> Option<Digest> {
        match self {
            Self::Digest(digest) => Some(digest),
            Self::None | Self::Later => None,
        }
    }
}

impl From<Digest> for Fingerprint {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn only_a_digest_can_be_bound_later_s9() {
        let digest = Digest::new(&[7; 16]).unwrap();
        let cases = [
            (Fingerprint::from(digest), Some(digest)),
            (Fingerprint::None, None),
            (Fingerprint::Later, None),
        ];
        for (fingerprint, want) in cases {
            assert_eq!(fingerprint.digest(), want, "{fingerprint:?}");
        }
    }

    #[test]
    fn a_digest_has_16_to_32_bytes() {
        for got in [0, 15, 33] {
            assert_eq!(Digest::new(&[1; 40][..got]), Err(BadInput::DigestLength { got }));
            assert_eq!("01".repeat(got).parse::<Digest>(), Err(BadInput::DigestLength { got }));
        }
        for size in [16, 20, 32] {
            let digest = Digest::new(&[0xa5; 32][..size]).unwrap();
            assert_eq!(digest.as_bytes().len(), size);
            assert_eq!(digest.to_string().parse(), Ok(digest));
            assert_eq!(Digest::from_padded(*digest.padded(), digest.size()), Ok(digest));
            assert!(Digest::from_padded([1; 32], size).is_ok() == (size == 32), "not padded");
        }
        assert_eq!("xy".repeat(16).parse::<Digest>(), Err(BadInput::DigestText));
        let odd = "ab".repeat(16) + "c";
        assert_eq!(odd.parse::<Digest>(), Err(BadInput::DigestText));
        assert_ne!(Digest::new(&[0; 16]), Digest::new(&[0; 17]), "length is part of it");
    }
}
