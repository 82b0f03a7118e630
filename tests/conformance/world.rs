//! One store for one case: its backend, its clock, and the hand that moves both.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use onceward::{Store, StoreConfig};
use onceward_client::Client;
use onceward_core::{Backend, Limits, Millis};
use onceward_server::{Listeners, ServerConfig, run};
use onceward_testkit::ManualClock;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::case::Case;

/// The backend under test, with the store behind it and the store's clock.
pub(crate) struct World<B> {
    pub(crate) backend: Arc<B>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    /// What stands between backend and store, if anything.
    served: Option<Served>,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Transport {
    Tcp,
    Unix,
}

/// A running server.
struct Served {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), String>>,
    /// Holds the Unix socket.
    _folder: TempDir,
}

const NAMESPACE: &str = "default";

/// A store that keeps to the case's limits, and its clock.
///
/// # Errors
/// The case names a limit that there is not, or one that no store takes.
pub(crate) fn store_for(case: &Case) -> Result<(Store, Arc<ManualClock>), String> {
    let mut config = StoreConfig { limits: Limits::DEFAULT, ..StoreConfig::default() };
    for (name, &value) in &case.config {
        let size = usize::try_from(value).map_err(|why| format!("{name}: {why}"))?;
        match name.as_str() {
            "memory_bytes" => config.memory_bytes = value,
            "waiters_per_key_max" => config.limits.waiters_per_key_max = size,
            "waiters_max" => config.limits.waiters_max = size,
            unknown => return Err(format!("no limit `{unknown}`")),
        }
    }
    let clock = Arc::new(ManualClock::new(1_000_000));
    let shared: Arc<ManualClock> = Arc::clone(&clock);
    let store = Store::new(config, shared).map_err(|why| why.to_string())?;
    Ok((store, clock))
}

/// A client directly over the store.
///
/// # Errors
/// As [`store_for`].
pub(crate) fn embedded(case: &Case) -> Result<World<Client>, String> {
    let (store, clock) = store_for(case)?;
    let client = Client::embedded(store.clone(), NAMESPACE).map_err(|why| why.to_string())?;
    Ok(World { backend: Arc::new(client), store, clock, served: None })
}

/// A client of a server of its own, with the same clock.
///
/// # Errors
/// As [`store_for`], or the server does not start.
pub(crate) fn remote(case: &Case, transport: Transport) -> Result<World<Client>, String> {
    let (store, clock) = store_for(case)?;
    let folder = tempfile::tempdir().map_err(|why| why.to_string())?;
    let config = ServerConfig { grace: Duration::from_secs(2), ..ServerConfig::default() };
    let path: PathBuf = folder.path().join("socket");
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let (tcp, unix): (&[SocketAddr], &[PathBuf]) = match transport {
        Transport::Tcp => (&[loopback], &[]),
        Transport::Unix => (&[], std::slice::from_ref(&path)),
    };
    let listeners = Listeners::bind(tcp, unix, &config).map_err(|why| why.to_string())?;
    let url = match listeners.tcp_addresses().first() {
        Some(address) => format!("onceward://{address}/{NAMESPACE}"),
        None => format!("onceward+unix://{}?namespace={NAMESPACE}", path.display()),
    };
    let (stop, stopped) = oneshot::channel();
    let serving = run(listeners, store.clone(), config, async {
        let _ = stopped.await;
    });
    let ended = tokio::spawn(async { serving.await.map(drop).map_err(|why| why.to_string()) });
    let client = Client::open(&url).map_err(|why| why.to_string())?;
    let served = Some(Served { stop, ended, _folder: folder });
    Ok(World { backend: Arc::new(client), store, clock, served })
}

impl<B: Backend> World<B> {
    /// Ends the server, if there is one, and sees that it ended well.
    ///
    /// # Errors
    /// It failed or panicked.
    pub(crate) async fn end(self) -> Result<(), String> {
        drop(self.backend);
        let Some(Served { stop, ended, _folder }) = self.served else { return Ok(()) };
        drop(stop);
        ended.await.map_err(|why| why.to_string())?
    }

    /// Moves the clock and does all that is due.
    ///
    /// # Errors
    /// The store finds no end of things due.
    pub(crate) fn advance(&self, length: Millis) -> Result<(), String> {
        const TICKS_MAX: usize = 1_000;
        let now = self.clock.advance(length);
        for _ in 0..TICKS_MAX {
            match self.store.tick(now, 1_024) {
                Some(next) if next <= now => {}
                Some(_) | None => return Ok(()),
            }
        }
        Err(format!("more was due after {TICKS_MAX} ticks"))
    }
}
