//! What a facts file begins with, as bytes.

use onceward::Timestamp;

use crate::bytes::Reader;

/// Bytes of a facts file before its first batch.
pub(crate) const HEADER_BYTES: usize = 64;
/// Of facts files, and of the whole directory.
pub(crate) const FORMAT_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"ONCEFACT";

/// Drawn at random for each file: a checksum that fits in one file fits in no other, so what a
/// recycled file held before, or what was written to the wrong file, is never taken for its own.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(crate) struct FileId {
    bytes: [u8; 16],
    crc: u32,
}

impl FileId {
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self { bytes, crc: crc32c::crc32c(&bytes) }
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.bytes
    }

    /// CRC32C of the id, which every checksum in the file carries on from.
    pub(crate) const fn crc(&self) -> u32 {
        self.crc
    }
}

impl std::fmt::Debug for FileId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileId({:032x})", u128::from_be_bytes(self.bytes))
    }
}

/// The header of a facts file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FileHeader {
    pub(crate) id: FileId,
    /// As in its name.
    pub(crate) number: u64,
    /// Of the retentions in it.
    pub(crate) level: u8,
    pub(crate) created_at: Timestamp,
    /// Bytes that it was created with: a shorter file was cut.
    pub(crate) size: u64,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HeaderError {
    /// There are too few bytes, or they are not those of a facts file.
    Magic,
    /// Of a version that this build does not read.
    Version {
        /// Which.
        got: u32,
    },
    /// The checksum does not fit.
    Checksum,
}

impl std::fmt::Display for HeaderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Magic => f.write_str("it does not begin as a facts file"),
            Self::Version { got } => write!(
                f,
                "its format is version {got}, this build reads version {FORMAT_VERSION}: use a newer build"
            ),
            Self::Checksum => f.write_str("its header's checksum does not fit"),
        }
    }
}

impl FileHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(self.id.as_bytes());
        bytes[32..40].copy_from_slice(&self.number.to_le_bytes());
        bytes[40] = self.level;
        bytes[48..56].copy_from_slice(&self.created_at.as_millis().to_le_bytes());
        bytes[56..64].copy_from_slice(&self.size.to_le_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(HeaderError::Magic);
        };
        let mut fields = Reader::new(header);
        let mut read = || {
            let magic = *fields.array::<8>()?;
            let (version, crc) = (fields.u32()?, fields.u32()?);
            let id = FileId::from_bytes(*fields.array()?);
            let number = fields.u64()?;
            let [level, ..] = *fields.array::<8>()?;
            let created_at = Timestamp::from_millis(fields.u64()?);
            Some((magic, version, crc, Self { id, number, level, created_at, size: fields.u64()? }))
        };
        let (magic, version, crc, decoded) = read().ok_or(HeaderError::Magic)?;
        if magic != MAGIC {
            return Err(HeaderError::Magic);
        }
        let mut unsummed = *header;
        unsummed[12..16].fill(0);
        // Before the version: a flipped bit there is damage, and no newer format.
        if crc32c::crc32c(&unsummed) != crc {
            return Err(HeaderError::Checksum);
        }
        if version != FORMAT_VERSION {
            return Err(HeaderError::Version { got: version });
        }
        Ok(decoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> FileHeader {
        FileHeader {
            id: FileId::from_bytes([7; 16]),
            number: 0x0102_0304,
            level: 26,
            created_at: Timestamp::from_millis(5),
            size: 64 << 20,
        }
    }

    #[test]
    fn a_header_reads_back_and_no_flipped_bit_passes() {
        let bytes = header().encode();
        assert_eq!(FileHeader::decode(&bytes), Ok(header()));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(FileHeader::decode(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(FileHeader::decode(&bytes[..len]), Err(HeaderError::Magic), "{len} bytes");
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut bytes = header().encode();
        bytes[8] = 2;
        assert_eq!(FileHeader::decode(&bytes), Err(HeaderError::Checksum));
        bytes[12..16].fill(0);
        let crc = crc32c::crc32c(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(FileHeader::decode(&bytes), Err(HeaderError::Version { got: 2 }));
    }
}
