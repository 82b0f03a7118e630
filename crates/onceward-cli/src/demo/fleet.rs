//! The two service processes: started, killed where they stand at a crash point, started again.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::DemoError;
use super::event::Event;
use super::process::{Process, STOP_TIMEOUT};
use super::witness::Witness;

/// Both processes of one pass. Dropping it kills them.
pub(super) struct Fleet {
    /// Where each serves; none while it is down. Callers ask anew for each attempt, as they would
    /// a service registry.
    addresses: [watch::Receiver<Option<SocketAddr>>; 2],
    stop: watch::Sender<bool>,
    supervisors: JoinSet<Result<(), DemoError>>,
}

impl Fleet {
    /// Starts both with these arguments, and waits until they serve.
    pub(super) async fn start(
        arguments: Vec<OsString>,
        witness: &Arc<Witness>,
    ) -> Result<Self, DemoError> {
        let stop = watch::Sender::new(false);
        let mut supervisors = JoinSet::new();
        let addresses = [0, 1].map(|process| {
            let (up, address) = watch::channel(None);
            let supervisor = Supervisor {
                process,
                arguments: arguments.clone(),
                witness: Arc::clone(witness),
                up,
                stop: stop.subscribe(),
            };
            supervisors.spawn(supervisor.run());
            address
        });
        let mut fleet = Self { addresses, stop, supervisors };
        let serving = fleet.clone_addresses();
        tokio::select! {
            () = async { for process in 0..2 { serving.of(process).await; } } => Ok(fleet),
            error = fleet.failure() => Err(error),
        }
    }

    /// What callers need of it.
    pub(super) fn clone_addresses(&self) -> Addresses {
        Addresses(self.addresses.clone())
    }

    /// Resolves when a process cannot be kept running.
    pub(super) async fn failure(&mut self) -> DemoError {
        loop {
            match self.supervisors.join_next().await {
                Some(Ok(Err(error))) => return error,
                Some(Err(error)) => return DemoError::io(error.into()),
                Some(Ok(Ok(()))) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Stops both, and takes down everything they have still to tell.
    pub(super) async fn stop(mut self) -> Result<(), DemoError> {
        self.stop.send_replace(true);
        while let Some(ended) = self.supervisors.join_next().await {
            ended.map_err(|error| DemoError::io(error.into()))??;
        }
        Ok(())
    }
}

/// Where the processes serve.
#[derive(Clone)]
pub(super) struct Addresses([watch::Receiver<Option<SocketAddr>>; 2]);

impl Addresses {
    /// Waits until the process serves. For ever once the fleet is gone.
    pub(super) async fn of(&self, process: usize) -> SocketAddr {
        let mut address = self.0[process].clone();
        match address.wait_for(Option::is_some).await.map(|address| *address) {
            Ok(Some(address)) => address,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

struct Supervisor {
    process: usize,
    arguments: Vec<OsString>,
    witness: Arc<Witness>,
    up: watch::Sender<Option<SocketAddr>>,
    stop: watch::Receiver<bool>,
}

impl Supervisor {
    async fn run(self) -> Result<(), DemoError> {
        loop {
            let mut process = Process::start("a service", &self.arguments)?;
            let first = process.first_line().await?;
            let Ok(Event::Ready { address }) = Event::read(&first) else {
                return Err(process.failed("does not say where it serves"));
            };
            self.up.send_replace(Some(address));
            let Some(intent) = self.listen(&mut process).await? else {
                return Ok(());
            };
            self.up.send_replace(None);
            process.kill().await?;
            self.drain(&mut process).await?;
            self.witness.killed(self.process, intent);
        }
    }

    /// Takes down events until the process stands at a crash point, which intent that is; `None`
    /// once it was told to stop and has.
    async fn listen(&self, process: &mut Process) -> Result<Option<u32>, DemoError> {
        loop {
            let line = tokio::select! {
                line = process.line() => line?,
                () = self.told_to_stop() => {
                    process.close_stdin();
                    return match timeout(STOP_TIMEOUT, self.drain(process)).await {
                        Ok(drained) => {
                            drained?;
                            process.ended().await?;
                            Ok(None)
                        }
                        Err(_) => Err(process.failed("did not stop in time")),
                    };
                }
            };
            let Some(line) = line else {
                return Err(process.died().await);
            };
            match Event::read(&line) {
                Ok(Event::Parked { intent }) => return Ok(Some(intent)),
                Ok(event) => self.witness.record(self.process, event),
                Err(error) => return Err(process.failed(&format!("tells nonsense: {error}"))),
            }
        }
    }

    async fn told_to_stop(&self) {
        if self.stop.clone().wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await; // The fleet is gone, and soon this task.
        }
    }

    /// Takes down what was written before the end.
    async fn drain(&self, process: &mut Process) -> Result<(), DemoError> {
        while let Some(line) = process.line().await? {
            if let Ok(event) = Event::read(&line) {
                self.witness.record(self.process, event);
            }
        }
        Ok(())
    }
}
