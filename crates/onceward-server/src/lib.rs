//! The Onceward server as a library: speaks `docs/protocol.md` over TCP and Unix sockets, on
//! behalf of a [`Store`](onceward::Store).
//!
//! ```
//! use std::sync::Arc;
//! use onceward::{BootClock, Store, StoreConfig};
//! use onceward_server::{Listeners, ServerConfig, run};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let config = ServerConfig::default();
//! let listeners = Listeners::bind(&["127.0.0.1:0".parse()?], &[], &config)?;
//! let address = listeners.tcp_addresses()[0];
//! let store = Store::new(StoreConfig::default(), Arc::new(BootClock::new()))?;
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! let server = tokio::spawn(run(listeners, store, config, async {
//!     let _ = stopped.await;
//! }));
//! // ... clients connect to `address` ...
//! # let _ = address;
//! drop(stop);
//! let report = server.await??;
//! assert_eq!(report.connections, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One task per connection, on one of the threads that [`ServerConfig::threads`] asks for, each with
//! a runtime of its own; the store is called directly and never blocks it. Requests are judged in
//! the order in which they arrive, all whole ones of a wake-up before their replies leave in one
//! write, and waits are answered by push (S10). Where the store has a journal, a reply leaves only
//! once what it rests on is synced (S14). What is limited, and what happens there, is told by
//! [`ServerConfig`]. There is no authentication yet: addresses beyond loopback are refused unless
//! the configuration insists.
#![forbid(unsafe_code)]

mod config;
mod connection;
mod deadlines;
mod error;
mod lent;
mod listeners;
mod mailbox;
mod outbox;
mod report;
mod serve;
mod session;
mod stream;
mod sync_bell;
mod sync_watch;
mod ticking;
mod unix_path;
mod waits;
mod workers;

pub use config::{
    BACKLOG_CEILING, CONNECTIONS_MAX_CEILING, IN_FLIGHT_MAX_CEILING, SOCKET_BUFFER_BYTES_CEILING,
    ServerConfig, THREADS_CEILING, TIMEOUT_CEILING, UNSENT_BYTES_MAX_CEILING,
};
pub use error::ServeError;
pub use listeners::Listeners;
pub use onceward_proto::{
    VERSION_MAX as PROTOCOL_VERSION_MAX, VERSION_MIN as PROTOCOL_VERSION_MIN,
};
pub use report::Report;
pub use serve::run;
