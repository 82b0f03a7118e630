//! What a rival holds under a key.

use onceward_bench::engine::Fault;

/// A claim, or the value that came in its place. `B` is how the rival owns bytes.
#[derive(Clone, Debug)]
pub(crate) enum Held<B> {
    /// Somebody runs it.
    Pending {
        /// Who: kept so that the record is as wide as a claim must be.
        #[expect(dead_code, reason = "it is stored, and weighs, but nobody compares it")]
        attempt: [u8; 16],
    },
    /// The value.
    Done(B),
}

impl<B: AsRef<[u8]>> Held<B> {
    pub(crate) fn pending(number: u64) -> Self {
        let mut attempt = [0; 16];
        attempt[..8].copy_from_slice(&number.to_le_bytes());
        Self::Pending { attempt }
    }

    pub(crate) fn copy_into(&self, into: &mut Vec<u8>) -> Result<(), Fault> {
        into.clear();
        match self {
            Self::Pending { .. } => Err("a stored key is pending".into()),
            Self::Done(bytes) => {
                into.extend_from_slice(bytes.as_ref());
                Ok(())
            }
        }
    }

    pub(crate) fn expect_pending(&self) -> Result<(), Fault> {
        match self {
            Self::Pending { .. } => Ok(()),
            Self::Done(_) => Err("a pending key is stored".into()),
        }
    }
}

#[cold]
pub(crate) fn absent() -> Fault {
    "a key is absent".into()
}

/// Fails where an insert found the key there already.
pub(crate) fn expect_new<T>(before: Option<T>) -> Result<(), Fault> {
    match before {
        None => Ok(()),
        Some(_) => Err("a new key is there already".into()),
    }
}
