//! A stream to a target.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// How long a connection may take to stand.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Where a target listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// Host and port.
    Tcp(String),
    /// A Unix socket's path.
    Unix(PathBuf),
}

/// One connection. Blocks until [`Socket::make_ready`].
#[derive(Debug)]
pub enum Socket {
    /// Over TCP, without Nagle's delay.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// Connects, at most for five seconds.
    ///
    /// # Errors
    /// Nobody listens there, or the name has no address.
    pub fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(host) => {
                let mut last = io::Error::other("the name has no address");
                for found in host.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&found, CONNECT_PATIENCE) {
                        Ok(stream) => {
                            stream.set_nodelay(true)?;
                            return Ok(Self::Tcp(stream));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
            Address::Unix(path) => Ok(Self::Unix(UnixStream::connect(path)?)),
        }
    }

    /// Writes what opens the connection. Reads wait for a while from here on.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn greet(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(CONNECT_PATIENCE))?,
            Self::Unix(stream) => stream.set_read_timeout(Some(CONNECT_PATIENCE))?,
        }
        self.write_all(bytes)
    }

    /// From here on nothing waits.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn make_ready(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(true),
            Self::Unix(stream) => stream.set_nonblocking(true),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
