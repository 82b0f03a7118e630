//! `renew`: starts the lease anew.

use clap::Args;
use onceward_client::{Client, Renew, RenewOutcome};

use crate::answer::Answer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::identity::IdentityArguments;
use crate::secret::{DigestArguments, TokenArguments};
use crate::spans::LeaseArguments;

const EXAMPLES: &str = "\
Examples:
  onceward renew --key order-17 --token-file token --lease 2m
  onceward renew --key upload-3 --token-file token --fingerprint \"$(sha256sum < body | cut -c1-64)\"

On fenced (13) or gone (14) stop the work: somebody else owns the key, or nobody does.";

/// Start the lease anew while the work runs; it never gets shorter
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RenewArguments {
    #[command(flatten)]
    identity: IdentityArguments,
    #[command(flatten)]
    token: TokenArguments,
    #[command(flatten)]
    lease: LeaseArguments,
    #[command(flatten)]
    fingerprint: DigestArguments,
}

pub(crate) async fn run(client: &Client, arguments: &RenewArguments) -> Result<Answer, Failure> {
    let key = arguments.identity.scoped_key()?;
    let fingerprint = arguments.fingerprint.digest()?;
    let token = arguments.token.token()?;
    let request = Renew { token, lease: arguments.lease.lease(), fingerprint };
    let outcome = client.renew(key.as_ref(), &request).await?;
    let told = |exit| Answer::new(exit, outcome.name());
    Ok(match outcome {
        RenewOutcome::Renewed { lease_left } => told(Exit::Ok).with("lease_left", lease_left),
        RenewOutcome::Mismatch => told(Exit::Mismatch),
        RenewOutcome::Conflict => told(Exit::Conflict),
        RenewOutcome::Fenced => told(Exit::Fenced),
        RenewOutcome::Gone => told(Exit::Gone),
    })
}
