//! One pass over the schedule: the same callers and faults, without Onceward or with it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use onceward_client::Client;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::DemoError;
use super::caller::{Caller, Counts, Late, Town};
use super::fleet::Fleet;
use super::http::HttpClient;
use super::ledger::{Ledger, LedgerClient, Tally};
use super::progress::Progress;
use super::reconciler::{Reconciler, Resolved};
use super::schedule::Schedule;
use super::traffic::Traffic;
use super::witness::{Testimony, Witness};

/// How long no intent may make progress before the run is given up.
const STALL: Duration = Duration::from_secs(120);

/// What both passes share.
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) schedule: Arc<Schedule>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) traffic_file: Option<PathBuf>,
    pub(super) callers: usize,
    pub(super) silent: bool,
}

/// The store that a pass with Onceward uses.
pub(super) struct Store {
    pub(super) url: String,
    pub(super) client: Client,
    pub(super) scope: String,
    pub(super) break_keys: bool,
}

/// What a pass came to.
#[derive(Clone, Default)]
pub(super) struct Figures {
    pub(super) attempts: u64,
    pub(super) tally: Tally,
    pub(super) testimony: Testimony,
    pub(super) replays: u64,
    pub(super) replies_differing: u64,
    pub(super) mismatches: u64,
    pub(super) misuses_answered: u64,
    pub(super) unanswered: u64,
    pub(super) waits_answered: u64,
    pub(super) resolved_completed: u64,
    pub(super) resolved_never_done: u64,
    pub(super) elapsed: Duration,
}

impl Plan {
    /// Plays the schedule once.
    pub(super) async fn play(
        &self,
        title: &'static str,
        store: Option<&Store>,
    ) -> Result<Figures, DemoError> {
        let began = Instant::now();
        let ledger = Arc::new(Ledger::default());
        let address = Arc::clone(&ledger).serve().await.map_err(DemoError::io)?;
        let witness = Arc::new(Witness::default());
        let mut fleet = Fleet::start(self.arguments(address.to_string(), store), &witness).await?;
        let town = Arc::new(Town {
            seed: self.seed,
            schedule: Arc::clone(&self.schedule),
            traffic: Arc::clone(&self.traffic),
            services: fleet.clone_addresses(),
            http: HttpClient::default(),
            witness: Arc::clone(&witness),
            counts: Counts::default(),
            doubt: Arc::new(Notify::new()),
        });
        let waits_before = waits_answered(store).await?;
        let reconciler = store.map(|store| Reconciler {
            client: store.client.clone(),
            scope: store.scope.clone(),
            ledger: LedgerClient::new(address),
            traffic: Arc::clone(&self.traffic),
            witness: Arc::clone(&witness),
            doubt: Arc::clone(&town.doubt),
            resolved: Resolved::default(),
        });
        let reconciling = async {
            match &reconciler {
                Some(reconciler) => reconciler.run().await,
                None => std::future::pending().await,
            }
        };
        let progress = Progress::start(self.silent, title, self.schedule.intents());
        tokio::select! {
            all_answered = self.let_loose(&town, progress) => all_answered?,
            error = fleet.failure() => return Err(error),
            () = reconciling => {}
        }
        // Work whose caller hung up may still run; the services end it before they stop.
        fleet.stop().await?;
        let counts = &town.counts;
        let resolved = reconciler.map(|reconciler| reconciler.resolved).unwrap_or_default();
        Ok(Figures {
            attempts: counts.attempts.load(Ordering::Relaxed),
            tally: ledger.tally(),
            testimony: witness.testimony(),
            replays: counts.replays.load(Ordering::Relaxed),
            replies_differing: counts.differing.load(Ordering::Relaxed),
            mismatches: counts.mismatches.load(Ordering::Relaxed),
            misuses_answered: counts.misuses_answered.load(Ordering::Relaxed),
            unanswered: counts.unanswered.load(Ordering::Relaxed),
            waits_answered: waits_answered(store).await?.saturating_sub(waits_before),
            resolved_completed: resolved.completed.into_inner(),
            resolved_never_done: resolved.never_done.into_inner(),
            elapsed: began.elapsed(),
        })
    }

    fn arguments(&self, ledger: String, store: Option<&Store>) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["service".into(), "--ledger".into(), ledger.into()];
        arguments.extend(["--seed".into(), self.seed.to_string().into()]);
        if let Some(file) = &self.traffic_file {
            arguments.extend(["--traffic".into(), file.into()]);
        }
        if let Some(store) = store {
            arguments.extend(["--store".into(), store.url.clone().into()]);
            arguments.extend(["--scope".into(), store.scope.clone().into()]);
            if store.break_keys {
                arguments.push("--break-keys".into());
            }
        }
        arguments
    }

    /// Lets every caller have its intent answered, so many at a time, and those who come back
    /// come back.
    async fn let_loose(&self, town: &Arc<Town>, progress: Progress) -> Result<(), DemoError> {
        let permits = Arc::new(Semaphore::new(self.callers));
        let mut crowd = Crowd { tasks: JoinSet::new(), late: BTreeMap::new(), progress };
        for intent in 0..self.schedule.intents() {
            while let Some(entry) = crowd.late.first_entry()
                && entry.key().0 <= intent
            {
                let caller = entry.remove();
                let permit = permit(&permits).await?;
                crowd.tasks.spawn(returning(caller, permit));
            }
            let caller = Caller::new(Arc::clone(town), intent, permit(&permits).await?);
            crowd.tasks.spawn(async move { Outcome::First(intent, caller.run().await) });
            while let Some(ended) = crowd.tasks.try_join_next() {
                crowd.take(ended)?;
            }
        }
        loop {
            // Whoever meant to come back later than the last intent comes now.
            while let Some((_, caller)) = crowd.late.pop_first() {
                let permit = permit(&permits).await?;
                crowd.tasks.spawn(returning(caller, permit));
            }
            match timeout(STALL, crowd.tasks.join_next()).await {
                Ok(Some(ended)) => crowd.take(ended)?,
                Ok(None) => return Ok(()),
                Err(_) => return Err(DemoError::Stalled { left: crowd.tasks.len() }),
            }
        }
    }
}

/// The callers under way, and those who will come back.
struct Crowd {
    tasks: JoinSet<Outcome>,
    /// By the intent before which they come back, and their own, which makes the key unique.
    late: BTreeMap<(u32, u32), Box<Caller>>,
    progress: Progress,
}

enum Outcome {
    First(u32, Option<Late>),
    CameBack,
}

impl Crowd {
    fn take(&mut self, ended: Result<Outcome, tokio::task::JoinError>) -> Result<(), DemoError> {
        match ended.map_err(|error| DemoError::io(error.into()))? {
            Outcome::First(intent, late) => {
                self.progress.advance();
                if let Some(Late { after, caller }) = late {
                    self.late.insert((intent.saturating_add(after), intent), caller);
                }
            }
            Outcome::CameBack => {}
        }
        Ok(())
    }
}

async fn returning(caller: Box<Caller>, permit: OwnedSemaphorePermit) -> Outcome {
    caller.come_back(permit).await;
    Outcome::CameBack
}

async fn permit(permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, DemoError> {
    match timeout(STALL, Arc::clone(permits).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        // Nobody closes it, so only the time can have run out.
        Ok(Err(_)) | Err(_) => Err(DemoError::Stalled { left: permits.available_permits() }),
    }
}

/// What the store counts of waits answered by push; its own figure, for callers cannot see it.
async fn waits_answered(store: Option<&Store>) -> Result<u64, DemoError> {
    match store {
        Some(store) => {
            let stats = store.client.store_stats().await;
            Ok(stats.map_err(DemoError::store)?.waits_answered)
        }
        None => Ok(0),
    }
}
