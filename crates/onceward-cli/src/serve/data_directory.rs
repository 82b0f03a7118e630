//! A data directory from recovery to the last sync.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use onceward::{Clock as _, Durability, FactLog, Millis, Store, StoreConfig};
use onceward_journal::{
    Disk, Journal, JournalError, JournalThread, Recovered, RecoveryOptions, Start, SystemDisk,
    read_clocks, resume_clock, wall_ms,
};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::quantity::spelt;
use crate::serve::data_arguments::DataPlan;
use crate::serve::not_started;
use crate::serve::recovering::Recovering;

/// A directory whose journal runs.
pub(crate) struct DataDirectory {
    path: PathBuf,
    thread: JournalThread,
    durability: Durability,
    interval: Millis,
    restored: u64,
}

impl DataDirectory {
    /// Takes the directory, and a store with everything that it keeps. Leases are armed when the
    /// store is ready (S13).
    ///
    /// # Errors
    /// Why nothing may start on it; then it stands as it stood.
    pub(crate) fn open(
        plan: &DataPlan,
        config: StoreConfig,
        recovering: &Recovering,
    ) -> Result<(Store, Self), Failure> {
        let path = &plan.directory;
        let in_it = |error: JournalError| refusal(path, &error);
        make(path)?;
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk::open(path).map_err(|error| {
            Failure::bad_input("data_dir", format!("{} cannot be used: {error}", path.display()))
        })?);
        let options = RecoveryOptions {
            owner: owner(),
            threads: 0,
            clocks: read_clocks(),
            count_downtime: plan.count_downtime,
            attempt_memory: config.limits.attempt_memory,
            random: [rand::random(), rand::random()],
        };
        let tell = |progress| recovering.tell(progress);
        let mut recovered = Recovered::open(disk, &options, &tell).map_err(in_it)?;
        let (clock, record) = resume_clock(&recovered.manifest.clock, plan.count_downtime);
        let config = StoreConfig {
            fence_floor: recovered.fence_floor,
            // The directory's: it goes on where another start would be a new life (S22).
            boot_epoch: recovered.manifest.store_id.first_chunk().copied().map(u64::from_le_bytes),
            ..config
        };
        let durability = config.durability;
        let Some((disk, start)) = Start::of(&mut recovered, record, Arc::new(wall_ms)) else {
            unreachable!("nobody else has started from it")
        };
        let journal = Journal::start(disk, start, plan.options, clock.now()).map_err(in_it)?;
        let journal = Arc::new(journal);
        let log = Arc::clone(&journal) as Arc<dyn FactLog>;
        let store =
            Store::with_journal(config, Arc::clone(&clock) as _, log).map_err(not_started)?;
        let restored = recovered.restore(&store, &tell).map_err(in_it)?.identities;
        drop(recovered);
        let thread = JournalThread::start(&journal, clock).map_err(in_it)?;
        let interval = plan.options.interval;
        Ok((store, Self { path: path.clone(), thread, durability, interval, restored }))
    }

    /// What it promises from now on.
    pub(crate) fn greet(&self) {
        let path = self.path.display();
        let level = self.durability.name();
        let what = match self.durability {
            Durability::Memory => {
                "nothing is kept but what a namespace's own level says".to_owned()
            }
            Durability::Interval => format!(
                "a crash of the machine may lose the last {}",
                spelt(self.interval.as_duration())
            ),
            Durability::Always => "what is answered is synced".to_owned(),
        };
        tracing::info!("data directory {path}: {} keys restored", self.restored);
        tracing::info!("durability {level}: {what}");
    }

    /// Syncs a last time, on a thread of its own so that a second signal still ends the process.
    /// Gives the directory.
    ///
    /// # Errors
    /// It did not come about, or not within `limit`: what was not acknowledged as durable may be
    /// lost.
    pub(crate) async fn close_within(self, limit: Duration) -> Result<PathBuf, Failure> {
        let Self { path, thread, .. } = self;
        let failed = |why: &str| {
            Failure::new(
                Exit::Failure,
                format!(
                    "data directory {}: {why}; what was acknowledged as durable is, later facts may be lost",
                    path.display()
                ),
            )
        };
        match timeout(limit, spawn_blocking(|| thread.stop())).await {
            Ok(Ok(stopped)) => stopped.map_err(|error| refusal(&path, &error))?,
            Ok(Err(_)) => return Err(failed("the last sync broke off")),
            Err(_) => {
                return Err(failed(&format!("the last sync took longer than {}", spelt(limit))));
            }
        }
        Ok(path)
    }
}

/// Who has the directory, for whoever would like to.
fn owner() -> String {
    format!("process {} of onceward {}\n", std::process::id(), env!("CARGO_PKG_VERSION"))
}

/// Nobody else may read what callers stored.
fn make(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| {
        Failure::bad_input("data_dir", format!("{} cannot be made: {error}", path.display()))
    })
}

/// The journal's complaint, with the directory that it is about.
pub(crate) fn refusal(path: &Path, error: &JournalError) -> Failure {
    let exit = match error {
        JournalError::Damaged { .. }
        | JournalError::Missing { .. }
        | JournalError::NewerFormat { .. } => Exit::Damaged,
        _ => Exit::Failure,
    };
    let message = format!("data directory {}: {error}", path.display());
    Failure { field: Some("data_dir".to_owned()), ..Failure::new(exit, message) }
}
