//! Where a server listens.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::config::ServerConfig;
use crate::error::ServeError;
use crate::unix_path::{self, BoundPath};

/// Bound listeners, TCP and Unix. Bind to port 0 and ask [`Listeners::tcp_addresses`] for a port
/// that nobody else has. Needs no runtime.
#[derive(Debug, Default)]
pub struct Listeners {
    pub(crate) tcp: Vec<TcpListener>,
    pub(crate) unix: Vec<UnixListener>,
    /// The sockets' files, removed when this is dropped.
    pub(crate) paths: Vec<BoundPath>,
}

impl Listeners {
    /// Listens on every address and path.
    ///
    /// A Unix socket gets mode 0600 and is removed when the server ends. A file left by a server
    /// that is gone is replaced; one that answers, or that is no socket, is not.
    ///
    /// # Errors
    /// [`ServeError`]; nothing is left bound.
    pub fn bind(
        tcp: &[SocketAddr],
        unix: &[PathBuf],
        config: &ServerConfig,
    ) -> Result<Self, ServeError> {
        // All addresses before any is bound: a refused start serves nobody for a moment.
        tcp.iter().try_for_each(|&address| check_reach(address, config))?;
        let mut bound = Self::default();
        for &address in tcp {
            bound
                .tcp
                .push(bind_tcp(address, config).map_err(|why| ServeError::listen(address, why))?);
        }
        for path in unix {
            let (listener, path) = unix_path::bind(path, config.backlog)?;
            bound.unix.push(listener);
            bound.paths.push(path);
        }
        Ok(bound)
    }

    /// Takes listeners that somebody else bound; TCP ones get the configured socket options, but the
    /// backlog that they have. Files of Unix sockets stay that one's to remove.
    #[must_use]
    pub fn from_std(tcp: Vec<TcpListener>, unix: Vec<UnixListener>) -> Self {
        Self { tcp, unix, paths: Vec::new() }
    }

    /// The TCP addresses, with the ports that the system chose, in the order given.
    #[must_use]
    pub fn tcp_addresses(&self) -> Vec<SocketAddr> {
        self.tcp.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// The paths of the Unix sockets that have one, in the order given.
    #[must_use]
    pub fn unix_paths(&self) -> Vec<PathBuf> {
        let path = |listener: &UnixListener| {
            listener.local_addr().ok()?.as_pathname().map(Path::to_path_buf)
        };
        self.unix.iter().filter_map(path).collect()
    }

    pub(crate) fn check(&self, config: &ServerConfig) -> Result<(), ServeError> {
        if self.tcp.is_empty() && self.unix.is_empty() {
            return Err(ServeError::NoListener);
        }
        self.tcp_addresses().into_iter().try_for_each(|address| check_reach(address, config))
    }
}

fn check_reach(address: SocketAddr, config: &ServerConfig) -> Result<(), ServeError> {
    if address.ip().to_canonical().is_loopback() || config.insecure_no_auth {
        return Ok(());
    }
    Err(ServeError::NotLoopback { address })
}

fn bind_tcp(address: SocketAddr, config: &ServerConfig) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server takes its port back while old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    set_options(&socket, config)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(config.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Longest silence that Linux takes before it asks the peer.
const KEEPALIVE_MAX: Duration = Duration::from_secs(32_767);

/// What the connections of a listener start with.
pub(crate) fn set_options(socket: &Socket, config: &ServerConfig) -> std::io::Result<()> {
    // Replies are small and one must not wait for another's acknowledgement.
    socket.set_tcp_nodelay(true)?;
    if !config.tcp_keepalive.is_zero() {
        let silence = config.tcp_keepalive.clamp(Duration::from_secs(1), KEEPALIVE_MAX);
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(silence).with_interval(silence))?;
    }
    // Before the socket listens: the window that a peer is offered is settled then.
    if config.receive_buffer_bytes > 0 {
        socket.set_recv_buffer_size(config.receive_buffer_bytes)?;
    }
    if config.send_buffer_bytes > 0 {
        socket.set_send_buffer_size(config.send_buffer_bytes)?;
    }
    Ok(())
}
