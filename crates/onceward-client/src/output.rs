//! The writing half of a socket, for several who take turns.

use std::io;

use tokio::net::tcp;
#[cfg(unix)]
use tokio::net::unix;

/// Dropping the last reference to it ends the stream.
#[derive(Debug)]
pub(crate) enum Output {
    Tcp(tcp::OwnedWriteHalf),
    #[cfg(unix)]
    Unix(unix::OwnedWriteHalf),
}

impl Output {
    /// Writes what the socket takes at once: one system call, or none while it is known to be full.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            #[cfg(unix)]
            Self::Unix(stream) => stream.writable().await,
        }
    }

    /// Writes all, and calls `written` after each system call that took bytes.
    pub(crate) async fn write_all(
        &self,
        mut bytes: &[u8],
        mut written: impl FnMut(),
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(size) => {
                    bytes = &bytes[size..];
                    written();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
