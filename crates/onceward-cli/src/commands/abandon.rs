//! `abandon`: gives an acquisition up.

use clap::Args;
use clap::builder::BoolishValueParser;
use onceward_client::{Abandon, AbandonOutcome, Certainty, Client};

use crate::answer::Answer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::identity::IdentityArguments;
use crate::secret::TokenArguments;

const EXAMPLES: &str = "\
Examples:
  onceward abandon --key order-17 --token-file token            # surely not done: free for all
  onceward abandon --key order-17 --token-file token --in-doubt # may be done: nobody runs again

Repeated after it was done it answers gone, exit 14; that is its success, told twice.";

/// Give an acquisition up: the work was not done, or nobody knows
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AbandonArguments {
    #[command(flatten)]
    identity: IdentityArguments,
    #[command(flatten)]
    token: TokenArguments,
    /// The work may have happened: nobody runs it again until an operator resolves it
    #[arg(long, env = "ONCEWARD_IN_DOUBT", value_parser = BoolishValueParser::new())]
    in_doubt: bool,
}

pub(crate) async fn run(client: &Client, arguments: &AbandonArguments) -> Result<Answer, Failure> {
    let key = arguments.identity.scoped_key()?;
    let certainty = if arguments.in_doubt { Certainty::InDoubt } else { Certainty::NotDone };
    let request = Abandon { token: arguments.token.token()?, certainty };
    let outcome = client.abandon(key.as_ref(), &request).await?;
    let exit = match outcome {
        AbandonOutcome::Abandoned => Exit::Ok,
        AbandonOutcome::Conflict => Exit::Conflict,
        AbandonOutcome::Fenced => Exit::Fenced,
        AbandonOutcome::Gone => Exit::Gone,
    };
    Ok(Answer::new(exit, outcome.name()))
}
