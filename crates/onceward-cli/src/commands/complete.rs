//! `complete`: ends an acquisition with a result.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgGroup, Args};
use onceward_client::{
    Body, Client, Complete, CompleteOutcome, MetadataBuf, NotKept, StoredResult,
};

use crate::answer::Answer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::identity::IdentityArguments;
use crate::secret::{Hidden, TokenArguments, digest, is_stdin, read_file};

/// The largest body that any configuration keeps (S20). What is larger is not even sent: it
/// completes as declined, and retries learn that the work is done (S12).
const BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;

const EXAMPLES: &str = "\
Examples:
  onceward complete --key order-17 --token-file token --body 'order 17' --status 201
  make-report | onceward complete --key report-3 --token-file token --body-file -
  onceward complete --key mail-9 --token-file token --no-keep   # done; there is nothing to replay

Repeating it with the same token and the same result is harmless: already_completed, exit 0.";

/// End an acquisition with the result that every retry will get
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("result").required(true))]
pub(crate) struct CompleteArguments {
    #[command(flatten)]
    identity: IdentityArguments,
    #[command(flatten)]
    token: TokenArguments,
    /// The result's body
    #[arg(
        long,
        env = "ONCEWARD_BODY",
        hide_env_values = true,
        value_name = "TEXT",
        allow_hyphen_values = true,
        group = "result"
    )]
    body: Option<Hidden>,
    /// Read the body from this file; - is stdin
    #[arg(long, env = "ONCEWARD_BODY_FILE", value_name = "FILE", group = "result")]
    body_file: Option<PathBuf>,
    /// Have no body kept: retries learn only that the work is done, with status and metadata
    #[arg(
        long,
        env = "ONCEWARD_NO_KEEP",
        value_parser = BoolishValueParser::new(),
        group = "result"
    )]
    no_keep: bool,
    /// A number of your own meaning, such as an HTTP status, 0 to 65535
    #[arg(
        long,
        env = "ONCEWARD_STATUS",
        value_name = "N",
        allow_negative_numbers = true, // So that -1 is told its bounds.
        default_value_t = 0
    )]
    status: u16,
    /// A pair to store with the result; repeat it for more, order is kept
    #[arg(
        long,
        env = "ONCEWARD_METADATA",
        hide_env_values = true,
        value_name = "NAME=VALUE",
        allow_hyphen_values = true
    )]
    metadata: Vec<Hidden>,
    /// Name the digest of the payload if begin said later; else it must equal the bound one
    #[arg(long, env = "ONCEWARD_FINGERPRINT", hide_env_values = true, value_name = "HEX")]
    fingerprint: Option<Hidden>,
}

impl CompleteArguments {
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

    fn metadata(&self) -> Result<Vec<u8>, Failure> {
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

pub(crate) async fn run(client: &Client, arguments: &CompleteArguments) -> Result<Answer, Failure> {
    let key = arguments.identity.scoped_key()?;
    let body_from_stdin = arguments.body_file.as_deref().is_some_and(is_stdin);
    if body_from_stdin && arguments.token.reads_stdin() {
        return Err(Failure::bad_input(
            "body",
            "--token-file and --body-file both name stdin: give one of them a file",
        ));
    }
    let token = arguments.token.token()?;
    let fingerprint =
        arguments.fingerprint.as_ref().map(|Hidden(digits)| digest(digits)).transpose()?;
    let metadata = arguments.metadata()?;
    let body = arguments.body()?;
    let result = StoredResult {
        status: arguments.status,
        metadata: metadata.as_slice(),
        body: match &body {
            Body::Kept(bytes) => Body::Kept(bytes.as_slice()),
            Body::NotKept(why) => Body::NotKept(*why),
        },
    };
    let outcome = client.complete(key.as_ref(), &Complete { token, result, fingerprint }).await?;
    Ok(answer(outcome))
}

fn answer(outcome: CompleteOutcome) -> Answer {
    let told = |exit| Answer::new(exit, outcome.name());
    match outcome {
        CompleteOutcome::Completed { not_kept }
        | CompleteOutcome::AlreadyCompleted { not_kept } => {
            told(Exit::Ok).with("not_kept", not_kept.map(NotKept::name))
        }
        CompleteOutcome::Conflict => told(Exit::Conflict),
        CompleteOutcome::Mismatch => told(Exit::Mismatch),
        CompleteOutcome::NeedFingerprint => told(Exit::NeedFingerprint),
        CompleteOutcome::Fenced => told(Exit::Fenced),
        CompleteOutcome::Gone => told(Exit::Gone),
    }
}
