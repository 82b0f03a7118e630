//! `wait`: waits until a key's work is over.

use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use onceward_client::{Client, GetOutcome};

use crate::answer::Answer;
use crate::commands::get::{self, FormArguments, Got};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::identity::IdentityArguments;
use crate::quantity::duration;
use crate::spinner::Spinner;
use crate::waiting::{Meanwhile, Patience, wait_out};

const EXAMPLES: &str = "\
The store tells when the owner is done; nothing is polled. A store that is away is asked again
until the time is over. What cannot change by waiting is told at once: an absent key, a doubt.

Exit 0 means that what --until names has come; else the code of the state, as get has it: reserved
is 10, absent 12, in doubt 15; completed where absent was asked for is 16.

Examples:
  onceward wait --key order-17 && ship-order
  onceward wait --key report-3 --within 1h --body-only > report.txt
  onceward wait --key order-17 --until settled --json";

/// Wait until the work of a key is over, and show what came of it
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WaitForArguments {
    #[command(flatten)]
    identity: IdentityArguments,
    /// How long to wait in all, at most 30d
    #[arg(
        long,
        env = "ONCEWARD_WITHIN",
        value_name = "TIME",
        value_parser = duration,
        allow_hyphen_values = true,
        default_value = "5m"
    )]
    within: Duration,
    /// What is success
    #[arg(long, env = "ONCEWARD_UNTIL", value_enum, default_value = "completed")]
    until: Until,
    #[command(flatten)]
    form: FormArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Until {
    /// The work is done
    Completed,
    /// It was given up or forgotten, so that the key is free
    Absent,
    /// Either of these
    Settled,
}

impl Until {
    /// How the command ends with this outcome, which get tells by `exit`.
    fn exit(self, outcome: &GetOutcome<Bytes>, exit: Exit) -> Exit {
        match (self, outcome) {
            (Self::Absent | Self::Settled, GetOutcome::Absent) => Exit::Ok,
            (Self::Absent, GetOutcome::Completed(_)) => Exit::Conflict,
            _ => exit,
        }
    }
}

pub(crate) async fn run(
    client: &Client,
    arguments: &WaitForArguments,
    json: bool,
) -> Result<Got, Failure> {
    let key = arguments.identity.scoped_key()?;
    let patience = Patience::of("within", arguments.within)?;
    let spinner = Spinner::start(json);
    let outcome = wait_out(client, key.as_ref(), patience, |meanwhile| {
        let left = humantime::format_duration(Duration::from_secs(patience.left().as_secs()));
        spinner.say(match meanwhile {
            Meanwhile::Reserved { attempt_number } => {
                format!("reserved by attempt {attempt_number}; waiting, at most {left} more")
            }
            Meanwhile::Unavailable => {
                format!("no answer from the store; asking again, at most {left} more")
            }
        });
    });
    let outcome = outcome.await?;
    drop(spinner);
    if arguments.form.body_only {
        return get::body(outcome).map(Got::Body);
    }
    let told = get::answer(&outcome);
    let exit = arguments.until.exit(&outcome, told.exit);
    Ok(Got::Answer(Answer { exit, ..told }))
}
