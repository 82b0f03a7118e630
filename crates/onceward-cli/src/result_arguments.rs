//! A result, as the commands that store one take it.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use onceward_client::{Body, MetadataBuf, NotKept, ResultRef, StoredResult};

use crate::failure::Failure;
use crate::secret::{Hidden, is_stdin, read_file};

/// The largest body that any configuration keeps (S20). What is larger is not even sent: it
/// completes as declined, and retries learn that the work is done (S12).
const BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The group of the three ways to say what the body is; complete requires one of them.
pub(crate) const BODY_GROUP: &str = "result";

/// Status, metadata and body.
#[derive(Args, Debug)]
#[group(skip)]
pub(crate) struct ResultArguments {
    /// The result's body
    #[arg(
        long,
        env = "ONCEWARD_BODY",
        hide_env_values = true,
        value_name = "TEXT",
        allow_hyphen_values = true,
        group = BODY_GROUP
    )]
    body: Option<Hidden>,
    /// Read the body from this file; - is stdin
    #[arg(long, env = "ONCEWARD_BODY_FILE", value_name = "FILE", group = BODY_GROUP)]
    body_file: Option<PathBuf>,
    /// Have no body kept: retries learn only that the work is done, with status and metadata
    #[arg(
        long,
        env = "ONCEWARD_NO_KEEP",
        value_parser = BoolishValueParser::new(),
        group = BODY_GROUP
    )]
    no_keep: bool,
    /// A number of your own meaning, such as an HTTP status, 0 to 65535 [default: 0]
    #[arg(
        long,
        env = "ONCEWARD_STATUS",
        value_name = "N",
        allow_negative_numbers = true // So that -1 is told its bounds.
    )]
    status: Option<u16>,
    /// A pair to store with the result; repeat it for more, order is kept
    #[arg(
        long,
        env = "ONCEWARD_METADATA",
        hide_env_values = true,
        value_name = "NAME=VALUE",
        allow_hyphen_values = true
    )]
    metadata: Vec<Hidden>,
}

/// A result with its bytes in memory.
pub(crate) struct OwnedResult {
    status: u16,
    metadata: Vec<u8>,
    body: Body<Vec<u8>>,
}

impl OwnedResult {
    pub(crate) fn as_ref(&self) -> ResultRef<'_> {
        StoredResult {
            status: self.status,
            metadata: self.metadata.as_slice(),
            body: match &self.body {
                Body::Kept(bytes) => Body::Kept(bytes.as_slice()),
                Body::NotKept(why) => Body::NotKept(*why),
            },
        }
    }
}

impl ResultArguments {
    /// Whether anything of a result was named.
    pub(crate) fn is_given(&self) -> bool {
        let Self { body, body_file, no_keep, status, metadata } = self;
        body.is_some()
            || body_file.is_some()
            || *no_keep
            || status.is_some()
            || !metadata.is_empty()
    }

    pub(crate) fn reads_stdin(&self) -> bool {
        self.body_file.as_deref().is_some_and(is_stdin)
    }

    /// The result. Without a body it is one that is declined.
    ///
    /// # Errors
    /// A file that cannot be read, or metadata that is no pair or beyond its limits.
    pub(crate) fn result(&self) -> Result<OwnedResult, Failure> {
        let metadata = self.encoded_metadata()?;
        Ok(OwnedResult { status: self.status.unwrap_or_default(), metadata, body: self.body()? })
    }

    fn body(&self) -> Result<Body<Vec<u8>>, Failure> {
        let bytes = match (&self.body, &self.body_file) {
            (Some(Hidden(text)), _) => text.as_bytes().to_vec(),
            (None, Some(path)) => read_file("body", path, BODY_BYTES_MAX)?,
            (None, None) => return Ok(Body::NotKept(NotKept::Declined)),
        };
        if bytes.len() as u64 > BODY_BYTES_MAX {
            return Ok(Body::NotKept(NotKept::Declined));
        }
        Ok(Body::Kept(bytes))
    }

    fn encoded_metadata(&self) -> Result<Vec<u8>, Failure> {
        let mut metadata = MetadataBuf::new();
        for Hidden(pair) in &self.metadata {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                Failure::bad_input("metadata", "--metadata has no =: write NAME=VALUE")
            })?;
            metadata.push(name, value)?;
        }
        Ok(metadata.into_encoded())
    }
}
