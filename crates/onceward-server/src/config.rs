//! How a server is set up.

use std::time::Duration;

use onceward_proto::frame::{BODY_BYTES_MAX_CEILING, BODY_BYTES_MAX_DEFAULT, BODY_BYTES_MAX_FLOOR};

use crate::error::ServeError;

/// Most connections that may be configured.
pub const CONNECTIONS_MAX_CEILING: usize = 1_000_000;
/// Most requests in flight per connection that may be configured.
pub const IN_FLIGHT_MAX_CEILING: u32 = 65_536;
/// Most unsent bytes per connection that may be configured.
pub const UNSENT_BYTES_MAX_CEILING: usize = 64 * 1024 * 1024;
/// Most threads that may be configured.
pub const THREADS_CEILING: usize = 1_024;
/// Most connections that may be configured to wait for being accepted.
pub const BACKLOG_CEILING: u32 = 65_535;
/// Largest socket buffer that may be configured.
pub const SOCKET_BUFFER_BYTES_CEILING: usize = 64 * 1024 * 1024;
/// Longest time-out that may be configured.
pub const TIMEOUT_CEILING: Duration = Duration::from_secs(24 * 3_600);

/// What a server insists on. Each limit says what happens there (S20).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServerConfig {
    /// Serve TCP addresses beyond loopback although nobody proves who they are: whoever reaches
    /// such an address may use and operate every namespace. Default no: such an address is
    /// refused at start. Credentials are taken and not looked at until there is something to
    /// check them with.
    pub insecure_no_auth: bool,
    /// Threads that serve connections, each with a single-threaded runtime of its own, to which
    /// connections are given in turn. Zero: none; connections are tasks of the runtime that calls
    /// [`run`](crate::run), which suits tests and a service that serves besides. Default 0.
    pub threads: usize,
    /// Keep each thread on one processor of those that the process may use, in order, starting
    /// over when there are more threads. For machines that do nothing else. Linux; elsewhere it
    /// warns. Default no.
    pub pin_threads: bool,
    /// Connections that may wait to be accepted; the system may cut it. Over: the system lets the
    /// peer try again. Default 4,096.
    pub backlog: u32,
    /// Silence on a TCP connection after which the system asks whether the peer is still there,
    /// and how often it then asks again; a peer that is gone so gives its connection back. Zero:
    /// never. Default 1 min.
    pub tcp_keepalive: Duration,
    /// The system's receive buffer for each TCP connection, in bytes; 0 leaves it to the system,
    /// which grows it as needed. Default 0.
    pub receive_buffer_bytes: usize,
    /// Likewise the send buffer. Default 0.
    pub send_buffer_bytes: usize,
    /// Longest body of a frame, in bytes; over: an error, then the connection closes. A store that
    /// keeps larger results than the default needs a larger frame. Default 1 MiB + 64 KiB.
    pub body_bytes_max: u32,
    /// Most connections at once; over: a new one gets an error frame and is closed. Default 16,384.
    pub connections_max: usize,
    /// Most requests that wait at once on one connection; over: a further begin is InProgress, a
    /// further get Reserved, at once, as at the store's own limit of waiters (S10). Such a request
    /// does not stop the reading: the COMPLETE that ends the waits, or a CANCEL, may be behind it.
    /// Default 16,384: one service may wait through one connection (S10).
    pub in_flight_max: u32,
    /// Unsent bytes of replies above which a connection's requests are neither read nor acted on
    /// until replies have left; waits that end stay answered in the store meanwhile. A connection
    /// holds at most this and one reply. Default 256 KiB.
    pub unsent_bytes_max: usize,
    /// From accept to an accepted HELLO; over: `timed_out`, then the connection closes. Default 5 s.
    pub hello_timeout: Duration,
    /// From the first byte of a frame to its last; over: `timed_out`, then the connection closes.
    /// Default 10 s.
    pub frame_timeout: Duration,
    /// How long the peer may take none of the bytes of its replies; over: the connection is cut,
    /// for an error frame would not be taken either. Default 10 s.
    pub write_timeout: Duration,
    /// Silence of a connection that waits for nothing; over: it is closed without a frame. Zero:
    /// never. PING keeps it open. Default 10 min.
    pub idle_timeout: Duration,
    /// How long a connection that the server closes is still read, and what comes is dropped, so
    /// that the last frame reaches the peer: a close over unread bytes would reset it away.
    /// Default 1 s.
    pub linger: Duration,
    /// From the shutdown signal to the end; connections that still hold replies then are cut
    /// (S17). Default 10 s.
    pub grace: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            insecure_no_auth: false,
            threads: 0,
            pin_threads: false,
            backlog: 4_096,
            tcp_keepalive: Duration::from_secs(60),
            receive_buffer_bytes: 0,
            send_buffer_bytes: 0,
            body_bytes_max: BODY_BYTES_MAX_DEFAULT,
            connections_max: 16_384,
            in_flight_max: 16_384,
            unsent_bytes_max: 256 * 1024,
            hello_timeout: Duration::from_secs(5),
            frame_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
            linger: Duration::from_secs(1),
            grace: Duration::from_secs(10),
        }
    }
}

impl ServerConfig {
    /// Checks every limit against its bounds.
    ///
    /// # Errors
    /// [`ServeError::Setting`] names the first one out of bounds.
    pub fn check(&self) -> Result<(), ServeError> {
        self.faults().into_iter().next().map_or(Ok(()), Err)
    }

    /// Every limit that is out of its bounds, as a [`ServeError::Setting`] each.
    #[must_use]
    pub fn faults(&self) -> Vec<ServeError> {
        let mut faults = Vec::new();
        let buffer_max = SOCKET_BUFFER_BYTES_CEILING as u64;
        let sizes = [
            ("threads", self.threads as u64, 0, THREADS_CEILING as u64),
            ("backlog", u64::from(self.backlog), 1, u64::from(BACKLOG_CEILING)),
            ("receive_buffer_bytes", self.receive_buffer_bytes as u64, 0, buffer_max),
            ("send_buffer_bytes", self.send_buffer_bytes as u64, 0, buffer_max),
            (
                "body_bytes_max",
                u64::from(self.body_bytes_max),
                u64::from(BODY_BYTES_MAX_FLOOR),
                u64::from(BODY_BYTES_MAX_CEILING),
            ),
            ("connections_max", self.connections_max as u64, 1, CONNECTIONS_MAX_CEILING as u64),
            ("in_flight_max", u64::from(self.in_flight_max), 1, u64::from(IN_FLIGHT_MAX_CEILING)),
            ("unsent_bytes_max", self.unsent_bytes_max as u64, 1, UNSENT_BYTES_MAX_CEILING as u64),
        ];
        for (name, got, min, max) in sizes {
            if got < min || got > max {
                faults.push(ServeError::Setting { name, got, min, max });
            }
        }
        let times = [
            ("hello_timeout", self.hello_timeout, 1),
            ("frame_timeout", self.frame_timeout, 1),
            ("write_timeout", self.write_timeout, 1),
            ("idle_timeout", self.idle_timeout, 0),
            ("tcp_keepalive", self.tcp_keepalive, 0),
            ("linger", self.linger, 0),
            ("grace", self.grace, 0),
        ];
        for (name, got, min) in times {
            let got = u64::try_from(got.as_millis()).unwrap_or(u64::MAX);
            let max = TIMEOUT_CEILING.as_millis() as u64;
            if got < min || got > max {
                faults.push(ServeError::Setting { name, got, min, max });
            }
        }
        faults
    }
}
