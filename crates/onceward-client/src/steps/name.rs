//! Names of steps.

use super::error::StepError;

/// Most bytes of a step's name, which has at least one; over, or with other characters: an error
/// before the step runs.
pub const STEP_NAME_BYTES_MAX: usize = 64;

/// Checks a step's name: 1–64 bytes of `[a-z0-9._-]`, so that it is the same bytes in the ledger,
/// in metadata and in a log.
pub(super) fn check(name: &str) -> Result<(), StepError> {
    let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > STEP_NAME_BYTES_MAX || !name.bytes().all(plain) {
        return Err(StepError::Name { bytes: name.len() });
    }
    Ok(())
}
