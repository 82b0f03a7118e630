//! Why a server did not start. Once it serves, nothing ends it but its shutdown signal.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::{fmt, io};

/// Why a server did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// A number of the configuration is out of bounds; times are in milliseconds.
    Setting {
        /// The setting's name.
        name: &'static str,
        /// What it says.
        got: u64,
        /// The least that goes.
        min: u64,
        /// The most that goes.
        max: u64,
    },
    /// There is nothing to listen on.
    NoListener,
    /// A TCP address that others than this machine can reach, without authentication.
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// Somebody serves on this Unix socket already.
    InUse {
        /// The socket's path.
        path: PathBuf,
    },
    /// There is something at the path of a Unix socket that is no socket. It is left alone.
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refused a listener.
    Listen {
        /// Address or path.
        at: String,
        /// What it said.
        why: io::Error,
    },
    /// The operating system refused a thread, or what a thread needs.
    Threads {
        /// What it said.
        why: io::Error,
    },
}

impl ServeError {
    pub(crate) fn listen(at: impl fmt::Display, why: io::Error) -> Self {
        Self::Listen { at: at.to_string(), why }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting { name, got, min, max } => {
                write!(f, "{name} is {got}: give {min} to {max}")
            }
            Self::NoListener => f.write_str("no address and no Unix socket to listen on: give one"),
            Self::NotLoopback { address } => write!(
                f,
                "{address} can be reached from other machines, and nothing proves who connects: listen on 127.0.0.1, [::1] or a Unix socket, or say --insecure-no-auth"
            ),
            Self::InUse { path } => write!(
                f,
                "another server listens on the Unix socket {}: stop it, or choose another path",
                path.display()
            ),
            Self::NotASocket { path } => write!(
                f,
                "{} exists and is no socket: remove it yourself, or choose another path",
                path.display()
            ),
            Self::Threads { why } => write!(f, "cannot start the threads that serve: {why}"),
            Self::Listen { at, why } => write!(f, "cannot listen on {at}: {why}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { why, .. } | Self::Threads { why } => Some(why),
            _ => None,
        }
    }
}
