//! A server from start to end: accepts, keeps count, drains.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onceward::Store;
use onceward_proto::{ErrorReply, frame};
use socket2::SockRef;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{debug, info, warn};

use crate::config::ServerConfig;
use crate::connection::{Connection, linger};
use crate::error::ServeError;
use crate::listeners::{Listeners, set_options};
use crate::mailbox::Mailbox;
use crate::report::{Report, Totals};
use crate::session::Session;
use crate::stream::{Peer, Stream};
use crate::sync_bell::Bells;
use crate::sync_watch::SyncWatch;
use crate::ticking;
use crate::workers::{Turns, Workers};

/// Pause after the system had no descriptor or memory for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long connections that were cut may take to notice.
const CUT_WAIT: Duration = Duration::from_secs(1);
/// Connections turned away at once that are told why; beyond, they are only closed.
const REFUSALS_MAX: usize = 256;

/// Serves `store` until `shutdown` is ready, then drains: stops accepting, answers what was
/// received, gives waits up with Unavailable, and closes the store (S17). Runs the store's
/// [`Store::tick`]; nobody else needs to. Works on either tokio runtime: accepts and ticks on it, and
/// serves connections on the threads of [`ServerConfig::threads`], or on it, too, if that is zero.
///
/// Dropping the future ends every connection at once, unanswered.
///
/// # Errors
/// [`ServeError`], before anything is served.
pub async fn run(
    listeners: Listeners,
    store: Store,
    config: ServerConfig,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<Report, ServeError> {
    config.check()?;
    listeners.check(&config)?;
    let Listeners { tcp, unix, paths } = listeners;
    let (workers, turns) = Workers::start(config.threads, config.pin_threads)
        .map_err(|why| ServeError::Threads { why })?;
    let bells = store.journal().map(|log| Bells::hang(log, turns.all()));
    let server = Arc::new(Server {
        store: store.clone(),
        bells,
        config,
        totals: Arc::default(),
        open: Mutex::default(),
        refusals: AtomicUsize::new(0),
        tasks: TaskTracker::new(),
        turns,
    });
    let _cut = CutOnDrop(Arc::clone(&server));
    let stop = CancellationToken::new();
    let mut accepting = JoinSet::new();
    for listener in tcp {
        let at = listener.local_addr().map_or_else(|_| "TCP".to_owned(), |at| at.to_string());
        let listener = tokio_tcp(listener, &config).map_err(|why| ServeError::listen(at, why))?;
        accepting.spawn(accept(Arc::clone(&server), Listener::Tcp(listener), stop.clone()));
    }
    for listener in unix {
        let listener =
            tokio_unix(listener).map_err(|why| ServeError::listen("a Unix socket", why))?;
        accepting.spawn(accept(Arc::clone(&server), Listener::Unix(listener), stop.clone()));
    }
    let _ticking = AbortOnDropHandle::new(tokio::spawn(ticking::tick(store.clone())));

    shutdown.await;

    info!("draining");
    stop.cancel();
    while accepting.join_next().await.is_some() {}
    server.drain();
    server.tasks.close();
    if timeout(config.grace, server.tasks.wait()).await.is_err() {
        let cut = server.cut();
        warn!(cut, "the grace period ended: connections that still hold replies are cut");
        // They end as soon as they run; those that are only being turned away may be left.
        let _ = timeout(CUT_WAIT, server.tasks.wait()).await;
    }
    if timeout(CUT_WAIT, workers.end()).await.is_err() {
        warn!("a thread does not end: it is left");
    }
    // Last, so that what was received is judged and not turned away.
    store.close();
    drop(paths);
    Ok(server.totals.report())
}

fn tokio_tcp(listener: std::net::TcpListener, config: &ServerConfig) -> io::Result<TcpListener> {
    set_options(&SockRef::from(&listener), config)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn tokio_unix(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

struct Server {
    store: Store,
    /// Who calls connections when the journal has synced, if the store has one.
    bells: Option<Bells>,
    config: ServerConfig,
    totals: Arc<Totals>,
    open: Mutex<Open>,
    /// Connections being turned away.
    refusals: AtomicUsize,
    tasks: TaskTracker,
    turns: Turns,
}

/// The connections there are.
#[derive(Default)]
struct Open {
    /// No connection may live any more.
    cut: bool,
    last_number: u64,
    connections: HashMap<u64, Handle>,
}

struct Handle {
    mailbox: Arc<Mailbox>,
    /// `None` until its task has been spawned.
    task: Option<AbortHandle>,
}

impl Server {
    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing under the lock can leave it half done.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection, or turns it away.
    fn admit(self: &Arc<Self>, stream: Stream, peer: Peer) {
        let Some(place) = self.place() else { return self.turn_away(stream) };
        self.totals.connections.fetch_add(1, Relaxed);
        let (number, mailbox) = (place.number, Arc::clone(&place.mailbox));
        let (server, totals) = (Arc::clone(self), Arc::clone(&self.totals));
        let (thread, handle) = self.turns.next();
        let watch = self.bells.as_ref().map(|bells| SyncWatch::new(bells.of(thread)));
        let serving = async move {
            // Here, because a socket and a timer belong to the thread that made them.
            let stream = match stream.moved() {
                Ok(stream) => stream,
                Err(error) => return debug!(%peer, %error, "the socket failed"),
            };
            let Server { store, config, .. } = &*server;
            let session = Session::new(store, config, Arc::clone(&mailbox), totals, watch);
            let connection = Connection::new(stream, peer, session, mailbox, &server.config);
            drop(server);
            connection.run().await;
            drop(place);
        };
        let task = self.tasks.spawn_on(serving, handle);
        let cut = {
            let mut open = self.open();
            if let Some(handle) = open.connections.get_mut(&number) {
                handle.task = Some(task.abort_handle());
            }
            open.cut
        };
        if cut {
            task.abort();
        }
    }

    fn place(self: &Arc<Self>) -> Option<Place> {
        let mut open = self.open();
        if open.connections.len() >= self.config.connections_max {
            return None;
        }
        open.last_number += 1;
        let (number, mailbox) = (open.last_number, Arc::<Mailbox>::default());
        open.connections.insert(number, Handle { mailbox: Arc::clone(&mailbox), task: None });
        Some(Place { server: Arc::clone(self), number, mailbox })
    }

    fn turn_away(self: &Arc<Self>, mut stream: Stream) {
        self.totals.connections_refused.fetch_add(1, Relaxed);
        if self.refusals.fetch_add(1, Relaxed) >= REFUSALS_MAX {
            self.refusals.fetch_sub(1, Relaxed);
            return;
        }
        let server = Arc::clone(self);
        self.tasks.spawn(async move {
            let mut why = Vec::new();
            let error = ErrorReply::too_many_connections(server.config.connections_max as u64);
            error.encode(frame::CONNECTION, 0, &mut why);
            let write = tokio::io::AsyncWriteExt::write_all(&mut stream, &why);
            if let Ok(Ok(())) = timeout(server.config.linger, write).await {
                linger(&mut stream, server.config.linger).await;
            }
            server.refusals.fetch_sub(1, Relaxed);
        });
    }

    fn drain(&self) {
        let mailboxes: Vec<_> =
            self.open().connections.values().map(|handle| Arc::clone(&handle.mailbox)).collect();
        mailboxes.iter().for_each(|mailbox| mailbox.drain());
    }

    /// Ends every connection that is left. Gives their number.
    fn cut(&self) -> usize {
        // Aborted outside the lock: a task may be dropped on the spot, and then gives its place back.
        let (left, tasks) = {
            let mut open = self.open();
            open.cut = true;
            let tasks = open.connections.values().filter_map(|left| left.task.clone());
            (open.connections.len(), tasks.collect::<Vec<_>>())
        };
        tasks.iter().for_each(AbortHandle::abort);
        self.totals.connections_cut.fetch_add(left as u64, Relaxed);
        left
    }
}

/// One of the connections that may be; given back when dropped.
struct Place {
    server: Arc<Server>,
    number: u64,
    mailbox: Arc<Mailbox>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.open().connections.remove(&self.number);
    }
}

/// Lets no connection outlive the future that serves it.
struct CutOnDrop(Arc<Server>);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.cut();
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Where it is not taken from the listener.
                #[cfg(not(target_os = "linux"))]
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Peer::Tcp(peer)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Peer::Unix))
            }
        }
    }
}

async fn accept(server: Arc<Server>, listener: Listener, stop: CancellationToken) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => server.admit(stream, peer),
            // The peer was gone before it was accepted.
            Err(error) if is_of_one_connection(&error) => debug!(%error, "accept"),
            Err(error) => {
                warn!(%error, "cannot accept: is the limit of open files too low?");
                let pause = tokio::time::sleep(ACCEPT_PAUSE);
                if stop.run_until_cancelled(pause).await.is_none() {
                    return;
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, Interrupted, InvalidInput, NotConnected,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | InvalidInput | NotConnected
    )
}
