//! Ends doubts: asks the ledger whether the side effect happened, and tells the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use onceward_client::{
    Client, ClientError, ListEntry, ListQuery, Resolve, ResolveOutcome, StateName, Verdict,
};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::LEASE;
use super::caller::intent_of;
use super::ledger::LedgerClient;
use super::traffic::Traffic;
use super::witness::Witness;

/// How often it looks without being rung for.
const EVERY: Duration = Duration::from_millis(500);
/// How long it lets further doubts gather once rung for.
const GATHER: Duration = Duration::from_millis(50);

/// What it needs, and what it counts.
pub(super) struct Reconciler {
    pub(super) client: Client,
    /// Other users' doubts in the same store are not its business.
    pub(super) scope: String,
    pub(super) ledger: LedgerClient,
    pub(super) traffic: Arc<Traffic>,
    pub(super) witness: Arc<Witness>,
    pub(super) doubt: Arc<Notify>,
    pub(super) resolved: Resolved,
}

/// How many doubts ended which way.
#[derive(Default)]
pub(super) struct Resolved {
    pub(super) completed: AtomicU64,
    pub(super) never_done: AtomicU64,
}

impl Reconciler {
    /// Runs until it is dropped.
    pub(super) async fn run(&self) {
        loop {
            if timeout(EVERY, self.doubt.notified()).await.is_ok() {
                sleep(GATHER).await;
            }
            if let Err(error) = self.sweep().await {
                // The next round tries again; callers show whether that helps.
                tracing::warn!(%error, "the reconciler cannot reach the store");
            }
        }
    }

    async fn sweep(&self) -> Result<(), ClientError> {
        let mut query = ListQuery {
            state: Some(StateName::InDoubt),
            // A side effect asked for in the last moment of an owner has arrived by then.
            older_than: Some(LEASE.into()),
            entries_max: 1_000,
            ..ListQuery::default()
        };
        loop {
            let page = self.client.list(&query).await?;
            for entry in &page.entries {
                if entry.scoped_key.as_ref().scope() == self.scope.as_bytes() {
                    self.resolve(entry).await?;
                }
            }
            match page.next {
                Some(next) => query.cursor = next,
                None => return Ok(()),
            }
        }
    }

    async fn resolve(&self, entry: &ListEntry) -> Result<(), ClientError> {
        let key = entry.scoped_key.as_ref();
        let Some(intent) = intent_of(key.key()) else {
            return Ok(());
        };
        let Ok(found) = self.ledger.find(&self.client.derived_key(key)).await else {
            return Ok(()); // Nothing may be concluded; the next round asks again.
        };
        let answer = match found {
            None => None,
            Some(confirmation) => {
                // The answer that the service would have given.
                let body = self.traffic.call(intent).body;
                let Ok(answer) = self.traffic.answer(intent, &body, confirmation) else {
                    return Ok(()); // Done, but not by one of our services.
                };
                let Ok(head) = answer.kept_head() else { return Ok(()) };
                Some((answer, head))
            }
        };
        let verdict = match &answer {
            Some((answer, head)) => {
                let result = head.result(Some(&answer.body));
                Verdict::Completed { result, fingerprint: None }
            }
            None => Verdict::NeverDone,
        };
        let request = Resolve { fence: entry.fence, doubt_number: entry.doubt_number, verdict };
        // Anything else means that it is in doubt no longer.
        if self.client.resolve(key, &request).await? == ResolveOutcome::Resolved {
            let counter = match answer {
                Some((answer, _)) => {
                    self.witness.answer(intent, answer.digest());
                    &self.resolved.completed
                }
                None => &self.resolved.never_done,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
