//! The options of `run`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use onceward_client::{Millis, Policy};

use crate::commands::begin::PolicyName;
use crate::identity::IdentityArguments;
use crate::quantity::{duration, size};
use crate::secret::Hidden;
use crate::spans::{LeaseArguments, RetentionArguments, WaitArguments};

const EXPLANATION: &str = "\
The first call with a key runs COMMAND; later calls replay its stdout, its stderr and its exit
status, in order, and run nothing. The lease is renewed while COMMAND runs.

How COMMAND ends            --on-failure keep   abandon          in-doubt
  status 0                  stored              stored           stored
  another status            stored              the next runs    nobody runs until resolved
  killed by signal N        the lease decides   the next runs    nobody runs until resolved

Exit status: COMMAND's own (128+N for signal N), run or replayed. Else, with one line on stderr
that starts with \"onceward: \":
  125  onceward's own: in progress, mismatch, in doubt, refused, unavailable, bad input, lost
       ownership, result not stored, output not kept
  126  COMMAND is there but cannot be executed
  127  COMMAND is not there
--report FILE tells in JSON what an exit status cannot; with --json that object stands in place of
the line on stderr. See \"onceward run\" in docs/operations.md for all of it.

COMMAND gets ONCEWARD_RUN_FENCE, ONCEWARD_RUN_ATTEMPT_NUMBER (more than 1: an earlier attempt may
have done some of the work) and ONCEWARD_RUN_DERIVED_KEY (the same for every attempt: hand it to
systems that take an idempotency key). It gets neither ONCEWARD_CREDENTIAL nor ONCEWARD_TOKEN.

Examples:
  onceward run --key \"backup-$(date +%F)\" -- pg_dump -f /backup/orders.sql orders
  onceward run --key migrate-42 --on-failure in-doubt --lease 5m -- ./migrate 42
  onceward run --key \"report-$(date +%F)\" --on-failure abandon --wait 60s -- make-report";

/// Run a command once per key; later calls replay its output and exit status
#[derive(Args, Debug)]
#[command(after_help = EXPLANATION)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(super) identity: IdentityArguments,
    /// What becomes of the key if COMMAND fails: its exit status is not 0, or a signal kills it
    #[arg(long, env = "ONCEWARD_ON_FAILURE", value_enum, default_value = "keep")]
    pub(super) on_failure: OnFailure,
    /// What another call gets once the lease has ended without a result [default: takeover;
    /// in-doubt with --on-failure in-doubt]
    #[arg(long, env = "ONCEWARD_POLICY", value_enum)]
    policy: Option<PolicyName>,
    #[command(flatten)]
    pub(super) lease: LeaseArguments,
    #[command(flatten)]
    pub(super) retention: RetentionArguments,
    #[command(flatten)]
    pub(super) wait: WaitArguments,
    /// What is asked: the command line's own digest, no digest, or 16 to 32 bytes as HEX. A call
    /// with the same key and another fingerprint is refused
    #[arg(
        long,
        env = "ONCEWARD_FINGERPRINT",
        hide_env_values = true,
        value_name = "HEX|none|command",
        default_value = "command"
    )]
    pub(super) fingerprint: Hidden,
    /// How much output to keep for replay. With more, only the exit status is kept
    #[arg(
        long,
        env = "ONCEWARD_OUTPUT_MAX",
        value_name = "SIZE",
        value_parser = output_size,
        default_value = "1MiB"
    )]
    pub(super) output_max: usize,
    /// Memory to set aside in the store for the output [default: the namespace's figure]
    #[arg(long, env = "ONCEWARD_RESULT_HINT", value_name = "SIZE", value_parser = size)]
    pub(super) result_hint: Option<u64>,
    /// Exit with the stored status where the output was not kept, instead of 125
    #[arg(
        long,
        env = "ONCEWARD_ACCEPT_MISSING_OUTPUT",
        value_parser = BoolishValueParser::new()
    )]
    pub(super) accept_missing_output: bool,
    /// How long after SIGTERM to send SIGKILL, where ownership is lost and COMMAND must stop
    #[arg(
        long,
        env = "ONCEWARD_KILL_AFTER",
        value_name = "TIME",
        value_parser = duration,
        allow_hyphen_values = true,
        default_value = "10s"
    )]
    pub(super) kill_after: Duration,
    /// Write what happened to this file, as one JSON object
    #[arg(long, env = "ONCEWARD_REPORT", value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// The command and its arguments, after --
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

/// What a failure of the command means for its key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum OnFailure {
    /// Given up as not done: the next call runs it again
    Abandon,
    /// Stored like any result: later calls replay the failure
    Keep,
    /// Given up in doubt: nobody runs it until the doubt is resolved
    #[value(alias = "in_doubt")]
    InDoubt,
}

/// The largest body that any configuration of the store keeps (S20).
const OUTPUT_BYTES_MAX: u64 = 16 * 1024 * 1024;

fn output_size(text: &str) -> Result<usize, String> {
    match size(text)? {
        bytes @ ..=OUTPUT_BYTES_MAX => Ok(bytes as usize),
        _ => Err("it is more than the 16MiB that any store keeps: write less".to_owned()),
    }
}

impl RunArguments {
    /// Lease and retention.
    pub(crate) fn spans(&self) -> (Millis, Millis) {
        (self.lease.lease(), self.retention.retention())
    }

    /// The option by which a doubt may arise.
    pub(crate) fn in_doubt_by(&self) -> Option<&'static str> {
        match (self.on_failure, self.policy()) {
            (OnFailure::InDoubt, _) => Some("on-failure"),
            (_, Policy::InDoubt) => Some("policy"),
            (_, Policy::Takeover) => None,
        }
    }

    pub(super) fn policy(&self) -> Policy {
        match (self.policy, self.on_failure) {
            (Some(policy), _) => policy.into(),
            (None, OnFailure::InDoubt) => Policy::InDoubt,
            (None, OnFailure::Abandon | OnFailure::Keep) => Policy::Takeover,
        }
    }
}
