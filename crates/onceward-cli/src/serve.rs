//! `serve`: the daemon.

mod clock;
mod data_arguments;
mod data_directory;
mod descriptors;
mod limit_arguments;
mod memory;
mod namespace_arguments;
mod network_arguments;
mod recovering;
mod script;
mod service_manager;
mod signals;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use onceward::{
    BootClock, Clock, Durability, Limits, MEMORY_BYTES_MIN, NamespaceConfig, StartError, Store,
    StoreConfig,
};
use onceward_server::{Listeners, ServeError, ServerConfig};
use tokio::runtime::Builder;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::quantity::{duration, size, spelt, spelt_size};
use crate::render;
use crate::serve::clock::ScriptedClock;
use crate::serve::data_arguments::{DataArguments, DataPlan};
use crate::serve::data_directory::DataDirectory;
pub(crate) use crate::serve::data_directory::refusal;
use crate::serve::limit_arguments::LimitArguments;
pub(crate) use crate::serve::namespace_arguments::NamespaceArguments;
use crate::serve::network_arguments::NetworkArguments;
use crate::serve::recovering::Recovering;
use crate::serve::signals::Signals;

const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7977);

const EXAMPLES: &str = "\
Without --data-dir a restart is a new store: it remembers no key. With it every change is written
to a journal there, and is there again after a restart. At --durability interval an answer may be
told up to --interval before it is synced: a crash of the machine loses so much. At always it is
synced before it is told.

SIGTERM or SIGINT: stop accepting, answer what was accepted, wake waiters with unavailable, exit 0
within the grace period. A second signal aborts at once with exit 1.

Examples:
  onceward serve
  onceward serve --data-dir /var/lib/onceward --durability always
  onceward serve --unix /run/onceward/onceward.sock --memory 4GiB
  onceward serve --listen 127.0.0.1:0 --json         # any free port; stdout says which";

/// Run the daemon
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArguments {
    /// Listen on this TCP address; repeat it for more. Port 0 takes any free one [default:
    /// 127.0.0.1:7977, unless --unix is given]
    #[arg(
        long,
        env = "ONCEWARD_LISTEN",
        value_name = "ADDRESS:PORT",
        value_delimiter = ',',
        value_parser = address
    )]
    listen: Vec<SocketAddr>,
    /// Listen on this Unix socket, with mode 0600; repeat it for more
    #[arg(long, env = "ONCEWARD_UNIX", value_name = "PATH", value_delimiter = ',')]
    unix: Vec<PathBuf>,
    /// Memory for entries, results and set-asides together; at the limit new begins are refused
    /// [default: 1GiB, or half of the control group's limit if that is less]
    #[arg(
        long,
        env = "ONCEWARD_MEMORY",
        value_name = "SIZE",
        value_parser = size,
        allow_hyphen_values = true
    )]
    memory: Option<u64>,
    /// Entries that the index is sized for at the start, at about 15 bytes each; it
    /// does not grow. Well beyond twice as many, begins are refused [default: one for every 384
    /// bytes of --memory]
    #[arg(
        long,
        env = "ONCEWARD_MAX_ENTRIES",
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    max_entries: Option<u64>,
    /// Serve addresses that other machines can reach, although nothing proves who connects
    #[arg(long, env = "ONCEWARD_INSECURE_NO_AUTH", value_parser = BoolishValueParser::new())]
    insecure_no_auth: bool,
    /// From the first signal to the end, at most
    #[arg(
        long,
        env = "ONCEWARD_GRACE",
        value_name = "TIME",
        value_parser = duration,
        allow_hyphen_values = true,
        default_value = "10s"
    )]
    grace: Duration,
    #[command(flatten, next_help_heading = "Durability")]
    data: DataArguments,
    #[command(flatten, next_help_heading = "Network")]
    network: NetworkArguments,
    #[command(flatten, next_help_heading = "Limits")]
    limits: LimitArguments,
    /// For conformance runs of client authors only, never in production: the store's clock stands
    /// still. Prints {"listening":[…]} on stdout, then reads lines `advance MS` on stdin, does all
    /// that is due, and answers `now MS`. The end of stdin drains and exits. Loopback only
    #[arg(long, help_heading = "Conformance runs")]
    test_clock: bool,
}

/// The largest limits of time that any daemon can have.
pub(crate) fn widest_limits() -> Limits {
    limit_arguments::widest()
}

/// The default of `--memory`, in bytes, on this machine.
pub(crate) fn memory_default() -> u64 {
    memory::default_bytes()
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.trim().parse().map_err(|_| {
        "write an IP address and a port, such as 127.0.0.1:7977 or [::1]:7977".to_owned()
    })
}

/// Everything that is checked before anything is bound.
pub(crate) struct Plan {
    listen: Vec<SocketAddr>,
    store: StoreConfig,
    server: ServerConfig,
    data: Option<DataPlan>,
}

impl Plan {
    pub(crate) const fn limits(&self) -> Limits {
        self.store.limits
    }
}

impl ServeArguments {
    /// # Errors
    /// Everything that keeps the daemon from starting and can be known before it binds anything.
    pub(crate) fn plan(
        &self,
        namespaces: BTreeMap<String, NamespaceConfig>,
    ) -> Result<Plan, Vec<Failure>> {
        let mut listen = self.listen.clone();
        if listen.is_empty() && self.unix.is_empty() {
            listen.push(LISTEN_DEFAULT);
        }
        let (limits, mut failures) = self.limits.store();
        failures.extend(self.reach(&listen));
        let (data, faults) = self.data.plan(&namespaces);
        failures.extend(faults);
        if self.test_clock && data.is_some() {
            failures.push(Failure::bad_input(
                "data_dir",
                "--test-clock keeps nothing: its time begins anew with each start; leave --data-dir out",
            ));
        }
        let store = StoreConfig {
            durability: self.data.durability(),
            memory_bytes: self.memory.unwrap_or_else(memory::default_bytes),
            max_entries: self.max_entries,
            limits,
            namespaces,
            ..StoreConfig::default()
        };
        failures.extend(store.faults().into_iter().map(not_started));
        let server = ServerConfig {
            insecure_no_auth: self.insecure_no_auth,
            grace: self.grace,
            ..self.network.server(self.limits.server(&limits))
        };
        failures.extend(server.faults().into_iter().map(refused));
        if failures.is_empty() { Ok(Plan { listen, store, server, data }) } else { Err(failures) }
    }

    /// Of every namespace that states none.
    pub(crate) fn durability(&self) -> Durability {
        self.data.durability()
    }

    /// Addresses that must not be served, or not twice.
    fn reach(&self, listen: &[SocketAddr]) -> Vec<Failure> {
        let twice = listen
            .iter()
            .enumerate()
            .filter(|(at, address)| address.port() != 0 && listen[..*at].contains(address));
        let twice = twice.map(|(_, address)| {
            Failure::bad_input("listen", format!("{address} is listed twice: name it once"))
        });
        let mut failures: Vec<_> = twice.collect();
        for &address in beyond_loopback(listen) {
            if self.test_clock {
                failures.push(Failure::bad_input("listen", format!(
                    "--test-clock serves loopback only, and {address} is not: whoever sets the clock ends every lease"
                )));
            } else if !self.insecure_no_auth {
                failures.push(refused(ServeError::NotLoopback { address }));
            }
        }
        failures
    }

    /// What would work, and may not be what was meant: option and reason.
    pub(crate) fn doubts(&self) -> Vec<(&'static str, String)> {
        let mut doubts = Vec::new();
        let beyond: Vec<_> = beyond_loopback(&self.listen).map(SocketAddr::to_string).collect();
        if self.insecure_no_auth && beyond.is_empty() {
            doubts.push(("insecure-no-auth", "no address beyond loopback needs it".to_owned()));
        } else if self.insecure_no_auth {
            let beyond = beyond.join(" and ");
            doubts.push(("insecure-no-auth", format!(
                "whoever reaches {beyond} may use and operate every namespace, for nothing proves who connects"
            )));
        }
        let memory = self.memory.unwrap_or_else(memory::default_bytes);
        if let Some(limit) = memory::group_limit_bytes().filter(|limit| memory >= *limit) {
            doubts.push(("memory", format!(
                "{} is no less than the control group's limit of {}: the system would end the daemon before it refuses a begin",
                spelt_size(memory),
                spelt_size(limit)
            )));
        }
        for path in &self.unix {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
                let folder = folder.display();
                doubts.push(("unix", format!("there is no folder {folder} on this machine yet")));
            }
        }
        doubts.extend(self.network.doubt());
        doubts.extend(self.data.doubts());
        doubts
    }
}

/// Addresses that other machines can reach.
fn beyond_loopback(listen: &[SocketAddr]) -> impl Iterator<Item = &SocketAddr> {
    listen.iter().filter(|address| !address.ip().to_canonical().is_loopback())
}

/// The store's complaint in the words of the command line.
fn not_started(error: StartError) -> Failure {
    match error {
        StartError::Memory { got } => Failure::bad_input(
            "memory",
            format!(
                "memory is {}: give at least {}",
                spelt_size(got),
                spelt_size(MEMORY_BYTES_MIN)
            ),
        ),
        StartError::Times { lease_max, retention_max } => {
            let told = |ms| spelt(Duration::from_millis(ms));
            Failure::bad_input(
                "lease_max",
                format!(
                    "lease_max is {} and retention_max {}: give a lease_max of at least 100ms and no more than retention_max",
                    told(lease_max),
                    told(retention_max)
                ),
            )
        }
        error => Failure::new(Exit::BadInput, error.to_string()),
    }
}

fn refused(error: ServeError) -> Failure {
    let exit = match &error {
        ServeError::Listen { .. } | ServeError::InUse { .. } | ServeError::Threads { .. } => {
            Exit::Failure
        }
        _ => Exit::BadInput,
    };
    let field = match &error {
        ServeError::Setting { name, .. } => Some((*name).to_owned()),
        ServeError::NotLoopback { .. } | ServeError::NoListener | ServeError::Listen { .. } => {
            Some("listen".to_owned())
        }
        ServeError::InUse { .. } | ServeError::NotASocket { .. } => Some("unix".to_owned()),
        _ => None,
    };
    let message = match error {
        ServeError::Setting { name, got, min, max } if is_time(name) => {
            let told = |ms| spelt(Duration::from_millis(ms));
            format!("{name} is {}: give {} to {}", told(got), told(min), told(max))
        }
        error => error.to_string(),
    };
    Failure { field, ..Failure::new(exit, message) }
}

/// Whether the server counts this setting in milliseconds.
fn is_time(setting: &str) -> bool {
    setting.ends_with("_timeout") || matches!(setting, "grace" | "linger" | "tcp_keepalive")
}

/// Serves until a signal, or with `--test-clock` until stdin ends.
///
/// # Errors
/// Whatever keeps it from starting.
pub(crate) fn run(plan: Plan, arguments: &ServeArguments, json: bool) -> Result<Exit, Failure> {
    let Plan { listen, store, server, data } = plan;
    descriptors::raise(server.connections_max);
    let memory_bytes = store.memory_bytes;
    let scripted = arguments.test_clock.then(|| Arc::new(ScriptedClock::default()));
    let (store, kept) = match (&data, &scripted) {
        (Some(data), _) => {
            let (store, kept) = DataDirectory::open(data, store, &Recovering::new(json))?;
            (store, Some(kept))
        }
        (None, Some(clock)) => (in_memory(store, Arc::clone(clock) as Arc<dyn Clock>)?, None),
        (None, None) => (in_memory(store, Arc::new(BootClock::new()))?, None),
    };
    let failed = |what: &str, error: std::io::Error| {
        Failure::new(Exit::Failure, format!("{what} failed: {error}"))
    };
    // Accepts and ticks; connections are served on threads of the server's own.
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed("starting the runtime", error))?;
    let listeners = Listeners::bind(&listen, &arguments.unix, &server).map_err(refused)?;
    let addresses = addresses(&listeners);
    // Whoever owned something counts from now on (S13).
    store.arm_restored();
    let grace = server.grace;
    let ended = runtime.block_on(async {
        // Before anything is printed: whoever reads the line may send a signal at once.
        let signals = Signals::listen().map_err(|error| failed("listening for signals", error))?;
        greet(&addresses, memory_bytes, &store, kept.as_ref(), scripted.is_some());
        service_manager::ready();
        if json || scripted.is_some() {
            let line = serde_json::json!({
                "schema": render::SCHEMA,
                "phase": "ready",
                "listening": addresses,
            });
            output::print(&render::json(&line))?;
        }
        let end = scripted.map(|clock| script::follow(clock, store.clone()));
        let shutdown = async {
            signals.shutdown(end).await;
            service_manager::stopping();
        };
        let report = onceward_server::run(listeners, store.clone(), server, shutdown);
        let report = report.await.map_err(refused)?;
        let entries = store.stats().entries;
        let fate = match kept {
            // After the last answer (S17).
            Some(kept) => {
                let path = kept.close_within(grace).await?;
                format!("{entries} keys are kept in {}", path.display())
            }
            None => format!("{entries} keys are forgotten with this process"),
        };
        Ok::<_, Failure>((report, fate))
    });
    // A last sync that hangs is not waited for.
    runtime.shutdown_background();
    let (report, fate) = ended?;
    tracing::info!(
        connections = report.connections,
        connections_cut = report.connections_cut,
        requests = report.requests,
        unanswered = report.unanswered,
        "drained; {fate}"
    );
    Ok(Exit::Ok)
}

fn in_memory(store: StoreConfig, clock: Arc<dyn Clock>) -> Result<Store, Failure> {
    Store::new(store, clock).map_err(not_started)
}

/// As `--url` and the conformance runners name them.
fn addresses(listeners: &Listeners) -> Vec<String> {
    let tcp = listeners.tcp_addresses().into_iter().map(|address| address.to_string());
    let unix = listeners.unix_paths().into_iter().map(|path| format!("unix:{}", path.display()));
    tcp.chain(unix).collect()
}

fn greet(
    addresses: &[String],
    memory_bytes: u64,
    store: &Store,
    kept: Option<&DataDirectory>,
    scripted: bool,
) {
    for address in addresses {
        tracing::info!("listening on {address}");
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        boot_epoch = store.boot_epoch(),
        "namespace default, and any other a client names; memory limit {}",
        spelt_size(memory_bytes)
    );
    match kept {
        Some(kept) => kept.greet(),
        // S22.
        None => tracing::warn!(
            "no data directory: everything is in memory, and a restart is a new store that remembers no key"
        ),
    }
    if scripted {
        tracing::warn!(
            "--test-clock: time stands still until stdin moves it; never use this in production"
        );
    }
}
