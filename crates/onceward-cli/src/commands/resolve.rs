//! `resolve`: ends a doubt.

use bytes::Bytes;
use clap::{ArgGroup, Args};
use onceward_client::{
    Client, ClientError, Fence, Get, GetOutcome, Millis, Resolve, ResolveOutcome, Verdict,
};

use crate::answer::Answer;
use crate::commands::get;
use crate::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::identity::IdentityArguments;
use crate::quantity::fence;
use crate::result_arguments::ResultArguments;
use crate::secret::DigestArguments;

const EXAMPLES: &str = "\
First find out, from the systems that the work touches, whether it happened. Then say so:
  --completed    it did: every retry gets the result given here
  --never-done   it did not: the key is free, and the next begin runs the work

--fence and --doubt name the doubt that you looked into, as get or list show them, so that this
verdict cannot end a later one. Without them the entry is looked at now, shown, and you are asked.
--yes takes what is there now unasked: only where nothing can have run since you looked.

Examples:
  onceward list --state in_doubt
  onceward resolve --key order-17 --fence 7001 --doubt 1 --completed --status 201 --body 'order 17'
  onceward resolve --key order-17 --fence 7001 --doubt 1 --never-done
  onceward resolve --key order-17 --never-done                   # shows it and asks";

/// End a doubt: the work was done, with this result, or never done
#[derive(Args, Debug)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("verdict").required(true).args(["completed", "never_done"])
)]
pub(crate) struct ResolveArguments {
    #[command(flatten)]
    identity: IdentityArguments,
    /// The acquisition judged
    #[arg(
        long,
        env = "ONCEWARD_FENCE",
        value_name = "N",
        value_parser = fence,
        allow_negative_numbers = true // So that -1 is told what to write.
    )]
    fence: Option<Fence>,
    /// The doubt judged, by its number
    #[arg(long, env = "ONCEWARD_DOUBT", value_name = "N", allow_negative_numbers = true)]
    doubt: Option<u32>,
    /// The work was done; without a body, retries learn no more than that
    #[arg(long)]
    completed: bool,
    /// The work was not done, and nothing of it will happen later
    #[arg(long)]
    never_done: bool,
    /// Take the fence and the doubt that are there now, without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten, next_help_heading = "With --completed")]
    result: ResultArguments,
    #[command(flatten)]
    fingerprint: DigestArguments,
}

pub(crate) async fn run(
    client: &Client,
    arguments: &ResolveArguments,
    json: bool,
) -> Result<Answer, Failure> {
    let key = arguments.identity.scoped_key()?;
    let fingerprint = arguments.fingerprint.digest()?;
    if arguments.never_done && (arguments.result.is_given() || fingerprint.is_some()) {
        return Err(Failure::bad_input(
            "never_done",
            "--never-done stores nothing: leave out body, status, metadata and fingerprint, or say --completed",
        ));
    }
    if arguments.result.reads_stdin() && arguments.judged().is_none() && !arguments.yes {
        return Err(Failure::bad_input(
            "body",
            "--body-file names stdin, where you would be asked: name --fence and --doubt, or give the body a file",
        ));
    }
    let result = arguments.result.result()?;
    let (fence, doubt_number) = match arguments.judged() {
        Some(judged) => judged,
        None => {
            let look = Get { wait: Millis::ZERO };
            match read(&client.get(key.as_ref(), &look).await?) {
                Reading::Settled(answer) => return Ok(answer),
                Reading::NoRight => return Err(ClientError::Denied.into()),
                // It was completed: the store compares the results, and nothing is changed.
                Reading::Done(fence) => {
                    (arguments.fence.unwrap_or(fence), arguments.doubt.unwrap_or_default())
                }
                Reading::Open { fence, doubt_number, shown } => {
                    let instead = "name --fence and --doubt as get or list showed them, or say --yes to judge whatever doubt is there now";
                    let verdict = if arguments.never_done {
                        "never done, so that it runs again"
                    } else {
                        "completed"
                    };
                    let question = format!("Resolve this as {verdict}?");
                    confirm::about(&shown, arguments.yes, json, instead, question).await?;
                    (arguments.fence.unwrap_or(fence), arguments.doubt.unwrap_or(doubt_number))
                }
            }
        }
    };
    let verdict = if arguments.never_done {
        Verdict::NeverDone
    } else {
        Verdict::Completed { result: result.as_ref(), fingerprint }
    };
    let request = Resolve { fence, doubt_number, verdict };
    Ok(answer(client.resolve(key.as_ref(), &request).await?, arguments.never_done))
}

impl ResolveArguments {
    /// The doubt that the caller named in full.
    fn judged(&self) -> Option<(Fence, u32)> {
        self.fence.zip(self.doubt)
    }
}

/// What a look tells a resolver who named no doubt.
enum Reading {
    /// There is nothing to resolve, and this is why.
    Settled(Answer),
    NoRight,
    Done(Fence),
    Open {
        fence: Fence,
        doubt_number: u32,
        shown: Answer,
    },
}

fn read(seen: &GetOutcome<Bytes>) -> Reading {
    let shown = get::answer(seen);
    let (fence, doubt_number) = match seen {
        GetOutcome::Absent | GetOutcome::Expired { .. } => {
            let why = "Nothing is known of the key, so there is no doubt.";
            return Reading::Settled(shown.advise(why));
        }
        GetOutcome::Completed(done) => return done.fence.map_or(Reading::NoRight, Reading::Done),
        GetOutcome::Reserved { lease_left, .. } if *lease_left > Millis::ZERO => {
            return Reading::Settled(answer(ResolveOutcome::InProgress, false));
        }
        GetOutcome::Reserved { fence, doubt_number, .. }
        | GetOutcome::InDoubt { fence, doubt_number, .. } => (*fence, *doubt_number),
    };
    let Some(fence) = fence else { return Reading::NoRight };
    Reading::Open { fence, doubt_number, shown }
}

const IN_PROGRESS: &str =
    "Its owner's lease runs, so there is no doubt yet: wait for it, with onceward wait.";

fn answer(outcome: ResolveOutcome, never_done: bool) -> Answer {
    let told = |exit| Answer::new(exit, outcome.name());
    match outcome {
        ResolveOutcome::Resolved if never_done => {
            told(Exit::Ok).advise("The key is free: the next begin runs the work.")
        }
        ResolveOutcome::Resolved => told(Exit::Ok).advise("Retries get this result from now on."),
        ResolveOutcome::InProgress => told(Exit::InProgress).advise(IN_PROGRESS),
        ResolveOutcome::Mismatch => told(Exit::Mismatch).advise(
            "The key belongs to another payload than --fingerprint names: check which request you looked into.",
        ),
        ResolveOutcome::NeedFingerprint => told(Exit::NeedFingerprint).advise(
            "Its owner never named the payload: repeat with --fingerprint, the digest of the request that was done.",
        ),
        ResolveOutcome::Conflict => told(Exit::Conflict).advise(
            "It was completed, otherwise than you say, and that result stands: see onceward get.",
        ),
        ResolveOutcome::Fenced => told(Exit::Fenced).advise(
            "Another attempt or a later doubt is there now, which you have not looked into: see onceward get, and begin anew.",
        ),
        ResolveOutcome::Gone => told(Exit::Gone).advise(
            "The key is absent: it was resolved as never done, abandoned or forgotten, or its retention ended.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_exit_code_and_says_what_now() {
        let cases = [
            (ResolveOutcome::Resolved, 0),
            (ResolveOutcome::InProgress, 10),
            (ResolveOutcome::Mismatch, 11),
            (ResolveOutcome::Fenced, 13),
            (ResolveOutcome::Gone, 14),
            (ResolveOutcome::Conflict, 16),
            (ResolveOutcome::NeedFingerprint, 18),
        ];
        for (outcome, code) in cases {
            for never_done in [false, true] {
                let answer = answer(outcome, never_done);
                assert_eq!(answer.exit.code(), code, "{}", answer.outcome);
                assert!(answer.advice.is_some(), "{}", answer.outcome);
            }
        }
    }

    #[test]
    fn a_lapsed_lease_can_be_judged_and_a_running_one_cannot_s8() {
        let fence = Fence::new(7);
        let reserved = |lease_left| GetOutcome::Reserved {
            age: Millis::from_secs(9),
            attempt_number: 1,
            lease_left: Millis::new(lease_left),
            fence,
            doubt_number: 1,
        };
        assert!(matches!(read(&reserved(0)), Reading::Open { doubt_number: 1, .. }));
        let Reading::Settled(answer) = read(&reserved(1)) else { panic!("its lease runs") };
        assert_eq!((answer.outcome, answer.exit), ("in_progress", Exit::InProgress));
        let hidden = GetOutcome::InDoubt {
            since: Millis::ZERO,
            attempt_number: 1,
            fence: None,
            doubt_number: 1,
        };
        assert!(matches!(read(&hidden), Reading::NoRight), "without the operate right");
    }
}
