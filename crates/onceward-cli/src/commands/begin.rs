//! `begin`: asks whose turn it is.

use bytes::Bytes;
use clap::{Args, ValueEnum};
use onceward_client::{Begin, BeginOutcome, Checkpointed, Client, Millis, Policy};

use crate::answer::{Answer, Value};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::hex;
use crate::identity::IdentityArguments;
use crate::quantity::size;
use crate::secret::{Hidden, attempt_id, fingerprint};
use crate::spans::{LeaseArguments, RetentionArguments, WaitArguments};

const EXAMPLES: &str = "\
acquired and replay both exit 0: run the work only if the outcome is acquired.

Examples:
  onceward begin --key order-17 --json | jq -r .outcome
  onceward begin --key order-17 --fingerprint \"$(sha256sum < order.json | cut -c1-64)\"
  onceward begin --key order-17 --wait 30s           # be told the first call's result
  onceward begin --key label-3 --policy in-doubt     # never run twice without a person's word

The answer holds the attempt id. If the reply was lost, or exit is 20, repeat with --attempt: it
is the same begin then, and harmless.";

/// Ask to execute a key once: acquired means run the work, replay is its stored result
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BeginArguments {
    #[command(flatten)]
    identity: IdentityArguments,
    /// What is asked: a digest of the payload (16 to 32 bytes as HEX), none, or later (named by
    /// renew or complete)
    #[arg(
        long,
        env = "ONCEWARD_FINGERPRINT",
        hide_env_values = true,
        value_name = "HEX|none|later",
        default_value = "none"
    )]
    fingerprint: Hidden,
    #[command(flatten)]
    lease: LeaseArguments,
    #[command(flatten)]
    retention: RetentionArguments,
    /// What another begin gets once the lease has ended
    #[arg(long, env = "ONCEWARD_POLICY", value_enum, default_value = "takeover")]
    policy: PolicyName,
    #[command(flatten)]
    wait: WaitArguments,
    /// Repeat the begin that had this attempt id, 32 hexadecimal digits [default: a new one]
    #[arg(long, env = "ONCEWARD_ATTEMPT", hide_env_values = true, value_name = "HEX")]
    attempt: Option<Hidden>,
    /// Memory to set aside for the result [default: the namespace's figure]
    #[arg(long, env = "ONCEWARD_RESULT_HINT", value_name = "SIZE", value_parser = size)]
    result_hint: Option<u64>,
    /// Memory to set aside for checkpoints
    #[arg(
        long,
        env = "ONCEWARD_CHECKPOINT_HINT",
        value_name = "SIZE",
        value_parser = size,
        default_value = "0"
    )]
    checkpoint_hint: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PolicyName {
    /// It acquires and runs the work again
    Takeover,
    /// Nobody runs again until the doubt is resolved
    #[value(alias = "in_doubt")]
    InDoubt,
}

impl From<PolicyName> for Policy {
    fn from(name: PolicyName) -> Self {
        match name {
            PolicyName::Takeover => Self::Takeover,
            PolicyName::InDoubt => Self::InDoubt,
        }
    }
}

impl BeginArguments {
    /// Lease and retention.
    pub(crate) fn spans(&self) -> (Millis, Millis) {
        (self.lease.lease(), self.retention.retention())
    }

    pub(crate) const fn is_in_doubt(&self) -> bool {
        matches!(self.policy, PolicyName::InDoubt)
    }

    fn request(&self) -> Result<Begin, Failure> {
        let attempt_id = match &self.attempt {
            Some(Hidden(digits)) => attempt_id(digits)?,
            None => onceward_client::attempt_id(),
        };
        // What does not fit memory breaks the limit too, which the store then names.
        let hint = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(Begin {
            lease: self.lease.lease(),
            retention: self.retention.retention(),
            policy: self.policy.into(),
            wait: self.wait.wait(),
            result_hint: self.result_hint.map(hint),
            checkpoint_hint: hint(self.checkpoint_hint),
            ..Begin::new(fingerprint(&self.fingerprint.0)?, attempt_id)
        })
    }
}

pub(crate) async fn run(client: &Client, arguments: &BeginArguments) -> Result<Answer, Failure> {
    let key = arguments.identity.scoped_key()?;
    let request = arguments.request()?;
    let attempt = hex::encode(request.attempt_id.as_bytes());
    match client.begin(key.as_ref(), &request).await {
        Ok(outcome) => Ok(answer(&outcome).with("attempt_id", attempt)),
        Err(error) => {
            let failure = Failure::from(error);
            let attempt = failure.retryable.then_some(attempt);
            Err(Failure { attempt, ..failure })
        }
    }
}

fn answer(outcome: &BeginOutcome<Bytes>) -> Answer {
    let told = |exit| Answer::new(exit, outcome.name());
    match outcome {
        BeginOutcome::Acquired(acquired) => {
            let held = acquired.checkpoint.as_ref();
            let bytes = |held: &Checkpointed<Bytes>| Value::Bytes(held.bytes.clone());
            told(Exit::Ok)
                .with("token", acquired.token.to_string())
                .with("fence", acquired.token.fence.to_string())
                .with("attempt_number", acquired.attempt_number)
                .with("lease_left", acquired.lease_left)
                .with("retention_left", acquired.retention_left)
                .with("checkpoint_ordinal", held.map(|held| held.ordinal))
                .with("checkpoint", held.map_or(Value::Nothing, bytes))
        }
        BeginOutcome::Replay(replay) => told(Exit::Ok)
            .with_result(&replay.result)
            .with("age", replay.age)
            .with("attempt_number", replay.attempt_number)
            .with("retention_left", replay.retention_left),
        BeginOutcome::InProgress { retry_after, age, attempt_number } => told(Exit::InProgress)
            .with("retry_after", *retry_after)
            .with("age", *age)
            .with("attempt_number", *attempt_number),
        BeginOutcome::Mismatch => told(Exit::Mismatch),
        BeginOutcome::NeedFingerprint => told(Exit::NeedFingerprint),
        BeginOutcome::InDoubt { since } => told(Exit::InDoubt).with("since", *since),
        BeginOutcome::Refused { reason, retry_after } => told(Exit::Refused)
            .with("reason", reason.name())
            .with("retry_after", Value::Millis(*retry_after)),
        BeginOutcome::Gone => told(Exit::Gone),
        BeginOutcome::Expired { since } => told(Exit::Expired).with("since", *since),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onceward_client::Refusal;

    #[test]
    fn every_outcome_has_its_exit_code_s23() {
        let second = Millis::from_secs(1);
        let busy = BeginOutcome::InProgress { retry_after: second, age: second, attempt_number: 1 };
        let full = BeginOutcome::Refused { reason: Refusal::Capacity, retry_after: None };
        let cases = [
            (busy, 10),
            (BeginOutcome::Mismatch, 11),
            (BeginOutcome::Gone, 14),
            (BeginOutcome::InDoubt { since: second }, 15),
            (full, 17),
            (BeginOutcome::NeedFingerprint, 18),
            (BeginOutcome::Expired { since: second }, 19),
        ];
        for (outcome, code) in cases {
            let answer = answer(&outcome);
            assert_eq!(answer.exit.code(), code, "{}", outcome.name());
            assert_eq!(answer.exit.word(), answer.outcome, "one word, one meaning");
        }
    }
}
