//! Named fields, of which a key or a fingerprint is made, in an order of their own.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use crate::parts::PartsHasher;

/// Most fields of one key or fingerprint; over: [`FieldsError::Count`].
pub(crate) const FIELDS_MAX: usize = 64;
/// Most bytes of a field's name, which has at least one; else [`FieldsError::NameLength`].
pub(crate) const FIELD_NAME_BYTES_MAX: usize = 255;
/// Most bytes of all values together, as many as the largest result's body; over:
/// [`FieldsError::ValueBytes`], before the value is copied.
pub(crate) const FIELD_VALUES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Fields by name, or the first fault among them.
#[derive(Clone, Default)]
pub(crate) struct Fields {
    /// In order of the names' bytes, which makes the order of naming immaterial.
    values: BTreeMap<String, Vec<u8>>,
    values_bytes: usize,
    fault: Option<FieldsError>,
}

impl Fields {
    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        if self.fault.is_none() {
            self.fault = self.try_add(name, value).err();
        }
    }

    fn try_add(&mut self, name: &str, value: &[u8]) -> Result<(), FieldsError> {
        let count = self.values.len();
        if !(1..=FIELD_NAME_BYTES_MAX).contains(&name.len()) {
            return Err(FieldsError::NameLength { at: count + 1, got: name.len() });
        }
        // Never overflows: the sum is within its bound, and no slice has more than isize::MAX bytes.
        let values_bytes = self.values_bytes + value.len();
        if values_bytes > FIELD_VALUES_BYTES_MAX {
            return Err(FieldsError::ValueBytes { name: name.to_owned(), got: values_bytes });
        }
        match self.values.entry(name.to_owned()) {
            Entry::Occupied(there) => Err(FieldsError::Twice { name: there.key().clone() }),
            Entry::Vacant(_) if count == FIELDS_MAX => Err(FieldsError::Count { got: count + 1 }),
            Entry::Vacant(place) => {
                place.insert(value.to_vec());
                self.values_bytes = values_bytes;
                Ok(())
            }
        }
    }

    /// Hashes name and value of each field, two parts, in order of the names' bytes.
    pub(crate) fn hash_into(self, hasher: &mut PartsHasher) -> Result<(), FieldsError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.values.is_empty() {
            return Err(FieldsError::None);
        }
        for (name, value) in &self.values {
            hasher.part(name.as_bytes());
            hasher.part(value);
        }
        Ok(())
    }
}

/// Shows names and sizes: values may be secret (S16).
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = self.values.iter().map(|(name, value)| (name, value.len()));
        f.debug_map().entries(sizes).finish()
    }
}

/// What is wrong with the fields of a key or fingerprint: the program's own fault, and the same at
/// every try. Names of fields are shown, values never (S16).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FieldsError {
    /// There is none. What says nothing of the intent would be the same for every intent.
    None,
    /// There are more than 64.
    Count {
        /// As many as were counted.
        got: usize,
    },
    /// A name has no bytes, or more than 255.
    NameLength {
        /// Which field, counted from 1 as they were named.
        at: usize,
        /// Bytes the name has.
        got: usize,
    },
    /// Two fields have one name.
    Twice {
        /// The name.
        name: String,
    },
    /// The values have more than 16 MiB together.
    ValueBytes {
        /// The field at which they do.
        name: String,
        /// Bytes up to and with it.
        got: usize,
    },
}

impl fmt::Display for FieldsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("there is no field: name what makes two requests the same"),
            Self::Count { got } => write!(f, "there are {got} fields: name at most {FIELDS_MAX}"),
            Self::NameLength { at, got } => {
                write!(f, "name of field {at} has {got} bytes: give it 1 to {FIELD_NAME_BYTES_MAX}")
            }
            Self::Twice { name } => {
                write!(f, "field `{name}` is there twice: give each field a name of its own")
            }
            Self::ValueBytes { name, got } => write!(
                f,
                "values have {got} bytes up to field `{name}`: give at most {FIELD_VALUES_BYTES_MAX}, or a digest of the value"
            ),
        }
    }
}

impl std::error::Error for FieldsError {}
