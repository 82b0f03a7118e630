//! The credential: from the environment or from a file, never from an argument, which shows in
//! process lists.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::failure::Failure;
use crate::secret::{is_stdin, read_file};

/// The variable that holds the credential itself.
pub(crate) const VARIABLE: &str = "ONCEWARD_CREDENTIAL";
/// Longest credential that the protocol carries.
const BYTES_MAX: u64 = 4_096;
/// Anybody on the machine may read or write it.
const OTHERS: u32 = 0o006;

/// Reads a credential file without its line end.
///
/// # Errors
/// A file that cannot be read, that anybody may read, or that holds no credential.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let field = "credential_file";
    if !is_stdin(path) {
        let metadata =
            fs::metadata(path).map_err(|error| Failure::unreadable(field, path, &error))?;
        if metadata.permissions().mode() & OTHERS != 0 {
            return Err(Failure::bad_input(
                field,
                format!(
                    "{} can be read or written by anybody on this machine: chmod o-rw it",
                    path.display()
                ),
            ));
        }
    }
    let mut bytes = read_file(field, path, BYTES_MAX)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Failure::bad_input(
            field,
            format!("{} holds more than {BYTES_MAX} bytes: it is no credential", path.display()),
        ));
    }
    for end in [b'\n', b'\r'] {
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err(Failure::bad_input(field, format!("{} is empty", path.display())));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_anybody_reads_is_no_place_for_a_secret_s16() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("credential");
        type Case<'a> = (&'a str, &'a [u8], u32, Result<&'a [u8], &'a str>);
        let cases: [Case<'_>; 7] = [
            ("the owner's", b"hunter2", 0o600, Ok(b"hunter2")),
            ("a line end is none of it", b"hunter2\r\n", 0o640, Ok(b"hunter2")),
            ("but one", b"hunter2\n\n", 0o640, Ok(b"hunter2\n")),
            ("anybody reads", b"hunter2", 0o604, Err("chmod o-rw")),
            ("anybody writes", b"hunter2", 0o602, Err("chmod o-rw")),
            ("empty", b"\n", 0o600, Err("is empty")),
            ("too long", &[b'x'; 4_097], 0o600, Err("more than 4096")),
        ];
        for (why, bytes, mode, want) in cases {
            fs::write(&path, bytes).expect("ours");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
            match (read(&path), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{why}"),
                (Err(got), Err(want)) => {
                    assert!(got.message.contains(want), "{why}: {got}");
                    assert!(!got.message.contains("hunter2"), "{why}");
                }
                (got, want) => panic!("{why}: {got:?}, not {want:?}"),
            }
        }
        assert!(read(&folder.path().join("none")).is_err());
    }
}
