//! `get`: looks without acting.

use bytes::Bytes;
use clap::Args;
use clap::builder::BoolishValueParser;
use onceward_client::{Body, Client, Fence, Get, GetOutcome};

use crate::answer::{Answer, Value};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::identity::IdentityArguments;
use crate::spans::WaitArguments;

const EXAMPLES: &str = "\
Exit 0 means completed; reserved is 10, absent 12, in doubt 15.

Examples:
  onceward get --key order-17
  onceward get --key order-17 --wait 30s --body-only > order.json
  onceward get --key-hex 00ff17 --scope tenant-9 --json";

/// Show a key's state, and its result if there is one
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GetArguments {
    #[command(flatten)]
    identity: IdentityArguments,
    #[command(flatten)]
    wait: WaitArguments,
    #[command(flatten)]
    form: FormArguments,
}

/// In which form a state is told; wait tells it as get does.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
pub(crate) struct FormArguments {
    /// Write the body to stdout as it is, and nothing else
    #[arg(
        long,
        env = "ONCEWARD_BODY_ONLY",
        value_parser = BoolishValueParser::new(),
        conflicts_with = "json"
    )]
    pub(crate) body_only: bool,
}

/// What get tells: an answer, or with `--body-only` the bytes alone.
pub(crate) enum Got {
    Answer(Answer),
    Body(Bytes),
}

pub(crate) async fn run(client: &Client, arguments: &GetArguments) -> Result<Got, Failure> {
    let key = arguments.identity.scoped_key()?;
    let request = Get { wait: arguments.wait.wait() };
    let outcome = client.get(key.as_ref(), &request).await?;
    if !arguments.form.body_only {
        return Ok(Got::Answer(answer(&outcome)));
    }
    body(outcome).map(Got::Body)
}

/// The body alone.
///
/// # Errors
/// Whatever state has none.
pub(crate) fn body(outcome: GetOutcome<Bytes>) -> Result<Bytes, Failure> {
    let GetOutcome::Completed(completed) = outcome else {
        let Answer { exit, outcome, .. } = answer(&outcome);
        return Err(Failure::new(exit, format!("there is no body: the key is {outcome}")));
    };
    match completed.result.body {
        Body::Kept(body) => Ok(body),
        Body::NotKept(why) => Err(Failure::new(
            Exit::NotKept,
            format!(
                "there is no body: the work is done, but its body was not kept ({}); do not run it again",
                why.name()
            ),
        )),
    }
}

pub(crate) fn answer(outcome: &GetOutcome<Bytes>) -> Answer {
    let told = |exit| Answer::new(exit, outcome.name());
    let text = |fence: &Option<Fence>| Value::from(fence.map(|fence| fence.to_string()));
    match outcome {
        GetOutcome::Absent => told(Exit::Absent),
        GetOutcome::Reserved { age, attempt_number, lease_left, fence, doubt_number } => {
            told(Exit::InProgress)
                .with("fence", text(fence))
                .with("attempt_number", *attempt_number)
                .with("age", *age)
                .with("lease_left", *lease_left)
                .with("doubt_number", *doubt_number)
        }
        GetOutcome::InDoubt { since, attempt_number, fence, doubt_number } => told(Exit::InDoubt)
            .with("fence", text(fence))
            .with("attempt_number", *attempt_number)
            .with("since", *since)
            .with("doubt_number", *doubt_number),
        GetOutcome::Completed(completed) => told(Exit::Ok)
            .with_result(&completed.result)
            .with("fence", text(&completed.fence))
            .with("attempt_number", completed.attempt_number)
            .with("age", completed.age)
            .with("retention_left", completed.retention_left),
        GetOutcome::Expired { since } => told(Exit::Expired).with("since", *since),
    }
}
