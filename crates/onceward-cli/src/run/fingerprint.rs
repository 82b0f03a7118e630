//! What was asked: by default the command line itself, so that one key stands for one command.

use std::ffi::OsString;

use onceward_client::{Digest, Fingerprint};
use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::secret;

/// First of the parts, so that no other use of SHA-256 over the same parts gives the same digest.
const LABEL: &[u8] = b"onceward run command v1";

/// The fingerprint that `--fingerprint TEXT` means for the command line `words`.
///
/// # Errors
/// Text that is none of the forms, or a digest too short or too long.
pub(crate) fn chosen(text: &str, words: &[OsString]) -> Result<Fingerprint, Failure> {
    match text {
        "command" => Ok(of_command(words)),
        "none" => Ok(Fingerprint::None),
        "later" => Err(Failure::bad_input(
            "fingerprint",
            "--fingerprint later is for work that learns its payload while it runs: give command, none or a digest",
        )),
        digits => Ok(secret::digest(digits)?.into()),
    }
}

/// SHA-256 over the label and the words, each preceded by its length in bytes as a little-endian
/// u64. Environment, folder and stdin do not count: they differ from call to call.
fn of_command(words: &[OsString]) -> Fingerprint {
    let mut hasher = Sha256::new();
    let words = words.iter().map(|word| word.as_encoded_bytes());
    for part in std::iter::once(LABEL).chain(words) {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    Fingerprint::Digest(Digest::new(&hasher.finalize()).expect("SHA-256 has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Fingerprint {
        of_command(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn one_command_line_has_one_digest() {
        // The vector of `docs/run-format.md`, for other languages.
        let want = "0f62489586e22592a5c3c2cb6c4e46e696f6e57946d060e6749a3403180d6acc";
        assert_eq!(of(&["pg_dump", "orders"]), Fingerprint::Digest(want.parse().unwrap()));
        assert!(include_str!("../../../../docs/run-format.md").contains(want));
        assert_eq!(of(&["pg_dump", "orders"]), of(&["pg_dump", "orders"]));
        let others: [&[&str]; 5] = [
            &["pg_dump", "stock"],
            &["pg_dump orders"],
            &["pg_dump", "orders", ""],
            &["pg_dumpo", "rders"],
            &["orders", "pg_dump"],
        ];
        for other in others {
            assert_ne!(of(&["pg_dump", "orders"]), of(other), "{other:?}");
        }
    }

    #[test]
    fn forms_of_the_option() {
        let words = [OsString::from("true")];
        assert_eq!(chosen("command", &words).unwrap(), of(&["true"]));
        assert_eq!(chosen("none", &words).unwrap(), Fingerprint::None);
        assert!(matches!(chosen(&"ab".repeat(16), &words), Ok(Fingerprint::Digest(_))));
        for wrong in ["", "later", "xyz", "abcd"] {
            let failure = chosen(wrong, &words).expect_err(wrong);
            assert_eq!(failure.exit.code(), 2, "{wrong}");
        }
    }
}
