//! Tokens, attempt ids and fingerprints: what must show in no error, so each is read here and not
//! by the command line's parser, whose complaints quote what was typed (S16).

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use onceward_client::{AttemptId, BadInput, Digest, Fingerprint, Token};

use crate::failure::Failure;
use crate::hex;

/// A token is at most 52 bytes; whatever is longer is another file.
const TOKEN_FILE_BYTES_MAX: u64 = 4_096;

/// The owner's right, as begin printed it.
#[derive(Args)]
#[group(skip)]
pub(crate) struct TokenArguments {
    /// The token that begin printed. Secret: in scripts prefer ONCEWARD_TOKEN or --token-file
    #[arg(
        long,
        env = "ONCEWARD_TOKEN",
        hide_env_values = true,
        required_unless_present = "token_file",
        conflicts_with = "token_file"
    )]
    token: Option<String>,
    /// Read the token from this file; - is stdin
    #[arg(long, env = "ONCEWARD_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenArguments {
    pub(crate) fn reads_stdin(&self) -> bool {
        self.token_file.as_deref().is_some_and(is_stdin)
    }

    /// # Errors
    /// A file that cannot be read, or text that is no token.
    pub(crate) fn token(&self) -> Result<Token, Failure> {
        let text = match &self.token_file {
            Some(path) => read_file("token", path, TOKEN_FILE_BYTES_MAX)?,
            None => self.token.clone().unwrap_or_default().into_bytes(),
        };
        // What is no UTF-8 is no token either, and its message must not quote it.
        let text = String::from_utf8(text).unwrap_or_default();
        text.trim().parse().map_err(|error: onceward_client::TokenParseError| {
            Failure::bad_input("token", error.to_string())
        })
    }
}

impl fmt::Debug for TokenArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenArguments(…)")
    }
}

/// The digest of the payload, for owners and resolvers.
#[derive(Args, Debug)]
#[group(skip)]
pub(crate) struct DigestArguments {
    /// Name the digest of the payload if begin said later; else it must equal the bound one. none
    /// and later, as begin takes them, name no digest
    #[arg(
        long,
        env = "ONCEWARD_FINGERPRINT",
        hide_env_values = true,
        value_name = "HEX|none|later"
    )]
    fingerprint: Option<Hidden>,
}

impl DigestArguments {
    /// # Errors
    /// As [`named_digest`].
    pub(crate) fn digest(&self) -> Result<Option<Digest>, Failure> {
        match &self.fingerprint {
            Some(Hidden(text)) => named_digest(text),
            None => Ok(None),
        }
    }
}

/// A value that shows in no log: key material, bodies, digests that can be tried against guesses.
#[derive(Clone)]
pub(crate) struct Hidden(pub(crate) String);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// `-`, as everywhere.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The first `bytes_max` bytes of a file or of stdin, and one more if there are more.
pub(crate) fn read_file(field: &str, path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if is_stdin(path) {
        io::stdin().lock().take(bytes_max + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::unreadable(field, path, &error))?;
    Ok(bytes)
}

/// 32 digits.
///
/// # Errors
/// Anything else.
pub(crate) fn attempt_id(digits: &str) -> Result<AttemptId, Failure> {
    let bytes = hex::decode(digits).and_then(|bytes| bytes.try_into().ok());
    bytes.map(AttemptId::from_bytes).ok_or_else(|| {
        Failure::bad_input(
            "attempt",
            "--attempt is not 32 hexadecimal digits: pass the attempt id that begin printed, or none for a new one",
        )
    })
}

/// `none`, `later` or a digest's digits.
///
/// # Errors
/// Digits that are none, or a digest too short or too long.
pub(crate) fn fingerprint(text: &str) -> Result<Fingerprint, Failure> {
    match text {
        "none" => Ok(Fingerprint::None),
        "later" => Ok(Fingerprint::Later),
        digits => Ok(digest(digits)?.into()),
    }
}

/// The digest that an owner names. `none` and `later` suit begin, and one variable sets the option
/// of all commands: here they name nothing, and the store says whether it needs a digest (S9).
///
/// # Errors
/// As [`fingerprint`].
fn named_digest(text: &str) -> Result<Option<Digest>, Failure> {
    match fingerprint(text)? {
        Fingerprint::Digest(digest) => Ok(Some(digest)),
        Fingerprint::None | Fingerprint::Later => Ok(None),
    }
}

/// # Errors
/// As [`fingerprint`].
pub(crate) fn digest(digits: &str) -> Result<Digest, Failure> {
    // First, for the length of what holds no digits says nothing.
    hex::decode(digits).ok_or(BadInput::DigestText)?;
    Ok(digits.parse::<Digest>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_quote_no_secret_s16() {
        let secret = "5ec2e7".repeat(5);
        let token = TokenArguments { token: Some(format!("7-{secret}")), token_file: None };
        let complaints = [
            token.token().map(drop),
            attempt_id(&secret).map(drop),
            fingerprint(&secret[..20]).map(drop),
            named_digest("5ec2e7").map(drop),
        ];
        for complaint in complaints {
            let complaint = complaint.expect_err("30 digits are none of these");
            assert_eq!(complaint.exit.code(), 2);
            assert!(!complaint.message.contains("5ec2e7"), "{complaint}");
        }
        assert!(!format!("{token:?} {:?}", Hidden(secret)).contains("5ec2e7"));
    }

    #[test]
    fn fingerprints_as_typed() {
        assert!(matches!(fingerprint("none"), Ok(Fingerprint::None)));
        assert!(matches!(fingerprint("later"), Ok(Fingerprint::Later)));
        assert!(matches!(fingerprint(&"aB".repeat(32)), Ok(Fingerprint::Digest(_))));
        assert!(fingerprint("").is_err());
        assert!(matches!(named_digest("none"), Ok(None)));
        assert!(matches!(named_digest("later"), Ok(None)));
        assert!(matches!(named_digest(&"aB".repeat(32)), Ok(Some(_))));
        assert!(named_digest("").is_err());
    }
}
