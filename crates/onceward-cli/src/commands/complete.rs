//! `complete`: ends an acquisition with a result.

use clap::{ArgGroup, Args};
use onceward_client::{Client, Complete, CompleteOutcome, NotKept};

use crate::answer::Answer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::identity::IdentityArguments;
use crate::result_arguments::{BODY_GROUP, ResultArguments};
use crate::secret::{DigestArguments, TokenArguments};

const EXAMPLES: &str = "\
Examples:
  onceward complete --key order-17 --token-file token --body 'order 17' --status 201
  make-report | onceward complete --key report-3 --token-file token --body-file -
  onceward complete --key mail-9 --token-file token --no-keep   # done; there is nothing to replay

Repeating it with the same token and the same result is harmless: already_completed, exit 0.";

/// End an acquisition with the result that every retry will get
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, group = ArgGroup::new(BODY_GROUP).required(true))]
pub(crate) struct CompleteArguments {
    #[command(flatten)]
    identity: IdentityArguments,
    #[command(flatten)]
    token: TokenArguments,
    #[command(flatten)]
    result: ResultArguments,
    #[command(flatten)]
    fingerprint: DigestArguments,
}

pub(crate) async fn run(client: &Client, arguments: &CompleteArguments) -> Result<Answer, Failure> {
    let key = arguments.identity.scoped_key()?;
    if arguments.result.reads_stdin() && arguments.token.reads_stdin() {
        return Err(Failure::bad_input(
            "body",
            "--token-file and --body-file both name stdin: give one of them a file",
        ));
    }
    let token = arguments.token.token()?;
    let fingerprint = arguments.fingerprint.digest()?;
    let result = arguments.result.result()?;
    let request = Complete { token, result: result.as_ref(), fingerprint };
    let outcome = client.complete(key.as_ref(), &request).await?;
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
