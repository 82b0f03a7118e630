//! What a data directory holds, in one small file that is replaced as a whole.
//!
//! Invariants:
//! 1. Nothing in a facts file is acknowledged before a manifest that names the file is durable.
//! 2. A file is taken out of the manifest before it is taken away, so what the manifest names is
//!    there. While a replacement may or may not have come about, both readings are true of the
//!    directory.
//! 3. `fence_ceiling` is durable before a fence at or above the one before it is given (S4).

use std::collections::BTreeMap;

use onceward::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::ClockRecord;
use crate::directory;
use crate::disk::Disk;
use crate::error::JournalError;
use crate::file_name::{MANIFEST, MANIFEST_NEW};
use crate::header::FORMAT_VERSION;

/// Largest manifest that is read: some 100,000 files. A larger one is damaged.
const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// What a data directory holds.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Manifest {
    /// Of the directory.
    pub format: u32,
    /// Drawn at random when the directory was new.
    #[serde(with = "hex")]
    pub store_id: [u8; 16],
    /// How often a journal has started here.
    pub instance: u64,
    /// No fence at or above it was ever given (S4).
    pub fence_ceiling: u64,
    /// Of short hashes that stand for keys in logs (S16).
    #[serde(with = "hex")]
    pub hash_key: [u8; 16],
    /// How the store's clock goes on (S15).
    pub clock: ClockRecord,
    /// What frames call namespaces.
    pub names: BTreeMap<u16, String>,
    /// Every facts file, by number.
    pub files: BTreeMap<u64, FileEntry>,
}

/// What the manifest says of a facts file.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FileEntry {
    /// As in its header.
    #[serde(with = "hex")]
    pub id: [u8; 16],
    /// Of the retentions in it.
    pub level: u8,
    /// How far it got.
    pub state: FileState,
}

/// How far a facts file got.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// Batches may follow. What of it is synced, progress and batches say.
    Open,
    /// Nothing follows. All of `length` is synced, and the file may have been cut to it.
    Sealed {
        /// Bytes, the header included.
        length: u64,
    },
    /// A write or sync failed. What was synced before counts, whatever follows does not: it was
    /// written anew elsewhere.
    Failed {
        /// Bytes synced before, the header included.
        good_length: u64,
    },
}

impl Manifest {
    /// Of a directory that is new.
    #[must_use]
    pub fn new(store_id: [u8; 16], hash_key: [u8; 16]) -> Self {
        Self {
            format: FORMAT_VERSION,
            store_id,
            instance: 0,
            fence_ceiling: 0,
            hash_key,
            clock: ClockRecord::default(),
            names: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }

    /// The manifest of the directory; `None` if it has none.
    ///
    /// # Errors
    /// [`JournalError::NewerFormat`], [`JournalError::Damaged`], [`JournalError::Disk`].
    pub fn read(disk: &dyn Disk) -> Result<Option<Self>, JournalError> {
        let file = match disk.open(MANIFEST) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(JournalError::disk("open", MANIFEST)(error)),
        };
        let len = file.len().map_err(JournalError::disk("read", MANIFEST))?;
        if len > MANIFEST_BYTES_MAX {
            return Err(damaged(MANIFEST_BYTES_MAX, "it is too long"));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let read = file.read_at(&mut bytes, 0).map_err(JournalError::disk("read", MANIFEST))?;
        Self::decode(&bytes[..read]).map(Some)
    }

    /// Replaces the directory's manifest, durably. After an error either may stand there, until
    /// another replacement succeeds.
    ///
    /// # Errors
    /// [`JournalError::Disk`].
    pub fn replace(&self, disk: &dyn Disk) -> Result<(), JournalError> {
        let bytes = self.encode();
        directory::remove_if_there(disk, MANIFEST_NEW)?;
        let file = disk
            .create(MANIFEST_NEW, bytes.len() as u64)
            .map_err(JournalError::disk("create", MANIFEST_NEW))?;
        file.write_at(&bytes, 0).map_err(JournalError::disk_at("write", MANIFEST_NEW, 0))?;
        file.sync_all().map_err(JournalError::disk("sync", MANIFEST_NEW))?;
        disk.rename(MANIFEST_NEW, MANIFEST).map_err(JournalError::disk("replace", MANIFEST))?;
        directory::sync(disk)
    }

    /// The largest number of a file.
    #[must_use]
    pub fn largest_file(&self) -> u64 {
        self.files.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// Last instant of the store's clock that was recorded.
    #[must_use]
    pub fn recorded_at(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.store_ms)
    }

    fn encode(&self) -> Vec<u8> {
        // Maps with numbers for keys and plain fields: there is nothing that JSON cannot say.
        let mut bytes = serde_json::to_vec(self).expect("a manifest is JSON");
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(format!("\n{crc:08x}\n").as_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, JournalError> {
        let mut lines = bytes.split(|&byte| byte == b'\n');
        let (Some(json), Some(crc), Some([]), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(damaged(bytes.len() as u64, "it is not two lines"));
        };
        let stated =
            std::str::from_utf8(crc).ok().and_then(|crc| u32::from_str_radix(crc, 16).ok());
        if stated != Some(crc32c::crc32c(json)) {
            return Err(damaged(0, "its checksum does not fit"));
        }
        // Alone, for nothing else is known of a newer format.
        let Format { format } = serde_json::from_slice(json).map_err(malformed)?;
        if format > FORMAT_VERSION {
            let file = MANIFEST.to_owned();
            return Err(JournalError::NewerFormat { file, got: format, reads: FORMAT_VERSION });
        }
        serde_json::from_slice(json).map_err(malformed)
    }
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

fn damaged(offset: u64, what: &str) -> JournalError {
    JournalError::Damaged { file: MANIFEST.to_owned(), offset, what: what.to_owned() }
}

fn malformed(error: serde_json::Error) -> JournalError {
    damaged(error.column() as u64, &format!("it does not say what a manifest says: {error}"))
}

/// 16 bytes as hexadecimal digits.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 16], to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:032x}", u128::from_be_bytes(*bytes)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
        let text = <&str>::deserialize(from)?;
        let plain = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| plain);
        number.map(u128::to_be_bytes).ok_or_else(|| D::Error::custom("32 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SystemDisk;

    fn manifest() -> Manifest {
        let entry = |state| FileEntry { id: [0xab; 16], level: 26, state };
        Manifest {
            instance: 3,
            fence_ceiling: 1 << 62,
            clock: ClockRecord {
                boot_id: "b".into(),
                boot_offset_ms: -5,
                store_ms: 17,
                wall_ms: 1 << 40,
            },
            names: BTreeMap::from([(0, "orders".into()), (7, "refunds".into())]),
            files: BTreeMap::from([
                (1, entry(FileState::Sealed { length: 4_096 })),
                (2, entry(FileState::Failed { good_length: 64 })),
                (u64::MAX, entry(FileState::Open)),
            ]),
            ..Manifest::new([1; 16], [2; 16])
        }
    }

    #[test]
    fn a_manifest_is_replaced_as_a_whole_and_reads_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = SystemDisk::open(folder.path()).expect("a disk");
        assert_eq!(Manifest::read(&disk).expect("an empty directory"), None);
        std::fs::write(folder.path().join(MANIFEST_NEW), "half made").expect("a leftover");
        Manifest::new([9; 16], [8; 16]).replace(&disk).expect("replaced");
        manifest().replace(&disk).expect("replaced");
        assert_eq!(Manifest::read(&disk).expect("sound"), Some(manifest()));
        assert_eq!(disk.list().expect("list"), [MANIFEST]);
    }

    #[test]
    fn no_flipped_bit_and_no_cut_passes() {
        let bytes = manifest().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let read = Manifest::decode(&flipped);
            // A capital digit in the checksum is the same number.
            let same = flipped.eq_ignore_ascii_case(&bytes);
            assert!(read.is_err() || same && read.ok() == Some(manifest()), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let json = r#"{"format":2,"what":"nobody knows"}"#;
        let text = format!("{json}\n{:08x}\n", crc32c::crc32c(json.as_bytes()));
        let refused = Manifest::decode(text.as_bytes()).expect_err("newer");
        assert!(matches!(refused, JournalError::NewerFormat { got: 2, reads: 1, .. }));
        assert!(refused.to_string().contains("newer build"), "{refused}");
    }
}
