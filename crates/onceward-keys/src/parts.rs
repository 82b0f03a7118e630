//! SHA-256 over a list of parts, such that no two lists give the hash the same bytes.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Hashes parts in order, each preceded by its length in bytes as a little-endian u32.
///
/// The first part is a label that says what the hash is for, so that two uses never share one.
/// `docs/keys.md` has the labels in use.
pub struct PartsHasher(Sha256);

impl PartsHasher {
    /// Begins with the label.
    #[must_use]
    pub fn new(label: &str) -> Self {
        let mut hasher = Self(Sha256::new());
        hasher.part(label.as_bytes());
        hasher
    }

    /// Adds one part after the others.
    ///
    /// # Panics
    /// If the part has 4 GiB or more.
    pub fn part(&mut self, part: &[u8]) {
        let size = u32::try_from(part.len()).expect("a part has less than 4 GiB");
        self.0.update(size.to_le_bytes());
        self.0.update(part);
    }

    /// SHA-256 of label and parts.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// Shows nothing: the state is as good as what was hashed (S16).
impl fmt::Debug for PartsHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PartsHasher(…)")
    }
}

/// The hash of `parts` behind their label.
pub(crate) fn digest_of<const N: usize>(label: &str, parts: [&[u8]; N]) -> [u8; 32] {
    let mut hasher = PartsHasher::new(label);
    for part in parts {
        hasher.part(part);
    }
    hasher.finish()
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes every write");
    }
    text
}
