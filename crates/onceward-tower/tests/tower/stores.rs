//! The stores that a suite runs on: embedded, and a server on a port of its own.

use std::sync::Arc;

use onceward::{BootClock, Store, StoreConfig};
use onceward_client::Client;
use onceward_server::{Listeners, Report, ServeError, ServerConfig};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server that stops with this value.
pub(crate) struct Server {
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<Report, ServeError>>,
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let config = ServerConfig::default();
        let any = ["127.0.0.1:0".parse().expect("an address")];
        let listeners = Listeners::bind(&any, &[], &config).expect("a free port");
        let url = format!("onceward://{}/orders", listeners.tcp_addresses()[0]);
        let store =
            Store::new(StoreConfig::default(), Arc::new(BootClock::new())).expect("a store");
        let (stop, stopped) = oneshot::channel::<()>();
        let until = async move {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(onceward_server::run(listeners, store, config, until));
        Self { stop: Some(stop), serving, url }
    }

    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        let report = (&mut self.serving).await.expect("the server ends");
        report.expect("the server stopped in order");
    }
}

/// Runs a suite over each store.
pub(crate) async fn on_each<F: Future<Output = ()>>(suite: impl Fn(&'static str, Client) -> F) {
    suite("mem", Client::open("mem://orders").expect("a store")).await;
    let server = Server::start();
    let client = Client::open(&server.url).expect("a client");
    suite("server", client.clone()).await;
    drop(client);
    server.stop().await;
}
