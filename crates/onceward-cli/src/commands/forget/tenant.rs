//! All keys of a scope, page by page; safe to repeat from the start at any time.

use onceward_client::{
    Client, ClientError, Fence, Forget, ForgetOutcome, ListEntry, ListQuery, PageCursor,
    ScopedKeyBuf, StateName,
};
use tokio::task::{JoinError, JoinSet};

use super::{ForgetArguments, forget};
use crate::answer::Answer;
use crate::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::spinner::Spinner;
use crate::waiting::Patience;

/// Entries looked at per request, and most requests in flight.
const PAGE_ENTRIES: u16 = 1_000;

/// Most keys waited for at once; further ones are found again by the next pass.
const BUSY_MAX: usize = 4_096;

pub(super) async fn run(
    client: &Client,
    scope: &[u8],
    arguments: &ForgetArguments,
    patience: Patience,
    json: bool,
) -> Result<Answer, Failure> {
    let spinner = Spinner::start(json);
    let tenant = Tenant { client, scope, spinner: &spinner };
    if arguments.dry_run {
        return Ok(tenant.count().await?.answer());
    }
    if !arguments.yes {
        if !confirm::can_ask(json) {
            return Err(Failure::bad_input(
                "yes",
                "nobody can be asked here: say --yes to forget all keys of the scope, or --dry-run to count them",
            ));
        }
        let counts = tenant.count().await?;
        spinner.say("");
        let Counts { completed, in_doubt, reserved } = counts;
        output::complain(&format!(
            "{completed} completed, {in_doubt} in doubt, {reserved} reserved in namespace {}",
            client.namespace().as_str()
        ));
        confirm::ask(format!("Forget these {} keys of the scope?", counts.all())).await?;
    }
    let mut tally = Tally::default();
    match tenant.forget_all(patience, &mut tally).await {
        Ok(()) => Ok(tally.answer()),
        Err(error) => {
            let mut failure = Failure::from(error);
            failure.message +=
                &format!("; {} keys were forgotten before that: repeat this", tally.forgotten);
            Err(failure)
        }
    }
}

/// What stands to be forgotten.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Counts {
    completed: u64,
    in_doubt: u64,
    reserved: u64,
}

impl Counts {
    const fn all(self) -> u64 {
        self.completed + self.in_doubt + self.reserved
    }

    fn answer(self) -> Answer {
        Answer::new(Exit::Ok, "scope_counted")
            .with("completed", self.completed)
            .with("in_doubt", self.in_doubt)
            .with("reserved", self.reserved)
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Tally {
    forgotten: u64,
    /// Absent by the time it was to be forgotten.
    already_gone: u64,
    /// Of the last pass: a lease runs.
    in_progress: u64,
    /// Of the last pass: another acquisition came between.
    fenced: u64,
}

impl Tally {
    const fn add(&mut self, outcome: ForgetOutcome) {
        match outcome {
            ForgetOutcome::Forgotten => self.forgotten += 1,
            ForgetOutcome::Gone => self.already_gone += 1,
            ForgetOutcome::InProgress => self.in_progress += 1,
            ForgetOutcome::Fenced => self.fenced += 1,
        }
    }

    const fn remain(self) -> u64 {
        self.in_progress + self.fenced
    }

    fn answer(self) -> Answer {
        let (exit, outcome) = match self {
            Self { in_progress: 1.., .. } => (Exit::InProgress, "scope_not_empty"),
            Self { fenced: 1.., .. } => (Exit::Fenced, "scope_not_empty"),
            _ => (Exit::Ok, "scope_forgotten"),
        };
        let answer = Answer::new(exit, outcome)
            .with("forgotten", self.forgotten)
            .with("already_gone", self.already_gone)
            .with("in_progress", self.in_progress)
            .with("fenced", self.fenced);
        if self.remain() == 0 {
            return answer;
        }
        answer.advise("Some are owned: stop what works for this scope, and repeat, with --wait.")
    }
}

struct Tenant<'a> {
    client: &'a Client,
    scope: &'a [u8],
    spinner: &'a Spinner,
}

impl Tenant<'_> {
    async fn count(&self) -> Result<Counts, ClientError> {
        let mut counts = Counts::default();
        let mut pages = Pages::default();
        while let Some(entries) = pages.next(self).await? {
            for entry in entries {
                match entry.state {
                    StateName::Completed => counts.completed += 1,
                    StateName::InDoubt => counts.in_doubt += 1,
                    StateName::Reserved => counts.reserved += 1,
                }
            }
            self.spinner.say(format!("{} keys of the scope found", counts.all()));
        }
        Ok(counts)
    }

    /// Passes over the namespace until none of the scope's keys is left, or patience is over.
    async fn forget_all(&self, patience: Patience, tally: &mut Tally) -> Result<(), ClientError> {
        loop {
            let busy = self.pass(tally).await?;
            if tally.remain() == 0 || patience.is_over() {
                return Ok(());
            }
            self.wait_for(busy, patience, tally).await?;
        }
    }

    /// Forgets what can be forgotten, and gives the keys whose lease runs.
    async fn pass(&self, tally: &mut Tally) -> Result<Vec<(ScopedKeyBuf, Fence)>, ClientError> {
        (tally.in_progress, tally.fenced) = (0, 0);
        let mut busy = Vec::new();
        let mut pages = Pages::default();
        while let Some(entries) = pages.next(self).await? {
            let mut asked = JoinSet::new();
            for ListEntry { scoped_key, fence, .. } in entries {
                let client = self.client.clone();
                asked.spawn(async move {
                    let outcome = client.forget(scoped_key.as_ref(), &Forget { fence }).await;
                    outcome.map(|outcome| (outcome, scoped_key, fence))
                });
            }
            while let Some(answered) = asked.join_next().await {
                let (outcome, key, fence) = joined(answered)?;
                tally.add(outcome);
                if outcome == ForgetOutcome::InProgress && busy.len() < BUSY_MAX {
                    busy.push((key, fence));
                }
                self.say(tally);
            }
        }
        Ok(busy)
    }

    async fn wait_for(
        &self,
        busy: Vec<(ScopedKeyBuf, Fence)>,
        patience: Patience,
        tally: &mut Tally,
    ) -> Result<(), ClientError> {
        let mut waiting = JoinSet::new();
        for (key, fence) in busy {
            let client = self.client.clone();
            waiting.spawn(async move { forget(&client, key.as_ref(), fence, patience).await });
        }
        while let Some(answered) = waiting.join_next().await {
            match joined(answered)? {
                // The next pass counts these anew.
                ForgetOutcome::InProgress | ForgetOutcome::Fenced => {}
                done => {
                    tally.in_progress = tally.in_progress.saturating_sub(1);
                    tally.add(done);
                }
            }
            self.say(tally);
        }
        Ok(())
    }

    fn say(&self, tally: &Tally) {
        let Tally { forgotten, in_progress, .. } = tally;
        self.spinner.say(format!("{forgotten} keys forgotten, {in_progress} with a running lease"));
    }
}

/// The scope's entries, a page of the namespace at a time.
struct Pages {
    next: Option<PageCursor>,
}

impl Default for Pages {
    fn default() -> Self {
        Self { next: Some(PageCursor::default()) }
    }
}

impl Pages {
    async fn next(&mut self, tenant: &Tenant<'_>) -> Result<Option<Vec<ListEntry>>, ClientError> {
        let Some(cursor) = self.next else { return Ok(None) };
        let query = ListQuery { cursor, entries_max: PAGE_ENTRIES, ..ListQuery::default() };
        let mut page = tenant.client.list(&query).await?;
        self.next = page.next;
        page.entries.retain(|entry| entry.scoped_key.as_ref().scope() == tenant.scope);
        Ok(Some(page.entries))
    }
}

/// What a task came to. None is aborted while it is waited for; a panic goes on here, for a key
/// must not be passed over in silence.
fn joined<T>(ended: Result<T, JoinError>) -> T {
    ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_an_empty_scope_and_nothing_else() {
        let cases = [
            ("nothing was there", Tally::default(), 0),
            ("all is gone", Tally { forgotten: 3, already_gone: 1, ..Tally::default() }, 0),
            ("a lease runs", Tally { forgotten: 3, in_progress: 1, ..Tally::default() }, 10),
            ("another came between", Tally { fenced: 1, ..Tally::default() }, 13),
            ("both", Tally { fenced: 1, in_progress: 1, ..Tally::default() }, 10),
        ];
        for (why, tally, code) in cases {
            assert_eq!(tally.answer().exit.code(), code, "{why}");
        }
    }
}
