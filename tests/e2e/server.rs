//! A server in this process, on a port of its own, with the product's clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use onceward::{BootClock, Store, StoreConfig};
use onceward_server::{Listeners, ServerConfig, run};
use tokio::sync::oneshot;

/// Longest silence before a read fails. Generous: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Runs until dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// The store behind it, to look into.
    pub(crate) store: Store,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// With default settings, but for a short grace period: a failed test must end.
    pub(crate) fn start() -> Self {
        Self::with(ServerConfig::default())
    }

    /// One that waits no longer than this for HELLO and for the rest of a frame.
    pub(crate) fn with_patience(patience: Duration) -> Self {
        Self::with(ServerConfig {
            hello_timeout: patience,
            frame_timeout: patience,
            ..ServerConfig::default()
        })
    }

    pub(crate) fn with(config: ServerConfig) -> Self {
        let config = ServerConfig { grace: Duration::from_secs(1), ..config };
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = Listeners::bind(&[loopback], &[], &config).expect("a free port");
        let address = listeners.tcp_addresses()[0];
        let store = Store::new(StoreConfig::default(), Arc::new(BootClock::new()))
            .expect("the default configuration starts");
        let (stop, stopped) = oneshot::channel::<()>();
        let served = store.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            let shutdown = async {
                let _ = stopped.await;
            };
            runtime.block_on(run(listeners, served, config, shutdown)).expect("the server runs");
        });
        Self { address, store, stop: Some(stop), thread: Some(thread) }
    }

    /// Polls until `met`; fails with `what` if that takes too long.
    pub(crate) fn until(&self, what: &str, met: impl Fn(&Store) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !met(&self.store) {
            assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the server ended in a panic");
        }
    }
}
