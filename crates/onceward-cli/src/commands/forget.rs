//! `forget`: makes one key absent, or all keys of a scope.

mod tenant;

use bytes::Bytes;
use clap::builder::BoolishValueParser;
use clap::{ArgGroup, Args};
use onceward_client::{
    Client, ClientError, Fence, Forget, ForgetOutcome, Get, GetOutcome, Millis, ScopedKey,
};

use crate::answer::Answer;
use crate::commands::get;
use crate::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::identity::{KeyArguments, ScopeArguments};
use crate::quantity::fence;
use crate::spans::WaitArguments;
use crate::spinner::Spinner;
use crate::waiting::{Patience, Pauses, wait_for_lease};

const EXAMPLES: &str = "\
A forgotten key is free, and the next begin runs its work again: forget what is done only if nothing
retries it any more. What an owner's lease still protects is refused, in_progress, unless --wait
outlasts it.

--all-keys forgets every key of one scope, as when a tenant leaves. First stop what writes for that
tenant; keys that appear meanwhile may be missed. The command can be repeated at any time, also
after it was interrupted, until it exits 0. Exit 10: a lease still runs on some key.

Examples:
  onceward forget --key order-17                             # shows it and asks
  onceward forget --key order-17 --fence 7001
  onceward forget --scope tenant-9 --all-keys --dry-run      # only counts
  onceward forget --scope tenant-9 --all-keys --wait 30s --yes";

/// Make a key absent, or all keys of a scope
#[derive(Args, Debug)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("target").required(true).args(["key", "key_hex", "all_keys"])
)]
pub(crate) struct ForgetArguments {
    #[command(flatten)]
    key: KeyArguments,
    #[command(flatten)]
    scope: ScopeArguments,
    /// The acquisition to forget, as get or list show it; without it the key is looked at now,
    /// shown, and you are asked
    #[arg(
        long,
        env = "ONCEWARD_FENCE",
        value_name = "N",
        value_parser = fence,
        allow_negative_numbers = true, // So that -1 is told what to write.
        conflicts_with = "all_keys"
    )]
    fence: Option<Fence>,
    /// Every key of the scope that --scope names
    #[arg(long)]
    all_keys: bool,
    /// With --all-keys: the scope without a name, which an empty --scope does not mean here
    #[arg(
        long,
        requires = "all_keys",
        conflicts_with_all = ["scope", "scope_hex"]
    )]
    empty_scope: bool,
    /// With --all-keys: only count what is there
    #[arg(long, env = "ONCEWARD_DRY_RUN", value_parser = BoolishValueParser::new())]
    dry_run: bool,
    /// Forget what is there now, without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    wait: WaitArguments,
}

pub(crate) async fn run(
    client: &Client,
    arguments: &ForgetArguments,
    json: bool,
) -> Result<Answer, Failure> {
    let patience = Patience::of("wait", arguments.wait.wait().as_duration())?;
    if arguments.all_keys {
        let scope = arguments.whole_scope()?;
        return tenant::run(client, &scope, arguments, patience, json).await;
    }
    if arguments.dry_run {
        return Err(Failure::bad_input(
            "dry_run",
            "--dry-run counts the keys of a scope: for one key see onceward get",
        ));
    }
    let key = arguments.key.within(&arguments.scope)?;
    let key = key.as_ref();
    let fence = match arguments.fence {
        Some(fence) => fence,
        None => {
            let seen = client.get(key, &Get { wait: Millis::ZERO }).await?;
            let shown = shown(seen);
            let Some(fence) = shown.fence else { return shown.settled() };
            let instead = "name --fence as get or list showed it, or say --yes to forget whatever is there now";
            let question = "Forget this, so that the next begin runs the work?".to_owned();
            confirm::about(&shown.answer, arguments.yes, json, instead, question).await?;
            fence
        }
    };
    let spinner = Spinner::start(json);
    if !patience.is_over() {
        spinner.say("waiting for the lease to end, if one runs");
    }
    Ok(answer(forget(client, key, fence, patience).await?))
}

impl ForgetArguments {
    /// The scope of `--all-keys`. An empty one is typed out in a way that an unset variable in a
    /// script cannot.
    fn whole_scope(&self) -> Result<Vec<u8>, Failure> {
        if self.empty_scope {
            return Ok(Vec::new());
        }
        let scope = self.scope.bytes()?.unwrap_or_default();
        if scope.is_empty() {
            return Err(Failure::bad_input(
                "scope",
                "--all-keys needs a scope: name it with --scope, or say --empty-scope for the keys without one",
            ));
        }
        Ok(scope)
    }
}

/// What a look tells whoever named no fence.
struct Shown {
    answer: Answer,
    /// `None` where there is nothing to forget, or no right to.
    fence: Option<Fence>,
    present: bool,
}

fn shown(seen: GetOutcome<Bytes>) -> Shown {
    let mut answer = get::answer(&seen);
    // Its body is no help in deciding, and may be long.
    answer.fields.retain(|field| field.name != "body" && field.name != "metadata");
    let (fence, present) = match seen {
        GetOutcome::Reserved { fence, .. } | GetOutcome::InDoubt { fence, .. } => (fence, true),
        GetOutcome::Completed(done) => (done.fence, true),
        GetOutcome::Absent | GetOutcome::Expired { .. } => (None, false),
    };
    Shown { answer, fence, present }
}

impl Shown {
    fn settled(self) -> Result<Answer, Failure> {
        if self.present {
            return Err(ClientError::Denied.into());
        }
        Ok(self.answer.advise("Nothing is known of the key, so there is nothing to forget."))
    }
}

/// Forgets one acquisition, again after each end of a lease while patience lasts.
async fn forget(
    client: &Client,
    key: ScopedKey<'_>,
    fence: Fence,
    patience: Patience,
) -> Result<ForgetOutcome, ClientError> {
    let mut pauses = Pauses::new();
    loop {
        let outcome = client.forget(key, &Forget { fence }).await?;
        if outcome != ForgetOutcome::InProgress || patience.is_over() {
            return Ok(outcome);
        }
        wait_for_lease(client, key, patience, &mut pauses).await?;
    }
}

fn answer(outcome: ForgetOutcome) -> Answer {
    let told = |exit| Answer::new(exit, outcome.name());
    match outcome {
        ForgetOutcome::Forgotten => told(Exit::Ok),
        ForgetOutcome::InProgress => told(Exit::InProgress)
            .advise("Its owner's lease runs: repeat with --wait, or when it has ended."),
        ForgetOutcome::Fenced => told(Exit::Fenced)
            .advise("Another attempt is there now, which you have not seen: see onceward get."),
        ForgetOutcome::Gone => told(Exit::Gone)
            .advise("The key is absent already; repeated after forgotten, this is its success."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_exit_code() {
        let cases = [
            (ForgetOutcome::Forgotten, 0),
            (ForgetOutcome::InProgress, 10),
            (ForgetOutcome::Fenced, 13),
            (ForgetOutcome::Gone, 14),
        ];
        for (outcome, code) in cases {
            assert_eq!(answer(outcome).exit.code(), code, "{}", outcome.name());
        }
    }
}
