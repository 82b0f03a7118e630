//! One key for one intent: a label and named fields.

use std::fmt;

use super::Key;
use crate::fields::{Fields, FieldsError};
use crate::parts::PartsHasher;

/// Most bytes of a derivation's label, which has at least one.
const LABEL_BYTES_MAX: usize = 255;

/// A key in the making; see [`Key::derive`].
///
/// A fault is kept until [`finish`](KeyDerivation::finish), which tells the first.
#[derive(Clone, Debug)]
#[must_use = "a derivation gives its key at `finish`"]
pub struct KeyDerivation {
    /// The label, or the size of one that breaks its bound.
    label: Result<String, usize>,
    fields: Fields,
}

impl KeyDerivation {
    pub(super) fn new(label: &str) -> Self {
        let label = match label.len() {
            1..=LABEL_BYTES_MAX => Ok(label.to_owned()),
            got => Err(got),
        };
        Self { label, fields: Fields::default() }
    }

    /// Adds a field. Its name has 1 to 255 bytes and occurs once; its value is any bytes, none
    /// included, and is copied. At most 64 fields, with values of at most 16 MiB together.
    ///
    /// Numbers are given in one written form, such as `to_string()`: `"7"` and `"07"` are two keys.
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.add(name, value.as_ref());
        self
    }

    /// The key: 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// See [`DeriveError`].
    pub fn finish(self) -> Result<Key, DeriveError> {
        let label = self.label.map_err(|got| DeriveError::LabelLength { got })?;
        let mut hasher = PartsHasher::new("onceward key v1");
        hasher.part(label.as_bytes());
        self.fields.hash_into(&mut hasher)?;
        Ok(Key::of_digest(&hasher.finish()))
    }
}

/// Why no key was derived: the program's own fault, and the same at every try.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DeriveError {
    /// The label has no bytes, or more than 255.
    LabelLength {
        /// Bytes it has.
        got: usize,
    },
    /// A fault in the fields.
    Fields(FieldsError),
}

impl From<FieldsError> for DeriveError {
    fn from(error: FieldsError) -> Self {
        Self::Fields(error)
    }
}

impl fmt::Display for DeriveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LabelLength { got } => {
                write!(f, "label of a derived key has {got} bytes: give it 1 to {LABEL_BYTES_MAX}")
            }
            Self::Fields(error) => write!(f, "a key cannot be derived: {error}"),
        }
    }
}

impl std::error::Error for DeriveError {}
