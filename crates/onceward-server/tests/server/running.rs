//! A server in this process, with a clock moved by hand.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onceward::{BootClock, Clock, Durability, Millis, Store, StoreConfig};
use onceward_server::{Listeners, Report, ServeError, ServerConfig, run};
use onceward_testkit::ManualClock;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::hand_log::HandLog;
use crate::peer::SOON;

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) store: Store,
    clock: Option<Arc<ManualClock>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<Report, ServeError>>,
}

impl Running {
    pub(crate) fn start() -> Self {
        Self::with(ServerConfig::default())
    }

    pub(crate) fn with(config: ServerConfig) -> Self {
        Self::at(config, &[])
    }

    pub(crate) fn at(config: ServerConfig, unix: &[PathBuf]) -> Self {
        let clock = Arc::new(ManualClock::new(1_000));
        Self { clock: Some(clock.clone()), ..Self::of(config, unix, clock) }
    }

    /// On a clock that the test brings.
    pub(crate) fn on(clock: Arc<dyn Clock>) -> Self {
        Self::of(ServerConfig::default(), &[], clock)
    }

    pub(crate) fn on_real_time() -> Self {
        Self::on(Arc::new(BootClock::new()))
    }

    /// A store whose facts `log` keeps, at `durability`.
    pub(crate) fn durable(
        config: ServerConfig,
        durability: Durability,
        log: &Arc<HandLog>,
    ) -> Self {
        let clock = Arc::new(ManualClock::new(1_000));
        let store = StoreConfig { durability, ..StoreConfig::default() };
        let store = Store::with_journal(store, clock.clone(), Arc::clone(log) as _);
        let running = Self::serving(config, &[], store.expect("a store"));
        Self { clock: Some(clock), ..running }
    }

    fn of(config: ServerConfig, unix: &[PathBuf], clock: Arc<dyn Clock>) -> Self {
        let store = Store::new(StoreConfig::default(), clock).expect("a store");
        Self::serving(config, unix, store)
    }

    fn serving(config: ServerConfig, unix: &[PathBuf], store: Store) -> Self {
        crate::logs::of_this_process();
        // Every test must hold of threads of the server's own as of the runtime that calls.
        let threads = std::env::var("ONCEWARD_SERVER_THREADS").ok();
        let threads = threads.map(|threads| threads.parse().expect("a number of threads"));
        let config = ServerConfig { threads: threads.unwrap_or(config.threads), ..config };
        let any_port = "127.0.0.1:0".parse().expect("an address");
        let listeners = Listeners::bind(&[any_port], unix, &config).expect("listeners");
        let address = listeners.tcp_addresses()[0];
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(listeners, store.clone(), config, async {
            let _ = stopped.await;
        }));
        Self { address, store, clock: None, stop: Some(stop), task }
    }

    /// Moves the store's time and does what falls due.
    pub(crate) fn advance(&self, millis: u64) {
        let clock = self.clock.as_ref().expect("a clock moved by hand");
        let now = clock.advance(Millis::new(millis));
        while self.store.tick(now, 10_000) == Some(now) {}
    }

    /// Sends the shutdown signal.
    pub(crate) fn signal(&mut self) {
        drop(self.stop.take());
    }

    /// Drops the server without a word.
    pub(crate) fn abort(self) {
        self.task.abort();
    }

    pub(crate) async fn stop(mut self) -> Report {
        self.signal();
        self.task.await.expect("no panic").expect("it served")
    }
}

/// Looks until `what` holds, for long.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
